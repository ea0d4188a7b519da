//! The NoCloud seed: a small FAT medium that lets cloud-init run, with the build user and the keys
//! for images that cannot be entered otherwise.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Access, Bridge, Error, args, may_wait, private_file::private_file, proc::Command};

/// Raised when the seed's content changes, since machines booted with an older seed differ.
pub const VERSION: u32 = 2;
/// Constant, because a resumed machine needs a medium of the size it was saved with.
const SIZE_KIB: u32 = 1440;
const NO_NETWORK: &str = "network:\n  config: disabled\n";
const DEADLINE: Duration = Duration::from_secs(30);

/// The content of the seed.
#[derive(Debug, Clone)]
pub struct Seed<'a> {
    /// Cloud-init runs its first-boot work once per instance id.
    pub instance_id: &'a str,
    /// The build user and its keys. Without them, cloud-init does what it does on a machine of the
    /// image's users.
    pub access: Option<&'a Access>,
    /// Whether cloud-init sets up the network card. False for images that set it up themselves.
    pub network: bool,
    /// The bridge, if the machine is on one. If cloud-init sets up the network, it then configures
    /// both cards.
    pub bridge: Option<&'a Bridge>,
}

/// Writes the seed medium with mode 0600; replaces an existing file.
pub async fn write(path: &Path, seed: &Seed<'_>, cancel: &CancellationToken) -> Result<(), Error> {
    let folder = path.with_extension("files");
    let result = write_in(path, &folder, seed, cancel).await;
    let _ = may_wait(|| fs::remove_dir_all(&folder));
    result
}

async fn write_in(
    path: &Path,
    folder: &Path,
    seed: &Seed<'_>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    may_wait(|| fs::create_dir_all(folder)).map_err(Error::at(folder))?;
    let mut files = vec![
        private_file(folder.join("meta-data"), meta_data(seed))?,
        private_file(folder.join("user-data"), user_data(seed))?,
    ];
    let network = match (seed.network, seed.bridge) {
        (true, None) => None,
        (true, Some(bridge)) => Some(both_cards(bridge)),
        (false, _) => Some(NO_NETWORK.to_owned()),
    };
    if let Some(text) = network {
        files.push(private_file(folder.join("network-config"), &text)?);
    }
    private_file(path.to_owned(), "")?;
    may_wait(|| fs::OpenOptions::new().write(true).open(path)?.set_len(u64::from(SIZE_KIB) * 1024))
        .map_err(Error::at(path))?;
    Command::new("mkfs.vfat")
        .args(["-n", "CIDATA", "-i", "60D50EED", "--invariant"])
        .arg(path)
        .run(cancel, Some(DEADLINE))
        .await?;
    Command::new("mcopy")
        .args(["-o", "-i"])
        .arg(path)
        .args(files)
        .arg("::")
        .run(cancel, Some(DEADLINE))
        .await?;
    Ok(())
}

fn meta_data(seed: &Seed<'_>) -> String {
    json!({ "instance-id": seed.instance_id }).to_string()
}

/// The bridge provides an address, routes and name servers; the channel provides only an address.
/// Cards are matched by MAC address and named, because some network renderers of cloud-init require
/// a name. An image that sets up its cards itself needs no configuration: on the channel, DHCP
/// offers only an address.
fn both_cards(bridge: &Bridge) -> String {
    json!({
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": { "macaddress": bridge.mac },
                "set-name": "eth0",
                "dhcp4": true,
            },
            "eth1": {
                "match": { "macaddress": args::CHANNEL_MAC },
                "set-name": "eth1",
                "addresses": [args::CHANNEL_ADDRESS],
            },
        },
    })
    .to_string()
}

