//! A deployment with all nested ones, evaluated as far as that is possible before anything is made.
//!
//! Evaluation is synchronous. What it would have to ask is recorded, found out afterwards, and the evaluation repeated.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
};

use arm::{ApiError, is};
use arm_template::{
    Answer, Answers, Facts, Fault, Limits, Link, LinkTarget, Linked, Nested, Parameters, Plan,
    Question, Rendered, Runtime, Surroundings, Template, Value,
};
use db::Resource;
use providers::template_specs::version;
use serde_json::json;

use crate::{ask, errors, facts, links::Links, manager::Requests, source::Source};

/// How often the tree is evaluated again because more is to be found out.
const ROUNDS: usize = 50;

/// Evaluates a plan that was made for a preview.
///
/// # Errors
/// `InvalidTemplate`; the errors of links.
pub(crate) async fn render(requests: &Requests, plan: &Plan) -> Result<Rendered, ApiError> {
    let mut known = Known { specs: specs(plan), ..Known::default() };
    for _ in 0..ROUNDS {
        let rendered = plan.render(&known);
        if !known.learn(requests).await? {
            return rendered.map_err(|error| errors::template(&error));
        }
    }
    Err(ApiError::internal("a template asks again and again"))
}

/// The ids, in lower case, of the template specs' versions that a plan makes.
fn specs(plan: &Plan) -> HashSet<String> {
    let mut specs = HashSet::new();
    for resource in plan.resources() {
        if is(&resource.resource_type, version::NAME) && resource.condition && !resource.existing {
            specs.insert(resource.id.to_lowercase());
        }
    }
    specs
}

/// What was found out, and what an evaluation asked in vain.
#[derive(Default)]
struct Known {
    answers: Answers,
    /// The versions of template specs that the deployment itself makes.
    specs: HashSet<String>,
    /// By id in lower case; `None` for a group that does not exist.
    groups: HashMap<String, Option<Resource>>,
    open_groups: RefCell<BTreeMap<String, String>>,
    linked: HashMap<String, Linked>,
    open_links: RefCell<BTreeMap<String, OpenLinks>>,
}

/// The links of a nested deployment, as a request would have them.
struct OpenLinks {
    base: Option<Source>,
    template: Option<serde_json::Value>,
    parameters: Option<serde_json::Value>,
}

impl Surroundings for Known {
    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        self.answers.ask(question)
    }

    fn facts(&self, facts: Facts) -> Facts {
        if facts.scope.resource_group().is_none() {
            return facts;
        }
        let id = facts.scope.to_string();
        match self.groups.get(&id.to_lowercase()) {
            Some(Some(group)) => facts::in_group(facts, group),
            Some(None) => facts,
            None => {
                self.open_groups.borrow_mut().insert(id.to_lowercase(), id);
                facts
            }
        }
    }

    fn linked(&self, nested: &Nested) -> Result<Option<Linked>, arm_template::Error> {
        let links = [&nested.template_link, &nested.parameters_link];
        if nested.template_link.as_ref().is_some_and(|link| self.makes(link)) {
            return Ok(None);
        }
        let base = base(nested);
        let key = format!("{links:?} {base:?}");
        if let Some(linked) = self.linked.get(&key) {
            return Ok(Some(linked.clone()));
        }
        let [template, parameters] = links.map(|link| link.as_ref().map(link_value));
        self.open_links.borrow_mut().insert(key, OpenLinks { base, template, parameters });
        Ok(None)
    }
}

impl Known {
    /// Whether the template of a link exists only when the deployment has made it.
    fn makes(&self, link: &Link) -> bool {
        matches!(&link.target, LinkTarget::Id(id) if self.specs.contains(&id.to_lowercase()))
    }

    /// Finds out what was asked. Returns whether there is anything new.
    async fn learn(&mut self, requests: &Requests) -> Result<bool, ApiError> {
        let mut is_new = false;
        for question in self.answers.open_questions() {
            let answer = match ask::answer(requests, &question).await? {
                Ok(Answer::Known(value)) => Answer::Known(value),
                // Something beside this template may make it before its turn.
                Ok(_) | Err(_) => Answer::Pending,
            };
            self.answers.insert(&question, Ok(answer));
            is_new = true;
        }
        for (key, id) in std::mem::take(self.open_groups.get_mut()) {
            let row = requests.app().store().resource(&db::ResourceKey::of(&id)).await?;
            let row = match row {
                Some(row) if requests.knows(&row.subscription).await? => Some(row),
                _ => None,
            };
            // Its place and tags are told to the template.
            if row.is_some() {
                requests.may_read(&id).await?;
            }
            self.groups.insert(key, row);
            is_new = true;
        }
        for (key, open) in std::mem::take(self.open_links.get_mut()) {
            let OpenLinks { base, template, parameters } = open;
            let mut links = Links::default();
            if let Some(link) = template {
                links.add_template(requests, &link, base.as_ref()).await?;
            }
            if let Some(link) = parameters {
                links.add_parameters(requests, &link, base.as_ref()).await?;
            }
            self.linked.insert(key, linked(&links)?);
            is_new = true;
        }
        Ok(is_new)
    }
}

/// The texts of links, read.
///
/// # Errors
/// `InvalidTemplate`
pub(crate) fn linked(links: &Links) -> Result<Linked, ApiError> {
    let limits = Limits::default();
    let wrong = |error: arm_template::Error| errors::template(&error);
    let template = links.template.as_deref().map(|text| Template::parse(text, &limits));
    let parameters = links.parameters.as_deref().map(|text| Parameters::parse(text, &limits));
    Ok(Linked {
        template: template.transpose().map_err(wrong)?,
        parameters: parameters.transpose().map_err(wrong)?,
        link: links.source.as_ref().map(|source| Value::from(&source.link())),
    })
}

/// Where relative paths of a nested deployment start.
pub(crate) fn base(nested: &Nested) -> Option<Source> {
    Source::of(&serde_json::Value::from(nested.link_around.as_ref()?))
}

/// A link as a request would have it.
pub(crate) fn link_value(link: &Link) -> serde_json::Value {
    let mut value = match &link.target {
        LinkTarget::Uri(uri) => json!({ "uri": &**uri }),
        LinkTarget::Id(id) => json!({ "id": &**id }),
        LinkTarget::RelativePath(path) => json!({ "relativePath": &**path }),
    };
    if let Some(query) = &link.query {
        value["queryString"] = json!(&**query);
    }
    value
}

/// A preview's body as JSON.
pub(crate) fn json_of(value: &Value) -> serde_json::Value {
    serde_json::Value::from(value)
}
