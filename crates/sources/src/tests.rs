use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
};

use images::{
    digest::digest,
    event::Events,
    store::{Labels, Origin as Made, Payload, Store, address::Address},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use vm::fake::Fake;

use super::*;

const SIZE: usize = 4 << 20;

struct Bench {
    folder: tempfile::TempDir,
    cx: RunContext,
    host: Host,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
        fs::create_dir_all(layout.data()).unwrap();
        let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
        Self { folder, cx, host: Host::probe(None).await.unwrap() }
    }

    /// A raw disk in the data folder, beside the catalogue.
    fn disk(&self, name: &str, mark: u8) -> (PathBuf, String) {
        let mut bytes = vec![0; SIZE];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[SIZE / 2] = mark;
        let path = self.cx.layout.data().join(name);
        fs::write(&path, &bytes).unwrap();
        (path, digest(&bytes))
    }

    /// The only image of a catalogue with that version.
    fn entry(&self, generation: u8, version: &str) -> ResolvedEntry {
        let text = format!(
            "[[image]]\npublisher = \"Acme\"\noffer = \"base\"\nsku = \"s\"\n\
             generation = {generation}\n{version}\n"
        );
        fs::write(self.cx.layout.user_catalogue(), text).unwrap();
        let catalogue = Catalogue::load(&self.cx.layout).unwrap();
        catalogue.resolve("Acme", "base", "s", "latest").unwrap()
    }

    fn file_entry(&self, more: &str) -> ResolvedEntry {
        let file = "version = \"1.0\"\npath = \"disk.raw\"\nformat = \"raw\"";
        self.entry(2, &format!("[[image.file]]\n{file}\n{more}"))
    }

    async fn obtain(&self, entry: &ResolvedEntry) -> Result<SourceImage> {
        let ledger = Ledger::open(&self.cx.layout, &images::new_run_id()).unwrap();
        let workshop = Workshop {
            host: &self.host,
            backend: &Fake::new(),
            ledger: &ledger,
            run_dir: self.folder.path(),
            log_dir: self.folder.path(),
        };
        obtain(&self.cx, workshop, entry).await
    }

    /// The names in `sources/`.
    fn source_cache(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cx.layout.sources()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

/// A publisher's folder on loopback, with changeable content. Answers 404 to all other requests.
#[derive(Clone, Default)]
struct Folder(std::sync::Arc<std::sync::Mutex<std::collections::BTreeMap<String, Vec<u8>>>>);

impl Folder {
    async fn open() -> (Self, String) {
        let (folder, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = folder.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let name = request.split_whitespace().nth(1).unwrap_or_default();
                let found = served.0.lock().unwrap().get(name.trim_start_matches('/')).cloned();
                let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
                let body = found.unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            }
        });
        (folder, url)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        self.0.lock().unwrap().insert(name.to_owned(), content.as_ref().to_vec());
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

async fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.raw", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    url
}

#[tokio::test]
async fn file_is_added_as_a_source_once() {
    let bench = Bench::new().await;
    let (_, sha256) = bench.disk("disk.raw", 1);
    let entry = bench.file_entry(&format!("sha256 = \"{sha256}\"\nvirtual-size = {SIZE}"));
    assert_eq!(present(&bench.cx, &entry).unwrap(), None);

    let image = bench.obtain(&entry).await.unwrap();
    assert_eq!(image.disk, bench.cx.layout.sources().join(&image.digest).join("disk.qcow2"));
    assert_eq!(image.digest, digest(&fs::read(&image.disk).unwrap()));
    assert_eq!(image.virtual_size, SIZE as u64);
    assert_eq!(image.exact_version, "Acme:base:s:1.0");
    assert_eq!(image.version(), Some("1.0"));
    assert!(image.vars.as_ref().unwrap().is_file());
    assert_eq!(fs::metadata(&image.disk).unwrap().permissions().mode() & 0o222, 0);
    let mut expected = [image.digest.as_str(), "entries"];
    expected.sort_unstable();
    assert_eq!(bench.source_cache(), expected);

    // The file is no longer needed, as long as it is unchanged.
    assert_eq!(present(&bench.cx, &entry).unwrap().as_ref(), Some(&image));
    assert_eq!(bench.obtain(&entry).await.unwrap(), image);
    let link = bench.folder.path().join("overlay.qcow2");
    vm::disk::create_overlay(&bench.host, &link, &image.disk, 2 * image.virtual_size)
        .await
        .unwrap();
    let check = vm::proc::Command::new("qemu-img").args(["check", "-q", "-f", "qcow2", "--"]);
    check.arg(&link).run(&bench.cx.cancel, None).await.unwrap();
}

#[tokio::test]
async fn version_comes_from_urn_or_version_id_and_not_from_image_name() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let image = bench.obtain(&bench.file_entry("")).await.unwrap();
    let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute";
    for (exact, version) in [
        ("Debian:debian-12:12-gen2:0.20250801.1".to_owned(), Some("0.20250801.1")),
        (format!("{group}/galleries/g/images/web22/versions/1.2.3"), Some("1.2.3")),
        (format!("{group}/images/web22"), None),
    ] {
        let image = SourceImage { exact_version: exact, ..image.clone() };
        assert_eq!(image.version(), version, "{}", image.exact_version);
    }
}

