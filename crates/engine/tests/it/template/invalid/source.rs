use api::ErrorCode::*;

use super::{Case, case, run};
use crate::template::{EVERYTHING, GALLERY_2020};

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
