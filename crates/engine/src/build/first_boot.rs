//! The content of a first boot's key.

use std::collections::BTreeMap;

use guests::linux::BUILD_USER;
use images::{
    config::Subnet,
    first_contact::{FirstContact, LoginFile},
};
use vm::credentials;

use super::{data_disks, seeding::Seeding};
use crate::node::Shape;

/// Version of a machine's setup on a bridge, apart from its arguments.
const BRIDGE_VERSION: &str = "1";

/// The inputs of the first boot's key, beside source and machine.
pub(super) fn inputs(
    seeding: &Seeding,
    shape: &Shape,
    image: &FirstContact,
) -> BTreeMap<String, String> {
    let system = guests::system(shape.os);
    let version = system.seed_input();
    let seed = match seeding {
        Seeding::User { network: true } => format!("{version} network"),
        Seeding::User { network: false } => version,
        Seeding::Nothing | Seeding::Plain | Seeding::Known(_) => {
            format!("none {}", system.prepare_input())
        }
    };
    // Whoever may read a login may go on from what it has made.
    let user = match image {
        FirstContact::Specialized(LoginFile(path)) => path.to_string_lossy().into_owned(),
        _ => BUILD_USER.to_owned(),
    };
    let mut inputs = BTreeMap::from([
        ("credentials".to_owned(), credentials::VERSION.to_string()),
        ("ready".to_owned(), system.ready_input()),
        ("seed".to_owned(), seed),
        ("user".to_owned(), user),
    ]);
    inputs.extend(data_disks::inputs(shape));
    inputs
}

/// Adds the inputs of the first boot's key on a port of a bridge.
pub(super) fn port_inputs(inputs: &mut BTreeMap<String, String>, subnet: &Subnet, port: u32) {
    let more = [
        ("subnet", subnet.id.to_lowercase()),
        ("bridge", format!("{} {BRIDGE_VERSION}", subnet.bridge)),
        ("port", port.to_string()),
    ];
    inputs.extend(more.map(|(name, value)| (name.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_boot_by_another_login_has_another_key() {
        let shape = Shape {
            os: vm::OsType::Windows,
            vcpus: 2,
            memory_mib: 4096,
            disk_bytes: 1 << 30,
            uefi: false,
            secure_boot: false,
            tpm: false,
            data: Vec::new(),
            cpu: "host".to_owned(),
        };
        let by = |path: &str| {
            let image = FirstContact::Specialized(LoginFile(path.into()));
            inputs(&Seeding::Nothing, &shape, &image)
        };
        assert_eq!(by("/home/one/login"), by("/home/one/login"));
        assert_ne!(by("/home/one/login"), by("/home/two/login"));
    }
}
