//! Nested and linked deployments.

use std::sync::Arc;

use super::{
    body::unprocessed,
    declarations::has_outer_scope,
    facts::Facts,
    given::{Given, Parameters, wrapped},
    id,
    plan::{Parts, Plan},
    read::Template,
    reading,
    resource::Resource,
    runtime::Runtime,
    scope::Scope,
    session::Session,
};
use arm_expression::{Content, Error, Kind, Node, Object, Place, Value, same_name};

/// A deployment that is a resource of another one, with its parameters evaluated.
#[derive(Debug, Clone)]
pub struct Nested {
    /// Its name.
    pub name: Arc<str>,
    /// Where it puts its resources.
    pub scope: Scope,
    /// Where it is kept itself; absent in a resource group.
    pub location: Option<Arc<str>>,
    /// Where its template is, if it is not in the template around it.
    pub template_link: Option<Link>,
    /// Where a file with its parameters is.
    pub parameters_link: Option<Link>,
    /// The [link](Facts::template_link) of the template around it, at which relative paths start.
    pub link_around: Option<Value>,
    /// Its parameters. Secrets of key vaults must be read, and their values set, before the plan is made.
    pub parameters: Parameters,
    template: Option<Node>,
    /// The plan around it, if its expressions see the names of that.
    outer: Option<Plan>,
    resource: Resource,
}

/// Where a template or a parameters file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is linked.
    pub target: LinkTarget,
    /// What is added to the URI as its query.
    pub query: Option<Arc<str>>,
    /// The `contentVersion` that the file must have.
    pub content_version: Option<Arc<str>>,
}

/// What a [`Link`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTarget {
    /// A URI.
    Uri(Arc<str>),
    /// The id of a template spec's version.
    Id(Arc<str>),
    /// A path relative to the link of the template around it.
    RelativePath(Arc<str>),
}

/// What the caller fetched for the links of a nested deployment.
#[derive(Debug, Clone, Default)]
pub struct Linked {
    /// The template of [`Nested::template_link`].
    pub template: Option<Template>,
    /// The parameters of [`Nested::parameters_link`].
    pub parameters: Option<Parameters>,
    /// What `deployment()` in the linked template gives as its `templateLink`.
    pub link: Option<Value>,
}

impl Plan {
    /// The deployment that a resource of this plan is.
    ///
    /// # Errors
    ///
    /// [`Kind::Pending`] if the runtime does not know enough yet; [`Kind::Template`] if it is not a deployment, or not
    /// a valid one.
    pub fn nested(&self, resource: &Resource, runtime: &dyn Runtime) -> Result<Nested, Error> {
        self.read_nested(resource, runtime, false)
    }

    /// The same in a preview: parameters that are not known yet are [`Given::Unknown`].
    ///
    /// # Errors
    ///
    /// As [`nested`](Self::nested), but pending only if the template itself is.
    pub fn nested_preview(
        &self,
        resource: &Resource,
        runtime: &dyn Runtime,
    ) -> Result<Nested, Error> {
        self.read_nested(resource, runtime, true)
    }

    fn read_nested(
        &self,
        resource: &Resource,
        runtime: &dyn Runtime,
        preview: bool,
    ) -> Result<Nested, Error> {
        let nested = self.0.with_session(Place::Resource, runtime, Some(resource), |session| {
            let reader = Reader { session, resource, preview };
            reader.read(self).map_err(|error| error.within_key("properties"))
        });
        nested.map_err(|error| unprocessed(resource, error))
    }
}

