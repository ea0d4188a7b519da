//! RAM that is saved while the guest runs comes back equal. A guest changes its memory and its disk
//! without end. In each cycle it is sealed, continues, and is killed, sometimes in the middle of the
//! save. Then the sealed state is loaded and examined by the guest's own program.
//!
//! `make test-ram` runs 200 cycles and prints the times. `RAM_CYCLES`, `RAM_MIB` and `RAM_SEED`
//! change them.

#![allow(clippy::print_stdout, reason = "the times are the result of the longer run")]

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use e2e::{Lab, template, text};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vm::{
    Access, Backend, Discard, Guest, Host, Machine, MachineSpec, Qemu, RamFile, SaveRam, Seal,
    Stdin,
    seed::{self, Seed},
};

use super::machine;

/// Writes numbered blocks to memory and numbered records to a file. On `SIGUSR1` it compares all of
/// them with their last number. It reads the file from the disk, not from the page cache.
const LOAD: &str = r#"
cat > /dev/shm/load.py <<'PY'
import hashlib, json, os, signal
SLOTS, RECORDS, EVERY = 8192, 2048, 64
def block(n): return hashlib.sha256(str(n).encode()).digest() * 128
def record(k): return hashlib.sha256(b'r' + str(k).encode()).digest() * 16
def last(n, slot, slots): return n - (n - slot) % slots
ram = bytearray(SLOTS * 4096)
file = os.open('/var/tmp/records', os.O_RDWR | os.O_CREAT)
asked = False
def ask(*_):
    global asked
    asked = True
signal.signal(signal.SIGUSR1, ask)
open('/dev/shm/ready', 'w').close()
def report(number, n, k):
    bad = []
    for slot in range(SLOTS):
        m = last(n, slot, SLOTS)
        if m > 0 and ram[slot * 4096:(slot + 1) * 4096] != block(m): bad.append(f'block {m}')
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    for slot in range(RECORDS):
        j = last(k, slot, RECORDS)
        if j > 0 and os.pread(file, 512, slot * 512) != record(j): bad.append(f'record {j}')
    with open('/dev/shm/report.new', 'w') as out: json.dump({'number': number, 'n': n, 'records': k, 'bad': bad[:5]}, out)
    os.rename('/dev/shm/report.new', '/dev/shm/report')
n = k = reports = 0
while True:
    n += 1
    slot = n % SLOTS
    ram[slot * 4096:(slot + 1) * 4096] = block(n)
    if n % EVERY == 0:
        k += 1
        os.pwrite(file, record(k), k % RECORDS * 512)
        os.fsync(file)
    if asked:
        asked = False
        reports += 1
        report(reports, n, k)
PY
setsid python3 /dev/shm/load.py < /dev/null > /dev/shm/load.log 2>&1 & echo $! > /dev/shm/pid
until test -e /dev/shm/ready; do kill -0 $(cat /dev/shm/pid) || exit 1; sleep 0.05; done"#;

const REPORT: &str =
    "rm -f /dev/shm/report; kill -USR1 $(cat /dev/shm/pid) || cat /dev/shm/load.log >&2
until test -e /dev/shm/report; do kill -0 $(cat /dev/shm/pid) || exit 1; sleep 0.05; done
cat /dev/shm/report";

#[derive(Debug, Clone, Copy)]
struct Report {
    /// How many reports the program has made.
    number: u64,
    n: u64,
    records: u64,
}

/// A sealed state of the guest.
#[derive(Clone)]
struct State {
    /// The files of the machine: `disk.qcow2`, `vars.qcow2`.
    dir: PathBuf,
    ram: RamFile,
    /// The last report before the pause.
    before: Report,
}

/// When a sealed machine is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// Probably in the middle of its save.
    AtOnce,
    AfterSave,
    /// After a save that the next step waits for.
    AfterLiveSave,
    /// Its guest powers off during the save, which QEMU completes before it exits.
    PowerOff,
}

/// Of all saves of one kind, in seconds.
#[derive(Default)]
struct Times {
    pauses: Vec<f64>,
    saves: Vec<f64>,
}

impl Times {
    fn text(&self) -> String {
        format!(
            "pause {:.3} s median, {:.3} s longest; complete after {:.2} s median",
            median(&self.pauses),
            self.pauses.iter().copied().fold(0.0, f64::max),
            median(&self.saves),
        )
    }
}

struct Rig {
    backend: Qemu,
    access: Access,
    dir: PathBuf,
    memory_mib: u64,
    never: CancellationToken,
    background: Times,
    live: Times,
    made: u32,
}

