//! A file that is too large for the connection comes on a CD.

use std::fmt::Write as _;

use e2e::{fresh, rig};
use serde_json::json;

use super::{build, how, power_shell, told, windows};

const BYTES: usize = 40 << 20;

#[test]
fn large_file_comes_on_a_cd_and_the_machine_resumes_without_it() {
    let lab = rig::lab();
    let mut content = String::with_capacity(BYTES + 16);
    while content.len() < BYTES {
        writeln!(content, "{:015x}", content.len()).unwrap();
    }
    lab.write("large", content);
    let first = power_shell(&[&fresh()]);
    let file = json!({ "type": "File", "sourceUri": "large", "destination": "C:\\large.bin" });
    // It fails so that the machine is not generalized, which says nothing about the file.
    let last = |code: u8| {
        power_shell(&[
            "#!rig sh grep -q '\"what\": \"take\"' /var/lib/rig/journal && stat -c 'taken: %s' /c/large.bin",
            &format!("exit {code}"),
        ])
    };
    for (code, of_file) in [(9, "done"), (8, "cached")] {
        let done = build(&lab, &windows(&json!([first, file, last(code)])));
        let error = done.event("error");
        assert_eq!(error["target"], "properties.customize[2]", "{error}");
        assert!(told(&error).contains(&format!("status {code}")), "{error}");
        assert!(done.stdout.contains(&format!("taken: {BYTES}")), "{}", done.stdout);
        assert_eq!(how(&done, "customize[1]"), of_file, "{}", done.stdout);
        let resumed = json!({ "kind": "stepStarted", "step": "start", "title": "resume" });
        assert!(of_file == "done" || done.events().contains(&resumed), "{}", done.stdout);
    }
}
