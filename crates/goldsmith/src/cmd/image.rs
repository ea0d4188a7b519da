//! `goldsmith image`: the image store.

use api::ErrorCode;
use images::{
    error::Error,
    export::{self, ExportSpec},
    first_contact::{FirstContact, LoginFile},
    image_file::digest,
    store::{Store, StoredImage},
};
use serde_json::json;
use sources::Importing;
use vm::OsType;

use super::{Result, Session, boot, replica};
use crate::{
    cli,
    duration::bytes,
    output::{Output, Table},
};

pub(super) async fn run(command: cli::Image, session: Session<'_>) -> Result {
    let Session { layout, output, .. } = session;
    let store = Store::open(layout);
    match command {
        cli::Image::Ls => list(&store, output)?,
        cli::Image::Show { id } => {
            let image = store.get(&id)?;
            let replication = replica::states(&image, layout).await?;
            let shown = json!({ "image": image.record, "replication": replication });
            output.result("image", &shown, || {
                serde_json::to_string_pretty(&shown["image"]).unwrap_or_default()
                    + &replica::text(&replication)
            });
        }
        cli::Image::Rm { id } => {
            let (id, regions) = replica::remove(&store, &id, layout).await?;
            let value = json!({ "id": id, "regions": regions });
            output.result("removed", &value, || format!("removed {id}"));
        }
        cli::Image::Import { name, file, generation, system } => {
            let first_contact = first_contact(system)?;
            let (host, _) = session.qemu().await?;
            let image = session
                .with_progress(async |cx| {
                    let importing = Importing { name: &name, generation, first_contact };
                    sources::import(cx, &host, &file, importing).await
                })
                .await?;
            output.result("imported", &json!({ "image": image.record }), || {
                format!("imported {}", image.record.id)
            });
        }
        cli::Image::Digest { file } => {
            let digest =
                digest::compute(&session.cx(), &file, digest::Kind::Sparse, "hash").await?;
            output.result("digest", &json!(digest), || digest.hex().to_owned());
        }
        cli::Image::Export { id, export, force } => {
            let exports: Vec<_> = export.into_iter().map(|spec| spec.replacing(force)).collect();
            write(&store.get(&id)?, &exports, session).await?;
        }
        cli::Image::Replicate { id, regions } => {
            replica::replicate(&store.get(&id)?, &regions, session).await?;
        }
        cli::Image::Pull { id, region } => {
            replica::pull(&id, region.as_deref(), session).await?;
        }
        cli::Image::Boot(args) => return boot::run(args, session).await,
    }
    Ok(0)
}

fn first_contact(system: cli::System) -> Result<FirstContact, Error> {
    let login = system.login.map(|file| LoginFile(std::path::absolute(&file).unwrap_or(file)));
    let os = OsType::from(system.os);
    let contact = match system.first_contact {
        Some(name) => FirstContact::of_name(os, &name, login),
        None if login.is_some() => FirstContact::of_name(os, "specialized", login),
        None => Ok(FirstContact::usual(os)),
    };
    contact.map_err(|why| Error::new(ErrorCode::InvalidArgument, why))
}

fn list(store: &Store, output: &Output) -> Result<()> {
    let images = store.list()?;
    let mut table = Table::new(&["name", "kind", "system", "size", "created", "id"]);
    for image in &images {
        let record = &image.record;
        table.row([
            image.short_name(),
            format!("{:?}", record.kind),
            record.origin.os().to_string(),
            bytes(image.actual_size()),
            record.created.strftime("%Y-%m-%d %H:%M").to_string(),
            record.id.clone(),
        ]);
    }
    let records: Vec<_> = images.iter().map(|image| &image.record).collect();
    output.result("images", &json!({ "images": records }), || {
        table.or("no images yet: goldsmith build FILE, or goldsmith image import NAME FILE")
    });
    Ok(())
}

async fn write(image: &StoredImage, exports: &[ExportSpec], session: Session<'_>) -> Result<()> {
    export::check(exports)?;
    let (host, _) = session.qemu().await?;
    let written = session
        .with_progress(async |cx| export::of_stored(cx, &host, image, exports).await)
        .await?;
    session.output.result("exported", &json!({ "exports": written }), || {
        let mut table = Table::new(&["format", "path", "size", "sha-256"]);
        for export in &written {
            let path = export.path.display().to_string();
            table.row([
                export.format.to_string(),
                path,
                bytes(export.bytes),
                export.digest.to_string(),
            ]);
        }
        table.render()
    });
    Ok(())
}
