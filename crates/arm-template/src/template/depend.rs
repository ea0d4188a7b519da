//! What resources wait for: `dependsOn`, references, serial loops.

use std::collections::BTreeSet;

use super::{
    graph::Graph,
    reading, references,
    resource::{CopyPlace, Resource, Undetermined},
    session::{Session, explained},
};
use arm_expression::{Error, Kind, Value};

/// Finds the dependencies of all resources.
///
/// An entry of `dependsOn` that names nothing may name a declaration that is undetermined, if there is one.
pub(super) fn connect(
    graph: &mut Graph,
    session: &Session<'_>,
    undetermined: &[Undetermined],
) -> Result<(), Error> {
    let tolerant = !undetermined.is_empty();
    let dependencies = graph.resources.iter().enumerate().map(|(at, resource)| {
        let fail = |error: Error| {
            let place = resource.position;
            let what = format!("The template resource '{}' at {place} is not valid", resource.name);
            explained(error.within(&resource.path), &what)
        };
        let mut found = explicit(graph, session, resource, tolerant).map_err(fail)?;
        found.extend(references::find(graph, session, resource, at).map_err(fail)?);
        Ok(found)
    });
    let dependencies: Vec<BTreeSet<usize>> = dependencies.collect::<Result<_, Error>>()?;
    for (at, found) in dependencies.into_iter().enumerate() {
        let deployed = found.iter().copied().filter(|other| graph.resources[*other].condition);
        graph.resources[at].after = deployed.collect();
        graph.resources[at].depends_on = found.into_iter().collect();
    }
    batches(&mut graph.resources);
    Ok(())
}

fn explicit(
    graph: &Graph,
    session: &Session<'_>,
    resource: &Resource,
    tolerant: bool,
) -> Result<BTreeSet<usize>, Error> {
    let source = &resource.source;
    let mut found = BTreeSet::new();
    let Some(node) = reading::present(&source.node, "dependsOn") else { return Ok(found) };
    let value = match session.node(node, &source.iterations) {
        Ok(value) => value.value,
        Err(error) if session.names.facts.preview && error.kind == Kind::Pending => {
            return Ok(found);
        }
        Err(error) => return Err(error.within_key("dependsOn")),
    };
    let Value::Array(entries) = value else {
        return Err(reading::wrong_type(node, "dependsOn", "Array").within_key("dependsOn"));
    };
    for (index, entry) in entries.iter().enumerate() {
        let position = node.as_array().and_then(|items| items.get(index)).unwrap_or(node).position;
        let fail = |kind, message: String| {
            Err(Error::new(kind, message, Some(position))
                .within_index(index)
                .within_key("dependsOn"))
        };
        let Some(text) = entry.as_str() else {
            return fail(
                Kind::Template,
                format!(
                    "An entry of 'dependsOn' must be a string, it is of type '{}'",
                    entry.type_name()
                ),
            );
        };
        match graph.find(text) {
            Ok(resources) if resources.is_empty() && !tolerant && !graph.is_loop(text) => {
                return fail(
                    Kind::Template,
                    format!("The resource '{}' is not defined in the template", shown(text)),
                );
            }
            Ok(resources) => found.extend(resources),
            Err(fault) => return fail(fault.kind(), fault.message().to_owned()),
        }
    }
    Ok(found)
}

/// An id without its scope, as Azure's message has it.
fn shown(entry: &str) -> &str {
    if entry.starts_with('/') { super::id::split(entry).1 } else { entry }
}

/// In a serial loop, a batch waits for the batch before it.
fn batches(resources: &mut [Resource]) {
    for at in 0..resources.len() {
        let Some(CopyPlace { name, index, batch_size: Some(size) }) = resources[at].copy.clone()
        else {
            continue;
        };
        let path = resources[at].path.clone();
        let batch = index / size;
        let earlier = resources[..at].iter().enumerate().filter_map(|(other, resource)| {
            let copy = resource.copy.as_ref().filter(|copy| copy.name == name)?;
            let before = resource.condition && resource.path == path && copy.index / size < batch;
            before.then_some((copy.index / size, other))
        });
        let earlier: Vec<(usize, usize)> = earlier.collect();
        let last = earlier.iter().map(|(batch, _)| *batch).max();
        let waits =
            earlier.into_iter().filter(|(batch, _)| Some(*batch) == last).map(|(_, other)| other);
        let mut after: BTreeSet<usize> = resources[at].after.iter().copied().collect();
        after.extend(waits);
        resources[at].after = after.into_iter().collect();
    }
}

/// An order in which every resource comes after what it waits for and depends on.
///
/// # Errors
///
/// A circle, with the resources on it.
pub(super) fn order(resources: &[Resource]) -> Result<Vec<usize>, Error> {
    let mut order = Vec::with_capacity(resources.len());
    let mut marks = vec![Mark::New; resources.len()];
    for start in 0..resources.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // Each entry: a resource that is being visited, and how many of its dependencies were.
        let mut path = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((at, next)) = path.last_mut() {
            let (at, number) = (*at, *next);
            *next += 1;
            let resource = &resources[at];
            let dependency = resource.depends_on.iter().chain(&resource.after).nth(number).copied();
            match dependency.map(|other| (other, marks[other])) {
                None => {
                    marks[at] = Mark::Done;
                    order.push(at);
                    path.pop();
                }
                Some((_, Mark::Done)) => {}
                Some((other, Mark::New)) => {
                    marks[other] = Mark::Open;
                    path.push((other, 0));
                }
                Some((other, Mark::Open)) => return Err(circle(resources, &path, other)),
            }
        }
    }
    Ok(order)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

fn circle(resources: &[Resource], path: &[(usize, usize)], first: usize) -> Error {
    let from = path.iter().position(|(at, _)| *at == first).unwrap_or_default();
    let mut ids: Vec<&str> = path[from..].iter().map(|(at, _)| &*resources[*at].id).collect();
    ids.push(&resources[first].id);
    let resource = &resources[first];
    let message = format!(
        "Circular dependency detected on resource: '{}'. The path is: '{}'",
        resource.id,
        ids.join(" -> ")
    );
    Error::new(Kind::Template, message, Some(resource.position)).within(&resource.path)
}

/// Refuses two resources with one id that are both deployed.
pub(super) fn refuse_doubles(graph: &Graph) -> Result<(), Error> {
    for resource in
        graph.resources.iter().filter(|resource| resource.condition && !resource.existing)
    {
        let all = graph.with_id(&resource.id).unwrap_or_default();
        let written =
            |at: &&usize| graph.resources[**at].condition && !graph.resources[**at].existing;
        if all.iter().filter(written).count() > 1 {
            let message = format!(
                "The resource '{}' at {} is defined multiple times in a template",
                super::id::split(&resource.id).1,
                resource.position
            );
            return Err(
                Error::new(Kind::Template, message, Some(resource.position)).within(&resource.path)
            );
        }
    }
    Ok(())
}
