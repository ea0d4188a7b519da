//! Checks before the build that the disks of an image fit into its targets and exports.

use api::ErrorCode;
use images::{
    error::{Error, Result},
    export::ExportSpec,
    format::Format,
    image_file::footer::MOST,
};

use super::plan::validates_source_only;
use crate::{distribute::DiskLimit, template::Template};

const GIB: u64 = 1024 * 1024 * 1024;

/// A disk of the image, and the field that determines its size.
struct Disk {
    what: &'static str,
    field: String,
    bytes: u64,
}

/// Rejects disks that are too large, OS disk and data disks alike. For an unknown source, pass 0
/// and no disks.
pub(super) fn check(
    template: &Template,
    source_bytes: u64,
    brought: &[u64],
    exports: &[ExportSpec],
) -> Result<()> {
    let Some((DiskLimit { bytes, of }, wanted_by)) = limit(template, exports) else {
        return Ok(());
    };
    let too_large = disks(template, source_bytes, brought).into_iter().filter(|d| d.bytes > bytes);
    let refuse = |disk: Disk| {
        let gb = disk.bytes.div_ceil(GIB);
        let text = format!("{} has {gb} GB, and {of} holds at most {}", disk.what, bytes / GIB);
        Error::new(ErrorCode::ValidationFailed, text)
            .target(disk.field)
            .hint(format!("make it smaller, or leave {wanted_by} out"))
    };
    Error::all(too_large.map(refuse).collect())
}

/// The lowest limit, and the part of the request that has it.
fn limit(template: &Template, exports: &[ExportSpec]) -> Option<(DiskLimit, String)> {
    let targets = template.properties.distribute.iter();
    let targets = targets.filter(|_| !validates_source_only(template)).filter_map(|target| {
        Some((target.kind.disk_limit()?, format!("the {} distributor", target.kind.kind())))
    });
    let exports = exports.iter().filter(|export| export.format == Format::Vhd);
    let vhd = DiskLimit { bytes: MOST, of: "a VHD" };
    let exports = exports.map(|export| (vhd, format!("`--export {export}`")));
    targets.chain(exports).min_by_key(|(limit, _)| limit.bytes)
}

fn disks(template: &Template, source_bytes: u64, brought: &[u64]) -> Vec<Disk> {
    let properties = &template.properties;
    let of_source = |what, bytes| Disk { what, field: "properties.source".to_owned(), bytes };
    let gb = properties.vm_profile.as_ref().map_or(0, |profile| profile.os_disk_size_gb);
    let os = match u64::from(gb) * GIB {
        grown if grown > source_bytes => Disk {
            what: "the OS disk",
            field: "properties.vmProfile.osDiskSizeGB".to_owned(),
            bytes: grown,
        },
        _ => of_source("the source image's OS disk", source_bytes),
    };
    let brought = brought.iter().map(|bytes| of_source("a data disk of the source image", *bytes));
    let added = properties.additional_data_disks.iter().enumerate().map(|(index, disk)| Disk {
        what: "a data disk",
        field: format!("properties.additionalDataDisks[{index}].sizeGB"),
        bytes: u64::from(disk.size_gb) * GIB,
    });
    std::iter::once(os).chain(brought).chain(added).collect()
}

#[cfg(test)]
mod tests {
    use api::template::{Face, ParseOptions};
    use serde_json::{Value, json};

    use super::*;
    use crate::template::parse;

    fn template(os_gb: u32, data_gb: &[u32], target: &Value) -> Template {
        let data: Vec<_> = data_gb.iter().map(|gb| json!({ "sizeGB": gb })).collect();
        let body = json!({ "properties": {
            "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s", "version": "1.0.0" },
            "distribute": [target], "vmProfile": { "osDiskSizeGB": os_gb }, "additionalDataDisks": data,
        } });
        let options = ParseOptions { api_version: None, face: Face::File };
        parse(&body.to_string(), &options).template.unwrap()
    }

    #[test]
    fn oversized_disk_is_rejected_at_its_field() {
        let vhd = json!({ "type": "VHD", "runOutputName": "disk" });
        let cases = [
            (template(2041, &[], &vhd), 0, vec![], "properties.vmProfile.osDiskSizeGB"),
            (template(0, &[], &vhd), MOST + 1, vec![], "properties.source"),
            (template(30, &[], &vhd), 0, vec![MOST, MOST + 1], "properties.source"),
            (
                template(0, &[2040, 2041], &vhd),
                0,
                vec![],
                "properties.additionalDataDisks[1].sizeGB",
            ),
        ];
        for (template, source_bytes, brought, field) in cases {
            let error = check(&template, source_bytes, &brought, &[]).unwrap_err();
            assert_eq!(error.target.as_deref(), Some(field));
            assert!(error.message.contains("2041 GB, and a VHD holds at most 2040"), "{error}");
            assert!(error.hint.unwrap().contains("the VHD distributor"));
        }
        check(&template(2040, &[2040], &vhd), MOST, &[MOST], &[]).unwrap();
    }

    #[test]
    fn size_limit_applies_to_vhds_only() {
        let image = json!({
            "type": "ManagedImage", "runOutputName": "image", "location": "here",
            "imageId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i",
        });
        let large = template(4095, &[], &image);
        let export = |text: &str| text.parse::<ExportSpec>().unwrap();
        check(&large, 0, &[], &[export("raw=/x/web.raw")]).unwrap();
        let error = check(&large, 0, &[], &[export("vhd=/x/web.vhd")]).unwrap_err();
        assert!(error.hint.unwrap().contains("`--export vhd=/x/web.vhd`"));
    }
}
