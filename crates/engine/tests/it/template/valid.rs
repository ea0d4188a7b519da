use api::{ResourceKind, template::*};
use engine::{distribute::ReplicationMode, template::parse};
use serde_json::json;

use super::{EVERYTHING, GALLERY_2020, LOCAL, clean, edit, errors, file, serve, warnings};

#[test]
fn all_fields_are_read() {
    let template = clean(EVERYTHING);
    assert_eq!(template.location.as_deref(), Some("westus2"));
    assert_eq!(template.tags.len(), 1, "null is absent");
    let Some(Identity::UserAssigned { id }) = &template.identity else { panic!("no identity") };
    assert_eq!(id.name(), "builder");

    let properties = &template.properties;
    assert_eq!(properties.build_timeout().as_secs(), 80 * 60);
    assert_eq!(properties.staging_resource_group.as_ref().unwrap().name(), "staging");
    assert!(properties.auto_run);
    assert_eq!(properties.managed_resource_tags["owner"], "forge");
    assert_eq!(properties.additional_data_disks, [DataDisk { size_gb: 8 }]);
    assert_eq!(properties.error_handling.on_customizer_error, OnError::Abort);
    assert_eq!(properties.error_handling.on_validation_error, OnError::Cleanup);

    let vm = properties.vm_profile.as_ref().unwrap();
    assert_eq!((vm.vm_size.as_deref(), vm.os_disk_size_gb), (Some("Standard_D2s_v3"), 30));
    assert_eq!(vm.user_assigned_identities[0].name(), "guest");
    let network = vm.vnet_config.as_ref().unwrap();
    assert_eq!(network.subnet_id.as_ref().unwrap().name(), "build");
    assert_eq!(network.container_instance_subnet_id.as_ref().unwrap().name(), "aci");

    let Source::PlatformImage(image) = &properties.source else { panic!("other source") };
    assert_eq!((image.publisher.as_str(), image.version.as_str()), ("Debian", "latest"));
    assert_eq!(image.plan_info.as_ref().unwrap().plan_publisher, "somebody");

    let optimize = properties.optimize.as_ref().unwrap();
    assert!(optimize.vm_boot);
    assert!(!optimize.workload.as_ref().unwrap().enabled);
}

#[test]
fn duplicate_identity_counts_once() {
    let folder = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/";
    let text = edit(
        EVERYTHING,
        "builder\": {}",
        &format!(
            "builder\": {{}}, \"/subscriptions/S1/resourceGroups/FORGE{folder}Builder\": {{}}"
        ),
    );
    let text = edit(
        &text,
        "guest\"\n",
        &format!(
            "guest\", \"/subscriptions/s1/resourceGroups/other{folder}guest\", \
         \"/subscriptions/s1/resourcegroups/Forge{folder}GUEST\"\n"
        ),
    );
    let template = clean(&text);
    let Some(Identity::UserAssigned { id }) = &template.identity else { panic!("no identity") };
    assert_eq!(id.name(), "builder");
    let ids = template.properties.vm_profile.unwrap().user_assigned_identities;
    let groups: Vec<_> = ids.iter().map(|id| (id.resource_group(), id.name())).collect();
    assert_eq!(groups, [("forge", "guest"), ("other", "guest")]);
}

