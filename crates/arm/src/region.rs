//! Regions: their names, their locations, and the check that this service has them.
//!
//! A region that Azure does not have works the same way; its display name is its name.

pub use api::region_key as normalise;
use serde_json::{Value, json};

use crate::{ApiError, Context};

/// A region of Azure.
struct AzureRegion {
    name: &'static str,
    display: &'static str,
    geography: &'static str,
    place: &'static str,
    latitude: &'static str,
    longitude: &'static str,
    paired: &'static str,
}

macro_rules! region {
    ($name:literal, $display:literal, $geography:literal, $place:literal, $lat:literal, $lon:literal, $paired:literal) => {
        AzureRegion {
            name: $name,
            display: $display,
            geography: $geography,
            place: $place,
            latitude: $lat,
            longitude: $lon,
            paired: $paired,
        }
    };
}

#[rustfmt::skip]
const AZURE_REGIONS: &[AzureRegion] = &[
    region!("eastus", "East US", "US", "Virginia", "37.3719", "-79.8164", "westus"),
    region!("eastus2", "East US 2", "US", "Virginia", "36.6681", "-78.3889", "centralus"),
    region!("centralus", "Central US", "US", "Iowa", "41.5908", "-93.6208", "eastus2"),
    region!("northcentralus", "North Central US", "US", "Illinois", "41.8819", "-87.6278", "southcentralus"),
    region!("southcentralus", "South Central US", "US", "Texas", "29.4167", "-98.5", "northcentralus"),
    region!("westcentralus", "West Central US", "US", "Wyoming", "40.89", "-110.234", "westus2"),
    region!("westus", "West US", "US", "California", "37.783", "-122.417", "eastus"),
    region!("westus2", "West US 2", "US", "Washington", "47.233", "-119.852", "westcentralus"),
    region!("westus3", "West US 3", "US", "Phoenix", "33.448376", "-112.074036", "eastus"),
    region!("canadacentral", "Canada Central", "Canada", "Toronto", "43.653", "-79.383", "canadaeast"),
    region!("canadaeast", "Canada East", "Canada", "Quebec", "46.817", "-71.217", "canadacentral"),
    region!("mexicocentral", "Mexico Central", "Mexico", "Querétaro State", "20.588818", "-100.389888", ""),
    region!("brazilsouth", "Brazil South", "South America", "Sao Paulo State", "-23.55", "-46.633", "southcentralus"),
    region!("northeurope", "North Europe", "Europe", "Ireland", "53.3478", "-6.2597", "westeurope"),
    region!("westeurope", "West Europe", "Europe", "Netherlands", "52.3667", "4.9", "northeurope"),
    region!("uksouth", "UK South", "Europe", "London", "50.941", "-0.799", "ukwest"),
    region!("ukwest", "UK West", "Europe", "Cardiff", "53.427", "-3.084", "uksouth"),
    region!("francecentral", "France Central", "Europe", "Paris", "46.3772", "2.373", "francesouth"),
    region!("francesouth", "France South", "Europe", "Marseille", "43.8345", "2.1972", "francecentral"),
    region!("germanywestcentral", "Germany West Central", "Europe", "Frankfurt", "50.110924", "8.682127", "germanynorth"),
    region!("germanynorth", "Germany North", "Europe", "Berlin", "53.073635", "8.806422", "germanywestcentral"),
    region!("switzerlandnorth", "Switzerland North", "Europe", "Zurich", "47.451542", "8.564572", "switzerlandwest"),
    region!("switzerlandwest", "Switzerland West", "Europe", "Geneva", "46.204391", "6.143158", "switzerlandnorth"),
    region!("norwayeast", "Norway East", "Europe", "Norway", "59.913868", "10.752245", "norwaywest"),
    region!("norwaywest", "Norway West", "Europe", "Norway", "58.969975", "5.733107", "norwayeast"),
    region!("swedencentral", "Sweden Central", "Europe", "Gävle", "60.67488", "17.14127", "swedensouth"),
    region!("italynorth", "Italy North", "Europe", "Milan", "45.46888", "9.18109", ""),
    region!("polandcentral", "Poland Central", "Europe", "Warsaw", "52.23334", "21.01666", ""),
    region!("spaincentral", "Spain Central", "Europe", "Madrid", "40.4259", "-3.4209", ""),
    region!("eastasia", "East Asia", "Asia Pacific", "Hong Kong", "22.267", "114.188", "southeastasia"),
    region!("southeastasia", "Southeast Asia", "Asia Pacific", "Singapore", "1.283", "103.833", "eastasia"),
    region!("australiaeast", "Australia East", "Asia Pacific", "New South Wales", "-33.86", "151.2094", "australiasoutheast"),
    region!("australiasoutheast", "Australia Southeast", "Asia Pacific", "Victoria", "-37.8136", "144.9631", "australiaeast"),
    region!("australiacentral", "Australia Central", "Asia Pacific", "Canberra", "-35.3075", "149.1244", "australiacentral"),
    region!("japaneast", "Japan East", "Asia Pacific", "Tokyo, Saitama", "35.68", "139.77", "japanwest"),
    region!("japanwest", "Japan West", "Asia Pacific", "Osaka", "34.6939", "135.5022", "japaneast"),
    region!("koreacentral", "Korea Central", "Asia Pacific", "Seoul", "37.5665", "126.978", "koreasouth"),
    region!("koreasouth", "Korea South", "Asia Pacific", "Busan", "35.1796", "129.0756", "koreacentral"),
    region!("centralindia", "Central India", "Asia Pacific", "Pune", "18.5822", "73.9197", "southindia"),
    region!("southindia", "South India", "Asia Pacific", "Chennai", "12.9822", "80.1636", "centralindia"),
    region!("westindia", "West India", "Asia Pacific", "Mumbai", "19.088", "72.868", "southindia"),
    region!("jioindiawest", "Jio India West", "Asia Pacific", "Jamnagar", "22.470701", "70.05773", "jioindiacentral"),
    region!("uaenorth", "UAE North", "Middle East", "Dubai", "25.266666", "55.316666", "uaecentral"),
    region!("uaecentral", "UAE Central", "Middle East", "Abu Dhabi", "24.466667", "54.366669", "uaenorth"),
    region!("qatarcentral", "Qatar Central", "Middle East", "Doha", "25.551462", "51.439327", ""),
    region!("israelcentral", "Israel Central", "Middle East", "Israel", "31.2655698", "33.4506633", ""),
    region!("southafricanorth", "South Africa North", "Africa", "Johannesburg", "-25.73134", "28.21837", "southafricawest"),
    region!("southafricawest", "South Africa West", "Africa", "Cape Town", "-34.075691", "18.843266", "southafricanorth"),
];

