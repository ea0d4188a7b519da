//! The parts of Azure Resource Manager that all resource providers share: [paths](Path), [api-versions](version),
//! [errors](ApiError), [pages](list), [filters](Filter), [preconditions](check_precondition), long-running
//! [operations](operation) and [resource types](ResourceType).
//!
//! The rules are those of ARM's REST contract: the [resource API reference][contract] defines GET, PUT, PATCH, DELETE and
//! POST, [asynchronous operations][async] define `202`, `Azure-AsyncOperation` and `Location`, and the
//! [guidelines][guidelines] define the envelope of errors and pages. Where they leave a question open, this crate answers
//! as Azure does.
//!
//! A provider consists of a [`ResourceType`] for each type, a [`Service`] that they share, and a [`Registry`] that lists
//! them. [`handle`] does the rest, over the rows of [`db`]. A complete provider, which is also a test of this crate:
//!
//! ```ignore
#![doc = include_str!("../tests/widgets.rs")]
//! ```
//!
//! The modules depend on one another in one direction:
//!
//! ```text
//! path  reply  context  actions  error ← call, denied, overtaken ← group ← readable ← walk ← precondition, paging, region ← fields ← rows ← registry ← resource
//! ```
//!
//! [contract]: https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/resource-api-reference.md
//! [async]: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
//! [guidelines]: https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md

#![warn(missing_docs)]

mod actions;
mod call;
mod context;
mod denied;
mod error;
mod extension;
pub mod fields;
mod filter;
pub mod group;
pub mod operation;
mod overtaken;
mod paging;
mod path;
mod precondition;
mod readable;
pub mod region;
mod registry;
mod reply;
mod resource;
pub mod rows;
pub mod version;
mod walk;

pub use actions::{Actions, Verb};
pub use call::{Call, Caller, Client, Method, Request};
pub use context::Context;
pub use denied::denied;
pub use error::ApiError;
pub use extension::Extension;
pub use filter::Filter;
pub use overtaken::retry_overtaken;
pub use paging::{Position, list, page_of};
pub use path::{Path, Scope, is};
pub use precondition::{check_precondition, etag};
pub use readable::{Readable, is_own_operation, kind_of, may_read, read_of, readable_operation};
pub use registry::{Registry, ResourceType, Service};
pub use reply::Reply;
pub use resource::{handle, is_registered, registered, rule};
