//! The address of a guest on a bridge.

use images::error::{Result, guest_error};
use vm::{Discard, Exit, Guest, Stdin};

/// Waits until the guest drops its old address, once it sees that its cable is unplugged. A network
/// manager does so on its own. A guest without one keeps the address, so the wait is limited.
pub(super) const UNPLUGGED: &str = r#"sudo sh -c '
nic=$(grep -lix '$mac' /sys/class/net/*/address | cut -d / -f 5 | head -n 1)
n=0
while ip address show dev "$nic" scope global 2> /dev/null | grep -q inet && [ $n -lt 50 ]; do
    n=$((n + 1)); sleep 0.2
done'"#;

/// Ends when the guest has an address from the bridge.
pub(super) const ADDRESSED: &str = r#"sudo sh -c '
nic=$(grep -lix '$mac' /sys/class/net/*/address | cut -d / -f 5 | head -n 1)
until ip address show dev "$nic" scope global | grep -q inet; do sleep 0.2; done'"#;

pub(super) async fn ask(guest: &dyn Guest, script: &str, mac: &str) -> Result<Exit> {
    let command = script.replace("'$mac'", mac);
    guest.run(&command, Stdin::Empty, &mut Discard).await.map_err(guest_error)
}