#[test]
fn customizers_keep_their_order() {
    let steps = clean(EVERYTHING).properties.customize;
    let names: Vec<_> = steps.iter().map(|step| step.kind.kind()).collect();
    assert_eq!(names, ["Shell", "Shell", "File", "PowerShell", "WindowsRestart", "WindowsUpdate"]);
    assert_eq!(steps[0].name.as_deref(), Some("setup"));
    assert_eq!(steps[2].path, "properties.customize[2]");
    let settings: Vec<_> = steps.iter().map(|step| step.kind.settings()).collect();
    assert_eq!(settings[0], json!({ "inline": ["set -x", "\nsudo mkdir /srv/site"] }));
    assert_eq!(settings[1]["scriptUri"], "https://example.org/setup.sh");
    let checksum = settings[1]["sha256Checksum"].as_str().unwrap();
    assert!(checksum.starts_with("ade4c521"), "in lower case");
    assert_eq!(settings[2]["destination"], "/tmp/index.html");
    assert_eq!(settings[2].get("sha256Checksum"), None);
    assert_eq!(
        (&settings[3]["runElevated"], &settings[3]["runAsSystem"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(settings[3]["validExitCodes"], json!([0, 3010]));
    assert_eq!(settings[4]["restartTimeout"], "1h30m");
    assert_eq!(settings[5]["filters"].as_array().unwrap().len(), 2);
    assert_eq!(settings[5]["updateLimit"], 20);
}

#[test]
fn validators_and_distributors_keep_their_order() {
    let properties = clean(EVERYTHING).properties;
    let validate = properties.validate.unwrap();
    assert!(validate.continue_distribute_on_failure && !validate.source_validation_only);
    let names: Vec<_> = validate.in_vm_validations.iter().map(|v| v.kind.kind()).collect();
    assert_eq!(names, ["Shell", "File", "PowerShell"]);
    assert_eq!(validate.in_vm_validations[1].path, "properties.validate.inVMValidations[1]");

    let targets = properties.distribute;
    let names: Vec<_> =
        targets.iter().map(|t| (t.run_output_name.as_str(), t.kind.kind())).collect();
    assert_eq!(names, [("managed", "ManagedImage"), ("gallery", "SharedImage"), ("disk", "VHD")]);
    assert_eq!(targets[0].artifact_tags.len(), 1, "null is absent");
    assert_eq!(targets[2].path, "properties.distribute[2]");
    let version = targets[1].kind.version().unwrap();
    let settings = targets[1].kind.settings();
    assert_eq!(settings["galleryImageId"], json!(version.definition));
    assert_eq!(version.number, None);
    assert_eq!(settings["versioning"], json!({ "scheme": "Latest", "major": 3 }));
    assert_eq!(version.replication_mode, ReplicationMode::Shallow);
    assert!(version.exclude_from_latest);
    let region = |name: &str, replica_count, storage_account_type| TargetRegion {
        name: name.to_owned(),
        replica_count,
        storage_account_type,
    };
    assert_eq!(
        version.regions,
        &Regions::Target(vec![
            region("West US 2", 2, StorageAccountType::StandardZrs),
            region("eastus", 1, StorageAccountType::StandardLrs),
        ])
    );
}

#[test]
fn gallery_template_in_the_old_form_is_read() {
    let template = clean(GALLERY_2020);
    let Source::SharedImageVersion { image_version_id } = &template.properties.source else {
        panic!("other source")
    };
    assert_eq!(image_version_id.name(), "1.0.4");
    let version = template.properties.distribute[0].kind.version().unwrap();
    assert_eq!(version.number, Some("2.1.0"));
    assert!(version.definition.is(ResourceKind::GalleryImage));
    let Regions::Replication { regions, storage_account_type } = version.regions else {
        panic!("other form")
    };
    assert_eq!(regions, &["westus2", "eastus"]);
    assert_eq!(*storage_account_type, StorageAccountType::PremiumLrs);
}

#[test]
fn local_file_needs_no_identity_or_location() {
    let parsed = file(LOCAL);
    assert!(parsed.template.is_some());
    assert_eq!(parsed.api_version, ApiVersion::LATEST);
    let found = warnings(&parsed);
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .any(|w| w.path == "identity" && w.message.contains("Missing field 'identity'"))
    );
    assert!(found.iter().any(|w| w.path == "location"));

    let refused = serve(LOCAL);
    let paths: Vec<_> = errors(&refused).iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "identity",
            "location",
            "properties.customize[0].scriptUri",
            "properties.customize[1].sourceUri"
        ]
    );
}

