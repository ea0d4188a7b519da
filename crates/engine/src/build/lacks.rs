//! The requirements of a valid template that this host or this installation does not meet.

use api::template::{Source, Template};
use images::{
    cx::Cx,
    error::{Error, Result},
    store::Store,
};
use sources::Catalogue;
use vm::Host;

use super::network;
use crate::{distribute, windows};

/// Finds them without fetching or creating anything. Each names its field. Without a host the
/// machine's size is not checked.
pub fn lacks(cx: &Cx, template: &Template, host: Option<&Host>) -> Vec<Error> {
    let mut found = Vec::new();
    let mut cx = cx.clone();
    cx.geography = cx.geography.or_at(template.location.as_deref());
    found.extend(source(&cx, template).err());
    found.extend(stand_in(&cx, template));
    found.extend(host.and_then(|host| size(template, host)));
    found.extend(windows::steps(template));
    found.extend(network::subnet(&cx.layout, template).err());
    found.extend(distribute::admit(&cx, template));
    found
}

fn source(cx: &Cx, template: &Template) -> Result<()> {
    match &template.properties.source {
        Source::PlatformImage(image) => Catalogue::load(&cx.layout)?.source(image).map(drop),
        Source::ManagedImage { image_id } => {
            let id = image_id.to_string();
            let got = Store::open(&cx.layout).get(&id).map(drop);
            got.map_err(|e| e.target("properties.source.imageId"))
        }
        // The build looks up the region of the version when it begins.
        Source::SharedImageVersion { .. } => Ok(()),
    }
}

/// A warning about an alias in place of the named source.
fn stand_in(cx: &Cx, template: &Template) -> Option<Error> {
    let Source::PlatformImage(image) = &template.properties.source else { return None };
    let entry = Catalogue::load(&cx.layout).ok()?.source(image).ok()?;
    let text = entry.stands_for()?;
    Some(Error::new(api::ErrorCode::BadPIRSource, text).target("properties.source"))
}

fn size(template: &Template, host: &Host) -> Option<Error> {
    let profile = template.properties.vm_profile.as_ref()?;
    let size = crate::vm_size::find(profile.vm_size.as_deref()?).ok()?;
    let note = |text: String| {
        Error::new(api::ErrorCode::ValidationFailed, text).target("properties.vmProfile.vmSize")
    };
    if size.is_arm() {
        return Some(note(format!(
            "{} has an Arm64 processor; this host builds x64 only",
            size.name
        )));
    }
    size.shortfall(host).map(note)
}
