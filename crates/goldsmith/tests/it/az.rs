//! `goldsmith az`, with a script in place of az.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::{Sandbox, entries, serve::Server, stderr, stdout};

/// Records its arguments in its configuration folder. `show` prints what it was started with.
const AZ: &str = r#"#!/bin/sh
echo "$*" >> "$AZURE_CONFIG_DIR/calls"
case "$1" in
login) for word in "$@"; do password="$word"; done; cp "${password#@}" "$AZURE_CONFIG_DIR/given" ;;
show) echo "$AZURE_CONFIG_DIR"; echo "$REQUESTS_CA_BUNDLE"; echo "$NO_PROXY"; shift; echo "$*" ;;
fail) exit 7 ;;
esac
"#;

/// A user with `az` on the path and a service.
struct User {
    sandbox: Sandbox,
    serving: Value,
    _server: Server,
}

impl User {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (server, line) = Server::start(&sandbox);
        std::fs::create_dir(sandbox.dir.path().join("bin")).unwrap();
        let az = sandbox.write("bin/az", AZ);
        std::fs::set_permissions(az, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { sandbox, serving: serde_json::from_str(&line).unwrap(), _server: server }
    }

    fn run(&self, words: &[&str]) -> Output {
        let bin = self.sandbox.dir.path().join("bin");
        self.sandbox
            .command()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("XDG_CONFIG_HOME", self.sandbox.dir.path().join("config"))
            .env("NO_PROXY", "example.org")
            .args(words)
            .output()
            .unwrap()
    }

    fn log_in(&self) {
        let text = |name: &str| self.serving[name].as_str().unwrap();
        let login = self.run(&[
            "login",
            "--server",
            text("url"),
            "--tenant",
            text("tenantId"),
            "--client-id",
            text("clientId"),
            "--client-secret",
            text("clientSecret"),
            "--ca",
            text("ca"),
        ]);
        assert_eq!(login.status.code(), Some(0), "{}", stderr(&login));
    }

    fn folders(&self) -> Vec<PathBuf> {
        entries(&self.sandbox.dir.path().join("config/goldsmith/az"))
    }
}

#[test]
fn az_is_connected_once_and_apart_from_the_user() {
    let user = User::new();
    user.log_in();
    let words = ["az", "show", "group", "list", "--output", "table", "--help", "-v"];
    let first = user.run(&words);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let printed = stdout(&first);
    let [folder, bundle, no_proxy, passed] = printed.lines().collect::<Vec<_>>()[..] else {
        panic!("{printed}");
    };
    assert_eq!(user.folders(), [Path::new(folder)]);
    assert_eq!(passed, "group list --output table --help -v");
    assert_eq!(no_proxy, "example.org,localhost,127.0.0.1,::1");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let ca = read(Path::new(user.serving["ca"].as_str().unwrap()));
    assert!(
        read(&Path::new(folder).with_file_name(bundle.rsplit_once("az/").unwrap().1))
            .ends_with(&ca)
    );

    let folder = Path::new(folder);
    let (url, subscription) = (&user.serving["url"], &user.serving["subscriptionId"]);
    let calls = read(&folder.join("calls"));
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(calls.len(), 5, "{calls:?}");
    let register = format!(
        "cloud register --name goldsmith --endpoint-resource-manager {}",
        url.as_str().unwrap()
    );
    assert_eq!(calls[..2], [&*register, "cloud set --name goldsmith"]);
    assert!(calls[2].starts_with("login --service-principal --username "), "{calls:?}");
    assert!(!calls[2].contains("gs_"), "the secret is not among the arguments: {calls:?}");
    assert_eq!(calls[3], format!("account set --subscription {}", subscription.as_str().unwrap()));
    assert_eq!(read(&folder.join("given")), user.serving["clientSecret"].as_str().unwrap());
    assert!(!folder.join("secret").exists());
    let mode = std::fs::metadata(folder.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let second = user.run(&["az", "fail"]);
    assert_eq!(second.status.code(), Some(7), "az's own exit code");
    assert_eq!(read(&folder.join("calls")).lines().count(), 6, "it was connected already");
    // A new login may be one to another service.
    user.log_in();
    assert_eq!(user.folders(), [] as [PathBuf; 0]);
}

#[test]
fn az_without_login_or_installation_says_what_to_do() {
    let user = User::new();
    let no_login = user.run(&["az", "group", "list"]);
    assert_eq!(no_login.status.code(), Some(3));
    assert!(stderr(&no_login).contains("goldsmith login --server"), "{}", stderr(&no_login));
    user.log_in();
    std::fs::remove_file(user.sandbox.dir.path().join("bin/az")).unwrap();
    let no_az = user.run(&["az", "group", "list"]);
    assert_eq!(no_az.status.code(), Some(4));
    assert!(stderr(&no_az).contains("install the Azure CLI"), "{}", stderr(&no_az));
    assert_eq!(user.folders(), [] as [PathBuf; 0], "nothing half made is left");
}

#[test]
fn failed_connection_shows_what_az_says() {
    let user = User::new();
    user.log_in();
    let broken = "#!/bin/sh\necho 'ERROR: az is broken' >&2\nexit 1\n";
    user.sandbox.write("bin/az", broken);
    let failed = user.run(&["az", "group", "list"]);
    assert_eq!(failed.status.code(), Some(4));
    assert!(stderr(&failed).contains("ERROR: az is broken"), "{}", stderr(&failed));
    assert_eq!(user.folders(), [] as [PathBuf; 0], "nothing half made is left");
}
