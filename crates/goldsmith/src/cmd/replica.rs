//! `goldsmith image replicate`, `pull` and `rm`: gallery versions in regions.

use api::ErrorCode;
use images::{
    config::Config,
    error::Error,
    layout::Layout,
    store::{Store, StoredImage},
};
use regions::{Replica, Request, status};
use serde::Serialize;
use serde_json::json;

use super::{Result, Session};
use crate::{duration::bytes, output::Table};

/// The state of a copy.
#[derive(Debug, Serialize)]
pub(super) struct RegionState {
    region: String,
    #[serde(flatten)]
    state: status::State,
}

/// The state of a version in each region; empty for a managed image, which has no copies.
pub(super) async fn states(image: &StoredImage, layout: &Layout) -> Result<Vec<RegionState>> {
    let config = Config::load(layout)?;
    let names: Vec<_> = match image.record.version {
        Some(_) => config.regions.iter().map(|region| region.name.clone()).collect(),
        None => Vec::new(),
    };
    let states = status::of(layout, &config, &image.record.id, &names).await;
    let regions = names.into_iter().zip(states);
    Ok(regions.map(|(region, state)| RegionState { region, state }).collect())
}

pub(super) fn text(states: &[RegionState]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["region", "state", "%", "why"]);
    for RegionState { region, state } in states {
        let progress = state.progress().to_string();
        table.row([region.clone(), state.name().into(), progress, state.details().into()]);
    }
    format!("\n{}", table.render())
}

pub(super) async fn replicate(
    image: &StoredImage,
    regions: &[String],
    session: Session<'_>,
) -> Result<()> {
    let config = Config::load(session.layout)?;
    let (host, _) = session.qemu().await?;
    let replication = session.with_progress(async |cx| {
        regions::replicate(cx, &host, &config, Request { image, regions }).await
    });
    let replicated = replication.await?;
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (region, result) in replicated.regions {
        match result {
            Ok(copied) => rows.push((region, copied)),
            Err(error) => errors.push(error),
        }
    }
    let value: Vec<_> =
        rows.iter().map(|(region, copied)| json!({ "region": region, "copied": copied })).collect();
    let value = json!({ "readBytes": replicated.read_bytes, "regions": value });
    session.output.result("replicated", &value, || {
        let mut table = Table::new(&["region", "pieces", "uploaded", "bytes uploaded"]);
        for (region, copied) in &rows {
            table.row([
                region.clone(),
                copied.chunks.to_string(),
                copied.moved_chunks.to_string(),
                bytes(copied.moved_bytes),
            ]);
        }
        format!("{}\nread {}", table.render(), bytes(replicated.read_bytes))
    });
    if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
}

pub(super) async fn pull(id: &str, region: Option<&str>, session: Session<'_>) -> Result<()> {
    let Session { layout, output, .. } = session;
    let config = Config::load(layout)?;
    let replica = find(layout, &config, id, region).await?;
    let (host, _) = session.qemu().await?;
    let image = session.with_progress(async |cx| regions::pull(cx, &host, &replica).await).await?;
    let from = &replica.region.name;
    output.result("pulled", &json!({ "image": image.record, "region": from }), || {
        format!("copied {} from {from}", image.record.id)
    });
    Ok(())
}

async fn find(layout: &Layout, config: &Config, id: &str, region: Option<&str>) -> Result<Replica> {
    let regions: Vec<_> = match region {
        None => config.regions.iter().collect(),
        Some(name) => config.region(name).into_iter().collect(),
    };
    for region in &regions {
        if let Some(replica) = regions::of_id(layout, region, id).await? {
            return Ok(replica);
        }
    }
    let names: Vec<_> = config.regions.iter().map(|region| region.name.as_str()).collect();
    let text = format!("none of the regions has `{id}`");
    let hint = match names.as_slice() {
        [] => "goldsmith.toml defines no region".to_owned(),
        names => format!("the regions are {}", names.join(", ")),
    };
    Err(Error::new(ErrorCode::NotFound, text).hint(hint).into())
}

/// Removes an image after its copies. If a copy cannot be removed, the image stays for another
/// attempt.
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
