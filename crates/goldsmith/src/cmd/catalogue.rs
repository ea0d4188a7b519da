//! `goldsmith catalogue`: lists the images that PlatformImage sources can refer to.

use images::layout::Layout;
use serde_json::json;
use sources::Catalogue;

use super::Result;
use crate::{
    cli,
    output::{Output, Table},
};

pub(super) fn run(command: &cli::Catalogue, layout: &Layout, output: &Output) -> Result {
    let cli::Catalogue::Ls = command;
    let catalogue = Catalogue::load(layout)?;
    let mut table = Table::new(&["urn", "system", "generation", "made by", "about"]);
    let mut values = Vec::new();
    for entry in catalogue.list() {
        let row = [
            entry.urn.clone(),
            entry.os.to_string(),
            entry.generation.to_string(),
            entry.kind.clone(),
            entry.description.clone(),
        ];
        values.push(json!({
            "urn": entry.urn, "osType": entry.os, "generation": entry.generation,
            "kind": entry.kind, "description": entry.description,
        }));
        table.row(row);
    }
    let mut names = Table::new(&["alias", "stands for"]);
    let mut aliases = Vec::new();
    for alias in catalogue.aliases() {
        aliases.push(json!({ "name": alias.name, "image": alias.image }));
        names.row([alias.name, alias.image]);
    }
    let user_catalogue = layout.user_catalogue();
    let value = json!({ "images": values, "aliases": aliases, "userCatalogue": user_catalogue });
    output.result("catalogue", &value, || {
        let (table, names) = (table.render(), names.render());
        format!("{table}\n{names}\nadd your own entries to {}", user_catalogue.display())
    });
    Ok(0)
}
