//! The scenarios. Each starts its own server.

use std::{fs, path::Path, process::Command, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Bench, LIMIT_MS, RATE, SECONDS,
    client::Client,
    measure::{at_rate, each, fill, mixed, mixed_reads, name, pages, provision},
    row,
};

/// The number of templates, and of triggers.
const TEMPLATES: usize = 10_000;
/// The number of templates with a schedule; a few of them are due each minute.
const SCHEDULES: usize = 1_000;
const DUE_EACH_MINUTE: usize = 20;
const ACCOUNTS: usize = 20_000;
/// The size of the blob, and of the parts in which it is read, in bytes.
const BLOB: usize = 256 << 20;
const PART: usize = 64 << 10;
/// The number of ended runs, and of their templates.
const ENDED: usize = 100_000;
const ENDED_OF: usize = 100;
const QUEUED: usize = 2_000;
const SMALL: usize = 100;

/// Provisioning time, list pages, mixed reads, and the memory of an idle server.
pub(crate) async fn templates(bench: &mut Bench) {
    let (server, client) = bench.serve(&[]).await;
    let idle = server.rss_mb();
    println!("templates: PUT of {TEMPLATES} (the first 100 are timed individually)");
    let provisioned = provision(&client, 100).await;
    fill(&client, 100, TEMPLATES).await;
    println!("templates: every page of the list");
    let pages = pages(&client, TEMPLATES).await;
    println!("templates: {RATE} mixed reads per second for {SECONDS} s");
    let reads = mixed_reads(&client, RATE, SECONDS, TEMPLATES).await;
    row("template provisioned (server), median", provisioned.percentile(50), 100.0);
    row("template provisioned (server), p99", provisioned.percentile(99), 100.0);
    row("list page, p99", pages.percentile(99), 50.0);
    println!("{:<44} {idle:>8.1} MB   limit 60", "memory, idle");
    bench.note("put_settled_ms", provisioned.percentile(99));
    bench.note("list_page_p99_ms", pages.percentile(99));
    bench.note("idle_rss_mb", idle);
    bench.requests("templates", reads, &server);
}

/// Many triggers and schedules, which are checked every five seconds, during requests.
pub(crate) async fn triggers(bench: &mut Bench) {
    let (server, client) = bench.serve(&["--trigger-interval", "5s"]).await;
    println!("triggers: {TEMPLATES} templates with a trigger each, {SCHEDULES} with a schedule");
    fill(&client, 0, TEMPLATES).await;
    let client = &client;
    each(0..TEMPLATES, |number| async move {
        let path = format!("{}/triggers/new", client.template_path(&name(number)));
        let body = json!({ "properties": { "kind": "SourceImage" } });
        client.call(Method::PUT, &path, Some(body)).await;
    })
    .await;
    each(0..SCHEDULES, |number| async move {
        let when = if number < DUE_EACH_MINUTE { "* * * * *" } else { "0 3 1 1 *" };
        let tag = |body: &mut Value| body["tags"]["goldsmith.schedule"] = json!(when);
        drop(client.put_changed(&format!("scheduled-{number}"), tag).await);
    })
    .await;
    println!("triggers: {RATE} mixed requests per second for {SECONDS} s, one in fifty a write");
    let requests = mixed(client, RATE, SECONDS, TEMPLATES).await;
    bench.requests("triggers", requests, &server);
}

/// Reads of one blob among many accounts. The blob is copied into the data folder, because otherwise
/// only a run can write one.
pub(crate) async fn accounts(bench: &mut Bench) {
    let (server, client) = bench.serve(&[]).await;
    println!("accounts: PUT of {ACCOUNTS}");
    let body = json!({
        "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" },
    });
    let (own, body) = (&client, &body);
    each(0..ACCOUNTS, |number| async move {
        let path = own.path(&format!(
            "resourceGroups/load/providers/Microsoft.Storage/storageAccounts/{}",
            account(number)
        ));
        own.call(Method::PUT, &path, Some(body.clone())).await;
    })
    .await;
    let folder = server.data().join("server/storage").join(account(ACCOUNTS / 2)).join("vhds");
    fs::create_dir_all(&folder).unwrap();
    fs::File::create(folder.join("disk.vhd")).unwrap().set_len(BLOB as u64).unwrap();
    println!("accounts: {RATE} reads of {} KiB per second for {SECONDS} s", PART >> 10);
    let reads = at_rate(&client, RATE, SECONDS, |client: Client, number| async move {
        let from = number * 7919 % (BLOB / PART) * PART;
        client.range(&account(ACCOUNTS / 2), "disk.vhd", from, PART).await;
    })
    .await;
    bench.requests("accounts", reads, &server);
}

