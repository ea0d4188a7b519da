//! The rows of a database that own files, read without changing the database or its schema.

use std::collections::HashSet;

use super::{Error, connection::Connection, installation::Inspector};

/// Names of owners of files, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOwners {
    /// Storage accounts, including deleted ones whose files remain.
    pub accounts: HashSet<String>,
    /// Ids of runs, including deleted ones whose files remain.
    pub runs: HashSet<String>,
    /// Resource ids of managed images and versions.
    pub images: HashSet<String>,
    /// The ids of the subscriptions, in lower case. The first one may have no row yet.
    pub subscriptions: HashSet<String>,
    /// The hidden parts of all templates: they name accounts that have no row until the template is created.
    pub templates: String,
}

/// Reads the names.
///
/// # Errors
/// The database cannot be read.
pub async fn file_owners(url: &str) -> Result<FileOwners, Error> {
    let mut connection = Connection::open(url).await?;
    let mut inspector = Inspector::new(url, &mut connection);
    let mut owners = FileOwners::default();
    let accounts =
        "SELECT LOWER(name) FROM resources WHERE kind = 'microsoft.storage/storageaccounts'";
    let images = "SELECT key FROM resources WHERE kind IN \
                  ('microsoft.compute/images', 'microsoft.compute/galleries/images/versions')";
    let templates = "SELECT hidden FROM resources WHERE kind = \
                     'microsoft.virtualmachineimages/imagetemplates'";
    owners.accounts.extend(inspector.names("resources", accounts).await?);
    owners.images.extend(inspector.names("resources", images).await?);
    let subscriptions = "SELECT id FROM subscriptions";
    owners.subscriptions.extend(inspector.names("subscriptions", subscriptions).await?);
    owners.templates = inspector.names("resources", templates).await?.join("\n");
    owners.runs.extend(inspector.names("runs", "SELECT id FROM runs").await?);
    let deleted = "SELECT name FROM tombstones WHERE kind = 'account'";
    owners.accounts.extend(inspector.names("tombstones", deleted).await?);
    let deleted = "SELECT name FROM tombstones WHERE kind = 'run'";
    owners.runs.extend(inspector.names("tombstones", deleted).await?);
    connection.close().await?;
    Ok(owners)
}
