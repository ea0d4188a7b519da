//! What a request asks for.

use std::borrow::Cow;

use crate::Scope;

/// What somebody wants to do, by the name of the action: `{Provider}/{type}/{read|write|delete|verb/action}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// An action on resources.
    Action(Cow<'static, str>),
    /// An action on the data inside a resource, such as a blob.
    Data(Cow<'static, str>),
}

/// What an action does to its resource, as far as locks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// It creates or changes.
    Write,
    /// It removes.
    Delete,
    /// A verb, such as `run/action`.
    Act,
}

impl Effect {
    /// The word in messages: `read`, `write`, `delete`, `action`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Act => "action",
        }
    }
}

impl Wanted {
    /// An action on resources.
    pub const fn action(name: &'static str) -> Self {
        Self::Action(Cow::Borrowed(name))
    }

    /// An action on data.
    pub const fn data(name: &'static str) -> Self {
        Self::Data(Cow::Borrowed(name))
    }

    /// The name, in its own spelling.
    pub fn name(&self) -> &str {
        match self {
            Self::Action(name) | Self::Data(name) => name,
        }
    }

    /// The effect by the last segment of the name; every other word than `read`, `write` and `delete` is [`Effect::Act`].
    pub fn effect(&self) -> Effect {
        let name = self.name();
        let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
        let is = |word: &str| last.eq_ignore_ascii_case(word);
        if is("read") {
            Effect::Read
        } else if is("write") {
            Effect::Write
        } else if is("delete") {
            Effect::Delete
        } else {
            Effect::Act
        }
    }
}

/// Something wanted at a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Need {
    /// The action.
    pub wanted: Wanted,
    /// Where.
    pub scope: Scope,
}

impl Need {
    /// Something wanted at a scope.
    pub fn new(wanted: Wanted, scope: Scope) -> Self {
        Self { wanted, scope }
    }
}

/// What the target of a request demands of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Nothing but a valid token.
    SignedIn,
    /// Some role at the scope, above it or below it, whatever it permits.
    Touches(Scope),
    /// The same; and the answer shows only what the caller may read by the need ([`Rights::visible`](crate::Rights::visible)).
    List(Need),
    /// All of these.
    All(Vec<Need>),
}
