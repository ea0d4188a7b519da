//! Small real disks, made by qemu-img.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use images::{digest::Key, event::Events, layout::Layout, run_context::RunContext};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vm::{Host, proc::Command};

pub(crate) const MIB: u64 = 1 << 20;

/// A layout in a folder of its own, with the context of the work.
pub(crate) struct Setting {
    pub(crate) dir: TempDir,
    pub(crate) cx: RunContext,
    pub(crate) host: Host,
}

pub(crate) async fn setting() -> Setting {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
    let host = Host::probe(None).await.expect("QEMU is installed");
    Setting { dir, cx, host }
}

/// A sealed disk as in the node store: an overlay on an overlay, each with some data.
pub(crate) struct Chain {
    pub(crate) top: PathBuf,
    pub(crate) key: Key,
    /// The content, as raw bytes in a sparse file.
    pub(crate) raw: PathBuf,
}

impl Setting {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn qemu_img(&self, args: &[&str], paths: &[&Path]) -> String {
        let command = Command::new(&self.host.qemu_img).args(args).args(paths);
        command.run(&CancellationToken::new(), None).await.unwrap().stdout
    }

    /// Creates a chain of `size` bytes with `data` bytes of noise in its lower disk and a little at
    /// both ends in its upper one.
    pub(crate) async fn chain(&self, size: u64, data: u64) -> Chain {
        let (base, top, raw) =
            (self.path("base.qcow2"), self.path("top.qcow2"), self.path("content.raw"));
        let content = File::create(&raw).unwrap();
        content.set_len(size).unwrap();
        content.write_all_at(&noise(data, 1), 4 * MIB).unwrap();
        self.qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &base]).await;
        let create = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base.to_str().unwrap()];
        self.qemu_img(&create, &[&top]).await;
        for (at, seed) in [(0, 2), (size - 512, 3)] {
            content.write_all_at(&noise(512, seed), at).unwrap();
            self.write_at(&top, at, &noise(512, seed)).await;
        }
        let key = Key::parse(&"ab".repeat(32)).unwrap();
        Chain { top, key, raw }
    }

    async fn write_at(&self, disk: &Path, at: u64, bytes: &[u8]) {
        let pattern = self.path("pattern");
        fs::write(&pattern, bytes).unwrap();
        let write = format!("write -s {} {at} {}", pattern.display(), bytes.len());
        let command = Command::new("qemu-io").args(["-f", "qcow2", "-c", &write]).arg(disk);
        let said = command.run(&CancellationToken::new(), None).await.unwrap();
        assert!(said.stdout.contains("wrote"), "{said:?}");
    }

    /// Fails unless the image has exactly the chain's content. A longer image must end in zeros.
    pub(crate) async fn assert_same(&self, chain: &Chain, image: &Path, driver: &str) {
        let args = ["compare", "-f", "raw", "-F", driver];
        let said = self.qemu_img(&args, &[&chain.raw, image]).await;
        assert!(said.contains("Images are identical"), "{said}");
    }

    /// The unfinished files below the layout's cache and data folders, by their names.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let mut found = files(self.dir.path());
        found.retain(|path| {
            let path = path.to_string_lossy();
            path.contains(".partial") || path.contains("/tmp/") || path.ends_with(".new")
        });
        found
    }
}

/// Incompressible bytes, the same for the same seed.
pub(crate) fn noise(length: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(usize::try_from(length).unwrap()).collect()
}

/// All files below a folder (relative to it, so that the folder's own path does not matter).
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(dir, &mut found);
    found.iter().map(|path| Path::new("/").join(path.strip_prefix(dir).unwrap())).collect()
}

/// Bytes that a file takes on the host.
pub(crate) fn allocated(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}
