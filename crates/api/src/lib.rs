//! The wire contract: template model, resource ids, error codes. Pure data and pure functions.

#![warn(missing_docs)]

mod chain;
mod error_code;
mod region;
pub mod resource_id;
pub mod tags;
pub mod template;
pub mod uri;

pub use chain::chain;
pub use error_code::ErrorCode;
pub use region::region_key;
pub use resource_id::{ResourceId, ResourceKind};
