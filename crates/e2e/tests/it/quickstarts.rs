//! Templates in the form of Azure's quick starts, through the service, on real machines: placeholders
//! filled in, what they fetch served from loopback, and otherwise as people have them.

use std::fs;

use e2e::{Lab, Service, Web, text};
use serde_json::{Value, json};

const FIRST: &str = "#!/bin/sh -e\nsudo mkdir -p /quick\necho first | sudo tee /quick/first\n";
const SECOND: &str = "#!/bin/sh -e\necho second | sudo tee /quick/second\n";
const PAGE: &str = "<h1>golden</h1>\n";
const CATALOGUE: &str = include_str!("../../testdata/quickstarts/catalogue.toml");

struct Quick {
    service: Service,
    web: Web,
}

impl Quick {
    fn start() -> Self {
        let lab = Lab::new();
        fs::create_dir_all(lab.data()).unwrap();
        fs::write(lab.data().join("catalogue.toml"), CATALOGUE).unwrap();
        let places = "[[region]]\nname = \"westus2\"\nplace = \"copies/westus2\"\n\
                      [[region]]\nname = \"eastus\"\nplace = \"copies/eastus\"\n";
        fs::write(lab.data().join("goldsmith.toml"), places).unwrap();
        let files = [("first.sh", FIRST), ("second.sh", SECOND), ("index.html", PAGE)];
        let web = Web::start(&files);
        Self { service: Service::start(lab), web }
    }

    /// The file with its placeholders filled in.
    fn template(&self, file: &str, own: &[(&str, &str)]) -> Value {
        let path = format!("{}/testdata/quickstarts/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let mut filled = fs::read_to_string(path).unwrap();
        let identity =
            self.service.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
        let group = self.service.id("");
        let sums = ["first.sh", "second.sh", "index.html"]
            .map(|name| (format!("<sha256 of {name}>"), self.web.sha256(name)));
        let common = [
            ("<identity>", identity.as_str()),
            ("<group>", group.as_str()),
            ("<region1>", "westus2"),
            ("<region2>", "eastus"),
            ("<web>", self.web.url()),
            ("<output>", file),
        ];
        let sums = sums.iter().map(|(name, sum)| (name.as_str(), sum.as_str()));
        for (placeholder, value) in common.into_iter().chain(sums).chain(own.iter().copied()) {
            filled = filled.replace(placeholder, value);
        }
        assert!(!filled.contains('<'), "a placeholder is left in {filled}");
        serde_json::from_str(&filled).unwrap()
    }

    /// Makes the template, runs it to its end and returns what its output names.
    fn forge(&self, name: &str, template: &Value) -> String {
        let id = self.service.template_id(name);
        self.service.put(&id, template);
        let done = self.service.run(&["run", "start", &format!("forge/{name}")]).ok();
        let status = self.service.get(&id)["properties"]["lastRunStatus"].clone();
        assert_eq!(status["runState"], "Succeeded", "{status}\n{}", done.stdout);
        let outputs = self.service.get(&format!("{id}/runOutputs"))["value"].clone();
        text(&outputs[0]["properties"]["artifactId"])
    }

    fn definition(&self, name: &str, generation: &str) {
        let gallery = self.service.id("/providers/Microsoft.Compute/galleries/quick");
        self.service.put(&gallery, &json!({ "location": "westus2", "properties": {} }));
        let body = json!({
            "location": "westus2",
            "properties": {
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": generation,
                "identifier": { "publisher": "quick", "offer": name, "sku": "1" },
            },
        });
        self.service.put(&format!("{gallery}/images/{name}"), &body);
    }
}

// conformance: 134
#[test]
fn the_quick_starts_build() {
    let quick = Quick::start();
    quick.definition("gen2", "V2");
    quick.definition("child", "V2");
    quick.definition("gen1", "V1");

    let image = quick.forge("image", &quick.template("01-managed-image", &[]));
    let image = quick.service.get(&image);
    assert_eq!(image["properties"]["hyperVGeneration"], "V1", "{image}");
    assert_eq!(image["properties"]["storageProfile"]["osDisk"]["diskSizeGB"], 30, "{image}");
    assert_eq!(image["tags"]["baseosimg"], "ubuntu1804", "{image}");
    let of_image = quick.forge(
        "of-image",
        &quick.template("09-gallery-from-managed-image", &[("<definition>", "gen1")]),
    );
    replicated(&quick.service.get(&of_image));

    let version =
        quick.forge("gallery", &quick.template("03-gallery", &[("<definition>", "gen2")]));
    replicated(&quick.service.get(&version));
    let own = [("<definition>", "child"), ("<version of 03>", version.as_str())];
    let of_gallery = quick.forge("of-gallery", &quick.template("07-gallery-from-gallery", &own));
    replicated(&quick.service.get(&of_gallery));

    let own = [("<definition>", "gen1")];
    let triggered = quick.forge("triggered", &quick.template("12-with-trigger", &own));
    replicated(&quick.service.get(&triggered));
    let trigger = format!("{}/triggers/source", quick.service.template_id("triggered"));
    let trigger = quick.service.put(&trigger, &quick.template("13-trigger", &[]));
    assert_eq!(trigger["properties"]["status"]["code"], "Healthy", "{trigger}");
    quick.service.lab().assert_clean();
}

/// In both regions, as the template asks.
fn replicated(version: &Value) {
    let regions = version["properties"]["publishingProfile"]["targetRegions"].as_array().cloned();
    let mut names: Vec<_> = regions.iter().flatten().map(|region| text(&region["name"])).collect();
    names.sort();
    assert_eq!(names, ["East US", "West US 2"], "{version}");
    assert_eq!(version["properties"]["provisioningState"], "Succeeded", "{version}");
}