#[tokio::test]
async fn different_file_is_a_different_source() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let first = bench.obtain(&bench.file_entry("")).await.unwrap();
    bench.disk("disk.raw", 2);
    let second = bench.obtain(&bench.file_entry("")).await.unwrap();
    assert_ne!(first.digest, second.digest);
    assert!(first.disk.is_file() && second.disk.is_file());
}

#[tokio::test]
async fn touched_source_is_reread_and_changed_source_is_rebuilt() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let entry = bench.file_entry("");
    let image = bench.obtain(&entry).await.unwrap();

    let disk = fs::OpenOptions::new().read(true).open(&image.disk).unwrap();
    disk.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(present(&bench.cx, &entry).unwrap(), None, "it looks touched");
    assert_eq!(bench.obtain(&entry).await.unwrap(), image);
    assert_eq!(present(&bench.cx, &entry).unwrap().as_ref(), Some(&image), "it was verified");

    fs::set_permissions(&image.disk, fs::Permissions::from_mode(0o644)).unwrap();
    let disk = fs::OpenOptions::new().write(true).open(&image.disk).unwrap();
    disk.write_all_at(b"evil", 1000).unwrap();
    drop(disk);
    let again = bench.obtain(&entry).await.unwrap();
    assert_eq!(again.digest, digest(&fs::read(&again.disk).unwrap()));
    assert_eq!(bench.source_cache().len(), 2);
}

#[tokio::test]
async fn mismatch_with_the_catalogue_is_rejected() {
    let bench = Bench::new().await;
    let (path, sha256) = bench.disk("disk.raw", 1);
    let wrong = "cd".repeat(32);
    let error =
        bench.obtain(&bench.file_entry(&format!("sha256 = \"{wrong}\""))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ChecksumMismatch);
    assert!(error.details[0].contains(&wrong) && error.details[1].contains(&sha256));

    let wrong = "cd".repeat(64);
    let error =
        bench.obtain(&bench.file_entry(&format!("sha512 = \"{wrong}\""))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ChecksumMismatch);

    let larger = format!("virtual-size = {}", 2 * SIZE);
    let error = bench.obtain(&bench.file_entry(&larger)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadImage);
    assert!(error.message.contains("smaller than the catalogue says"), "{error}");

    let entry = bench.file_entry("").clone();
    fs::remove_file(path).unwrap();
    let error = bench.obtain(&entry).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(bench.source_cache().is_empty(), "{:?}", bench.source_cache());
}

#[tokio::test]
async fn download_is_verified_before_use() {
    let bench = Bench::new().await;
    let (path, sha256) = bench.disk("disk.raw", 1);
    let url = serve(fs::read(&path).unwrap()).await;
    let version = |sum: &str| {
        format!(
            "[[image.url]]\nversion = \"2.0\"\nurl = \"{url}\"\nformat = \"raw\"\nsha256 = \"{sum}\""
        )
    };
    let error = bench.obtain(&bench.entry(1, &version(&"0".repeat(64)))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ChecksumMismatch);
    assert!(bench.source_cache().is_empty());

    let image = bench.obtain(&bench.entry(1, &version(&sha256))).await.unwrap();
    assert_eq!((&image.vars, image.version()), (&None, Some("2.0")));
    let files: Vec<_> = fs::read_dir(image.disk.parent().unwrap()).unwrap().collect();
    assert!(files.len() <= 3, "no download is left: {files:?}");
}

