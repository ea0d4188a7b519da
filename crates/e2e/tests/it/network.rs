//! A build in a subnet: on a real bridge, with a server that only this network reaches.

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    Done, InImage, Lab, Running, Subnet, fresh, running_machines, skip_without_root,
    subnet::{BRIDGE, HOST, PAGE},
    template, text, wait_for,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const SUBNET: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/build";
/// The host's address on the channel.
const GATEWAY: &str = "192.0.2.2";

fn in_subnet(customize: &Value) -> String {
    let mut template: Value = serde_json::from_str(&template(customize)).unwrap();
    template["properties"]["vmProfile"]["vnetConfig"] = json!({ "subnetId": SUBNET });
    template.to_string()
}

fn run_inside(lab: &Lab, subnet: &Subnet, arguments: &[&str]) -> Done {
    Running::start(subnet.inside(&lab.command(arguments))).end()
}

fn printed(done: &Done) -> Vec<String> {
    let output = done.events().into_iter().filter(|event| event["kind"] == "stepOutput");
    output.map(|event| text(&event["text"])).collect()
}

/// Builds the source image outside, because its packages are not reachable in the subnet.
fn have_source(lab: &Lab) {
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "exit 7"] }]);
    let file = lab.write("outside.json", template(&customize));
    let file = file.to_str().unwrap();
    if lab.run(&["plan", file]).ok().event("plan")["sourcePresent"] != true {
        assert_eq!(lab.run(&["build", file]).code, 5, "the customizer fails");
    }
}

#[test]
fn build_in_a_subnet_reaches_only_that_network() {
    let subnet = match Subnet::new() {
        Ok(subnet) => subnet,
        Err(why) => return skip_without_root(&why),
    };
    let lab = Lab::new();
    have_source(&lab);
    subnet_without_existing_bridge_is_rejected(&lab, &subnet);
    next_command_removes_the_tap_of_a_killed_build(&lab, &subnet);
    machine_is_on_the_subnet_and_its_channel_is_isolated(&lab, &subnet);
    machine_without_subnet_cannot_reach_the_server(&lab, &subnet);
}

fn subnet_without_existing_bridge_is_rejected(lab: &Lab, subnet: &Subnet) {
    let file = lab.write("bound.json", in_subnet(&json!([])));
    let refused = lab.run(&["build", file.to_str().unwrap()]);
    let error = refused.event("error");
    assert_eq!((refused.code, text(&error["code"]).as_str()), (3, "ValidationFailed"), "{error}");
    assert_eq!(error["target"], "properties.vmProfile.vnetConfig.subnetId");
    assert!(text(&error["hint"]).contains(&format!("id = \"{SUBNET}\"")), "{error}");

    let lines = format!("[[subnet]]\nid = \"{SUBNET}\"\nbridge = \"{BRIDGE}\"\n");
    std::fs::create_dir_all(lab.data()).unwrap();
    std::fs::write(lab.data().join("goldsmith.toml"), lines).unwrap();
    // The bridge does not exist outside the namespace.
    let refused = lab.run(&["build", file.to_str().unwrap()]);
    let error = refused.event("error");
    assert_eq!((refused.code, text(&error["code"]).as_str()), (4, "HostNotReady"), "{error}");
    assert!(text(&error["message"]).contains(BRIDGE), "{error}");
    let finding = |doctor: Value| {
        let findings = doctor["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["what"] == "subnet").unwrap()
    };
    assert_eq!(finding(lab.run(&["doctor"]).event("doctor"))["ok"], false);
    let inside = finding(run_inside(lab, subnet, &["doctor"]).event("doctor"));
    assert_eq!(inside["ok"], true, "{inside}");
}

fn next_command_removes_the_tap_of_a_killed_build(lab: &Lab, subnet: &Subnet) {
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "echo asleep", "sleep 600"] }]);
    let file = lab.write("sleeper.json", in_subnet(&customize));
    let command = lab.command(&["build", file.to_str().unwrap()]);
    let mut running = Running::start(subnet.inside(&command));
    running.wait_for_output("asleep");
    // The node of the first boot appears during the first step, once it is hashed and synced.
    let nodes = lab.cache().join("nodes");
    let unfinished = || {
        let names = std::fs::read_dir(&nodes).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.as_encoded_bytes().starts_with(b".new-")).count()
    };
    wait_for("the node of the first boot", Duration::from_secs(120), || unfinished() == 1);
    assert_eq!(subnet.taps().len(), 1);
    running.signal(Signal::KILL);
    running.end_within(Duration::from_secs(10));
    assert_eq!(subnet.taps().len(), 1, "the killed build could not remove its tap");
    assert_eq!(running_machines(lab.cache()).len(), 1);

    run_inside(lab, subnet, &["cache", "ls"]).ok();
    assert_eq!(subnet.taps(), Vec::<String>::new());
    lab.assert_clean();
}

