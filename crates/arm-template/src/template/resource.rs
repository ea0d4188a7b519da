//! A resource of a plan.

use std::sync::Arc;

use arm_expression::{Iteration, Node, Position, same_name};

/// A resource after the evaluation of everything that needs no deployed resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The symbolic name, without an index; absent in classic templates.
    pub symbol: Option<Arc<str>>,
    /// The resource's id; empty if it is not deployed and its name makes sense only with its condition.
    pub id: Arc<str>,
    /// The full type, such as `Microsoft.Compute/galleries/images`, as the template spells it.
    pub resource_type: Arc<str>,
    /// The version of the type's API.
    pub api_version: Arc<str>,
    /// The full name, such as `gallery/image`.
    pub name: Arc<str>,
    /// The id of the scope or of the resource that it extends, without a slash at its end; empty for the tenant.
    pub scope: Arc<str>,
    /// Whether it is deployed. If not, it has no operation, nothing waits for it, and its dependents are deployed.
    pub condition: bool,
    /// Whether it is only read, once, before its dependents.
    pub existing: bool,
    /// The copy loop that made it.
    pub copy: Option<CopyPlace>,
    /// The resources that it depends on, by their places in [`Plan::resources`](super::Plan::resources): explicitly by `dependsOn`, and implicitly
    /// by `reference` and its like.
    pub depends_on: Vec<usize>,
    /// The resources that must have ended before it starts: [`depends_on`](Self::depends_on) without those that are not
    /// deployed, and the batch before in a serial loop.
    pub after: Vec<usize>,
    /// What `@options` asks for.
    pub options: ResourceOptions,
    /// Where the resource begins in the text.
    pub position: Position,
    /// Its path in the template, such as `resources[0]`.
    pub path: Arc<str>,
    pub(super) source: Source,
}

impl Resource {
    /// Whether the resource is a nested deployment.
    pub fn is_deployment(&self) -> bool {
        same_name(&self.resource_type, "Microsoft.Resources/deployments")
    }
}

/// A place in a copy loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPlace {
    /// The loop's name.
    pub name: Arc<str>,
    /// The index of the resource in the loop, from 0.
    pub index: usize,
    /// How many resources of the loop may be deployed at the same time; `None` for all.
    pub batch_size: Option<usize>,
}

/// Options of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceOptions {
    /// `onlyIfNotExists`: read first, and write only if it is not there.
    pub only_if_not_exists: bool,
    /// `nullIfNotFound`: `reference` gives null instead of a fault. [`Plan`](super::Plan) applies it.
    pub null_if_not_found: bool,
    /// `retryOn`: write again after these error codes.
    pub retry_on: Option<RetryOn>,
}

/// When a failed write is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// The codes.
    pub codes: Vec<Arc<str>>,
    /// The largest number of repetitions.
    pub times: Option<u32>,
}

/// A declaration whose id, condition or number of copies is not known in a preview.
#[derive(Debug, Clone)]
pub struct Undetermined {
    /// The symbolic name.
    pub symbol: Option<Arc<str>>,
    /// The full type.
    pub resource_type: Arc<str>,
    /// The name as the template has it, an expression.
    pub name: Arc<str>,
    /// Why it is not known.
    pub reason: String,
    /// Where the resource begins in the text.
    pub position: Position,
    /// Its path in the template.
    pub path: Arc<str>,
}

/// Where a resource comes from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The declaration.
    pub(super) node: Node,
    /// The copy loops that are open in it, outer ones first.
    pub(super) iterations: Vec<Iteration>,
}
