//! Identities in the build machine: a script gets a token from the same address as in Azure, and calls
//! the service with it, also on a machine that resumed from a saved RAM.

use e2e::{Lab, Service, fresh, text};
use serde_json::{Value, json};

/// The GUID of Reader.
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// Requests a token like the SDKs, reads the resource group as the identity, and tries what it has no right to.
fn asking(service: &Service) -> String {
    let url = text(&service.ready()["url"]);
    let port = url.rsplit(':').next().unwrap();
    let group = service.id("");
    let subscription = group.split("/resourceGroups").next().unwrap();
    format!(
        r#"cat > /tmp/ask.py <<'PY'
import json, ssl, urllib.error, urllib.request
IMDS = "http://169.254.169.254/metadata"
TOKEN = IMDS + "/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
def get(url, data=None, method="GET", **headers):
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    context = ssl._create_unverified_context()
    return json.load(urllib.request.urlopen(request, context=context, timeout=60))
token = get(TOKEN, Metadata="true")
bearer = "Bearer " + token["access_token"]
group = get("https://10.0.2.2:{port}{group}?api-version=2022-12-01", Authorization=bearer)
def refused(what, url, **more):
    try:
        get(url, Authorization=bearer, **more)
        print(what, "was permitted")
    except urllib.error.HTTPError as error:
        print(what, error.code, json.load(error)["error"]["code"])
ARM = "https://10.0.2.2:{port}"
refused("write:", f"{{ARM}}{group}?api-version=2022-12-01", method="PUT",
    data=b'{{"location": "westus2"}}', **{{"Content-Type": "application/json"}})
refused("elsewhere:", f"{{ARM}}{subscription}/resourcegroups/other?api-version=2022-12-01")
compute = get(IMDS + "/instance?api-version=2021-02-01", Metadata="true")["compute"]
print("I am", token["client_id"], "in", group["name"], "on", compute["vmSize"])
try:
    get(TOKEN + "&client_id=another", Metadata="true")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error_description"])
PY
python3 /tmp/ask.py"#
    )
}

fn put(service: &Service, name: &str, identity: &str, customize: &Value) {
    let compute = service.id("/providers/Microsoft.Compute");
    let builder = service.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let body = json!({
        "location": "westus2",
        "tags": { "goldsmith.cache": "steps" },
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { builder: {} } },
        "properties": {
            "vmProfile": {
                "vmSize": "Standard_B2ts_v2", "userAssignedIdentities": [identity],
            },
            "source": {
                "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
                "sku": "12-gen2", "version": "latest",
            },
            "customize": customize,
            "distribute": [{
                "type": "ManagedImage", "runOutputName": "image", "location": "westus2",
                "imageId": format!("{compute}/images/{name}"),
            }],
        },
    });
    service.put(&service.template_id(name), &body);
}

// conformance: 106
#[test]
fn script_gets_a_token_of_its_identity_and_calls_the_service() {
    let service = Service::start(Lab::new());
    let identity = service.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app");
    let resource = service.put(&identity, &json!({ "location": "westus2" }));
    let client = text(&resource["properties"]["clientId"]);
    // Exactly what its script uses.
    service.assign(&text(&resource["properties"]["principalId"]), READER, &service.id(""));
    let ask = json!({ "type": "Shell", "name": "ask", "inline": [fresh(), asking(&service)] });
    let answer = format!("I am {client} in forge on Standard_B2ts_v2");

    let gone = json!({ "type": "Shell", "name": "last", "inline": ["echo last"] });
    put(&service, "asks", &identity, &json!([ask, gone]));
    let run = service.run(&["run", "start", "forge/asks"]).ok();
    assert!(run.stdout.contains(&answer), "{answer} in {}", run.stdout);
    assert!(run.stdout.contains("400 Identity not found"), "{}", run.stdout);
    for refused in ["write: 403 AuthorizationFailed", "elsewhere: 403 AuthorizationFailed"] {
        assert!(run.stdout.contains(refused), "{refused} in {}", run.stdout);
    }

    // The saved RAM contains a metadata service whose host side has gone.
    let again = json!({ "type": "Shell", "name": "again", "inline": ["python3 /tmp/ask.py"] });
    put(&service, "again", &identity, &json!([ask, again]));
    let run = service.run(&["run", "start", "forge/again"]).ok();
    let steps = run.steps();
    let how = |name: &str| steps.iter().find(|(step, _)| step == name).map(|(_, how)| how.clone());
    assert_eq!(how("customize[0]").as_deref(), Some("cached"), "{}", run.stdout);
    assert_eq!(how("customize[1]").as_deref(), Some("done"), "{}", run.stdout);
    assert!(run.stdout.contains(&answer), "{answer} in {}", run.stdout);
    service.lab().assert_clean();
}
