use std::collections::BTreeMap;

use super::*;
use crate::catalogue::Bootstrap;

const RECIPE: &str = "kind = \"windows-iso\"\nversion = \"1\"\npath = \"windows.iso\"\nindex = 4\n\
                      disk-mib = 65536\nlanguage = \"de-DE\"\n";

fn recipe(more: &str) -> WindowsIso {
    match toml::from_str(&format!("{RECIPE}{more}")).unwrap() {
        Bootstrap::WindowsIso(recipe) => recipe,
        Bootstrap::Debian(_) => panic!("it is Debian"),
    }
}

/// The texts of all elements of a document, by their paths. Panics if it is not well-formed. Knows as
/// much of XML as the answers have: elements, attributes in double quotes, and three entities.
fn texts(xml: &str) -> BTreeMap<String, Vec<String>> {
    let (declaration, rest) = xml.split_once("?>").unwrap();
    assert_eq!(declaration, r#"<?xml version="1.0" encoding="utf-8""#);
    let (mut path, mut found) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    let (before, rest) = rest.split_once('<').unwrap();
    assert_eq!(before.trim(), "");
    for piece in rest.split('<') {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(!text.contains('>'), "{piece}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(path.pop(), Some(name)),
            None => {
                let name = tag.split(' ').next().unwrap();
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
                let attributes = tag.split(' ').skip(1);
                for attribute in attributes {
                    let (_, value) = attribute.split_once('=').unwrap();
                    assert!(value.len() > 1 && value.starts_with('"') && value.ends_with('"'));
                }
                path.push(name);
            }
        }
        let plain = text.replace("&lt;", "<").replace("&gt;", ">");
        let entities = plain.matches("&amp;").count();
        assert_eq!(plain.matches('&').count(), entities, "{text}");
        if !plain.trim().is_empty() {
            found.entry(path.join("/")).or_default().push(plain.replace("&amp;", "&"));
        }
    }
    assert!(path.is_empty(), "{path:?} is not closed");
    found
}

fn all(found: &BTreeMap<String, Vec<String>>, end: &str) -> String {
    let of = found.iter().filter(|(path, _)| path.ends_with(end));
    of.flat_map(|(_, texts)| texts.iter().map(String::as_str)).collect::<Vec<_>>().join("")
}

#[test]
fn answers_are_well_formed_and_have_no_place_left() {
    let full = recipe(
        "drivers = \"virtio.iso\"\nproduct-key = \"ABCDE-12345-FGHIJ-67890-KLMNO\"\ntpm = true\n\
         secure-boot = true\n",
    );
    for (recipe, generation) in [(recipe(""), 1), (recipe(""), 2), (full, 2)] {
        let xml = answers(&recipe, generation, "0123abcd");
        assert!(!xml.contains("{{") && !xml.contains("}}"), "{xml}");
        let found = texts(&xml);
        assert_eq!(all(&found, "/MetaData/Value"), "4");
        assert_eq!(all(&found, "/Reseal/Mode"), "Audit");
        assert_eq!(all(&found, "/SetupUILanguage/UILanguage"), "de-DE");
        let key = if recipe.product_key.is_some() { "ABCDE-12345-FGHIJ-67890-KLMNO" } else { "" };
        assert_eq!(all(&found, "/ProductKey/Key"), key);
        assert_eq!(all(&found, "/PathAndCredentials/Path").is_empty(), recipe.drivers.is_none());
        let commands = all(&found, "/RunSynchronousCommand/Path");
        assert_eq!(commands.contains("BypassTPMCheck"), !recipe.tpm);
        assert_eq!(commands.contains("BypassSecureBootCheck"), !recipe.secure_boot);
        assert!(commands.contains(r"install.ps1 0123abcd & exit 0"), "{commands}");
    }
}

#[test]
fn system_is_installed_on_the_last_partition() {
    for (generation, kinds, target) in [(1, "PrimaryPrimary", "2"), (2, "EFIMSRPrimary", "3")] {
        let found = texts(&answers(&recipe(""), generation, "m"));
        assert_eq!(all(&found, "/CreatePartition/Type"), kinds);
        assert_eq!(all(&found, "/CreatePartition/Extend"), "true");
        assert_eq!(all(&found, "/InstallTo/PartitionID"), target);
    }
}

#[test]
fn commands_are_short_enough_for_setup_and_report_on_both_ports() {
    let mark = "0".repeat(32);
    let xml = answers(&recipe(""), 2, &mark);
    for line in xml.lines().filter_map(|line| line.trim().strip_prefix("<Path>")) {
        let command = line.trim_end_matches("</Path>").replace("&amp;", "&").replace("&gt;", ">");
        assert!(command.len() <= 259, "{} characters: {command}", command.len());
        assert!(command.starts_with("reg.exe ") || command.ends_with("& exit 0"), "{command}");
    }
    for port in ["COM1", "COM2"] {
        for step in ["step 1 ", "step 2 "] {
            let line = format!("goldsmith {mark} {step}");
            let found =
                xml.lines().any(|l| l.contains(&line) && l.contains(&format!(r"\\.\{port}")));
            assert!(found, "{port} {step}");
        }
    }
}

#[test]
fn files_have_the_names_that_windows_looks_for_and_its_ends_of_lines() {
    let [answers, install] = files(&recipe(""), 2, "m");
    assert_eq!((answers.0.as_str(), install.0.as_str()), ("Autounattend.xml", "install.ps1"));
    for (_, content) in [answers, install] {
        let text = String::from_utf8(content).unwrap();
        assert!(text.lines().count() > 20 && !text.replace("\r\n", "").contains('\n'));
    }
}
