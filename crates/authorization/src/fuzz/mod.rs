//! Properties of the decision with random scopes, patterns, roles, conditions and locks, against a naive evaluator.
//! `scripts/fuzz.sh authorization` repeats them for as long as one likes.

mod reference;

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    Condition, Denial, Grant, Lock, LockLevel, Locks, Need, Pattern, Permission, Principal, Rights,
    Role, Rule, Scope, Visible, Wanted,
};
use reference::{Case, Owned};

// Few and similar names, so that random scopes and actions meet often.
const SEGMENTS: &[&str] = &["rg", "rg1", "rg10", "RG1", "rg-1", "rg.1", "a", "providers", "é", "İ"];
const WORDS: &[&str] = &["a", "A", "b", "ab", "a.b", "read", "write", "delete", "action", "Read"];

fn scope() -> impl Strategy<Value = String> {
    let tidy = vec(select(SEGMENTS), 0..6).prop_map(|parts| format!("/{}", parts.join("/")));
    // A resource of the types that the actions are on.
    let resource = vec(select(["a", "b", "A"].as_slice()), 1..4).prop_map(|types| {
        let names: Vec<String> = types.iter().map(|kind| format!("{kind}/rg1")).collect();
        format!("/subscriptions/rg/providers/a/{}", names.join("/"))
    });
    let odd = "[/aR1İΣ.-]{0,12}";
    prop_oneof![4 => tidy, 2 => resource, 1 => odd]
}

fn action() -> impl Strategy<Value = String> {
    prop_oneof![9 => vec(select(WORDS), 1..6).prop_map(|parts| parts.join("/")), 1 => "[a/*bé]{0,10}", 4 => "[ab]/[ab/]{0,14}"]
}

fn name() -> impl Strategy<Value = String> {
    vec(select(WORDS), 1..4).prop_map(|parts| parts.join("/"))
}

/// A pattern, and an action that it matches. Parts repeat themselves, so that a search must go back in the part.
fn filled() -> impl Strategy<Value = (String, String)> {
    let parts = vec(("[ab]{1,3}(/[ab]{1,2})?", "[ab/]{0,6}"), 2..5);
    parts.prop_map(|parts| {
        let pattern: Vec<&str> = parts.iter().map(|(part, _)| part.as_str()).collect();
        let action: String = parts.iter().map(|(part, fill)| format!("{part}{fill}")).collect();
        (format!("a/{}*", pattern.join("*")), format!("a/{action}"))
    })
}

/// Texts that are patterns.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![3 => select(WORDS).prop_map(str::to_owned), 3 => "[ab]{0,3}[ab*]{1,4}[ab]{0,3}", 2 => Just("*".to_owned())];
    prop_oneof![1 => Just("*".to_owned()), 9 => vec(piece, 2..6).prop_map(|parts| parts.join("/"))]
}

fn patterns(most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(pattern(), 0..most)
}

fn role() -> impl Strategy<Value = Vec<[Vec<String>; 4]>> {
    vec(
        (patterns(3), patterns(3), patterns(2), patterns(2)).prop_map(|(a, b, c, d)| [a, b, c, d]),
        1..3,
    )
}

fn condition() -> impl Strategy<Value = Option<String>> {
    let guard = pattern().prop_map(|text| {
        format!("!(ActionMatches{{'{text}'}}) OR (@Request[x] StringEquals 'a OR b')")
    });
    prop_oneof![
        5 => Just(None),
        2 => guard.prop_map(Some),
        1 => "[()!'{} a]{0,12}".prop_map(Some),
    ]
}

fn owned() -> impl Strategy<Value = Owned> {
    (scope(), role(), condition()).prop_map(|(scope, role, condition)| Owned {
        scope,
        role,
        condition,
    })
}

fn locks() -> impl Strategy<Value = Vec<(String, bool)>> {
    vec((scope(), any::<bool>()), 0..3)
}

