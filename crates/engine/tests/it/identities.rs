//! `vmProfile.userAssignedIdentities` on the scripted machine: when there is a metadata service,
//! and how a build ends without one.

use std::{sync::Arc, time::Duration};

use api::template::{Face, ParseOptions};
use async_trait::async_trait;
use engine::{
    build::{self, Input, Plan, Report},
    metadata::{Answer, Asked, Metadata},
};
use images::event::{Event, Events};
use serde_json::{Value, json};
use vm::fake::Reaction;

use crate::data_disks::{Forge, id};

const IDENTITY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
/// A part of the relay's command that no other command contains.
const RELAY: &str = "goldsmith-metadata";

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Metadata for Nothing {
    async fn answer(&self, _: &Asked, _: Duration) -> Answer {
        Answer { status: 404, content_type: "text/plain", body: String::new() }
    }
}

/// `more` adds or replaces properties of the template.
async fn plan(forge: &Forge, identities: &[&str], metadata: bool, more: &Value) -> Plan {
    let mut text = json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "source": { "type": "ManagedImage", "imageId": id("base") },
            "customize": [{ "type": "Shell", "inline": ["echo one"] }],
            "vmProfile": { "userAssignedIdentities": identities },
            "distribute": [{
                "type": "ManagedImage", "runOutputName": "image", "location": "here",
                "imageId": id("made"),
            }],
        },
    });
    for (name, value) in more.as_object().unwrap() {
        text["properties"][name] = value.clone();
    }
    let options = ParseOptions { api_version: None, face: Face::File };
    let template = engine::template::parse(&text.to_string(), &options).template.unwrap();
    let metadata = metadata.then(|| Arc::new(Nothing) as Arc<dyn Metadata>);
    let input = Input {
        name: "who".into(),
        template,
        base_dir: forge.s.path(""),
        metadata,
        fetch: sources::fetch::Limits::default(),
    };
    build::resolve(&forge.s.cx, input).await.unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The report and the warnings of a build.
async fn built(forge: &mut Forge, identities: &[&str], metadata: bool) -> (Report, Vec<String>) {
    let (events, mut receiver) = Events::channel();
    forge.s.cx.events = events;
    let plan = plan(forge, identities, metadata, &json!({})).await;
    let report = forge.build(&plan, &[]).await.unwrap();
    forge.s.cx.events = Events::none();
    let mut warnings = Vec::new();
    while let Some(event) = receiver.try_recv() {
        if let Event::Warning { text } = event {
            warnings.push(text);
        }
    }
    (report, warnings)
}

#[tokio::test]
async fn metadata_service_runs_for_templates_with_identities_only() {
    let mut forge = Forge::new().await;
    forge.fake.on_deaf(RELAY, Reaction::exit(127).err("there is no Python\n"));
    let (without, warnings) = built(&mut forge, &[], true).await;
    assert_eq!(warnings, Vec::<String>::new());
    let (absent, warnings) = built(&mut forge, &[IDENTITY], false).await;
    assert!(warnings[0].contains("a local build has no authority"), "{warnings:?}");
    let relays = |forge: &Forge| {
        forge.fake.commands().iter().filter(|command| command.contains(RELAY)).count()
    };
    assert_eq!(relays(&forge), 0);

    let (served, warnings) = built(&mut forge, &[IDENTITY], true).await;
    assert_eq!(relays(&forge), 1);
    assert!(
        warnings[0].contains("there is no Python"),
        "a guest without it gets a warning: {warnings:?}"
    );
    // The identities that scripts can use are part of their node's key; the first boot is shared.
    let keys = [&without, &absent, &served].map(|report| &report.nodes);
    assert!(keys.iter().all(|nodes| nodes[0] == keys[0][0]));
    assert!(keys[0][1] != keys[1][1] && keys[1][1] != keys[2][1] && keys[0][1] != keys[2][1]);
}

fn commands(forge: &Forge, part: &str) -> usize {
    forge.fake.commands().iter().filter(|command| command.contains(part)).count()
}

#[tokio::test]
async fn workload_has_the_metadata_service_as_first_step() {
    let forge = Forge::new().await;
    forge.fake.on_deaf(RELAY, Reaction::exit(127).err("there is no Python\n"));
    std::fs::write(forge.s.path("warm.sh"), "#!/bin/sh\n").unwrap();
    let plain = plan(&forge, &[IDENTITY], true, &json!({})).await;
    forge.build(&plain, &[]).await.unwrap();
    assert_eq!(commands(&forge, RELAY), 1);
    let workload = json!({ "state": "Enabled", "scriptUri": "warm.sh" });
    let mut more = json!({ "optimize": { "workload": workload } });
    let warmed = plan(&forge, &[IDENTITY], true, &more).await;
    forge.build(&warmed, &[]).await.unwrap();
    assert_eq!(commands(&forge, RELAY), 2, "the customizer was not run again");

    // The workload's identities are part of its node's key, even without any customizer.
    more["customize"] = json!([]);
    let mut nodes = Vec::new();
    for identities in [&[IDENTITY][..], &[]] {
        let plan = plan(&forge, identities, true, &more).await;
        nodes.push(forge.build(&plan, &[]).await.unwrap().nodes);
    }
    assert_eq!(nodes[0][0], nodes[1][0]);
    assert_ne!(nodes[0][1], nodes[1][1]);
}

#[tokio::test]
async fn validation_for_one_identity_does_not_count_for_another() {
    let forge = Forge::new().await;
    forge.fake.on_deaf(RELAY, Reaction::exit(127).err("there is no Python\n"));
    let check = json!([{ "type": "Shell", "inline": ["echo check"] }]);
    let more = json!({ "customize": [], "validate": { "inVMValidations": check } });
    let mut scripts = Vec::new();
    for identities in [&[IDENTITY][..], &[IDENTITY], &[]] {
        let plan = plan(&forge, identities, true, &more).await;
        forge.build(&plan, &[]).await.unwrap();
        scripts.push(commands(&forge, "mktemp"));
    }
    assert_eq!(scripts, [1, 1, 2], "once for each");
}

#[test]
fn identity_must_be_a_resource_id() {
    let kind = json!({ "userAssignedIdentities": [id("base")] });
    let text = json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "source": { "type": "ManagedImage", "imageId": id("base") }, "vmProfile": kind,
            "distribute": [{ "type": "VHD", "runOutputName": "v" }],
        },
    });
    let options = ParseOptions { api_version: None, face: Face::File };
    let parsed = engine::template::parse(&Value::to_string(&text), &options);
    let path = "properties.vmProfile.userAssignedIdentities[0]";
    let reported = parsed.diagnostics.iter().any(|diagnostic| diagnostic.path == path);
    assert!(reported && parsed.template.is_none(), "{:?}", parsed.diagnostics);
}
