use images::first_contact::LoginFile;

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
fn debian_is_found_in_any_case() {
    let (_folder, layout) = layout(None);
    let catalogue = Catalogue::load(&layout).unwrap();
    let entry = catalogue.resolve("debian", "DEBIAN-12", "12-Gen2", "Latest").unwrap();
    assert_eq!(entry.urn, "Debian:debian-12:12-gen2:12");
    assert_eq!((entry.generation, entry.os), (2, OsType::Linux));
    assert_eq!(entry.architecture, "x64");
    let Origin::Bootstrap(Bootstrap::Debian(recipe)) = &entry.origin else {
        panic!("{:?}", entry.origin)
    };
    for package in ["cloud-init", "openssh-server", "linux-image-cloud-amd64", "systemd-boot"] {
        assert!(recipe.packages.iter().any(|p| p == package), "{package}");
    }
    let listed = catalogue.list();
    let listed = listed.iter().find(|listed| listed.urn == entry.urn).unwrap();
    assert_eq!(listed.kind, "bootstrap");
    assert!(!listed.description.is_empty());
}

#[test]
fn image_states_how_it_is_entered() {
    let contact = |own: &str| {
        let (_folder, layout) = layout(Some(own));
        let catalogue = Catalogue::load(&layout).unwrap();
        let of = |parts: [&str; 3]| {
            catalogue.resolve(parts[0], parts[1], parts[2], "latest").unwrap().first_contact
        };
        (of(["Acme", "base", "gen2"]), of(["Debian", "debian-12", "12"]))
    };
    let files = with_files(&["1.0.0"]);
    let by_default = (FirstContact::CloudInit, FirstContact::Credentials);
    assert_eq!(contact(&files), by_default);
    let stated = |value: &str| {
        let field = format!("generation = 2\nfirst-contact = \"{value}\"\n");
        files.replace("generation = 2\n", &field)
    };
    assert_eq!(contact(&stated("credentials")).0, FirstContact::Credentials);
    let message = refused(&stated("telepathy"));
    assert!(message.contains("telepathy") && message.contains("`credentials`"), "{message}");
}

// conformance: 42
#[test]
fn shipped_image_resolves_by_its_name() {
    let (_folder, layout) = layout(None);
    let catalogue = Catalogue::load(&layout).unwrap();
    let listed = catalogue.list();
    for image in &listed {
        let parts: Vec<&str> = image.urn.split(':').collect();
        let [publisher, offer, sku, version] = parts.as_slice() else { panic!("{}", image.urn) };
        for version in [*version, "latest"] {
            let entry = catalogue.resolve(publisher, offer, sku, version).unwrap();
            assert_eq!(entry.urn, image.urn);
        }
        let generation = if sku.contains("gen1") { 1 } else { image.generation };
        assert_eq!(image.generation, generation, "{}", image.urn);
        assert!(!image.description.is_empty(), "{}", image.urn);
    }
    for (urn, generation) in [
        ("Debian:debian-12:12", 1),
        ("Debian:debian-13:13-gen2", 2),
        ("Canonical:ubuntu-24_04-lts:server", 2),
        ("Canonical:0001-com-ubuntu-server-jammy:22_04-lts", 1),
        ("almalinux:almalinux-x86_64:9-gen2", 2),
        ("resf:rockylinux-x86_64:9-base", 2),
    ] {
        let found = listed.iter().find(|image| image.urn.starts_with(&format!("{urn}:")));
        assert_eq!(found.map(|image| image.generation), Some(generation), "{urn}");
    }
}

