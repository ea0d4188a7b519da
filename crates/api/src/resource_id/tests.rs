use super::*;

const VERSION: &str = "/subscriptions/s1/resourceGroups/Forge/providers/Microsoft.Compute/galleries/g/images/web/versions/1.2.3";

fn parse(text: &str) -> ResourceId {
    text.parse().unwrap()
}

#[test]
fn parts_of_a_gallery_version() {
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
fn case_does_not_matter_and_spelling_is_kept() {
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
fn a_resource_group_is_an_id_too() {
    let id = parse("/subscriptions/s1/resourceGroups/staging");
    assert_eq!(id.kind(), Some(ResourceKind::ResourceGroup));
    assert_eq!(id.name(), "staging");
    assert_eq!(id.parent(), None);
    let image = ResourceId::new(ResourceKind::Image, "s1", "staging", &["a"]).unwrap();
    assert_eq!(image.parent(), Some(id));
}

#[test]
fn each_kind_is_recognised_by_its_pattern() {
    for kind in ResourceKind::ALL {
        let text = kind.pattern().replace(['{', '}'], "");
        assert_eq!(parse(&text).kind(), Some(*kind), "{text}");
    }
    let other = parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/x");
    assert_eq!(other.kind(), None);
}

#[test]
fn new_refuses_names_that_do_not_fit() {
    assert_eq!(ResourceId::new(ResourceKind::Image, "s", "g", &[]), None);
    assert_eq!(ResourceId::new(ResourceKind::Image, "s", "g", &["a/b"]), None);
    assert_eq!(ResourceId::new(ResourceKind::Image, "", "g", &["a"]), None);
}

#[test]
fn malformed_ids() {
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
