use super::*;
use crate::tree::tree;

/// The imports of every sample.
const FRONT: &str = "use std::fs::{self, File};\nuse tokio::task::spawn_blocking;\n";

/// The line of each finding, relative to the sample, and the call.
fn found(sample: &str) -> Vec<(usize, String)> {
    let text = format!("{FRONT}{sample}");
    let findings = check(&tree(&[("crates/server/src/a.rs", &text)]));
    let what = |message: &str| message.split('`').nth(1).unwrap_or(message).to_owned();
    let first = FRONT.lines().count();
    findings.iter().map(|finding| (finding.line - first, what(&finding.message))).collect()
}

fn check_sample(sample: &str, expected: &[(usize, &str)]) {
    let found = found(sample);
    let found: Vec<(usize, &str)> =
        found.iter().map(|(line, what)| (*line, what.as_str())).collect();
    assert_eq!(found, expected, "{sample}");
}

#[test]
fn disk_call_in_async_code_is_found() {
    check_sample("async fn f() { fs::read(\"a\"); }", &[(1, "fs::read")]);
    check_sample("async fn f() { std::fs::rename(a, b); }", &[(1, "fs::rename")]);
    check_sample(
        "async fn f() { File::open(a)?.sync_all()?; }",
        &[(1, "File::open"), (1, "sync_all")],
    );
    check_sample("async fn f() { if path.exists() {} }", &[(1, "exists")]);
    check_sample("async fn f() { std::thread::sleep(second); }", &[(1, "thread::sleep")]);
    check_sample("fn f() { tokio::spawn(async move {\n fs::read(a) }); }", &[(2, "fs::read")]);
    check_sample("fn f() { let g = async || fs::read(a); }", &[(1, "fs::read")]);
    check_sample("async fn f() { all.map(|a| a.metadata()); }", &[(1, "metadata")]);
    let options = "async fn f() { let mut o = fs::OpenOptions::new();\n o.read(true).open(a); }";
    check_sample(options, &[(2, "OpenOptions::open")]);
    let select =
        "async fn f() { tokio::select! { biased;\n a = b() => fs::read(a)?, else => {} } }";
    check_sample(select, &[(2, "fs::read")]);
    check_sample("async fn f() { log!(\"{}\", fs::read(a)); }", &[(1, "fs::read")]);
}

#[test]
fn call_on_another_thread_or_awaited_is_accepted() {
    for sample in [
        "async fn f() { spawn_blocking(move || fs::read(a)).await; }",
        "async fn f() { let look = move || fs::read(a); spawn_blocking(look).await; }",
        "async fn f() { spawn_blocking({ let a = b.clone(); move || fs::read(a) }).await; }",
        "async fn f() { std::thread::spawn(move || fs::read(a)); }",
        "async fn f() { tokio::fs::read(a).await; file.sync_all().await; }",
        "async fn f() { entry.file_type()?.is_dir(); tokio::fs::metadata(a).await?.is_dir(); }",
        "async fn f() { let mode = fs::Permissions::from_mode(0o600); }",
        "async fn f() { fn g() { fs::read(a); } }",
        "fn f() { fs::read(a); }",
        "#[cfg(test)]\nmod tests { async fn f() { super::fs::read(a); fs::read(b); } }",
    ] {
        check_sample(sample, &[]);
    }
}

#[test]
fn closure_passed_to_a_wrapper_is_accepted() {
    let of =
        "async fn aside<T>(work: impl FnOnce() -> T) { spawn_blocking(move || work()).await; }\n";
    check_sample(&format!("{of}async fn f() {{ aside(|| fs::read(a)).await; }}"), &[]);
    let other = "fn here<T>(work: impl FnOnce() -> T) { work() }\n";
    check_sample(&format!("{other}async fn f() {{ here(|| fs::read(a)); }}"), &[(2, "fs::read")]);
}

#[test]
fn call_of_a_waiting_function_is_found() {
    let load = "fn load() { fs::read(a); }\nfn twice() { load(); load(); }\n";
    check_sample(&format!("{load}async fn f() {{ twice(); }}"), &[(3, "twice")]);
    check_sample(&format!("{load}async fn f() {{ spawn_blocking(|| twice()).await; }}"), &[]);
    let method =
        "impl Store { fn row(&self) { fs::read(a); } async fn f(&self) {\n self.row(); } }";
    check_sample(method, &[(2, "row")]);
    let other = "impl Other { fn row(&self) {} async fn f(&self) { self.row(); } }\n";
    check_sample(&format!("{other}impl Store {{ fn row(&self) {{ fs::read(a); }} }}"), &[]);
    let aside = "fn load() { spawn_blocking(|| fs::read(a)); }\nasync fn f() { load(); }";
    check_sample(aside, &[]);
}

#[test]
fn waiting_function_of_another_file_is_found_by_its_path() {
    let config = "use std::fs;\npub struct Config;\nimpl Config { pub fn read(&self) { fs::read(a); } \
                  pub fn of(a: &str) { fs::read(a); } }\npub fn list() { fs::read_dir(a); }\n";
    let caller = "use engine::{Config, config as c};\nuse crate::list;\n\
                  async fn f() { Config::of(a);\n c::list();\n list();\n self::list(); }\nfn list() {}\n";
    let tree = tree(&[
        ("crates/engine/src/config.rs", config),
        ("crates/server/src/a.rs", caller),
        ("crates/server/src/lib.rs", "pub fn list() {}"),
    ]);
    let lines: Vec<usize> = check(&tree).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [3, 4]);
}

#[test]
fn unused_exception_is_found_and_crates_without_runtime_are_skipped() {
    let waits = "async fn f() { std::fs::read(a); }";
    let (path, _) = ALLOWED[0];
    assert_eq!(check(&tree(&[(path, waits), ("crates/xtask/src/a.rs", waits)])), []);
    let found = check(&tree(&[(path, "async fn f() {}")]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("take it out"), "{found:?}");
}