// conformance: 44
#[test]
fn sold_image_requires_its_plan() {
    let plan = "[image.plan]\nname = \"9-base\"\nproduct = \"rocky\"\npublisher = \"resf\"\n";
    let (_folder, layout) = layout(Some(&with_files(&["1"]).replacen(
        "[[image.file]]",
        &format!("{plan}[[image.file]]"),
        1,
    )));
    let catalogue = Catalogue::load(&layout).unwrap();
    let source = |plan: Option<[&str; 3]>| {
        let plan_info = plan.map(|[name, product, publisher]| PlanInfo {
            plan_name: name.into(),
            plan_product: product.into(),
            plan_publisher: publisher.into(),
        });
        let [publisher, offer, sku, version] = ["Acme", "base", "gen2", "latest"].map(Into::into);
        catalogue.source(&PlatformImage { publisher, offer, sku, version, plan_info })
    };
    assert_eq!(source(Some(["9-base", "rocky", "RESF"])).unwrap().urn, "Acme:base:gen2:1");
    for (plan, target) in [
        (None, "properties.source.planInfo"),
        (Some(["8-base", "rocky", "resf"]), "properties.source.planInfo.planName"),
        (Some(["9-base", "alma", "resf"]), "properties.source.planInfo.planProduct"),
        (Some(["9-base", "rocky", "me"]), "properties.source.planInfo.planPublisher"),
    ] {
        let error = source(plan).unwrap_err();
        assert_eq!((error.code, error.target.as_deref()), (ErrorCode::BadPIRSource, Some(target)));
        assert!(error.hint.unwrap().contains("planName `9-base`"), "{plan:?}");
    }

    let free = PlatformImage {
        publisher: "Debian".into(),
        offer: "debian-12".into(),
        sku: "12-gen2".into(),
        version: "latest".into(),
        plan_info: Some(PlanInfo {
            plan_name: "any".into(),
            plan_product: "any".into(),
            plan_publisher: "any".into(),
        }),
    };
    assert!(catalogue.source(&free).is_ok());
}

#[test]
fn versions_are_ordered_as_for_latest() {
    for (version, than) in
        [("12.10", "12.9"), ("2.0.0", "1.10.0"), ("12.20261125", "12"), ("18.04.2", "18.04.1")]
    {
        assert!(is_newer(version, than) && !is_newer(than, version), "{version}, {than}");
        assert!(!is_newer(version, version));
    }
}

#[test]
fn image_before_bootstrap_has_no_date() {
    let (_folder, layout) = layout(Some(&with_files(&["1.0"])));
    let catalogue = Catalogue::load(&layout).unwrap();
    assert!(catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap().is_undated());
    assert!(!catalogue.resolve("Acme", "base", "gen2", "latest").unwrap().is_undated());
}

#[test]
fn unknown_image_error_has_similar_names_and_hint() {
    let (_folder, layout) = layout(Some(&with_files(&["1.0"])));
    let catalogue = Catalogue::load(&layout).unwrap();
    let error = catalogue.resolve("Debian", "debian-12", "12-gen3", "latest").unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPIRSource);
    assert_eq!(error.message, "the catalogue has no image Debian:debian-12:12-gen3:latest");
    assert_eq!(error.details[0], "there is Debian:debian-12:12-gen2:latest");
    assert_eq!(error.details[1], "there is Debian:debian-12:12:latest");
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
fn user_image_hides_the_shipped_one() {
    let own = with_files(&["1.0"])
        .replace("Acme", "DEBIAN")
        .replace("\"base\"", "\"debian-12\"")
        .replace("\"gen2\"", "\"12-gen2\"");
    let (_folder, layout) = layout(Some(&own));
    let catalogue = Catalogue::load(&layout).unwrap();
    let ours =
        |listed: &&Listed| listed.urn.to_lowercase().starts_with("debian:debian-12:12-gen2:");
    assert_eq!(catalogue.list().iter().filter(ours).count(), 1);
    let entry = catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap();
    let Origin::File(file) = entry.origin else { panic!("{:?}", entry.origin) };
    assert_eq!(file.path, layout.data().join("1.0.raw"));
}

