//! The machine of a run, as Azure would show it: virtual machine, disks, network interface, security
//! group and virtual network in the staging group. The worker writes them from the engine's events;
//! clients read them.

use arm::{Actions, ApiError, Call, Reply, ResourceType, rows};
use async_trait::async_trait;
use db::{Resource, ResourceKey};
use engine::{OsType, vm_size};
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{App, read_only::RUN};

use super::image_builder::{
    record::{RunInput, TemplateRecord},
    staging,
};

/// A machine that a run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Distinguishes the machines of a run.
    pub number: u32,
    /// The system of its guest.
    pub os: OsType,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// 1 boots by BIOS, 2 by UEFI.
    pub generation: u8,
    /// Sizes in bytes, the OS disk first.
    pub disks: Vec<u64>,
}

/// Hidden beside it: which machine of the run.
pub const NUMBER: &str = "machine";

const VM_ACTIONS: Actions = arm::actions!("Microsoft.Compute/virtualMachines");
const VM: &str = VM_ACTIONS.kind;
const DISK_ACTIONS: Actions = arm::actions!("Microsoft.Compute/disks");
const DISK: &str = DISK_ACTIONS.kind;
const NIC_ACTIONS: Actions = arm::actions!("Microsoft.Network/networkInterfaces");
const NIC: &str = NIC_ACTIONS.kind;
const NSG_ACTIONS: Actions = arm::actions!("Microsoft.Network/networkSecurityGroups");
const NSG: &str = NSG_ACTIONS.kind;
const VNET: &str = "Microsoft.Network/virtualNetworks";
const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";

/// Every kind of row that a machine has.
pub const KINDS: &[&str] = &[VM, DISK, NIC, NSG, VNET, SUBNET];

const GIB: u64 = 1 << 30;

/// The private network that QEMU gives a machine of its own: nothing leads in but the port of a service that
/// takes commands, from this host.
const NETWORK: &str = "10.0.2.0/24";
const ADDRESS: &str = "10.0.2.15";

/// A type whose resources are there because a run holds a machine.
#[derive(Debug)]
pub(crate) struct OfMachine {
    actions: &'static Actions,
    versions: &'static [&'static str],
}

pub(crate) const VIRTUAL_MACHINE: OfMachine = OfMachine {
    actions: &VM_ACTIONS,
    versions: &["2025-04-01", "2024-11-01", "2024-07-01", "2023-03-01", "2020-06-01"],
};
pub(crate) const MANAGED_DISK: OfMachine = OfMachine {
    actions: &DISK_ACTIONS,
    versions: &["2024-03-02", "2023-04-02", "2022-03-02", "2020-06-30"],
};
pub(crate) const NETWORK_INTERFACE: OfMachine = OfMachine {
    actions: &NIC_ACTIONS,
    versions: &["2025-07-01", "2024-07-01", "2022-01-01", "2020-07-01"],
};
pub(crate) const SECURITY_GROUP: OfMachine = OfMachine {
    actions: &NSG_ACTIONS,
    versions: &["2025-07-01", "2024-07-01", "2022-01-01", "2020-07-01"],
};

#[async_trait]
impl ResourceType<App> for OfMachine {
    fn actions(&self) -> &'static Actions {
        self.actions
    }

    fn api_versions(&self) -> &'static [&'static str] {
        self.versions
    }

    fn read_only(&self) -> Option<&'static str> {
        Some("resources of this type are the machines of active runs")
    }

    /// Refused like a deletion of anything that a run holds: the error names the run.
    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        rows::delete(app.context(), call, key).await
    }

    fn view(&self, _app: &App, call: &Call, resource: &Resource) -> Value {
        let mut body = rows::view(self.name(), resource);
        let expand = call.query.get("$expand").map(|text| text.to_lowercase());
        if self.name() == VM && expand.is_some_and(|text| text.contains("instanceview")) {
            body["properties"]["instanceView"] = json!({ "statuses": [
                status("ProvisioningState/succeeded", "Provisioning succeeded"),
                // What does not run is not shown.
                status("PowerState/running", "VM running"),
            ] });
        }
        body
    }
}

