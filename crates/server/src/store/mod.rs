//! What the service knows, in SQL: SQLite by default, PostgreSQL by address, one set of queries.
//!
//! Everything is written by [`Store::commit`]: a list of writes, all or none, on disk when it returns.

mod error;
mod model;

pub use error::Error;
pub use model::{
    Client, Operation, OperationStatus, Page, Resource, ResourceKey, Run, RunState, Select, Write,
};

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// All of the writes or none; durable when it returns.
    pub async fn commit(&self, _writes: Vec<Write>) -> Result<(), Error> {
        Err(Error::Stale { key: "not written yet".to_owned() })
    }

    /// One resource or group.
    pub async fn resource(&self, _key: &ResourceKey) -> Result<Option<Resource>, Error> {
        Ok(None)
    }

    /// A page of resources.
    pub async fn list(&self, _select: &Select) -> Result<Page, Error> {
        Ok(Page { resources: Vec::new(), next: None })
    }

    /// One operation.
    pub async fn operation(&self, _id: &str) -> Result<Option<Operation>, Error> {
        Ok(None)
    }

    /// Every operation that is not over, oldest first.
    pub async fn unfinished_operations(&self) -> Result<Vec<Operation>, Error> {
        Ok(Vec::new())
    }

    /// One run.
    pub async fn run(&self, _id: &str) -> Result<Option<Run>, Error> {
        Ok(None)
    }

    /// The runs of a template, newest first, at most so many.
    pub async fn runs_of(&self, _template: &ResourceKey, _limit: u32) -> Result<Vec<Run>, Error> {
        Ok(Vec::new())
    }

    /// Every run that is not over, oldest first.
    pub async fn unfinished_runs(&self) -> Result<Vec<Run>, Error> {
        Ok(Vec::new())
    }

    /// All service principals, oldest first, the revoked ones too.
    pub async fn clients(&self) -> Result<Vec<Client>, Error> {
        Ok(Vec::new())
    }

    /// One service principal.
    pub async fn client(&self, _client_id: &str) -> Result<Option<Client>, Error> {
        Ok(None)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
