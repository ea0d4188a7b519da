use std::path::PathBuf;

use images::{event::Events, first_contact::FirstContact, layout::Layout, ledger::Ledger};
use tokio_util::sync::CancellationToken;
use vm::{
    Backend, Host,
    fake::{Call, Fake, Mishap, Point},
};

use super::*;
use crate::{Catalogue, SourceImage, obtain};

const ENTRY: &str = r#"
[[image]]
publisher = "MicrosoftWindowsServer"
offer = "WindowsServer"
sku = "2022"
generation = 1
os-type = "Windows"

[image.bootstrap]
kind = "windows-iso"
version = "20348"
path = "server.iso"
index = 2
disk-mib = 32768
memory-mib = 1024
minutes = 30
work-mib = 1
"#;

struct Bench {
    folder: tempfile::TempDir,
    cx: RunContext,
    host: Host,
    fake: Fake,
    ledger: Ledger,
    entry: ResolvedEntry,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
        fs::create_dir_all(layout.data()).unwrap();
        fs::write(layout.data().join("server.iso"), "CD001").unwrap();
        fs::write(layout.user_catalogue(), ENTRY).unwrap();
        let catalogue = Catalogue::load(&layout).unwrap();
        let found = catalogue.resolve("MicrosoftWindowsServer", "WindowsServer", "2022", "latest");
        let ledger = Ledger::open(&layout, &images::new_run_id()).unwrap();
        let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
        let host = Host::probe(None).await.unwrap();
        Self { folder, cx, host, fake: Fake::new(), ledger, entry: found.unwrap() }
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.path().join("installation")
    }

    async fn obtain(&self) -> Result<SourceImage> {
        let workshop = Workshop {
            host: &self.host,
            backend: &self.fake,
            ledger: &self.ledger,
            run_dir: self.folder.path(),
            log_dir: self.folder.path(),
        };
        obtain(&self.cx, workshop, &self.entry).await
    }

    /// The guest reports these words and nothing else.
    fn reports(&self, words: &[(&str, &str)]) {
        for (word, rest) in words {
            self.fake.on_console(format!(" {word}"), *rest);
        }
    }

    /// Obtains the image, and does something as soon as such a call was made.
    async fn obtain_and(
        &self,
        is_due: impl Fn(&Call) -> bool,
        act: impl Fn(),
    ) -> Result<SourceImage> {
        let acting = async {
            while !self.fake.calls().iter().any(&is_due) {
                tokio::task::yield_now().await;
            }
            act();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = self.obtain() => result,
            () = acting => unreachable!("it is pending"),
        }
    }

    fn power_off(&self) {
        self.fake.lose(&self.run_dir(), Ended::GuestShutdown);
    }

    fn spec(&self) -> MachineSpec {
        let calls = self.fake.calls();
        let started = calls.into_iter().find_map(|call| match call {
            Call::Start(spec) => Some(spec),
            _ => None,
        });
        started.unwrap()
    }

    /// Neither a machine nor anything of it is left.
    fn assert_nothing_left(&self) {
        assert!(self.ledger.rows().unwrap().read.is_empty());
        assert!(self.fake.calls().contains(&Call::Stop { graceful: false }));
        assert!(!self.spec().disk.exists());
    }
}

fn is_press(call: &Call) -> bool {
    matches!(call, Call::Press(_))
}

const STEPS_DONE: [(&str, &str); 3] =
    [("step 1 ", "Setup has begun"), ("step 2 ", "it starts"), ("step 3 ", "Sysprep")];

#[tokio::test]
async fn installed_windows_becomes_a_source() {
    let bench = Bench::new().await;
    bench.reports(&STEPS_DONE);
    bench.reports(&[("sealed", "")]);
    let image =
        bench.obtain_and(|call| *call == Call::WaitOff, || bench.power_off()).await.unwrap();
    assert_eq!((image.os_type.as_str(), image.generation), ("Windows", 1));
    assert_eq!(image.first_contact, FirstContact::Unattend);
    assert_eq!(image.virtual_size, 32 << 30);
    assert!(image.exact_version.starts_with("MicrosoftWindowsServer:WindowsServer:2022:20348."));

    let spec = bench.spec();
    assert_eq!((spec.os, spec.memory_mib), (OsType::Windows, 1024));
    assert_eq!(spec.cds, [bench.cx.layout.data().join("server.iso")]);
    assert!(spec.seed.is_some() && spec.forwards.is_empty() && !spec.migratable);
    assert!(bench.ledger.rows().unwrap().read.is_empty());
    let folder = image.disk.parent().unwrap();
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "answers.iso"), "{left:?}");

    // A second build takes the image as it is.
    assert_eq!(bench.obtain().await.unwrap().digest, image.digest);
}

#[tokio::test]
async fn failed_generalization_is_an_error_with_the_guests_words() {
    let bench = Bench::new().await;
    bench.reports(&STEPS_DONE);
    bench.reports(&[("failed ", "Sysprep ended with 31")]);
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("Sysprep ended with 31"), "{error}");
    let picture = bench.folder.path().join("installation.png");
    assert!(error.details.contains(&format!("screen: {}", picture.display())), "{error:?}");
    assert!(picture.exists());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn machine_that_ends_early_leaves_no_image() {
    let bench = Bench::new().await;
    let error = bench.obtain_and(is_press, || bench.power_off()).await.unwrap_err();
    assert!(error.message.contains("ended before Windows was generalized"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("product-key"), "{error:?}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn cancel_ends_the_machine() {
    let bench = Bench::new().await;
    let error = bench.obtain_and(is_press, || bench.cx.cancel.cancel()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Canceled);
    bench.assert_nothing_left();
}

#[tokio::test]
async fn silent_guest_has_a_deadline_and_is_pressed_a_key_only_at_its_beginning() {
    let bench = Bench::new().await;
    let workshop = Workshop {
        host: &bench.host,
        backend: &bench.fake,
        ledger: &bench.ledger,
        run_dir: bench.folder.path(),
        log_dir: bench.folder.path(),
    };
    let crate::catalogue::Origin::Bootstrap(crate::catalogue::Bootstrap::WindowsIso(recipe)) =
        &bench.entry.origin
    else {
        panic!("{:?}", bench.entry)
    };
    let work = bench.folder.path();
    let spec = spec(&bench.cx, workshop, 1, recipe, work, "m").await.unwrap();
    let machine = bench.fake.start(&spec, &bench.cx.cancel).await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = installed(&bench.cx, machine.as_ref(), recipe, "m").await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 30 * 60);
    assert!(error.message.contains("not installed within 30 min"), "{error}");
    let pressed = bench.fake.calls().iter().filter(|call| matches!(call, Call::Press(_))).count();
    assert_eq!(pressed as u64, PROMPT.as_secs());
}

#[tokio::test]
async fn missing_iso_is_reported_before_a_machine_starts() {
    let bench = Bench::new().await;
    fs::remove_file(bench.cx.layout.data().join("server.iso")).unwrap();
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("server.iso"), "{error}");
    assert_eq!(bench.fake.calls(), []);
}

#[tokio::test]
async fn machine_that_cannot_start_leaves_nothing() {
    let bench = Bench::new().await;
    bench.fake.at(Point::Start, Mishap::Fail("no such device".to_owned()));
    let error = bench.obtain().await.unwrap_err();
    assert!(error.message.contains("no such device"), "{error}");
    assert!(crate::digests(&bench.cx.layout).unwrap().is_empty());
}