fn status(code: &str, text: &str) -> Value {
    json!({ "code": code, "level": "Info", "displayStatus": text })
}

/// A machine, and the run that holds it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The run's id.
    pub run_id: &'a str,
    /// What it builds.
    pub input: &'a RunInput,
    /// Its template.
    pub template: &'a TemplateRecord,
    /// The staging group.
    pub group: &'a Resource,
    /// One of its machines.
    pub machine: &'a Machine,
}

impl Shown<'_> {
    /// All rows that show the machine.
    pub fn resources(&self) -> Vec<Resource> {
        let mut all = vec![self.vm(), self.nic()];
        all.extend((0..self.machine.disks.len()).map(|index| self.disk(index)));
        if self.input.subnet_id.is_none() {
            all.extend([self.nsg(), self.vnet(), self.subnet()]);
        }
        all
    }

    /// The id of a resource whose name has a prefix of its kind.
    fn named(&self, kind: &str, prefix: &str) -> String {
        self.id(kind, &format!("{prefix}{}", self.tail()))
    }

    /// The suffix of every name.
    fn tail(&self) -> String {
        let tail: String =
            self.run_id.chars().filter(char::is_ascii_alphanumeric).skip(22).collect();
        match self.machine.number {
            1 => tail,
            number => format!("{tail}-{number}"),
        }
    }

    fn id(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/{kind}/{name}", self.group.id)
    }

    fn disk_name(&self, index: usize) -> String {
        match index {
            0 => format!("pkros{}", self.tail()),
            index => format!("pkrdd{}-{}", self.tail(), index - 1),
        }
    }

    fn subnet_id(&self) -> String {
        let own = || format!("{}/subnets/default", self.named(VNET, "pkrvn"));
        self.input.subnet_id.clone().unwrap_or_else(own)
    }

    fn row(&self, kind: &str, id: String, mut body: Value) -> Resource {
        body["properties"]["provisioningState"] = json!("Succeeded");
        let hidden = json!({ RUN: self.run_id, NUMBER: self.machine.number });
        Resource::new(id, kind, body, hidden)
    }

    /// A body with place and tags.
    fn body(&self, properties: Value) -> Value {
        json!({
            "location": self.template.location(),
            "tags": staging::tags(self.template),
            "properties": properties,
        })
    }

    fn vm(&self) -> Resource {
        let profile = self.input.template.properties.vm_profile.as_ref();
        let size = profile.and_then(|profile| profile.vm_size.as_deref()).unwrap_or_default();
        let default = match self.machine.generation {
            1 => vm_size::DEFAULT_GEN1,
            _ => vm_size::DEFAULT_GEN2,
        };
        let data = self.machine.disks.iter().enumerate().skip(1).map(|(index, bytes)| {
            let name = self.disk_name(index);
            json!({
                "lun": index - 1,
                "name": name,
                "createOption": "Attach",
                "caching": "None",
                "diskSizeGB": bytes.div_ceil(GIB),
                "managedDisk": { "id": self.id(DISK, &name) },
                "deleteOption": "Delete",
            })
        });
        let os = self.disk_name(0);
        let properties = json!({
            "hardwareProfile": {
                "vmSize": if size.is_empty() { default } else { size },
                "vmSizeProperties": { "vCPUsAvailable": self.machine.vcpus },
            },
            "storageProfile": {
                "osDisk": {
                    "osType": self.machine.os,
                    "name": os,
                    "createOption": "FromImage",
                    "caching": "ReadWrite",
                    "diskSizeGB": self.machine.disks.first().map(|bytes| bytes.div_ceil(GIB)),
                    "managedDisk": { "id": self.id(DISK, &os) },
                    "deleteOption": "Delete",
                },
                "dataDisks": data.collect::<Vec<_>>(),
            },
            "networkProfile": { "networkInterfaces": [{
                "id": self.named(NIC, "pkrni"),
                "properties": { "primary": true, "deleteOption": "Delete" },
            }] },
            "timeCreated": Timestamp::now().to_string(),
        });
        self.row(VM, self.named(VM, "pkrvm"), self.body(properties))
    }

    fn disk(&self, index: usize) -> Resource {
        let bytes = self.machine.disks[index];
        let mut properties = json!({
            "creationData": { "createOption": if index == 0 { "FromImage" } else { "Empty" } },
            "diskSizeGB": bytes.div_ceil(GIB),
            "diskSizeBytes": bytes,
            "diskState": "Attached",
            "timeCreated": Timestamp::now().to_string(),
        });
        if index == 0 {
            properties["osType"] = json!(self.machine.os);
            properties["hyperVGeneration"] = json!(format!("V{}", self.machine.generation));
        }
        let mut body = self.body(properties);
        body["managedBy"] = json!(self.named(VM, "pkrvm"));
        body["sku"] = json!({ "name": "Standard_LRS", "tier": "Standard" });
        self.row(DISK, self.id(DISK, &self.disk_name(index)), body)
    }

    fn nic(&self) -> Resource {
        let id = self.named(NIC, "pkrni");
        let mut address = json!({
            "primary": true,
            "privateIPAllocationMethod": "Dynamic",
            "privateIPAddressVersion": "IPv4",
            "subnet": { "id": self.subnet_id() },
            "provisioningState": "Succeeded",
        });
        let mut properties = json!({
            "primary": true,
            "enableIPForwarding": false,
            "virtualMachine": { "id": self.named(VM, "pkrvm") },
        });
        if self.input.subnet_id.is_none() {
            address["privateIPAddress"] = json!(ADDRESS);
            let nsg = self.named(NSG, "pkrsg");
            properties["networkSecurityGroup"] = json!({ "id": nsg });
        }
        properties["ipConfigurations"] = json!([{
            "name": "ipconfig", "id": format!("{id}/ipConfigurations/ipconfig"),
            "properties": address,
        }]);
        self.row(NIC, id, self.body(properties))
    }

    fn nsg(&self) -> Resource {
        let id = self.named(NSG, "pkrsg");
        let (name, ports): (_, &[&str]) = match self.machine.os {
            OsType::Linux => ("SshFromHost", &["22"]),
            OsType::Windows => ("WinRmOrSshFromHost", &["5986", "5985", "22"]),
        };
        let mut rule = json!({
            "name": name,
            "id": format!("{id}/securityRules/{name}"),
            "properties": {
                "description": "A forwarded port of the host's loopback; nothing else leads in.",
                "protocol": "Tcp",
                "access": "Allow",
                "direction": "Inbound",
                "priority": 100,
                "sourceAddressPrefix": "127.0.0.1/32",
                "sourcePortRange": "*",
                "destinationAddressPrefix": ADDRESS,
                "provisioningState": "Succeeded",
            },
        });
        match ports {
            [port] => rule["properties"]["destinationPortRange"] = json!(port),
            ports => rule["properties"]["destinationPortRanges"] = json!(ports),
        }
        let nic = self.named(NIC, "pkrni");
        let properties = json!({
            "securityRules": [rule],
            "defaultSecurityRules": [],
            "networkInterfaces": [{ "id": nic }],
        });
        self.row(NSG, id, self.body(properties))
    }

    fn vnet(&self) -> Resource {
        let subnet = self.subnet();
        let entry = json!({
            "name": subnet.name, "id": subnet.id, "type": SUBNET,
            "properties": subnet.body["properties"],
        });
        let properties = json!({
            "addressSpace": { "addressPrefixes": [NETWORK] },
            "subnets": [entry],
            "enableDdosProtection": false,
        });
        let id = self.named(VNET, "pkrvn");
        self.row(VNET, id, self.body(properties))
    }

    fn subnet(&self) -> Resource {
        let properties = json!({
            "addressPrefix": NETWORK,
            "delegations": [],
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Disabled",
        });
        self.row(SUBNET, self.subnet_id(), json!({ "properties": properties }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RG: &str = "/subscriptions/s/resourceGroups";

    fn shown(number: u32, profile: Value) -> Vec<Resource> {
        let tags = json!({ "managedResourceTags": { "cost": "1" } });
        let template = format!("{RG}/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/t");
        let body = json!({ "location": "westus2", "properties": tags });
        let template = TemplateRecord::of(Resource::new(template, "", body, json!({}))).unwrap();
        let input = json!({
            "location": "westus2",
            "identity": { "type": "None" },
            "properties": {
                "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s",
                    "version": "latest" },
                "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
                "vmProfile": profile,
            },
        });
        let machine = Machine {
            number,
            os: OsType::Windows,
            vcpus: 2,
            memory_mib: 4096,
            generation: 1,
            disks: vec![GIB, 1],
        };
        let shown = Shown {
            run_id: "01890a5d-ac96-774b-bcce-b302099a8057",
            input: &RunInput::parse(&input).unwrap(),
            template: &template,
            group: &Resource::new(format!("{RG}/IT"), "", json!({}), json!({})),
            machine: &machine,
        };
        shown.resources()
    }

    fn names(rows: &[Resource]) -> Vec<&str> {
        rows.iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn machine_without_a_subnet_has_its_own_disks_and_network() {
        let rows = shown(1, json!(null));
        let tail = "b302099a8057";
        let vm = format!("pkrvm{}", &tail[2..]);
        assert_eq!(rows[0].name, vm);
        assert_eq!(rows.len(), 7, "{:?}", names(&rows));
        let properties = &rows[0].body["properties"];
        assert_eq!(properties["hardwareProfile"]["vmSize"], vm_size::DEFAULT_GEN1);
        assert_eq!(properties["storageProfile"]["osDisk"]["osType"], "Windows");
        let rule = rows.iter().find(|row| row.kind.eq_ignore_ascii_case(NSG)).unwrap();
        let rule = &rule.body["properties"]["securityRules"][0]["properties"];
        assert_eq!(rule["destinationPortRanges"], json!(["5986", "5985", "22"]));
        let data = &properties["storageProfile"]["dataDisks"];
        assert_eq!((&data[0]["lun"], &data[0]["diskSizeGB"]), (&json!(0), &json!(1)));
        assert!(rows.iter().filter(|row| row.kind.ends_with("disks")).count() == 2);
        for row in &rows {
            assert_eq!(row.hidden[NUMBER], 1);
            assert!(KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(&row.kind)), "{}", row.kind);
            assert!(service::read_only::check_writable(row).is_err());
        }
        assert!(
            names(&shown(2, json!(null)))
                .iter()
                .all(|name| !names(&rows).contains(name) || *name == "default")
        );
    }

    #[test]
    fn subnet_of_the_template_is_used_and_not_made() {
        let subnet =
            format!("{RG}/net/providers/Microsoft.Network/virtualNetworks/v/subnets/build");
        let rows =
            shown(1, json!({ "vmSize": "Standard_B2s", "vnetConfig": { "subnetId": subnet } }));
        assert_eq!(rows.len(), 4, "{:?}", names(&rows));
        let address = &rows[1].body["properties"]["ipConfigurations"][0]["properties"];
        assert_eq!(address["subnet"]["id"], json!(subnet));
        assert_eq!(rows[0].body["properties"]["hardwareProfile"]["vmSize"], "Standard_B2s");
        assert_eq!(rows[0].body["tags"]["cost"], "1");
    }
}
