//! A storage place as an object store: a folder, a bucket of S3, a container of Azure.

use std::{fs, io, sync::Arc, time::Duration};

use api::ErrorCode;
use images::{
    config::StorageLocation,
    error::{Coded, Error, Result},
};
use object_store::{
    ObjectStore, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, local::LocalFileSystem, prefix::PrefixStore,
};
use reqwest::Url;

/// How long a failing request is retried before its region counts as failed.
const RETRY: Duration = Duration::from_secs(60);
const RETRIES: usize = 5;

/// Opens a place. Creates the last folder of its path. The parent must exist: a disk that is not
/// mounted must not be mistaken for an empty place.
///
/// # Errors
/// `HostNotReady`: the folder cannot be created, or the URL cannot be used.
pub fn open(place: &StorageLocation) -> Result<Arc<dyn ObjectStore>> {
    match place {
        StorageLocation::Folder(path) => {
            let fail = || format!("the folder {} cannot be used", path.display());
            match fs::create_dir(path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => Ok(()),
            }
            .code(ErrorCode::HostNotReady, fail)?;
            let store =
                LocalFileSystem::new_with_prefix(path).code(ErrorCode::HostNotReady, fail)?;
            Ok(Arc::new(store))
        }
        StorageLocation::Url(url) => remote(url),
    }
}

fn remote(text: &str) -> Result<Arc<dyn ObjectStore>> {
    // An error means that a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fail = || format!("the object store {text} cannot be used");
    let url = Url::parse(text).code(ErrorCode::HostNotReady, fail)?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).code(ErrorCode::HostNotReady, fail)?;
    let retry =
        RetryConfig { max_retries: RETRIES, retry_timeout: RETRY, ..RetryConfig::default() };
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(text).with_retry(retry);
            Arc::new(builder.build().code(ErrorCode::HostNotReady, fail)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(text).with_retry(retry);
            Arc::new(builder.build().code(ErrorCode::HostNotReady, fail)?)
        }
        _ => {
            return Err(Error::new(ErrorCode::HostNotReady, fail())
                .hint("a place is a folder, s3://BUCKET/PREFIX or az://CONTAINER/PREFIX"));
        }
    };
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// An object store's error for a message: the innermost cause, since the outer ones only repeat it.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (outer, inner) = (error.to_string(), innermost.to_string());
    if outer.contains(&inner) || inner.is_empty() { outer } else { format!("{outer} ({inner})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_created_without_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("eastus");
        open(&StorageLocation::Folder(place.clone())).unwrap();
        open(&StorageLocation::Folder(place.clone())).unwrap();
        assert!(place.is_dir());
        let error = open(&StorageLocation::Folder(dir.path().join("mnt/eastus"))).unwrap_err();
        assert_eq!(error.code, ErrorCode::HostNotReady);
        assert!(error.message.contains("mnt/eastus"), "{}", error.message);
    }

    #[test]
    fn unsupported_store_is_rejected_with_supported_ones() {
        for url in ["gs://bucket/x", "http://127.0.0.1/x", "s4://x"] {
            let error = open(&StorageLocation::Url(url.into())).unwrap_err();
            assert!(error.message.contains(url), "{}", error.message);
        }
    }
}
