use api::ErrorCode::*;

use super::{Case, case, run};
use crate::template::EVERYTHING;

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