impl Rig {
    async fn new(dir: &Path, memory_mib: u64) -> Self {
        let host = Host::probe(None).await.unwrap();
        Self {
            backend: Qemu::new(host),
            access: Access::generate("forge").unwrap(),
            dir: dir.to_owned(),
            memory_mib,
            never: CancellationToken::new(),
            background: Times::default(),
            live: Times::default(),
            made: 0,
        }
    }

    /// A folder with overlays on the files in `below`.
    async fn folder(&mut self, below: &Path) -> PathBuf {
        self.made += 1;
        let dir = self.dir.join(self.made.to_string());
        std::fs::create_dir(&dir).unwrap();
        machine::overlays(self.backend.host(), &dir, below).await;
        dir
    }

    fn spec(&self, dir: &Path, resume_from: Option<RamFile>) -> MachineSpec {
        MachineSpec {
            seed: Some(self.dir.join("seed.img")),
            resume_from,
            ..machine::spec(dir, self.memory_mib)
        }
    }

    async fn start(
        &self,
        dir: &Path,
        resume_from: Option<RamFile>,
    ) -> (Box<dyn Machine>, Box<dyn Guest>) {
        let spec = self.spec(dir, resume_from);
        let machine = self.backend.start(&spec, &self.never).await.unwrap();
        let limit = Duration::from_secs(600);
        let guest = machine.connect(&self.access, limit, &self.never).await.unwrap();
        (machine, guest)
    }

    /// The first boot, with the program running.
    async fn boot(&mut self, source: &Path) -> (Box<dyn Machine>, Box<dyn Guest>, PathBuf) {
        let seed = self.dir.join("seed.img");
        let content =
            Seed { instance_id: "ram", access: Some(&self.access), network: true, bridge: None };
        seed::write(&seed, &content, &self.never).await.unwrap();
        let dir = self.folder(source).await;
        let (machine, guest) = self.start(&dir, None).await;
        machine::run(guest.as_ref(), LOAD, Stdin::Empty).await;
        (machine, guest, dir)
    }

    /// Seals the machine, which continues, and kills it. `None` if that ended the save.
    async fn seal_and_kill(
        &mut self,
        machine: Box<dyn Machine>,
        guest: &dyn Guest,
        dir: PathBuf,
        kill: Kill,
    ) -> Option<State> {
        let before = report(guest).await;
        let next = self.folder(&dir).await;
        let path = dir.join("ram");
        let background = kill != Kill::AfterLiveSave;
        let ram = SaveRam { path: path.clone(), background, load_test: None };
        let request = Seal {
            next_disk: next.join("disk.qcow2"),
            next_vars: Some(next.join("vars.qcow2")),
            next_data: Vec::new(),
            tpm: None,
            ram: Some(ram),
        };
        let sealed = machine.seal(&request).await.unwrap();
        let times = if background { &mut self.background } else { &mut self.live };
        times.pauses.push(sealed.seconds);
        let save = sealed.ram.unwrap();
        let saved = match kill {
            Kill::AtOnce => {
                machine.stop(Duration::ZERO).await.unwrap();
                save.finish(&self.never).await
            }
            Kill::PowerOff => {
                let _ = guest.run("sudo systemctl poweroff -ff", Stdin::Empty, &mut Discard).await;
                machine.wait_off(Duration::from_secs(300)).await.unwrap();
                Ok(save.finish(&self.never).await.unwrap())
            }
            Kill::AfterSave | Kill::AfterLiveSave => {
                let after = report(guest).await;
                assert!(after.n > before.n, "the guest continues: {before:?} {after:?}");
                let saved = save.finish(&self.never).await;
                machine.stop(Duration::ZERO).await.unwrap();
                Ok(saved.unwrap())
            }
        };
        std::fs::remove_dir_all(&next).unwrap();
        assert_eq!(path.exists(), saved.is_ok(), "{saved:?}");
        let saved = saved.ok()?;
        let times = if background { &mut self.background } else { &mut self.live };
        times.saves.push(saved.seconds);
        let ram = RamFile { path, format: saved.format };
        Some(State { dir, ram, before })
    }

    /// The middle of the times from QEMU's start until the loaded guest runs.
    async fn load_seconds(&mut self, state: &State) -> f64 {
        let mut times = Vec::new();
        for _ in 0..5 {
            let dir = self.folder(&state.dir).await;
            let spec = self.spec(&dir, Some(state.ram.clone()));
            let started = Instant::now();
            let machine = self.backend.start(&spec, &self.never).await.unwrap();
            times.push(started.elapsed().as_secs_f64());
            machine.stop(Duration::ZERO).await.unwrap();
        }
        median(&times)
    }

