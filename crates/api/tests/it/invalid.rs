use api::ErrorCode::{self, *};

use super::{EVERYTHING, GALLERY_2020, edit, errors, serve};

/// One edit of a valid template, and the single error that it causes.
struct Case {
    old: &'static str,
    new: &'static str,
    code: ErrorCode,
    path: &'static str,
    /// A part of the message or the hint.
    says: &'static str,
}

const fn case(
    old: &'static str,
    new: &'static str,
    code: ErrorCode,
    path: &'static str,
    says: &'static str,
) -> Case {
    Case { old, new, code, path, says }
}

fn run(text: &str, cases: &[Case]) {
    for Case { old, new, code, path, says } in cases {
        let parsed = serve(&edit(text, old, new));
        assert!(parsed.template.is_none(), "{new} is refused");
        let found = errors(&parsed);
        let [error] = found.as_slice() else { panic!("one error for {new}: {found:#?}") };
        assert_eq!((error.code, error.path.as_str()), (*code, *path), "{new}: {}", error.message);
        let hint = error.hint.as_deref().unwrap_or_default();
        assert!(
            error.message.contains(says) || hint.contains(says),
            "{new}: `{says}` in `{}` or `{hint}`",
            error.message
        );
    }
}

// conformance: 17, 18, 19
#[test]
fn bad_envelope_field_is_reported() {
    run(EVERYTHING, ENVELOPE);
}

const IDENTITY: &str = "/subscriptions/s1/resourcegroups/forge/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder";

const ENVELOPE: &[Case] = &[
    case(
        r#""location": "westus2","#,
        "",
        ValidationFailed,
        "location",
        "Validation failed: 'ImageTemplate': Missing field 'location'",
    ),
    case(
        r#""location": "westus2""#,
        r#""location": """#,
        ValidationFailed,
        "location",
        "must not be empty",
    ),
    case(
        r#""location": "westus2""#,
        r#""location": 7"#,
        ValidationFailed,
        "location",
        "Expected a string, found a number",
    ),
    case(
        r#""location": "westus2""#,
        r#""location": "westus2", "region": "x""#,
        ValidationFailed,
        "region",
        r#"unknown field "region""#,
    ),
    case(
        r#""location": "westus2""#,
        r#""location": "westus2", "validate": {}"#,
        ValidationFailed,
        "validate",
        "belongs inside `properties`",
    ),
    case(
        r#""team": "forge""#,
        r#""team": 5"#,
        ValidationFailed,
        "tags.team",
        "Field 'team' has a bad value: '5'",
    ),
    case(
        r#"{ "team": "forge", "cost": null }"#,
        r#"["team"]"#,
        ValidationFailed,
        "tags",
        "found a list",
    ),
    case(
        r#""type": "UserAssigned""#,
        r#""type": "SystemAssigned""#,
        ValidationFailed,
        "identity.type",
        "not supported",
    ),
    case(
        r#""type": "UserAssigned""#,
        r#""type": "SystemAssigned, UserAssigned""#,
        ValidationFailed,
        "identity.type",
        "System-assigned",
    ),
    case(
        r#""type": "UserAssigned""#,
        r#""type": "userassigned""#,
        ValidationFailed,
        "identity.type",
        "did you mean `UserAssigned`?",
    ),
    case(
        r#""type": "UserAssigned""#,
        r#""type": "None""#,
        ValidationFailed,
        "identity.userAssignedIdentities",
        "Type 'None' has no identities",
    ),
    case(
        r#""type": "UserAssigned","#,
        "",
        ValidationFailed,
        "identity.type",
        "'ImageTemplate.identity': Missing field 'type'",
    ),
    case(
        r#"builder": {}"#,
        r#"builder": {}, "/subscriptions/s1/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/two": {}"#,
        ValidationFailed,
        "identity.userAssignedIdentities",
        "Exactly one user-assigned identity is supported, found 2",
    ),
    case(
        r#"builder": {}"#,
        r#"builder": null"#,
        ValidationFailed,
        "identity.userAssignedIdentities",
        "found 0",
    ),
    case(
        IDENTITY,
        "<imgBuilderId>",
        ValidationFailed,
        "identity.userAssignedIdentities",
        "replace the placeholder `<imgBuilderId>`",
    ),
    case(
        IDENTITY,
        "[resourceId('x')]",
        ValidationFailed,
        "identity.userAssignedIdentities",
        "expression of a deployment",
    ),
    case(
        IDENTITY,
        "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/images/a",
        ValidationFailed,
        "identity.userAssignedIdentities",
        "found that of a managed image",
    ),
    case(
        r#""properties": {"#,
        r#""propertys": {"#,
        ValidationFailed,
        "propertys",
        "did you mean `properties`?",
    ),
];

