//! The forms of customizers in a real guest.

use e2e::{Lab, fresh, template, text};
use serde_json::json;

/// More than the 20 MB that Azure documents as the limit.
const LARGE: usize = 24_000_000;

// conformance: 50, 53, 54, 60, 61, 64
#[test]
fn names_may_repeat_lines_share_a_script_and_large_files_arrive() {
    let lab = Lab::new();
    let content: Vec<u8> = (0..LARGE).map(|at| (at * 31 % 251) as u8).collect();
    lab.write("large.bin", &content);
    let size = format!("test $(stat -c %s /tmp/large.bin) = {LARGE}");
    let customize = json!([
        { "type": "Shell", "name": "same", "inline": [
            fresh(),
            "cd /tmp",
            "\nwhere=here",
            "if true; then\n  echo \"$where in $PWD\" > order\nfi"
        ]},
        { "type": "File", "name": "same", "sourceUri": "large.bin", "destination": "/tmp/large.bin" },
        { "type": "File", "sourceUri": "large.bin", "destination": "large.bin" },
        { "type": "Shell", "inline": [
            size, "cmp /tmp/large.bin ~/large.bin", "grep -x 'here in /tmp' /tmp/order", "rm /tmp/large.bin"
        ]},
        { "type": "Shell", "name": "same", "inline": ["test ! -e /tmp/large.bin", "echo in order"] }
    ]);
    let file = lab.write("a.json", template(&customize));
    let done = lab.run(&["build", file.to_str().unwrap()]).ok();
    let printed = |line: &str| {
        let events = done.events();
        events.iter().any(|event| event["kind"] == "stepOutput" && text(&event["text"]) == line)
    };
    assert!(printed("here in /tmp") && printed("in order"), "{}", done.stdout);
    lab.assert_clean();
}
