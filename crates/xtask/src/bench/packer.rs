//! Packer's side, with all configurable waits at their minimum.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    Bench, MEMORY_MIB, VCPUS, check_standalone, fresh, guest, workload, workload::Workload, write,
};
use crate::Result;

/// Seconds of one full build.
pub(super) fn measure(bench: &Bench<'_>, workload: &Workload, image: &Path) -> Result<f64> {
    let dir = fresh(&bench.dir.join("packer"))?;
    let template = dir.join("template.json");
    write(&template, &format!("{:#}\n", document(bench, workload, image, &dir)?))?;
    let log = bench.dir.join("packer.log");
    println!("packer: a full build (log: {})", log.display());
    let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;

    let started = Instant::now();
    let status = Command::new("packer")
        .args(["build", "-color=false", "-timestamp-ui"])
        .arg(&template)
        // Disables the check for a newer release.
        .env("CHECKPOINT_DISABLE", "1")
        .env("PACKER_CACHE_DIR", bench.dir.join("packer-cache"))
        .env("TMPDIR", &dir)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .map_err(|error| format!("cannot run packer: {error} (scripts/setup.sh --bench)"))?;
    let seconds = started.elapsed().as_secs_f64();

    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(format!("packer: {status}\n{tail}"));
    }
    check_standalone(&output_dir(&dir).join("disk.qcow2"))?;
    println!("packer: {seconds:.1} s");
    Ok(seconds)
}

fn output_dir(dir: &Path) -> PathBuf {
    dir.join("output")
}

fn document(bench: &Bench<'_>, workload: &Workload, image: &Path, dir: &Path) -> Result<Value> {
    let seed = bench.access.write_seed(dir)?;
    let vars = guest::copy_vars(dir)?;
    let script = dir.join("generalize.sh");
    write(&script, &workload::generalization(bench.repository)?)?;
    // The script also removes /tmp/goldsmith-*, like all files of a build.
    let in_guest = "/tmp/goldsmith-generalize.sh";
    let blob = bench.access.public_blob()?;

    let tuned = bench.options.packer_tuned;
    let (machine, network) = if tuned { (guest::MACHINE, ",ipv6=off") } else { ("q35", "") };
    let mut arguments = vec![
        json!(["-accel", bench.guests.qemu_accel(tuned)]),
        json!(["-cpu", bench.guests.cpu]),
        json!(["-display", "none"]),
        json!(["-serial", format!("file:{}", dir.join("serial.log").display())]),
        json!(["-machine", machine]),
        json!([
            "-netdev",
            format!("user,id=net{network},hostfwd=tcp:127.0.0.1:{{{{ .SSHHostPort }}}}-:22")
        ]),
    ];
    let devices = guest::devices("{{ .OutputDir }}/{{ .Name }}", &vars, &seed, tuned);
    arguments.extend(devices.into_iter().map(|(flag, value)| json!([flag, value])));

    let mut provisioners = workload.packer_provisioners(dir)?;
    provisioners.push(json!({ "type": "file", "source": script, "destination": in_guest }));
    Ok(json!({
        "builders": [{
            "type": "qemu",
            "iso_url": image,
            "iso_checksum": "none",
            "disk_image": true,
            // Waits are tuned, work is not: as by default, and as on goldsmith's side, the result
            // is converted once. (An overlay instead of the copy before the build would save a
            // second, but Packer 1.6 creates it without a backing format, which QEMU rejects since
            // release 6.1.)
            "skip_compaction": false,
            "skip_resize_disk": true,
            "format": "qcow2",
            "output_directory": output_dir(dir),
            "vm_name": "disk.qcow2",
            "cpus": VCPUS,
            "memory": MEMORY_MIB,
            // `-accel` below selects it; Packer's machine argument would contradict it.
            "accelerator": "none",
            "headless": true,
            "disable_vnc": true,
            "boot_wait": "-1s",
            "communicator": "ssh",
            "ssh_username": guest::USER,
            "ssh_private_key_file": bench.access.private_key(),
            "ssh_timeout": "20m",
            "ssh_handshake_attempts": 1000,
            // As goldsmith calls it: user, key, hardware addresses, mark of answers.
            "shutdown_command": format!("sudo sh {in_guest} {} {blob} 52:54:00:12:34:56 bench", guest::USER),
            "shutdown_timeout": "10m",
            "qemuargs": arguments,
        }],
        "provisioners": provisioners,
    }))
}
