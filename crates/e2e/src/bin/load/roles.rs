//! Many role assignments, and reads by an owner and by a principal with few rights.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Bench, RATE, SECONDS,
    client::Client,
    measure::{at_rate, each, fill, name, read},
    server::Server,
};

/// The principals, each with a role at each of its scopes.
const PRINCIPALS: usize = 20;
/// The templates of the first subscription: each is a scope of one principal.
const TEMPLATES: usize = 3_800;
/// Further subscriptions, because one can have 4,000 assignments, and the groups of each: all principals have a role there.
const SUBSCRIPTIONS: usize = 2;
const GROUPS: usize = 195;

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// Reads at a fixed rate, half of them by the owner of everything, half by a principal that reads some of the templates.
pub(crate) async fn roles(bench: &mut Bench) {
    let (server, owner) = bench.serve(&[]).await;
    let total = TEMPLATES + SUBSCRIPTIONS * GROUPS * PRINCIPALS;
    println!("roles: {total} assignments of {PRINCIPALS} principals");
    fill(&owner, 0, TEMPLATES).await;
    let principals: Vec<Value> = (0..PRINCIPALS)
        .map(|number| server.admin(&["sp", "create", &format!("principal-{number}")]))
        .collect();
    let principals = &principals;
    let assign = |client: Client, number: usize, scope: String, principal: usize| async move {
        let assignment = format!("{number:08}-0000-4000-8000-{principal:012}");
        let path =
            format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}");
        let body = json!({ "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
            "principalId": principals[principal]["objectId"],
            "principalType": "ServicePrincipal",
        } });
        client.call(Method::PUT, &path, Some(body)).await;
    };
    each(0..TEMPLATES, |number| {
        let scope = owner.template_path(&name(number));
        assign(owner.clone(), number, scope, number % PRINCIPALS)
    })
    .await;
    for subscription in 0..SUBSCRIPTIONS {
        let made = server.admin(&["subscription", "create", &format!("load-{subscription}")]);
        let client = owner.within(made["id"].as_str().expect("the subscription's id")).await;
        each(0..GROUPS, |number| {
            let (client, path) = (&client, client.path(&format!("resourceGroups/group-{number}")));
            async move {
                client.call(Method::PUT, &path, Some(json!({ "location": "westus2" }))).await;
            }
        })
        .await;
        each(0..GROUPS * PRINCIPALS, |number| {
            let scope = client.path(&format!("resourceGroups/group-{}", number / PRINCIPALS));
            assign(client.clone(), number, scope, number % PRINCIPALS)
        })
        .await;
    }
    println!("roles: {RATE} mixed reads per second for {SECONDS} s");
    let reader = Client::login(&server, &principals[0]).await;
    let request = move |owner: Client, number: usize| {
        let reader = reader.clone();
        async move {
            match number % 2 {
                0 => owner.get(&read(&owner, number / 2, TEMPLATES)).await,
                _ => reader.get(&read_some(&reader, number / 2)).await,
            };
        }
    };
    let reads = at_rate(&owner, RATE, SECONDS, request).await;
    bench.requests("roles", reads, &server);
}

/// What the first principal may read: single templates, every fifth time a list.
fn read_some(client: &Client, number: usize) -> String {
    match number % 10 {
        0 => client.path(
            "resourceGroups/load/providers/Microsoft.VirtualMachineImages/imageTemplates?$top=20",
        ),
        1 => client.path("providers/Microsoft.VirtualMachineImages/imageTemplates?$top=20"),
        _ => client.template_path(&name(number * 7919 % (TEMPLATES / PRINCIPALS) * PRINCIPALS)),
    }
}

impl Server {
    /// `goldsmith admin` on the data folder of the running server.
    fn admin(&self, words: &[&str]) -> Value {
        let done = Command::new(&self.program)
            .arg("admin")
            .args(words)
            .args(["--output", "json", "--data-dir"])
            .arg(self.data())
            .output()
            .unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("a JSON object")
    }
}
