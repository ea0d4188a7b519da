//! `goldsmith serve` and `goldsmith admin`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{Sandbox, stderr, stdout};

/// A running server, which ends with the test.
pub(crate) struct Server(Child);

impl Server {
    /// Starts the server and waits for the line that reports that it is ready.
    pub(crate) fn start(sandbox: &Sandbox) -> (Self, String) {
        let mut child = sandbox
            .command()
            .args(["serve", "--listen", "127.0.0.1:0", "--output", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line)
    }

    fn end(&mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn secret_is_shown_once_and_second_server_is_rejected() {
    let sandbox = Sandbox::new();
    let (mut first, line) = Server::start(&sandbox);
    assert!(line.contains(r#""kind":"serving""#), "{line}");
    assert!(line.contains(r#""clientSecret":"gs_"#), "{line}");
    let second = sandbox.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    assert!(stderr(&second).contains("another goldsmith already serves"), "{}", stderr(&second));
    // Administration works while the server runs.
    let listed = stdout(&sandbox.run(&["admin", "sp", "list"]));
    assert!(listed.contains("administrator"), "{listed}");
    assert_eq!(first.end(), Some(0));
    let (mut again, line) = Server::start(&sandbox);
    assert!(line.contains(r#""clientSecret":null"#), "{line}");
    assert_eq!(again.end(), Some(0));
}

#[test]
fn service_principal_is_created_rotated_and_revoked() {
    let sandbox = Sandbox::new();
    let created = stdout(&sandbox.run(&["admin", "sp", "create", "ci", "--output", "json"]));
    let (_, rest) = created.split_once(r#""clientId":""#).unwrap();
    let id = &rest[..36];
    let rotated = stdout(&sandbox.run(&["admin", "sp", "rotate", id, "--output", "json"]));
    assert!(rotated.contains("gs_") && rotated != created, "{rotated}");
    let revoked = stdout(&sandbox.run(&["admin", "sp", "revoke", id]));
    assert_eq!(revoked, format!("revoked {id} (ci)\n"));
    let late = sandbox.run(&["admin", "sp", "rotate", id]);
    assert!(stderr(&late).contains("is revoked"), "{}", stderr(&late));
    assert_ne!(late.status.code(), Some(0));
    let nobody = sandbox.run(&["admin", "sp", "revoke", "nobody"]);
    assert!(stderr(&nobody).contains("goldsmith admin sp list"), "{}", stderr(&nobody));
}

#[test]
fn bad_serve_option_is_reported_by_its_flag() {
    let sandbox = Sandbox::new();
    for (arguments, wanted) in [
        (["--listen", "0.0.0.0:0"], "--allow-remote"),
        (["--host", "https://a"], "without scheme"),
        (["--region", "West US"], "lower-case letters"),
    ] {
        let output = sandbox.run(&[&["serve"], &arguments[..]].concat());
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(3));
        assert!(!sandbox.dir.path().join("data/server").exists());
    }
    // The address of a database may contain a password.
    let output = sandbox.run(&["serve", "--database", "mysql://u:pass@h/d"]);
    assert!(stderr(&output).contains("postgres://"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("pass@h"), "{}", stderr(&output));
}

#[test]
fn loopback_service_is_reached_without_the_proxy() {
    let sandbox = Sandbox::new();
    let (_server, line) = Server::start(&sandbox);
    let serving: serde_json::Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| serving[name].as_str().unwrap().to_owned();
    // A proxy address without a listener: requests through it fail.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = sandbox
        .command()
        .env("HTTPS_PROXY", format!("http://{dead}"))
        .env("HTTP_PROXY", format!("http://{dead}"))
        .env("ALL_PROXY", format!("http://{dead}"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("XDG_CONFIG_HOME", sandbox.dir.path())
        .args(["login", "--server", &text("url"), "--tenant", &text("tenantId")])
        .args(["--client-id", &text("clientId"), "--client-secret", &text("clientSecret")])
        .args(["--ca", &text("ca")])
        .output()
        .unwrap();
    assert_eq!(login.status.code(), Some(0), "{}", stderr(&login));
}

#[test]
fn database_of_another_installation_is_rejected_until_adopted() {
    let sandbox = Sandbox::new();
    let (mut server, _) = Server::start(&sandbox);
    assert_eq!(server.end(), Some(0));
    let typo = sandbox.dir.path().join("typo.db");
    let url = format!("sqlite://{}", typo.display());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
    let refused = sandbox.run(&serve);
    let error = stderr(&refused);
    assert!(!refused.status.success());
    assert!(error.contains("the database is empty") && error.contains("admin adopt"), "{error}");
    assert!(!typo.exists(), "nothing is created");
    let listed = stderr(&sandbox.run(&["admin", "sp", "list", "--database", &url]));
    assert!(listed.contains("the database is empty"), "{listed}");
    let doctor = stdout(&sandbox.run(&["doctor", "--database", &url]));
    assert!(doctor.contains("MISS  database: the database is empty"), "{doctor}");
    let adopted = sandbox.run(&["admin", "adopt", "--database", &url]);
    assert!(adopted.status.success(), "{}", stderr(&adopted));
    let original = stderr(&sandbox.run(&["serve", "--listen", "127.0.0.1:0"]));
    assert!(original.contains("belong to different installations"), "{original}");
}

#[test]
fn backup_of_a_running_service_is_restored_and_served() {
    let sandbox = Sandbox::new();
    let (mut server, line) = Server::start(&sandbox);
    let backup = sandbox.run(&["admin", "backup", "copy"]);
    assert!(backup.status.success(), "{}", stderr(&backup));
    assert_eq!(server.end(), Some(0));
    let whole = stdout(&sandbox.run(&["admin", "verify", "copy"]));
    assert!(whole.contains("copy is complete: "), "{whole}");
    let other = Sandbox::new();
    let copy = sandbox.dir.path().join("copy").display().to_string();
    let restored = other.run(&["admin", "restore", &copy]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let (mut again, second) = Server::start(&other);
    let subscription = |line: &str| line.split_once("subscriptionId").unwrap().1[..39].to_owned();
    assert_eq!(subscription(&second), subscription(&line));
    assert!(second.contains(r#""clientSecret":null"#), "the administrator exists: {second}");
    assert_eq!(again.end(), Some(0));
}
