//! The template language of Azure Resource Manager as a pure library: no I/O, no clock, no randomness.
//!
//! Templates in both dialects, with their parameters, types, loops, conditions and nested deployments, on the
//! expressions of [`arm_expression`], whose names are also here.
//!
//! # Templates
//!
//! A [`Template`] with [`Parameters`] and the [`Facts`] of a deployment gives a [`Plan`]: resources with ids and
//! dependencies. Bodies and outputs that read deployed resources are evaluated later, with a [`Runtime`] that answers
//! for them:
//!
//! ```
//! use arm_template::{Error, Facts, Limits, NothingDeployed, Parameters, Scope, Template};
//!
//! let limits = Limits::default();
//! let template = Template::parse(
//!     r#"{
//!         "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
//!         "contentVersion": "1.0.0.0",
//!         "parameters": {"name": {"type": "string"}},
//!         "resources": [
//!             {"type": "Microsoft.Compute/galleries", "apiVersion": "2024-03-03", "name": "[parameters('name')]"},
//!             {
//!                 "type": "Microsoft.Compute/galleries/images", "apiVersion": "2024-03-03",
//!                 "name": "[concat(parameters('name'), '/linux')]", "dependsOn": ["[parameters('name')]"],
//!                 "properties": {"owner": "[reference(parameters('name')).owner]"}
//!             }
//!         ]
//!     }"#,
//!     &limits,
//! )?;
//! let parameters = Parameters::parse(r#"{"name": {"value": "gallery"}}"#, &limits)?;
//! let scope = Scope::ResourceGroup { subscription: "s".into(), name: "images".into() };
//! let facts = Facts::new("first", scope, jiff::Timestamp::UNIX_EPOCH);
//!
//! let plan = template.plan(&parameters, facts)?;
//! let image = &plan.resources()[1];
//! assert_eq!(
//!     &*image.id,
//!     "/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute/galleries/gallery/images/linux"
//! );
//! assert_eq!(image.after, [0]);
//! // Before the gallery is deployed, its owner is not known.
//! let preview = plan.preview(image, &NothingDeployed)?;
//! assert!(preview.pending);
//! # Ok::<(), Error>(())
//! ```
//!
//! A nested deployment is a resource with a plan of its own: [`Plan::nested`]. [`Plan::render`] previews a whole tree of
//! them. [`Answers`] is a [`Runtime`] for callers that must ask asynchronously.
//!
//! # Limits and secrets
//!
//! A template is the input of a stranger. [`Limits`] bound the depth, the size and the number of everything in it, and a
//! [`Budget`] counts what all expressions of a deployment use together; the caller can end an evaluation at a deadline
//! with [`Budget::stopped_by`]. Nothing that a template contains makes this library panic or overflow the stack.
//!
//! [`Evaluated::secure`] tells whether a secure parameter or a secret of a resource contributed to a value. Messages of
//! errors do not repeat such values.
//!
#![warn(missing_docs)]

mod template;

pub use arm_expression::*;
pub use template::{
    Answer, Answers, Cloud, CopyPlace, DeclaredParameter, Facts, Given, Link, LinkTarget, Linked,
    Nested, NothingDeployed, Output, OutputError, Parameters, Plan, PlanParameter, Preview,
    PublicCloud, Question, Rendered, RenderedNested, RenderedResource, Resource, ResourceOptions,
    RetryOn, Runtime, Schema, Scope, SecretReference, Surroundings, Template, Undetermined,
};