/// Written as JSON, which is valid YAML and escapes every value.
fn user_data(seed: &Seed<'_>) -> String {
    let Some(access) = seed.access else { return "#cloud-config\n{}\n".to_owned() };
    let config = json!({
        "users": [{
            "name": access.user,
            "gecos": "image build",
            "shell": "/bin/bash",
            "lock_passwd": true,
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": [access.public_key],
        }],
        "disable_root": true,
        "preserve_hostname": true,
        "no_ssh_fingerprints": true,
        "ssh": { "emit_keys_to_console": false },
        "ssh_deletekeys": true,
        "ssh_keys": {
            "ed25519_private": access.host_private_key,
            "ed25519_public": access.host_public_key,
        },
        "package_update": false,
        "package_upgrade": false,
    });
    format!("#cloud-config\n{config}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    async fn read_back(image: &Path, name: &str) -> String {
        let command = Command::new("mcopy").arg("-i").arg(image).arg(format!("::{name}")).arg("-");
        command.run(&CancellationToken::new(), None).await.unwrap().stdout
    }

    #[tokio::test]
    async fn seed_contains_user_and_host_keys() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seed.img");
        let access = Access::generate("builder").unwrap();
        let seed = Seed { instance_id: "gs-1", access: Some(&access), network: true, bridge: None };
        let cancel = CancellationToken::new();
        write(&image, &seed, &cancel).await.unwrap();
        write(&image, &seed, &cancel).await.unwrap();

        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["seed.img"]);
        let bytes = fs::read(&image).unwrap();
        assert_eq!(bytes.len(), SIZE_KIB as usize * 1024);
        assert_eq!(&bytes[43..54], b"CIDATA     ", "the label in the boot sector");

        let meta: Value = serde_json::from_str(&read_back(&image, "meta-data").await).unwrap();
        assert_eq!(meta["instance-id"], "gs-1");
        let user = read_back(&image, "user-data").await;
        let config: Value =
            serde_json::from_str(user.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(config["users"][0]["ssh_authorized_keys"][0], access.public_key);
        assert_eq!(config["ssh_keys"]["ed25519_private"], access.host_private_key);
        // Any other change by the seed would stay in the image.
        assert_eq!(config["preserve_hostname"], true);
        assert!(meta.get("local-hostname").is_none());
    }

    #[tokio::test]
    async fn seed_without_keys_asks_cloud_init_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seed.img");
        let seed = Seed { instance_id: "gs-1", access: None, network: true, bridge: None };
        write(&image, &seed, &CancellationToken::new()).await.unwrap();
        assert_eq!(read_back(&image, "user-data").await, "#cloud-config\n{}\n");
        assert_eq!(read_back(&image, "meta-data").await, r#"{"instance-id":"gs-1"}"#);
    }

    #[tokio::test]
    async fn seed_without_network_disables_network_config() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seed.img");
        let access = Access::generate("builder").unwrap();
        let seed =
            Seed { instance_id: "gs-1", access: Some(&access), network: false, bridge: None };
        write(&image, &seed, &CancellationToken::new()).await.unwrap();
        assert_eq!(read_back(&image, "network-config").await, NO_NETWORK);
    }

    #[tokio::test]
    async fn seed_on_a_bridge_gives_the_channel_only_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seed.img");
        let access = Access::generate("builder").unwrap();
        let mac = "02:67:0a:0b:0c:0d".to_owned();
        let bridge = Bridge { name: "br0".into(), tap: "gs0".into(), mac };
        let seed = Seed {
            instance_id: "gs-1",
            access: Some(&access),
            network: true,
            bridge: Some(&bridge),
        };
        write(&image, &seed, &CancellationToken::new()).await.unwrap();
        let text = read_back(&image, "network-config").await;
        let cards = &serde_json::from_str::<Value>(&text).unwrap()["ethernets"];
        assert_eq!(cards["eth0"]["match"]["macaddress"], bridge.mac);
        assert_eq!(cards["eth0"]["dhcp4"], true);
        let channel = cards["eth1"].as_object().unwrap();
        assert_eq!(channel["match"]["macaddress"], args::CHANNEL_MAC);
        let fields: Vec<&str> = channel.keys().map(String::as_str).collect();
        assert_eq!(fields, ["addresses", "match", "set-name"], "no route, no name server");

        let without_network = Seed { network: false, ..seed };
        write(&image, &without_network, &CancellationToken::new()).await.unwrap();
        assert_eq!(read_back(&image, "network-config").await, NO_NETWORK);
    }

    #[tokio::test]
    async fn seed_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("seed.img");
        let access = Access::generate("builder").unwrap();
        let seed = Seed { instance_id: "gs-1", access: Some(&access), network: true, bridge: None };
        write(&image, &seed, &CancellationToken::new()).await.unwrap();
        assert_eq!(fs::metadata(&image).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
