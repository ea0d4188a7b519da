//! The metadata of the cloud, which needs no login.

use arm::ApiError;
use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use sources::Catalogue;

use super::{Site, host, reply};

/// `GET /metadata/endpoints`: the object that `az cloud register`, Terraform and `Add-AzEnvironment` read first. It has the
/// fields of every api-version, because their names differ.
pub(super) fn endpoints(site: &Site, request: &Request) -> Response {
    let body = document(&site.base_url(request), site.auth.tenant());
    reply::json(StatusCode::OK, &body)
}

fn document(base: &str, tenant: &str) -> Value {
    let host = host::host_of(base);
    json!({
        "name": "Goldsmith",
        "authentication": {
            // az skips instance discovery if the login endpoint ends in /adfs.
            "loginEndpoint": format!("{base}/adfs"),
            // az requests tokens for the first one.
            "audiences": [format!("{base}/"), base, "https://management.azure.com/"],
            "tenant": tenant,
            "identityProvider": "AAD",
        },
        "resourceManager": format!("{base}/"),
        "microsoftGraphResourceId": format!("{base}/graph/"),
        // PowerShell's generated modules take it for the resource of every token for this host, so it must be the first
        // audience. Its path would not help: they compare hosts.
        "graph": format!("{base}/"),
        "graphAudience": format!("{base}/graph/"),
        "gallery": format!("{base}/"),
        "batch": format!("{base}/"),
        "portal": format!("{base}/"),
        "media": format!("{base}/"),
        "vmImageAliasDoc": format!("{base}/metadata/aliases.json"),
        // The names of api-version 1.0, which `Add-AzEnvironment -ARMEndpoint` requires.
        "galleryEndpoint": format!("{base}/"),
        "graphEndpoint": format!("{base}/"),
        "portalEndpoint": format!("{base}/"),
        "suffixes": {
            "storage": host,
            "keyVaultDns": format!("vault.{host}"),
            "acrLoginServer": format!("azurecr.{host}"),
        },
    })
}

/// Short names that `az` accepts instead of a URN: one for each image that all subscriptions see.
pub(super) fn aliases(site: &Site) -> Result<Response, ApiError> {
    let catalogue =
        Catalogue::load_public(&site.app.settings().layout).map_err(ApiError::internal)?;
    let urns: Vec<String> = catalogue.list().into_iter().map(|entry| entry.urn).collect();
    Ok(reply::json(StatusCode::OK, &alias_document(&urns)))
}

/// `debian-12` becomes `Debian12`. If two images would share a name, the first gets it.
fn alias_document(urns: &[String]) -> Value {
    let mut linux = Map::new();
    for urn in urns {
        let parts: Vec<&str> = urn.split(':').collect();
        let [publisher, offer, sku, ..] = parts.as_slice() else { continue };
        let alias: String = offer.split(['-', '_']).map(capitalized).collect();
        linux.entry(alias).or_insert_with(|| {
            json!({
                "publisher": publisher, "offer": offer, "sku": sku,
                "version": "latest", "architecture": "x64",
            })
        });
    }
    json!({
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json",
        "contentVersion": "1.0.0.0",
        "parameters": {},
        "resources": [],
        "outputs": { "aliases": { "type": "object", "value": { "Linux": linux, "Windows": {} } } },
    })
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_has_every_field_that_clients_read() {
        let body = document("https://localhost:8443", "T");
        assert_eq!(body["authentication"]["loginEndpoint"], "https://localhost:8443/adfs");
        assert_eq!(body["authentication"]["audiences"][0], "https://localhost:8443/");
        assert_eq!(body["suffixes"]["storage"], "localhost");
        for field in [
            "name",
            "resourceManager",
            "microsoftGraphResourceId",
            "graphAudience",
            "graph",
            "gallery",
            "batch",
            "portal",
            "vmImageAliasDoc",
            "galleryEndpoint",
            "graphEndpoint",
            "portalEndpoint",
        ] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
        let audience = &body["authentication"]["audiences"][0];
        assert_eq!((&body["graph"], &body["graphEndpoint"]), (audience, audience));
        // PowerShell derives the address of Graph from it by cutting the slash.
        assert!(body["microsoftGraphResourceId"].as_str().unwrap().ends_with('/'));
    }

    #[test]
    fn catalogue_images_have_short_names() {
        let urns = ["Debian:debian-12:12-gen2:latest", "Debian:debian-12:other:latest", "odd"];
        let body = alias_document(&urns.map(str::to_owned));
        let linux = &body["outputs"]["aliases"]["value"]["Linux"];
        assert_eq!(linux["Debian12"]["sku"], "12-gen2");
        assert_eq!(linux.as_object().unwrap().len(), 1);
    }
}
