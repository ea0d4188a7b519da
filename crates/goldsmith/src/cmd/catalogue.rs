//! `goldsmith catalogue`: what a PlatformImage source can name.

use engine::{layout::Layout, source::Catalogue};
use serde_json::json;

use super::Result;
use crate::{
    cli,
    output::{Output, Table},
};

pub(super) fn run(command: &cli::Catalogue, layout: &Layout, output: &Output) -> Result {
    let cli::Catalogue::Ls = command;
    let catalogue = Catalogue::load(layout)?;
    let mut table = Table::new(&["urn", "generation", "made by", "about"]);
    let mut values = Vec::new();
    for entry in catalogue.list() {
        let row = [
            entry.urn.clone(),
            entry.generation.to_string(),
            entry.kind.clone(),
            entry.description.clone(),
        ];
        values.push(json!({
            "urn": entry.urn, "generation": entry.generation, "kind": entry.kind,
            "description": entry.description,
        }));
        table.row(row);
    }
    let own = layout.user_catalogue();
    output.result("catalogue", &json!({ "images": values, "userCatalogue": own }), || {
        format!("{}\nyour own entries go into {}", table.render(), own.display())
    });
    Ok(0)
}