// conformance: 32
#[test]
fn bad_property_is_reported() {
    run(EVERYTHING, PROPERTIES);
}

const SUBNET: &str = "/subscriptions/s1/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v1/subnets/build";

const PROPERTIES: &[Case] = &[
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": 961"#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "It must be between 0 and 960.",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": -1"#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "'ImageTemplate.properties': Field 'buildTimeoutInMinutes' has a bad value: '-1'",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": 80.0"#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "whole number",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": 1e1"#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "whole number",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": 99999999999999999999"#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "between 0 and 960",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeoutInMinutes": "80""#,
        ValidationFailed,
        "properties.buildTimeoutInMinutes",
        "write 80 without quotes",
    ),
    case(
        r#""buildTimeoutInMinutes": 80"#,
        r#""buildTimeout": 80"#,
        ValidationFailed,
        "properties.buildTimeout",
        "did you mean `buildTimeoutInMinutes`?",
    ),
    case(
        "/subscriptions/s1/resourceGroups/staging",
        "staging",
        ValidationFailed,
        "properties.stagingResourceGroup",
        "begins with `/subscriptions/`",
    ),
    case(
        r#""stagingResourceGroup": "/subscriptions/s1/resourceGroups/staging""#,
        r#""stagingResourceGroup": "/subscriptions/s1""#,
        ValidationFailed,
        "properties.stagingResourceGroup",
        "/resourceGroups/",
    ),
    case(
        r#""onCustomizerError": "abort""#,
        r#""onCustomizerError": "keep""#,
        ValidationFailed,
        "properties.errorHandling.onCustomizerError",
        "Allowed: `cleanup`, `abort`",
    ),
    case(
        r#""onValidationError": "cleanup""#,
        r#""onValidationError": "Cleanup""#,
        ValidationFailed,
        "properties.errorHandling.onValidationError",
        "did you mean `cleanup`?",
    ),
    case(
        r#""onValidationError""#,
        r#""onValidatorError""#,
        ValidationFailed,
        "properties.errorHandling.onValidatorError",
        "did you mean",
    ),
    case(
        r#"{ "sizeGB": 8 }"#,
        r#"{ "sizeGB": -8 }"#,
        ValidationFailed,
        "properties.additionalDataDisks[0].sizeGB",
        "between 1 and 32767",
    ),
    case(
        r#"{ "sizeGB": 8 }"#,
        r#"{ "sizeGB": 0 }"#,
        ValidationFailed,
        "properties.additionalDataDisks[0].sizeGB",
        "between 1 and 32767",
    ),
    case(
        r#"{ "sizeGB": 8 }"#,
        r#"{ "sizeGB": 32768 }"#,
        ValidationFailed,
        "properties.additionalDataDisks[0].sizeGB",
        "between 1 and 32767",
    ),
    case(
        r#"{ "sizeGB": 8 }"#,
        "{}",
        ValidationFailed,
        "properties.additionalDataDisks[0].sizeGB",
        "properties.additionalDataDisks[0]': Missing field 'sizeGB'",
    ),
    case(
        r#""autoRun": { "state": "Enabled" }"#,
        r#""autoRun": { "state": true }"#,
        ValidationFailed,
        "properties.autoRun.state",
        "found true or false",
    ),
    case(
        r#""vmBoot": { "state": "Enabled" }"#,
        r#""vmboot": { "state": "Enabled" }"#,
        ValidationFailed,
        "properties.optimize.vmboot",
        r#"unknown field "vmboot""#,
    ),
    case(
        r#""vmBoot": { "state": "Enabled" }"#,
        r#""vmBoot": { "state": "enabled" }"#,
        ValidationFailed,
        "properties.optimize.vmBoot.state",
        "did you mean `Enabled`?",
    ),
    case(
        "https://example.org/warm.sh",
        "warm.sh",
        ValidationFailed,
        "properties.optimize.workload.scriptUri",
        "http or https",
    ),
    case(
        r#""state": "Disabled", "scriptUri": "https://example.org/warm.sh""#,
        r#""state": "Enabled""#,
        ValidationFailed,
        "properties.optimize.workload.scriptUri",
        "properties.optimize.workload': Missing field 'scriptUri'",
    ),
    case(
        r#""osDiskSizeGB": 30"#,
        r#""osDiskSizeGB": -1"#,
        ValidationFailed,
        "properties.vmProfile.osDiskSizeGB",
        "at least 0",
    ),
    case(
        r#""osDiskSizeGB": 30"#,
        r#""osDiskSizeGB": 99999999999999999999"#,
        ValidationFailed,
        "properties.vmProfile.osDiskSizeGB",
        "between 0 and 2147483647",
    ),
    case(
        r#""osDiskSizeGB": 30"#,
        r#""osDiskSizeGB": -99999999999999999999"#,
        ValidationFailed,
        "properties.vmProfile.osDiskSizeGB",
        "at least 0",
    ),
    case(
        r#""osDiskSizeGB": 30"#,
        r#""osDiskSizeGb": 30"#,
        ValidationFailed,
        "properties.vmProfile.osDiskSizeGb",
        "names are case-sensitive; did you mean `osDiskSizeGB`?",
    ),
    case(
        r#""vmSize": "Standard_D2s_v3""#,
        r#""vmSize": 2"#,
        ValidationFailed,
        "properties.vmProfile.vmSize",
        "Expected a string",
    ),
    case(
        "userAssignedIdentities/guest",
        "userAssignedIdentities",
        ValidationFailed,
        "properties.vmProfile.userAssignedIdentities[0]",
        "not followed by a name",
    ),
    case(
        SUBNET,
        "build",
        ValidationFailed,
        "properties.vmProfile.vnetConfig.subnetId",
        "Expected the id of a subnet",
    ),
    case(
        SUBNET,
        "",
        ValidationFailed,
        "properties.vmProfile.vnetConfig.containerInstanceSubnetId",
        "requires 'subnetId'",
    ),
    case(
        "v1/subnets/aci",
        "v2/subnets/aci",
        ValidationFailed,
        "properties.vmProfile.vnetConfig.containerInstanceSubnetId",
        "same network",
    ),
    case(
        "v1/subnets/aci",
        "v1/subnets/build",
        ValidationFailed,
        "properties.vmProfile.vnetConfig.containerInstanceSubnetId",
        "another subnet",
    ),
    case(
        r#""vnetConfig": {"#,
        r#""vnetConfig": { "proxyVmSize": "Standard_A1_v2","#,
        ValidationFailed,
        "properties.vmProfile.vnetConfig.proxyVmSize",
        "exclude each other",
    ),
    case(
        r#""owner": "forge""#,
        r#""a/b": "forge""#,
        ValidationFailed,
        "properties.managedResourceTags.a/b",
        "none of < > %",
    ),
    case(
        r#""owner": "forge""#,
        r#""owner": ["forge"]"#,
        ValidationFailed,
        "properties.managedResourceTags.owner",
        "Expected a string",
    ),
];