#[test]
fn image_for_some_subscriptions_is_hidden_from_the_others() {
    const OWN: &str = "11111111-2222-3333-4444-55555555555a";
    const OTHER: &str = "11111111-2222-3333-4444-55555555555b";
    let subscriptions = format!("generation = 2\nsubscriptions = [\"{}\"]", OWN.to_uppercase());
    let alias = "[[alias]]\nname = \"Acme:other:*\"\nimage = \"Acme:base:gen2\"\n";
    let own = with_files(&["1.0"]).replace("generation = 2", &subscriptions) + alias;
    let (_folder, layout) = layout(Some(&own));
    let load = |id| Catalogue::load_for(&layout, id).unwrap();
    let sees = |catalogue: &Catalogue| {
        let is_listed = catalogue.list().iter().any(|listed| listed.urn == "Acme:base:gen2:1.0");
        for (offer, sku) in [("base", "gen2"), ("other", "any")] {
            let found = catalogue.resolve("Acme", offer, sku, "latest");
            assert_eq!(found.is_ok(), is_listed, "{offer}");
            let near = found.err().map_or_else(Vec::new, |error| error.details);
            assert!(!near.iter().any(|line| line.contains("Acme")), "{near:?}");
        }
        let mut aliases = catalogue.aliases().into_iter();
        assert_eq!(aliases.any(|alias| alias.image == "Acme:base:gen2"), is_listed);
        is_listed
    };
    assert!(sees(&load(None)) && sees(&load(Some(OWN))));
    assert!(!sees(&load(Some(OTHER))) && !sees(&Catalogue::load_public(&layout).unwrap()));
    assert!(
        refused(&own.replace("subscriptions = [\"", "subscriptions = [\"x")).contains("line 7")
    );
}

#[test]
fn image_hidden_from_a_subscription_hides_no_shipped_one() {
    let own = with_files(&["1.0"])
        .replace("Acme", "Debian")
        .replace("\"base\"", "\"debian-12\"")
        .replace("\"gen2\"", "\"12-gen2\"\nsubscriptions = []");
    let (_folder, layout) = layout(Some(&own));
    let kind = |subscription| {
        let catalogue = Catalogue::load_for(&layout, subscription).unwrap();
        let entry = catalogue.resolve("Debian", "debian-12", "12-gen2", "latest").unwrap();
        entry.origin.kind()
    };
    assert_eq!((kind(None), kind(Some("any"))), ("file", "bootstrap"));
}

#[test]
fn changed_file_or_recipe_changes_the_key() {
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
        let Parsed { images, aliases } = parse(&shipped, &layout.user_catalogue()).unwrap();
        let layout = layout.clone();
        let catalogue = Catalogue { images, own_images: 0, aliases, own_aliases: 0, layout };
        let key = |sku| catalogue.resolve("Debian", "debian-12", sku, "latest").unwrap().key();
        assert_ne!(key("12"), key("12-gen2"));
        key("12-gen2")
    };
    assert_eq!(with("disk-mib = 3072"), with("disk-mib=3_072"));
    assert_ne!(with("disk-mib = 3072"), with("disk-mib = 4096"));
}

