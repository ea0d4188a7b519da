//! What `latest` of a gallery's definition stands for.

use super::*;
use crate::image_builder::{record::RunInput, versions::with_latest};

impl Service {
    async fn published(&self, number: &str, regions: &[&str], excluded: bool) -> String {
        let id = format!("{}/versions/{number}", definition("d"));
        let targets: Value = regions.iter().map(|name| json!({ "name": name })).collect();
        let profile = json!({ "targetRegions": targets, "excludeFromLatest": excluded });
        let body = json!({ "properties": { "publishingProfile": profile } });
        self.insert(&id, VERSIONS_KIND, body).await;
        id
    }

    /// The error of creating a template upon `latest`, which the operation, the template and a run all
    /// report.
    async fn refused(&self) -> (String, String) {
        let put = call(Method::Put, "t", "2024-02-01", &following().to_string());
        let reply = self.put(&put).await.unwrap();
        self.idle().await;
        let error = self.operation(&reply).await.error.unwrap();
        let template = self.get("2024-02-01", "t").await;
        let code = &template["properties"]["provisioningError"]["provisioningErrorCode"];
        assert_eq!(code, "BadSharedImageVersionSource");
        let input = RunInput::parse(&following()).unwrap();
        let run = Fault::split(with_latest(&self.app, input).await).unwrap().unwrap_err();
        assert_eq!(run.code, api::ErrorCode::BadSharedImageVersionSource);
        let text = |field: &str| error[field].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }
}

// conformance: 84
#[tokio::test]
async fn latest_with_all_versions_excluded_is_refused() {
    let service = Service::new().await;
    for number in ["1.0.0", "1.10.0", "1.9.0"] {
        service.published(number, &["West US"], true).await;
    }
    let (code, message) = service.refused().await;
    assert_eq!(code, "BadSharedImageVersionSource");
    assert!(message.contains("excluded from latest: 1.10.0, 1.9.0, 1.0.0"), "{message}");
}

// conformance: 46
#[tokio::test]
async fn latest_without_a_version_in_the_region_is_refused() {
    let service = Service::new().await;
    service.published("1.0.0", &["West US 2"], false).await;
    service.published("2.0.0", &["West US"], true).await;
    let (code, message) = service.refused().await;
    assert_eq!(code, "BadSharedImageVersionSource");
    let why =
        "versions/1.0.0' is not replicated to the template's region westus, only to West US 2";
    assert!(message.contains(why), "{message}");
}

#[tokio::test]
async fn latest_of_a_definition_without_versions_is_refused() {
    let (code, message) = Service::new().await.refused().await;
    assert_eq!(code, "BadSharedImageVersionSource");
    assert!(message.contains("There is no such image"), "{message}");
}

// conformance: 45, 84
#[tokio::test]
async fn latest_of_a_run_is_the_highest_version_that_counts() {
    let service = Service::new().await;
    service.published("1.9.0", &["westus"], false).await;
    let wanted = service.published("1.10.0", &["West US"], false).await;
    service.published("1.11.0", &["West US"], true).await;
    service.published("2.0.0", &["West US 2"], false).await;
    let built_upon = async |input: Value| {
        let input = RunInput::parse(&input).unwrap();
        let input = with_latest(&service.app, input).await.unwrap();
        json!(input.template.properties.source)["imageVersionId"].clone()
    };
    assert_eq!(built_upon(following()).await, wanted);
    let exact = json!(format!("{}/versions/1.9.0", definition("d")));
    let mut named = following();
    named["properties"]["source"]["imageVersionId"] = exact.clone();
    assert_eq!(built_upon(named).await, exact);
}