// conformance: 41, 44
#[test]
fn bad_source_is_reported() {
    run(EVERYTHING, SOURCE);
    run(GALLERY_2020, GALLERY_SOURCE);
}

const SOURCE: &[Case] = &[
    case(
        r#""source": {"#,
        r#""sources": {"#,
        ValidationFailed,
        "properties.sources",
        "did you mean `source`?",
    ),
    case(
        r#""type": "PlatformImage""#,
        r#""type": "ISO""#,
        BadSourceType,
        "properties.source.type",
        "withdrawn",
    ),
    case(
        r#""type": "PlatformImage""#,
        r#""type": "Marketplace""#,
        BadSourceType,
        "properties.source.type",
        "Known: `PlatformImage`, `ManagedImage`, `SharedImageVersion`",
    ),
    case(
        r#""type": "PlatformImage""#,
        r#""type": "platformImage""#,
        BadSourceType,
        "properties.source.type",
        "did you mean `PlatformImage`?",
    ),
    case(
        r#""type": "PlatformImage","#,
        "",
        ValidationFailed,
        "properties.source.type",
        "Missing field 'type'",
    ),
    case(
        r#""type": "PlatformImage","#,
        r#""type": null,"#,
        ValidationFailed,
        "properties.source.type",
        "one of `PlatformImage`",
    ),
    case(
        r#""publisher": "Debian","#,
        "",
        ValidationFailed,
        "properties.source.publisher",
        "Missing field 'publisher'",
    ),
    case(
        r#""sku": "12-gen2","#,
        r#""sku": " ","#,
        ValidationFailed,
        "properties.source.sku",
        "must not be empty",
    ),
    case(
        r#""version": "latest","#,
        "",
        ValidationFailed,
        "properties.source.version",
        "Missing field 'version'",
    ),
    case(
        r#""planName": "plan", "#,
        "",
        ValidationFailed,
        "properties.source.planInfo.planName",
        "Missing field 'planName'",
    ),
    case(
        r#", "planPublisher": "somebody""#,
        "",
        ValidationFailed,
        "properties.source.planInfo.planPublisher",
        "Missing field",
    ),
    case(
        r#""planInfo": {"#,
        r#""plan": {"#,
        ValidationFailed,
        "properties.source.plan",
        "did you mean `planInfo`?",
    ),
];

