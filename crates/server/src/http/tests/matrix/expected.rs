//! What Azure answers, by what a request asks for and who asks: the rules of "Azure role-based access control" and of
//! "Lock your resources", not those of the code.

use super::callers::Caller;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asks {
    /// Nothing: no login is needed.
    Nothing,
    /// Something that every principal of the tenant may know.
    Token,
    /// Something of the directory: a principal that has some role, wherever.
    Directory,
    /// To change the directory: Owner or User Access Administrator of everything.
    ChangeDirectory,
    /// Something that says nothing about what is in the subscription, but that it exists.
    Role,
    /// The subscription itself: without a role there, it does not exist.
    Subscription,
    /// A list, of which everybody sees their own part.
    List,
    Read,
    Write,
    Delete,
    Act,
    /// To change roles: Contributors may not.
    Assign,
    /// To take roles away.
    Unassign,
    /// To set and remove locks: neither Contributors nor locks stop, or are stopped.
    Lock,
    /// What is found by an id, and is unknown to those who may not read what it is about.
    Hidden,
    /// Containers of a storage account.
    Containers,
    /// What is in them.
    Data,
    /// Something in a subscription that does not exist.
    Unknown,
    /// The subscription that does not exist.
    UnknownSubscription,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Level {
    Tenant,
    Subscription,
    Group,
}

/// A right that a role has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Read,
    /// Write, delete and act.
    Change,
    /// Roles and locks.
    Manage,
    Containers,
    Data,
}

/// The status; `permitted` is that of a caller who may.
pub(super) fn status(asks: Asks, level: Level, caller: Caller, permitted: u16) -> u16 {
    if asks == Asks::Nothing {
        return permitted;
    }
    if matches!(
        caller,
        Caller::NoToken | Caller::Expired | Caller::WrongAudience | Caller::WrongTenant
    ) {
        return 401;
    }
    let if_it = |may: bool, refused: u16| if may { permitted } else { refused };
    let may = |power: Power| has(caller, power, level);
    match asks {
        Asks::Nothing | Asks::Token => permitted,
        Asks::Directory => if_it(caller != Caller::Identity, 403),
        Asks::ChangeDirectory => if_it(caller == Caller::Administrator, 403),
        Asks::Role => if_it(touches(caller, Level::Subscription), 403),
        Asks::Subscription => if_it(touches(caller, Level::Subscription), 404),
        Asks::List => if_it(touches(caller, level), 403),
        Asks::Read => if_it(may(Power::Read), 403),
        Asks::Write | Asks::Act if caller == Caller::Frozen && may(Power::Change) => 409,
        Asks::Delete if matches!(caller, Caller::Kept | Caller::Frozen) && may(Power::Change) => {
            409
        }
        Asks::Write | Asks::Act | Asks::Delete => if_it(may(Power::Change), 403),
        Asks::Assign | Asks::Unassign | Asks::Lock => if_it(may(Power::Manage), 403),
        Asks::Hidden if !touches(caller, Level::Subscription) => 403,
        Asks::Hidden => if_it(may(Power::Read), 404),
        Asks::Containers => if_it(may(Power::Containers), 403),
        Asks::Data => if_it(may(Power::Data), 403),
        Asks::Unknown => {
            if caller == Caller::Administrator {
                404
            } else {
                403
            }
        }
        Asks::UnknownSubscription => 404,
    }
}

/// Whether the caller has a role at the level, above it or below it.
fn touches(caller: Caller, level: Level) -> bool {
    match caller {
        Caller::NoToken
        | Caller::Expired
        | Caller::WrongAudience
        | Caller::WrongTenant
        | Caller::Identity => false,
        Caller::Stranger => level == Level::Tenant,
        Caller::Neighbour => level != Level::Group,
        Caller::Reader
        | Caller::Contributor
        | Caller::Kept
        | Caller::Frozen
        | Caller::Owner
        | Caller::BlobReader
        | Caller::Administrator => true,
    }
}

fn has(caller: Caller, power: Power, level: Level) -> bool {
    match caller {
        Caller::NoToken
        | Caller::Expired
        | Caller::WrongAudience
        | Caller::WrongTenant
        | Caller::Stranger
        | Caller::Identity
        | Caller::Neighbour => false,
        // `*/read` contains the lists of containers.
        Caller::Reader => {
            level != Level::Tenant && matches!(power, Power::Read | Power::Containers)
        }
        Caller::Contributor | Caller::Kept | Caller::Frozen => {
            level == Level::Group
                && matches!(power, Power::Read | Power::Change | Power::Containers)
        }
        // `*` contains no data.
        Caller::Owner => level != Level::Tenant && power != Power::Data,
        Caller::BlobReader => {
            level != Level::Tenant && matches!(power, Power::Containers | Power::Data)
        }
        Caller::Administrator => true,
    }
}
