//! An image of the store as a disk to make other forms of.

use api::ErrorCode;

use super::{Store, StoredImage};
use crate::{
    cx::Cx,
    digest::{Key, KeyBuilder},
    error::{Error, Result},
    image_file::artifact::Standalone,
};

/// An image of the store, verified, to be exported.
///
/// # Errors
/// `BadImage` if it is not what was stored.
pub async fn stored(cx: &Cx, image: &StoredImage) -> Result<Standalone> {
    let image = &Store::open(&cx.layout).verify(cx, image.clone()).await?;
    let digest = &image.record.digest;
    let key = Key::parse(digest).ok_or_else(|| {
        let text = format!("{} has the impossible digest `{digest}`", image.record.id);
        Error::new(ErrorCode::BadImage, text)
    })?;
    let key = image.record.data_disks.iter().fold(key, |key, disk| {
        // Images with the same disk and other data disks are other images.
        KeyBuilder::new(key.as_str(), "image").field("data", &disk.digest).finish()
    });
    let what = (digest.clone(), image.record.virtual_size);
    Standalone::held(&cx.layout, key, image.disk(), what, image.data()).await
}