const GALLERY_SOURCE: &[Case] = &[
    case(
        "/versions/1.0.4",
        "/versions/1.0",
        ValidationFailed,
        "properties.source.imageVersionId",
        "three numbers or `latest`",
    ),
    case(
        "/versions/1.0.4",
        "/versions/1.00.4",
        ValidationFailed,
        "properties.source.imageVersionId",
        "no leading zeros",
    ),
    case(
        "/versions/1.0.4",
        "/versions/1.0.x",
        ValidationFailed,
        "properties.source.imageVersionId",
        "three numbers",
    ),
    case(
        "/versions/1.0.4",
        "",
        ValidationFailed,
        "properties.source.imageVersionId",
        "found that of a gallery image definition",
    ),
    case(
        "/subscriptions/s1/resourceGroups/forge/providers/Microsoft.Compute/galleries/golden/images/base/versions/1.0.4",
        "/sharedGalleries/abc-def/images/base/versions/1.0.4",
        UnsupportedFeature,
        "properties.source.imageVersionId",
        "another tenant",
    ),
    case(
        "/subscriptions/s1/resourceGroups/forge/providers/Microsoft.Compute/galleries/golden/images/base/versions/1.0.4",
        "/subscriptions/<subscriptionID>/x",
        ValidationFailed,
        "properties.source.imageVersionId",
        "replace the placeholder `<subscriptionID>`",
    ),
    case(
        r#""type": "SharedImageVersion""#,
        r#""type": "ManagedImage""#,
        ValidationFailed,
        "properties.source.imageId",
        "Missing field 'imageId'",
    ),
];

