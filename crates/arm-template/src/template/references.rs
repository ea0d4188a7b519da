//! Dependencies that nobody states: the resources whose state the expressions of a resource read.

use std::collections::BTreeSet;

use super::{declarations::has_outer_scope, graph::Graph, resource::Resource, session::Session};
use arm_expression::{Call, Content, Error, Evaluator, Kind, Node, Text, Value, same_name};

/// Members whose expressions are evaluated before anything is deployed, or belong to other resources.
const OTHERS: &[&str] = &["condition", "copy", "dependsOn", "name", "resources"];

/// The resources that `resource` reads, whether or not a condition inside its expressions excludes that. `own` is its
/// place.
///
/// # Errors
///
/// [`Kind::Limit`] only: everything else that is wrong is found when the expressions are evaluated.
pub(super) fn find(
    graph: &Graph,
    session: &Session<'_>,
    resource: &Resource,
    own: usize,
) -> Result<BTreeSet<usize>, Error> {
    let evaluator = session.evaluator(&resource.source.iterations);
    let mut search = Search { graph, evaluator, session, own, found: BTreeSet::new() };
    let Content::Object(members) = &resource.source.node.content else { return Ok(search.found) };
    for member in members {
        let key = member.key.raw();
        if OTHERS.iter().any(|other| same_name(other, key)) {
            continue;
        }
        if same_name(key, "properties") && resource.is_deployment() {
            search.deployment(&member.value)?;
        } else {
            search.node(&member.value)?;
        }
    }
    Ok(search.found)
}

struct Search<'a> {
    graph: &'a Graph,
    evaluator: Evaluator<'a>,
    session: &'a Session<'a>,
    own: usize,
    found: BTreeSet<usize>,
}

impl Search<'_> {
    /// The template of a nested deployment with an inner scope speaks of its own resources.
    fn deployment(&mut self, properties: &Node) -> Result<(), Error> {
        let outer = has_outer_scope(properties, self.session.names.template.is_symbolic());
        let Content::Object(members) = &properties.content else { return self.node(properties) };
        let searched = members.iter();
        let searched = searched.filter(|m| outer || !same_name(m.key.raw(), "template"));
        searched.map(|member| &member.value).try_for_each(|value| self.node(value))
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        match &node.content {
            Content::Text(text) => self.text(text, node),
            Content::Array(items) => items.iter().try_for_each(|item| self.node(item)),
            Content::Object(members) => members.iter().try_for_each(|member| {
                self.text(&member.key, &member.value)?;
                self.node(&member.value)
            }),
            Content::Null | Content::Bool(_) | Content::Int(_) | Content::Float(_) => Ok(()),
        }
    }

    fn text(&mut self, text: &Text, node: &Node) -> Result<(), Error> {
        let Some(Ok(expression)) = text.expression(&self.session.names.facts.limits) else {
            return Ok(());
        };
        expression.calls().into_iter().try_for_each(|call| self.call(call, node))
    }

    fn call(&mut self, call: &Call, node: &Node) -> Result<(), Error> {
        let info = same_name(call.name(), "resourceInfo");
        if !info && !call.reads_resources() {
            return Ok(());
        }
        let Some(argument) = self.evaluator.first_argument(call) else { return Ok(()) };
        let named = match argument {
            Ok(Value::String(named)) => named,
            Err(fault) if fault.kind() == Kind::Limit => {
                return Err(fault.at(Some(node.position)));
            }
            // What depends on a lambda's variable or on another reference names nothing here.
            Ok(_) | Err(_) => return Ok(()),
        };
        let found = self.graph.find(&named).unwrap_or_default();
        self.found.extend(found.into_iter().filter(|at| !(info && *at == self.own)));
        Ok(())
    }
}
