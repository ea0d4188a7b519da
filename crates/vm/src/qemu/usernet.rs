//! Queries QEMU's user-mode network. QEMU offers only text for people, which is parsed here.

use serde_json::{Value, json};

use crate::qmp;

/// One line of `info usernet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// `HOST_FORWARD`, `SYN_SENT`, `ESTABLISHED` and so on.
    pub(super) state: String,
    /// QEMU's descriptor, which identifies the connection.
    pub(super) fd: i32,
    /// The host's side.
    pub(super) source_port: u16,
    /// The guest's side.
    pub(super) dest_port: u16,
}

/// The current TCP entries of the network.
pub(super) async fn query(qmp: &qmp::Client) -> Result<Vec<Entry>, qmp::Error> {
    let arguments = json!({ "command-line": "info usernet" });
    let answer = qmp.execute("human-monitor-command", arguments).await?;
    Ok(match answer {
        Value::String(text) => parse(&text),
        _ => Vec::new(),
    })
}

/// The forwarded ports: host port and guest port.
pub(super) fn forwards(entries: &[Entry]) -> Vec<(u16, u16)> {
    let open = entries.iter().filter(|entry| entry.state == "HOST_FORWARD");
    open.map(|entry| (entry.source_port, entry.dest_port)).collect()
}

fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(entry).collect()
}

/// `TCP[HOST_FORWARD]  11  127.0.0.1 37333  10.0.2.15  22  0  0`
fn entry(line: &str) -> Option<Entry> {
    let (state, rest) = line.trim().strip_prefix("TCP[")?.split_once(']')?;
    let mut words = rest.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let source_port = words.nth(1)?.parse().ok()?;
    let dest_port = words.nth(1)?.parse().ok()?;
    Some(Entry { state: state.to_owned(), fd, source_port, dest_port })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
        TCP[SYN_SENT]      14       127.0.0.1 37333       10.0.2.15    22     0     0\r\n  \
        TCP[HOST_FORWARD]  11       127.0.0.1 37333       10.0.2.15    22     0     0\r\n  \
        UDP[65 sec]        12       10.0.2.15  4711        10.0.2.3    53     0     0\r\n";

    #[test]
    fn usernet_answer_is_parsed() {
        let entries = parse(ANSWER);
        assert_eq!(forwards(&entries), [(37333, 22)]);
        assert_eq!((entries.len(), entries[0].state.as_str(), entries[0].fd), (2, "SYN_SENT", 14));
    }
}
