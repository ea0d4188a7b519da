//! Lists the files of images in a guest, to which their disks are attached.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future;
use tokio_util::sync::CancellationToken;
use vm::{Access, Backend, Guest, Host, MachineSpec, Qemu, Stdin, disk};

use super::machine;

/// Every path of an image, with its type, mode, owner, size and content.
pub(crate) type Files = BTreeMap<String, String>;

/// Prints a JSON list for each path: the path, and the rest. The mode contains the type. Only files
/// and links have a size that depends on nothing but their content.
const LIST: &[u8] = br"
import hashlib, json, os, stat, sys
def fail(error): raise error
def facts(path):
    s = os.lstat(path)
    size, content = '-', f'{s.st_rdev:x}'
    if stat.S_ISLNK(s.st_mode): size, content = s.st_size, os.readlink(path)
    if stat.S_ISREG(s.st_mode):
        with open(path, 'rb') as file: size, content = s.st_size, hashlib.file_digest(file, 'sha256').hexdigest()
    return f'{s.st_mode:o} {s.st_uid}:{s.st_gid} {size} {content}'
os.chdir(sys.argv[1])
def show(path):
    print(json.dumps([text.encode(errors='backslashreplace').decode() for text in (path[1:], facts(path))]))
show('./')
for folder, folders, names in os.walk('.', onerror=fail):
    for name in folders + names: show(os.path.join(folder, name))
";

/// An image's disk, as a guest can have it beside its own.
struct Attached {
    disk: PathBuf,
    /// The number of the root partition.
    root: String,
}

/// The files of each image, as a machine from `source`, a folder of the cache, sees them.
pub(crate) async fn of_images(dir: &Path, source: &Path, images: &[PathBuf]) -> Vec<Files> {
    let (host, never) = (Host::probe(None).await.unwrap(), CancellationToken::new());
    let mut attached = Vec::new();
    for (lun, image) in images.iter().enumerate() {
        attached.push(attach(&host, dir, lun, image).await);
    }
    machine::overlays(&host, dir, source).await;
    let access = Access::generate("forge").unwrap();
    let spec = MachineSpec {
        data: attached.iter().map(|image| image.disk.clone()).collect(),
        access: Some(access.clone()),
        ..machine::spec(dir, 1024)
    };
    let machine = Qemu::new(host).start(&spec, &never).await.unwrap();
    let guest = machine.connect(&access, Duration::from_secs(600), &never).await.unwrap();
    let lists = attached.iter().enumerate().map(|(lun, image)| list(guest.as_ref(), lun, image));
    let lists = future::join_all(lists).await;
    machine.stop(Duration::ZERO).await.unwrap();
    lists
}

/// Copies the image, and gives its root another id, by which the guest finds its own. What the guest
/// writes goes to an overlay.
async fn attach(host: &Host, dir: &Path, lun: usize, image: &Path) -> Attached {
    let raw = dir.join(format!("image{lun}.raw"));
    let copied = e2e::disk::copy(image, "qcow2", &raw);
    e2e::disk::rename(&copied.root);
    let (disk, bytes) = (raw.with_extension("qcow2"), std::fs::metadata(&raw).unwrap().len());
    disk::create_overlay_on(host, &disk, &raw, "raw", bytes).await.unwrap();
    Attached { disk, root: copied.number }
}

async fn list(guest: &dyn Guest, lun: usize, image: &Attached) -> Files {
    let command = format!(
        "set -e; sudo udevadm settle; sudo mkdir /mnt/{lun}
         partition=$(ls /dev/disk/by-id/scsi-*_data{lun}-part{} | head -n 1)
         sudo mount -o ro,noload $partition /mnt/{lun}
         sudo python3 - /mnt/{lun}",
        image.root
    );
    let lines = machine::run(guest, &command, Stdin::Bytes(LIST)).await;
    lines.lines().map(|line| serde_json::from_str::<(String, String)>(line).unwrap()).collect()
}
