//! Checks that the requested machine matches its source, as far as the source is known.

use api::ErrorCode;
use images::{
    error::{Error, Result},
    export::ExportSpec,
};
use sources::{SourceImage, SourceProperties};

use super::{Plan, data_disks, disk_limit};
use crate::{
    template::Template,
    vm_size::{self, VmSize},
};

const GIB: u64 = 1024 * 1024 * 1024;
/// The largest OS disk in Azure.
const MOST_GB: u32 = 4095;

/// Checks size, OS disk and data disks, before a build and in the service at submission.
///
/// # Errors
/// `ValidationFailed` at the field; several are combined.
pub fn check_machine(template: &Template, source: &SourceProperties) -> Result<VmSize> {
    let profile = template.properties.vm_profile.as_ref();
    let given = profile.and_then(|profile| profile.vm_size.as_deref());
    let size = vm_size::for_source(given, source.generation, &source.architecture);
    let gb = profile.map_or(0, |profile| profile.os_disk_size_gb);
    let mut errors = Vec::new();
    errors.extend(check_os_disk(gb, source.disk_bytes.unwrap_or(0)).err());
    errors.extend(data_disks::check(template, source.data_disks.len()).err());
    let bytes = source.disk_bytes.unwrap_or(0);
    errors.extend(disk_limit::check(template, bytes, &source.data_disks, &[]).err());
    errors.extend(check_proxy(template).err());
    match size {
        Ok(size) => Error::all(errors).map(|()| size),
        Err(error) => {
            errors.insert(0, error);
            Error::all(errors).and(vm_size::find(vm_size::DEFAULT_GEN2))
        }
    }
}

/// Rejects unknown size names, for any source.
///
/// # Errors
/// `ValidationFailed` at the field; several are combined.
pub fn check_sizes(template: &Template) -> Result<()> {
    let profile = template.properties.vm_profile.as_ref();
    let given = profile.and_then(|profile| profile.vm_size.as_deref());
    let size =
        given.filter(|size| !size.is_empty()).map_or(Ok(()), |s| vm_size::find(s).map(|_| ()));
    Error::all([size, check_proxy(template)].into_iter().filter_map(Result::err).collect())
}

/// Goldsmith creates no proxy, but Azure would reject an invalid size.
fn check_proxy(template: &Template) -> Result<()> {
    let vnet = template.properties.vm_profile.as_ref().and_then(|p| p.vnet_config.as_ref());
    let size = vnet.and_then(|vnet| vnet.proxy_vm_size.as_deref()).unwrap_or_default();
    if size.is_empty() {
        return Ok(());
    }
    let field = "properties.vmProfile.vnetConfig.proxyVmSize";
    vm_size::find(size).map(|_| ()).map_err(|error| error.target(field))
}

/// Rejects a disk that is smaller than its source, since a disk can only grow, or larger than Azure
/// allows.
pub(super) fn check_os_disk(gb: u32, source_bytes: u64) -> Result<()> {
    let field = "properties.vmProfile.osDiskSizeGB";
    if gb > MOST_GB {
        let text = format!("osDiskSizeGB is {gb}, and an OS disk has at most {MOST_GB}");
        return Err(Error::new(ErrorCode::ValidationFailed, text)
            .target(field)
            .hint("for more room add data disks: additionalDataDisks"));
    }
    if gb == 0 || u64::from(gb) * GIB >= source_bytes {
        return Ok(());
    }
    let needs = source_bytes.div_ceil(GIB);
    let text = format!("osDiskSizeGB is {gb} but the source image needs {needs}");
    Err(Error::new(ErrorCode::ValidationFailed, text)
        .target(field)
        .hint("the OS disk can only grow; leave osDiskSizeGB out to take the source's size"))
}

impl Plan {
    /// Rejects a disk that is smaller than its source, and disks that are too large for a requested
    /// VHD.
    pub fn check_disks(&self, source: &SourceImage, exports: &[ExportSpec]) -> Result<()> {
        check_os_disk(self.os_disk_gb(), source.virtual_size)?;
        let brought: Vec<_> = source.data.iter().map(|disk| disk.virtual_size).collect();
        disk_limit::check(&self.template, source.virtual_size, &brought, exports)
    }

    /// Rejects an export if the run makes no image or if the image does not fit the format.
    pub(super) fn check_exports(&self, exports: &[ExportSpec]) -> Result<()> {
        if exports.is_empty() || !self.validates_source_only() {
            return disk_limit::check(&self.template, 0, &[], exports);
        }
        Err(Error::new(
            ErrorCode::InvalidArgument,
            "there is no image to export: the template validates its source only",
        )
        .target("properties.validate.sourceValidationOnly")
        .hint("leave --export out, or sourceValidationOnly"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_disk_can_only_grow() {
        check_os_disk(0, 9 * GIB).unwrap();
        check_os_disk(3, 3 * GIB).unwrap();
        let error = check_os_disk(3, 3 * GIB + 1).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.vmProfile.osDiskSizeGB"));
        assert!(error.message.contains("is 3 but the source image needs 4"), "{error}");
        check_os_disk(4095, 0).unwrap();
        assert!(check_os_disk(4096, 0).unwrap_err().message.contains("at most 4095"));
    }
}
