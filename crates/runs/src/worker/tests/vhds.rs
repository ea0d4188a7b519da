//! What runs leave in the storage account of their template.

use std::time::Duration;

use db::RunState;
use serde_json::{Value, json};

use super::{
    bench::{Bench, Process},
    output,
};

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_second_leave_a_vhd_each() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let worker = process.work(None);
    let targets = json!([{ "type": "VHD", "runOutputName": "disk" }]);
    let first = process.submit("t", targets).await;
    let first = process.ended(&first).await;
    let uri = async |process: &Process| {
        output(process, "t", "disk").await.unwrap()["artifactUri"].as_str().unwrap().to_owned()
    };
    let name = |uri: &str| uri.rsplit('/').next().unwrap().to_owned();
    let time = first.queued.strftime("%Y%m%d%H%M%S");
    assert_eq!(name(&uri(&process).await), format!("disk_{time}.vhd"));

    bench.hang_at("echo two");
    let again = process.submit_again("t", first.queued).await;
    process.reached(&again, "customize[1]").await;
    process.app.shutdown().cancel();
    tokio::time::timeout(Duration::from_secs(30), worker).await.unwrap().unwrap();
    bench.hang_at("nothing");
    // The next start ends it, with the name that it would have had.
    let next = bench.process().await;
    next.work(None);
    assert_eq!(next.ended(&again).await.state, RunState::Succeeded);
    let second = name(&uri(&next).await);
    assert_eq!(second, format!("disk_{time}_{again}.vhd"));
    let folder = bench.layout.data().join("server/storage/stt/vhds");
    let run_of = |vhd: &str| {
        let described = std::fs::read(folder.join(format!("{vhd}.json"))).unwrap();
        serde_json::from_slice::<Value>(&described).unwrap()["runId"].as_str().unwrap().to_owned()
    };
    assert_eq!(run_of(&format!("disk_{time}.vhd")), first.id);
    assert_eq!(run_of(&second), again);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4);

    let later = next.submit_again("t", first.queued + Duration::from_secs(1)).await;
    next.ended(&later).await;
    let time = next.run(&later).await.queued.strftime("%Y%m%d%H%M%S");
    assert_eq!(name(&uri(&next).await), format!("disk_{time}.vhd"));
    bench.assert_everything_is_released();
}
