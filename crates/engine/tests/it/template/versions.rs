use api::ErrorCode;
use api::template::ApiVersion::{self, *};
use engine::template::Target;

use super::{EVERYTHING, GALLERY_2020, edit, errors, file, serve, serve_as, warnings};

const ROOT: &str = r#""apiVersion": "2025-10-01""#;

#[test]
fn file_selects_its_api_version() {
    for version in ApiVersion::ALL {
        let text = edit(EVERYTHING, ROOT, &format!(r#""apiVersion": "{version}""#));
        assert_eq!(serve(&text).api_version, *version);
    }
    assert_eq!(serve(&edit(EVERYTHING, ROOT, r#""apiVersion": null"#)).api_version, V2025_10_01);
    assert_eq!(serve_as(EVERYTHING, V2022_07_01).api_version, V2022_07_01);
}

#[test]
fn unknown_api_version_is_rejected_with_the_known_ones() {
    for (version, hint) in [
        (r#""2024-03-01""#, "use 2025-10-01"),
        (r#""2018-02-01-preview""#, "`scriptUri` for `script`"),
        (r#""2019-02-01-preview""#, "previews before 2019-05-01-preview are no longer supported"),
        (r#""newest""#, "use 2025-10-01"),
        ("20251001", "use 2025-10-01"),
    ] {
        let parsed = file(&edit(EVERYTHING, ROOT, &format!(r#""apiVersion": {version}"#)));
        assert!(parsed.template.is_none());
        let error = errors(&parsed)[0];
        assert_eq!((error.code, error.path.as_str()), (ErrorCode::ValidationFailed, "apiVersion"));
        assert!(
            error.message.contains("Known: 2019-05-01-preview, 2020-02-14"),
            "{}",
            error.message
        );
        assert!(error.hint.as_ref().unwrap().contains(hint), "{version}: {:?}", error.hint);
    }
    let given = edit(EVERYTHING, ROOT, r#""apiVersion": "2018-02-01-preview""#);
    assert_eq!(serve_as(&given, V2025_10_01).diagnostics, [], "an option takes precedence");
}

/// Every field that a later version added, in the last version without it.
const LATER: &[(ApiVersion, &str, ApiVersion)] = &[
    (V2024_02_01, "properties.optimize.workload", V2025_10_01),
    (V2024_02_01, "properties.additionalDataDisks", V2025_10_01),
    (V2024_02_01, "properties.distribute[1].replicationMode", V2025_10_01),
    (V2023_07_01, "properties.autoRun", V2024_02_01),
    (V2023_07_01, "properties.managedResourceTags", V2024_02_01),
    (V2023_07_01, "properties.vmProfile.vnetConfig.containerInstanceSubnetId", V2024_02_01),
    (V2022_07_01, "properties.errorHandling", V2023_07_01),
    (V2022_02_14, "properties.optimize", V2022_07_01),
    (V2022_02_14, "properties.distribute[1].versioning", V2022_07_01),
    (V2022_02_14, "properties.distribute[1].targetRegions", V2022_07_01),
    (V2022_02_14, "properties.distribute[2].uri", V2022_07_01),
    (V2021_10_01, "properties.validate", V2022_02_14),
    (V2021_10_01, "properties.stagingResourceGroup", V2022_02_14),
    (V2020_02_14, "properties.vmProfile.userAssignedIdentities", V2021_10_01),
    (V2019_05_01Preview, "properties.vmProfile.vnetConfig", V2020_02_14),
    (V2019_05_01Preview, "properties.source.planInfo", V2020_02_14),
    (V2019_05_01Preview, "properties.distribute[1].excludeFromLatest", V2020_02_14),
];

/// These decide where or under which identity a build runs, so no version ignores them.
const NARROWING: &[&str] =
    &["containerInstanceSubnetId", "stagingResourceGroup", "userAssignedIdentities", "vnetConfig"];

#[test]
fn later_field_is_rejected_with_its_api_version() {
    for (version, path, since) in LATER {
        let parsed = serve_as(EVERYTHING, *version);
        let found = parsed.diagnostics.iter().find(|d| d.path == *path).unwrap();
        let expected = format!("it exists from api-version {since}");
        assert!(found.message.contains(&expected), "{}", found.message);
        let refused = errors(&parsed).iter().any(|d| d.path == *path);
        let narrows = NARROWING.iter().any(|name| path.ends_with(name));
        assert_eq!(refused, version.is_strict() || narrows, "{path}");
        let known = serve_as(EVERYTHING, *since);
        assert!(known.diagnostics.iter().all(|d| d.path != *path), "{path} exists in {since}");
    }
}

// conformance: 22, 23
#[test]
fn unknown_field_is_an_error_since_2024_and_a_warning_before() {
    let text = edit(EVERYTHING, r#""vmBoot""#, r#""vmboot""#);
    for version in ApiVersion::ALL.iter().filter(|version| version.is_strict()) {
        let parsed = serve_as(&text, *version);
        let error = errors(&parsed).into_iter().find(|e| e.path.ends_with("vmboot")).unwrap();
        assert!(error.message.contains(r#"unknown field "vmboot""#), "{}", error.message);
        assert!(error.hint.as_ref().unwrap().contains("did you mean `vmBoot`?"));
    }
    let network =
        "/subscriptions/s1/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v1";
    let text = edit(&text, &format!("{network}/subnets/aci"), "");
    let older = serve_as(&text, V2023_07_01);
    let template = older.template.as_ref().unwrap();
    assert!(template.properties.optimize.as_ref().unwrap().vm_boot, "taken as the known field");
    let warning = warnings(&older).into_iter().find(|w| w.path.ends_with("vmboot")).unwrap();
    assert!(warning.message.contains("is taken as 'vmBoot'"), "{}", warning.message);

    let text = edit(GALLERY_2020, r#""name": "mark""#, r#""nmae": "mark""#);
    let older = serve(&text);
    assert_eq!(older.template.as_ref().unwrap().properties.customize[0].name, None, "ignored");
    let warning = warnings(&older)[0];
    assert_eq!(warning.path, "properties.customize[0].nmae");
    assert!(warning.message.contains(r#"unknown field "nmae" is ignored"#));
    assert_eq!(warning.hint.as_deref(), Some("did you mean `name`?"));
}

#[test]
fn field_in_two_spellings_is_rejected() {
    let text = edit(GALLERY_2020, r#""name": "mark""#, r#""name": "mark", "Name": "other""#);
    let parsed = serve(&text);
    let found = errors(&parsed);
    assert_eq!((found.len(), found[0].path.as_str()), (1, "properties.customize[0].Name"));
}

#[test]
fn type_in_wrong_case_is_accepted_in_old_versions() {
    let text = edit(GALLERY_2020, r#""type": "SharedImage","#, r#""Type": "SharedImage","#);
    assert!(serve(&text).template.is_some());
    let strict = serve_as(&text, V2024_02_01);
    assert!(strict.template.is_none());
    assert!(errors(&strict)[0].message.contains("Missing field 'type'"));
}

// conformance: 4, 16
#[test]
fn identity_is_optional_only_in_the_last_preview() {
    let start = GALLERY_2020.find(r#""identity""#).unwrap();
    let end = GALLERY_2020.find(r#""properties""#).unwrap();
    let text = format!("{}{}", &GALLERY_2020[..start], &GALLERY_2020[end..]);
    let text = edit(&text, "/versions/2.1.0", "");
    assert!(serve_as(&text, V2019_05_01Preview).template.is_some());
    let refused = serve_as(&text, V2020_02_14);
    let found = errors(&refused);
    assert_eq!(found.len(), 1);
    let expected = "Validation failed: 'ImageTemplate': Missing field 'identity'";
    assert_eq!(found[0].message, expected);
}

// conformance: 76
#[test]
fn replication_regions_are_required_until_2022_02_14() {
    let list = r#""replicationRegions": ["westus2", "eastus"],
        "storageAccountType": "Premium_LRS""#;
    let text = edit(GALLERY_2020, list, r#""excludeFromLatest": false"#);
    for version in ApiVersion::ALL {
        let parsed = serve_as(&text, *version);
        let missing = errors(&parsed).iter().any(|e| {
            e.message.contains("properties.distribute[0]': Missing field 'replicationRegions'")
        });
        assert_eq!(missing, *version <= V2022_02_14, "{version}");
    }
}

// conformance: 45
#[test]
fn gallery_latest_is_supported_since_2022_07_01() {
    let text = edit(GALLERY_2020, "/versions/1.0.4", "/versions/latest");
    assert!(serve_as(&text, V2022_07_01).template.is_some());
    let refused = serve_as(&text, V2022_02_14);
    assert_eq!(errors(&refused)[0].path, "properties.source.imageVersionId");
}

#[test]
fn file_validator_is_supported_since_2022_07_01() {
    let refused = serve_as(EVERYTHING, V2022_02_14);
    let error = refused
        .diagnostics
        .iter()
        .find(|d| d.path == "properties.validate.inVMValidations[1].type")
        .unwrap();
    assert_eq!(error.code, ErrorCode::BadValidatorType);
    assert_eq!(error.hint.as_deref(), Some("it exists from api-version 2022-07-01"));
}

#[test]
fn explicit_version_is_supported_since_2020_02_14() {
    let refused = serve_as(GALLERY_2020, V2019_05_01Preview);
    assert!(errors(&refused).iter().any(|e| e.path == "properties.distribute[0].galleryImageId"));
}

/// A template of 2020-02-14 with a `vmProfile`.
fn with_profile(profile: &str) -> String {
    edit(
        GALLERY_2020,
        "\"properties\": {",
        &format!("\"properties\": {{ \"vmProfile\": {profile},"),
    )
}

#[test]
fn unknown_narrowing_field_is_rejected_in_every_version() {
    let subnet = "/subscriptions/s1/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/b";
    for (profile, version, path, hint) in [
        (
            r#"{ "vnetConfig": { "name": "v", "subnetName": "b", "resourceGroupName": "n" } }"#,
            V2019_05_01Preview,
            "properties.vmProfile.vnetConfig",
            "use api-version 2020-02-14",
        ),
        (
            r#"{ "vnetConfig": { "name": "v", "subnetName": "b", "resourceGroupName": "n" } }"#,
            V2020_02_14,
            "properties.vmProfile.vnetConfig.subnetName",
            "name the subnet by its id",
        ),
        (
            r#"{ "vnetConfg": { "subnetId": "SUBNET" } }"#,
            V2022_07_01,
            "properties.vmProfile.vnetConfg",
            "did you mean `vnetConfig`?",
        ),
        (
            r#"{ "subnetId": "SUBNET" }"#,
            V2022_07_01,
            "properties.vmProfile.subnetId",
            "inside `properties.vmProfile.vnetConfig`",
        ),
        (
            r#"{ "subnet_id": "SUBNET" }"#,
            V2023_07_01,
            "properties.vmProfile.subnet_id",
            "inside `properties.vmProfile.vnetConfig`",
        ),
        (
            r#"{ "vnetConfig": { "subnetId": "SUBNET", "proxyVmSize": "Standard_A1_v2" } }"#,
            V2020_02_14,
            "properties.vmProfile.vnetConfig.proxyVmSize",
            "use api-version 2021-10-01",
        ),
        (
            r#"{ "identity": { "type": "UserAssigned" } }"#,
            V2020_02_14,
            "properties.vmProfile.identity",
            "belongs beside `properties`",
        ),
    ] {
        let parsed = serve_as(&with_profile(&profile.replace("SUBNET", subnet)), version);
        assert!(parsed.template.is_none(), "{profile} in {version}");
        let found = errors(&parsed).into_iter().find(|e| e.path == path);
        let error = found.unwrap_or_else(|| panic!("{path}: {:?}", parsed.diagnostics));
        assert!(error.hint.as_ref().unwrap().contains(hint), "{:?}", error.hint);
    }
}

#[test]
fn unknown_narrowing_field_without_content_is_ignored() {
    for profile in [
        r#"{ "vnetConfig": {} }"#,
        r#"{ "vnetConfig": { "subnetId": "" } }"#,
        r#"{ "vnetConfig": null, "userAssignedIdentities": [] }"#,
    ] {
        let text = edit(&with_profile(profile), "/versions/2.1.0", "");
        let parsed = serve_as(&text, V2019_05_01Preview);
        assert!(parsed.template.is_some(), "{profile}: {:?}", parsed.diagnostics);
    }
}

#[test]
fn misplaced_validate_is_rejected_by_the_service() {
    let gate = r#""validate": { "inVMValidations": [{ "type": "Shell", "inline": ["exit 1"] }] }"#;
    let text = edit(GALLERY_2020, "\"properties\": {", &format!("{gate}, \"properties\": {{"));
    let parsed = serve_as(&text, V2023_07_01);
    assert!(parsed.template.is_none());
    let error = errors(&parsed)[0];
    assert_eq!(error.path, "validate");
    assert_eq!(error.hint.as_deref(), Some("`validate` belongs inside `properties`"));
}

#[test]
fn empty_replication_regions_mean_the_gallery_region() {
    let list = r#""replicationRegions": ["westus2", "eastus"],
        "storageAccountType": "Premium_LRS""#;
    let empty = edit(GALLERY_2020, list, r#""replicationRegions": []"#);
    let blank = edit(GALLERY_2020, list, r#""replicationRegions": [""]"#);
    // The oldest version accepts only a definition, without a version number.
    for version in ApiVersion::ALL.iter().filter(|version| **version > V2019_05_01Preview) {
        let parsed = serve_as(&empty, *version);
        assert!(parsed.template.is_some(), "{version}: {:?}", parsed.diagnostics);
        let warning = warnings(&parsed)[0];
        assert_eq!(warning.path, "properties.distribute[0].replicationRegions");
        assert!(warning.message.contains("the gallery's region"), "{}", warning.message);

        let refused = serve_as(&blank, *version);
        let error = errors(&refused)[0];
        assert_eq!(error.path, "properties.distribute[0].replicationRegions[0]");
        assert!(error.hint.as_ref().unwrap().contains("remove the entry"), "{:?}", error.hint);
    }
}

/// Gives every optional field an empty value of its type.
#[test]
fn empty_optional_field_counts_as_absent() {
    let all = [
        (
            "\"properties\": {",
            "\"vmProfile\": {}, \"optimize\": {}, \"validate\": {}, \"errorHandling\": {},",
        ),
        (
            "\"properties\": {",
            "\"vmProfile\": { \"vmSize\": \"\", \"osDiskSizeGB\": 0, \"userAssignedIdentities\": [], \"vnetConfig\": \
             { \"subnetId\": \"\", \"containerInstanceSubnetId\": \"\", \"proxyVmSize\": \"\" } },",
        ),
        (
            "\"properties\": {",
            "\"stagingResourceGroup\": \"\", \"managedResourceTags\": {}, \"additionalDataDisks\": [], \
             \"validate\": { \"inVMValidations\": [] }, \
             \"errorHandling\": { \"onCustomizerError\": \"\", \"onValidationError\": \"\" },",
        ),
        (
            "\"type\": \"SharedImage\",",
            "\"artifactTags\": {}, \"targetRegions\": [], \"versioning\": {}, \"replicationMode\": \"\",",
        ),
        ("\"name\": \"mark\",", "\"scriptUri\": \"\", \"sha256Checksum\": \"\","),
    ];
    let plain = serve_as(GALLERY_2020, V2025_10_01).template.unwrap();
    for (at, fields) in all {
        let parsed = serve_as(&edit(GALLERY_2020, at, &format!("{at} {fields}")), V2025_10_01);
        assert_eq!(errors(&parsed), Vec::<&api::template::Diagnostic>::new(), "{fields}");
        let properties = parsed.template.unwrap().properties;
        let plain = &plain.properties;
        assert_eq!(
            format!("{:?}", properties.customize),
            format!("{:?}", plain.customize),
            "{fields}"
        );
        let regions = |targets: &[Target]| {
            targets.iter().map(|one| format!("{:?}", one.kind)).collect::<Vec<_>>()
        };
        assert_eq!(regions(&properties.distribute), regions(&plain.distribute), "{fields}");
        assert_eq!(properties.error_handling, plain.error_handling, "{fields}");
    }
}