fn case() -> impl Strategy<Value = Case> {
    let any = (vec(owned(), 0..6), locks(), action(), any::<bool>(), scope())
        .prop_map(|(owned, locks, action, data, scope)| Case { owned, locks, action, data, scope });
    prop_oneof![4 => any, 1 => removal()]
}

/// Somebody who may do everything deletes a scope, or something on it, with locks above, at, below and beside it.
fn removal() -> impl Strategy<Value = Case> {
    let kinds = select(["a", "A/b", "c", "providers/x"].as_slice());
    (vec(kinds, 0..3), vec((scope(), any::<bool>(), any::<bool>()), 0..3), 0..4).prop_map(
        |(kinds, locks, what)| {
            let scope: String = kinds.iter().map(|kind| format!("/{kind}/rg1")).collect();
            let place = |(tail, below, read_only)| {
                (if below { format!("{scope}{tail}") } else { tail }, read_only)
            };
            let locks = locks.into_iter().map(place).collect();
            let action = match what {
                0 => "microsoft.authorization/roleAssignments/delete".to_owned(),
                1 => format!("{}/write", reference::kind(&reference::segments(&scope))),
                _ => format!("{}/Delete", reference::kind(&reference::segments(&scope))),
            };
            let all = [vec!["*".to_owned()], Vec::new(), Vec::new(), Vec::new()];
            let owner = Owned { scope: "/".to_owned(), role: vec![all], condition: None };
            Case { owned: vec![owner], locks, action, data: false, scope }
        },
    )
}

fn wanted(case: &Case) -> Wanted {
    let name = case.action.clone().into();
    if case.data { Wanted::Data(name) } else { Wanted::Action(name) }
}

fn need(case: &Case) -> Need {
    Need::new(wanted(case), Scope::parse(&case.scope))
}

fn rights(case: &Case) -> Rights {
    let read = |texts: &[String]| -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    };
    let grant = |owned: &Owned| {
        let permission = |[actions, not, data, not_data]: &[Vec<String>; 4]| Permission {
            actions: read(actions),
            not_actions: read(not),
            data_actions: read(data),
            not_data_actions: read(not_data),
            condition: None,
        };
        let permissions = owned.role.iter().map(permission).collect();
        let role = Role { id: "r".to_owned(), name: "r".to_owned(), permissions };
        let condition = owned.condition.as_deref().map(Condition::parse);
        (
            Scope::parse(&owned.scope),
            Grant { assignment: "a".into(), role: Arc::new(role), condition },
        )
    };
    let lock = |(scope, read_only): &(String, bool)| Lock {
        id: scope.clone(),
        scope: Scope::parse(scope),
        level: if *read_only { LockLevel::ReadOnly } else { LockLevel::CanNotDelete },
    };
    let locks = Locks::new(case.locks.iter().map(lock));
    Rights::new(Principal::default(), case.owned.iter().map(grant).collect(), Arc::new(locks))
}

fn scopes_of(case: &Case) -> Vec<Scope> {
    let owned = case.owned.iter().map(|one| Scope::parse(&one.scope));
    owned.chain(case.owned.iter().map(|one| Scope::parse(&format!("{}/a/b", one.scope)))).collect()
}

