use api::template::ApiVersion;

#[test]
fn api_versions_are_ordered_and_parse_back() {
    assert!(ApiVersion::ALL.is_sorted());
    assert_eq!(ApiVersion::ALL.last(), Some(&ApiVersion::LATEST));
    for version in ApiVersion::ALL {
        assert_eq!(version.name().parse(), Ok(*version));
    }
    assert!("2020-02-15".parse::<ApiVersion>().is_err());
}
