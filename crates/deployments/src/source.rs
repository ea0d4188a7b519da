//! Where a template came from, which is where relative paths in it start.

use arm::{ApiError, is};
use db::ResourceKey;
use providers::template_specs::version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::manager::Requests;

/// Where a template came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    /// A file with this URI.
    Uri(String),
    /// A version of a template spec.
    Spec {
        id: String,
        /// The path of a linked template; empty for the main one.
        path: String,
    },
}

impl Source {
    /// What a link names; `None` if that depends on the template around it.
    pub(crate) fn of(link: &Value) -> Option<Self> {
        if let Some(uri) = link["uri"].as_str() {
            return Some(Self::Uri(with_query(uri, link["queryString"].as_str())));
        }
        let id = link["id"].as_str()?.to_owned();
        let path = link["relativePath"].as_str().unwrap_or_default().to_owned();
        Some(Self::Spec { id, path })
    }

    /// The link that names it.
    pub(crate) fn link(&self) -> Value {
        match self {
            Self::Uri(uri) => json!({ "uri": uri }),
            Self::Spec { id, path } if path.is_empty() => json!({ "id": id }),
            Self::Spec { id, path } => json!({ "id": id, "relativePath": path }),
        }
    }

    /// What a relative path in this template names.
    pub(crate) fn below(&self, relative: &str) -> Self {
        match self {
            Self::Uri(uri) => Self::Uri(below_uri(uri, relative)),
            Self::Spec { id, path } => Self::Spec { id: id.clone(), path: below(path, relative) },
        }
    }
}

/// The text of a template of a spec's version.
///
/// # Errors
/// `AuthorizationFailed`, `InvalidTemplateSpec`
pub(crate) async fn of_spec(requests: &Requests, id: &str, path: &str) -> Result<String, ApiError> {
    requests.may_read(id).await?;
    let wrong = |why: String| {
        ApiError::bad_request(
            "InvalidTemplateSpec",
            format!("Unable to retrieve the template content from the resource ID '{id}': {why}."),
        )
    };
    let row = requests.app().store().resource(&ResourceKey::of(id)).await?;
    let row = row.filter(|row| is(&row.kind, version::NAME)).ok_or_else(|| {
        let example = ".../providers/Microsoft.Resources/templateSpecs/{name}/versions/{version}";
        wrong(format!("there is no such version of a template spec. Its id is '{example}'"))
    })?;
    let template = version::template(&row, path);
    let template =
        template.ok_or_else(|| wrong(format!("it has no linked template with the path '{path}'")));
    // In lines, so that the places of mistakes say something.
    serde_json::to_string_pretty(template?).map_err(ApiError::internal)
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

/// A path relative to the file that a URI names; the query, such as a signature, is kept.
fn below_uri(base: &str, relative: &str) -> String {
    let (path, query) = base.split_once('?').map_or((base, None), |(path, q)| (path, Some(q)));
    let (root, inside) = match path.split_once("://") {
        Some((scheme, rest)) => {
            let (host, inside) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{host}"), inside)
        }
        None => (String::new(), path),
    };
    let uri = format!("{root}/{}", below(inside, relative));
    query.map_or(uri.clone(), |query| format!("{uri}?{query}"))
}

/// A path relative to the folder of a file.
fn below(file: &str, relative: &str) -> String {
    let (file, relative) = (file.replace('\\', "/"), relative.replace('\\', "/"));
    let mut segments: Vec<&str> = file.split('/').collect();
    segments.pop();
    for segment in relative.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments.join("/")
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
            assert_eq!(below_uri(base, relative), wanted);
        }
        assert_eq!(with_query("https://h/x", Some("?a=b")), "https://h/x?a=b");
    }

    #[test]
    fn relative_path_in_a_spec_names_another_of_its_templates() {
        let main = Source::of(&json!({ "id": "/s/v" })).unwrap();
        let linked = main.below("parts\\one.json");
        assert_eq!(linked.link(), json!({ "id": "/s/v", "relativePath": "parts/one.json" }));
        assert_eq!(Source::of(&linked.link()), Some(linked.clone()));
        assert_eq!(linked.below("../two.json").link()["relativePath"], "two.json");
        assert_eq!(linked.below("three.json").link()["relativePath"], "parts/three.json");
        assert_eq!(Source::of(&json!({ "relativePath": "x" })), None);
    }
}
