use super::*;

fn layout(own: Option<&str>) -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
    if let Some(own) = own {
        fs::create_dir_all(layout.data()).unwrap();
        fs::write(layout.user_catalogue(), own).unwrap();
    }
    (folder, layout)
}

fn refused(own: &str) -> String {
    let (_folder, layout) = layout(Some(own));
    let error = Catalogue::load(&layout).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert!(error.message.contains("catalogue.toml"), "{error}");
    error.message
}

const IMAGE: &str = r#"
[[image]]
publisher = "Acme"
offer = "base"
sku = "gen2"
generation = 2
"#;

fn with_files(versions: &[&str]) -> String {
    let mut text = IMAGE.to_owned();
    for version in versions {
        text += &format!(
            "[[image.file]]\nversion = \"{version}\"\npath = \"{version}.raw\"\nformat = \"raw\"\n"
        );
    }
    text
}

#[test]
fn debian_is_there_whatever_the_case() {
    let (_folder, layout) = layout(None);
    let catalogue = Catalogue::load(&layout).unwrap();
    let entry = catalogue.resolve("debian", "DEBIAN-12", "12-Gen2", "Latest").unwrap();
    assert_eq!(entry.urn, "Debian:debian-12:12-gen2:12");
    assert_eq!((entry.generation, entry.os_type.as_str()), (2, "Linux"));
    assert_eq!(entry.architecture, "x64");
    let Origin::Bootstrap(recipe) = &entry.origin else { panic!("{:?}", entry.origin) };
    for package in ["cloud-init", "openssh-server", "linux-image-cloud-amd64", "systemd-boot"] {
        assert!(recipe.packages.iter().any(|p| p == package), "{package}");
    }
    let listed = catalogue.list();
    assert_eq!(listed[0].urn, entry.urn);
    assert_eq!(listed[0].kind, "bootstrap");
    assert!(!listed[0].description.is_empty());
}

#[test]
fn versions_come_in_the_order_of_latest() {
    for (version, than) in
        [("12.10", "12.9"), ("2.0.0", "1.10.0"), ("12.20261125", "12"), ("18.04.2", "18.04.1")]
    {
        assert!(is_newer(version, than) && !is_newer(than, version), "{version}, {than}");
        assert!(!is_newer(version, version));
    }
}

#[test]
fn an_image_that_is_yet_to_be_bootstrapped_has_no_date() {
    let (_folder, layout) = layout(Some(&with_files(&["1.0"])));
    let catalogue = Catalogue::load(&layout).unwrap();
    assert!(catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap().is_undated());
    assert!(!catalogue.resolve("Acme", "base", "gen2", "latest").unwrap().is_undated());
}

#[test]
fn an_unknown_image_gets_near_ones_and_the_way_out() {
    let (_folder, layout) = layout(Some(&with_files(&["1.0"])));
    let catalogue = Catalogue::load(&layout).unwrap();
    let error = catalogue.resolve("Debian", "debian-12", "12", "latest").unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPIRSource);
    assert_eq!(error.message, "the catalogue has no image Debian:debian-12:12:latest");
    assert_eq!(error.details[0], "there is Debian:debian-12:12-gen2:latest");
    assert_eq!(error.details[1], "there is Acme:base:gen2:latest");
    assert!(error.hint.unwrap().contains("catalogue.toml"));

    let error = catalogue.resolve("acme", "base", "gen2", "7.0").unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPIRSource);
    assert_eq!(error.details, ["there is Acme:base:gen2:1.0", "there is Acme:base:gen2:latest"]);
}

#[test]
fn latest_is_the_highest_version() {
    let (_folder, layout) = layout(Some(&with_files(&["1.9.0", "1.10.0", "1.2.0"])));
    let catalogue = Catalogue::load(&layout).unwrap();
    let urn = |version| catalogue.resolve("Acme", "base", "gen2", version).unwrap().urn;
    assert_eq!(urn("latest"), "Acme:base:gen2:1.10.0");
    assert_eq!(urn("1.2.0"), "Acme:base:gen2:1.2.0");
}

