//! The rights of a template's identity, as its runs need them.

use super::*;

/// What the message of a failed run names: the identity's principal, the action and the scope.
fn assert_lacks(message: &str, action: &str, scope: &str) {
    let wanted = format!(
        "The client 'c-i' with object id 'p-i' does not have authorization to perform action '{action}' over scope '{}'",
        scope.to_lowercase()
    );
    assert!(message.contains(&wanted), "{wanted} in {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_whose_identity_lost_its_role_since_the_submission() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let id = process.submit("t", managed("made")).await;
    process.revoke("i").await;
    process.work(None);
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed);
    assert_lacks(&run.message, "Microsoft.Compute/images/write", GROUP);
    assert!(run.message.contains("az role assignment create --assignee p-i"), "{}", run.message);
    assert!(process.resource(&compute("images/made")).await.is_none());
    assert!(output(&process, "t", "made").await.is_none());

    // The right is back.
    process.assign("i", service::roles::CONTRIBUTOR).await;
    let id = process.submit_again("t", jiff::Timestamp::now()).await;
    assert_eq!(process.ended(&id).await.state, RunState::Succeeded);
    assert!(process.resource(&compute("images/made")).await.is_some());
    bench.assert_everything_is_released();
}

#[tokio::test(flavor = "multi_thread")]
async fn role_taken_during_a_build_stops_it_before_it_publishes() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let (go, waits) = std::sync::mpsc::sync_channel::<()>(1);
    let waits = std::sync::Mutex::new(waits);
    bench.fake.on_call("mktemp", move |_, script| {
        if String::from_utf8_lossy(script).contains("echo two") {
            let _ = begun.try_send(());
            let _ = waits.lock().unwrap().recv();
        }
        Reaction::exit(0)
    });
    process.work(None);
    let id = process.submit("t", managed("made")).await;
    begins.recv().await.unwrap();
    process.revoke("i").await;
    go.send(()).unwrap();
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed, "{}", run.message);
    assert_lacks(&run.message, "Microsoft.Compute/images/write", GROUP);
    assert!(process.resource(&compute("images/made")).await.is_none());
    let published = images::store::Store::open(&bench.layout).get(&compute("images/made"));
    assert!(published.is_err(), "nothing is published");
    bench.assert_everything_is_released();
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_whose_identity_is_gone() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let id = process.submit("t", managed("made")).await;
    let row = process.resource(&super::bench::identity("i")).await.unwrap();
    let writes = vec![Write::Remove(row.key(), row.revision)];
    process.app.store().commit(writes).await.unwrap();
    process.work(None);
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.message.contains("userAssignedIdentities/i' of the image template does not exist"));
}