#[test]
fn mistake_names_the_file_and_the_line() {
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
    for (more, says) in [
        (format!("sha256 = \"{a}\"\nchecksums = \"https://a/SUMS\"\n"), "not both"),
        ("checksums = \"http://a/SUMS\"\n".to_owned(), "https://"),
        ("checksums = \"SUMS\"\n".to_owned(), "https://"),
        (format!("sha256 = \"{a}\"\nrolling = true\n"), "go with checksums"),
        (
            "checksums = \"https://a/S\"\nversioned-name = \"x-{version}\"\n".to_owned(),
            "goes with rolling",
        ),
        (
            "checksums = \"https://a/S\"\nrolling = true\nversioned-name = \"x\"\n".to_owned(),
            "{version} in it",
        ),
    ] {
        let message = refused(&format!("{IMAGE}{url}{more}"));
        assert!(message.contains("line 7") && message.contains(says), "{says}: {message}");
    }
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
fn image_by_url_parses() {
    let sum = "AB".repeat(64);
    let url = format!(
        "[[image.url]]\nversion = \"2\"\nurl = \"https://a/b.vhd\"\nformat = \"vhd\"\n\
         sha512 = \"{sum}\"\nvirtual-size = 1_048_576\n"
    );
    let (_folder, layout) = layout(Some(&format!("{IMAGE}{url}")));
    let catalogue = Catalogue::load(&layout).unwrap();
    let entry = catalogue.resolve("Acme", "base", "gen2", "2").unwrap();
    let Origin::Url(image) = &entry.origin else { panic!("{:?}", entry.origin) };
    assert_eq!(image.pledge, Pledge::Given(Checksum::Sha512(sum.to_lowercase())));
    assert_eq!(image.virtual_size, Some(1 << 20));
    assert!(catalogue.list().iter().any(|image| image.urn == entry.urn && image.kind == "url"));
}

#[test]
fn common_linux_sources_resolve() {
    let (_folder, layout) = layout(None);
    let catalogue = Catalogue::load(&layout).unwrap();
    for (name, real, generation) in [
        ("Canonical:UbuntuServer:18.04-LTS", "Canonical:UbuntuServer:18.04-LTS", 1),
        ("canonical:ubuntuserver:18_04-LTS-gen2", "Canonical:UbuntuServer:18_04-lts-gen2", 2),
        ("Canonical:UbuntuServer:16.04-LTS", "Canonical:UbuntuServer:16.04-LTS", 1),
        (
            "Canonical:0001-com-ubuntu-server-focal:20_04-lts-gen2",
            "Canonical:0001-com-ubuntu-server-focal:20_04-lts-gen2",
            2,
        ),
        ("RedHat:RHEL:8-lvm", "almalinux:almalinux-x86_64:8-gen1", 1),
        ("RedHat:RHEL:8.1", "almalinux:almalinux-x86_64:8-gen1", 1),
        ("RedHat:RHEL:8-lvm-gen2", "almalinux:almalinux-x86_64:8-gen2", 2),
        ("RedHat:RHEL:9-gen2", "almalinux:almalinux-x86_64:9-gen2", 2),
        ("RedHat:RHEL:9_4", "almalinux:almalinux-x86_64:9-gen1", 1),
        ("redhat:rhel:10-LVM-gen2", "almalinux:almalinux-x86_64:10-gen2", 2),
        ("RedHat:rhel-byos:rhel-lvm82", "almalinux:almalinux-x86_64:8-gen1", 1),
        ("RedHat:rhel-byos:rhel-lvm77", "OpenLogic:CentOS:7_9", 1),
        ("OpenLogic:CentOS:7.6", "OpenLogic:CentOS:7_9", 1),
        ("OpenLogic:CentOS:8_5-gen2", "almalinux:almalinux-x86_64:8-gen2", 2),
    ] {
        let [publisher, offer, sku] = name.split(':').collect::<Vec<_>>()[..] else { panic!() };
        let entry = catalogue.resolve(publisher, offer, sku, "latest").unwrap();
        assert_eq!((entry.name.as_str(), entry.generation), (real, generation), "{name}");
        let stands_for = entry.stands_for();
        assert_eq!(stands_for.is_some(), !name.eq_ignore_ascii_case(real), "{name}");
        if let Some(text) = stands_for {
            assert!(text.starts_with(name) && text.contains(real), "{text}");
        }
    }
    assert!(catalogue.resolve("RedHat", "RHEL", "6.10", "latest").is_err());
}

#[test]
fn user_alias_stands_for_one_image() {
    let alias = |name: &str, image: &str| {
        format!("{}[[alias]]\nname = \"{name}\"\nimage = \"{image}\"\n", with_files(&["1"]))
    };
    let (_folder, layout) = layout(Some(&alias("SUSE:sles-*:*", "acme:BASE:gen2")));
    let catalogue = Catalogue::load(&layout).unwrap();
    let entry = catalogue.resolve("suse", "SLES-15-sp4", "gen1", "latest").unwrap();
    assert_eq!(entry.urn, "Acme:base:gen2:1");
    assert!(entry.stands_for().unwrap().starts_with("suse:SLES-15-sp4:gen1 "));
    assert!(catalogue.resolve("suse", "leap", "gen1", "latest").is_err());

    // The user's alias takes precedence over a shipped image and a shipped alias, and the user's
    // image over the alias.
    for name in ["Debian:debian-12:12", "RedHat:RHEL:8*", "*:*:*"] {
        let (_folder, layout) = self::layout(Some(&alias(name, "Acme:base:gen2")));
        let catalogue = Catalogue::load(&layout).unwrap();
        let [publisher, offer, sku] = match name {
            "Debian:debian-12:12" => ["Debian", "debian-12", "12"],
            _ => ["RedHat", "RHEL", "8-lvm"],
        };
        let entry = catalogue.resolve(publisher, offer, sku, "latest").unwrap();
        assert_eq!(entry.name, "Acme:base:gen2", "{name}");
        let own = catalogue.resolve("Acme", "base", "gen2", "latest").unwrap();
        assert_eq!(own.stands_for(), None);
    }

    for (name, image, says) in [
        ("Suse:sles", "Acme:base:gen2", "publisher:offer:sku"),
        ("Suse:sles:15", "Acme:*:gen2", "without *"),
        ("Suse:sles:15", "Acme:base:gen3", "is not in the catalogue"),
        ("Suse:sles:15", "RedHat:RHEL:8-lvm", "is not in the catalogue"),
    ] {
        assert!(refused(&alias(name, image)).contains(says), "{name} {image}");
    }
}

#[test]
fn unknown_image_hint_shows_an_alias() {
    let (_folder, layout) = layout(None);
    let catalogue = Catalogue::load(&layout).unwrap();
    let error = catalogue.resolve("Debian", "debian-12", "12-arm", "latest").unwrap_err();
    let hint = error.hint.unwrap();
    assert!(
        hint.contains(
            "[[alias]]\nname = \"Debian:debian-12:12-arm\"\nimage = \"Debian:debian-12:12-gen2\""
        ),
        "{hint}"
    );
    // The example in the hint works.
    let lines = hint.split_once("[[alias]]").unwrap().1;
    let (_folder, layout) = self::layout(Some(&format!("[[alias]]{lines}")));
    let entry =
        Catalogue::load(&layout).unwrap().resolve("Debian", "debian-12", "12-arm", "latest");
    assert_eq!(entry.unwrap().name, "Debian:debian-12:12-gen2");

    for (publisher, offer) in [
        ("MicrosoftWindowsServer", "WindowsServer"),
        ("MicrosoftWindowsDesktop", "office-365"),
        ("MicrosoftSQLServer", "sql2022-ws2022"),
    ] {
        let error = catalogue.resolve(publisher, offer, "x-g2", "latest").unwrap_err();
        assert!(error.message.contains("it is Windows, whose images"), "{error}");
        assert!(error.details.is_empty(), "no Linux image is offered for it: {error:?}");
        let hint = error.hint.unwrap();
        assert!(hint.contains("catalogue.toml") && !hint.contains("[[alias]]"), "{hint}");
        // The example in the hint works.
        let lines = hint.split_once("[[image]]").unwrap().1;
        let (_folder, layout) = self::layout(Some(&format!("[[image]]{lines}")));
        let own = Catalogue::load(&layout).unwrap();
        let entry = own.resolve(publisher, offer, "x-g2", "latest").unwrap();
        assert_eq!((entry.os, entry.generation), (OsType::Windows, 2));
        let error = own.resolve(publisher, offer, "x", "latest").unwrap_err();
        assert_eq!(error.details, [format!("there is {publisher}:{offer}:x-g2:latest")]);
    }
}

fn windows(more: &str) -> String {
    let file = with_files(&["1.0.0"]).replace("generation = 2\n", "");
    file.replace("sku = \"gen2\"\n", &format!("sku = \"gen2\"\ngeneration = 2\n{more}\n"))
}

#[test]
fn windows_image_names_its_system_and_how_it_is_entered() {
    let entry = |more: &str| {
        let (_folder, layout) = layout(Some(&windows(more)));
        let catalogue = Catalogue::load(&layout).unwrap();
        assert!(catalogue.list().iter().any(|listed| listed.os == OsType::Windows));
        (catalogue.resolve("Acme", "base", "gen2", "latest").unwrap(), layout)
    };
    let (by_default, _) = entry("os-type = \"Windows\"");
    assert_eq!(
        (by_default.os, by_default.first_contact),
        (OsType::Windows, FirstContact::Unattend)
    );
    let (cloudbase, _) = entry("os-type = \"windows\"\nfirst-contact = \"cloudbase-init\"");
    assert_eq!(cloudbase.first_contact, FirstContact::CloudbaseInit);
    let login = "os-type = \"Windows\"\nfirst-contact = \"specialized\"\nlogin = \"login.txt\"";
    let (specialized, layout) = entry(login);
    let file = LoginFile(layout.data().join("login.txt"));
    assert_eq!(specialized.first_contact, FirstContact::Specialized(file));

    for (more, says) in [
        ("os-type = \"BeOS\"", "one of Linux, Windows"),
        ("os-type = \"Windows\"\nfirst-contact = \"cloud-init\"", "is for images of Linux"),
        ("first-contact = \"unattend\"", "is for images of Windows"),
        ("os-type = \"Windows\"\nfirst-contact = \"specialized\"", "needs a login"),
        ("os-type = \"Windows\"\nlogin = \"login.txt\"", "a login goes with"),
    ] {
        let message = refused(&windows(more));
        assert!(message.contains("line ") && message.contains(says), "{says}: {message}");
    }
}

const ISO: &str = r#"
[[image]]
publisher = "MicrosoftWindowsServer"
offer = "WindowsServer"
sku = "2022-datacenter-g2"
generation = 2
os-type = "Windows"

[image.bootstrap]
kind = "windows-iso"
version = "20348"
path = "server.iso"
index = 4
disk-mib = 65536
"#;

#[test]
fn windows_iso_is_a_recipe_of_an_entry() {
    let entry = |text: &str| {
        let (folder, layout) = layout(Some(text));
        fs::write(layout.data().join("server.iso"), "CD001").unwrap();
        let catalogue = Catalogue::load(&layout).unwrap();
        let found = catalogue.resolve(
            "MicrosoftWindowsServer",
            "WindowsServer",
            "2022-datacenter-g2",
            "latest",
        );
        (found.unwrap(), layout, folder)
    };
    let (found, layout, _folder) = entry(ISO);
    assert_eq!((found.os, &found.first_contact), (OsType::Windows, &FirstContact::Unattend));
    assert!(found.is_undated());
    let Origin::Bootstrap(Bootstrap::WindowsIso(recipe)) = &found.origin else {
        panic!("{found:?}")
    };
    assert_eq!(recipe.path, layout.data().join("server.iso"));
    assert_eq!((recipe.language.as_str(), recipe.minutes, recipe.tpm), ("en-US", 120, false));

    let key = "ABCDE-12345-FGHIJ-67890-KLMNO";
    let keyed = format!("{ISO}product-key = \"{key}\"\n");
    let with_key = entry(&keyed).0;
    assert!(!format!("{with_key:?}").contains(key), "{with_key:?}");
    for (text, says) in [
        (ISO.replace("index = 4\n", ""), "index"),
        (ISO.replace("index = 4", "index = 0"), "index and minutes are at least 1"),
        (ISO.replace("65536", "2048"), "disk-mib is at least 32768"),
        (ISO.replace("\"Windows\"", "\"Linux\""), "makes Windows: os-type must say so"),
        (ISO.replace("windows-iso", "windows-cd"), "one of debian, windows-iso"),
        (format!("{ISO}colour = 1\n"), "colour"),
        (format!("{ISO}product-key = \"secret\"\n"), "five groups of five"),
        (format!("{ISO}language = \"<en>\"\n"), "no language tag"),
        (format!("{ISO}tpm = true\n").replace("generation = 2", "generation = 1"), "generation 2"),
    ] {
        let message = refused(&text);
        assert!(message.contains(says), "{says}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
