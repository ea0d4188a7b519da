//! `goldsmith admin subscription`: the subscriptions of the installation.

use images::layout::Layout;
use serde_json::{Value, json};
use server::subscriptions;

use super::{super::Result, open, seconds};
use crate::{
    cli::{Subscription, Switch},
    output::{Output, Table},
};

pub(super) async fn run(command: &Subscription, layout: &Layout, output: &Output) -> Result {
    match command {
        Subscription::Create { name, database } => {
            let store = open(layout, database).await?;
            let created = subscriptions::create(&store, name).await?;
            output.result("subscription", &value(&created), || {
                let id = &created.id;
                format!(
                    "created subscription {id} ({name})\n\
                     goldsmith admin role grant PRINCIPAL Owner --scope /subscriptions/{id} gives it an owner"
                )
            });
        }
        Subscription::List { database } => {
            let store = open(layout, database).await?;
            list(&subscriptions::list(&store).await?, output);
        }
        Subscription::Rename { subscription, name, database } => {
            let store = open(layout, database).await?;
            let renamed = subscriptions::rename(&store, subscription, name).await?;
            output.result("subscription", &value(&renamed), || {
                format!("subscription {} is now named {name}", renamed.id)
            });
        }
        Subscription::ShareCache { subscription, shared, database } => {
            let store = open(layout, database).await?;
            let shares = *shared == Switch::On;
            let changed = subscriptions::share_cache(&store, subscription, shares).await?;
            output.result("subscription", &value(&changed), || {
                let part = match shares {
                    true => "the cache of all subscriptions that share it",
                    false => "a part of the cache of its own",
                };
                format!("new runs of {} use {part}", changed.id)
            });
        }
    }
    Ok(0)
}

fn list(all: &[db::Subscription], output: &Output) {
    let mut table = Table::new(&["id", "name", "state", "cache", "created"]);
    for one in all {
        let cache = if one.shares_cache { "shared" } else { "own" };
        let created = seconds(one.created);
        table.row([one.id.clone(), one.name.clone(), one.state.clone(), cache.to_owned(), created]);
    }
    let values: Vec<Value> = all.iter().map(value).collect();
    output.result("subscriptions", &json!({ "subscriptions": values }), || {
        table.or("no subscriptions; the first start of the service makes one")
    });
}

fn value(subscription: &db::Subscription) -> Value {
    json!({
        "id": subscription.id,
        "name": subscription.name,
        "state": subscription.state,
        "sharesCache": subscription.shares_cache,
        "created": seconds(subscription.created),
    })
}
