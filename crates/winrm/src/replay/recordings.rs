//! Reads the recordings from the folder where `scripts/recordings.sh` puts them.

use std::{fs, path::PathBuf};

use http::StatusCode;
use yaml_rust2::{Yaml, YamlLoader};

use crate::channel::Answer;

/// A conversation.
pub(super) struct Recording {
    /// The file's name without its ending.
    pub(super) name: String,
    pub(super) pairs: Vec<Pair>,
}

/// A request and its answer.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) request: String,
    /// Nothing where the connection was cut.
    pub(super) answer: Option<String>,
    pub(super) status: StatusCode,
}

impl Pair {
    /// The last part of the request's action.
    pub(super) fn action(&self) -> &str {
        between(&self.request, "Action s:mustUnderstand=\"true\">", "<").rsplit('/').next().unwrap()
    }

    /// As it came over the wire.
    pub(super) fn answer(&self) -> Option<Answer> {
        let body = self.answer.clone()?.into();
        Some(Answer { status: self.status, body })
    }
}

/// All recordings, in the order of their names.
#[allow(clippy::disallowed_methods, reason = "a test finds what was installed for it")]
pub(super) fn all() -> Vec<Recording> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("goldsmith-e2e/pypsrp-0.9.1");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| {
        let folder = folder.display();
        panic!("{folder}: {error}. scripts/recordings.sh fetches the recordings of Windows")
    });
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &PathBuf) -> Recording {
    let text = fs::read_to_string(path).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    let messages = documents[0]["messages"].as_vec().unwrap();
    let pairs = messages.iter().map(|message| Pair {
        request: message["request"].as_str().unwrap().to_owned(),
        answer: message["response"].as_str().map(ToOwned::to_owned),
        status: match &message["transport_error"]["code"] {
            Yaml::Integer(code) => u16::try_from(*code).unwrap().try_into().unwrap(),
            _ => StatusCode::OK,
        },
    });
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    Recording { name, pairs: pairs.collect() }
}

/// The text between two others; empty if they are not there.
pub(super) fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let after = text.split_once(begin).map_or("", |(_, after)| after);
    after.split_once(end).map_or("", |(inner, _)| inner)
}
