//! Templates and parameters that a deployment refers to: by URI, or in a template spec. The service fetches what has a
//! URI, within the limits that it also has for scripts of image templates.

use std::time::Duration;

use arm::ApiError;
use images::{event::Events, run_context::RunContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::App;
use sources::fetch;

use crate::{
    manager::Requests,
    request::Request,
    source::{self, Source},
};

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
    pub(crate) source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<String>,
}

/// Fetches what a request links to.
///
/// # Errors
/// `InvalidTemplateLink`, `InvalidContentLink`, `InvalidTemplateSpec`.
pub(crate) async fn follow(requests: &Requests, request: &Request) -> Result<Links, ApiError> {
    let mut links = Links::default();
    if request.template.is_none()
        && let Some(link) = &request.template_link
    {
        links.add_template(requests, link, None).await?;
    }
    if request.parameters.is_none()
        && let Some(link) = &request.parameters_link
    {
        links.add_parameters(requests, link, None).await?;
    }
    Ok(links)
}

impl Links {
    /// Fetches a template. A relative path starts at `base`.
    pub(crate) async fn add_template(
        &mut self,
        requests: &Requests,
        link: &Value,
        base: Option<&Source>,
    ) -> Result<(), ApiError> {
        let (text, source) = text(requests, link, base, "templateLink").await?;
        (self.template, self.source) = (Some(text), Some(source));
        Ok(())
    }

    /// Fetches parameters. A relative path starts at `base`.
    pub(crate) async fn add_parameters(
        &mut self,
        requests: &Requests,
        link: &Value,
        base: Option<&Source>,
    ) -> Result<(), ApiError> {
        let (text, _source) = text(requests, link, base, "parametersLink").await?;
        self.parameters = Some(text);
        Ok(())
    }
}

/// The text behind a link `{uri}`, `{id}` of a template spec's version or, below the link of the template around it,
/// `{relativePath}`.
///
/// # Errors
/// As [`follow`].
async fn text(
    requests: &Requests,
    link: &Value,
    base: Option<&Source>,
    field: &str,
) -> Result<(String, Source), ApiError> {
    let path = format!("properties.{field}");
    let relative = link["relativePath"].as_str();
    let source = Source::of(link).or_else(|| Some(base?.below(relative?)));
    // A template spec has no files of parameters.
    let allowed = |source: &Source| field == "templateLink" || matches!(source, Source::Uri(_));
    let source = source.filter(allowed).ok_or_else(|| {
        ApiError::bad_request(
            "InvalidTemplateLink",
            format!(
                "'{path}' must have a 'uri', the 'id' of a version of a template spec (not for parameters), or a 'relativePath' in a template that was itself deployed by such a link."
            ),
        )
        .target(&path)
    })?;
    let text = match &source {
        Source::Uri(uri) => fetched(requests.app(), uri).await,
        Source::Spec { id, path } => source::of_spec(requests, id, path).await,
    };
    Ok((text.map_err(|error| error.target(path))?, source))
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
