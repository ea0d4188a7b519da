//! Templates: from the text and the parameters to a plan of resources.
//!
//! 1. [`Template::parse`] reads a template, [`Parameters::parse`] the values for it.
//! 2. [`Template::plan`] checks the parameters, expands copy loops, and evaluates conditions, names, scopes and
//!    dependencies. The [`Plan`] has every resource with its id, before anything is deployed.
//! 3. The caller deploys the resources in the order of their dependencies. [`Plan::body`] evaluates the rest of a
//!    resource at its turn, when a [`Runtime`] can answer `reference` and `list*`.
//! 4. [`Plan::nested`] gives a nested deployment, which has a plan of its own; [`Plan::outputs`] is last.
//!
//! [`Plan::preview`] and [`Plan::render`] do the same without anything deployed.

mod ad_hoc;
mod body;
mod calls;
mod context;
mod declarations;
mod depend;
mod expand;
mod external;
mod facts;
mod functions;
mod given;
mod graph;
mod hash;
mod id;
mod names;
mod nested;
mod outputs;
mod plan;
mod read;
mod reading;
mod references;
mod render;
mod resource;
mod runtime;
mod schema;
mod scope;
mod session;
mod types;

pub use body::Preview;
pub use facts::{Cloud, Facts, PublicCloud};
pub use given::{Given, Parameters, SecretReference};
pub use nested::{Link, LinkTarget, Linked, Nested};
pub use outputs::{Output, OutputError};
pub use plan::{Plan, PlanParameter};
pub use read::{DeclaredParameter, Template};
pub use render::{Rendered, RenderedNested, RenderedResource, Surroundings};
pub use resource::{CopyPlace, Resource, ResourceOptions, RetryOn, Undetermined};
pub use runtime::{Answer, Answers, NothingDeployed, Question, Runtime};
pub use schema::Schema;
pub use scope::Scope;
