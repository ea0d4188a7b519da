//! Events of the [activity log](crate::activity), as far as they need no [`App`](crate::App).

mod actor;
pub(crate) mod background;
pub(crate) mod event;
mod logins;
mod refusals;

pub use self::actor::{by_client, by_command, by_service};
use self::{logins::Logins, refusals::Refusals};

/// What the log remembers between requests.
#[derive(Debug, Default)]
pub struct Activities {
    pub(crate) refusals: Refusals,
    logins: Logins,
}
