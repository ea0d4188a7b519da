//! Walks over the rows that a caller may read, without the others if they may read few.

use std::collections::VecDeque;

use authorization::{Scope, Visible};
use db::{Resource, ResourceKey, Select, Store};

use crate::{Readable, group};

/// The size of a read.
const ROWS: u32 = 100;

/// From this number of scopes on, one walk over everything is cheaper.
const SCOPES: usize = 100;

/// The rows of a selection, from a position on, in an order that does not change between pages. It leaves out what is
/// certainly not readable; for the rest, ask [`Readable`].
#[derive(Debug)]
pub(crate) struct Walk {
    select: Select,
    parts: VecDeque<Part>,
}

#[derive(Debug)]
enum Part {
    /// One resource.
    One(ResourceKey),
    /// What is selected, or what of it is below a resource.
    Below(Option<ResourceKey>, Option<String>),
}

impl Walk {
    /// The rows after a key.
    pub(crate) fn new(select: Select, readable: &mut Readable, after: Option<String>) -> Self {
        let visible = match &select.kind {
            Some(kind) => readable.of_kind(kind).clone(),
            None => readable.of_any_kind(),
        };
        let parts = match visible {
            Visible::None => VecDeque::new(),
            Visible::Only(scopes) if scopes.len() < SCOPES => parts(&scopes, after),
            Visible::All | Visible::Only(_) => [Part::Below(select.below.clone(), after)].into(),
        };
        Self { select, parts }
    }

    /// Some of the next rows, maybe none; `None` at the end.
    pub(crate) async fn next(&mut self, store: &Store) -> Result<Option<Vec<Resource>>, db::Error> {
        match self.parts.pop_front() {
            None => Ok(None),
            Some(Part::One(key)) => {
                let row = store.resource(&key).await?;
                Ok(Some(row.into_iter().filter(|row| self.selects(row)).collect()))
            }
            Some(Part::Below(below, after)) => {
                let select =
                    Select { below: below.clone(), after, limit: ROWS, ..self.select.clone() };
                let page = store.list(&select).await?;
                if page.next.is_some() {
                    self.parts.push_front(Part::Below(below, page.next));
                }
                Ok(Some(page.resources))
            }
        }
    }

    /// Whether the selection has a row that was not found by it.
    fn selects(&self, row: &Resource) -> bool {
        let Select { subscription, group, kind, below, .. } = &self.select;
        let kind_fits = match kind {
            Some(kind) => row.kind.eq_ignore_ascii_case(kind),
            None => row.kind != group::KIND,
        };
        let is_below = |key: &ResourceKey| {
            row.key() != *key && Scope::parse(key.as_str()).contains(&Scope::parse(&row.id))
        };
        kind_fits
            && row.subscription.eq_ignore_ascii_case(subscription)
            && group.as_ref().is_none_or(|group| row.group.eq_ignore_ascii_case(group))
            && below.as_ref().is_none_or(is_below)
    }
}

/// Scope by scope, each with what is below it. None is below another.
fn parts(scopes: &[Scope], after: Option<String>) -> VecDeque<Part> {
    let position = after.as_deref().map(Scope::parse);
    let mut parts = VecDeque::new();
    for scope in scopes {
        let key = ResourceKey::of(scope.as_str());
        match &position {
            Some(position) if scope == position => parts.push_back(Part::Below(Some(key), None)),
            Some(position) if scope.contains(position) => {
                parts.push_back(Part::Below(Some(key), after.clone()));
            }
            Some(position) if scope < position => {}
            Some(_) | None => {
                parts.push_back(Part::One(key.clone()));
                parts.push_back(Part::Below(Some(key), None));
            }
        }
    }
    parts
}
