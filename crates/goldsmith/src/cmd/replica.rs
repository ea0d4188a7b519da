//! `goldsmith image replicate`, `pull` and `rm`: gallery versions in regions.

use api::ErrorCode;
use images::{
    config::Config,
    cx::Cx,
    error::Error,
    layout::Layout,
    store::{Store, StoredImage},
};
use regions::{Replica, Request, status};
use serde::Serialize;
use serde_json::json;

use super::{Result, internal, qemu};
use crate::{
    cli::Global,
    duration::bytes,
    output::{Output, Table},
    setting, signals,
};

/// How far a copy is.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    region: String,
    #[serde(flatten)]
    state: status::State,
}

/// Where a version is, by region; nothing for images that have no copies.
pub(super) async fn states(image: &StoredImage, layout: &Layout) -> Result<Vec<Shown>> {
    let config = Config::load(layout)?;
    let names: Vec<_> = match image.record.version {
        Some(_) => config.regions.iter().map(|region| region.name.clone()).collect(),
        None => Vec::new(),
    };
    let states = status::of(layout, &config, &image.record.id, &names).await;
    Ok(names.into_iter().zip(states).map(|(region, state)| Shown { region, state }).collect())
}

pub(super) fn text(shown: &[Shown]) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["region", "state", "%", "why"]);
    for Shown { region, state } in shown {
        let progress = state.progress().to_string();
        table.row([region.clone(), state.name().into(), progress, state.details().into()]);
    }
    format!("\n{}", table.render())
}

pub(super) async fn replicate(
    image: &StoredImage,
    regions: &[String],
    global: &Global,
    layout: &Layout,
    output: &Output,
) -> Result<()> {
    let config = Config::load(layout)?;
    let (host, _) = qemu(global).await?;
    let copied = shown(layout, output, async |cx| {
        regions::replicate(cx, &host, &config, Request { image, regions }).await
    });
    let outcome = copied.await?;
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (region, result) in outcome.regions {
        match result {
            Ok(copied) => rows.push((region, copied)),
            Err(error) => errors.push(error),
        }
    }
    let value: Vec<_> =
        rows.iter().map(|(region, copied)| json!({ "region": region, "copied": copied })).collect();
    let value = json!({ "readBytes": outcome.read_bytes, "regions": value });
    output.result("replicated", &value, || {
        let mut table = Table::new(&["region", "pieces", "new there", "moved"]);
        for (region, copied) in &rows {
            table.row([
                region.clone(),
                copied.chunks.to_string(),
                copied.moved_chunks.to_string(),
                bytes(copied.moved_bytes),
            ]);
        }
        format!("{}\nread {}", table.render(), bytes(outcome.read_bytes))
    });
    if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
}

pub(super) async fn pull(
    id: &str,
    region: Option<&str>,
    global: &Global,
    layout: &Layout,
    output: &Output,
) -> Result<()> {
    let config = Config::load(layout)?;
    let replica = find(layout, &config, id, region).await?;
    let (host, _) = qemu(global).await?;
    let image = shown(layout, output, async |cx| regions::pull(cx, &host, &replica).await).await?;
    let from = &replica.region.name;
    output.result("pulled", &json!({ "image": image.record, "region": from }), || {
        format!("{} is here, from {from}", image.record.id)
    });
    Ok(())
}

async fn find(layout: &Layout, config: &Config, id: &str, region: Option<&str>) -> Result<Replica> {
    let places: Vec<_> = match region {
        None => config.regions.iter().collect(),
        Some(name) => config.region(name).into_iter().collect(),
    };
    for place in &places {
        if let Some(replica) = regions::of_id(layout, place, id).await? {
            return Ok(replica);
        }
    }
    let known: Vec<_> = config.regions.iter().map(|region| region.name.as_str()).collect();
    let text = format!("`{id}` is in none of the regions that were asked");
    let hint = match known.as_slice() {
        [] => "goldsmith.toml names no region".to_owned(),
        known => format!("the regions are {}", known.join(", ")),
    };
    Err(Error::new(ErrorCode::NotFound, text).hint(hint).into())
}

/// Removes an image, its copies first: a copy that cannot be removed keeps the image, so that it can be tried again.
pub(super) async fn remove(
    store: &Store,
    name: &str,
    layout: &Layout,
) -> Result<(String, Vec<String>)> {
    let image = store.removable(name)?;
    let config = Config::load(layout)?;
    let regions = regions::forget(layout, &config, &image.record.id).await?;
    Ok((store.remove(&image.record.id)?.record.id, regions))
}

/// Does the work with its progress on the screen, until it is done or the user has enough.
async fn shown<T>(
    layout: &Layout,
    output: &Output,
    work: impl AsyncFnOnce(&Cx) -> images::error::Result<T>,
) -> Result<T> {
    let (events, shown) = output.follow();
    let cx = setting::cx(layout, events, signals::cancel_on_signals());
    let done = work(&cx).await;
    drop(cx);
    shown.await.map_err(|e| internal(&e))?;
    Ok(done?)
}