// conformance: 52, 55, 57, 65
#[test]
fn bad_customizer_is_reported() {
    run(EVERYTHING, CUSTOMIZERS);
}

const CHECKSUM: &str = "ADE4C5214C3C675E92C66E2D067A870C5B81B9844B3DE3CC72C49FF36425FC93";

const CUSTOMIZERS: &[Case] = &[
    case(
        r#""type": "Shell", "name": "setup""#,
        r#""type": "shell", "name": "setup""#,
        BadCustomizerType,
        "properties.customize[0].type",
        "did you mean `Shell`?",
    ),
    case(
        r#""type": "Shell", "name": "setup""#,
        r#""type": "Ansible", "name": "setup""#,
        BadCustomizerType,
        "properties.customize[0].type",
        "unknown customizer type 'Ansible'. Known: `Shell`, `PowerShell`",
    ),
    case(
        r#""type": "Shell", "name": "setup""#,
        r#""name": "setup""#,
        ValidationFailed,
        "properties.customize[0].type",
        "Missing field 'type'",
    ),
    case(
        r#""type": "Shell", "name": "setup""#,
        r#""type": 1, "name": "setup""#,
        ValidationFailed,
        "properties.customize[0].type",
        "Expected a string",
    ),
    case(
        r#""name": "setup", "inline""#,
        r#""name": "setup", "inlin""#,
        ValidationFailed,
        "properties.customize[0].inlin",
        "did you mean `inline`?",
    ),
    case(
        r#"["set -x", "\nsudo mkdir /srv/site"]"#,
        "[]",
        NoCustomizerScript,
        "properties.customize[0].inline",
        "no lines",
    ),
    case(
        r#"["set -x", "\nsudo mkdir /srv/site"]"#,
        "null",
        NoCustomizerScript,
        "properties.customize[0]",
        "Missing field 'scriptUri' or 'inline'",
    ),
    case(
        r#"["set -x", "\nsudo mkdir /srv/site"]"#,
        r#""set -x""#,
        ValidationFailed,
        "properties.customize[0].inline",
        "Expected a list, found a string",
    ),
    case(
        r#"["set -x", "\nsudo mkdir /srv/site"]"#,
        r#"["set -x", 1]"#,
        ValidationFailed,
        "properties.customize[0].inline[1]",
        "Field 'inline[1]' has a bad value: '1'",
    ),
    case(
        r#"["set -x", "\nsudo mkdir /srv/site"]"#,
        r#"["set -x", null]"#,
        ValidationFailed,
        "properties.customize[0].inline[1]",
        "found null",
    ),
    case(
        r#""scriptUri": "https://example.org/setup.sh","#,
        r#""scriptUri": "https://example.org/setup.sh", "inline": ["x"],"#,
        ValidationFailed,
        "properties.customize[1].inline",
        "exclude each other",
    ),
    case(
        "https://example.org/setup.sh",
        "ftp://example.org/setup.sh",
        ValidationFailed,
        "properties.customize[1].scriptUri",
        "scheme `ftp`",
    ),
    case(
        "https://example.org/setup.sh",
        "https:///setup.sh",
        ValidationFailed,
        "properties.customize[1].scriptUri",
        "no host",
    ),
    case(
        "https://example.org/setup.sh",
        "https://example.org/set up.sh",
        ValidationFailed,
        "properties.customize[1].scriptUri",
        "white space",
    ),
    case(
        "https://example.org/setup.sh",
        "setup.sh",
        ValidationFailed,
        "properties.customize[1].scriptUri",
        "Expected an http or https address",
    ),
    case(
        "https://example.org/setup.sh",
        "file:///setup.sh",
        ValidationFailed,
        "properties.customize[1].scriptUri",
        "local paths work with `goldsmith build` only",
    ),
    case(
        CHECKSUM,
        "ade4c521",
        ValidationFailed,
        "properties.customize[1].sha256Checksum",
        "found 8 characters",
    ),
    case(
        CHECKSUM,
        "zde4c5214c3c675e92c66e2d067a870c5b81b9844b3de3cc72c49ff36425fc93",
        ValidationFailed,
        "properties.customize[1].sha256Checksum",
        "64 hexadecimal digits",
    ),
    case(
        r#""sourceUri": "https://example.org/index.html", "#,
        "",
        NoCustomizerScript,
        "properties.customize[2].sourceUri",
        "Missing field 'sourceUri'",
    ),
    case(
        r#""destination": "/tmp/index.html", "#,
        "",
        ValidationFailed,
        "properties.customize[2].destination",
        "'ImageTemplate.properties.customize[2]': Missing field 'destination'",
    ),
    case(
        r#""destination": "/tmp/index.html""#,
        r#""destination": """#,
        ValidationFailed,
        "properties.customize[2].destination",
        "must not be empty",
    ),
    case(
        r#""sourceUri": "https://example.org/index.html""#,
        r#""sourceUrl": "x", "sourceUri": "https://example.org/index.html""#,
        ValidationFailed,
        "properties.customize[2].sourceUrl",
        "did you mean `sourceUri`?",
    ),
    case(
        r#""runElevated": true"#,
        r#""runElevated": false"#,
        ValidationFailed,
        "properties.customize[3].runAsSystem",
        "It requires 'runElevated'",
    ),
    case(
        r#""runElevated": true"#,
        r#""runElevated": "true""#,
        ValidationFailed,
        "properties.customize[3].runElevated",
        "write true without quotes",
    ),
    case(
        "[0, 3010]",
        r#"[0, "3010"]"#,
        ValidationFailed,
        "properties.customize[3].validExitCodes[1]",
        "write 3010 without quotes",
    ),
    case(
        "[0, 3010]",
        "[0, 0.5]",
        ValidationFailed,
        "properties.customize[3].validExitCodes[1]",
        "whole number",
    ),
    case(
        "1h30m",
        "5 minutes",
        ValidationFailed,
        "properties.customize[4].restartTimeout",
        "Expected a duration",
    ),
    case(
        "1h30m",
        "5",
        ValidationFailed,
        "properties.customize[4].restartTimeout",
        "a number and a unit",
    ),
    case(
        r#""include:$true""#,
        r#""$true""#,
        ValidationFailed,
        "properties.customize[5].filters[1]",
        "begin with `include:` or `exclude:`",
    ),
    case(
        r#""updateLimit": 20"#,
        r#""updateLimit": -1"#,
        ValidationFailed,
        "properties.customize[5].updateLimit",
        "at least 0",
    ),
    case(
        r#""customize": ["#,
        r#""customize": ["apt-get","#,
        ValidationFailed,
        "properties.customize[0]",
        "Expected an object, found a string",
    ),
];

