//! Where the service keeps its files is nobody's business but the administrator's: in what a client
//! reads, the folders are words. The log of the service itself has the paths.
//!
//! Every answer passes [`Conceal::answer`], every event and log line of a run passes the journal.

use std::borrow::Cow;

use engine::may_wait;
use images::{error::Error, event::Event, layout::Layout};
use serde_json::Value;

/// The folders, and the words for them.
#[derive(Debug, Clone, Default)]
pub struct Conceal {
    folders: Vec<(String, &'static str)>,
}

/// Fields in which the service speaks; all others give back what a client sent.
const SPOKEN: [&str; 6] =
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
            // One folder may be inside the other.
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

    /// Changes the strings of a value: all of them, or those in which the service speaks.
    fn value(&self, value: &mut Value, is_spoken: bool) {
        match value {
            Value::String(text) if is_spoken => self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|one| self.value(one, is_spoken)),
            Value::Object(object) => {
                for (name, one) in object {
                    self.value(one, is_spoken || SPOKEN.contains(&name.as_str()));
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The body of a JSON answer, if it is to be another.
    pub fn answer(&self, body: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(body).ok().filter(|text| self.is_needed(text))?;
        let mut value: Value = serde_json::from_str(text).ok()?;
        self.value(&mut value, false);
        Some(value.to_string().into_bytes())
    }

    /// An event of a run. What the guest printed stays as it is.
    pub fn event<'e>(&self, event: &'e Event) -> Cow<'e, Event> {
        if self.folders.is_empty() || matches!(event, Event::StepOutput { .. }) {
            return Cow::Borrowed(event);
        }
        let Ok(mut value) = serde_json::to_value(event) else { return Cow::Borrowed(event) };
        self.value(&mut value, true);
        serde_json::from_value(value).map_or(Cow::Borrowed(event), Cow::Owned)
    }

    /// An error as a run's log and events have it.
    pub fn error(&self, error: &Error) -> Error {
        let mut told = Error::new(error.code, error.message.clone());
        told.hint.clone_from(&error.hint);
        told.details.clone_from(&error.details);
        told.step.clone_from(&error.step);
        told.target.clone_from(&error.target);
        let texts = std::iter::once(&mut told.message)
            .chain(&mut told.hint)
            .chain(&mut told.target)
            .chain(&mut told.details);
        texts.for_each(|text| self.text(text));
        told
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
    fn only_what_the_service_says_is_changed() {
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
    fn events_and_errors_of_a_run_name_no_folder() {
        let warning = Event::Warning { text: "look at /srv/goldsmith/x".to_owned() };
        let Event::Warning { text } = conceal().event(&warning).into_owned() else { panic!() };
        assert_eq!(text, "look at <data folder>/x");
        let error = Error::new(ErrorCode::Conflict, "in /srv/goldsmith/cache/a")
            .hint("see /srv/goldsmith/b")
            .details(["/srv/goldsmith/c".to_owned()]);
        let told = conceal().error(&error);
        assert_eq!(told.message, "in <cache folder>/a");
        assert_eq!(told.hint.as_deref(), Some("see <data folder>/b"));
        assert_eq!(told.details, ["<data folder>/c"]);
    }
}