#[tokio::test]
async fn published_image_is_checked_against_the_publishers_file() {
    let bench = Bench::new().await;
    let (path, sha256) = bench.disk("disk.raw", 1);
    let (folder, url) = Folder::open().await;
    folder.put("disk.raw", fs::read(&path).unwrap());
    let version = format!(
        "[[image.url]]\nversion = \"2.0\"\nurl = \"{url}/disk.raw\"\nformat = \"raw\"\n\
         checksums = \"{url}/SHA256SUMS\""
    );
    let entry = bench.entry(1, &version);
    let error = bench.obtain(&entry).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("SHA256SUMS") && error.message.contains("404"), "{error}");

    folder.put("SHA256SUMS", format!("{sha256}  other.raw\n"));
    let error = bench.obtain(&entry).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("does not name disk.raw"), "{error}");
    assert_eq!(error.details, ["it names other.raw"]);
    assert!(error.hint.unwrap().contains("url and checksums"));

    folder.put("SHA256SUMS", vec![b'#'; (1 << 20) + 1]);
    let error = bench.obtain(&entry).await.unwrap_err();
    assert!(error.message.contains("larger than"), "{error}");

    folder.put("SHA256SUMS", format!("{}  disk.raw\n", "0".repeat(64)));
    let error = bench.obtain(&entry).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ChecksumMismatch);
    assert!(error.details[1].contains(&sha256), "{error:?}");
    assert!(bench.source_cache().is_empty(), "{:?}", bench.source_cache());

    folder.put("SHA256SUMS", format!("SHA256 (disk.raw) = {sha256}\n"));
    let image = bench.obtain(&entry).await.unwrap();
    assert_eq!(image.exact_version, "Acme:base:s:2.0");
    // A fixed version is not requested again.
    folder.remove("SHA256SUMS");
    assert_eq!(bench.obtain(&entry).await.unwrap(), image);
}

// conformance: 43
#[tokio::test]
async fn new_image_at_rolling_address_is_fetched_by_the_next_build() {
    let bench = Bench::new().await;
    let (folder, url) = Folder::open().await;
    let publish = |mark: u8, version: &str| {
        let (path, sha256) = bench.disk("disk.raw", mark);
        folder.put("disk-latest.raw", fs::read(&path).unwrap());
        folder
            .put("CHECKSUM", format!("{sha256}  disk-{version}.raw\n{sha256}  disk-latest.raw\n"));
    };
    let version = format!(
        "[[image.url]]\nversion = \"9\"\nurl = \"{url}/disk-latest.raw\"\nformat = \"raw\"\n\
         checksums = \"{url}/CHECKSUM\"\nrolling = true\nversioned-name = \"disk-{{version}}.raw\""
    );
    publish(1, "9.5-20241120");
    let entry = bench.entry(1, &version);
    assert_eq!(entry.urn, "Acme:base:s:9", "not known yet");
    let first = bench.obtain(&entry).await.unwrap();
    assert_eq!(first.exact_version, "Acme:base:s:9.5-20241120");
    assert_eq!(bench.entry(1, &version).urn, first.exact_version);
    assert_eq!(bench.obtain(&entry).await.unwrap(), first, "nothing new");

    publish(2, "9.6-20250522");
    let second = bench.obtain(&entry).await.unwrap();
    assert_eq!(second.exact_version, "Acme:base:s:9.6-20250522");
    assert_ne!(first.digest, second.digest);
    assert!(first.disk.is_file(), "builds in progress keep what they have");

    // The publisher does not answer, so the cached image is used.
    folder.remove("CHECKSUM");
    assert_eq!(bench.obtain(&entry).await.unwrap(), second);
}

#[tokio::test]
async fn catalogue_host_cannot_redirect_to_another_private_host() {
    let bench = Bench::new().await;
    let (path, sha256) = bench.disk("disk.raw", 1);
    let inside = serve(fs::read(&path).unwrap()).await;
    let elsewhere = inside.replace("127.0.0.1", "127.0.0.2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.raw", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let version = format!(
        "[[image.url]]\nversion = \"2.0\"\nurl = \"{url}\"\nformat = \"raw\"\nsha256 = \"{sha256}\""
    );
    let error = bench.obtain(&bench.entry(1, &version)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("may not be fetched from"), "{error}");
}

#[tokio::test]
async fn concurrent_calls_create_the_source_once() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let entry = bench.file_entry("");
    let (one, two) = tokio::join!(bench.obtain(&entry), bench.obtain(&entry));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(bench.source_cache().len(), 2);
}

