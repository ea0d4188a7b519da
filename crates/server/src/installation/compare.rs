//! Compares the records of both sides: a pure function.

use std::path::Path;

use api::ErrorCode;
use db::Inspection;
use images::error::Error;
use service::auth::Identity;

use super::Note;

/// The state of the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) note: Option<Note>,
    pub(super) identity: Option<Identity>,
    /// Whether it has images, or blobs or logs of the service.
    pub(super) has_content: bool,
}

/// The two belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// Both have the same installation.
    Same,
    /// Neither has one: both are new, or from a release that did not record it.
    New,
    /// Only the database has this one: a crash came between the two writes.
    FolderIsBehind(String),
}

/// The two do not belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The database is empty, or missing, and the folder is not.
    EmptyDatabase,
    /// The database has content and the folder is new.
    EmptyFolder,
    /// They belong to different installations.
    Other,
    /// The database is an older copy.
    Older { database: i64, folder: i64 },
}

/// Whether a folder and a database belong together.
pub(super) fn compare(folder: &Folder, database: &Inspection) -> Result<Match, Mismatch> {
    let is_ours = |subscription: &str| {
        folder
            .identity
            .as_ref()
            .is_some_and(|own| own.subscription.to_string().eq_ignore_ascii_case(subscription))
    };
    match (&folder.note, &database.installation) {
        (Some(note), Some(row)) => {
            if note.id != row.id || !is_ours(&row.subscription) {
                Err(Mismatch::Other)
            } else if row.mark < note.mark {
                Err(Mismatch::Older { database: row.mark, folder: note.mark })
            } else {
                Ok(Match::Same)
            }
        }
        (Some(_), None) if database.has_content => Err(Mismatch::Other),
        (Some(_), None) => Err(Mismatch::EmptyDatabase),
        (None, Some(row)) if is_ours(&row.subscription) => {
            Ok(Match::FolderIsBehind(row.id.clone()))
        }
        (None, Some(_)) if folder.identity.is_none() => Err(Mismatch::EmptyFolder),
        (None, Some(_)) => Err(Mismatch::Other),
        (None, None) => match (folder.identity.is_some(), database.has_content) {
            (false, true) => Err(Mismatch::EmptyFolder),
            (true, true) if database.subscriptions.iter().all(|id| is_ours(id)) => Ok(Match::New),
            (true, true) => Err(Mismatch::Other),
            (true, false) if folder.has_content => Err(Mismatch::EmptyDatabase),
            (_, false) => Ok(Match::New),
        },
    }
}

impl Mismatch {
    pub(super) fn error(&self, dir: &Path) -> Error {
        let dir = dir.display();
        let (message, remedy) = match self {
            Self::EmptyDatabase => (
                format!("the database is empty, and {dir} was used with another one"),
                "check --database and GOLDSMITH_DATABASE, or restore the database (goldsmith admin restore)",
            ),
            Self::EmptyFolder => (
                format!("the database was used with another data folder, and {dir} is empty"),
                "check --data-dir, or restore the folder (goldsmith admin restore)",
            ),
            Self::Other => (
                format!("the database and {dir} belong to different installations"),
                "check --database, GOLDSMITH_DATABASE and --data-dir",
            ),
            Self::Older { database, folder } => (
                format!(
                    "the database is older than {dir}: it has {database} commits, and the folder has seen {folder}"
                ),
                "restore the newest database, or database and folder from one backup (goldsmith admin restore)",
            ),
        };
        Error::new(ErrorCode::Conflict, message).target("--database").hint(format!(
            "{remedy}; to combine these two permanently, run `goldsmith admin adopt` with the same flags: \
             it removes nothing, and goldsmith doctor lists files that the database does not know"
        ))
    }
}
