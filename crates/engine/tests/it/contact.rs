//! First contact: by systemd credentials alone, or with cloud-init's seed; and the way from the
//! first to the second.

use std::time::Duration;

use api::ErrorCode;
use engine::build::{self, CLOUD_INIT_TAG, Freshness, Report, Request};
use images::{
    error::Result,
    event::{Event, Events},
    first_contact::FirstContact,
    run_context::RunContext,
    step::Step,
    store::{Store, address::Address},
};
use serde_json::json;
use vm::fake::{Mishap, Point};

use crate::matrix::{Bench, TARGET, check};

impl Bench {
    /// Builds with a short boot timeout and returns the warnings.
    async fn build_watched(&self) -> (Result<Report>, Vec<String>) {
        let (events, mut receiver) = Events::channel();
        let cx = RunContext { events, ..self.cx() };
        let plan = self.plan(&cx).await;
        let request = Request { boot_timeout: Duration::from_millis(400), ..self.request() };
        let result = build::build(&cx, &self.host, &self.fake, &plan, &request).await;
        drop(cx);
        let mut warnings = Vec::new();
        while let Some(event) = receiver.recv().await {
            if let Event::Warning { text } = event {
                warnings.push(text);
            }
        }
        (result, warnings)
    }
}

#[tokio::test]
async fn image_that_takes_credentials_boots_without_a_seed_and_is_validated_with_one() {
    let mut bench = Bench::upon(FirstContact::Credentials).await;
    bench.also =
        json!({ "validate": { "inVMValidations": [{ "type": "Shell", "inline": ["true"] }] } });
    let (result, warnings) = bench.build_watched().await;
    let report = result.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let starts = bench.starts();
    let [first, fork] = starts.as_slice() else { panic!("{starts:?}") };
    assert_eq!(first.seed, None);
    assert!(fork.seed.is_some(), "cloud-init runs on a machine of the image");
    assert!(first.access.is_some() && fork.access.is_some());
    assert_ne!(first.access, fork.access, "by keys of its own");
    let made = Address::parse(TARGET).unwrap();
    let made = Store::open(&bench.layout).at(&made).unwrap().unwrap();
    assert_eq!(made.record.origin.first_contact, FirstContact::Credentials);

    // The next build resumes the first boot, by the same keys.
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
    let request = Request { freshness: Freshness::FRESH, ..bench.request() };
    let plan = bench.plan(&bench.cx()).await;
    let again = build::build(&bench.cx(), &bench.host, &bench.fake, &plan, &request).await;
    assert_eq!(again.unwrap().nodes[0], report.nodes[0]);
    let resumed = &bench.starts()[2];
    assert_eq!((&resumed.seed, &resumed.access), (&None, &first.access));
    assert!(resumed.resume_from.is_some());
}

#[tokio::test]
async fn image_that_does_not_take_credentials_is_entered_by_cloud_init_and_the_log_says_so() {
    for mishap in [Mishap::WrongHostKey, Mishap::Hang] {
        let bench = Bench::upon(FirstContact::Credentials).await;
        bench.fake.once_at(Point::Connect, mishap.clone());
        let (result, warnings) = bench.build_watched().await;
        let report = result.unwrap_or_else(|e| panic!("{mishap:?}: {e}"));
        let said = warnings.iter().find(|text| text.contains("cloud-init")).unwrap();
        assert!(said.contains("cannot be entered by systemd credentials"), "{said}");
        let starts = bench.starts();
        let [first, second] = starts.as_slice() else { panic!("{starts:?}") };
        assert_eq!(first.seed, None, "{mishap:?}");
        let seed = second.seed.as_ref().unwrap();
        assert_eq!((&first.access, &first.disk), (&second.access, &second.disk));
        // Later machines of this first boot have the seed too.
        let kept = bench.layout.nodes().join(&report.nodes[0]);
        assert!(kept.join(seed.file_name().unwrap()).exists(), "{mishap:?}");
        std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
        bench.assert_clean("entered by cloud-init");
    }
}

#[tokio::test]
async fn image_that_takes_neither_is_an_error_that_says_what_it_lacks() {
    for (contact, starts) in [(FirstContact::CloudInit, 1), (FirstContact::Credentials, 2)] {
        let bench = Bench::upon(contact.clone()).await;
        bench.fake.at(Point::Connect, Mishap::WrongHostKey);
        let error = bench.build_watched().await.0.unwrap_err();
        check(&error, Step::Boot, ErrorCode::GuestUnreachable, "another key");
        let hint = error.hint.unwrap();
        assert!(hint.contains("systemd 252") && hint.contains("NoCloud"), "{hint}");
        assert_eq!(bench.starts().len(), starts);
        bench.fake.at(Point::Connect, Mishap::Hang);
        let error = bench.build_watched().await.0.unwrap_err();
        check(&error, Step::Boot, ErrorCode::BootTimeout, "no answer");
        assert!(error.hint.unwrap().contains("SSH server"));
        bench.assert_clean("not entered");
    }
}

#[tokio::test]
async fn tag_lets_cloud_init_run_before_the_scripts() {
    let bench = Bench::upon(FirstContact::Credentials).await;
    let cx = bench.cx();
    let tagged = |value: &str| {
        let mut input = bench.input();
        input.template.tags.insert(CLOUD_INIT_TAG.to_uppercase(), value.to_owned());
        input
    };
    let plan = build::resolve(&cx, tagged("True")).await.unwrap();
    build::build(&cx, &bench.host, &bench.fake, &plan, &bench.request()).await.unwrap();
    assert!(bench.starts()[0].seed.is_some());

    // Without it, the first boot is another one.
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
    let plan = build::resolve(&cx, tagged("false")).await.unwrap();
    build::build(&cx, &bench.host, &bench.fake, &plan, &bench.request()).await.unwrap();
    assert_eq!(bench.starts()[1].seed, None);

    let errors = build::resolve(&cx, tagged("maybe")).await.unwrap_err();
    assert_eq!(errors[0].target.as_deref(), Some("tags"));
    assert!(errors[0].message.contains("\"maybe\"") && errors[0].message.contains("`true`"));
}

#[tokio::test]
async fn larger_disk_is_grown_in_the_guest_where_cloud_init_does_not_run() {
    for (contact, grows) in [(FirstContact::Credentials, true), (FirstContact::CloudInit, false)] {
        let mut bench = Bench::upon(contact.clone()).await;
        bench.also = json!({ "vmProfile": { "osDiskSizeGB": 1 } });
        bench.build(&bench.cx()).await.unwrap();
        let grown = bench.fake.commands().iter().any(|command| command.ends_with(" stand-in true"));
        assert_eq!(grown, grows, "{contact:?}");
    }
}
