//! What every ARM route has in common: paths, calls, answers, errors, the list of resource types.

mod call;
mod error;
mod extension;
mod filter;
mod paging;
mod path;
mod registry;
mod reply;
pub(crate) mod resource;
pub(crate) mod version;

pub use call::{Call, Caller, Method};
pub use error::ApiError;
pub(crate) use extension::Extension;
pub(crate) use filter::Filter;
pub(crate) use paging::list;
pub use path::{Path, Scope};
pub use registry::{ResourceType, find};
pub use reply::Reply;
pub(crate) use resource::check_precondition;
pub(crate) use version::STRICT;
