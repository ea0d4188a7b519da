//! Host names that the service always has: those of this machine, and the one that guests use.

/// The address of the host in the network of a guest.
const HOST_FOR_GUESTS: &str = "10.0.2.2";

/// The names of the loopback interface.
pub fn loopback() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

/// All names that a `Host` header may have, in lower case.
pub fn all(mut names: Vec<String>) -> Vec<String> {
    names.push(HOST_FOR_GUESTS.to_owned());
    names
}
