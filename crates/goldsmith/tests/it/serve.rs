//! `goldsmith serve` and `goldsmith admin` as programs.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{Place, stderr, stdout};

/// A running server, ended with the test.
struct Server(Child);

impl Server {
    /// Starts it and waits for the line that says that it answers.
    fn start(place: &Place) -> (Self, String) {
        let mut child = place
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
fn the_secret_is_told_once_and_a_second_server_is_refused() {
    let place = Place::new();
    let (mut first, line) = Server::start(&place);
    assert!(line.contains(r#""kind":"serving""#), "{line}");
    assert!(line.contains(r#""clientSecret":"gs_"#), "{line}");
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    assert!(stderr(&second).contains("another goldsmith serves"), "{}", stderr(&second));
    // An administrator works beside the running server.
    let listed = stdout(&place.run(&["admin", "sp", "list"]));
    assert!(listed.contains("administrator"), "{listed}");
    assert_eq!(first.end(), Some(0));
    let (mut again, line) = Server::start(&place);
    assert!(line.contains(r#""clientSecret":null"#), "{line}");
    assert_eq!(again.end(), Some(0));
}

#[test]
fn a_service_principal_is_made_given_a_new_secret_and_revoked() {
    let place = Place::new();
    let made = stdout(&place.run(&["admin", "sp", "create", "ci", "--output", "json"]));
    let (_, rest) = made.split_once(r#""clientId":""#).unwrap();
    let id = &rest[..36];
    let rotated = stdout(&place.run(&["admin", "sp", "rotate", id, "--output", "json"]));
    assert!(rotated.contains("gs_") && rotated != made, "{rotated}");
    let revoked = stdout(&place.run(&["admin", "sp", "revoke", id]));
    assert_eq!(revoked, format!("revoked {id} (ci)\n"));
    let late = place.run(&["admin", "sp", "rotate", id]);
    assert!(stderr(&late).contains("is revoked"), "{}", stderr(&late));
    assert_ne!(late.status.code(), Some(0));
    let nobody = place.run(&["admin", "sp", "revoke", "nobody"]);
    assert!(stderr(&nobody).contains("goldsmith admin sp list"), "{}", stderr(&nobody));
}

#[test]
fn what_serve_cannot_use_is_told_by_its_flag_and_nothing_is_made() {
    let place = Place::new();
    for (arguments, wanted) in [
        (["--listen", "0.0.0.0:0"], "--allow-remote"),
        (["--host", "https://a"], "without scheme"),
        (["--region", "West US"], "lower-case letters"),
    ] {
        let output = place.run(&[&["serve"], &arguments[..]].concat());
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(3));
        assert!(!place.dir.path().join("data/server").exists());
    }
    // The address of a database may hold a password.
    let output = place.run(&["serve", "--database", "mysql://u:pass@h/d"]);
    assert!(stderr(&output).contains("postgres://"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("pass@h"), "{}", stderr(&output));
}

#[test]
fn loopback_is_reached_past_a_proxy() {
    let place = Place::new();
    let (_server, line) = Server::start(&place);
    let serving: serde_json::Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| serving[name].as_str().unwrap().to_owned();
    // Nobody listens there: whatever goes through it fails.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = place
        .command()
        .env("HTTPS_PROXY", format!("http://{dead}"))
        .env("HTTP_PROXY", format!("http://{dead}"))
        .env("ALL_PROXY", format!("http://{dead}"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("XDG_CONFIG_HOME", place.dir.path())
        .args(["login", "--server", &text("url"), "--tenant", &text("tenantId")])
        .args(["--client-id", &text("clientId"), "--client-secret", &text("clientSecret")])
        .args(["--ca", &text("ca")])
        .output()
        .unwrap();
    assert_eq!(login.status.code(), Some(0), "{}", stderr(&login));
}

#[test]
fn another_database_is_refused_until_it_is_adopted() {
    let place = Place::new();
    let (mut server, _) = Server::start(&place);
    assert_eq!(server.end(), Some(0));
    let typo = place.dir.path().join("typo.db");
    let url = format!("sqlite://{}", typo.display());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
    let refused = place.run(&serve);
    let said = stderr(&refused);
    assert!(!refused.status.success());
    assert!(said.contains("the database is empty") && said.contains("admin adopt"), "{said}");
    assert!(!typo.exists(), "nothing is made");
    let listed = stderr(&place.run(&["admin", "sp", "list", "--database", &url]));
    assert!(listed.contains("the database is empty"), "{listed}");
    let doctor = stdout(&place.run(&["doctor", "--database", &url]));
    assert!(doctor.contains("MISS  database: the database is empty"), "{doctor}");
    let adopted = place.run(&["admin", "adopt", "--database", &url]);
    assert!(adopted.status.success(), "{}", stderr(&adopted));
    let own = stderr(&place.run(&["serve", "--listen", "127.0.0.1:0"]));
    assert!(own.contains("belong to different installations"), "{own}");
}

#[test]
fn a_backup_made_beside_the_running_service_is_served_elsewhere() {
    let place = Place::new();
    let (mut server, line) = Server::start(&place);
    let made = place.run(&["admin", "backup", "copy"]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(server.end(), Some(0));
    let whole = stdout(&place.run(&["admin", "verify", "copy"]));
    assert!(whole.contains("copy is whole: "), "{whole}");
    let other = Place::new();
    let copy = place.dir.path().join("copy").display().to_string();
    let restored = other.run(&["admin", "restore", &copy]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let (mut again, second) = Server::start(&other);
    let subscription = |line: &str| line.split_once("subscriptionId").unwrap().1[..39].to_owned();
    assert_eq!(subscription(&second), subscription(&line));
    assert!(second.contains(r#""clientSecret":null"#), "the administrator is known: {second}");
    assert_eq!(again.end(), Some(0));
}
