//! Failures of the database.

use std::io::ErrorKind;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row does not match the condition of a write: it exists, is missing, or has another revision.
    #[error("{key} is not as expected")]
    Stale {
        /// The key of the resource or run.
        key: String,
    },
    /// Another service has taken the lease on the database.
    #[error("another service has taken the database over")]
    NotOwner,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// The kind of the database's failure; `None` for another error.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Stale { .. } | Self::NotOwner => None,
            Self::Database(error) => Some(trouble(error)),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        sqlx::Error::Io(error).into()
    }
}

/// A document in a row that its readers cannot decode.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        sqlx::Error::Decode(Box::new(error)).into()
    }
}

impl Error {
    /// Whether a retry may succeed once the database has recovered.
    pub fn is_passing(&self) -> bool {
        !matches!(self.trouble(), None | Some(Trouble::Internal))
    }
}

/// The kinds of failure that callers distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    DiskFull,
    /// Too many other users; a later retry may succeed.
    Busy,
    /// The server cannot be reached, or its disk fails.
    Unavailable,
    /// The database, or this process, is out of memory.
    OutOfMemory,
    /// Anything else: a bug, or a damaged database.
    Internal,
}

impl Trouble {
    /// A message for users, without internal details.
    pub fn text(self) -> &'static str {
        match self {
            Self::DiskFull => "the disk of the database is full",
            Self::Busy => "the database is busy",
            Self::Unavailable => "the database cannot be reached, or its disk fails",
            Self::OutOfMemory => "the database has no memory left",
            Self::Internal => "the database failed",
        }
    }
}

pub(super) fn trouble(error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::DiskFull,
            ErrorKind::OutOfMemory => Trouble::OutOfMemory,
            _ => Trouble::Unavailable,
        },
        sqlx::Error::PoolTimedOut => Trouble::Busy,
        sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Trouble::Unavailable,
        sqlx::Error::Database(error) => {
            error.code().map_or(Trouble::Internal, |code| classify(&code))
        }
        _ => Trouble::Internal,
    }
}

/// SQLite codes are decimal numbers whose low byte is the kind. PostgreSQL codes have five
/// characters; the first two are the class.
fn classify(code: &str) -> Trouble {
    match code.get(..2).filter(|_| code.len() == 5) {
        // SQLite has no codes of five digits.
        Some(class) => classify_postgres(class, code),
        None => classify_sqlite(code),
    }
}

fn classify_sqlite(code: &str) -> Trouble {
    match code.parse::<u32>().map(|code| code & 0xff) {
        // BUSY, LOCKED
        Ok(5 | 6) => Trouble::Busy,
        Ok(7) => Trouble::OutOfMemory,
        // READONLY (remounted after an error), IOERR, CANTOPEN, PROTOCOL (locks of the log)
        Ok(8 | 10 | 14 | 15) => Trouble::Unavailable,
        Ok(13) => Trouble::DiskFull,
        _ => Trouble::Internal,
    }
}

fn classify_postgres(class: &str, code: &str) -> Trouble {
    match (class, code) {
        (_, "53100") => Trouble::DiskFull,
        (_, "53200") => Trouble::OutOfMemory,
        // Too many connections; a lock or a statement timed out.
        ("53", _) | (_, "55P03" | "57014") => Trouble::Busy,
        // Connection lost; restart or failover; file errors; a standby.
        ("08" | "57" | "58", _) | (_, "25006") => Trouble::Unavailable,
        _ => Trouble::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble::*, classify};

    #[test]
    fn error_codes_of_both_databases_are_classified() {
        for (code, expected) in [
            ("13", DiskFull),
            ("5", Busy),
            ("517", Busy),
            ("262", Busy),
            ("7", OutOfMemory),
            ("10", Unavailable),
            ("1034", Unavailable),
            ("4874", Unavailable),
            ("14", Unavailable),
            ("1", Internal),
            ("11", Internal),
            ("53100", DiskFull),
            ("53200", OutOfMemory),
            ("53300", Busy),
            ("57014", Busy),
            ("57P01", Unavailable),
            ("08006", Unavailable),
            ("25006", Unavailable),
            ("58030", Unavailable),
            ("42601", Internal),
        ] {
            assert_eq!(classify(code), expected, "{code}");
        }
    }
}
