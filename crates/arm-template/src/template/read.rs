//! Templates as they are written: the declarations, checked but not evaluated.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    declarations::{Declaration, Output, Parameter},
    functions, reading,
    reading::{check_members, check_names},
    schema::{Schema, is_symbolic},
    types::Definitions,
};
use arm_expression::{Content, Error, Kind, Limits, Members, Node, UserFunction, Value};

/// What a template may have at its top.
const MEMBERS: &[&str] = &[
    "$schema",
    "languageVersion",
    "contentVersion",
    "apiProfile",
    "definitions",
    "metadata",
    "parameters",
    "functions",
    "variables",
    "imports",
    "extensions",
    "resources",
    "outputs",
    "asserts",
];

const MOST_PARAMETERS: usize = 256;
const MOST_VARIABLES: usize = 512;
const MOST_OUTPUTS: usize = 64;

/// A template. A clone shares the contents.
#[derive(Clone)]
pub struct Template(Arc<Parts>);

struct Parts {
    node: Node,
    schema: Schema,
    symbolic: bool,
    definitions: Arc<Definitions>,
    parameters: Vec<Parameter>,
    functions: HashMap<String, Arc<UserFunction>>,
    resources: Vec<Declaration>,
    outputs: Vec<Output>,
    value: OnceLock<Value>,
}

/// A parameter of a template, for who asks for values.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredParameter {
    /// The name.
    pub name: Arc<str>,
    /// The type as Azure's answers spell it, such as `SecureString`.
    pub type_name: &'static str,
    /// Whether a value must be given: it has no default and is not nullable.
    pub required: bool,
    /// Whether values must not be shown.
    pub secure: bool,
    /// What `metadata.description` says.
    pub description: Option<Arc<str>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`Kind::Json`] if the text is not JSON; [`Kind::Template`] if it breaks a rule of the language that needs no
    /// evaluation; [`Kind::Limit`] if it is too large; [`Kind::Unsupported`] for a language version or an extension
    /// that this library does not have.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Error> {
        Self::from_node(&Node::parse(text, limits)?)
    }

    /// Reads a template that is a part of a larger text, such as a request. Paths of errors begin at the template.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        check_members(node, MEMBERS, "template")?;
        let schema = Schema::read(node)?;
        let symbolic = is_symbolic(node)?;
        reading::required(node, "contentVersion")?;
        refuse_extensions(node)?;
        check_variables(node)?;
        let definitions = Arc::new(Definitions::new(node.get("definitions").cloned()));
        Ok(Self(Arc::new(Parts {
            schema,
            symbolic,
            parameters: named(node, "parameters", MOST_PARAMETERS, Parameter::read)?,
            functions: functions::read(node, &definitions, !symbolic)?,
            resources: Declaration::read_all(reading::required(node, "resources")?, symbolic)
                .map_err(|error| error.within_key("resources"))?,
            outputs: named(node, "outputs", MOST_OUTPUTS, Output::read)?,
            definitions,
            node: node.clone(),
            value: OnceLock::new(),
        })))
    }

    /// The scope that the template is written for.
    pub fn schema(&self) -> Schema {
        self.0.schema
    }

    /// The version that the author gave it.
    pub fn content_version(&self) -> Option<Arc<str>> {
        self.0.node.get("contentVersion")?.as_literal()
    }

    /// The template as JSON, without comments.
    pub fn to_value(&self) -> Value {
        self.0.value.get_or_init(|| self.0.node.to_value()).clone()
    }

    /// The parameters in the order of the template.
    pub fn declared_parameters(&self) -> impl ExactSizeIterator<Item = DeclaredParameter> {
        let definitions = &self.0.definitions;
        self.0.parameters.iter().map(|parameter| {
            let of = &parameter.of;
            DeclaredParameter {
                name: parameter.name.clone(),
                type_name: definitions.type_name(of),
                required: parameter.default.is_none() && !definitions.accepts_null(of),
                secure: definitions.base(of).is_some_and(super::types::Base::is_secure),
                description: parameter.description.clone(),
            }
        })
    }

    pub(super) fn is_symbolic(&self) -> bool {
        self.0.symbolic
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn definitions(&self) -> &Definitions {
        &self.0.definitions
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.0.parameters
    }

    pub(super) fn function(&self, name: &str) -> Option<&Arc<UserFunction>> {
        self.0.functions.get(&*arm_expression::fold_name(name))
    }

    pub(super) fn resources(&self) -> &[Declaration] {
        &self.0.resources
    }

    pub(super) fn outputs(&self) -> &[Output] {
        &self.0.outputs
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("schema", &self.0.schema).finish_non_exhaustive()
    }
}

/// Reads the declarations below `key` by their names.
fn named<T>(
    node: &Node,
    key: &str,
    most: usize,
    read: fn(&arm_expression::Member) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let Some(members) = reading::members(node, key)? else { return Ok(Vec::new()) };
    check_names(members, most, key.trim_end_matches('s')).map_err(|error| error.within_key(key))?;
    let read =
        |member| read(member).map_err(|error| error.within_key(member.key.raw()).within_key(key));
    members.iter().map(read).collect()
}

fn check_variables(node: &Node) -> Result<(), Error> {
    let Some(members) = reading::members(node, "variables")? else { return Ok(()) };
    check_names(members, MOST_VARIABLES, "variable").map_err(|error| error.within_key("variables"))
}

/// Extensions other than Azure Resource Manager's own bring resources of other systems.
fn refuse_extensions(node: &Node) -> Result<(), Error> {
    for (key, name_key) in [("imports", "provider"), ("extensions", "name")] {
        for member in reading::members(node, key)?.map(Members::iter).into_iter().flatten() {
            let name = member.value.get(name_key).and_then(Node::as_literal);
            let name = name.unwrap_or_else(|| member.key.raw().clone());
            let own = ["az", "AzureResourceManager"];
            if !own.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
                let message = format!("The extension '{name}' is not supported");
                let error = Error::new(Kind::Unsupported, message, Some(member.position));
                return Err(error.within_key(member.key.raw()).within_key(key));
            }
        }
    }
    let asserts = reading::present(node, "asserts");
    match asserts.map(|asserts| (&asserts.content, asserts)) {
        Some((Content::Object(members), asserts)) if !members.is_empty() => {
            let message = "Asserts are not supported: they are an experiment of Azure";
            let error = Error::new(Kind::Unsupported, message, Some(asserts.position));
            Err(error.within_key("asserts"))
        }
        _ => Ok(()),
    }
}
