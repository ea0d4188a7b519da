//! A VHD at an address of one's own: the blob of a storage account that `goldsmith.toml` gives a place.
//!
//! ```text
//! https://<account>.blob.core.windows.net/<container>/<blob>   ->   <place of the account>/<container>/<blob>
//! ```
//!
//! The blob appears at once, when all of it is there: a folder gets it by one rename, with its holes; an object store
//! by the end of an upload in parts. It is replaced if it is there, as in Azure. Doing it again for the same disk does
//! nothing.

use std::{fs, path::Path};

use api::{ErrorCode, uri::shown};
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, PutMultipartOptions, PutPayload,
    path::Path as Key,
};
use reqwest::Url;

use crate::{
    config::{Account, Config, Place},
    cx::Cx,
    error::{Error, Result},
    image_file::{
        artifact::Artifact,
        digest::Stamp,
        io_fault,
        partial::{Existing, Partial},
        place::link_or_copy,
    },
    replicate,
};

/// Bytes of one part of an upload. Object stores allow 10,000 parts (S3) or more: disks of 156 GiB.
const PART: usize = 16 << 20;
/// Where an object says what it holds.
const DIGEST: &str = "sha256";

/// A blob in an account that has a place.
#[derive(Debug)]
pub(super) struct Blob<'a> {
    account: &'a Account,
    container: String,
    name: String,
}

/// The blob that an address means.
pub(super) fn find<'a>(config: &'a Config, uri: &str) -> Result<Blob<'a>> {
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
    let path = percent_decoded(url.path().trim_start_matches('/'));
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

/// What a URL's path means; bytes that are no text stay as they are written.
fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = path.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

/// Writes the VHD there. Gives the file where the account is a folder.
pub(super) async fn write(
    cx: &Cx,
    blob: &Blob<'_>,
    vhd: &Artifact,
    run_id: &str,
) -> Result<Option<std::path::PathBuf>> {
    let Blob { account, container, name } = blob;
    match &account.place {
        Place::Folder(folder) => {
            // A folder that is not mounted is not made.
            replicate::open(&account.place)?;
            let path = folder.join(container).join(name);
            to_file(cx, vhd, &path, run_id).await?;
            Ok(Some(path))
        }
        Place::Url(_) => {
            let store = replicate::open(&account.place)?;
            let key = Key::from_iter(std::iter::once(container.as_str()).chain(name.split('/')));
            tokio::select! {
                biased;
                () = cx.cancel.cancelled() => {
                    Err(Error::new(ErrorCode::Canceled, "the upload was canceled"))
                }
                done = upload(cx, store.as_ref(), &key, vhd) => done.map(|()| None),
            }
        }
    }
}

async fn to_file(cx: &Cx, vhd: &Artifact, path: &Path, run_id: &str) -> Result<()> {
    let fault = |e| io_fault(e, ErrorCode::DistributeFailed, format!("write {}", path.display()));
    if Stamp::at(path).is_ok_and(|stamp| stamp == vhd.stamp) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(fault)?;
    let partial = Partial::create(path, run_id).map_err(fault)?;
    // A link where there can be one takes no room; the file that was made for the name goes.
    let linked = fs::remove_file(partial.path())
        .and_then(|()| link_or_copy(&vhd.path, partial.path(), &cx.cancel));
    linked.map_err(fault)?;
    partial.finish(Existing::Replace).map_err(fault)
}

async fn upload(cx: &Cx, store: &dyn ObjectStore, key: &Key, vhd: &Artifact) -> Result<()> {
    let fault = |why: String| {
        Error::new(ErrorCode::DistributeFailed, format!("the blob {key} cannot be written: {why}"))
    };
    let said = |e: object_store::Error| fault(replicate::reason(&e));
    let head = GetOptions { head: true, ..GetOptions::default() };
    let digest = Attribute::Metadata(DIGEST.into());
    if let Ok(there) = store.get_opts(key, head).await
        && there.attributes.get(&digest).is_some_and(|own| **own == *vhd.sha256)
    {
        return Ok(());
    }
    let attributes = Attributes::from_iter([(digest, vhd.sha256.clone())]);
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let mut upload = store.put_multipart_opts(key, options).await.map_err(said)?;
    let activity = format!("upload {key}");
    let sent = parts(cx, vhd, &activity, &mut upload).await;
    cx.events.progress_ended(&activity);
    match sent {
        Ok(()) => upload.complete().await.map(|_| ()).map_err(said),
        Err(why) => {
            if let Err(e) = upload.abort().await {
                tracing::warn!(error = %e, "parts of an upload may stay");
            }
            Err(fault(why))
        }
    }
}

async fn parts(
    cx: &Cx,
    vhd: &Artifact,
    activity: &str,
    upload: &mut Box<dyn object_store::MultipartUpload>,
) -> Result<(), String> {
    use tokio::io::AsyncReadExt;
    let text = |e: std::io::Error| e.to_string();
    let mut file = tokio::fs::File::open(&vhd.path).await.map_err(text)?;
    let total = file.metadata().await.map_err(text)?.len();
    let mut done = 0;
    while done < total {
        let length = PART.min(usize::try_from(total - done).unwrap_or(PART));
        let mut part = vec![0; length];
        file.read_exact(&mut part).await.map_err(text)?;
        let sent = upload.put_part(PutPayload::from(part)).await;
        sent.map_err(|e| replicate::reason(&e))?;
        done += length as u64;
        cx.events.progress(activity, done, Some(total));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let place = Place::Folder("/srv/blobs".into());
        Config { accounts: vec![Account { name: "images".into(), place }], ..Config::default() }
    }

    #[test]
    fn an_address_leads_into_the_place_of_its_account() {
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
    fn what_is_no_blob_of_ours_is_refused_with_the_field_and_the_way_out() {
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
