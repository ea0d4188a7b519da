//! The decision as one would write it first: slow, without any structure, and obviously right.

/// A role at a scope, as texts.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) scope: String,
    /// For each permission: actions, their exceptions, data actions, their exceptions.
    pub(super) role: Vec<[Vec<String>; 4]>,
    pub(super) condition: Option<String>,
}

/// Something wanted, and all that decides.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) owned: Vec<Owned>,
    /// Scopes, and whether the lock is read-only.
    pub(super) locks: Vec<(String, bool)>,
    pub(super) action: String,
    pub(super) data: bool,
    pub(super) scope: String,
}

impl Case {
    pub(super) fn is_permitted(&self) -> bool {
        let scope = segments(&self.scope);
        self.owned.iter().any(|owned| {
            scope.starts_with(&segments(&owned.scope))
                && owned.role.iter().any(|lists| self.is_in(lists))
                && owned.condition.as_deref().is_none_or(|text| self.passes(text))
        })
    }

    fn is_in(&self, [actions, not, data, not_data]: &[Vec<String>; 4]) -> bool {
        let (some, except) = if self.data { (data, not_data) } else { (actions, not) };
        let any = |texts: &[String]| texts.iter().any(|text| matches(text, &self.action));
        any(some) && !any(except)
    }

    /// Of the generated conditions only one form can be true; other texts have no actions.
    fn passes(&self, text: &str) -> bool {
        let named = text.strip_prefix("!(ActionMatches{'").and_then(|rest| rest.split_once('\''));
        named.is_some_and(|(pattern, _)| !matches(pattern, &self.action))
    }

    pub(super) fn is_touched(&self) -> bool {
        let scope = segments(&self.scope);
        self.owned.iter().any(|owned| {
            let own = segments(&owned.scope);
            scope.starts_with(&own) || own.starts_with(&scope)
        })
    }

    pub(super) fn is_locked(&self) -> bool {
        let action = self.action.to_ascii_lowercase();
        let last = action.rsplit('/').next().unwrap_or_default();
        if self.data || last == "read" || action.starts_with("microsoft.authorization/locks/") {
            return false;
        }
        let scope = segments(&self.scope);
        let removes = action == format!("{}/delete", kind(&scope));
        self.locks.iter().any(|(at, read_only)| {
            let at = segments(at);
            let is_near = scope.starts_with(&at) || (removes && at.starts_with(&scope));
            is_near && (*read_only || last == "delete")
        })
    }
}

/// The segments of an id, in lower case.
pub(super) fn segments(id: &str) -> Vec<String> {
    // As a whole, because the lower case of a letter can depend on the letters around it.
    let lower = format!("/{id}/").to_lowercase();
    lower.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// The type of the resource that an id names.
pub(super) fn kind(segments: &[String]) -> String {
    let mut kind = "microsoft.resources".to_owned();
    for pair in segments.chunks_exact(2) {
        if pair[0] == "providers" {
            kind.clone_from(&pair[1]);
        } else {
            kind = format!("{kind}/{}", pair[0]);
        }
    }
    kind
}

/// Whether a pattern matches, by trying everything.
pub(super) fn matches(pattern: &str, action: &str) -> bool {
    let lower = |text: &str| text.to_ascii_lowercase().into_bytes();
    glob(&lower(pattern), &lower(action), false)
}

fn glob(pattern: &[u8], action: &[u8], after_slash: bool) -> bool {
    // Between slashes, stars stand for nothing together with one of the slashes.
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let vanishes = after_slash && stars > 0 && pattern.get(stars) == Some(&b'/');
    if vanishes && glob(&pattern[stars + 1..], action, true) {
        return true;
    }
    match (pattern, action) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=action.len()).any(|skipped| glob(rest, &action[skipped..], false))
        }
        ([first, pattern @ ..], [second, action @ ..]) => {
            first == second && glob(pattern, action, *first == b'/')
        }
        _ => false,
    }
}
