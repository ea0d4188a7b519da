//! The rights of a principal, and the decision.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{Condition, Lock, Locks, Need, Pattern, Permission, Role, Rule, Scope, Wanted};

/// Who has rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    /// The application id, which messages name.
    pub client_id: String,
    /// The object id, which assignments name.
    pub object_id: String,
}

/// What one assignment gives.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The id of the assignment.
    pub assignment: Arc<str>,
    /// The role.
    pub role: Arc<Role>,
    /// When it counts; always if absent.
    pub condition: Option<Condition>,
}

impl Grant {
    fn gives(&self, wanted: &Wanted) -> bool {
        self.role.permits(wanted) && self.condition.as_ref().is_none_or(|only| only.holds(wanted))
    }
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No role permits it.
    Missing {
        /// What is not permitted.
        need: Need,
    },
    /// It is permitted, but not all that it needs elsewhere.
    Linked {
        /// What was wanted.
        of: Need,
        /// What is not permitted elsewhere.
        missing: Vec<Need>,
    },
    /// It is permitted, but a lock is in the way.
    Locked {
        /// The lock.
        lock: Lock,
        /// What was wanted.
        need: Need,
    },
}

/// Below a scope, where something is permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Everywhere.
    All,
    /// At these scopes and below them. In order, and none is below another.
    Only(Vec<Scope>),
    /// Nowhere.
    None,
}

impl Visible {
    /// Whether it is permitted at a scope, which is below the one that was asked for.
    pub fn has(&self, scope: &Scope) -> bool {
        match self {
            Self::All => true,
            // None is below another, so the one that contains the scope is the last that is not after it.
            Self::Only(scopes) => {
                let after = scopes.partition_point(|one| one <= scope);
                after.checked_sub(1).is_some_and(|last| scopes[last].contains(scope))
            }
            Self::None => false,
        }
    }
}

/// What a principal may do: its roles at scopes, and everybody's locks.
#[derive(Debug, Clone)]
pub struct Rights {
    principal: Principal,
    grants: BTreeMap<Arc<str>, Vec<Grant>>,
    locks: Arc<Locks>,
}

impl Rights {
    /// The rights by the principal's assignments.
    pub fn new(principal: Principal, grants: Vec<(Scope, Grant)>, locks: Arc<Locks>) -> Self {
        let mut by_scope = BTreeMap::<Arc<str>, Vec<Grant>>::new();
        for (scope, grant) in grants {
            by_scope.entry(Arc::clone(scope.key())).or_default().push(grant);
        }
        Self { principal, grants: by_scope, locks }
    }

    /// Every action and every data action everywhere, without regard to locks: for the service itself, and for tests.
    pub fn everything() -> Self {
        let all: Vec<Pattern> = Pattern::parse("*").into_iter().collect();
        let permission =
            Permission { actions: all.clone(), data_actions: all, ..Permission::default() };
        let role = Role {
            id: String::new(),
            name: "Everything".to_owned(),
            permissions: vec![permission],
        };
        let grant = Grant { assignment: "".into(), role: Arc::new(role), condition: None };
        Self::new(Principal::default(), vec![(Scope::root(), grant)], Arc::default())
    }

    /// Whose rights they are.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The decision.
    ///
    /// # Errors
    /// [`Denial::Missing`], [`Denial::Locked`]
    pub fn check(&self, need: &Need) -> Result<(), Denial> {
        self.permitted(need)?;
        self.unlocked(need)
    }

    /// Whether the rule of a target is satisfied.
    ///
    /// # Errors
    /// The first denial. A lock is named only to callers that lack nothing.
    pub fn rule(&self, rule: &Rule) -> Result<(), Denial> {
        let missing = |need| Err(Denial::Missing { need });
        match rule {
            Rule::SignedIn => Ok(()),
            Rule::Touches(scope) if self.touches(scope) => Ok(()),
            Rule::Touches(scope) => missing(Need::new(
                Wanted::action("Microsoft.Resources/subscriptions/read"),
                scope.clone(),
            )),
            Rule::List(need) if self.touches(&need.scope) => Ok(()),
            Rule::List(need) => missing(need.clone()),
            Rule::All(needs) => {
                needs.iter().try_for_each(|need| self.permitted(need))?;
                needs.iter().try_for_each(|need| self.unlocked(need))
            }
        }
    }

    /// Decides about what a permitted action (`of`) needs at other scopes, such as the join of a subnet. Locks there do not
    /// count, because nothing is changed there.
    ///
    /// # Errors
    /// [`Denial::Linked`] with all that is missing.
    pub fn linked(&self, of: &Need, also: &[Need]) -> Result<(), Denial> {
        let missing: Vec<Need> =
            also.iter().filter(|need| self.permitted(need).is_err()).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Denial::Linked { of: of.clone(), missing })
    }

    fn permitted(&self, need: &Need) -> Result<(), Denial> {
        if self.grants(&need.scope).any(|grant| grant.gives(&need.wanted)) {
            return Ok(());
        }
        Err(Denial::Missing { need: need.clone() })
    }

    fn unlocked(&self, need: &Need) -> Result<(), Denial> {
        match self.locks.against(need) {
            Some(lock) => Err(Denial::Locked { lock: lock.clone(), need: need.clone() }),
            None => Ok(()),
        }
    }

    /// Where, at and below a scope, an action is permitted. Meant for reading: locks do not count.
    pub fn visible(&self, wanted: &Wanted, below: &Scope) -> Visible {
        self.among(below, |grant| grant.gives(wanted))
    }

    /// Where, at and below a scope, the principal has any role at all, whatever it permits. Narrows the search for what is
    /// visible in a list of several types.
    pub fn granted(&self, below: &Scope) -> Visible {
        self.among(below, |_| true)
    }

    fn among(&self, below: &Scope, counts: impl Fn(&Grant) -> bool) -> Visible {
        if self.grants(below).any(&counts) {
            return Visible::All;
        }
        let mut scopes: Vec<Scope> = Vec::new();
        for (key, grants) in self.below(below) {
            let is_covered = scopes.last().is_some_and(|last| key.starts_with(&**last.key()));
            if !is_covered && grants.iter().any(&counts) {
                scopes.push(Scope::of_key(key));
            }
        }
        if scopes.is_empty() { Visible::None } else { Visible::Only(scopes) }
    }

    /// Whether the principal has any role at the scope, above it or below it.
    pub fn touches(&self, scope: &Scope) -> bool {
        self.grants(scope).next().is_some() || self.below(scope).next().is_some()
    }

    /// What the roles at the scope and above it permit, conditions aside.
    pub fn permissions(&self, scope: &Scope) -> Vec<&Permission> {
        self.grants(scope).flat_map(|grant| &grant.role.permissions).collect()
    }

    /// What the principal has at the scope, then above it.
    pub fn grants(&self, scope: &Scope) -> impl Iterator<Item = &Grant> {
        scope.keys().filter_map(|key| self.grants.get(key)).flatten()
    }

    /// What the principal has at the scope and below it, in the order of scopes.
    fn below(&self, scope: &Scope) -> impl Iterator<Item = (&Arc<str>, &Vec<Grant>)> {
        let key: &str = scope.key();
        self.grants
            .range::<str, _>((Bound::Included(key), Bound::Unbounded))
            .take_while(move |(below, _)| below.starts_with(key))
    }
}
