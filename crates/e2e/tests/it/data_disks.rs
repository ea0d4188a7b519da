//! Data disks on a real machine: customizers fill them, the image contains them, the next build has
//! them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{Lab, fresh, template_named, text};
use serde_json::{Value, json};

const GIB: u64 = 1 << 30;

/// Creates a file system on LUN 0, mounts it permanently, and fills it. Trimming frees deleted space.
const FILL: [&str; 9] = [
    "disk=/dev/disk/azure/scsi1/lun0",
    "test $(lsblk -dbno SIZE $disk) = 2147483648",
    "sudo mkfs.ext4 -q -L ledger $disk",
    "sudo mkdir /data",
    "echo 'LABEL=ledger /data ext4 nofail 0 2' | sudo tee -a /etc/fstab",
    "sudo mount /data",
    "echo golden | sudo tee /data/hello",
    "sudo sh -c 'head -c 200M /dev/zero | tr \\\\000 x > /data/noise && sync && rm /data/noise && sync'",
    "sudo fstrim -v /data",
];

fn with(customize: &Value, image: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut template: Value = serde_json::from_str(&template_named(image, customize)).unwrap();
    template["apiVersion"] = json!("2025-10-01");
    change(&mut template["properties"]);
    template.to_string()
}

fn data_disk(lab: &Lab, image: &str, lun: u64) -> (PathBuf, Value) {
    let shown = lab.run(&["image", "show", image]).ok().event("image")["image"].clone();
    let disks = shown["dataDisks"].as_array().expect("data disks").clone();
    let disk = disks.into_iter().find(|disk| disk["lun"] == lun).expect("the LUN");
    let dir = lab.data().join("images/managed/s/forge").join(image);
    (dir.join(format!("data{lun}.qcow2")), disk)
}

/// Reads a file from a disk that consists of one file system.
fn read(disk: &Path, format: &str, path: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", format, "-O", "raw"]).arg(disk).arg(&raw);
    assert!(convert.status().unwrap().success());
    let asked = Command::new("debugfs").args(["-R", &format!("cat {path}")]).arg(&raw).output();
    String::from_utf8_lossy(&asked.unwrap().stdout).into_owned()
}

// conformance: 33
#[test]
fn data_disk_is_filled_imaged_and_present_in_the_next_build() {
    let lab = Lab::new();
    let mut fill = vec![fresh()];
    fill.extend(FILL.map(str::to_owned));
    let customize = json!([{ "type": "Shell", "name": "fill", "inline": fill }]);
    let file = lab.write(
        "vault.json",
        with(&customize, "vault", |properties| {
            properties["additionalDataDisks"] = json!([{ "sizeGB": 2 }]);
            let vhd = json!({ "type": "VHD", "runOutputName": "vhd" });
            properties["distribute"].as_array_mut().unwrap().push(vhd);
            // The validation machine has the image's disks, and its writes do not reach the image.
            let looks = ["test \"$(cat /data/hello)\" = golden", "echo no | sudo tee /data/more"];
            properties["validate"] =
                json!({ "inVMValidations": [{ "type": "Shell", "inline": looks }] });
        }),
    );
    let built = lab
        .run(&["build", file.to_str().unwrap(), "--export", "qcow2=vault.qcow2"])
        .ok()
        .event("result");
    lab.assert_clean();

    let (disk, record) = data_disk(&lab, "vault", 0);
    assert_eq!(record["virtualSize"], 2 * GIB, "{record}");
    let taken = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&disk).unwrap()) * 512;
    assert!(taken < 64 << 20, "200 MB were deleted and trimmed, but it takes {taken}");
    assert_eq!(read(&disk, "qcow2", "/hello"), "golden\n");
    assert_eq!(read(&disk, "qcow2", "/more"), "", "a validator wrote it");
    let exported = lab.path().join("vault_dataDisk_0.qcow2");
    assert_eq!(read(&exported, "qcow2", "/hello"), "golden\n");
    let vhd = &built["outputs"][1];
    let data = PathBuf::from(text(&vhd["dataDisks"][0]["path"]));
    assert_eq!(
        data.to_str().unwrap(),
        text(&vhd["path"]).replace(".vhd", "_dataDisk_0.vhd"),
        "{built}"
    );
    assert_eq!(read(&data, "vpc", "/hello"), "golden\n");

    next_build_has_the_data_disk(&lab, &built);
}

fn next_build_has_the_data_disk(lab: &Lab, base: &Value) {
    let look = json!([{ "type": "Shell", "name": "look", "inline": [
        "test \"$(cat /data/hello)\" = golden",
        "test $(lsblk -dbno SIZE /dev/disk/azure/scsi1/lun1) = 1073741824",
        "echo more | sudo tee /data/more",
        // The OS disk and the root file system have grown.
        "test $(df --output=size -BM / | tail -1 | tr -dc 0-9) -gt 6000"
    ]}]);
    let id = base["outputs"][0]["artifactId"].clone();
    let text = with(&look, "child", |properties| {
        properties["source"] = json!({ "type": "ManagedImage", "imageId": id });
        properties["additionalDataDisks"] = json!([{ "sizeGB": 1 }]);
        properties["vmProfile"]["osDiskSizeGB"] = json!(8);
    });
    let file = lab.write("child.json", text);
    lab.run(&["build", file.to_str().unwrap()]).ok();
    lab.assert_clean();
    let (child, _) = data_disk(lab, "child", 0);
    assert_eq!(read(&child, "qcow2", "/more"), "more\n");
    let (_, blank) = data_disk(lab, "child", 1);
    assert_eq!(blank["virtualSize"], GIB);
    assert!(blank["actualSize"].as_u64().unwrap() < 1 << 20, "{blank}");
    let (first, _) = data_disk(lab, "vault", 0);
    assert_eq!(read(&first, "qcow2", "/more"), "", "the source image is unchanged");
}
