//! Types of parameters, outputs and user functions.
//!
//! A type is read from its declaration when the template is read. A `$ref` is followed when a value is checked, so
//! types may be recursive.

mod check;
mod read;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arm_expression::{Array, Fault, Kind, Node, Value};

/// The type of a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    /// The kind of value; any if absent and there is no reference.
    pub(super) base: Option<Base>,
    /// The definition that this type narrows, as a JSON pointer that begins with `#/definitions/`.
    reference: Option<Arc<str>>,
    nullable: Option<bool>,
    allowed: Option<Array>,
    values: Bounds,
    lengths: Bounds,
    items: Option<Rest>,
    prefix_items: Vec<Arc<Type>>,
    properties: NamedTypes,
    additional: Option<Rest>,
    discriminator: Option<Discriminator>,
}

/// Types by their names, in the order of the template.
type NamedTypes = Vec<(Arc<str>, Arc<Type>)>;

/// The kinds of values that a type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    String,
    SecureString,
    Int,
    Bool,
    Object,
    SecureObject,
    Array,
}

/// Inclusive bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    least: Option<i64>,
    most: Option<i64>,
}

/// What may follow the elements or properties that a type names.
#[derive(Debug, Clone)]
enum Rest {
    /// Values of this type.
    Of(Arc<Type>),
    /// Nothing.
    Nothing,
}

/// Types that are told apart by a property.
#[derive(Debug, Clone)]
struct Discriminator {
    property: Arc<str>,
    mapping: NamedTypes,
}

impl Base {
    fn find(name: &str) -> Option<Self> {
        let all = [
            Self::String,
            Self::SecureString,
            Self::Int,
            Self::Bool,
            Self::Object,
            Self::SecureObject,
            Self::Array,
        ];
        all.into_iter().find(|base| base.name().eq_ignore_ascii_case(name))
    }

    /// The name as answers spell it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::SecureString => "SecureString",
            Self::Int => "Int",
            Self::Bool => "Bool",
            Self::Object => "Object",
            Self::SecureObject => "SecureObject",
            Self::Array => "Array",
        }
    }

    pub(super) fn is_secure(self) -> bool {
        matches!(self, Self::SecureString | Self::SecureObject)
    }
}

/// The definitions of a template.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    node: Option<Node>,
    read: Mutex<HashMap<Arc<str>, Arc<Type>>>,
    /// How many checks were made, of all values. Types that refer to one another can make it exponential.
    checks: AtomicU64,
}

impl Definitions {
    pub(super) fn new(node: Option<Node>) -> Self {
        Self { node, ..Self::default() }
    }

    /// The type that a reference means.
    fn get(&self, reference: &Arc<str>) -> Result<Arc<Type>, Fault> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(reference) {
            return Ok(known.clone());
        }
        let node = self.find(reference).ok_or_else(|| {
            let message = format!("The type reference '{reference}' names no definition");
            Fault::of(Kind::Template, message)
        })?;
        let found = Arc::new(Type::read(node)?);
        read.insert(reference.clone(), found.clone());
        Ok(found)
    }

    fn find(&self, reference: &str) -> Option<&Node> {
        let pointer = reference.strip_prefix("#/definitions/")?;
        pointer.split('/').try_fold(self.node.as_ref()?, |node, segment| {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            match node.as_array() {
                Some(items) => items.get(segment.parse::<usize>().ok()?),
                None => node.get(&segment),
            }
        })
    }

    fn count_check(&self) -> Result<(), Fault> {
        if self.checks.fetch_add(1, Ordering::Relaxed) < MOST_CHECKS {
            return Ok(());
        }
        Err(Fault::of(Kind::Limit, "The template needs too many checks of types"))
    }

    /// The kind of value of a type, through its references; `None` for any.
    pub(super) fn base(&self, of: &Type) -> Option<Base> {
        let mut base = of.base;
        let mut reference = of.reference.clone();
        for _ in 0..MOST_REFERENCES {
            if base.is_some() {
                break;
            }
            let target = self.get(&reference?).ok()?;
            (base, reference) = (target.base, target.reference.clone());
        }
        base
    }

    /// Whether null is a value of a type.
    pub(super) fn is_nullable(&self, of: &Type) -> bool {
        let mut nullable = of.nullable;
        let mut reference = of.reference.clone();
        for _ in 0..MOST_REFERENCES {
            let (None, Some(next)) = (nullable, reference) else { break };
            let Ok(target) = self.get(&next) else { break };
            (nullable, reference) = (target.nullable, target.reference.clone());
        }
        nullable.unwrap_or(false)
    }

    /// Whether null is a value of a type, which it also is of any type.
    pub(super) fn accepts_null(&self, of: &Type) -> bool {
        of.base.is_none() && of.reference.is_none() || self.is_nullable(of)
    }

    /// The name of a type as answers give it; `Object` for any, as no answer has a name for it.
    pub(super) fn type_name(&self, of: &Type) -> &'static str {
        self.base(of).unwrap_or(Base::Object).name()
    }

    /// Checks a value. The result tells whether a part of the value is secure.
    ///
    /// The fault is a sentence about the value.
    pub(super) fn check(&self, value: &Value, of: &Type) -> Result<bool, Fault> {
        let mut checker = check::Checker { definitions: self, secure: false };
        checker.check(value, of, &check::Path::Root)?;
        Ok(checker.secure)
    }
}

/// How many checks of types a template may need.
const MOST_CHECKS: u64 = 3_000_000;

/// How many references may follow one another without a type between them.
const MOST_REFERENCES: usize = 64;