    /// Loads the state on overlays, and compares it with what the program knew.
    async fn load(&mut self, state: &State) -> (Box<dyn Machine>, Box<dyn Guest>, PathBuf) {
        let dir = self.folder(&state.dir).await;
        let (machine, guest) = self.start(&dir, Some(state.ram.clone())).await;
        let loaded = report(guest.as_ref()).await;
        // The reports after the pause have not happened.
        assert_eq!(loaded.number, state.before.number + 1, "{loaded:?} {:?}", state.before);
        assert!(loaded.n >= state.before.n, "{loaded:?} {:?}", state.before);
        assert!(loaded.records > 0, "{loaded:?}");
        (machine, guest, dir)
    }
}

/// The program's counters. Fails if it found a difference.
async fn report(guest: &dyn Guest) -> Report {
    let answer = machine::run(guest, REPORT, Stdin::Empty).await;
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["bad"], json!([]), "{report}");
    let number = |name: &str| report[name].as_u64().unwrap();
    Report { number: number("number"), n: number("n"), records: number("records") }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The source image that templates of these tests use.
fn source(lab: &Lab) -> PathBuf {
    let file = lab.write("source.json", template(&json!([])));
    let built = lab.run(&["build", file.to_str().unwrap()]).ok();
    let digest = text(&built.event("sourceResolved")["digest"]);
    lab.cache().join("sources").join(digest)
}

/// A loaded machine continues for this many cycles, so that its overlays do not pile up.
const CHAIN: u64 = 8;

pub(crate) async fn cycle(cycles: u64) {
    let lab = Lab::new();
    let source = source(&lab);
    let folder = lab.path().join("machines");
    std::fs::create_dir(&folder).unwrap();
    let mut rig = Rig::new(&folder, setting("RAM_MIB", 1024)).await;
    let (machine, guest, dir) = rig.boot(&source).await;
    let base = rig.seal_and_kill(machine, guest.as_ref(), dir, Kill::AfterSave).await.unwrap();
    let (mut state, mut cut_off) = (base.clone(), 0);
    // A linear congruential generator: the same cycles for the same seed. With this one, the second
    // save is cut off.
    let mut random = setting("RAM_SEED", 115);
    for cycle in 1..=cycles {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (machine, guest, dir) = rig.load(&state).await;
        // The program changes another part of the memory before the next seal.
        for _ in 0..random >> 62 {
            report(guest.as_ref()).await;
        }
        let at_once = (random >> 32).is_multiple_of(4);
        let kill = match (random >> 40).is_multiple_of(2) {
            _ if at_once => Kill::AtOnce,
            true => Kill::AfterLiveSave,
            false => Kill::AfterSave,
        };
        let sealed = rig.seal_and_kill(machine, guest.as_ref(), dir, kill).await;
        cut_off += u64::from(sealed.is_none());
        let next = sealed.filter(|_| !cycle.is_multiple_of(CHAIN)).unwrap_or_else(|| base.clone());
        if next.dir == base.dir {
            remove_all_but(&folder, &base.dir);
        }
        state = next;
        if cycle.is_multiple_of(10) {
            println!("{cycle} cycles, {cut_off} saves cut off");
        }
    }
    let (machine, guest, dir) = rig.load(&state).await;
    println!(
        "{cycles} cycles with {} MiB came back equal, {cut_off} saves were cut off",
        rig.memory_mib
    );
    println!("saved in the background: {}", rig.background.text());
    let live = rig.seal_and_kill(machine, guest.as_ref(), dir, Kill::AfterLiveSave).await.unwrap();
    println!("saved live: {}", rig.live.text());
    for (name, state) in [("in the background", &base), ("live", &live)] {
        let size = std::fs::metadata(&state.ram.path).unwrap().blocks() / 2048;
        let seconds = rig.load_seconds(state).await;
        println!("saved {name}: {size} MiB, runs {seconds:.2} s after QEMU's start");
    }
    let (machine, guest, dir) = rig.load(&live).await;
    let off = rig.seal_and_kill(machine, guest.as_ref(), dir, Kill::PowerOff).await.unwrap();
    rig.load(&off).await.0.stop(Duration::ZERO).await.unwrap();
    lab.assert_clean();
}

fn remove_all_but(folder: &Path, base: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && entry != base {
            std::fs::remove_dir_all(entry).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ram_saved_while_the_guest_runs_comes_back_equal() {
    cycle(3).await;
}
