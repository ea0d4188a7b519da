//! A PostgreSQL server of this process, stopped however the process ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Runs until its standard input ends, at the end of the test's process. The locale's collation shows
/// whether the store sorts by bytes.
const GUARD: &str = r#"
exec 2>log
if ./initdb -D data -U tester -A trust -E UTF8 --no-sync --locale=C.UTF-8 \
     --locale-provider=icu --icu-locale=en-US >log &&
   ./pg_ctl start -w -t 120 -D data -l server.log >>log \
     -o "-k '$PWD' -c listen_addresses='' -c fsync=off -c shared_buffers=16MB -c max_connections=60"
then echo ready
else echo failed
fi
cat >/dev/null
./pg_ctl stop -m immediate -D data >>log
rm -rf "$PWD"
"#;

struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    /// The system closes its input at the end of this process; it then removes the server.
    _guard: Child,
}

/// The address of a new, empty database.
pub(super) async fn new_database() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(start);
    let address =
        |name: &str| format!("postgres:///{name}?host={}&user=tester", server.folder.display());
    let name = format!("test{}", server.databases.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&address("postgres")).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    address(&name)
}

#[expect(clippy::disallowed_methods, reason = "a test's server, not a part of a run")]
fn start() -> Server {
    let folder =
        tempfile::Builder::new().prefix("goldsmith-pg-").tempdir_in("/tmp").unwrap().keep();
    // Wrappers beside the data, so that the script needs no absolute paths.
    let programs = programs();
    for program in ["initdb", "pg_ctl"] {
        let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", programs.join(program).display());
        let path = folder.join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD]).current_dir(&folder);
    guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Its own group, so that an interrupt of the tests does not kill it before it cleans up.
    guard.process_group(0);
    // PostgreSQL does not run as root.
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = unprivileged();
        chown(&folder, Some(uid), Some(gid)).unwrap();
        guard.uid(uid).gid(gid);
    }
    let mut guard = guard.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(guard.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.trim() != "ready" {
        let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
        panic!("PostgreSQL did not start:\n{}\n{}", read("log"), read("server.log"));
    }
    Server { folder, databases: AtomicU32::new(0), _guard: guard }
}

/// The folder with the programs of the newest PostgreSQL.
fn programs() -> PathBuf {
    let releases = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    releases
        .map(|release| release.path().join("bin"))
        .filter(|programs| programs.join("initdb").exists() && programs.join("pg_ctl").exists())
        .max_by_key(|programs| release(programs))
        .expect(
            "the store is tested on PostgreSQL too, and /usr/lib/postgresql/*/bin has no initdb \
             and pg_ctl: install the package postgresql (scripts/setup.sh does)",
        )
}

fn release(programs: &Path) -> u32 {
    let name = programs.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// User and group of `postgres`, or of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |user: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("there is a user nobody")
}
