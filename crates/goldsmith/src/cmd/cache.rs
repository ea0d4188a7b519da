//! `goldsmith cache`: what is cached, and less of it.

use engine::{
    build::age,
    cache,
    layout::Layout,
    node::{self, NodeStore},
};
use serde_json::json;

use super::{Result, internal};
use crate::{
    cli,
    duration::{bytes, human},
    output::{Output, Table},
};

const GIB: u64 = 1024 * 1024 * 1024;

#[expect(clippy::unused_async, reason = "every command has the same shape")]
pub(super) async fn run(command: &cli::Cache, layout: &Layout, output: &Output) -> Result {
    match command {
        cli::Cache::Ls => list(layout, output)?,
        cli::Cache::Prune { max_gib, all } => prune(layout, *max_gib, *all, output)?,
    }
    Ok(0)
}

fn list(layout: &Layout, output: &Output) -> Result<()> {
    let store = NodeStore::new(layout);
    let mut nodes = store.all();
    nodes.sort_by_key(|node| node.meta.created);
    let mut table = Table::new(&["node", "kind", "what", "age", "ram", "size"]);
    let mut values = Vec::new();
    for node in &nodes {
        let size = node::usage(&store.dir(&node.meta.key)).map_err(|e| internal(&e))?;
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
    let value = json!({ "nodes": done.nodes, "bytes": done.bytes, "left": done.left });
    output.result("pruned", &value, || {
        let left = if done.left > 0 {
            format!("; {} stay, in use or wanted", bytes(done.left))
        } else {
            String::new()
        };
        format!("removed {} nodes, {} in all{left}", done.nodes, bytes(done.bytes))
    });
    Ok(())
}
