//! Templates in the form of Azure's quick starts on real machines. Only the placeholders are filled in,
//! and loopback serves the files.

use std::fs;

use e2e::{Lab, Running, Service, Subnet, Web, skip_without_root, subnet::BRIDGE, text};
use serde_json::{Value, json};

const FIRST: &str = "#!/bin/sh -e\nsudo mkdir -p /quick\necho first | sudo tee /quick/first\n";
const SECOND: &str = "#!/bin/sh -e\necho second | sudo tee /quick/second\n";
const PAGE: &str = "<h1>golden</h1>\n";
const CATALOGUE: &str = include_str!("../../testdata/quickstarts/catalogue.toml");

const FILES: [(&str, &str); 3] = [("first.sh", FIRST), ("second.sh", SECOND), ("index.html", PAGE)];

/// A lab with the quick starts' catalogue and this configuration.
fn lab(config: &str) -> Lab {
    let lab = Lab::new();
    fs::create_dir_all(lab.data()).unwrap();
    fs::write(lab.data().join("catalogue.toml"), CATALOGUE).unwrap();
    fs::write(lab.data().join("goldsmith.toml"), config).unwrap();
    lab
}

/// The file with its placeholders filled in.
fn filled(file: &str, web: &Web, group: &str, extra: &[(&str, &str)]) -> String {
    let path = format!("{}/testdata/quickstarts/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let mut filled = fs::read_to_string(path).unwrap();
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let sums = FILES.map(|(name, _)| (format!("<sha256 of {name}>"), web.sha256(name)));
    let common = [
        ("<identity>", identity.as_str()),
        ("<group>", group),
        ("<region1>", "westus2"),
        ("<region2>", "eastus"),
        ("<web>", web.url()),
        ("<output>", file),
    ];
    let sums = sums.iter().map(|(name, sum)| (name.as_str(), sum.as_str()));
    for (placeholder, value) in common.into_iter().chain(sums).chain(extra.iter().copied()) {
        filled = filled.replace(placeholder, value);
    }
    assert!(!filled.contains('<'), "a placeholder remains in {filled}");
    filled
}

struct Quick {
    service: Service,
    web: Web,
}

impl Quick {
    fn start() -> Self {
        let places = "[[region]]\nname = \"westus2\"\nplace = \"copies-westus2\"\n\
                      [[region]]\nname = \"eastus\"\nplace = \"copies-eastus\"\n";
        Self { service: Service::start(lab(places)), web: Web::start(&FILES) }
    }

    fn template(&self, file: &str, extra: &[(&str, &str)]) -> Value {
        serde_json::from_str(&filled(file, &self.web, &self.service.id(""), extra)).unwrap()
    }

    /// Creates the template, runs it, and returns the id or URI of its artifact.
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
fn quick_starts_with_images_and_galleries_build() {
    let quick = Quick::start();
    quick.definition("gen1", "V1");
    quick.definition("gen2", "V2");
    quick.definition("child", "V2");

    let image = quick.forge("image", &quick.template("01-managed-image", &[]));
    let image = quick.service.get(&image);
    assert_eq!(image["properties"]["hyperVGeneration"], "V1", "{image}");
    assert_eq!(image["properties"]["storageProfile"]["osDisk"]["diskSizeGB"], 30, "{image}");
    assert_eq!(image["tags"]["baseosimg"], "ubuntu1804", "{image}");
    let own = [("<definition>", "gen1")];
    let of_image = quick.template("09-gallery-from-managed-image", &own);
    replicated(&quick.service.get(&quick.forge("of-image", &of_image)));

    let gallery = quick.template("03-gallery", &[("<definition>", "gen2")]);
    let version = quick.forge("gallery", &gallery);
    replicated(&quick.service.get(&version));
    let own = [("<definition>", "child"), ("<version of 03>", version.as_str())];
    let of_gallery = quick.template("07-gallery-from-gallery", &own);
    replicated(&quick.service.get(&quick.forge("of-gallery", &of_gallery)));
    quick.service.lab().assert_clean();
}

// conformance: 134
#[test]
fn quick_start_with_a_trigger_builds_and_is_watched() {
    let quick = Quick::start();
    quick.definition("gen1", "V1");
    let template = quick.template("12-with-trigger", &[("<definition>", "gen1")]);
    replicated(&quick.service.get(&quick.forge("triggered", &template)));
    let trigger = format!("{}/triggers/source", quick.service.template_id("triggered"));
    let trigger = quick.service.put(&trigger, &quick.template("13-trigger", &[]));
    assert_eq!(trigger["properties"]["status"]["code"], "Healthy", "{trigger}");
    quick.service.lab().assert_clean();
}

// conformance: 134
#[test]
fn quick_start_in_a_subnet_builds() {
    let subnet = match Subnet::new() {
        Ok(subnet) => subnet,
        Err(why) => return skip_without_root(&why),
    };
    let group = "/subscriptions/s/resourceGroups/g";
    let id = format!("{group}/providers/Microsoft.Network/virtualNetworks/quick/subnets/build");
    let lab = lab(&format!("[[subnet]]\nid = \"{id}\"\nbridge = \"{BRIDGE}\"\n"));
    // The source is built outside, because its packages are not reachable in the subnet.
    let web = Web::start(&FILES);
    let outside = lab.write("outside.json", filled("01-managed-image", &web, group, &[]));
    lab.run(&["build", outside.to_str().unwrap()]).ok();

    let web = Web::on(subnet.listener(), &FILES);
    let inside = lab.write("inside.json", filled("05-existing-subnet", &web, group, &[]));
    // Without the cache, in case an earlier run has built the same.
    let command = lab.command(&["build", "--no-cache", inside.to_str().unwrap()]);
    let built = Running::start(subnet.inside(&command)).end().ok().event("result");
    assert!(text(&built["outputs"][0]["artifactId"]).ends_with("/images/quick"), "{built}");
    assert_eq!(subnet.leases().len(), 1, "the subnet assigned its address");
    lab.assert_clean();
}

/// Asserts copies in both regions of the template.
fn replicated(version: &Value) {
    let regions = version["properties"]["publishingProfile"]["targetRegions"].as_array().cloned();
    let mut names: Vec<_> = regions.iter().flatten().map(|region| text(&region["name"])).collect();
    names.sort();
    assert_eq!(names, ["East US", "West US 2"], "{version}");
    assert_eq!(version["properties"]["provisioningState"], "Succeeded", "{version}");
}
