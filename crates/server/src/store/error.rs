//! What can go wrong with the database.

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row was not as the write said it must be: it exists, is gone, or has another revision.
    #[error("{key} is not as expected")]
    Stale {
        /// Key of the resource or run.
        key: String,
    },
    /// Another service has taken the database over.
    #[error("another service has taken the database over")]
    NotOwner,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}
