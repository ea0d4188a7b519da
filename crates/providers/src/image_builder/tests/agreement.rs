//! Compatibility of a source with a gallery target, and which images can be a source.

use super::*;

fn gallery(path: &str) -> String {
    group_id(&format!("/providers/Microsoft.Compute/galleries/g/images/{path}"))
}

/// Properties of a definition that goes with the catalogue's image.
fn fitting() -> Value {
    json!({
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1", "architecture": "x64",
    })
}

fn secured(kind: &str) -> Value {
    json!([{ "name": "SecurityType", "value": kind }])
}

impl Service {
    async fn definition(&self, name: &str, properties: Value) {
        let above = group_id("/providers/Microsoft.Compute/galleries/g");
        if self.row(&ResourceKey::of(&above)).await.is_none() {
            self.insert(&above, "microsoft.compute/galleries", json!({ "location": "westus" }))
                .await;
        }
        let kind = "microsoft.compute/galleries/images";
        self.insert(&gallery(name), kind, json!({ "properties": properties })).await;
    }

    /// A version that is in the template's region.
    async fn put_version(&self, path: &str, mut properties: Value) {
        let kind = "microsoft.compute/galleries/images/versions";
        properties["publishingProfile"]["targetRegions"] = json!([{ "name": "West US" }]);
        self.insert(&gallery(path), kind, json!({ "properties": properties })).await;
    }

