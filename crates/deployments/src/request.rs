//! The body of a deployment's request.
//!
//! It is read with the freedoms of [`Node::parse`], because az puts the text of the template file as it is behind a key
//! without quotes. Places of mistakes therefore count in the request, which for az are the lines of the file.

use arm::{ApiError, is};
use arm_template::{Limits, Node, Value as TemplateValue};
use serde_json::{Map, Value, json};

use crate::errors::{self, field};

/// A request, read but not evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The template, if the request has it.
    pub(crate) template: Option<Node>,
    /// Where to get the template otherwise.
    pub(crate) template_link: Option<Value>,
    /// The object of parameters, each with its `value`.
    pub(crate) parameters: Option<Node>,
    /// The values that expressions of parameters read.
    pub(crate) external_inputs: Option<Node>,
    /// Where to get the parameters otherwise.
    pub(crate) parameters_link: Option<Value>,
    pub(crate) mode: Mode,
    pub(crate) on_error: Option<OnError>,
    /// Whether operations show the requests and the responses.
    pub(crate) debug: Debug,
    pub(crate) level: Level,
    pub(crate) tags: Option<Value>,
    pub(crate) location: Option<String>,
    /// `whatIfSettings.resultFormat`: whether a preview has whole resources.
    pub(crate) full: bool,
}

/// What happens to resources that the template does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They stay.
    Incremental,
    /// They are deleted.
    Complete,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Incremental => "Incremental",
            Self::Complete => "Complete",
        }
    }
}

/// What to deploy after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The last deployment of the scope that succeeded.
    LastSuccessful,
    /// The deployment of this name.
    Specific(String),
}

/// What operations show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    pub(crate) requests: bool,
    pub(crate) responses: bool,
}

/// How far a validation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Also the checks of the resource types, and whether the client may write the resources.
    Provider,
    /// The same for a client that may only read them.
    ProviderNoRbac,
    /// The template alone.
    Template,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// `InvalidRequestContent`, with the place.
    pub(crate) fn read(text: &str) -> Result<Self, ApiError> {
        let limits = Limits { template_bytes: text.len(), ..Limits::default() };
        let node = Node::parse(text, &limits).map_err(|error| errors::content(&error))?;
        if node.as_object().is_none() {
            return Err(field("", "the body must be a JSON object"));
        }
        let properties = node
            .get("properties")
            .filter(|own| own.as_object().is_some())
            .ok_or_else(|| field("properties", "an object is required"))?;
        let given = |name: &str| properties.get(name).filter(|value| !value.is_null()).cloned();
        let json_of = |name: &str| given(name).map(|value| plain(&value));
        let template = match given("template") {
            // Newer SDKs may send it as text.
            Some(text) if text.as_text().is_some() => Some(parse_text(&text, &limits)?),
            other => other,
        };
        Ok(Self {
            template,
            template_link: json_of("templateLink"),
            parameters: given("parameters"),
            external_inputs: given("externalInputs"),
            parameters_link: json_of("parametersLink"),
            mode: mode(json_of("mode").as_ref())?,
            on_error: on_error(json_of("onErrorDeployment").as_ref())?,
            debug: debug(json_of("debugSetting").as_ref()),
            level: level(json_of("validationLevel").as_ref())?,
            tags: node.get("tags").map(plain).filter(|tags| !tags.is_null()),
            location: node.get("location").and_then(|own| plain(own).as_str().map(str::to_owned)),
            full: json_of("whatIfSettings")
                .and_then(|own| own["resultFormat"].as_str().map(|f| !is(f, "ResourceIdOnly")))
                .unwrap_or(true),
        })
    }

    /// What a nested deployment amounts to: its template and parameters are in the plan of the one around it.
    pub(crate) fn of_nested(location: Option<&str>, link: Option<Value>) -> Self {
        Self {
            template: None,
            template_link: link,
            parameters: None,
            external_inputs: None,
            parameters_link: None,
            mode: Mode::Incremental,
            on_error: None,
            debug: Debug::default(),
            level: Level::Provider,
            tags: None,
            location: location.map(str::to_owned),
            full: true,
        }
    }

    /// The template that the request has.
    ///
    /// # Errors
    /// `InvalidTemplate` without one.
    pub(crate) fn template(&self) -> Result<&Node, ApiError> {
        self.template.as_ref().ok_or_else(|| {
            ApiError::bad_request(
                "InvalidTemplate",
                "The request has no template: 'properties.template' or 'properties.templateLink' is required.",
            )
        })
    }

    /// The tags, checked.
    ///
    /// # Errors
    /// `InvalidParameter`, `TooManyTags`.
    pub(crate) fn checked_tags(&self) -> Result<Option<Value>, ApiError> {
        let mut object = Map::new();
        object.insert("tags".to_owned(), self.tags.clone().unwrap_or_default());
        arm::fields::tags(&object)
    }
}

