//! Ten minutes of a guest that writes without end to a customizer's output, the relay of the metadata
//! service, and the serial line. `make test-floods` runs it; `FLOOD_SECONDS` changes the duration.

use std::time::{Duration, Instant};

use e2e::{Lab, Service, fresh, wait_for};
use serde_json::json;

const MIB: u64 = 1024 * 1024;
const MEMORY: u64 = 150 * MIB;
const LOG: u64 = 64 * MIB;
const SERIAL: u64 = 5 * MIB;

const FLOOD: &str = r#"
cat > /tmp/flood.py <<'PY'
import threading, urllib.request
def ask():
    while True:
        try:
            url = "http://169.254.169.254/metadata/instance?api-version=2021-02-01"
            urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata": "true"}), timeout=60).read()
        except Exception:
            pass
for _ in range(100):
    threading.Thread(target=ask, daemon=True).start()
threading.Event().wait()
PY
python3 /tmp/flood.py &
sudo sh -c 'yes serial > /dev/ttyS0' &
echo flooding
exec yes $(printf %0200d 0)"#;

#[test]
fn flooded_service_has_bounded_memory_and_cancels_within_10_s() {
    let seconds = std::env::var("FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(600));
    let service = Service::start(Lab::new());
    let identity = service.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app");
    service.put(&identity, &json!({ "location": "westus2" }));
    let customize = json!([{ "type": "Shell", "inline": [fresh(), FLOOD] }]);
    let mut body = service.template_body("floods", &customize);
    body["properties"]["vmProfile"]["userAssignedIdentities"] = json!([identity]);
    body["tags"] = json!({ "goldsmith.cache": "steps" });
    let id = service.template_id("floods");
    service.put(&id, &body);
    let mut following = service.follow(&["run", "start", "forge/floods"]);
    following.wait_for_output("flooding");

    let (begun, mut most, mut next_report) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < length {
        most = most.max(service.resident());
        if begun.elapsed() > next_report {
            println!("{:4} s: {} MiB resident", next_report.as_secs(), service.resident() / MIB);
            next_report += Duration::from_secs(30);
        }
        assert!(most < MEMORY, "{} MiB resident", most / MIB);
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("{} MiB resident at most", most / MIB);

    let requested = Instant::now();
    service.cancel(&id);
    wait_for("the end of the run", Duration::from_secs(10), || {
        service.get(&id)["properties"]["lastRunStatus"]["runState"] == "Canceled"
    });
    println!("canceled within {:.1} s", requested.elapsed().as_secs_f64());
    drop(following);
    let mut logs = 0;
    for (folder, name, limit) in [
        (service.lab().data().join("server/runs"), "events.jsonl", LOG),
        (service.lab().data().join("server/runs"), "customization.log", LOG),
        (service.lab().cache().join("logs"), "serial.log", SERIAL),
    ] {
        for run in std::fs::read_dir(&folder).unwrap().map(|run| run.unwrap().path()) {
            let Ok(meta) = std::fs::metadata(run.join(name)) else { continue };
            println!("{name}: {} KiB", meta.len() / 1024);
            assert!(meta.len() <= limit + 64 * 1024, "{name}: {} bytes", meta.len());
            logs += 1;
        }
    }
    assert!(logs >= 3, "the logs are not in the expected folder");
    service.lab().assert_clean();
}