/// The machine resumes from the node that the killed build booted.
fn machine_is_on_the_subnet_and_its_channel_is_isolated(lab: &Lab, subnet: &Subnet) {
    let nowhere = |url: &str| format!("if curl -sS -m 5 {url}; then exit 9; fi");
    let customize = json!([{ "type": "Shell", "name": "reach", "inline": [
        fresh(),
        format!("curl -sS -f -m 30 {PAGE}"),
        "echo default $(ip -4 route show default | cut -d ' ' -f 2-3)",
        "echo servers $(grep ^nameserver /run/systemd/resolve/resolv.conf)",
        nowhere(&format!("http://{GATEWAY}:9999/")),
        // Also with a route that the guest adds.
        format!("sudo ip route add {HOST} via {GATEWAY}"),
        nowhere(&format!("http://{HOST}:9999/")),
        format!("sudo ip route del {HOST}"),
        "echo the channel is isolated",
    ]}]);
    let mut template: Value = serde_json::from_str(&in_subnet(&customize)).unwrap();
    // The validation machine is on the same network.
    let looks = ["echo \"validated: $(curl -sS -f -m 30 $PAGE)\"".replace("$PAGE", PAGE)];
    template["properties"]["validate"] =
        json!({ "inVMValidations": [{ "type": "Shell", "inline": looks }] });
    let file = lab.write("reach.json", template.to_string());
    let arguments = ["build", file.to_str().unwrap(), "--export", "qcow2=out.qcow2"];
    let built = run_inside(lab, subnet, &arguments).ok();
    assert!(built.steps().contains(&("boot".to_owned(), "cached".to_owned())));
    let printed = printed(&built);
    for line in [
        "only the subnet sees this",
        "validated: only the subnet sees this",
        "default via 10.77.0.1",
        "servers nameserver 10.77.0.1",
        "the channel is isolated",
    ] {
        assert!(printed.iter().any(|text| text == line), "{line} in {printed:?}");
    }
    assert_eq!(subnet.taps(), Vec::<String>::new());
    lab.assert_clean();

    let addresses: BTreeSet<String> = subnet.leases().into_iter().collect();
    assert_eq!(addresses.len(), 1, "one machine, before and after: {addresses:?}");
    let address = addresses.first().unwrap();
    assert!(address.starts_with("02:67:"), "{address}");
    let image = InImage::open(&lab.path().join("out.qcow2"), "qcow2");
    assert!(image.list("/etc/systemd/network").contains(&"90-dhcp.network".to_owned()));
    for folder in ["/etc/systemd/network", "/etc/udev/rules.d", "/etc/network", "/etc/netplan"] {
        for name in image.list(folder) {
            assert!(!name.contains("cloud-init"), "{folder}/{name}");
            let settings = image.read(&format!("{folder}/{name}"));
            assert!(!settings.contains("02:67:"), "{folder}/{name}: {settings}");
        }
    }
}

/// Without a subnet, a machine in the same namespace reaches the host but not the server.
fn machine_without_subnet_cannot_reach_the_server(lab: &Lab, subnet: &Subnet) {
    let customize = json!([{ "type": "Shell", "inline": [
        fresh(),
        format!("curl -sS -f -m 30 http://{HOST}:9999/"),
        "if curl -sS -m 10 http://10.77.0.1:8000/; then exit 9; fi",
        "echo out of reach",
        "exit 7",
    ]}]);
    let file = lab.write("without.json", template(&customize));
    let done = run_inside(lab, subnet, &["build", file.to_str().unwrap()]);
    let printed = printed(&done);
    for line in ["the host's own", "out of reach"] {
        assert!(printed.iter().any(|text| text == line), "{line} in {printed:?}");
    }
    assert_eq!(done.event("error")["code"], "CustomizerFailed");
    lab.assert_clean();
}
