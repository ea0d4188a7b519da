//! The folder of a run.

use std::path::PathBuf;

use images::layout::Layout;

pub const EVENTS: &str = "events.jsonl";

/// The folder with a run's events and logs, which outlive the template.
pub fn of(layout: &Layout, run_id: &str) -> PathBuf {
    root(layout).join(run_id)
}

/// The folders of all runs.
pub fn root(layout: &Layout) -> PathBuf {
    layout.data().join("server").join("runs")
}

/// Whether a file in a run's folder is a public log: `customization.log`, `validation.log`.
pub fn is_log(name: &str) -> bool {
    name.strip_suffix(".log")
        .is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use crate::run_folder::is_log;

    #[test]
    fn only_public_logs_are_logs() {
        assert!(is_log("customization.log") && is_log("validation.log"));
        for other in ["events.jsonl", ".log", "../x.log", "a/b.log", "X.log", "log"] {
            assert!(!is_log(other), "{other}");
        }
    }
}
