//! What every ARM route has in common: paths, calls, answers, errors, the list of resource types.

mod call;
mod error;
mod path;
mod registry;
mod reply;
mod route;

pub use call::{Call, Caller, Method};
pub use error::ApiError;
pub use path::{Path, Scope};
pub use registry::{ResourceType, find};
pub use reply::Reply;
pub use route::handle;
