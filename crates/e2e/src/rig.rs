//! The image of the rig: a Linux guest that plays Windows, for machines as Windows gets them.
//!
//! Its programs are in `rig/`, its WinRM service is the stand-in of the crate `winrm`. It is built by
//! the executable, once for each state of these files. Restarts, memory, disk and network of its
//! machines are real; what it says of PowerShell, Sysprep and Windows Update is invented.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Lab;

const CATALOGUE: &str = include_str!("../testdata/rig/catalogue.toml");
const DRIVERS: &str = include_str!("../rig/drivers.sh");
const INSTALL: [&str; 3] = [
    "sudo tar --no-same-owner -x -C /opt/rig -f /tmp/rig.tar",
    "sudo python3 -m compileall -q /opt/rig",
    "sudo sh -c 'chmod 755 /opt/rig/init; sync; fstrim /'",
];
const SOURCE: [&str; 3] = ["Goldsmith", "rig", "windows"];

/// The source of a template that builds on the rig, in a lab of [`lab`].
pub fn source() -> serde_json::Value {
    let [publisher, offer, sku] = SOURCE;
    json!({ "type": "PlatformImage", "publisher": publisher, "offer": offer, "sku": sku, "version": "latest" })
}

/// A lab whose catalogue has the rig as an image of Windows.
pub fn lab() -> Lab {
    let lab = Lab::new();
    let image = image(&lab);
    fs::create_dir_all(lab.data()).unwrap();
    let [publisher, offer, sku] = SOURCE;
    let catalogue = format!(
        "[[image]]\npublisher = \"{publisher}\"\noffer = \"{offer}\"\nsku = \"{sku}\"\ngeneration = 2\nos-type = \"Windows\"\n\
         [[image.file]]\nversion = \"1.0.0\"\npath = \"{}\"\nformat = \"qcow2\"\n",
        image.display()
    );
    fs::write(lab.data().join("catalogue.toml"), catalogue).unwrap();
    lab
}

/// The rig's disk, a qcow2 file in the lab's cache folder. Builds it if it is not there.
pub fn image(lab: &Lab) -> PathBuf {
    let own = lab.write("rig.tar", archive());
    let folder = lab.cache().join("rig");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let image = folder.join(format!("{}.qcow2", key(&fs::read(&own).unwrap())));
    if !image.exists() {
        for old in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if old.extension().is_some_and(|extension| extension == "qcow2") {
                fs::remove_file(old).unwrap();
            }
        }
        build(lab, &image);
    }
    image
}

/// Identifies the image by all that it is made of.
fn key(archive: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [CATALOGUE.as_bytes(), DRIVERS.as_bytes(), INSTALL.concat().as_bytes(), archive] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// The rig's programs, the same bytes for the same files.
fn archive() -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", "--exclude=__pycache__", "-c"])
        .arg("-C")
        .arg(here.join("rig"))
        .arg(".")
        .arg("-C")
        .arg(here.join("../winrm/testdata"))
        .arg("fake")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn build(lab: &Lab, image: &Path) {
    // The data folder of another lab, whose catalogue has what the rig is made of.
    let maker = Lab::new().with_cache(lab.cache().to_owned());
    fs::create_dir_all(maker.data()).unwrap();
    fs::write(maker.data().join("catalogue.toml"), CATALOGUE).unwrap();
    maker.write("drivers.sh", DRIVERS);
    fs::copy(lab.path().join("rig.tar"), maker.path().join("rig.tar")).unwrap();
    let mut template: serde_json::Value = serde_json::from_str(&crate::template(&json!([
        { "type": "File", "sourceUri": "drivers.sh", "destination": "/tmp/drivers.sh" },
        { "type": "Shell", "inline": ["sudo sh /tmp/drivers.sh"] },
        { "type": "File", "sourceUri": "rig.tar", "destination": "/tmp/rig.tar" },
        { "type": "Shell", "inline": INSTALL },
    ])))
    .unwrap();
    template["properties"]["source"] = json!({
        "type": "PlatformImage", "publisher": "Goldsmith", "offer": "rig", "sku": "base", "version": "latest"
    });
    let file = maker.write("rig.json", template.to_string());
    let export = maker.path().join("rig.qcow2");
    let argument = format!("qcow2={}", export.display());
    maker.run(&["build", file.to_str().unwrap(), "--export", &argument]).ok();
    let unfinished = image.with_extension("new");
    fs::copy(&export, &unfinished).unwrap();
    fs::rename(&unfinished, image).unwrap();
}
