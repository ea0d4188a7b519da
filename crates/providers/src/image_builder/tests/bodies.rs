//! Immediate answers, compared whole with those of the public service to the same request.

use super::*;
use service::quotas::TEMPLATES_KIND;

use crate::image_builder::{body, check, view};

/// The answer to a PUT that is stored as it is.
fn answer(version: &str, sent: &Value) -> Value {
    let call = call(Method::Put, "t1", version, &sent.to_string());
    let (sent, template) = check::template(&call).unwrap();
    let now = Timestamp::now();
    let resource = Resource {
        id: call.path.text.clone(),
        subscription: SUBSCRIPTION.into(),
        group: "rg".into(),
        kind: TEMPLATES_KIND.into(),
        name: "t1".into(),
        revision: 0,
        created: now,
        changed: now,
        body: body::created(&sent, &template, "westus"),
        hidden: json!({}),
    };
    view::template(&call, &resource)
}

fn envelope(properties: Value, identity: Value, tags: Value) -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/{TEMPLATES}/t1"),
        "name": "t1", "type": TEMPLATES, "location": "westus",
        "tags": tags, "identity": identity, "properties": properties,
    })
}

fn ubuntu() -> Value {
    json!({
        "type": "PlatformImage", "publisher": "Canonical", "offer": "UbuntuServer",
        "sku": "18.04-LTS", "version": "18.04.201808140",
    })
}

#[test]
fn old_api_version_shows_only_fields_it_knows() {
    let target = json!({
        "runOutputName": "img1", "type": "ManagedImage", "imageId": image("img1"),
        "location": "westus",
    });
    let sent = json!({
        "location": "westus", "tags": {}, "identity": identities("ide1"),
        "properties": {
            "source": ubuntu(), "customize": [], "distribute": [target], "vmProfile": {},
        },
    });
    let mut shown = target.clone();
    shown["artifactTags"] = json!({});
    let old = json!({
        "source": ubuntu(), "distribute": [shown], "provisioningState": "Creating",
        "buildTimeoutInMinutes": 0, "vmProfile": { "vmSize": "", "osDiskSizeGB": 0 },
    });
    let expected = envelope(old.clone(), identities("ide1"), json!({}));
    assert_eq!(answer("2020-02-14", &sent), expected);

    let mut new = old;
    new["source"]["exactVersion"] = json!("18.04.201808140");
    new["stagingResourceGroup"] = json!("");
    new["exactStagingResourceGroup"] = json!("");
    let expected = envelope(new, identities("ide1"), json!({}));
    assert_eq!(answer("2022-02-14", &sent), expected);
}

#[test]
fn windows_customizers_are_shown_with_defaults() {
    let uri = "https://example.com/p.ps1";
    let sent = json!({
        "location": "westus", "identity": identities("ide1"),
        "properties": {
            "source": ubuntu(),
            "customize": [
                { "name": "a", "type": "PowerShell", "scriptUri": uri, "sha256Checksum": "" },
                { "type": "PowerShell", "inline": ["x"], "validExitCodes": [12, 14] },
                { "name": "c", "type": "WindowsRestart", "restartCheckCommand": "echo x" },
                { "type": "File", "sourceUri": uri, "destination": "c:\\index.html" },
                {
                    "type": "WindowsUpdate", "searchCriteria": "IsInstalled=0",
                    "filters": ["include:$true"], "updateLimit": 20,
                },
            ],
            "distribute": [{ "runOutputName": "v", "type": "VHD", "artifactTags": { "a": "b" } }],
        },
    });
    let answer = answer("2020-02-14", &sent);
    let properties = json!({
        "source": ubuntu(),
        "customize": [
            {
                "name": "a", "type": "PowerShell", "scriptUri": uri,
                "runAsSystem": false, "runElevated": false,
            },
            {
                "type": "PowerShell", "inline": ["x"], "validExitCodes": [12, 14],
                "runAsSystem": false, "runElevated": false,
            },
            {
                "name": "c", "type": "WindowsRestart", "restartCheckCommand": "echo x",
                "restartCommand": "", "restartTimeout": "5m",
            },
            { "type": "File", "sourceUri": uri, "destination": "c:\\index.html" },
            {
                "type": "WindowsUpdate", "searchCriteria": "IsInstalled=0",
                "filters": ["include:$true"], "updateLimit": 20,
            },
        ],
        "distribute": [{ "runOutputName": "v", "type": "VHD", "artifactTags": { "a": "b" } }],
        "provisioningState": "Creating", "buildTimeoutInMinutes": 0,
    });
    assert_eq!(answer, envelope(properties, identities("ide1"), json!({})));
}

