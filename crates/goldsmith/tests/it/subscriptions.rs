//! `goldsmith admin subscription`.

use serde_json::Value;

use crate::{Sandbox, stderr, stdout};

#[test]
fn subscription_is_created_renamed_and_shares_its_cache() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| {
        let arguments = [&["admin", "subscription"], arguments, &["--output", "json"]].concat();
        let output = sandbox.run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines = stdout(&output);
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).next_back().unwrap()
    };
    let created = run(&["create", "Other"]);
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["sharesCache"], false);
    assert_eq!(run(&["rename", "OTHER", "Platform"])["id"], id);
    assert_eq!(run(&["share-cache", id, "on"])["sharesCache"], true);
    let listed = run(&["list"])["subscriptions"].clone();
    let shown = |one: &Value| format!("{} {}", one["name"].as_str().unwrap(), one["sharesCache"]);
    let mut shown: Vec<String> = listed.as_array().unwrap().iter().map(shown).collect();
    shown.sort();
    assert_eq!(shown, ["Goldsmith false", "Platform true"]);

    for (arguments, wanted) in [
        (["create", "platform"].as_slice(), "choose another name"),
        (&["create", ""], "1 to 64 characters"),
        (&["rename", "nobody", "x"], "goldsmith admin subscription list"),
        (&["share-cache", id, "maybe"], "possible values: on, off"),
    ] {
        let output = sandbox.run(&[&["admin", "subscription"], arguments].concat());
        assert_ne!(output.status.code(), Some(0));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
}
