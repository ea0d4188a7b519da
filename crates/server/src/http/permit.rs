//! Permission for what does not go through [`routes`](crate::routes): streams, blobs, metrics. The decision is the same.

use arm::Caller;
use authorization::{Denial, Rule};
use service::App;

/// A rule that the caller of a request satisfied. A stream keeps it, and asks again.
#[derive(Debug)]
pub(super) struct Permit {
    rule: Rule,
}

/// Why there is no permission.
#[derive(Debug)]
pub(super) enum Refused {
    /// The caller may not.
    Denied(Denial),
    /// The database failed.
    Store(db::Error),
}

impl Permit {
    /// Permission, if the caller satisfies the rule.
    pub(super) async fn ask(app: &App, caller: &Caller, rule: Rule) -> Result<Self, Refused> {
        let rights = app.rights(caller).await.map_err(Refused::Store)?;
        rights.rule(&rule).map_err(Refused::Denied)?;
        Ok(Self { rule })
    }

    /// Whether the caller still satisfies the rule. If the database fails, nothing is known to have changed.
    pub(super) async fn holds(&self, app: &App, caller: &Caller) -> bool {
        match app.rights(caller).await {
            Ok(rights) => rights.rule(&self.rule).is_ok(),
            Err(error) => {
                tracing::warn!(%error, "the rights of a stream's reader cannot be read");
                true
            }
        }
    }
}