proptest! {
    #[test]
    fn decision_is_that_of_the_naive_evaluator(case in case()) {
        let rights = rights(&case);
        let decided = rights.check(&need(&case));
        let expected = match (case.is_permitted(), case.is_locked()) {
            (false, _) => "missing",
            (true, true) => "locked",
            (true, false) => "ok",
        };
        let actual = match decided {
            Ok(()) => "ok",
            Err(Denial::Missing { .. }) => "missing",
            Err(Denial::Locked { .. }) => "locked",
            Err(Denial::Linked { .. }) => "linked",
        };
        prop_assert_eq!(actual, expected);
        prop_assert_eq!(rights.touches(&Scope::parse(&case.scope)), case.is_touched());
        prop_assert_eq!(rights.granted(&Scope::parse(&case.scope)) != Visible::None, case.is_touched());
    }

    #[test]
    fn pattern_matches_as_the_naive_one_does(pattern in pattern(), action in action()) {
        let read = Pattern::parse(&pattern).unwrap();
        prop_assert_eq!(read.matches(&action), reference::matches(&pattern, &action), "{} {}", pattern, action);
        prop_assert_eq!(read.text(), &pattern);
    }

    #[test]
    fn pattern_matches_what_its_stars_are_replaced_with((pattern, action) in filled(), cut in 0_usize..40) {
        let read = Pattern::parse(&pattern).unwrap();
        prop_assert!(read.matches(&action) && reference::matches(&pattern, &action), "{} {}", pattern, action);
        let mut other = action;
        other.remove(cut % other.len());
        prop_assert_eq!(read.matches(&other), reference::matches(&pattern, &other), "{} {}", pattern, other);
    }

    #[test]
    fn star_crosses_slashes_and_case_is_ignored(before in name(), between in action(), after in name()) {
        let pattern = Pattern::parse(&format!("{before}/*/{after}")).unwrap();
        for action in [format!("{before}/{between}/{after}"), format!("{before}/{after}")] {
            prop_assert!(pattern.matches(&action.to_ascii_uppercase()), "{pattern:?} {action}");
        }
    }

    #[test]
    fn case_of_actions_and_scopes_changes_nothing(mut case in case()) {
        let before = rights(&case).check(&need(&case)).is_ok();
        case.action = case.action.to_ascii_uppercase();
        case.scope = case.scope.to_ascii_uppercase();
        for owned in &mut case.owned {
            owned.scope = owned.scope.to_ascii_lowercase();
        }
        prop_assert_eq!(rights(&case).check(&need(&case)).is_ok(), before);
    }

    #[test]
    fn further_grant_never_takes_a_right(case in case(), further in owned()) {
        let before = rights(&case).check(&need(&case));
        let more = Case { owned: case.owned.iter().cloned().chain([further]).collect(), ..case };
        let after = rights(&more).check(&need(&more));
        prop_assert!(before.is_err() || after.is_ok(), "{after:?}");
    }

    #[test]
    fn exceptions_of_a_role_never_take_what_another_gives(case in case(), at in scope()) {
        let alone = rights(&case).check(&need(&case)).is_ok();
        let all = vec!["*".to_owned()];
        let nothing = Owned { scope: at, role: vec![[all.clone(), all.clone(), all.clone(), all]], condition: None };
        let both = Case { owned: case.owned.iter().cloned().chain([nothing]).collect(), ..case };
        prop_assert_eq!(rights(&both).check(&need(&both)).is_ok(), alone);
    }

    #[test]
    fn lock_never_grants(case in case(), at in scope(), read_only in any::<bool>()) {
        let free = rights(&case).check(&need(&case)).is_ok();
        let locked = Case { locks: case.locks.iter().cloned().chain([(at, read_only)]).collect(), ..case };
        prop_assert!(free || rights(&locked).check(&need(&locked)).is_err());
    }

    #[test]
    fn visible_scopes_are_those_that_pass_the_check(case in case(), others in vec(scope(), 0..8)) {
        let case = Case { locks: Vec::new(), ..case };
        let rights = rights(&case);
        let (wanted, below) = (wanted(&case), Scope::parse(&case.scope));
        let visible = rights.visible(&wanted, &below);
        if let Visible::Only(scopes) = &visible {
            prop_assert!(!scopes.is_empty() && scopes.is_sorted());
            prop_assert!(scopes.windows(2).all(|pair| !pair[0].contains(&pair[1])), "{:?}", scopes);
        }
        let others = others.iter().map(|other| Scope::parse(&format!("{}{other}", case.scope)));
        for scope in others.chain(scopes_of(&case)).filter(|scope| below.contains(scope)) {
            let passes = rights.check(&Need::new(wanted.clone(), scope.clone())).is_ok();
            prop_assert_eq!(visible.has(&scope), passes, "{:?} {:?}", scope, visible);
        }
    }

    #[test]
    fn rules_and_links_agree_with_the_check(case in case(), others in vec((action(), scope()), 0..3)) {
        let rights = rights(&case);
        let need = need(&case);
        let other = |(action, scope): &(String, String)| Need::new(Wanted::Action(action.clone().into()), Scope::parse(scope));
        let others: Vec<Need> = others.iter().map(other).collect();
        let all: Vec<Need> = others.iter().cloned().chain([need.clone()]).collect();
        let each = all.iter().all(|one| rights.check(one).is_ok());
        prop_assert_eq!(rights.rule(&Rule::All(all)).is_ok(), each);
        prop_assert_eq!(rights.rule(&Rule::List(need.clone())).is_ok(), case.is_touched());
        prop_assert!(rights.rule(&Rule::SignedIn).is_ok());
        let lacks = |one: &&Need| matches!(rights.check(one), Err(Denial::Missing { .. }));
        let missing: Vec<Need> = others.iter().filter(lacks).cloned().collect();
        match rights.linked(&need, &others) {
            Ok(()) => prop_assert!(missing.is_empty()),
            Err(denial) => prop_assert_eq!(denial, Denial::Linked { of: need, missing }),
        }
    }

    #[test]
    fn normal_form_of_a_scope_is_stable_and_its_parents_contain_it(id in any::<String>(), tail in "[/a-zA-ZİΣ1]{0,6}") {
        let scope = Scope::parse(&id);
        let text = scope.as_str().to_owned();
        prop_assert_eq!(Scope::parse(&text), scope.clone());
        prop_assert!(text.is_empty() || text.starts_with('/'));
        prop_assert!(!text.ends_with('/') && !text.contains("//"), "{}", text);
        let above: Vec<Scope> = scope.above().map(Scope::parse).collect();
        prop_assert_eq!(above.first(), Some(&scope));
        prop_assert_eq!(above.last(), Some(&Scope::root()));
        for parent in &above {
            prop_assert!(parent.contains(&scope) && (parent == &scope || !scope.contains(parent)));
        }
        // A longer last segment is another scope; a further segment is below.
        let child = Scope::parse(&format!("{id}/{tail}"));
        prop_assert!(scope.contains(&child));
        let beside = Scope::parse(&format!("{}x", text));
        prop_assert!(text.is_empty() || (!scope.contains(&beside) && !beside.contains(&scope)));
    }

    #[test]
    fn scope_contains_as_segments_do(a in scope(), b in scope()) {
        let segments = |id: &str| reference::segments(id);
        let expected = segments(&b).starts_with(&segments(&a));
        prop_assert_eq!(Scope::parse(&a).contains(&Scope::parse(&b)), expected);
    }

    #[test]
    fn raw_text_is_read_or_rejected_and_never_fails(text in any::<String>(), action in any::<String>()) {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.matches(&action), reference::matches(&text, &action));
            prop_assert!(pattern.matches(&text.replace('*', "")) || text.contains('*'));
        }
        let wanted = Wanted::Action(action.clone().into());
        let locks = Locks::new([Lock { id: text.clone(), scope: Scope::parse(&text), level: LockLevel::ReadOnly }]);
        locks.against(&Need::new(wanted.clone(), Scope::parse(&action)));
        let condition = Condition::parse(&text);
        prop_assert!(condition.is_readable() || !condition.holds(&wanted));
    }

    #[test]
    fn raw_condition_grants_no_more_than_its_parts(text in "(ActionMatches\\{'[a/*]{1,4}'\\}|[()!&|' {}a]| AND | OR | NOT |@Request\\[x\\] Equals 'a'){0,12}", action in action()) {
        let condition = Condition::parse(&text);
        let wanted = Wanted::Action(action.into());
        if condition.holds(&wanted) {
            let negated = Condition::parse(&format!("!({text})"));
            prop_assert!(negated.is_readable() && !negated.holds(&wanted), "{}", text);
            let both = Condition::parse(&format!("({text}) AND @Request[x] StringEquals 'a'"));
            prop_assert!(both.is_readable() && !both.holds(&wanted), "{}", text);
        }
    }
}
