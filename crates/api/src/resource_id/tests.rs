use super::*;

const VERSION: &str = "/subscriptions/s1/resourceGroups/Forge/providers/Microsoft.Compute/galleries/g/images/web/versions/1.2.3";

fn parse(text: &str) -> ResourceId {
    text.parse().unwrap()
}

#[test]
fn gallery_version_id_is_split_into_parts() {
    let id = parse(VERSION);
    assert_eq!(id.kind(), Some(ResourceKind::GalleryImageVersion));
    assert_eq!(id.subscription(), "s1");
    assert_eq!(id.resource_group(), "Forge");
    assert_eq!(id.namespace(), "Microsoft.Compute");
    assert_eq!(id.name_of("Galleries"), Some("g"));
    assert_eq!(id.name(), "1.2.3");
    assert_eq!(id.to_string(), VERSION);
    let definition = id.parent().unwrap();
    assert_eq!(definition.kind(), Some(ResourceKind::GalleryImage));
    assert_eq!(definition.child("versions", "1.2.3"), Some(id));
    assert_eq!(definition.child("versions", "1/2"), None);
}

#[test]
fn ids_compare_without_case_and_display_preserves_spelling() {
    let id = parse("/Subscriptions/s1/resourcegroups/Forge/Providers/microsoft.compute/Images/Web");
    assert_eq!(id.kind(), Some(ResourceKind::Image));
    let canonical = ResourceId::new(ResourceKind::Image, "S1", "forge", &["web"]).unwrap();
    assert_eq!(id, canonical);
    assert_eq!(std::collections::HashSet::from([id.clone(), canonical]).len(), 1);
    assert_eq!(
        id.to_string(),
        "/subscriptions/s1/resourceGroups/Forge/providers/microsoft.compute/Images/Web"
    );
}

#[test]
fn resource_group_is_an_id() {
    let id = parse("/subscriptions/s1/resourceGroups/staging");
    assert_eq!(id.kind(), Some(ResourceKind::ResourceGroup));
    assert_eq!(id.name(), "staging");
    assert_eq!(id.parent(), None);
    let image = ResourceId::new(ResourceKind::Image, "s1", "staging", &["a"]).unwrap();
    assert_eq!(image.parent(), Some(id));
}

#[test]
fn pattern_of_each_kind_parses_as_that_kind() {
    for kind in ResourceKind::VARIANTS {
        let text = kind.pattern().replace(['{', '}'], "");
        assert_eq!(parse(&text).kind(), Some(*kind), "{text}");
    }
    let other = parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/x");
    assert_eq!(other.kind(), None);
}

#[test]
fn new_rejects_wrong_names() {
    assert_eq!(ResourceId::new(ResourceKind::Image, "s", "g", &[]), None);
    assert_eq!(ResourceId::new(ResourceKind::Image, "s", "g", &["a/b"]), None);
    assert_eq!(ResourceId::new(ResourceKind::Image, "", "g", &["a"]), None);
}

#[test]
fn malformed_id_reports_its_mistake() {
    use ResourceIdError::*;
    let cases = [
        ("", Start),
        ("web", Start),
        ("subscriptions/s/resourceGroups/g", Start),
        ("/resourceGroups/g", Start),
        ("/subscriptions", EmptySegment),
        ("/subscriptions//resourceGroups/g", EmptySegment),
        ("/subscriptions/s", ResourceGroup),
        ("/subscriptions/s/groups/g", ResourceGroup),
        ("/subscriptions/s/resourceGroups", ResourceGroup),
        ("/subscriptions/s/resourceGroups/g/", EmptySegment),
        ("/subscriptions/s/resourceGroups/g/images/x", Provider),
        ("/subscriptions/s/resourceGroups/g/providers", Provider),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute", Provider),
        (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images",
            Unpaired("images".to_owned()),
        ),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/", EmptySegment),
        ("/subscriptions/<id>/resourceGroups/g", Character('<')),
        ("/subscriptions/s/resourceGroups/a b", Character(' ')),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<ResourceId>(), Err(expected), "{text}");
    }
}
