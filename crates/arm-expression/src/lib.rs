//! The expressions of Azure Resource Manager's templates as a pure library: no I/O, no clock, no randomness.
//!
//! It reads JSON with the line and column of every value, parses the expressions in it when they are needed, and
//! evaluates them as Azure does: lazily, without regard to the case of names, with Azure's own results of `uniqueString`
//! and `guid`. What lies outside the text comes from the caller: [`Context`] gives an expression its parameters,
//! variables, user functions, and the functions that read a deployment, such as `reference`.
//!
//! # Expressions
//!
//! An [`Evaluator`] evaluates a tree ([`Node`]) or a string ([`Text`]) in a [`Context`], within a [`Budget`]:
//!
//! ```
//! use std::sync::Arc;
//!
//! use arm_expression::{
//!     Budget, Context, Environment, Error, Evaluated, Evaluator, Fault, Limits, Node, Place,
//!     UserFunction, Value,
//! };
//!
//! /// A resource group with one parameter.
//! struct Group(Environment);
//!
//! impl Context for Group {
//!     fn parameter(&self, name: &str) -> Result<Evaluated, Fault> {
//!         match name {
//!             "disks" => Ok(Value::Int(2).into()),
//!             _ => Err(Fault::new(format!("there is no parameter '{name}'"))),
//!         }
//!     }
//!
//!     fn variable(&self, name: &str) -> Result<Evaluated, Fault> {
//!         Err(Fault::new(format!("there is no variable '{name}'")))
//!     }
//!
//!     fn function(&self, _name: &str) -> Option<Arc<UserFunction>> {
//!         None
//!     }
//!
//!     fn call(&self, _name: &str, _arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
//!         None
//!     }
//!
//!     fn environment(&self) -> &Environment {
//!         &self.0
//!     }
//! }
//!
//! let group = Group(Environment {
//!     place: Place::Resource,
//!     now: jiff::Timestamp::UNIX_EPOCH,
//!     tenant: "11111111-1111-1111-1111-111111111111".into(),
//!     management_group: None,
//!     subscription: Some("00000000-0000-0000-0000-000000000000".into()),
//!     resource_group: Some("images".into()),
//! });
//! let body = r#"{
//!     // Comments are allowed.
//!     "name": "[concat('vm-', uniqueString('hello', 'world'))]",
//!     "copy": [{
//!         "name": "disks",
//!         "count": "[parameters('disks')]",
//!         "input": {"lun": "[copyIndex('disks')]"}
//!     }]
//! }"#;
//!
//! let limits = Limits::default();
//! let body = Node::parse(body, &limits)?;
//! let budget = Budget::new(limits);
//! let evaluated = Evaluator::new(&group, &budget).node(&body)?;
//! assert_eq!(
//!     serde_json::Value::from(&evaluated.value),
//!     serde_json::json!({"name": "vm-a7wkljktk6wne", "disks": [{"lun": 0}, {"lun": 1}]})
//! );
//!
//! // An error has the place in the template, and names the function.
//! let wrong = Node::parse("{\n  \"size\": \"[mul(2, 'x')]\"\n}", budget.limits())?;
//! let error = Evaluator::new(&group, &budget).node(&wrong).expect_err("a text is not a number");
//! assert_eq!((error.path.as_str(), error.function.as_deref()), ("size", Some("mul")));
//! assert_eq!(error.position.map(|position| (position.line, position.column)), Some((2, 11)));
//! # Ok::<(), Error>(())
//! ```
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
//! # Modules
//!
//! ```text
//! evaluate → expression → functions → environment, limits → error → position
//!     └────→ json ──────→ notation ──────────────────────→ value
//! ```

#![warn(missing_docs)]

mod environment;
mod error;
mod evaluate;
mod expression;
mod functions;
mod json;
mod limits;
mod notation;
mod position;
mod value;

pub use error::{Error, Fault, Kind};
pub use evaluate::{
    Check, Context, Environment, Evaluated, Evaluator, Iteration, Keep, Place, UserFunction,
    UserParameter,
};
pub use expression::{Call, Expression};
pub use functions::{hash, reads_resources, uuid};
pub use json::{Content, Member, Members, Node, Text};
pub use limits::{Budget, Limits};
pub use notation::{Quote, write};
pub use position::Position;
pub use value::{Array, Object, Value, fold_name, same_name};
