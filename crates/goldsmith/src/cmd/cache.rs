//! `goldsmith cache`: what is cached, and less of it.

use std::collections::BTreeMap;

use api::ErrorCode;
use engine::{
    build::age,
    cache::{self, Fate, Kept, Verification},
    node::NodeStore,
};
use images::{absent, event::Events, layout::Layout};
use serde_json::json;

use super::{Result, internal};
use crate::{
    cli,
    duration::{bytes, human},
    output::{Output, Table},
    setting, signals,
};

const GIB: u64 = 1024 * 1024 * 1024;

pub(super) async fn run(command: &cli::Cache, layout: &Layout, output: &Output) -> Result {
    match command {
        cli::Cache::Ls => list(layout, output)?,
        cli::Cache::Prune { max_gib, all } => prune(layout, *max_gib, *all, output)?,
        cli::Cache::Verify { rate } => return verify(*rate, layout, output).await,
    }
    Ok(0)
}

/// Ends with the exit code of a bad image if anything is damaged, whether it was removed or not.
async fn verify(rate: Option<u64>, layout: &Layout, output: &Output) -> Result {
    let cx = setting::cx(layout, Events::none(), signals::cancel_on_signals());
    let seen = cache::verify(&cx, rate.map(|mib| mib.saturating_mul(1 << 20))).await?;
    let is_sound = seen.damaged.is_empty();
    output.result("verified", &json!(seen), || {
        let mut text = String::new();
        for damaged in &seen.damaged {
            let fate = match (damaged.fate, &damaged.error) {
                (Fate::Evicted, _) => "damaged; removed, it is made again when it is needed",
                (Fate::InUse, _) => "damaged; stays, as a run uses it",
                (Fate::Reported, _) => "damaged; stays, as it is no part of the cache",
                (Fate::Unreadable, Some(error)) => error,
                (Fate::Unreadable, None) => "cannot be read",
            };
            text.push_str(&format!("{}: {fate}\n", damaged.path.display()));
        }
        let Verification { files, bytes: read, without_digest, .. } = seen;
        text.push_str(&format!("read {files} files, {}", bytes(read)));
        if without_digest > 0 {
            text.push_str(&format!(
                "; {without_digest} nodes of an earlier goldsmith have no digest"
            ));
        }
        text
    });
    Ok(if is_sound { 0 } else { ErrorCode::BadImage.exit_code() })
}

fn list(layout: &Layout, output: &Output) -> Result<()> {
    let store = NodeStore::new(layout);
    let mut nodes = store.all().map_err(|e| internal(&e))?;
    nodes.sort_by_key(|node| node.meta.created);
    let mut table = Table::new(&["node", "kind", "what", "age", "ram", "size"]);
    let mut values = Vec::new();
    for node in &nodes {
        let size = absent::bytes(&store.dir(&node.meta.key)).map_err(|e| internal(&e))?;
        let meta = &node.meta;
        table.row([
            meta.key.short().to_owned(),
            meta.kind.clone(),
            meta.title.clone(),
            human(age(node).as_secs_f64()),
            meta.ram.as_ref().map_or_else(|| "-".to_owned(), |ram| bytes(ram.bytes)),
            bytes(size),
        ]);
        values.push(json!({
            "key": meta.key, "kind": meta.kind, "title": meta.title, "created": meta.created,
            "ramBytes": meta.ram.as_ref().map(|ram| ram.bytes), "bytes": size,
        }));
    }
    let usage = cache::usage(layout).map_err(|e| internal(&e))?;
    let value = json!({
        "nodes": values, "folder": layout.cache(),
        "bytes": {
            "sources": usage.sources, "nodes": usage.nodes, "artifacts": usage.artifacts,
            "downloads": usage.downloads, "logs": usage.logs,
        },
    });
    output.result("cache", &value, || {
        format!(
            "{}\nsources {}, nodes {}, artifacts {}, downloads {}, logs {} in {}",
            if table.is_empty() { "no nodes".to_owned() } else { table.render() },
            bytes(usage.sources),
            bytes(usage.nodes),
            bytes(usage.artifacts),
            bytes(usage.downloads),
            bytes(usage.logs),
            layout.cache().display()
        )
    });
    Ok(())
}

fn prune(layout: &Layout, max_gib: u64, all: bool, output: &Output) -> Result<()> {
    let done = if max_gib > 0 && !all {
        cache::trim(layout, max_gib.saturating_mul(GIB))
    } else {
        cache::clear(layout, all)
    };
    let done = done.map_err(|e| internal(&e))?;
    let value = json!({
        "nodes": done.nodes, "bytes": done.bytes, "left": done.left, "kept": done.kept,
    });
    output.result("pruned", &value, || {
        let left =
            if done.left > 0 { format!("; {} stay", bytes(done.left)) } else { String::new() };
        let removed = format!("removed {} nodes, {} in all{left}", done.nodes, bytes(done.bytes));
        std::iter::once(removed).chain(reasons(&done.kept)).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// A line for each kind of thing that stays and each reason.
fn reasons(kept: &[Kept]) -> Vec<String> {
    let mut groups: BTreeMap<(&str, String), (usize, u64)> = BTreeMap::new();
    for one in kept {
        let group = groups.entry((one.kind, one.why.to_string())).or_default();
        *group = (group.0 + 1, group.1 + one.bytes);
    }
    let line = |((kind, why), (count, size)): ((&str, String), (usize, u64))| {
        format!("{count} {kind}{} stay, {}: {why}", if count == 1 { "" } else { "s" }, bytes(size))
    };
    groups.into_iter().map(line).collect()
}
