//! An isolated network: two network namespaces and a bridge.
//!
//! ```text
//! host: bridge br-subnet (no address) ── taps of machines
//!        │
//! server: 10.77.0.1/24: DHCP, DNS, a page
//! ```
//! The host's namespace reaches the server only through the bridge, on which it has no address. So
//! only machines on the bridge reach the server. The real network of this computer is not affected.

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wait_for;

/// The name of the bridge.
pub const BRIDGE: &str = "br-subnet";
/// The folder of `ip netns`.
const SPACES: &str = "/run/netns";
/// The page that is only visible in the subnet.
pub const PAGE: &str = "http://server.subnet.test:8000/";
/// An address of the host that user-mode networks reach.
pub const HOST: &str = "203.0.113.9";

/// The two namespaces; removed on drop.
pub struct Subnet {
    host: String,
    server: String,
    dhcp: Option<Child>,
    dir: tempfile::TempDir,
}

impl Subnet {
    /// Creates namespaces, bridge and server. `Err` is the reason why this host cannot.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces and bridges need root".to_owned());
        }
        sweep();
        let id = std::process::id();
        let mut subnet = Self {
            host: format!("gs-host-{id}"),
            server: format!("gs-server-{id}"),
            dhcp: None,
            dir: tempfile::tempdir().map_err(|e| e.to_string())?,
        };
        // From here on, dropping the value cleans up.
        ip(&format!("netns add {}", subnet.host))
            .map_err(|error| format!("this system has no network namespaces: {error}"))?;
        subnet.create().expect("a bridge, a cable and a server");
        Ok(subnet)
    }

    fn create(&mut self) -> Result<(), String> {
        let (host, server) = (&self.host, &self.server);
        for command in [
            format!("netns add {server}"),
            format!("-n {host} link set lo up"),
            format!("-n {host} address add {HOST}/32 dev lo"),
            format!("-n {host} link add {BRIDGE} type bridge"),
            format!("-n {host} link set {BRIDGE} up"),
            format!("-n {host} link add cable type veth peer name net0 netns {server}"),
            format!("-n {host} link set cable master {BRIDGE} up"),
            format!("-n {server} link set lo up"),
            format!("-n {server} address add 10.77.0.1/24 dev net0"),
            format!("-n {server} link set net0 up"),
        ] {
            ip(&command)?;
        }
        let (leases, log) = (self.dir.path().join("leases"), self.dir.path().join("log"));
        // It ends with the test, also after `kill -9`.
        let mut dnsmasq = Command::new("setpriv");
        dnsmasq.args(["--pdeathsig", "KILL", "ip", "netns", "exec", server]);
        dnsmasq.args(["dnsmasq", "--keep-in-foreground"]);
        dnsmasq.args(["--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root"]);
        dnsmasq.args(["--interface=net0", "--bind-interfaces"]);
        dnsmasq.args(["--dhcp-range=10.77.0.100,10.77.0.150,10m", "--dhcp-authoritative"]);
        dnsmasq.arg("--address=/server.subnet.test/10.77.0.1");
        dnsmasq.arg(format!("--dhcp-leasefile={}", leases.display()));
        dnsmasq.arg(format!("--log-facility={}", log.display()));
        dnsmasq.arg(format!("--pid-file={}", self.dir.path().join("pid").display()));
        self.dhcp = Some(dnsmasq.stdin(Stdio::null()).spawn().map_err(|e| e.to_string())?);
        wait_for("the DHCP server", Duration::from_secs(20), || leases.exists());
        serve(&self.server, "10.77.0.1:8000", "only the subnet sees this")?;
        serve(&self.host, "0.0.0.0:9999", "the host's own")
    }

    /// The command in the host's namespace.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.host]).arg(command.get_program());
        inside.args(command.get_args()).stdin(Stdio::null());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// A socket on the loopback of the host's namespace.
    pub fn listener(&self) -> TcpListener {
        let space = PathBuf::from(SPACES).join(&self.host);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        std::thread::spawn(move || listen(&space, address)).join().unwrap().unwrap()
    }

    /// The taps of build machines on the bridge.
    pub fn taps(&self) -> Vec<String> {
        let links = ip(&format!("-n {} -o link show master {BRIDGE}", self.host)).unwrap();
        let names = links.lines().filter_map(|line| line.split([':', '@']).nth(1));
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("gs")).collect()
    }

    /// The MAC addresses with a DHCP lease.
    pub fn leases(&self) -> Vec<String> {
        let leases = std::fs::read_to_string(self.dir.path().join("leases")).unwrap_or_default();
        leases.lines().filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect()
    }
}

impl Drop for Subnet {
    fn drop(&mut self) {
        if let Some(dhcp) = &mut self.dhcp {
            let _ = dhcp.kill();
            let _ = dhcp.wait();
        }
        // Devices disappear with their namespace.
        for name in [&self.host, &self.server] {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

/// Removes namespaces of killed tests.
fn sweep() {
    let Ok(spaces) = std::fs::read_dir(SPACES) else { return };
    for space in spaces.map_while(Result::ok) {
        let name = space.file_name().to_string_lossy().into_owned();
        let ours = ["gs-host-", "gs-server-"].iter().find_map(|prefix| name.strip_prefix(prefix));
        if ours.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

/// Answers every connection to an address in a namespace with one page, until the test ends.
fn serve(space: &str, address: &str, page: &'static str) -> Result<(), String> {
    let space = PathBuf::from(SPACES).join(space);
    let address: SocketAddr = address.parse().map_err(|_| "no address".to_owned())?;
    let listener = std::thread::spawn(move || listen(&space, address)).join();
    let listener = listener.map_err(|_| "the thread died".to_owned())??;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 2048]);
            let length = page.len() + 1;
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{page}\n").as_bytes());
        }
    });
    Ok(())
}

/// A socket in a namespace. The calling thread stays in the namespace, so it must be short-lived.
fn listen(space: &Path, address: SocketAddr) -> Result<TcpListener, String> {
    let space = File::open(space).map_err(|e| e.to_string())?;
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| e.to_string())?;
    TcpListener::bind(address).map_err(|e| e.to_string())
}

fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|e| format!("ip {arguments}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