impl Nested {
    /// The plan of the nested deployment. `facts` are those of the deployment around it
    /// [for this one](Facts::nested).
    ///
    /// # Errors
    ///
    /// As [`Template::plan`]. Paths begin at the template around it, unless the template is linked.
    pub fn plan(&self, facts: Facts, linked: Linked) -> Result<Plan, Error> {
        let template = match (&self.template, linked.template) {
            (Some(node), _) => Template::from_node(node).map_err(|error| self.within(error))?,
            (None, Some(template)) => {
                let template_link = linked.link.or(facts.template_link);
                let facts = Facts { template_link, ..facts };
                return self.plan_linked(&template, linked.parameters, facts);
            }
            (None, None) => {
                let message = "The template of the nested deployment was not fetched";
                return Err(unprocessed(&self.resource, Error::new(Kind::Template, message, None)));
            }
        };
        match &self.outer {
            None => {
                let parameters = linked.parameters.as_ref().unwrap_or(&self.parameters);
                template.plan(parameters, facts).map_err(|error| self.within(error))
            }
            Some(outer) => {
                let iterations = self.resource.source.iterations.clone();
                let around = Some(outer.0.graph.clone());
                let parts = Parts::new(outer.0.names.clone(), template, facts, iterations, around);
                parts.map(|parts| Plan(Arc::new(parts))).map_err(|error| self.within(error))
            }
        }
    }

    /// A linked template always has an inner scope. Its errors have the places of its own text.
    fn plan_linked(
        &self,
        template: &Template,
        parameters: Option<Parameters>,
        facts: Facts,
    ) -> Result<Plan, Error> {
        template.plan(parameters.as_ref().unwrap_or(&self.parameters), facts)
    }

    /// The template, if it is in the template around it.
    pub fn inline_template(&self) -> Option<Value> {
        self.template.as_ref().map(Node::to_value)
    }

    /// Whether the expressions of the template see the names of the deployment around it.
    pub fn is_outer(&self) -> bool {
        self.outer.is_some()
    }

    /// What has no place in the text of the nested template, such as a parameter that it does not declare, is reported
    /// at the deployment.
    fn within(&self, mut error: Error) -> Error {
        error.position = error.position.or(Some(self.resource.position));
        error.within(&format!("{}.properties.template", self.resource.path))
    }
}

struct Reader<'a> {
    session: &'a Session<'a>,
    resource: &'a Resource,
    preview: bool,
}

