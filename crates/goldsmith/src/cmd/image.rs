//! `goldsmith image`: the image store.

use images::{
    event::Events,
    export::{self, ExportSpec},
    image_file::digest,
    layout::Layout,
    store::{Store, StoredImage},
};
use serde_json::json;

use super::{Result, boot, internal, qemu, replica};
use crate::{
    cli::{self, Global},
    duration::bytes,
    output::{Output, Table},
    setting, signals,
};

pub(super) async fn run(
    command: cli::Image,
    global: &Global,
    layout: &Layout,
    output: &Output,
) -> Result {
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
        cli::Image::Import { name, file, generation } => {
            let (host, _) = qemu(global).await?;
            let (events, shown) = output.follow();
            let cx = setting::cx(layout, events, signals::cancel_on_signals());
            let imported = sources::import(&cx, &host, &file, &name, generation).await;
            drop(cx);
            shown.await.map_err(|e| internal(&e))?;
            let image = imported?;
            output.result("imported", &json!({ "image": image.record }), || {
                format!("imported {}", image.record.id)
            });
        }
        cli::Image::Digest { file } => {
            let cx = setting::cx(layout, Events::none(), signals::cancel_on_signals());
            let digest = digest::compute(&cx, &file, digest::Kind::Sparse, "hash").await?;
            output.result("digest", &json!(digest), || digest.hex().to_owned());
        }
        cli::Image::Export { id, export, force } => {
            let image = store.get(&id)?;
            let exports = export.into_iter().map(|spec| spec.replacing(force)).collect();
            write(&image, exports, global, layout, output).await?;
        }
        cli::Image::Replicate { id, regions } => {
            replica::replicate(&store.get(&id)?, &regions, global, layout, output).await?;
        }
        cli::Image::Pull { id, region } => {
            replica::pull(&id, region.as_deref(), global, layout, output).await?;
        }
        cli::Image::Boot(args) => return boot::run(args, global, layout, output).await,
    }
    Ok(0)
}

fn list(store: &Store, output: &Output) -> Result<()> {
    let images = store.list()?;
    let mut table = Table::new(&["name", "kind", "size", "created", "id"]);
    for image in &images {
        let record = &image.record;
        table.row([
            image.short_name(),
            format!("{:?}", record.kind),
            bytes(image.actual_size()),
            record.created.strftime("%Y-%m-%d %H:%M").to_string(),
            record.id.clone(),
        ]);
    }
    let records: Vec<_> = images.iter().map(|image| &image.record).collect();
    output.result("images", &json!({ "images": records }), || {
        if table.is_empty() {
            "no images yet: goldsmith build FILE, or goldsmith image import NAME FILE".to_owned()
        } else {
            table.render()
        }
    });
    Ok(())
}

async fn write(
    image: &StoredImage,
    exports: Vec<ExportSpec>,
    global: &Global,
    layout: &Layout,
    output: &Output,
) -> Result<()> {
    export::check(&exports)?;
    let (host, _) = qemu(global).await?;
    let (events, shown) = output.follow();
    let cx = setting::cx(layout, events, signals::cancel_on_signals());
    let written = export::of_stored(&cx, &host, image, &exports).await;
    drop(cx);
    shown.await.map_err(|e| internal(&e))?;
    let written = written?;
    output.result("exported", &json!({ "exports": written }), || {
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
