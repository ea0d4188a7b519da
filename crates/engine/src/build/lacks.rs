//! The requirements of a valid template that this host or this installation does not meet.

use images::{
    error::{Error, Result},
    run_context::RunContext,
    store::Store,
};
use vm::Host;

use super::network;
use crate::{
    distribute,
    template::{self, Template},
};

/// Finds them without fetching or creating anything. Each names its field. Without a host the
/// machine's size is not checked.
pub fn lacks(cx: &RunContext, template: &Template, host: Option<&Host>) -> Vec<Error> {
    let mut found = Vec::new();
    let mut cx = cx.clone();
    cx.region_set = cx.region_set.or_at(template.location.as_deref());
    found.extend(source(&cx, template).err());
    found.extend(stand_in(&cx, template));
    found.extend(host.and_then(|host| size(template, host)));
    found.extend(misfits(&cx, template));
    found.extend(network::subnet(&cx.layout, template).err());
    found.extend(distribute::admit(
        &cx,
        &template.properties.distribute,
        &template.properties.source,
    ));
    found
}

/// What the source's system, if it is known, does not have.
fn misfits(cx: &RunContext, template: &Template) -> Vec<Error> {
    let facts = sources::facts(&cx.layout, &template.properties.source, cx.subscription.as_deref())
        .ok()
        .flatten();
    let os = facts.and_then(|facts| facts.os);
    os.map(|os| template::misfits(template, os)).unwrap_or_default()
}

fn source(cx: &RunContext, template: &Template) -> Result<()> {
    let source = &template.properties.source;
    sources::entry(&cx.layout, source, cx.subscription.as_deref())?;
    match source.id() {
        // The build looks up the region of a version when it begins.
        Some(id) if source.definition().is_none() => {
            let got = Store::open(&cx.layout).get(&id.to_string()).map(drop);
            got.map_err(|e| e.target("properties.source.imageId"))
        }
        _ => Ok(()),
    }
}

/// A warning about an alias in place of the named source.
fn stand_in(cx: &RunContext, template: &Template) -> Option<Error> {
    let entry = sources::entry(&cx.layout, &template.properties.source, cx.subscription.as_deref())
        .ok()??;
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