impl Reader<'_> {
    fn read(&self, plan: &Plan) -> Result<Nested, Error> {
        let source = &self.resource.source.node;
        if !self.resource.is_deployment() {
            return Err(reading::wrong(source, "The resource is not a deployment"));
        }
        let properties = reading::required(source, "properties")?;
        if properties.as_object().is_none() {
            let message =
                "The properties of a nested deployment must be an object, not an expression";
            return Err(Error::new(Kind::Unsupported, message, Some(properties.position)));
        }
        self.check_mode(properties)?;
        self.check_evaluation(properties)?;
        let template = self.template(properties)?;
        let template_link = self.link(properties, "templateLink")?;
        if template.is_some() == template_link.is_some() {
            let message = "A nested deployment must have either 'template' or 'templateLink'";
            return Err(reading::wrong(properties, message));
        }
        let symbolic = self.session.names.template.is_symbolic();
        let outer = has_outer_scope(properties, symbolic);
        Ok(Nested {
            name: self.resource.name.clone(),
            scope: self.scope()?,
            location: self.location(source)?,
            parameters_link: self.link(properties, "parametersLink")?,
            link_around: plan.facts().template_link.clone(),
            parameters: self.parameters(properties)?,
            template_link,
            template,
            outer: outer.then(|| plan.clone()),
            resource: self.resource.clone(),
        })
    }

    fn evaluated(&self, node: &Node) -> Result<Value, Error> {
        Ok(self.session.node(node, &self.resource.source.iterations)?.value)
    }

    fn check_mode(&self, properties: &Node) -> Result<(), Error> {
        let Some(node) = reading::present(properties, "mode") else { return Ok(()) };
        let mode = self.evaluated(node).map_err(|error| error.within_key("mode"))?;
        if mode.as_str().is_some_and(|mode| same_name(mode, "Incremental")) {
            return Ok(());
        }
        let message = "The mode of a nested deployment must be 'Incremental'";
        Err(reading::wrong(node, message).within_key("mode"))
    }

    fn check_evaluation(&self, properties: &Node) -> Result<(), Error> {
        let key = "expressionEvaluationOptions";
        let Some(options) = reading::present(properties, key) else { return Ok(()) };
        let Some(node) = reading::present(options, "scope") else { return Ok(()) };
        let scope = node.as_literal().unwrap_or_default();
        let known = ["inner", "outer", "notSpecified"].iter().any(|known| same_name(known, &scope));
        let symbolic = self.session.names.template.is_symbolic();
        let message = match (known, symbolic && same_name(&scope, "outer")) {
            (true, false) => return Ok(()),
            (true, true) => {
                "A template with 'languageVersion' 2.0 must not have nested deployments with an outer scope"
            }
            (false, _) => "The scope of expressions must be 'inner' or 'outer'",
        };
        Err(reading::wrong(node, message).within_key("scope").within_key(key))
    }

    /// The template is not evaluated, unless it is an expression as a whole.
    fn template(&self, properties: &Node) -> Result<Option<Node>, Error> {
        let Some(node) = reading::present(properties, "template") else { return Ok(None) };
        match &node.content {
            Content::Text(text) if text.is_expression() => {
                let value = self.evaluated(node).map_err(|error| error.within_key("template"))?;
                Ok(Some(Node::from_value(&value, node.position)))
            }
            _ => Ok(Some(node.clone())),
        }
    }

    fn link(&self, properties: &Node, key: &str) -> Result<Option<Link>, Error> {
        let Some(node) = reading::present(properties, key) else { return Ok(None) };
        let value = self.evaluated(node).map_err(|error| error.within_key(key))?;
        let none = Object::new();
        let object = value.as_object().unwrap_or(&none);
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(Arc::from);
        let targets = [
            text("uri").map(LinkTarget::Uri),
            text("id").map(LinkTarget::Id),
            text("relativePath").map(LinkTarget::RelativePath),
        ];
        let mut targets = targets.into_iter().flatten();
        let (Some(target), None) = (targets.next(), targets.next()) else {
            let message = format!("'{key}' must have one of 'uri', 'id' and 'relativePath'");
            return Err(reading::wrong(node, message).within_key(key));
        };
        Ok(Some(Link {
            target,
            query: text("queryString"),
            content_version: text("contentVersion"),
        }))
    }

    /// The scope in which the deployment is kept is where it deploys.
    fn scope(&self) -> Result<Scope, Error> {
        let (scope, _) = id::split(&self.resource.id);
        Scope::parse(scope).ok_or_else(|| {
            let message = format!("A deployment can't have the scope '{scope}'");
            reading::wrong(&self.resource.source.node, message)
        })
    }

    fn location(&self, source: &Node) -> Result<Option<Arc<str>>, Error> {
        let Some(node) = reading::present(source, "location") else { return Ok(None) };
        match self.evaluated(node) {
            Ok(Value::String(location)) => Ok(Some(location)),
            Ok(_) => Ok(None),
            Err(error) if self.preview && error.kind == Kind::Pending => Ok(None),
            Err(error) => Err(error.within_key("location")),
        }
    }

    fn parameters(&self, properties: &Node) -> Result<Parameters, Error> {
        let mut parameters = Parameters::new();
        let Some(node) = reading::present(properties, "parameters") else { return Ok(parameters) };
        let fail = |error: Error| error.within_key("parameters");
        let Content::Object(members) = &node.content else {
            let all = self.evaluated(node).map_err(fail)?;
            let Value::Object(all) = &all else {
                return Err(fail(reading::wrong_type(node, "parameters", "Object")));
            };
            for (name, value) in all.iter() {
                let given = wrapped(value, name);
                let given = given.map_err(|message| fail(reading::wrong(node, message)))?;
                parameters.set(name.clone(), given);
            }
            return Ok(parameters);
        };
        for member in members {
            let name = member.key.raw();
            let given = self.given(&member.value, name);
            let given = given.map_err(|error| fail(error.within_key(name)))?;
            parameters.set(name.clone(), given);
        }
        Ok(parameters)
    }

    fn given(&self, node: &Node, name: &str) -> Result<Given, Error> {
        match self.evaluated(node) {
            Ok(value) => {
                let given = wrapped(&value, name);
                given.map_err(|message| Error::new(Kind::Parameter, message, Some(node.position)))
            }
            Err(error) if self.preview && error.kind == Kind::Pending => Ok(Given::Unknown),
            Err(error) => Err(error),
        }
    }
}
