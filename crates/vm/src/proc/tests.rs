use std::time::Instant;

use super::*;

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

#[tokio::test]
async fn run_returns_output_and_failure_carries_stderr_tail() {
    let cancel = CancellationToken::new();
    let output = shell("echo out; echo err >&2").run(&cancel, None).await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));

    let error = shell("echo why >&2; exit 3").run(&cancel, None).await.unwrap_err();
    let Error::Failed { status, stderr_tail, .. } = error else { panic!("{error:?}") };
    assert_eq!((status.code(), stderr_tail), (Some(3), vec!["why".to_owned()]));
}

#[tokio::test]
async fn missing_program_differs_from_missing_folder() {
    let cancel = CancellationToken::new();
    let error = Command::new("no-such-program-here").run(&cancel, None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = shell("true").cwd("/no/such/folder").run(&cancel, None).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn run_streaming_splits_lines_at_carriage_returns() {
    let mut lines = Vec::new();
    let script = "printf '(1/100%%)\\r(2/100%%)\\r\\nlast'";
    let cancel = CancellationToken::new();
    shell(script).run_streaming(&cancel, None, |line| lines.push(line.to_owned())).await.unwrap();
    assert_eq!(lines, ["(1/100%)", "(2/100%)", "last"]);
}

#[tokio::test]
async fn run_streaming_stores_only_the_end() {
    let mut count = 0;
    let cancel = CancellationToken::new();
    let output = shell("seq 100000").run_streaming(&cancel, None, |_| count += 1).await.unwrap();
    assert_eq!(count, 100_000);
    assert!(output.stdout.len() <= 2 * STREAM_KEEP + 8192, "{}", output.stdout.len());
    assert!(output.stdout.ends_with("99999\n100000\n"));
}

/// The grandchild keeps the pipe open, so the wait ends early only if the group is killed.
#[tokio::test]
async fn deadline_and_cancel_kill_the_process_group() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
    let started = Instant::now();
    let cancel = CancellationToken::new();
    let deadline = Some(Duration::from_millis(300));
    let error = shell(&script).run(&cancel, deadline).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    wait_gone(pid).await;

    let stop = cancel.clone();
    let canceled = shell("sleep 600 & wait").run_streaming(&cancel, None, |_| {});
    let (result, ()) = tokio::join!(canceled, async move { stop.cancel() });
    assert!(matches!(result.unwrap_err(), Error::Canceled { .. }));
}

async fn wait_gone(pid: u32) {
    let Some(process) = Process::open(pid).unwrap() else {
        return;
    };
    assert!(process.gone_within(Duration::from_secs(10)).await.unwrap());
}

#[tokio::test]
async fn daemon_end_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let daemon = Command::new("sleep").arg("600").start(log).unwrap();
    assert!(!daemon.has_ended());
    daemon.process().kill();
    daemon.ended().await;
    assert!(daemon.has_ended());
}

#[test]
fn find_program_accepts_name_and_path() {
    assert!(find_program("sh").is_some());
    assert!(find_program("/bin/sh").is_some());
    assert!(find_program("no-such-program-here").is_none());
}

/// Cargo sets many variables for a test, like a service manager that passes credentials.
#[tokio::test]
async fn program_inherits_only_listed_variables() {
    let cancel = CancellationToken::new();
    let output = Command::new("env").env("OWN", "1").run(&cancel, None).await.unwrap();
    let names: Vec<&str> =
        output.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.contains(&"PATH") && names.contains(&"OWN"), "{names:?}");
    let expected = |name: &&&str| INHERITED.contains(*name) || ["LC_ALL", "OWN"].contains(*name);
    let unexpected: Vec<_> = names.iter().filter(|name| !expected(name)).collect();
    assert_eq!(unexpected, Vec::<&&str>::new());
    let hidden =
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO"));
    assert!(hidden.count() > 0, "the environment contains variables to hide");
}
