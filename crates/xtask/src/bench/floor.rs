//! The floor: the same commands in a booted machine, over an open connection. No image builder can
//! be faster.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Bench, MEMORY_MIB, VCPUS, fresh, guest, output,
    workload::{Work, Workload},
};
use crate::Result;

const BOOT_DEADLINE: Duration = Duration::from_secs(600);
const OFF_DEADLINE: Duration = Duration::from_secs(120);

/// Seconds of each step.
pub(super) fn measure(bench: &Bench<'_>, workload: &Workload, image: &Path) -> Result<Vec<f64>> {
    let dir = fresh(&bench.dir.join("floor"))?;
    println!("floor: booting a machine");
    let mut machine = Machine::start(bench, image, &dir)?;
    machine.wait_for_ssh()?;
    machine.run("cloud-init status --wait", b"")?;
    let mut seconds = Vec::new();
    for step in &workload.steps {
        let started = Instant::now();
        match &step.work {
            Work::Shell(lines) => machine.run("sh -e -s", lines.join("\n").as_bytes())?,
            Work::File { content, destination } => {
                machine.run(&format!("cat > {destination}"), content.as_bytes())?;
            }
        }
        seconds.push(started.elapsed().as_secs_f64());
        println!("floor: {} {:.1} s", step.name, started.elapsed().as_secs_f64());
    }
    machine.power_off()?;
    Ok(seconds)
}

/// A QEMU process, which ends with this value.
struct Machine {
    qemu: Child,
    dir: PathBuf,
    port: u16,
    key: PathBuf,
    /// The connection's socket, where its path is short enough for one.
    control: PathBuf,
}

impl Machine {
    fn start(bench: &Bench<'_>, image: &Path, dir: &Path) -> Result<Self> {
        let disk = dir.join("disk.qcow2");
        let (disk, image) = (disk.to_string_lossy(), image.to_string_lossy());
        output("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &image, &disk])?;
        let seed = bench.access.write_seed(dir)?;
        let vars = guest::copy_vars(dir)?;
        let port = free_port()?;
        let errors = dir.join("qemu.log");
        let log =
            File::create(&errors).map_err(|error| format!("{}: {error}", errors.display()))?;
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-display", "none", "-machine", guest::MACHINE])
            .args(["-accel", bench.guests.qemu_accel(true), "-cpu", &bench.guests.cpu])
            .args(["-smp", &VCPUS.to_string(), "-m", &MEMORY_MIB.to_string()])
            .args(["-netdev", &format!("user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22")])
            .args(["-serial", &format!("file:{}", dir.join("serial.log").display())]);
        for (flag, value) in guest::devices(&disk, &vars, &seed, true) {
            command.arg(flag).arg(value);
        }
        let qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot run qemu-system-x86_64: {error}"))?;
        let control = format!("goldsmith-bench-{}.ssh", std::process::id());
        Ok(Self {
            qemu,
            dir: dir.to_owned(),
            port,
            key: bench.access.private_key(),
            control: std::env::temp_dir().join(control),
        })
    }

    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            // One connection for all commands, so that no command includes a handshake.
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=600"])
            .arg("-o")
            .arg(format!("ControlPath={}", self.control.display()))
            .arg("-i")
            .arg(&self.key)
            .args(["-p", &self.port.to_string(), &format!("{}@127.0.0.1", guest::USER)]);
        ssh
    }

    fn wait_for_ssh(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < BOOT_DEADLINE {
            if let Ok(Some(status)) = self.qemu.try_wait() {
                return Err(format!("floor: QEMU ended: {status}; see {}", self.dir.display()));
            }
            // A booting machine accepts the connection and sends nothing: ssh's timeout ends
            // the attempt.
            let tried = self
                .ssh()
                .arg("true")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if tried.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        Err(format!("floor: no answer over SSH; see {}", self.dir.display()))
    }

    fn run(&self, command: &str, input: &[u8]) -> Result<()> {
        let mut ssh = self
            .ssh()
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run ssh: {error}"))?;
        if let Some(mut stdin) = ssh.stdin.take() {
            stdin.write_all(input).map_err(|error| format!("floor: {command}: {error}"))?;
        }
        let status = ssh.wait().map_err(|error| format!("floor: {command}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("floor: {command}: {status}")) }
    }

    fn power_off(&mut self) -> Result<()> {
        // The connection may break before the status arrives; the end of QEMU is what counts.
        let _ = self.run("sudo systemctl --no-block poweroff", b"");
        let started = Instant::now();
        while started.elapsed() < OFF_DEADLINE {
            if let Ok(Some(_)) = self.qemu.try_wait() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        Err("floor: the machine did not power off".to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.ssh().args(["-O", "exit"]).stderr(Stdio::null()).status();
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
