//! Conceals the service's folders from clients: placeholders replace their paths. The service's own log
//! has the paths.
//!
//! Every response passes through [`Conceal::answer`], every event and log line of a run through the journal.

use std::borrow::Cow;

use engine::may_wait;
use images::{error::Error, event::Event, layout::Layout};
use serde_json::Value;

/// The paths of folders and their placeholders.
#[derive(Debug, Clone, Default)]
pub struct Conceal {
    folders: Vec<(String, &'static str)>,
}

/// Fields with the service's own messages; all other fields repeat a client's data.
const MESSAGES: [&str; 6] =
    ["error", "message", "hint", "details", "error_description", "provisioningError"];

impl Conceal {
    pub fn of(layout: &Layout) -> Self {
        may_wait(|| {
            let mut folders = Vec::new();
            for (folder, word) in
                [(layout.data(), "<data folder>"), (layout.cache(), "<cache folder>")]
            {
                let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
                for path in [folder, &real] {
                    let path = path.to_string_lossy().trim_end_matches('/').to_owned();
                    if path.len() > 1 && !folders.iter().any(|(known, _)| *known == path) {
                        folders.push((path, word));
                    }
                }
            }
            // Longest first, as one folder may be inside another.
            folders.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
            Self { folders }
        })
    }

    fn is_needed(&self, text: &str) -> bool {
        self.folders.iter().any(|(path, _)| text.contains(path))
    }

    fn text(&self, text: &mut String) {
        for (path, word) in &self.folders {
            if text.contains(path) {
                *text = text.replace(path, word);
            }
        }
    }

    /// Changes all strings of a message, or those of all messages within a value.
    fn value(&self, value: &mut Value, is_message: bool) {
        match value {
            Value::String(text) if is_message => self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|one| self.value(one, is_message)),
            Value::Object(object) => {
                for (name, one) in object {
                    self.value(one, is_message || MESSAGES.contains(&name.as_str()));
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The changed body of a JSON response; `None` if nothing changes.
    pub fn answer(&self, body: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(body).ok().filter(|text| self.is_needed(text))?;
        let mut value: Value = serde_json::from_str(text).ok()?;
        self.value(&mut value, false);
        Some(value.to_string().into_bytes())
    }

    /// A message with concealed folders.
    pub fn message(&self, message: &str) -> String {
        let mut message = message.to_owned();
        self.text(&mut message);
        message
    }

    /// A run's event with concealed folders. Output of the guest does not change.
    pub fn event<'e>(&self, event: &'e Event) -> Cow<'e, Event> {
        if self.folders.is_empty() || matches!(event, Event::StepOutput { .. }) {
            return Cow::Borrowed(event);
        }
        let Ok(mut value) = serde_json::to_value(event) else { return Cow::Borrowed(event) };
        self.value(&mut value, true);
        serde_json::from_value(value).map_or(Cow::Borrowed(event), Cow::Owned)
    }

    /// An error with concealed folders, for a run's log and events.
    pub fn error(&self, error: &Error) -> Error {
        let mut concealed = Error::new(error.code, error.message.clone());
        concealed.hint.clone_from(&error.hint);
        concealed.details.clone_from(&error.details);
        concealed.step.clone_from(&error.step);
        concealed.target.clone_from(&error.target);
        let texts = std::iter::once(&mut concealed.message)
            .chain(&mut concealed.hint)
            .chain(&mut concealed.target)
            .chain(&mut concealed.details);
        texts.for_each(|text| self.text(text));
        concealed
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use api::ErrorCode;
    use serde_json::json;

    use super::*;

    fn conceal() -> Conceal {
        let data = PathBuf::from("/srv/goldsmith");
        Conceal::of(&Layout::new(data.join("cache"), data))
    }

    #[test]
    fn only_messages_of_the_service_are_concealed() {
        let sent = json!({
            "properties": { "customize": [{ "inline": ["ls /srv/goldsmith"] }] },
            "error": { "message": "no /srv/goldsmith/catalogue.toml", "details": [
                { "message": "nor /srv/goldsmith/cache/nodes", "target": "properties" }
            ]},
        });
        let body = conceal().answer(sent.to_string().as_bytes()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["properties"], sent["properties"]);
        assert_eq!(body["error"]["message"], "no <data folder>/catalogue.toml");
        assert_eq!(body["error"]["details"][0]["message"], "nor <cache folder>/nodes");
        assert_eq!(conceal().answer(b"{\"message\": \"nothing\"}"), None);
    }

    #[test]
    fn folders_in_events_and_errors_are_concealed() {
        let warning = Event::Warning { text: "look at /srv/goldsmith/x".to_owned() };
        let Event::Warning { text } = conceal().event(&warning).into_owned() else { panic!() };
        assert_eq!(text, "look at <data folder>/x");
        let error = Error::new(ErrorCode::Conflict, "in /srv/goldsmith/cache/a")
            .hint("see /srv/goldsmith/b")
            .details(["/srv/goldsmith/c".to_owned()]);
        let concealed = conceal().error(&error);
        assert_eq!(concealed.message, "in <cache folder>/a");
        assert_eq!(concealed.hint.as_deref(), Some("see <data folder>/b"));
        assert_eq!(concealed.details, ["<data folder>/c"]);
    }
}
