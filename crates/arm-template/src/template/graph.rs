//! The resources of a plan, found by all their names.

use std::{collections::HashMap, sync::Arc};

use super::{id, resource::Resource};
use arm_expression::{Fault, Kind, fold_name};

/// Resources, and the names under which a template may speak of them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) resources: Vec<Resource>,
    /// The resources of the deployment around this one, if expressions see its names.
    pub(super) outer: Option<Arc<Graph>>,
    /// The scope of the deployment, for ids without one.
    scope: String,
    by_id: Index,
    /// By symbolic name; all of a loop.
    by_symbol: Index,
    by_loop: Index,
    /// By name, and by type and name.
    by_name: Index,
    /// The names of loops, also of those without iterations.
    loops: HashMap<String, bool>,
}

/// Places of resources by a folded name.
type Index = HashMap<String, Vec<usize>>;

impl Graph {
    pub(super) fn new(resources: Vec<Resource>, loops: &[Arc<str>], scope: String) -> Self {
        let mut graph = Self { scope, ..Self::default() };
        for name in loops {
            graph.loops.insert(fold_name(name).into_owned(), true);
        }
        for (at, resource) in resources.iter().enumerate() {
            for id in id::spellings(resource) {
                add(&mut graph.by_id, &id, at);
            }
            add(&mut graph.by_name, &resource.name, at);
            add(&mut graph.by_name, &format!("{}/{}", resource.resource_type, resource.name), at);
            if let Some(symbol) = &resource.symbol {
                add(&mut graph.by_symbol, symbol, at);
            }
            if let Some(copy) = &resource.copy {
                add(&mut graph.by_loop, &copy.name, at);
            }
        }
        graph.resources = resources;
        graph
    }

    /// The resources that a text names: a symbol, a symbol with an index, a loop, an id, `type/name`, or a name.
    ///
    /// # Errors
    ///
    /// A name of several resources that are not a loop.
    pub(super) fn find(&self, text: &str) -> Result<Vec<usize>, Fault> {
        let folded = fold_name(text.trim_end_matches('/'));
        let exact = [&self.by_id, &self.by_symbol, &self.by_loop];
        if let Some(found) = exact.iter().find_map(|index| index.get(&*folded)) {
            return Ok(found.clone());
        }
        if let Some(found) = self.element(text) {
            return Ok(vec![found]);
        }
        if text.starts_with('/') {
            return Ok(Vec::new());
        }
        let relative = id::relative(&self.scope, text);
        if let Some(found) = relative.and_then(|id| self.by_id.get(&*fold_name(&id))) {
            return Ok(found.clone());
        }
        match self.by_name.get(&*folded).map(Vec::as_slice) {
            None => Ok(Vec::new()),
            Some([one]) => Ok(vec![*one]),
            Some([..]) => {
                let message = format!(
                    "The name '{text}' is ambiguous: the template has more than one resource of this name; use a resource id"
                );
                Err(Fault::of(Kind::Template, message))
            }
        }
    }

    /// The resource that `symbol[index]` names.
    fn element(&self, text: &str) -> Option<usize> {
        let (name, index) = text.strip_suffix(']')?.rsplit_once('[')?;
        let index: usize = index.parse().ok()?;
        let resources = self.loop_of(name)?;
        let has_index = |at: &&usize| {
            self.resources[**at].copy.as_ref().is_some_and(|copy| copy.index == index)
        };
        resources.iter().find(has_index).copied()
    }

    /// The resources of a loop, by its symbol or its name, in order.
    pub(super) fn loop_of(&self, name: &str) -> Option<&[usize]> {
        let folded = fold_name(name);
        let found = self.by_symbol.get(&*folded).or_else(|| self.by_loop.get(&*folded));
        match found {
            Some(found) => {
                let of_loop = found.iter().all(|at| self.resources[*at].copy.is_some());
                of_loop.then_some(found)
            }
            None => self.is_loop(&folded).then_some(&[]),
        }
    }

    /// Whether a text names a loop, which may have no iterations.
    pub(super) fn is_loop(&self, name: &str) -> bool {
        self.loops.contains_key(&*fold_name(name))
    }

    pub(super) fn with_id(&self, id: &str) -> Option<&[usize]> {
        self.by_id.get(&*fold_name(id)).map(Vec::as_slice)
    }
}

fn add(index: &mut Index, name: &str, at: usize) {
    index.entry(fold_name(name).into_owned()).or_default().push(at);
}
