//! `goldsmith cache`: lists, evicts and verifies the cache.

use std::collections::BTreeMap;

use api::ErrorCode;
use engine::{
    build::age,
    cache::{self, Fate, Remaining, Verification},
    node::NodeStore,
};
use images::{absent, layout::Layout};
use serde_json::json;

use super::{GIB, Result, Session};
use crate::{
    cli,
    duration::{bytes, human},
    output::{Output, Table},
};

pub(super) async fn run(command: &cli::Cache, session: Session<'_>) -> Result {
    let Session { layout, output, .. } = session;
    match command {
        cli::Cache::Ls => list(layout, output)?,
        cli::Cache::Prune { max_gib, all } => prune(layout, *max_gib, *all, output)?,
        cli::Cache::Verify { rate } => return verify(*rate, session).await,
    }
    Ok(0)
}

/// Returns the exit code of a bad image if anything is damaged, evicted or not.
async fn verify(rate: Option<u64>, session: Session<'_>) -> Result {
    let verification =
        cache::verify(&session.cx(), rate.map(|mib| mib.saturating_mul(1 << 20))).await?;
    let is_sound = verification.damaged.is_empty();
    session.output.result("verified", &json!(verification), || {
        let mut text = String::new();
        for damaged in &verification.damaged {
            let fate = match (damaged.fate, &damaged.error) {
                (Fate::Evicted, _) => "damaged; evicted, and rebuilt when needed",
                (Fate::InUse, _) => "damaged; not evicted, because a run uses it",
                (Fate::Reported, _) => "damaged; not evicted, because it is not part of the cache",
                (Fate::Unreadable, Some(error)) => error,
                (Fate::Unreadable, None) => "cannot be read",
            };
            text.push_str(&format!("{}: {fate}\n", damaged.path.display()));
        }
        let Verification { files, bytes: read, without_digest, .. } = verification;
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
    let mut nodes = store.all()?;
    nodes.sort_by_key(|node| node.meta.created);
    let mut table = Table::new(&["node", "kind", "what", "age", "ram", "size"]);
    let mut values = Vec::new();
    for node in &nodes {
        let size = absent::bytes(&store.dir(&node.meta.key))?;
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
    let usage = cache::usage(layout)?;
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
            table.or("no nodes"),
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
        cache::trim(layout, max_gib.saturating_mul(GIB))?
    } else {
        cache::clear(layout, all)?
    };
    let value = json!({
        "nodes": done.nodes, "bytes": done.bytes, "left": done.left, "kept": done.kept,
    });
    output.result("pruned", &value, || {
        let left =
            if done.left > 0 { format!("; {} remain", bytes(done.left)) } else { String::new() };
        let evicted =
            format!("evicted {} in total, including {} nodes{left}", bytes(done.bytes), done.nodes);
        std::iter::once(evicted).chain(reasons(&done.kept)).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// One line for each kind of remaining item and each reason.
fn reasons(remaining: &[Remaining]) -> Vec<String> {
    let mut groups: BTreeMap<(&str, String), (usize, u64)> = BTreeMap::new();
    for item in remaining {
        let group = groups.entry((item.kind, item.why.to_string())).or_default();
        *group = (group.0 + 1, group.1 + item.bytes);
    }
    let line = |((kind, why), (count, size)): ((&str, String), (usize, u64))| {
        let (plural, verb) = if count == 1 { ("", "remains") } else { ("s", "remain") };
        format!("{count} {kind}{plural} {verb}, {}: {why}", bytes(size))
    };
    groups.into_iter().map(line).collect()
}