#[tokio::test]
async fn canceled_wait_ends() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let entry = bench.file_entry("");
    let _other = lock(&bench.cx, &entry.key()).await.unwrap();
    let cancel = bench.cx.cancel.clone();
    let (waited, ()) = tokio::join!(bench.obtain(&entry), async move { cancel.cancel() });
    assert_eq!(waited.unwrap_err().code, ErrorCode::Canceled);
}

#[tokio::test]
async fn bootstrap_without_mirror_reports_it_and_leaves_nothing() {
    let bench = Bench::new().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let recipe = format!(
        "[image.bootstrap]\nversion = \"1\"\nsuite = \"bookworm\"\npackages = [\"zstd\"]\n\
         mirror = \"http://{free}/debian\"\nsecurity-mirror = \"http://{free}/security\"\n\
         disk-mib = 2048\nwork-mib = 1"
    );
    let error = bench.obtain(&bench.entry(2, &recipe)).await.unwrap_err();
    // Without root and without subordinate ids, the host cannot bootstrap.
    let codes = [ErrorCode::SourceUnavailable, ErrorCode::HostNotReady];
    assert!(codes.contains(&error.code), "{error:?}");
    assert!(!error.details.is_empty() || error.hint.is_some());
    assert!(bench.source_cache().is_empty(), "{:?}", bench.source_cache());
}

#[tokio::test]
async fn canceled_bootstrap_ends_all_its_processes() {
    let bench = Bench::new().await;
    let mirror = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mirror.local_addr().unwrap();
    let recipe = format!(
        "[image.bootstrap]\nversion = \"1\"\nsuite = \"bookworm\"\npackages = [\"zstd\"]\n\
         mirror = \"http://{address}/debian\"\nsecurity-mirror = \"http://{address}/security\"\n\
         disk-mib = 2048\nwork-mib = 1"
    );
    let entry = bench.entry(2, &recipe);
    // The mirror accepts the connection and never answers. A host without namespaces does not get
    // this far.
    let connected = async {
        let apt = mirror.accept().await.unwrap().0;
        bench.cx.cancel.cancel();
        apt
    };
    let obtained = bench.obtain(&entry);
    tokio::pin!(obtained, connected);
    let mut apt = tokio::select! {
        ended = &mut obtained => {
            assert_eq!(ended.unwrap_err().code, ErrorCode::HostNotReady);
            return;
        }
        apt = &mut connected => apt,
    };
    assert_eq!(obtained.await.unwrap_err().code, ErrorCode::Canceled);
    assert!(bench.source_cache().is_empty(), "{:?}", bench.source_cache());
    // The connection ends when its last holder exits.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), apt.read_to_end(&mut rest))
        .await
        .expect("apt still runs");
}

#[tokio::test]
async fn stored_image_is_added_as_a_source() {
    let bench = Bench::new().await;
    bench.disk("disk.raw", 1);
    let source = bench.obtain(&bench.file_entry("")).await.unwrap();
    let payload = Payload {
        disk: source.disk.clone(),
        digest: source.digest.clone(),
        virtual_size: source.virtual_size,
        data: Vec::new(),
        origin: Made { generation: "V2".into(), os_type: "Linux".into(), ..Made::default() },
        labels: Labels::default(),
    };
    let address = Address::local("mine").unwrap();
    let store = Store::open(&bench.cx.layout);
    let stored = store.publish_managed(&bench.cx, &address, payload).await.unwrap();
    fs::remove_dir_all(bench.cx.layout.sources()).unwrap();

    let adopted = add_stored(&bench.cx, &bench.host, &stored).await.unwrap();
    assert_eq!((&adopted.digest, adopted.generation), (&source.digest, 2));
    assert_eq!(adopted.urn, stored.record.id);
    assert_eq!(add_stored(&bench.cx, &bench.host, &stored).await.unwrap(), adopted);

    fs::remove_dir_all(bench.cx.layout.sources()).unwrap();
    fs::set_permissions(stored.disk(), fs::Permissions::from_mode(0o644)).unwrap();
    let disk = fs::OpenOptions::new().write(true).open(stored.disk()).unwrap();
    disk.write_all_at(b"evil", (4 << 20) / 16).unwrap();
    let error = add_stored(&bench.cx, &bench.host, &stored).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadImage);
    assert!(bench.source_cache().is_empty(), "{:?}", bench.source_cache());
}
