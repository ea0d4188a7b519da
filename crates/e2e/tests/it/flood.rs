//! A guest that writes without end, for a short time; `floods.rs` has the long test.

use std::time::Duration;

use e2e::{Lab, fresh, template};
use rustix::process::Signal;
use serde_json::json;

const MIB: u64 = 1024 * 1024;
/// How many lines of the flood to wait for: ten times the limit of the log.
const LINES: u64 = 10_000;
const LINE: usize = 1000;

#[test]
fn flooding_script_has_bounded_memory_and_log_and_cancels_within_10_s() {
    let lab = Lab::new();
    let flood = format!(
        "yes $(printf %0{LINE}d 0) | awk '{{ print NR, $0 }} NR % 1000 == 0 {{ print \"line\", NR }}'"
    );
    let customize = json!([{ "type": "Shell", "inline": [fresh(), flood] }]);
    let file = lab.write("a.json", template(&customize));
    let mut running = lab.start(&["build", file.to_str().unwrap(), "--log-mib", "1"]);
    running.wait_for_output(&format!("line {LINES}"));
    let resident = running.resident();
    running.signal(Signal::INT);
    let done = running.end_within(Duration::from_secs(10));
    assert_eq!(done.code, 130, "{}", done.stderr);
    println!("{} MiB resident", resident / MIB);
    assert!(resident < 150 * MIB, "{} MiB", resident / MIB);

    let run = done.event("runStarted")["runId"].as_str().unwrap().to_owned();
    let log = lab.cache().join("logs").join(run).join("customization.log");
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.len() as u64 <= MIB + 1000, "{} bytes", text.len());
    assert!(text.trim_end().ends_with("bytes more"), "{}", &text[text.len() - 100..]);
    lab.assert_clean();
}
