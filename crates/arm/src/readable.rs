//! Which rows a caller may read.

use authorization::{Need, Rights, Scope, Visible, Wanted};
use db::{Operation, Resource, ResourceKey, Store};

use crate::{ApiError, Call, Context, Request, group, is, operation};

/// What a caller may read of a part of the hierarchy. Decides once for each kind, so that a long list costs little.
#[derive(Debug)]
pub struct Readable<'a> {
    rights: &'a Rights,
    below: Scope,
    kinds: Vec<(String, Visible)>,
}

impl<'a> Readable<'a> {
    /// What the caller may read at and below a scope, such as `/subscriptions/{id}`.
    pub fn by(call: &'a Call, below: &str) -> Self {
        Self { rights: call.rights(), below: Scope::parse(below), kinds: Vec::new() }
    }

    /// What is visible of a kind.
    pub fn of_kind(&mut self, kind: &str) -> &Visible {
        let at = self.kinds.iter().position(|(known, _)| known == kind);
        let at = at.unwrap_or_else(|| {
            let visible = self.rights.visible(&read_of(kind), &self.below);
            self.kinds.push((kind.to_owned(), visible));
            self.kinds.len() - 1
        });
        &self.kinds[at].1
    }

    /// Where the caller may do anything at all.
    pub fn of_any_kind(&self) -> Visible {
        self.rights.granted(&self.below)
    }

    /// Whether the caller may read a row.
    pub fn has(&mut self, row: &Resource) -> bool {
        self.has_key(&row.kind, &row.key())
    }

    /// Whether the caller may read something of a kind.
    pub fn has_key(&mut self, kind: &str, key: &ResourceKey) -> bool {
        match self.of_kind(kind) {
            Visible::All => true,
            Visible::None => false,
            only @ Visible::Only(_) => only.has(&Scope::parse(key.as_str())),
        }
    }
}

/// The action that reads a kind of row: `{kind}/read`, but the name of groups in roles is not that of their rows.
pub fn read_of(kind: &str) -> Wanted {
    if kind.eq_ignore_ascii_case(group::KIND) {
        return Wanted::action("Microsoft.Resources/subscriptions/resourceGroups/read");
    }
    Wanted::Action(format!("{kind}/read").into())
}

/// Whether the caller may read what an operation or a run is about.
pub fn may_read(call: &Call, kind: &str, key: &ResourceKey) -> bool {
    let need = Need { wanted: read_of(kind), scope: Scope::parse(key.as_str()) };
    call.rights().check(&need).is_ok()
}

/// An operation of the subscription, if the caller may read what it is about, or began it. Others are as unknown as those
/// that never were.
///
/// # Errors
/// `OperationNotFound`
pub async fn readable_operation(
    context: &Context,
    call: &Call,
    id: &str,
) -> Result<Operation, ApiError> {
    let row = context.store().operation(&id.to_lowercase()).await?;
    let is_shown = |row: &Operation| {
        row.subscription.eq_ignore_ascii_case(context.subscription())
            && (began(call, row) || may_read(call, &kind_of(&row.target), &row.target))
    };
    row.filter(is_shown).ok_or_else(|| operation::not_found(id))
}

/// Whether the caller began an operation of the subscription in the path. The removal of a group also removes the roles at
/// it, so this must not depend on them.
///
/// # Errors
/// The database fails.
pub async fn is_own_operation(
    store: &Store,
    request: &Request,
    id: &str,
) -> Result<bool, ApiError> {
    let row = store.operation(&id.to_lowercase()).await?;
    let subscription = request.path.scope.subscription().unwrap_or_default();
    Ok(row.is_some_and(|row| {
        row.subscription.eq_ignore_ascii_case(subscription) && began(request, &row)
    }))
}

fn began(request: &Request, row: &Operation) -> bool {
    let own = row.origin.as_ref().and_then(|origin| origin["objectId"].as_str());
    own.is_some_and(|own| is(own, &request.caller.object_id))
}

/// The kind of what a key names: `microsoft.compute/galleries/images`.
pub fn kind_of(key: &ResourceKey) -> String {
    let text = key.as_str();
    match text.rsplit_once("/providers/") {
        Some((_, rest)) => {
            let mut parts = rest.split('/');
            let namespace = parts.next().unwrap_or_default();
            let types: Vec<&str> = parts.step_by(2).collect();
            format!("{namespace}/{}", types.join("/"))
        }
        None => group::KIND.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_of_a_key_has_no_names() {
        let of = |text: &str| kind_of(&ResourceKey::of(text));
        assert_eq!(of("/subscriptions/s/resourceGroups/g"), group::KIND);
        assert_eq!(
            of(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b"
            ),
            "microsoft.compute/galleries/images"
        );
        assert_eq!(
            read_of(group::KIND).name(),
            "Microsoft.Resources/subscriptions/resourceGroups/read"
        );
    }
}
