//! `goldsmith login`: stores the address of a service and the credentials for it.

use api::ErrorCode;
use images::error::{Coded, Error};
use serde_json::json;

use super::{Result, az};
use crate::{
    cli,
    output::Output,
    remote::{Client, Login},
};

pub(super) async fn run(args: cli::Login, output: &Output) -> Result {
    let ca = args.ca.as_ref().map(|path| {
        std::fs::read_to_string(path)
            .code(ErrorCode::InvalidArgument, || format!("cannot read {}", path.display()))
    });
    let mut login = Login {
        url: args.server.trim_end_matches('/').to_owned(),
        tenant_id: args.tenant,
        subscription_id: String::new(),
        client_id: args.client_id,
        client_secret: args.client_secret,
        ca: ca.transpose()?,
    };
    let client = Client::connect(login.clone()).await?;
    let subscriptions = client.subscriptions().await?;
    let chosen = match &args.subscription {
        None => subscriptions.first(),
        Some(wanted) => subscriptions.iter().find(|(id, _)| id.eq_ignore_ascii_case(wanted)),
    };
    let Some((id, name)) = chosen else {
        let existing = subscriptions.into_iter().map(|(id, name)| format!("{id} {name}"));
        let text = match args.subscription {
            Some(wanted) => format!("the service has no subscription `{wanted}`"),
            None => "the login has no subscription on this service".to_owned(),
        };
        return Err(Error::new(ErrorCode::NotFound, text).details(existing).into());
    };
    login.subscription_id.clone_from(id);
    let path = login.save()?;
    az::forget()?;
    let value = json!({ "url": login.url, "subscriptionId": id, "file": path });
    output.result("login", &value, || format!("logged in to {} ({name})", login.url));
    Ok(0)
}
