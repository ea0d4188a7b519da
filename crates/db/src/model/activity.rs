//! Who did what.

use jiff::Timestamp;
use serde_json::Value;

/// An event of the activity log. It is never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Grows with every event. A write ignores it: the commit assigns it.
    pub seq: i64,
    /// A GUID.
    pub id: String,
    /// The subscription, in lower case.
    pub subscription: String,
    /// When it happened.
    pub time: Timestamp,
    /// The resource group in lower case, or empty.
    pub group: String,
    /// The id of the resource, in lower case.
    pub resource: String,
    /// The namespace of the resource, in lower case.
    pub provider: String,
    /// Joins the events of one request, and of everything that it caused.
    pub correlation: String,
    /// The action: `Microsoft.Compute/images/write`.
    pub operation: String,
    /// Who did it, in lower case.
    pub caller: String,
    /// `Started`, `Accepted`, `Succeeded` or `Failed`.
    pub status: String,
    /// The rest of the event, without secrets.
    pub body: Value,
}

/// What the events of a page have in common, beside their subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ActivityAbout {
    /// Nothing.
    #[default]
    Anything,
    /// The resource group.
    Group(String),
    /// The id of the resource, without what is below it.
    Resource(String),
    /// The namespace.
    Provider(String),
    /// The correlation id.
    Correlation(String),
}

/// Which events to list. Order: newest first. Texts are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivitySelect {
    /// Required: lists never cross subscriptions.
    pub subscription: String,
    /// What they are about.
    pub about: ActivityAbout,
    /// Only of this caller.
    pub caller: Option<String>,
    /// Only with this status.
    pub status: Option<String>,
    /// Not before this time.
    pub from: Timestamp,
    /// Not after this time.
    pub to: Timestamp,
    /// Only those after this one (its `seq`), the last of the previous page.
    pub after: Option<i64>,
    /// The size of a page.
    pub limit: u32,
}
