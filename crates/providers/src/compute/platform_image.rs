//! The catalogue of platform images as Azure shows it: publishers, offers, skus and versions, each a
//! bare JSON array.

use arm::{ApiError, Call, Method, Reply, region};
use images::layout::Layout;
use serde_json::{Value, json};
use service::App;
use sources::{Catalogue, ResolvedEntry};

/// Answers `…/locations/{region}/publishers[/…]`; `rest` begins behind `publishers`.
pub async fn handle(
    app: &App,
    call: &Call,
    location: &str,
    rest: &[String],
) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let location =
        region::check(app.context(), "Microsoft.Compute/locations/publishers", location)?;
    let (layout, subscription) = (app.settings().layout.clone(), app.subscription().to_owned());
    let entries = tokio::task::spawn_blocking(move || entries(&layout, &subscription)).await;
    let entries = entries.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    let base = format!(
        "/Subscriptions/{}/Providers/Microsoft.Compute/Locations/{location}/Publishers",
        app.subscription()
    );
    let lower: Vec<String> = rest.iter().map(|part| part.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let listing = Listing { entries, base, location };
    let items = match lower.as_slice() {
        [] => listing.names(&[]),
        [_, "artifacttypes"] => Some(vec![listing.types(&rest[0])]),
        [publisher, "artifacttypes", "vmimage", "offers"] => listing.names(&[publisher]),
        [publisher, "artifacttypes", "vmimage", "offers", offer, "skus"] => {
            listing.names(&[publisher, offer])
        }
        [publisher, "artifacttypes", "vmimage", "offers", offer, "skus", sku, "versions"] => {
            listing.names(&[publisher, offer, sku]).map(|found| narrowed(call, found))
        }
        [
            publisher,
            "artifacttypes",
            "vmimage",
            "offers",
            offer,
            "skus",
            sku,
            "versions",
            version,
        ] => {
            let found = listing.version([publisher, offer, sku, version]);
            return found.map(Reply::ok).ok_or_else(|| not_found(call));
        }
        [_, "artifacttypes", "vmextension", "types", ..] => Some(Vec::new()),
        _ => None,
    };
    items.map(|items| Reply::ok(Value::Array(items))).ok_or_else(|| not_found(call))
}

fn not_found(call: &Call) -> ApiError {
    ApiError::absent(
        "NotFound",
        format!(
            "Artifact: VMImage was not found at '{}'. The catalogue lists what there is; catalogue.toml in the data folder adds to it.",
            call.path.text
        ),
    )
}

fn entries(layout: &Layout, subscription: &str) -> images::error::Result<Vec<ResolvedEntry>> {
    let catalogue = Catalogue::load_for(layout, Some(subscription))?;
    let mut entries = Vec::new();
    for listed in catalogue.list() {
        let parts: Vec<&str> = listed.urn.split(':').collect();
        if let [publisher, offer, sku, version] = parts.as_slice() {
            entries.push(catalogue.resolve(publisher, offer, sku, version)?);
        }
    }
    Ok(entries)
}

struct Listing {
    entries: Vec<ResolvedEntry>,
    base: String,
    location: String,
}

/// What stands between the names of an id.
const STEPS: [&str; 4] = ["", "/ArtifactTypes/VMImage/Offers", "/Skus", "/Versions"];

impl Listing {
    /// The distinct names below these; `None` if nothing has these names.
    fn names(&self, above: &[&str]) -> Option<Vec<Value>> {
        let mut found: Vec<Vec<&str>> = Vec::new();
        for entry in &self.entries {
            let parts: Vec<&str> = entry.urn.split(':').take(above.len() + 1).collect();
            let inside =
                above.iter().zip(&parts).all(|(one, other)| one.eq_ignore_ascii_case(other));
            let same = |other: &Vec<&str>| other.join(":").eq_ignore_ascii_case(&parts.join(":"));
            if inside && !found.iter().any(same) {
                found.push(parts);
            }
        }
        if found.is_empty() && !above.is_empty() {
            return None;
        }
        Some(found.iter().map(|parts| self.item(parts)).collect())
    }

    fn item(&self, parts: &[&str]) -> Value {
        let steps = parts.iter().zip(STEPS);
        let id: String = steps.map(|(name, step)| format!("{step}/{name}")).collect();
        json!({
            "location": self.location,
            "name": parts.last(),
            "id": format!("{}{id}", self.base),
        })
    }

    fn types(&self, publisher: &str) -> Value {
        json!({
            "location": self.location,
            "name": "VMImage",
            "id": format!("{}/{publisher}/ArtifactTypes/VMImage", self.base),
        })
    }

    /// One version; `latest` is the highest.
    fn version(&self, wanted: [&str; 4]) -> Option<Value> {
        let [publisher, offer, sku, version] = wanted;
        let named = |entry: &&ResolvedEntry| {
            let urn: Vec<&str> = entry.urn.split(':').collect();
            let latest = version.eq_ignore_ascii_case("latest");
            let name =
                [publisher, offer, sku].iter().zip(&urn).all(|(a, b)| a.eq_ignore_ascii_case(b));
            name && (latest || urn.last().is_some_and(|own| own.eq_ignore_ascii_case(version)))
        };
        let found = self.entries.iter().filter(named);
        let entry =
            found.max_by_key(|entry| order(entry.urn.rsplit(':').next().unwrap_or_default()))?;
        let parts: Vec<&str> = entry.urn.split(':').collect();
        let mut item = self.item(&parts);
        item["properties"] = json!({
            "osDiskImage": { "operatingSystem": entry.os },
            "dataDiskImages": [],
            "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": false },
            "hyperVGeneration": if entry.generation == 1 { "V1" } else { "V2" },
            "architecture": entry.architecture,
            "features": [],
        });
        if let Some(plan) = &entry.plan {
            item["properties"]["plan"] = json!({
                "name": plan.name, "product": plan.product, "publisher": plan.publisher,
            });
        }
        Some(item)
    }
}

fn order(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// `$orderby=name desc` and `$top`, by which clients ask for the latest version.
fn narrowed(call: &Call, mut items: Vec<Value>) -> Vec<Value> {
    items.sort_by_key(|item| order(item["name"].as_str().unwrap_or_default()));
    let orderby = call.query.get("$orderby").map(|text| text.to_lowercase()).unwrap_or_default();
    if orderby.ends_with(" desc") {
        items.reverse();
    }
    if let Some(top) = call.query.get("$top").and_then(|top| top.parse().ok()) {
        items.truncate(top);
    }
    items
}
