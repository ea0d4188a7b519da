use api::ErrorCode::*;

use super::{Case, case, run};
use crate::template::{EVERYTHING, GALLERY_2020, edit, errors, serve};

// conformance: 74, 75, 76, 78, 79, 82, 90
#[test]
fn bad_distributor_is_reported() {
    run(EVERYTHING, DISTRIBUTORS);
    run(GALLERY_2020, GALLERY_TARGET);
}

#[test]
fn distributor_with_target_of_another_is_rejected() {
    let last = r#"{ "type": "VHD", "runOutputName": "disk", "uri": "https://store.example.org/vhds/web.vhd" }"#;
    let add = |target: &str| format!("{last}, {{ \"runOutputName\": \"b\", {target} }}");
    let image = IMAGE.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions");
    let definition = IMAGE.replace("images/web", "galleries/golden/images/web");
    let shared =
        |id: &str, more: &str| format!(r#""type": "SharedImage", "galleryImageId": "{id}"{more}"#);
    let version = shared(&format!("{definition}/versions/1.0.0"), "");
    let source = shared(&definition, r#", "versioning": { "scheme": "Source" }"#);
    let vhd = |uri: &str| format!(r#""type": "VHD", "uri": "{uri}""#);
    let managed = format!(r#""type": "ManagedImage", "location": "westus3", "imageId": "{image}""#);
    let again = |target: &str| {
        let twice = format!("{}, {{ \"runOutputName\": \"c\", {target} }}", add(target));
        edit(EVERYTHING, last, &twice)
    };
    for (text, path, says) in [
        (
            edit(EVERYTHING, last, &add(&managed)),
            "[3].imageId",
            "distribute[0]' writes the same image",
        ),
        (
            edit(EVERYTHING, last, &add(&vhd("https://STORE.example.org/vhds/web.vhd"))),
            "[3].uri",
            "distribute[2]' writes the same blob",
        ),
        (again(&version), "[4].galleryImageId", "distribute[3]' writes the same version"),
        (again(&source), "[4].galleryImageId", "distribute[3]' writes the same version"),
    ] {
        let parsed = serve(&text);
        let found = errors(&parsed);
        let [error] = found.as_slice() else { panic!("one error: {found:#?}") };
        assert_eq!(error.path, format!("properties.distribute{path}"));
        assert!(error.message.contains(says), "{}", error.message);
    }
    // Each of these creates a new artifact.
    for target in [
        shared(&definition, ""),
        r#""type": "VHD""#.into(),
        vhd("https://store.example.org/vhds/Web.vhd"),
    ] {
        assert!(errors(&serve(&edit(EVERYTHING, last, &add(&target)))).is_empty(), "{target}");
    }
    assert!(errors(&serve(&again(&shared(&definition, "")))).is_empty());
}

const IMAGE: &str = "/subscriptions/s1/resourceGroups/forge/providers/Microsoft.Compute/images/web";

const DISTRIBUTORS: &[Case] = &[
    case(
        r#""distribute": ["#,
        r#""distribution": ["#,
        ValidationFailed,
        "properties.distribution",
        "did you mean `distribute`?",
    ),
    case(
        r#""type": "VHD""#,
        r#""type": "Vhd""#,
        BadDistributeType,
        "properties.distribute[2].type",
        "did you mean `VHD`?",
    ),
    case(
        r#""type": "VHD""#,
        r#""type": "Qcow2""#,
        BadDistributeType,
        "properties.distribute[2].type",
        "unknown distributor type 'Qcow2'",
    ),
    case(
        r#""runOutputName": "disk", "#,
        "",
        ValidationFailed,
        "properties.distribute[2].runOutputName",
        "'ImageTemplate.properties.distribute[2]': Missing field 'runOutputName'",
    ),
    case(
        r#""runOutputName": "disk""#,
        r#""runOutputName": "Gallery""#,
        ValidationFailed,
        "properties.distribute[2].runOutputName",
        "'properties.distribute[1]' has the same",
    ),
    case(
        r#""runOutputName": "disk""#,
        r#""runOutputName": "a b""#,
        ValidationFailed,
        "properties.distribute[2].runOutputName",
        "1 to 64 letters",
    ),
    case(
        r#""runOutputName": "disk""#,
        r#""runOutputName": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#,
        ValidationFailed,
        "properties.distribute[2].runOutputName",
        "1 to 64",
    ),
    case(
        r#""runOutputName": "disk""#,
        r#""runOutputName": "<runOutputName>""#,
        ValidationFailed,
        "properties.distribute[2].runOutputName",
        "replace the placeholder",
    ),
    case(
        IMAGE,
        "web",
        ValidationFailed,
        "properties.distribute[0].imageId",
        "it looks like /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/images/{name}",
    ),
    case(
        r#""location": "westus3","#,
        "",
        ValidationFailed,
        "properties.distribute[0].location",
        "Missing field 'location'",
    ),
    case(
        r#""imageId": "/subscriptions/s1/resourceGroups/forge/providers/Microsoft.Compute/images/web","#,
        "",
        ValidationFailed,
        "properties.distribute[0].imageId",
        "Missing field 'imageId'",
    ),
    case(
        r#""base": "debian-12""#,
        r#""base": 12"#,
        ValidationFailed,
        "properties.distribute[0].artifactTags.base",
        "Expected a string",
    ),
    case(
        "galleries/golden/images/web",
        "galleries/golden",
        ValidationFailed,
        "properties.distribute[1].galleryImageId",
        "a gallery image definition or a gallery image version",
    ),
    case(
        "galleries/golden/images/web",
        "galleries/golden/images/web/versions/latest",
        ValidationFailed,
        "properties.distribute[1].galleryImageId",
        "three numbers",
    ),
    case(
        r#""excludeFromLatest": true"#,
        r#""replicationRegions": ["westus"]"#,
        ValidationFailed,
        "properties.distribute[1].replicationRegions",
        "exclude each other",
    ),
    case(
        r#""excludeFromLatest": true"#,
        r#""storageAccountType": "Standard_LRS""#,
        ValidationFailed,
        "properties.distribute[1].storageAccountType",
        "It requires 'replicationRegions'",
    ),
    case(
        r#""replicaCount": 2"#,
        r#""replicaCount": 0"#,
        ValidationFailed,
        "properties.distribute[1].targetRegions[0].replicaCount",
        "at least 1",
    ),
    case(
        r#""storageAccountType": "Standard_ZRS""#,
        r#""storageAccountType": "Standard_GRS""#,
        ValidationFailed,
        "properties.distribute[1].targetRegions[0].storageAccountType",
        "Allowed: `Standard_LRS`, `Standard_ZRS`, `Premium_LRS`",
    ),
    case(
        r#"{ "name": "eastus" }"#,
        r#"{ "replicaCount": 1 }"#,
        ValidationFailed,
        "properties.distribute[1].targetRegions[1].name",
        "Missing field 'name'",
    ),
    case(
        r#"{ "name": "eastus" }"#,
        r#"{ "name": "westus2" }"#,
        ValidationFailed,
        "properties.distribute[1].targetRegions[1].name",
        "already",
    ),
    case(
        r#"{ "name": "eastus" }"#,
        r#""eastus""#,
        ValidationFailed,
        "properties.distribute[1].targetRegions[1]",
        "Expected an object",
    ),
    case(
        r#""major": 3"#,
        r#""major": -2"#,
        ValidationFailed,
        "properties.distribute[1].versioning.major",
        "at least -1",
    ),
    case(
        r#""major": 3"#,
        r#""major": 99999999999"#,
        ValidationFailed,
        "properties.distribute[1].versioning.major",
        "between -1 and 2147483647",
    ),
    case(
        r#""scheme": "Latest""#,
        r#""scheme": "Source""#,
        ValidationFailed,
        "properties.distribute[1].versioning.major",
        "the scheme 'Latest'",
    ),
    case(
        r#""scheme": "Latest""#,
        r#""scheme": "Newest""#,
        ValidationFailed,
        "properties.distribute[1].versioning.scheme",
        "Allowed: `Latest`, `Source`",
    ),
    case(
        r#""replicationMode": "Shallow""#,
        r#""replicationMode": "shallow""#,
        ValidationFailed,
        "properties.distribute[1].replicationMode",
        "did you mean `Shallow`?",
    ),
    case(
        "https://store.example.org/vhds/web.vhd",
        "https://store.example.org/vhds/web.vhd?sig=abc",
        ValidationFailed,
        "properties.distribute[2].uri",
        "query or token",
    ),
    case(
        "https://store.example.org/vhds/web.vhd",
        "/tmp/web.vhd",
        ValidationFailed,
        "properties.distribute[2].uri",
        "--export vhd=PATH",
    ),
];

const GALLERY_TARGET: &[Case] = &[
    case(
        r#"["westus2", "eastus"]"#,
        r#""westus2""#,
        ValidationFailed,
        "properties.distribute[0].replicationRegions",
        "Expected a list",
    ),
    case(
        r#"["westus2", "eastus"]"#,
        r#"["westus2", "West US 2"]"#,
        ValidationFailed,
        "properties.distribute[0].replicationRegions[1]",
        "already",
    ),
    case(
        r#"["westus2", "eastus"]"#,
        r#"["westus2", 1]"#,
        ValidationFailed,
        "properties.distribute[0].replicationRegions[1]",
        "Expected a string",
    ),
    case(
        "/versions/2.1.0",
        "/versions/02.1.0",
        ValidationFailed,
        "properties.distribute[0].galleryImageId",
        "without leading zeros",
    ),
    case(
        "/versions/2.1.0",
        "/versions/2.1.0.4",
        ValidationFailed,
        "properties.distribute[0].galleryImageId",
        "three numbers",
    ),
];
