//! Commands that need no machine.

use serde_json::Value;

use crate::{Place, stderr, stdout};

#[test]
fn help_names_every_command_and_usage_errors_exit_2() {
    let help = stdout(&Place::new().run(&["--help"]));
    for command in
        ["build", "validate", "plan", "shell", "image", "catalogue", "cache", "ledger", "doctor"]
    {
        assert!(help.contains(command), "{command} in\n{help}");
    }
    let place = Place::new();
    for wrong in [
        &["build"][..],
        &["build", "t.json", "--max-age", "soon"],
        &["build", "t.json", "--export", "iso=x"],
        &["image", "boot", "x", "--publish", "80"],
        &["forge"],
    ] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn an_empty_place_has_nothing_and_says_what_to_do() {
    let place = Place::new();
    assert!(stdout(&place.run(&["image", "ls"])).contains("goldsmith build"));
    assert!(stdout(&place.run(&["ledger", "ls"])).contains("nothing is held"));
    assert!(stdout(&place.run(&["cache", "ls"])).contains("no nodes"));
    assert_eq!(place.run(&["cache", "prune", "--all"]).status.code(), Some(0));
    let gone = place.run(&["image", "show", "web"]);
    assert_eq!(gone.status.code(), Some(3));
    assert!(stderr(&gone).contains("NotFound"), "{}", stderr(&gone));
}

#[test]
fn the_shipped_catalogue_has_the_image_of_the_readme() {
    let output = Place::new().run(&["--output", "json", "catalogue", "ls"]);
    let listed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let is_it = |urn: &Value| urn.as_str().unwrap().starts_with("Debian:debian-12:12-gen2:");
    let urns = listed["images"].as_array().unwrap();
    assert!(urns.iter().any(|image| is_it(&image["urn"])), "{listed}");
}

#[test]
fn a_mistake_in_the_users_catalogue_names_file_and_line() {
    let place = Place::new();
    std::fs::create_dir_all(place.dir.path().join("data")).unwrap();
    place.write("data/catalogue.toml", "[[image]]\npublisher = 3\n");
    let output = place.run(&["catalogue", "ls"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("catalogue.toml"), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

#[test]
fn doctor_says_for_each_thing_how_it_is() {
    let output = Place::new().run(&["--output", "json", "doctor"]);
    let findings: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let whats: Vec<_> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["what"].as_str().unwrap())
        .collect();
    for what in ["qemu", "qemu-img", "KVM", "UEFI firmware", "mmdebstrap"] {
        assert!(whats.contains(&what), "{what} in {whats:?}");
    }
    let code = if findings["ready"] == true { 0 } else { 4 };
    assert_eq!(output.status.code(), Some(code));
}