// conformance: 72, 73
#[test]
fn bad_validator_is_reported() {
    run(EVERYTHING, VALIDATORS);
}

const VALIDATORS: &[Case] = &[
    case(
        r#""type": "Shell", "name": "serves""#,
        r#""type": "WindowsRestart", "name": "serves""#,
        BadValidatorType,
        "properties.validate.inVMValidations[0].type",
        "Known: `Shell`, `PowerShell`, `File`",
    ),
    case(
        r#", "inline": ["curl -f localhost"]"#,
        "",
        NoValidatorScript,
        "properties.validate.inVMValidations[0]",
        "no script",
    ),
    case(
        r#"["curl -f localhost"]"#,
        "[]",
        NoValidatorScript,
        "properties.validate.inVMValidations[0].inline",
        "no lines",
    ),
    case(
        r#""sourceUri": "https://example.org/check.txt", "#,
        "",
        NoValidatorScript,
        "properties.validate.inVMValidations[1].sourceUri",
        "Missing field",
    ),
    case(
        r#", "scriptUri": "https://example.org/check.ps1""#,
        "",
        NoValidatorScript,
        "properties.validate.inVMValidations[2]",
        "give either `scriptUri` or `inline`",
    ),
    case(
        r#""inVMValidations""#,
        r#""inVmValidations""#,
        ValidationFailed,
        "properties.validate.inVmValidations",
        "did you mean `inVMValidations`?",
    ),
    case(
        r#""sourceValidationOnly": false"#,
        r#""sourceValidationOnly": 0"#,
        ValidationFailed,
        "properties.validate.sourceValidationOnly",
        "Expected true or false",
    ),
];

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

