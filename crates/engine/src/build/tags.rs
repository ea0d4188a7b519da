//! Tags of a template that goldsmith reads, for what Azure's templates have no field for. Each is
//! `true` or `false`.

use api::ErrorCode;
use images::error::{Error, Result};

use crate::template::Template;

/// The tag of a template whose scripts rely on what cloud-init does at a first boot: with `true`,
/// cloud-init runs in the build machine before them.
pub const CLOUD_INIT_TAG: &str = "goldsmith.cloudInit";
/// The tag of a template whose machine's firmware starts only signed boot loaders.
pub const SECURE_BOOT_TAG: &str = "goldsmith.secureBoot";
/// The tag of a template whose machine has a virtual TPM.
pub const TPM_TAG: &str = "goldsmith.tpm";

/// The tags of a template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags {
    /// [`CLOUD_INIT_TAG`].
    pub runs_cloud_init: bool,
    /// [`SECURE_BOOT_TAG`].
    pub secure_boot: bool,
    /// [`TPM_TAG`].
    pub tpm: bool,
}

impl Tags {
    /// Reads them.
    ///
    /// # Errors
    /// `ValidationFailed`: a tag has another value than `true` or `false`; several are combined.
    pub(super) fn of(template: &Template) -> Result<Self> {
        let mut errors = Vec::new();
        let mut read = |tag| switch(template, tag).map_err(|e| errors.push(e)).unwrap_or_default();
        let tags = Self {
            runs_cloud_init: read(CLOUD_INIT_TAG),
            secure_boot: read(SECURE_BOOT_TAG),
            tpm: read(TPM_TAG),
        };
        Error::all(errors).map(|()| tags)
    }
}

fn switch(template: &Template, name: &str) -> Result<bool> {
    let tag = template.tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(name));
    match tag.map(|(_, value)| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(value) => Err(Error::new(
            ErrorCode::ValidationFailed,
            format!("the tag `{name}` is {value:?}; it can be `true` or `false`"),
        )
        .target("tags")),
    }
}