#[test]
fn the_users_image_hides_ours() {
    let own = with_files(&["1.0"])
        .replace("Acme", "DEBIAN")
        .replace("\"base\"", "\"debian-12\"")
        .replace("\"gen2\"", "\"12-gen2\"");
    let (_folder, layout) = layout(Some(&own));
    let catalogue = Catalogue::load(&layout).unwrap();
    assert_eq!(catalogue.list().len(), 1);
    let entry = catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap();
    let Origin::File(file) = entry.origin else { panic!("{:?}", entry.origin) };
    assert_eq!(file.path, layout.data().join("1.0.raw"));
}

#[test]
fn a_changed_file_or_recipe_is_another_entry() {
    let (_folder, layout) = layout(Some(&with_files(&["1.0"])));
    let key = || {
        let catalogue = Catalogue::load(&layout).unwrap();
        catalogue.resolve("Acme", "base", "gen2", "latest").unwrap().key()
    };
    let absent = key();
    fs::write(layout.data().join("1.0.raw"), "content").unwrap();
    let first = key();
    fs::write(layout.data().join("1.0.raw"), "other content").unwrap();
    let second = key();
    assert!(absent != first && first != second);
    assert_eq!(second, key());

    let with = |more: &str| {
        let shipped = SHIPPED.replace("disk-mib = 3072", more);
        let images = parse(&shipped, &layout.user_catalogue()).unwrap();
        let catalogue = Catalogue { images, layout: layout.clone() };
        catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap().key()
    };
    assert_eq!(with("disk-mib = 3072"), with("disk-mib=3_072"));
    assert_ne!(with("disk-mib = 3072"), with("disk-mib = 4096"));
}

#[test]
fn mistakes_name_the_file_and_the_line() {
    let message = refused(&format!("{IMAGE}color = \"red\"\n"));
    assert!(message.contains("line 7") && message.contains("color"), "{message}");

    let url = "[[image.url]]\nversion = \"1\"\nurl = \"https://a/b\"\nformat = \"qcow2\"\n";
    let message = refused(&format!("{IMAGE}{url}"));
    assert!(message.contains("line 7") && message.contains("sha256 or sha512"), "{message}");

    let short = format!("{IMAGE}{url}sha256 = \"abc\"\n");
    assert!(refused(&short).contains("64 hexadecimal digits"));
    let (a, b) = ("a".repeat(64), "b".repeat(128));
    let both = format!("{IMAGE}{url}sha256 = \"{a}\"\nsha512 = \"{b}\"\n");
    assert!(refused(&both).contains("not both"));
    let odd = format!("{IMAGE}{url}sha512 = \"{b}\"\n").replace("\"qcow2\"", "\"vdi\"");
    assert!(refused(&odd).contains("qcow2, raw, vhd, vmdk"));

    for (wrong, says) in [
        (IMAGE.to_owned(), "line 2: Acme:base:gen2 has no bootstrap"),
        (with_files(&["1"]).replace("generation = 2", "generation = 3"), "line 2: generation is"),
        (with_files(&["1:2"]), "line 2: publisher"),
        (with_files(&["1"]) + &with_files(&["2"]), "is there twice"),
        (with_files(&["1"]).replace("path", "paht"), "paht"),
        (with_files(&["1"]) + "[[images]]\n", "images"),
        ("[[image]".to_owned(), "line 1"),
    ] {
        let message = refused(&wrong);
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[test]
fn an_image_by_url_is_read() {
    let sum = "AB".repeat(64);
    let url = format!(
        "[[image.url]]\nversion = \"2\"\nurl = \"https://a/b.vhd\"\nformat = \"vhd\"\n\
         sha512 = \"{sum}\"\nvirtual-size = 1_048_576\n"
    );
    let (_folder, layout) = layout(Some(&format!("{IMAGE}{url}")));
    let catalogue = Catalogue::load(&layout).unwrap();
    let entry = catalogue.resolve("Acme", "base", "gen2", "2").unwrap();
    let Origin::Url(image) = &entry.origin else { panic!("{:?}", entry.origin) };
    assert_eq!(image.checksum, Checksum::Sha512(sum.to_lowercase()));
    assert_eq!(image.virtual_size, Some(1 << 20));
    assert_eq!(catalogue.list()[0].kind, "url");
}