    /// How the provisioning of a template ends: `provisioningState`, code and message of the error.
    async fn provisioned(&self, name: &str, sent: &Value) -> (String, String, String) {
        let body = self.created("2024-02-01", name, sent).await;
        let properties = &body["properties"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let error = &properties["provisioningError"];
        (
            text(&properties["provisioningState"]),
            text(&error["provisioningErrorCode"]),
            text(&error["message"]),
        )
    }
}

fn to_gallery(name: &str) -> Value {
    let mut sent = small();
    sent["properties"]["distribute"] = json!([{
        "type": "SharedImage", "runOutputName": "v", "galleryImageId": gallery(name),
        "targetRegions": [{ "name": "westus" }],
    }]);
    sent
}

// conformance: 49
#[tokio::test]
async fn source_of_another_kind_than_its_definition_is_refused() {
    for (field, value, says) in [
        ("hyperVGeneration", json!("V2"), "hyperVGeneration V1"),
        ("osType", json!("Windows"), "osType Linux"),
        ("architecture", json!("Arm64"), "architecture x64"),
        ("osState", json!("Specialized"), "osState Generalized"),
        ("features", secured("TrustedLaunch"), "TrustedLaunchSupported"),
        ("features", secured("TrustedLaunchSupported"), "a source of generation 2"),
    ] {
        let service = Service::new().await;
        let mut properties = fitting();
        properties[field] = value.clone();
        service.definition("d", properties).await;
        let (state, code, message) = service.provisioned("t", &to_gallery("d")).await;
        assert_eq!((state.as_str(), code.as_str()), ("Failed", "BadSharedImageDistribute"));
        assert!(message.contains("properties.distribute[0].galleryImageId"), "{message}");
        assert!(message.contains(says), "{field}: {message}");
    }
    let service = Service::new().await;
    service.definition("d", fitting()).await;
    let mut other = fitting();
    other["hyperVGeneration"] = json!("V2");
    service.definition("e", other).await;
    assert_eq!(service.provisioned("t", &to_gallery("d")).await.0, "Succeeded");
    let distribute = to_gallery("e")["properties"]["distribute"].clone();
    let change = json!({ "properties": { "distribute": distribute } });
    let error = service.patch("2024-02-01", "t", change).await.unwrap_err();
    assert_eq!(error.code, "BadSharedImageDistribute");
    assert_eq!(error.target.as_deref(), Some("properties.distribute[0].galleryImageId"));
}

// conformance: 45, 46, 48, 49
#[tokio::test]
async fn source_version_takes_kind_from_its_definition() {
    let service = Service::new().await;
    let mut supported = fitting();
    supported["hyperVGeneration"] = json!("V2");
    supported["features"] = secured("TrustedLaunchSupported");
    service.definition("good", supported.clone()).await;
    service.definition("same", supported).await;
    let excluded = json!({ "publishingProfile": { "excludeFromLatest": true } });
    for (version, properties) in [("1.9.0", json!({})), ("1.10.0", json!({})), ("2.0.0", excluded)]
    {
        service.put_version(&format!("good/versions/{version}"), properties).await;
    }
    let from = |path: &str, to: &str| {
        let mut sent = to_gallery(to);
        let id = gallery(path);
        sent["properties"]["source"] =
            json!({ "type": "SharedImageVersion", "imageVersionId": id });
        sent
    };
    let body = service.created("2024-02-01", "t", &from("good/versions/latest", "same")).await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded", "{body}");
    let exact = &body["properties"]["source"]["exactVersion"];
    assert_eq!(*exact, gallery("good/versions/1.10.0"));

    let mut plain = fitting();
    plain["hyperVGeneration"] = json!("V2");
    service.definition("plain", plain).await;
    let (_, code, message) = service.provisioned("u", &from("good/versions/1.9.0", "plain")).await;
    assert_eq!(code, "BadSharedImageDistribute");
    assert!(message.contains("the security type TrustedLaunchSupported"), "{message}");

    for (name, field, value, says) in [
        ("machine", "osState", json!("Specialized"), "generalize"),
        ("launched", "features", secured("TrustedLaunch"), "TrustedLaunchSupported"),
        ("secret", "features", secured("ConfidentialVM"), "ConfidentialVMSupported"),
    ] {
        let mut properties = fitting();
        properties[field] = value;
        service.definition(name, properties).await;
        let version = format!("{name}/versions/1.0.0");
        service.put_version(&version, json!({})).await;
        let (_, code, message) = service.provisioned(name, &from(&version, "plain")).await;
        assert_eq!(code, "BadSharedImageVersionSource", "{message}");
        assert!(message.contains("properties.source.imageVersionId"), "{message}");
        assert!(message.contains(says), "{message}");
    }
}

// conformance: 48
#[tokio::test]
async fn specialized_image_as_source_is_refused() {
    let service = Service::new().await;
    let disk = json!({ "osType": "Linux", "osState": "Specialized" });
    let properties = json!({ "hyperVGeneration": "V1", "storageProfile": { "osDisk": disk } });
    let body = json!({ "properties": properties });
    service.insert(&image("machine"), "microsoft.compute/images", body).await;
    let mut sent = small();
    sent["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": image("machine") });
    let (_, code, message) = service.provisioned("t", &sent).await;
    assert_eq!(code, "BadManagedImageSource");
    assert!(message.contains("properties.source.imageId"), "{message}");
    assert!(message.contains("specialized"), "{message}");
}

#[tokio::test]
async fn managed_image_with_versioning_source_is_refused() {
    let service = Service::new().await;
    service.definition("d", fitting()).await;
    let disk = json!({ "osType": "Linux", "osState": "Generalized" });
    let properties = json!({ "hyperVGeneration": "V1", "storageProfile": { "osDisk": disk } });
    let body = json!({ "properties": properties });
    service.insert(&image("web22"), "microsoft.compute/images", body).await;
    let mut sent = to_gallery("d");
    sent["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": image("web22") });
    assert_eq!(service.provisioned("latest", &sent).await.0, "Succeeded");
    sent["properties"]["distribute"][0]["versioning"] = json!({ "scheme": "Source" });
    let (state, code, message) = service.provisioned("source", &sent).await;
    assert_eq!((state.as_str(), code.as_str()), ("Failed", "BadSharedImageDistribute"));
    assert!(message.contains("properties.distribute[0].versioning.scheme"), "{message}");
}