#[test]
fn gallery_target_shows_only_sent_fields() {
    let definition = group_id("/providers/Microsoft.Compute/galleries/g/images/d");
    let sent = |extra: Value| {
        let mut target = json!({
            "runOutputName": "d", "type": "SharedImage", "galleryImageId": definition,
            "replicationRegions": ["westus", "eastus"],
        });
        target.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({
            "location": "westus", "identity": identities("ide1"),
            "properties": { "source": ubuntu(), "distribute": [target] },
        })
    };
    let plain = json!({
        "artifactTags": {}, "excludeFromLatest": false, "galleryImageId": definition,
        "replicationRegions": ["westus", "eastus"], "runOutputName": "d", "type": "SharedImage",
    });
    let old = answer("2020-02-14", &sent(json!({ "artifactTags": null })));
    assert_eq!(old["properties"]["distribute"], json!([plain]));

    // An empty list stays, without which the stored template would not be one of the old version.
    let none = answer("2020-02-14", &sent(json!({ "replicationRegions": [] })));
    assert_eq!(none["properties"]["distribute"][0]["replicationRegions"], json!([]));

    let mut newer = plain.clone();
    newer["versioning"] = Value::Null;
    let new = answer("2024-02-01", &sent(json!({})));
    assert_eq!(new["properties"]["distribute"], json!([newer]));

    newer["versioning"] = json!({ "scheme": "Latest" });
    let new = answer("2024-02-01", &sent(json!({ "versioning": { "scheme": "Latest" } })));
    assert_eq!(new["properties"]["distribute"], json!([newer]));
}

#[test]
fn ids_keep_spelling_and_names_of_old_versions_are_corrected() {
    let lower = identity("ide1").to_lowercase();
    let subnet = group_id("/providers/microsoft.network/virtualnetworks/n/subnets/s");
    let mut sent = small();
    sent["identity"] =
        json!({ "type": "UserAssigned", "userAssignedIdentities": { lower.clone(): {} } });
    sent["properties"]["vmProfile"] = json!({ "vmsize": "Standard_D1_v2", "osDiskSizeGB": 20,
        "vnetConfig": { "subnetId": subnet } });
    sent["properties"]["provisioningState"] = json!("Failed");
    sent["properties"]["nonsense"] = json!(1);
    let answer = answer("2021-10-01", &sent);
    assert_eq!(answer["identity"]["userAssignedIdentities"], json!({ lower: {} }));
    assert_eq!(
        answer["properties"]["vmProfile"],
        json!({ "vmSize": "Standard_D1_v2", "osDiskSizeGB": 20, "vnetConfig": { "subnetId": subnet } })
    );
    assert_eq!(answer["properties"]["provisioningState"], "Creating");
    assert!(answer["properties"].get("nonsense").is_none());
}

#[test]
fn scripts_paths_and_tags_that_look_like_ids_stay_unchanged() {
    let mut sent = small();
    let steps = json!([
        { "type": "Shell", "inline": ["/opt/App/run.sh", "/opt/app/run.sh"] },
        { "type": "Shell", "inline": ["/OPT/app/RUN.SH"] },
        { "type": "File", "sourceUri": "https://example.com/F", "destination": "/opt/APP/run.sh" },
    ]);
    let last = image("img1").to_uppercase();
    let validations = json!([{ "type": "Shell", "inline": [image("img1"), last] }]);
    sent["tags"] = json!({ "imageId": "/Opt", "imageid": "/opt", "a": image("IMG1") });
    sent["properties"]["customize"] = steps.clone();
    sent["properties"]["validate"] = json!({ "inVMValidations": validations.clone() });
    let tags = json!({ "Path": "/opt/APP" });
    sent["properties"]["distribute"][0]["artifactTags"] = tags.clone();
    let answer = answer("2024-02-01", &sent);
    for (index, step) in steps.as_array().unwrap().iter().enumerate() {
        for (name, value) in step.as_object().unwrap() {
            assert_eq!(answer["properties"]["customize"][index][name], *value);
        }
    }
    let shown = &answer["properties"]["validate"]["inVMValidations"][0]["inline"];
    assert_eq!(*shown, validations[0]["inline"]);
    assert_eq!(answer["tags"], sent["tags"]);
    assert_eq!(answer["properties"]["distribute"][0]["artifactTags"], tags);
    assert_eq!(answer["properties"]["distribute"][0]["imageId"], image("img1"));
}

#[test]
fn several_mistakes_are_reported_as_details_of_the_first() {
    let refuse = |sent: &Value| {
        check::template(&call(Method::Put, "t1", "2024-02-01", &sent.to_string())).unwrap_err()
    };
    let mut sent = small();
    sent.as_object_mut().unwrap().remove("identity");
    let error = refuse(&sent);
    assert_eq!((error.status, error.code.as_str()), (StatusCode::BAD_REQUEST, "ValidationFailed"));
    assert!(
        error.message.starts_with("Validation failed: 'ImageTemplate': Missing field 'identity'")
    );
    assert!(error.details.is_empty());

    sent["properties"]["source"]["type"] = json!("ISO");
    let error = refuse(&sent);
    assert_eq!(error.code, "ValidationFailed");
    let codes: Vec<_> = error.details.iter().map(|detail| detail.code.as_str()).collect();
    assert!(codes.contains(&"BadSourceType") && codes.contains(&"ValidationFailed"), "{codes:?}");
    assert!(error.details.iter().all(|detail| detail.target.is_some()));

    let error = check::template(&call(Method::Put, "t1", "2024-02-01", "{")).unwrap_err();
    assert_eq!(error.code, "InvalidRequestContent");
}
