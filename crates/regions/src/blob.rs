//! Addresses of blobs, in storage accounts that have a place in `goldsmith.toml`.
//!
//! ```text
//! https://<account>.blob.core.windows.net/<container>/<blob>   ->   <place of the account>/<container>/<blob>
//! ```
//!
//! [`upload`](crate::upload) sends a blob to an object store.

use api::{ErrorCode, uri::shown};
use images::{
    config::{Account, Config},
    error::{Error, Result},
};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// A blob in an account that has a place.
#[derive(Debug)]
pub struct Blob<'a> {
    /// Its account.
    pub account: &'a Account,
    pub container: String,
    /// Its name, with folders.
    pub name: String,
}

/// The blob of an address.
///
/// # Errors
/// `ValidationFailed`: it is not the address of a blob, or its account has no place.
pub fn find<'a>(config: &'a Config, uri: &str) -> Result<Blob<'a>> {
    let bad = |why: &str| {
        Error::new(ErrorCode::ValidationFailed, format!("`{}`: {why}", shown(uri)))
            .target("uri")
            .hint("a blob is https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB")
    };
    let url = Url::parse(uri).map_err(|e| bad(&e.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("a blob's address has no query or token"));
    }
    let host = url.host_str().unwrap_or_default();
    let account = match host.split_once('.') {
        Some((account, rest)) if rest.starts_with("blob.") && url.scheme() == "https" => account,
        _ => return Err(bad("it is not the address of a blob in a storage account")),
    };
    let path = url.path().trim_start_matches('/');
    // Bytes that are not valid text stay encoded.
    let path = percent_decode_str(path).decode_utf8().unwrap_or(path.into());
    let (container, name) = path.split_once('/').unwrap_or((&path, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good_container =
        (3..=63).contains(&container.len()) && container.chars().all(plain) || container == "$web";
    if !good_container {
        return Err(bad("a container has 3 to 63 lower-case letters, digits or '-'"));
    }
    let good =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    if !name.split('/').all(good) || name.len() > 1024 {
        return Err(bad("it names no blob"));
    }
    let account = config.account(account).ok_or_else(|| {
        let known: Vec<_> = config.accounts.iter().map(|account| account.name.as_str()).collect();
        let there = match known.as_slice() {
            [] => "there are none".to_owned(),
            known => format!("there are {}", known.join(", ")),
        };
        Error::new(
            ErrorCode::ValidationFailed,
            format!(
                "the storage account '{account}' of `{}` has no place here: {there}",
                shown(uri)
            ),
        )
        .target("uri")
        .hint(format!(
            "give '{account}' a place, an [[account]] in goldsmith.toml, or leave `uri` out"
        ))
    })?;
    Ok(Blob { account, container: container.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use images::config::StorageLocation;

    use super::*;

    fn config() -> Config {
        let place = StorageLocation::Folder("/srv/blobs".into());
        Config { accounts: vec![Account { name: "images".into(), place }], ..Config::default() }
    }

    #[test]
    fn address_maps_into_the_place_of_its_account() {
        let config = config();
        for uri in [
            "https://images.blob.core.windows.net/vhds/web/one.vhd",
            "https://IMAGES.blob.core.usgovcloudapi.net/vhds/web%2Fone.vhd",
        ] {
            let blob = find(&config, uri).unwrap();
            assert_eq!((blob.container.as_str(), blob.name.as_str()), ("vhds", "web/one.vhd"));
        }
    }

    #[test]
    fn foreign_address_is_rejected_with_field_and_hint() {
        let config = config();
        let cases = [
            ("https://other.blob.core.windows.net/vhds/x.vhd", "'other' of"),
            ("https://images.blob.core.windows.net/vhds/x.vhd?sv=1&sig=2", "no query or token"),
            ("http://images.blob.core.windows.net/vhds/x.vhd", "not the address of a blob"),
            ("https://example.com/vhds/x.vhd", "not the address of a blob"),
            ("https://images.blob.core.windows.net/VHDs/x.vhd", "a container has"),
            ("https://images.blob.core.windows.net/vhds", "names no blob"),
            ("https://images.blob.core.windows.net/vhds/", "names no blob"),
            ("https://images.blob.core.windows.net/vhds/a//b", "names no blob"),
            ("https://images.blob.core.windows.net/vhds/%2e%2e/%2e%2e/x", "a container has"),
            ("https://images.blob.core.windows.net/vhds/a%2F..%2F..%2Fx", "names no blob"),
        ];
        for (uri, text) in cases {
            let error = find(&config, uri).unwrap_err();
            assert_eq!(error.code, ErrorCode::ValidationFailed, "{uri}");
            assert!(error.message.contains(text), "{uri}: {}", error.message);
            assert_eq!(error.target.as_deref(), Some("uri"));
            assert!(error.hint.is_some());
        }
        let none = Config::default();
        let error = find(&none, "https://a.blob.core.windows.net/vhds/x.vhd").unwrap_err();
        assert!(error.message.ends_with("there are none"), "{}", error.message);
    }
}
