//! Stored images as the origin of other forms.

use api::ErrorCode;

use super::{Store, StoredImage};
use crate::{
    digest::{Key, KeyBuilder},
    error::{Error, Result},
    image_file::artifact::Standalone,
    run_context::RunContext,
};

/// A stored image, verified, for export.
///
/// # Errors
/// `BadImage` if its content has changed.
pub async fn stored(cx: &RunContext, image: &StoredImage) -> Result<Standalone> {
    let image = &Store::open(&cx.layout).verify(cx, image.clone()).await?;
    let digest = &image.record.digest;
    let key = Key::parse(digest).ok_or_else(|| {
        let text = format!("{} has the impossible digest `{digest}`", image.record.id);
        Error::new(ErrorCode::BadImage, text)
    })?;
    let key = image.record.data_disks.iter().fold(key, |key, disk| {
        // Images with the same OS disk but different data disks are different images.
        KeyBuilder::new(key.as_str(), "image").field("data", &disk.digest).finish()
    });
    let what = (digest.clone(), image.record.virtual_size);
    Standalone::held(&cx.layout, key, image.disk(), what, image.data()).await
}
