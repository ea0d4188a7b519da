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
