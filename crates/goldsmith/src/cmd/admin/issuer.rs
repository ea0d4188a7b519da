//! `goldsmith admin issuer`: whose tokens federated credentials accept.

use db::TrustedIssuer;
use images::layout::Layout;
use serde_json::{Value, json};
use server::federated;

use super::{super::Result, open, seconds, sp::read};
use crate::{
    cli::Issuer,
    output::{Output, Table},
};

pub(super) async fn run(command: &Issuer, layout: &Layout, output: &Output) -> Result {
    match command {
        Issuer::Add { issuer, keys, database } => {
            let store = open(layout, database).await?;
            let keys = keys.as_deref().map(read).transpose()?;
            let row = federated::trust(&store, issuer, keys.as_deref()).await?;
            output.result("issuer", &value(&row), || format!("{} is trusted", row.issuer));
        }
        Issuer::List { database } => {
            let store = open(layout, database).await?;
            list(&federated::issuers(&store).await?, output);
        }
        Issuer::Remove { issuer, database } => {
            let store = open(layout, database).await?;
            federated::distrust(&store, issuer).await?;
            output.result("issuer", &json!({ "issuer": issuer, "trusted": false }), || {
                format!("{issuer} is no longer trusted")
            });
        }
    }
    Ok(0)
}

fn list(issuers: &[TrustedIssuer], output: &Output) {
    let mut table = Table::new(&["issuer", "keys", "fetched"]);
    for one in issuers {
        let keys = one.keys_uri.as_deref().unwrap_or("given").to_owned();
        table.row([one.issuer.clone(), keys, one.fetched.map(seconds).unwrap_or_default()]);
    }
    let values: Vec<Value> = issuers.iter().map(value).collect();
    output.result("issuers", &json!({ "issuers": values }), || {
        table.or("no trusted issuers; goldsmith admin issuer add URL adds one")
    });
}

fn value(issuer: &TrustedIssuer) -> Value {
    json!({
        "issuer": issuer.issuer,
        "keysUri": issuer.keys_uri,
        "keys": issuer.keys,
        "fetched": issuer.fetched,
        "trusted": true,
    })
}
