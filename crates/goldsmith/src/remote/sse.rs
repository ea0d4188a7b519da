//! An incremental parser of server-sent events.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) data: String,
}

/// Stores the bytes of an incomplete event.
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
    id: String,
    data: Vec<String>,
}

impl Parser {
    /// Adds bytes and returns the events that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.rest.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            messages.extend(self.line(line.trim_end_matches(['\r', '\n'])));
        }
        messages
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty())
                .then(|| Message { id: self.id.clone(), data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data.push(value.to_owned()),
            "id" => value.clone_into(&mut self.id),
            // Comments only keep the connection alive; the service sends no other fields.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feed_returns_events_for_any_split_of_bytes() {
        let text = b": hello\nid: 1\ndata: {\"a\":1}\n\nid:2\r\ndata: x\r\ndata: y\r\n\r\n";
        let mut parser = Parser::default();
        let events: Vec<Message> = text.iter().flat_map(|byte| parser.feed(&[*byte])).collect();
        let message = |id: &str, data: &str| Message { id: id.into(), data: data.into() };
        assert_eq!(events, [message("1", "{\"a\":1}"), message("2", "x\ny")]);
    }
}
