//! Failed logins: they are of no subscription, so they are in the files only.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Activities;

/// Logins between two writes of the stream. Further ones are counted.
const KEPT: usize = 60;

#[derive(Debug, Default)]
pub(crate) struct Logins {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Value>,
    more: u64,
}

impl Activities {
    /// Records a failed login.
    pub fn login_failed(&self, client_id: &str, address: Option<&str>, code: u32) {
        // A client id is a GUID: other texts may be a secret in the wrong field.
        let id = uuid::Uuid::try_parse(client_id).is_ok().then_some(client_id);
        let mut waiting = self.logins.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() >= KEPT {
            waiting.more += 1;
            return;
        }
        waiting.lines.push_back(line(id, address, json!({ "errorCode": code })));
    }

    /// The failed logins since the last call.
    pub(crate) fn failed_logins(&self) -> Vec<Value> {
        let mut waiting = self.logins.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<Value> = waiting.lines.drain(..).collect();
        let more = std::mem::take(&mut waiting.more);
        if more > 0 {
            lines.push(line(None, None, json!({ "more": more })));
        }
        lines
    }

    /// Takes lines back that could not be written. Beyond the limit, the oldest are kept, and others are counted.
    pub(crate) fn keep_failed_logins(&self, lines: Vec<Value>) {
        let mut waiting = self.logins.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = std::mem::take(&mut waiting.lines);
        for line in lines.into_iter().chain(newer) {
            if let Some(more) = line["properties"]["more"].as_u64() {
                waiting.more += more;
            } else if waiting.lines.len() < KEPT {
                waiting.lines.push_back(line);
            } else {
                waiting.more += 1;
            }
        }
    }
}

fn line(client_id: Option<&str>, address: Option<&str>, properties: Value) -> Value {
    json!({
        "eventTimestamp": format!("{:.7}", Timestamp::now()),
        "category": { "value": "SignIn", "localizedValue": "SignIn" },
        "status": { "value": "Failed", "localizedValue": "Failed" },
        "caller": client_id,
        "httpRequest": { "clientIpAddress": address },
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_could_not_be_written_come_again_in_order_and_bounded() {
        let activities = Activities::default();
        for code in 0..70 {
            activities.login_failed("a", None, code);
        }
        let lines = activities.failed_logins();
        activities.login_failed("a", None, 99);
        activities.keep_failed_logins(lines.clone());
        let again = activities.failed_logins();
        assert_eq!(again[..KEPT], lines[..KEPT]);
        assert_eq!(again[KEPT]["properties"]["more"], 11);
        assert!(activities.failed_logins().is_empty());
    }
}