fn parse_text(node: &Node, limits: &Limits) -> Result<Node, ApiError> {
    let TemplateValue::String(text) = node.to_value() else { return Ok(node.clone()) };
    Node::parse(&text, limits).map_err(|error| errors::template(&error))
}

/// A part of the request without expressions.
pub(crate) fn plain(node: &Node) -> Value {
    Value::from(&node.to_value())
}

fn word<'a>(value: Option<&'a Value>, path: &str) -> Result<Option<&'a str>, ApiError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(field(path, "it must be a string")),
    }
}

fn mode(value: Option<&Value>) -> Result<Mode, ApiError> {
    match word(value, "properties.mode")? {
        // REST requires it, but some clients leave it out.
        None => Ok(Mode::Incremental),
        Some(text) if is(text, "Incremental") => Ok(Mode::Incremental),
        Some(text) if is(text, "Complete") => Ok(Mode::Complete),
        Some(text) => Err(field(
            "properties.mode",
            &format!("the mode '{text}' is not one of Incremental, Complete"),
        )),
    }
}

fn level(value: Option<&Value>) -> Result<Level, ApiError> {
    match word(value, "properties.validationLevel")? {
        Some(text) if is(text, "Template") => Ok(Level::Template),
        None => Ok(Level::Provider),
        Some(text) if is(text, "Provider") => Ok(Level::Provider),
        Some(text) if is(text, "ProviderNoRbac") => Ok(Level::ProviderNoRbac),
        Some(text) => Err(field(
            "properties.validationLevel",
            &format!("the level '{text}' is not one of Provider, ProviderNoRbac, Template"),
        )),
    }
}

fn on_error(value: Option<&Value>) -> Result<Option<OnError>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let path = "properties.onErrorDeployment";
    let name = word(value.get("deploymentName").filter(|name| !name.is_null()), path)?;
    match (word(value.get("type"), path)?, name) {
        (Some(kind), None) if is(kind, "LastSuccessful") => Ok(Some(OnError::LastSuccessful)),
        (Some(kind), Some(name)) if is(kind, "SpecificDeployment") => {
            Ok(Some(OnError::Specific(name.to_owned())))
        }
        _ => Err(field(
            path,
            "the type must be LastSuccessful, or SpecificDeployment with a deploymentName",
        )),
    }
}

fn debug(value: Option<&Value>) -> Debug {
    Debug::of(value.and_then(|own| own["detailLevel"].as_str()).unwrap_or_default())
}

impl Debug {
    /// Reads `requestContent, responseContent`, either or none.
    pub(crate) fn of(detail_level: &str) -> Self {
        let text = detail_level.to_lowercase();
        Self {
            requests: text.contains("requestcontent"),
            responses: text.contains("responsecontent"),
        }
    }
}

impl OnError {
    /// As responses show it.
    pub(crate) fn view(&self) -> Value {
        match self {
            Self::LastSuccessful => json!({ "type": "LastSuccessful" }),
            Self::Specific(name) => json!({ "type": "SpecificDeployment", "deploymentName": name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body as az writes it: the key `template` has no quotes, and the file follows as it is.
    const SPLICED: &str = "{\"properties\": {\"parameters\": {}, \"mode\": \"incremental\", template:{\r\n  // a comment\r\n  \"resources\": [],\r\n  \"variables\": {\"a\": \"[concat('x',\n 'y')]\",}\r\n}}}";

    #[test]
    fn body_of_az_is_read_as_it_is() {
        let request = Request::read(SPLICED).unwrap();
        assert_eq!(request.mode, Mode::Incremental);
        let template = request.template().unwrap();
        assert_eq!(template.get("resources").unwrap().position.line, 3);
        assert!(request.full);
    }

    #[test]
    fn invalid_field_is_named() {
        for (body, path) in [
            ("[]", ""),
            ("{}", "properties"),
            (r#"{"properties": {"mode": "Both"}}"#, "properties.mode"),
            (r#"{"properties": {"validationLevel": 1}}"#, "properties.validationLevel"),
            (
                r#"{"properties": {"onErrorDeployment": {"type": "SpecificDeployment"}}}"#,
                "properties.onErrorDeployment",
            ),
        ] {
            let error = Request::read(body).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.target.as_deref()),
                ("InvalidRequestContent", Some(path)),
                "{body}"
            );
        }
        let error = Request::read("{\"properties\": ]").unwrap_err();
        assert!(error.message.contains("line 1, position"), "{}", error.message);
    }
}
