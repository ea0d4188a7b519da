//! Checks that an image from this source can become a version of an image definition. The store
//! knows a definition by its versions, which are all of one kind.

use api::ErrorCode;
use images::{
    error::{Error, Result},
    run_context::RunContext,
    store::{Store, address::Address},
};
use sources::SourceImage;

use super::{Target, at};

/// Rejects a gallery target whose versions have another generation, system or architecture.
///
/// # Errors
/// `BadSharedImageDistribute`: the first one; the others are in its details.
pub(crate) fn check_compatibility(
    cx: &RunContext,
    targets: &[Target],
    source: &SourceImage,
) -> Result<()> {
    let store = Store::open(&cx.layout);
    let mut errors = Vec::new();
    for target in targets {
        let Some(version) = target.kind.version() else { continue };
        let definition = version.definition;
        // Invalid addresses were rejected earlier.
        let Ok(address) = Address::of(&definition) else { continue };
        let newest = store.versions(&address)?.into_iter().max_by_key(|image| image.record.version);
        let Some(newest) = newest else { continue };
        let theirs = &newest.record.origin;
        let generation = format!("V{}", source.generation);
        for (what, ours, theirs) in [
            ("hyperVGeneration", &generation, &theirs.generation),
            ("osType", &source.os_type, &theirs.os_type),
            ("architecture", &source.architecture, &theirs.architecture),
        ] {
            if !theirs.is_empty() && !ours.eq_ignore_ascii_case(theirs) {
                let text = format!(
                    "the versions of {definition} have {what} {theirs}, and the source has {ours}"
                );
                let error = Error::new(ErrorCode::BadSharedImageDistribute, text)
                    .target(version.field)
                    .hint("name another image definition, or build upon a source of that kind");
                errors.push(at(target, error));
            }
        }
    }
    Error::all(errors)
}
