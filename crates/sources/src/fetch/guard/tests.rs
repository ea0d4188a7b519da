use super::{ranges::SPECIAL, *};

fn nowhere(_: IpAddr) -> io::Result<bool> {
    Ok(false)
}

fn verdict(guard: &Guard, text: &str) -> Result<(), Refusal> {
    guard.admit(text, text.parse().unwrap(), nowhere)
}

fn allowed(guard: &Guard, text: &str) -> bool {
    verdict(guard, text).is_ok()
}

fn strict() -> Guard {
    Guard::only(None)
}

/// The IANA special-purpose registries, one address per row, with the name if one is expected.
#[rustfmt::skip]
const REGISTRY: &[(&str, &str)] = &[
    ("0.0.0.1", "this network"),
    ("0.0.0.0", "this network"),
    ("10.255.255.255", "private use"),
    ("100.64.0.1", "shared"),
    ("100.127.255.255", "shared"),
    ("127.0.0.1", "loopback"),
    ("169.254.0.1", "link local"),
    ("172.31.255.255", "private use"),
    ("192.0.0.1", "IETF"),
    ("192.0.0.8", "IETF"),
    ("192.0.0.9", "IETF"),
    ("192.0.0.10", "IETF"),
    ("192.0.0.170", "IETF"),
    ("192.0.0.192", "metadata"),
    ("192.0.2.1", "TEST-NET-1"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4"),
    ("192.168.255.255", "private use"),
    ("192.175.48.1", "AS112"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "TEST-NET-2"),
    ("203.0.113.1", "TEST-NET-3"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::808:808", "compatible"),
    ("::ffff:0:8.8.8.8", "translated"),
    ("::ffff:10.0.0.1", "private use"),
    ("64:ff9b::10.0.0.1", "private use"),
    ("64:ff9b:1::8.8.8.8", "translation"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("2001:0:808:808::1", "Teredo"),
    ("2001:1::1", "IETF"),
    ("2001:1::2", "IETF"),
    ("2001:1::3", "IETF"),
    ("2001:1ff:ffff::1", "IETF"),
    ("2001:2::1", "benchmarking"),
    ("2001:3::1", "AMT"),
    ("2001:4:112::1", "AS112"),
    ("2001:10::1", "ORCHID"),
    ("2001:20::1", "ORCHIDv2"),
    ("2001:30::1", "drone"),
    ("2001:db8::1", "documentation"),
    ("2002:808:808::1", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff:fff::1", "documentation"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fdff::1", "unique local"),
    ("fe80::1", "link local"),
    ("fec0::1", "site local"),
    ("ff02::1", "multicast"),
    // Outside of global unicast, unassigned.
    ("1::1", "not assigned"),
    ("4000::1", "not assigned"),
    ("f000::1", "not assigned"),
];

#[test]
fn registry_address_is_rejected_by_name() {
    for (address, name) in REGISTRY {
        let refusal = verdict(&strict(), address).expect_err(address);
        assert!(refusal.why.contains(name), "{address}: {}", refusal.why);
    }
    // Each row of the table is covered by a row of the test.
    for block in SPECIAL {
        let met = REGISTRY.iter().any(|(address, _)| block.contains(address.parse().unwrap()));
        let metadata = block.name.contains("metadata") || block.name.contains("wire server");
        assert!(met || metadata, "{}", block.name);
    }
}

#[test]
fn registry_neighbour_is_public() {
    for good in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.195.255",
        "192.52.194.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.47.255",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.112.255",
        "223.255.255.255",
        "151.101.2.132",
        "2000::1",
        "2001:200::1",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "2620:4f:7fff::1",
        "2a04:4e42::644",
        "3ffe::1",
        "3fff:1000::1",
        // Public addresses behind the well-known translators.
        "::ffff:151.101.2.132",
        "64:ff9b::151.101.2.132",
    ] {
        assert_eq!(verdict(&strict(), good), Ok(()), "{good}");
    }
}

#[test]
fn metadata_and_link_local_are_always_rejected() {
    for guard in [&Guard::open(), &strict()] {
        for bad in [
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            // 169.254.169.254 in every form that embeds an IPv4 address.
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:808:808:0:0:5601:5601",
            "2a04:4e42::5efe:a9fe:a9fe",
            "2a04:4e42::200:5efe:a9fe:a9fe",
        ] {
            let refusal = verdict(guard, bad).expect_err(bad);
            assert!(!refusal.may_be_allowed, "{bad} with {guard:?}");
        }
        for good in ["151.101.2.132", "2a04:4e42::644"] {
            assert!(allowed(guard, good), "{good} with {guard:?}");
        }
    }
}

#[test]
fn private_network_is_rejected_unless_allowed() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "::1",
        "fc00::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "::127.0.0.1",
        "2002:7f00:1::1",
        "2001:0:7f00:1::1",
        "2a04:4e42::5efe:10.0.0.1",
    ] {
        assert!(allowed(&Guard::open(), address), "{address}");
        assert!(!allowed(&strict(), address), "{address}");
    }
}

#[test]
fn own_public_address_is_rejected_unless_allowed() {
    let own = |address: IpAddr| {
        Ok(["20.30.0.7", "2a01:7::7"].map(|a| a.parse().unwrap()).contains(&address))
    };
    let ask =
        |guard: &Guard, host: &str, address: &str| guard.admit(host, address.parse().unwrap(), own);
    for address in ["20.30.0.7", "2a01:7::7", "::ffff:20.30.0.7", "64:ff9b::20.30.0.7"] {
        let refusal = ask(&strict(), "me.example", address).expect_err(address);
        assert_eq!(refusal, Refusal { why: "this machine's own", may_be_allowed: true });
        assert!(ask(&Guard::open(), "me.example", address).is_ok());
        assert!(ask(&Guard::only(["me.example".to_owned()]), "me.example", address).is_ok());
    }
    assert!(ask(&strict(), "other.example", "20.30.0.8").is_ok());

    let unknown = |_: IpAddr| Err(io::Error::other("no /proc"));
    assert!(strict().admit("x", "20.30.0.8".parse().unwrap(), unknown).is_err());
}

#[test]
fn address_in_a_url_is_checked() {
    let guard = strict();
    for bad in [
        "http://127.0.0.1/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://[::1]:80/x",
        "http://[::ffff:127.0.0.1]/",
        "http://192.0.0.192/",
        "http://[64:ff9b:1::7f00:1]/",
    ] {
        assert!(guard.check(&bad.parse().unwrap()).is_err(), "{bad}");
    }
    assert!(guard.check(&"https://example.com/x".parse().unwrap()).is_ok());
}

#[test]
fn host_is_allowed_by_its_name_only() {
    let guard = Guard::only(["Files.corp".to_owned(), "10.0.0.7".to_owned(), "[::1]".to_owned()]);
    let corp =
        |host: &str, address: &str| guard.admit(host, address.parse().unwrap(), nowhere).is_ok();
    assert!(corp("files.corp", "10.0.0.9") && corp("FILES.CORP", "127.0.0.1"));
    assert!(!corp("evil.example", "10.0.0.9"), "the address is not what was allowed");
    assert!(!corp("files.corp", "169.254.169.254"), "metadata never is");
    for (url, good) in [
        ("http://10.0.0.7/x", true),
        ("http://10.0.0.8/x", false),
        ("http://[::1]:8080/x", true),
        ("http://127.0.0.1/x", false),
    ] {
        assert_eq!(guard.check(&url.parse().unwrap()).is_ok(), good, "{url}");
    }
}
