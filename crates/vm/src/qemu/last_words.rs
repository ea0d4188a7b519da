//! The last output of QEMU, for the error of a machine that ended.

use std::{fs, path::Path};

use crate::may_wait;

/// How many bytes of the log are quoted.
const LAST_WORDS: usize = 2000;

/// The end of QEMU's output, without the arguments that it repeats in its messages.
pub(super) fn last_words(log: &Path) -> String {
    may_wait(|| {
        let bytes = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS)..]);
        let lines: Vec<&str> = text.trim().lines().map(essence).collect();
        lines.join("\n")
    })
}

fn essence(line: &str) -> &str {
    let line = line.split_once("qemu-system-x86_64: ").map_or(line, |(_, rest)| rest);
    if line.starts_with("-blockdev {") {
        return line.rsplit_once("}: ").map_or(line, |(_, rest)| rest);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_omit_qemu_arguments() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let output = "/usr/bin/qemu-system-x86_64: -blockdev {\"driver\":\"qcow2\",\"file\":{}}: Could not open 'x'\n\
                    qemu-system-x86_64: warning: odd\nplain\n";
        fs::write(log.path(), output).unwrap();
        assert_eq!(last_words(log.path()), "Could not open 'x'\nwarning: odd\nplain");
        assert_eq!(last_words(Path::new("/no/such/log")), "");
    }
}
