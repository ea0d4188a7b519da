//! Whatever a path looks like, what its caller must satisfy is about that path.

use authorization::Scope;

use super::*;
use crate::routes::Target;

const METHODS: [Method; 6] =
    [Method::Get, Method::Head, Method::Put, Method::Patch, Method::Post, Method::Delete];

/// Words that mean something somewhere, and one that means nothing.
const WORDS: [&str; 22] = [
    "providers",
    "Microsoft.Compute",
    "Microsoft.VirtualMachineImages",
    "Microsoft.Authorization",
    "Microsoft.Resources",
    "galleries",
    "images",
    "imageTemplates",
    "runs",
    "log",
    "run",
    "locations",
    "operations",
    "operationresults",
    "roleAssignments",
    "locks",
    "tags",
    "deployments",
    "resources",
    "resourceGroups",
    "subscriptions",
    "x",
];

/// Paths of up to three words each below the start; then of random words.
fn paths(start: &str) -> Vec<String> {
    let mut all = vec![start.to_owned()];
    for one in WORDS {
        all.push(format!("{start}/{one}"));
        for two in WORDS {
            all.push(format!("{start}/{one}/{two}"));
            all.extend(WORDS.map(|three| format!("{start}/{one}/{two}/{three}")));
        }
    }
    // A fixed sequence, so that a failure can be repeated.
    let mut state: u64 = 14;
    for _ in 0..4_000 {
        let mut path = format!("{start}/providers");
        for _ in 0..(4 + state % 7) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = usize::try_from(state >> 33).unwrap() % WORDS.len();
            path = format!("{path}/{}", WORDS[word]);
        }
        all.push(path);
    }
    all
}

fn rule(method: Method, path: &str) -> Rule {
    let path = Path::parse(path);
    Target::at(method, &path).rule(method, &path)
}

#[test]
fn rule_of_a_path_is_within_its_subscription_and_group() {
    let subscription = format!("/subscriptions/{S}");
    let own = Scope::parse(&subscription);
    for path in paths(&subscription) {
        for method in METHODS {
            match rule(method, &path) {
                Rule::SignedIn => panic!("{path}: a token suffices"),
                Rule::Touches(scope) => assert_eq!(scope, own, "{path}"),
                Rule::List(need) => assert!(own.contains(&need.scope), "{path}: {need:?}"),
                Rule::All(needs) => {
                    assert!(!needs.is_empty(), "{path}");
                    assert!(needs.iter().all(|need| own.contains(&need.scope)), "{path}");
                }
            }
        }
    }
    let group = format!("{subscription}/resourceGroups/g");
    let within = Scope::parse(&group);
    for path in paths(&group) {
        for method in METHODS {
            match rule(method, &path) {
                Rule::SignedIn => panic!("{path}: a token suffices"),
                Rule::Touches(scope) => assert_eq!(scope, own, "{path}"),
                Rule::List(need) => assert!(within.contains(&need.scope), "{path}: {need:?}"),
                Rule::All(needs) => {
                    assert!(needs.iter().all(|need| within.contains(&need.scope)), "{path}");
                }
            }
        }
    }
}

#[test]
fn resource_is_decided_at_its_own_key() {
    for path in paths(&format!("/subscriptions/{S}/resourceGroups/g")) {
        let parsed = Path::parse(&path);
        for method in METHODS {
            if Target::at(method, &parsed) != Target::Resource || parsed.is_collection() {
                continue;
            }
            let need = Target::Resource.need(method, &parsed);
            assert_eq!(need.scope.as_str(), ResourceKey::of(&parsed.text).as_str(), "{path}");
            let ending = match method {
                Method::Put | Method::Patch => "/write",
                Method::Delete => "/delete",
                Method::Get | Method::Head | Method::Post => "/read",
            };
            assert!(need.wanted.name().ends_with(ending), "{path}: {need:?}");
        }
    }
}

#[test]
fn case_and_slashes_change_no_decision() {
    for path in paths(&format!("/subscriptions/{S}/resourceGroups/g")) {
        let other = path.to_uppercase().replace('/', "//");
        for method in METHODS {
            let (one, other) = (rule(method, &path), rule(method, &other));
            let text = |rule: &Rule| format!("{rule:?}").to_lowercase();
            assert_eq!(text(&one), text(&other), "{path}");
        }
    }
}
