//! `goldsmith trial windows`: tries an image of one's own, and writes an archive to send.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{
    ErrorCode,
    template::{PlatformImage, Source},
};
use images::{error::Error, run_context::RunContext, store::Store};
use serde_json::json;
use trial::{Exchange, Image, Report, Trial};
use vm::{Host, OsType, Qemu};

use super::{Result, Session};
use crate::{cli, failure::internal};

pub(super) async fn run(command: cli::Trial, session: Session<'_>) -> Result {
    let cli::Trial::Windows(args) = command;
    let (host, _) = session.qemu().await?;
    let archive = vm::may_wait(|| archive(&args))?;
    let findings = vm::host::doctor(&Ok(host.clone())).await;
    let (events, shown) = session.output.follow();
    let cx = RunContext { events, ..session.cx() };
    let report = async {
        let subject = subject(&cx, &host, &args).await?;
        let trial = Trial { archive: archive.clone(), findings: json!(findings), ..subject };
        let exchange = Arc::new(Exchange::default());
        let backend = Qemu::new(host.clone()).recorded(exchange.clone());
        // On the heap, since it contains every step.
        Box::pin(trial::run(&cx, &host, &backend, &trial, &exchange)).await
    }
    .await;
    let canceled = cx.cancel.is_cancelled();
    drop(cx);
    shown.await.map_err(|e| internal(&e))?;
    let report = report?;
    show(session, &report, &archive);
    Ok(exit_code(&report, canceled))
}

fn show(session: Session<'_>, report: &Report, archive: &Path) {
    let (passed, failed, skipped) = report.counts();
    let value = json!({
        "archive": archive,
        "passed": passed,
        "failed": failed,
        "skipped": skipped,
        "guest": report.guest,
        "steps": report.steps,
    });
    session.output.result("trial", &value, || {
        format!(
            "{}\n{}\nThe archive has the console, the exchange with WinRM, screenshots and facts of this \
             host, without passwords and keys. Look through it before you send it.",
            report.text(),
            archive.display()
        )
    });
}

fn exit_code(report: &Report, canceled: bool) -> u8 {
    if canceled {
        ErrorCode::Canceled.exit_code()
    } else if report.failures().next().is_some() {
        ErrorCode::CustomizerFailed.exit_code()
    } else {
        0
    }
}

/// Where the archive goes. An existing file is never replaced: it may be another trial's.
fn archive(args: &cli::TrialWindows) -> Result<PathBuf, Error> {
    let named = args.report.clone().unwrap_or_else(|| {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
        format!("goldsmith-trial-{stamp}.tar.gz").into()
    });
    let path = std::path::absolute(&named).unwrap_or(named);
    match path.exists() {
        false => Ok(path),
        true => Err(Error::new(ErrorCode::Conflict, format!("{} exists", path.display()))
            .hint("name another file with --report")),
    }
}

/// The image to try: a file, an image of the store, or one of the catalogue.
async fn subject(cx: &RunContext, host: &Host, args: &cli::TrialWindows) -> Result<Trial, Error> {
    let file = Path::new(&args.image);
    let of = |title: &str, image, is_uefi| Trial {
        title: title.to_owned(),
        image,
        is_uefi,
        vcpus: args.cpus,
        memory_mib: args.memory,
        boot_timeout: args.boot_timeout,
        updates: args.updates,
        trusted: args.trusted,
        archive: PathBuf::new(),
        findings: json!(null),
    };
    if vm::may_wait(|| file.is_file()) {
        let facts = sources::check_importable(host, file).await?;
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let image = Image::Disk { path, format: facts.format, bytes: facts.virtual_size };
        return Ok(of(&args.image, image, args.generation == 2));
    }
    if let Some(source) = platform_image(&args.image) {
        let entry = vm::may_wait(|| sources::entry(&cx.layout, &source, None))?;
        let entry = entry.ok_or_else(|| not_found(&args.image))?;
        is_windows(entry.os, &args.image)?;
        let (urn, is_uefi) = (entry.urn.clone(), entry.generation == 2);
        return Ok(of(&urn, Image::Catalogue(Box::new(entry)), is_uefi));
    }
    let stored = Store::open(&cx.layout).get(&args.image).map_err(|error| match error.code {
        ErrorCode::NotFound => not_found(&args.image),
        _ => error,
    })?;
    let record = &stored.record;
    is_windows(OsType::of_name(&record.origin.os_type).unwrap_or_default(), &args.image)?;
    let is_uefi = record.origin.generation != "V1";
    let (path, bytes) = (stored.disk(), record.virtual_size);
    Ok(of(&record.id, Image::Disk { path, format: "qcow2".to_owned(), bytes }, is_uefi))
}

/// A URN of the catalogue: `publisher:offer:sku:version`.
fn platform_image(name: &str) -> Option<Source> {
    let parts: Vec<&str> = name.split(':').collect();
    let [publisher, offer, sku, version] = parts.as_slice() else { return None };
    Some(Source::PlatformImage(PlatformImage {
        publisher: (*publisher).to_owned(),
        offer: (*offer).to_owned(),
        sku: (*sku).to_owned(),
        version: (*version).to_owned(),
        plan_info: None,
    }))
}

fn is_windows(os: OsType, image: &str) -> Result<(), Error> {
    match os {
        OsType::Windows => Ok(()),
        OsType::Linux => {
            Err(Error::new(ErrorCode::InvalidArgument, format!("{image} is an image of {os}"))
                .hint("name an image of Windows"))
        }
    }
}

fn not_found(image: &str) -> Error {
    Error::new(ErrorCode::NotFound, format!("no file or image {image:?} exists"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_parts_are_a_urn() {
        assert!(
            platform_image("MicrosoftWindowsServer:WindowsServer:2022-datacenter:latest").is_some()
        );
        assert!(platform_image("my-gallery/my-image/1.0.0").is_none());
        assert!(platform_image("a:b:c").is_none());
    }
}
