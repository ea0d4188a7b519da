//! What a database knows of things that have files, read without changing anything, its schema included.

use std::collections::HashSet;

use sqlx::{AnyConnection, Connection as _};

use super::{Error, installation::Looker};

/// Names, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Names of storage accounts, those that were deleted and still have files too.
    pub accounts: HashSet<String>,
    /// Ids of runs, in the same way.
    pub runs: HashSet<String>,
    /// Resource ids of managed images and versions.
    pub images: HashSet<String>,
    /// Accounts of templates that are being created have no row of their own yet: their templates' hidden parts.
    pub templates: String,
}

/// Reads the names.
///
/// # Errors
/// The database cannot be read.
pub async fn known(url: &str) -> Result<Known, Error> {
    let mut connection = AnyConnection::connect(url).await?;
    let mut looker = Looker::new(url, &mut connection);
    let mut known = Known::default();
    let accounts =
        "SELECT LOWER(name) FROM resources WHERE kind = 'microsoft.storage/storageaccounts'";
    let images = "SELECT key FROM resources WHERE kind IN \
                  ('microsoft.compute/images', 'microsoft.compute/galleries/images/versions')";
    let templates = "SELECT hidden FROM resources WHERE kind = \
                     'microsoft.virtualmachineimages/imagetemplates'";
    known.accounts.extend(looker.names("resources", accounts).await?);
    known.images.extend(looker.names("resources", images).await?);
    known.templates = looker.names("resources", templates).await?.join("\n");
    known.runs.extend(looker.names("runs", "SELECT id FROM runs").await?);
    let deleted = "SELECT name FROM tombstones WHERE kind = 'account'";
    known.accounts.extend(looker.names("tombstones", deleted).await?);
    let deleted = "SELECT name FROM tombstones WHERE kind = 'run'";
    known.runs.extend(looker.names("tombstones", deleted).await?);
    connection.close().await?;
    Ok(known)
}
