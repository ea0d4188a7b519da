//! The scripts that run in the guest, and the version of all of them for keys.

use images::digest::digest;

/// One of goldsmith's scripts: its text begins with `# goldsmith: NAME`.
macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) const $name: &str = include_str!(concat!("scripts/", $file, ".ps1"));)*

        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($file, $name),)*];
    };
}

scripts! {
    ADDRESS = "address";
    ANSWERS = "answers";
    BOOT_ID = "boot-id";
    BOOTSTRAP = "bootstrap";
    CLOCK = "clock";
    DEPROVISION = "deprovision";
    DISKS = "disks";
    EXTEND = "extend";
    FINISH = "finish";
    FIRST = "first";
    GENERALIZE = "generalize";
    JOB_END = "job-end";
    JOB_POLL = "job-poll";
    JOB_START = "job-start";
    LAUNCH = "launch";
    OPTIMIZE = "optimize";
    RUN = "run";
    SETTLED = "settled";
    SYNC = "sync";
    TAKE = "take";
    UPDATE_ROUND = "update-round";
    UPLOAD = "upload";
}

/// What a job's task runs.
pub(super) const JOB: &str = include_str!("scripts/job.cmd");

/// The line behind which [`ANSWERS`] goes.
const PARAMETERS: &str = "param($a, $lines)\n";

/// A script as it is sent, with what the scripts have in common.
pub(super) fn complete(script: &str) -> String {
    if script == RUN {
        // The template's script runs in it: it sees as little of ours as possible.
        return script.to_owned();
    }
    script.replacen(PARAMETERS, &format!("{PARAMETERS}{ANSWERS}"), 1)
}

/// The name of a script, from its first line.
pub(super) fn name(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("# goldsmith: ")
}

/// The digest of scripts, for the key of what they do.
pub(super) fn version(scripts: &[&str]) -> String {
    let all: Vec<&str> = [BOOTSTRAP, ANSWERS].iter().chain(scripts).copied().collect();
    digest(all.join("\0").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_begins_with_its_name() {
        for (file, text) in ALL {
            assert_eq!(name(text), Some(*file));
            assert!(
                text.is_ascii(),
                "{file}: Windows PowerShell reads files without a mark in its own code page"
            );
        }
    }

    #[test]
    fn every_script_that_answers_gets_the_means() {
        for (file, text) in ALL {
            if text.contains("Write-Answer") && *file != "answers" {
                assert!(complete(text).contains("function Write-Answer"), "{file}");
            }
        }
    }
}