/// Replaces everything from the first text up to the second.
fn cut(from: &str, to: &str, with: &str) -> String {
    let start = EVERYTHING.find(from).unwrap();
    let end = EVERYTHING.find(to).unwrap_or(EVERYTHING.trim_end().len() - 1);
    format!("{}{with}{}", &EVERYTHING[..start], &EVERYTHING[end..])
}

#[test]
fn bad_section_is_reported() {
    let source = r#""source": {"#;
    let steps = r#""customize": ["#;
    let targets = r#""distribute": ["#;
    let errors_section = r#""errorHandling""#;
    for (text, path, says) in [
        (cut(source, steps, ""), "properties.source", "Missing field 'source'"),
        (cut(source, steps, "\"source\": null,"), "properties.source", "Missing field 'source'"),
        (cut(source, steps, "\"source\": \"x\","), "properties.source", "Expected an object"),
        (cut(source, steps, "\"source\": {},"), "properties.source.type", "Missing field 'type'"),
        (cut(targets, errors_section, ""), "properties.distribute", "Missing field 'distribute'"),
        (
            cut(targets, errors_section, "\"distribute\": [],"),
            "properties.distribute",
            "At least one",
        ),
        (
            cut(targets, errors_section, "\"distribute\": {},"),
            "properties.distribute",
            "Expected a list",
        ),
        (
            cut(r#""properties": {"#, "no such text", "\"name\": \"x\""),
            "properties",
            "Missing field 'properties'",
        ),
        (
            cut(r#""properties": {"#, "no such text", "\"properties\": 1"),
            "properties",
            "Expected an object",
        ),
    ] {
        let parsed = serve(&text);
        let found = errors(&parsed);
        let [error] = found.as_slice() else { panic!("one error for {says}: {found:#?}") };
        assert_eq!((error.code, error.path.as_str()), (ValidationFailed, path));
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[test]
fn tags_beyond_limits_are_reported() {
    let many = |count: usize| {
        let tags: Vec<String> = (0..count).map(|i| format!(r#""t{i}": "x""#)).collect();
        format!("{{ {} }}", tags.join(", "))
    };
    let long = |length: usize| format!(r#"{{ "t": "{}" }}"#, "ä".repeat(length));
    let named = |length: usize| format!(r#"{{ "{}": "" }}"#, "ä".repeat(length));
    for (old, name, path, most) in [
        (r#"{ "team": "forge", "cost": null }"#, "tags", "tags", 50),
        (r#"{ "owner": "forge" }"#, "managedResourceTags", "properties.managedResourceTags", 47),
        (
            r#"{ "base": "debian-12", "empty": null }"#,
            "artifactTags",
            "properties.distribute[0].artifactTags",
            50,
        ),
    ] {
        let with = |tags: &str| {
            let (old, new) = (format!(r#""{name}": {old}"#), format!(r#""{name}": {tags}"#));
            serve(&edit(EVERYTHING, &old, &new))
        };
        for good in [many(most), long(256), named(512)] {
            assert_eq!(errors(&with(&good)).len(), 0, "{name}: {good}");
        }
        for (bad, says) in [
            (many(most + 1), format!("At most {most} tags are allowed, found {}", most + 1)),
            (long(257), "at most 256 characters".to_owned()),
            (named(513), "1 to 512 characters".to_owned()),
        ] {
            let parsed = with(&bad);
            let found = errors(&parsed);
            let [error] = found.as_slice() else { panic!("one error for {says}: {found:#?}") };
            assert!(error.path.starts_with(path), "{}", error.path);
            assert!(error.message.contains(&says), "{}", error.message);
        }
    }
}

#[test]
fn rejected_address_is_reported_without_secrets() {
    let (script, vhd) = ("https://example.org/setup.sh", "https://store.example.org/vhds/web.vhd");
    for (old, new) in [
        (script, "ftp://u:pw@example.org/setup.sh?sig=SECRETSIG"),
        (script, "https://u:pw@example.org/set up.sh?sv=1&sig=SECRETSIG"),
        (script, "https:/u:pw@example.org/setup.sh?sig=SECRETSIG"),
        (script, "[concat('https://u:pw@example.org/setup.sh?sig=SECRETSIG')]"),
        (vhd, "https://u:pw@store.example.org/vhds/web.vhd?sig=SECRETSIG"),
        (vhd, "store.example.org/vhds/web.vhd?sig=SECRETSIG"),
    ] {
        let parsed = serve(&edit(EVERYTHING, old, new));
        let shown = format!("{:?}", parsed.diagnostics);
        assert!(!errors(&parsed).is_empty(), "{new}");
        assert!(!shown.contains("SECRETSIG") && !shown.contains("pw"), "{shown}");
    }
    let list = r#""scriptUri": ["https://example.org/setup.sh?sig=SECRETSIG"]"#;
    let parsed = serve(&edit(EVERYTHING, r#""scriptUri": "https://example.org/setup.sh""#, list));
    let shown = format!("{:?}", parsed.diagnostics);
    assert!(!errors(&parsed).is_empty() && !shown.contains("SECRETSIG"), "{shown}");
}

#[test]
fn misspelt_section_is_one_error_and_its_content_is_checked() {
    let text = edit(EVERYTHING, r#""distribute": ["#, r#""distribut": ["#);
    let text = edit(&text, r#""replicaCount": 2"#, r#""replicaCount": 0"#);
    let parsed = serve(&text);
    let paths: Vec<_> = errors(&parsed).iter().map(|e| e.path.clone()).collect();
    assert_eq!(
        paths,
        ["properties.distribut", "properties.distribute[1].targetRegions[0].replicaCount"]
    );
}

#[test]
fn deployment_is_rejected_as_template() {
    let text = format!(
        r#"{{ "$schema": "https://schema.management.azure.com/x", "parameters": {{}}, "resources": [{{}}, {EVERYTHING}] }}"#
    );
    let parsed = serve(&text);
    let [error] = parsed.diagnostics.as_slice() else { panic!("one error") };
    assert_eq!(error.code, ValidationFailed);
    assert!(error.message.contains("deployment template"));
    assert_eq!(
        error.hint.as_deref(),
        Some("move the object at `resources[1]` into a file of its own")
    );
}

#[test]
fn warnings_do_not_reject_a_template() {
    let cases = [
        (
            r#""type": "Microsoft.VirtualMachineImages/imageTemplates""#,
            r#""type": "Microsoft.Compute/images""#,
            "type",
        ),
        (r#""location": "westus2""#, r#""location": "<region>""#, "location"),
        (r#""location": "westus2""#, r#""location": "[resourceGroup().location]""#, "location"),
        (
            "golden/images/web\"",
            "golden/images/web/versions/1.2.3\"",
            "properties.distribute[1].versioning",
        ),
        (
            r#""inline": ["Get-Date"]"#,
            r#""inline": ["Get-Date"], "sha256Checksum": "ade4c5214c3c675e92c66e2d067a870c5b81b9844b3de3cc72c49ff36425fc93""#,
            "properties.customize[3].sha256Checksum",
        ),
    ];
    for (old, new, path) in cases {
        let parsed = serve(&edit(EVERYTHING, old, new));
        assert!(parsed.template.is_some(), "{new}");
        let [warning] = parsed.diagnostics.as_slice() else { panic!("one warning for {new}") };
        assert_eq!(warning.path, path);
    }
}