/// The display name of a region: `westus2` is `West US 2`.
pub fn display(name: &str) -> String {
    let name = normalise(name);
    azure_region(&name).map_or(name, |region| region.display.to_owned())
}

/// The display names of the service's regions.
pub fn all_displayed(context: &Context) -> Vec<String> {
    context.regions().iter().map(|name| display(name)).collect()
}

/// The name of the region, if this service has it. `kind` is the resource type in the error.
///
/// # Errors
/// `LocationNotAvailableForResourceType`
pub fn check(context: &Context, kind: &str, text: &str) -> Result<String, ApiError> {
    let name = normalise(text);
    let regions = context.regions();
    if regions.iter().any(|region| normalise(region) == name) {
        return Ok(name);
    }
    Err(ApiError::bad_request(
        "LocationNotAvailableForResourceType",
        format!(
            "The provided location '{text}' is not available for resource type '{kind}'. List of available regions for the resource type is '{}'.",
            regions.join(",")
        ),
    )
    .target("location"))
}

/// The region as an entry of `/subscriptions/{s}/locations`.
pub fn body(subscription: &str, name: &str) -> Value {
    let id = |name: &str| format!("/subscriptions/{subscription}/locations/{name}");
    let name = normalise(name);
    let mut metadata = json!({ "regionType": "Physical", "regionCategory": "Recommended" });
    let display = display(&name);
    let mut regional = display.clone();
    if let Some(region) = azure_region(&name) {
        metadata["geographyGroup"] = json!(region.geography);
        metadata["longitude"] = json!(region.longitude);
        metadata["latitude"] = json!(region.latitude);
        metadata["physicalLocation"] = json!(region.place);
        metadata["pairedRegion"] = match region.paired {
            "" => json!([]),
            paired => json!([{ "name": paired, "id": id(paired) }]),
        };
        regional = format!("({}) {display}", region.geography);
    } else {
        metadata["geographyGroup"] = json!("Other");
        metadata["physicalLocation"] = json!(name);
        metadata["longitude"] = json!("0");
        metadata["latitude"] = json!("0");
        metadata["pairedRegion"] = json!([]);
    }
    json!({
        "id": id(&name),
        "name": name,
        "type": "Region",
        "displayName": display,
        "regionalDisplayName": regional,
        "metadata": metadata,
    })
}

fn azure_region(name: &str) -> Option<&'static AzureRegion> {
    AZURE_REGIONS.iter().find(|region| region.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_display_name_is_the_name() {
        for region in AZURE_REGIONS {
            assert_eq!(normalise(region.display), region.name);
        }
    }

    #[test]
    fn custom_region_is_displayed_by_its_name() {
        assert_eq!(display("lab1"), "lab1");
        let body = body("S", "lab1");
        assert_eq!(body["id"], "/subscriptions/S/locations/lab1");
        assert_eq!(body["regionalDisplayName"], "lab1");
        assert!(body["metadata"]["pairedRegion"].is_array());
    }

    #[test]
    fn azure_region_has_its_metadata() {
        let body = body("S", "westus2");
        assert_eq!(body["displayName"], "West US 2");
        assert_eq!(body["regionalDisplayName"], "(US) West US 2");
        assert_eq!(body["metadata"]["pairedRegion"][0]["name"], "westcentralus");
    }
}
