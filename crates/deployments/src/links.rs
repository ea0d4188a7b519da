//! Templates and parameters that a deployment refers to by URI. The service fetches them, within the limits that it also
//! has for scripts of image templates.

use std::time::Duration;

use arm::ApiError;
use images::{event::Events, run_context::RunContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::App;
use sources::fetch;

use crate::request::Request;

/// The limit of one fetch.
const TIME: Duration = Duration::from_secs(40);

/// The largest linked file, as for a request.
const BYTES: u64 = 4 << 20;

/// The texts that a deployment links to. They are kept with it, so that a restart does not depend on them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Links {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
    /// Where the template came from: the base of relative paths in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<String>,
}

/// Fetches what a request links to.
///
/// # Errors
/// `InvalidTemplateLink`, `InvalidContentLink`, `TemplateSpecsNotSupported`.
pub(crate) async fn follow(app: &App, request: &Request) -> Result<Links, ApiError> {
    let mut links = Links::default();
    if request.template.is_none()
        && let Some(link) = &request.template_link
    {
        links.add_template(app, link, None).await?;
    }
    if request.parameters.is_none()
        && let Some(link) = &request.parameters_link
    {
        links.add_parameters(app, link, None).await?;
    }
    Ok(links)
}

impl Links {
    /// Fetches a template. A relative path starts at `base`.
    pub(crate) async fn add_template(
        &mut self,
        app: &App,
        link: &Value,
        base: Option<&str>,
    ) -> Result<(), ApiError> {
        let (text, uri) = text(app, link, base, "templateLink").await?;
        (self.template, self.uri) = (Some(text), Some(uri));
        Ok(())
    }

    /// Fetches parameters. A relative path starts at `base`.
    pub(crate) async fn add_parameters(
        &mut self,
        app: &App,
        link: &Value,
        base: Option<&str>,
    ) -> Result<(), ApiError> {
        let (text, _uri) = text(app, link, base, "parametersLink").await?;
        self.parameters = Some(text);
        Ok(())
    }
}

/// The text behind a link `{uri}` or, below the link of the template around it, `{relativePath}`.
///
/// # Errors
/// As [`follow`].
async fn text(
    app: &App,
    link: &Value,
    base: Option<&str>,
    field: &str,
) -> Result<(String, String), ApiError> {
    let path = format!("properties.{field}");
    if link["id"].is_string() {
        return Err(ApiError::bad_request(
            "TemplateSpecsNotSupported",
            "Template specs are not supported. Deploy the template itself, or by its URI.",
        )
        .target(path));
    }
    let uri = match (link["uri"].as_str(), link["relativePath"].as_str(), base) {
        (Some(uri), _, _) => with_query(uri, link["queryString"].as_str()),
        (None, Some(relative), Some(base)) => below(base, relative),
        _ => {
            return Err(ApiError::bad_request(
                "InvalidTemplateLink",
                format!("'{path}' must have a 'uri', or a 'relativePath' in a template that was deployed by its URI."),
            )
            .target(path));
        }
    };
    let text = fetched(app, &uri).await.map_err(|error| error.target(path))?;
    Ok((text, uri))
}

fn with_query(uri: &str, query: Option<&str>) -> String {
    match query.filter(|query| !query.is_empty()) {
        Some(query) => {
            let joint = if uri.contains('?') { '&' } else { '?' };
            format!("{uri}{joint}{}", query.trim_start_matches('?'))
        }
        None => uri.to_owned(),
    }
}

/// A path relative to the file that another URI names; its query, such as a signature, is kept.
fn below(base: &str, relative: &str) -> String {
    let (path, query) = base.split_once('?').map_or((base, None), |(path, q)| (path, Some(q)));
    let (root, inside) = match path.split_once("://") {
        Some((scheme, rest)) => {
            let (host, inside) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{host}"), inside)
        }
        None => (String::new(), path),
    };
    let mut segments: Vec<&str> = inside.split('/').collect();
    segments.pop();
    for segment in relative.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let uri = format!("{root}/{}", segments.join("/"));
    query.map_or(uri.clone(), |query| format!("{uri}?{query}"))
}

async fn fetched(app: &App, uri: &str) -> Result<String, ApiError> {
    let layout = app.settings().layout.clone();
    let cx = RunContext::new(layout, Events::none(), app.shutdown().child_token());
    let limits = fetch::Limits { max_bytes: BYTES, attempts: 2, ..app.fetch_limits() };
    let shown = uri.split('?').next().unwrap_or_default();
    let wrong = |why: String| {
        ApiError::bad_request(
            "InvalidContentLink",
            format!("Unable to download deployment content from '{shown}': {why}"),
        )
    };
    let got = tokio::time::timeout(TIME, fetch::script(&cx, uri, None, None, &limits)).await;
    let got = got
        .map_err(|_elapsed| wrong(format!("it took longer than {} s.", TIME.as_secs())))?
        .map_err(|error| wrong(error.message))?;
    let bytes = tokio::fs::read(&got.path).await.map_err(ApiError::internal)?;
    let text = String::from_utf8(bytes);
    text.map_err(|_| wrong("it is not UTF-8.".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_path_is_resolved_against_the_file_around_it() {
        for (base, relative, wanted) in [
            ("https://h/a/main.json", "nested/x.json", "https://h/a/nested/x.json"),
            ("https://h/a/b/main.json?sig=1", "../x.json", "https://h/a/x.json?sig=1"),
            ("https://h/main.json", "../../x.json", "https://h/x.json"),
        ] {
            assert_eq!(below(base, relative), wanted);
        }
        assert_eq!(with_query("https://h/x", Some("?a=b")), "https://h/x?a=b");
    }
}
