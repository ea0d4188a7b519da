use api::ErrorCode::*;

use super::{Case, case, run};
use crate::template::EVERYTHING;

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