// conformance: 24, 89
#[test]
fn null_counts_as_absent() {
    let text = EVERYTHING
        .replace(r#""vmBoot": { "state": "Enabled" }"#, r#""vmBoot": null"#)
        .replace(r#""versioning": { "scheme": "Latest", "major": 3 }"#, r#""versioning": null"#)
        .replace(r#""autoRun": { "state": "Enabled" }"#, r#""autoRun": null"#)
        .replace(r#""buildTimeoutInMinutes": 80"#, r#""buildTimeoutInMinutes": null"#)
        .replace(
            r#""stagingResourceGroup": "/subscriptions/s1/resourceGroups/staging""#,
            r#""stagingResourceGroup": null"#,
        );
    let properties = clean(&text).properties;
    assert!(!properties.optimize.as_ref().unwrap().vm_boot);
    assert!(!properties.auto_run);
    assert_eq!(properties.staging_resource_group, None);
    assert_eq!(properties.build_timeout().as_secs(), 240 * 60);
    let settings = properties.distribute[1].kind.settings();
    assert_eq!(settings.get("versioning"), None, "the default");
}

#[test]
fn unusual_valid_shapes_are_accepted() {
    let cases = [
        (r#""vmSize": "Standard_D2s_v3""#, r#""vmSize": """#),
        (r#""osDiskSizeGB": 30"#, r#""osDiskSizeGB": 0"#),
        (r#""major": 3"#, r#""major": -1"#),
        (r#""scheme": "Latest", "major": 3"#, r#""scheme": "Source""#),
        (r#""uri": "https://store.example.org/vhds/web.vhd""#, r#""uri": """#),
        (r#""validExitCodes": [0, 3010]"#, r#""validExitCodes": []"#),
        (r#""buildTimeoutInMinutes": 80"#, r#""buildTimeoutInMinutes": 960"#),
        (r#""type": "Shell", "name": "setup""#, r#""name": "setup", "type": "Shell""#),
        (r#""name": "setup", "inline""#, r#""scriptUri": "", "sha256Checksum": "", "inline""#),
        (
            r#""scriptUri": "https://example.org/setup.sh","#,
            r#""scriptUri": "HTTPS://example.org/a?sv=1", "inline": [],"#,
        ),
        (r#""destination": "/tmp/index.html""#, r#""destination": "index.html""#),
    ];
    for (old, new) in cases {
        clean(&edit(EVERYTHING, old, new));
    }
}

// conformance: 21
#[test]
fn template_without_customizers_is_accepted() {
    let start = EVERYTHING.find(r#""customize""#).unwrap();
    let end = EVERYTHING.find(r#""optimize""#).unwrap();
    for list in ["", r#""customize": [], "#, r#""customize": null, "#] {
        let text = format!("{}{list}{}", &EVERYTHING[..start], &EVERYTHING[end..]);
        assert!(clean(&text).properties.customize.is_empty());
    }
}

#[test]
fn byte_order_mark_is_skipped() {
    clean(&format!("\u{feff}{EVERYTHING}"));
}

#[test]
fn escapes_and_unicode_are_decoded() {
    let text = edit(EVERYTHING, r#""set -x""#, r#""echo \"\u00e4\ud83d\ude00\" 日本 \\n""#);
    let settings = clean(&text).properties.customize[0].kind.settings();
    assert_eq!(settings["inline"][0], "echo \"ä😀\" 日本 \\n");
}

#[test]
fn serialized_template_parses_to_the_same_template() {
    for text in [EVERYTHING, GALLERY_2020] {
        let parsed = serve(text);
        let template = parsed.template.unwrap();
        let body = serde_json::to_string_pretty(&template).unwrap();
        let options = ParseOptions { api_version: Some(ApiVersion::LATEST), face: Face::Service };
        let again = parse(&body, &options);
        assert_eq!(again.diagnostics, [], "{body}");
        assert_eq!(format!("{:?}", again.template.unwrap()), format!("{template:?}"));
    }
}

#[test]
fn fields_beside_properties_count_in_a_file() {
    let gate = r#""validate": { "inVMValidations": [{ "type": "Shell", "inline": ["exit 1"] }] }"#;
    let staging = r#""staging_resource_group": "/subscriptions/s1/resourceGroups/mine""#;
    let beside = |fields: &str| {
        edit(GALLERY_2020, "\"properties\": {", &format!("{fields}, \"properties\": {{"))
    };
    let parsed = file(&beside(&format!("{gate}, {staging}")));
    assert_eq!(errors(&parsed), Vec::<&Diagnostic>::new());
    let properties = parsed.template.unwrap().properties;
    assert_eq!(properties.validate.unwrap().in_vm_validations.len(), 1);
    assert_eq!(properties.staging_resource_group.unwrap().name(), "mine");

    // As in az, fields beside `properties` take precedence, with a warning.
    let text = edit(&beside(gate), "\"customize\":", "\"validate\": {}, \"customize\":");
    let parsed = parse(
        &text,
        &ParseOptions { api_version: Some(ApiVersion::V2023_07_01), face: Face::File },
    );
    assert_eq!(parsed.diagnostics.len(), 1, "{:?}", parsed.diagnostics);
    assert!(parsed.diagnostics[0].message.contains("takes precedence"), "{:?}", parsed.diagnostics);
    let validate = parsed.template.unwrap().properties.validate.unwrap();
    assert_eq!(validate.in_vm_validations.len(), 1);

    // An error in such a field points to that field.
    let parsed = file(&beside(&gate.replace("Shell", "Shel")));
    assert_eq!(errors(&parsed)[0].path, "validate.inVMValidations[0].type");
}

#[test]
fn destination_without_a_file_name_is_rejected() {
    let text = edit(EVERYTHING, "\"/tmp/index.html\"", "\"/tmp/..\"");
    let parsed = serve(&text);
    let error = errors(&parsed)[0];
    assert_eq!(error.path, "properties.customize[2].destination");
    assert!(error.message.contains("is a folder"), "{}", error.message);
}
