//! The names that the service has, whatever it is told: of this machine, and of its guests.

/// What guests call the host that they run on.
const OF_GUESTS: &str = "10.0.2.2";

/// Names that every server is known by.
pub fn loopback() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

/// All names that a request may call us by: in lower case, as they are in a `Host` header.
pub fn all(mut names: Vec<String>) -> Vec<String> {
    names.push(OF_GUESTS.to_owned());
    names
}