fn account(number: usize) -> String {
    format!("stload{number:06}")
}

/// Requests during the deletion of most of many runs. The runs are written to the database and the
/// data folder of a stopped server, because executing so many would take days.
pub(crate) async fn retention(bench: &mut Bench) {
    let (mut server, client) = bench.serve(&["--log-retention", "3650d"]).await;
    println!("retention: {ENDED_OF} templates, {ENDED} ended runs");
    fill(&client, 0, ENDED_OF).await;
    let first = client.template_path(&name(0)).to_lowercase();
    let template = first.trim_end_matches(&name(0)).to_owned();
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.restart(&["--log-retention", "1d"], |data| seed_runs(data, &template));
    let client = Client::connect(&server).await;
    println!("retention: {RATE} mixed requests per second for {SECONDS} s during their deletion");
    let requests = mixed(&client, RATE, SECONDS, ENDED_OF).await;
    bench.requests("retention", requests, &server);
    let left = count_runs(&server.data());
    println!("{:<44} {left:>8.0}      of {ENDED}", "retention: remaining runs");
    bench.note("retention_runs_left", left);
}

/// Adds runs that ended two months ago, with a folder each.
fn seed_runs(data: &Path, template: &str) {
    let script = r#"
import os, sqlite3, sys, time
data, template, ended, templates = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(os.path.join(data, "server/goldsmith.db"))
created = db.execute("SELECT MAX(created) FROM resources").fetchone()[0]
# Runs must be younger than their templates, so the templates are made older.
then = created - 60 * 86400 * 10**9
db.execute("UPDATE resources SET created = ? WHERE key >= ? AND key < ?", (then - 10**9, template, template + "~"))
body = '{"properties":{"customize":["' + "x" * 2000 + '"]}}'
def rows():
    for n in range(ended):
        at = then + n * 1000
        run = "%08x-0000-7000-8000-000000000000" % n
        folder = os.path.join(data, "server/runs", run)
        os.makedirs(folder)
        with open(os.path.join(folder, "customization.log"), "w") as log:
            log.write("log")
        yield (run, "%stemplate-%05d" % (template, n % templates), "s", "o", "Succeeded", "", "", at, at, 1, 1, 1, body)
subscription = template.split("/")[2]
db.executemany("INSERT INTO runs (id, template, subscription, operation, state, sub_state, message, queued, ended, epoch, vcpus, memory_mib, input) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows())
db.execute("UPDATE runs SET subscription = ?", (subscription,))
db.commit()
"#;
    python(script, data, &[template, &ENDED.to_string(), &ENDED_OF.to_string()]);
}

fn count_runs(data: &Path) -> f64 {
    let script = r#"
import os, sqlite3, sys
db = sqlite3.connect(os.path.join(sys.argv[1], "server/goldsmith.db"))
print(db.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
"#;
    python(script, data, &[]).trim().parse().unwrap()
}

fn python(script: &str, data: &Path, args: &[&str]) -> String {
    let mut command = Command::new("python3");
    let output = command.args(["-c", script]).arg(data).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Many queued runs of large templates behind a few that never end. Requests read small templates,
/// which come first in lists.
pub(crate) async fn queued(bench: &mut Bench) {
    let (server, client) = bench.serve(&[]).await;
    println!("queued: {QUEUED} queued runs");
    let own = &client;
    fill(own, 0, SMALL).await;
    let (before, _) = mixed_reads(own, RATE, SECONDS / 2, SMALL).await;
    row("queued: requests before any run, p99", before.percentile(99), LIMIT_MS);
    bench.note("queued_before_p99_ms", before.percentile(99));
    each(SMALL..SMALL + QUEUED, |number| async move {
        let hang = |body: &mut Value| {
            body["properties"]["customize"][0]["inline"] =
                json!(["sleep forever", "x".repeat(50_000)]);
            let image = own.path(&format!(
                "resourceGroups/load/providers/Microsoft.Compute/images/out-{number}"
            ));
            body["properties"]["distribute"][0]["imageId"] = json!(image);
        };
        let operation = own.put_changed(&name(number), hang).await;
        while own.get(&operation).await["status"] == "InProgress" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let path = format!("{}/run", own.template_path(&name(number)));
        own.call(Method::POST, &path, None).await;
    })
    .await;
    println!("queued: {RATE} mixed reads per second for {SECONDS} s");
    let reads = mixed_reads(&client, RATE, SECONDS, SMALL).await;
    bench.requests("queued", reads, &server);
}
