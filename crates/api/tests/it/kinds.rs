use api::{
    ErrorCode,
    template::{ApiVersion, Delivery, Destination, Field, Kind, Named, Script, Severity},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Parsed, file, serve};

/// A step with a script.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stamp(Script);

pub(super) const STAMP: Kind<Stamp> =
    Kind::new(Stamp::NAME, STAMP_FIELDS, |reader, fields| reader.script(fields).map(Stamp));

const STAMP_FIELDS: &[Field] =
    &[Field::new("scriptUri"), Field::new("inline"), Field::new("sha256Checksum")];

impl Named for Stamp {
    const NAME: &'static str = "Stamp";
}

/// A target that later versions added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Shelf {
    place: String,
}

pub(super) const SHELF: Kind<Shelf> = Kind::new(Shelf::NAME, SHELF_FIELDS, |reader, fields| {
    reader.required_text(fields, "place").map(|place| Shelf { place })
})
.since(ApiVersion::V2022_07_01);

const SHELF_FIELDS: &[Field] = &[Field::new("place")];

impl Named for Shelf {
    const NAME: &'static str = "Shelf";
}

impl Delivery for Shelf {
    fn destination(&self) -> Option<Destination> {
        Some(Destination { what: "shelf", field: "place", key: self.place.to_lowercase() })
    }
}

fn template() -> Value {
    json!({
        "location": "westus2",
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s", "version": "latest" },
            "customize": [{ "type": "Stamp", "name": "first", "inline": ["true"] }],
            "validate": { "inVMValidations": [{ "type": "Stamp", "scriptUri": "https://example.org/x" }] },
            "distribute": [{ "type": "Shelf", "runOutputName": "one", "place": "left" }],
        },
    })
}

fn only_error(parsed: &Parsed) -> (ErrorCode, &str, &str) {
    let errors = parsed.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let [error] = errors.collect::<Vec<_>>()[..] else { panic!("{:?}", parsed.diagnostics) };
    (error.code, &error.path, &error.message)
}

#[test]
fn kind_of_another_crate_is_read_and_serialized() {
    let parsed = file(&template().to_string());
    let template = parsed.template.unwrap();
    let properties = &template.properties;
    assert_eq!(properties.customize[0].kind, Stamp(Script::Inline(vec!["true".to_owned()])));
    assert_eq!(properties.customize[0].path, "properties.customize[0]");
    assert_eq!(properties.distribute[0].kind, Shelf { place: "left".to_owned() });
    let body = serde_json::to_value(&template).unwrap();
    let expected = json!({ "type": "Stamp", "name": "first", "inline": ["true"] });
    assert_eq!(body["properties"]["customize"], json!([expected]));
    let expected =
        json!({ "type": "Shelf", "runOutputName": "one", "artifactTags": {}, "place": "left" });
    assert_eq!(body["properties"]["distribute"], json!([expected]));
}

#[test]
fn step_without_script_has_the_code_of_its_list() {
    for (pointer, code) in [
        ("/properties/customize/0", ErrorCode::NoCustomizerScript),
        ("/properties/validate/inVMValidations/0", ErrorCode::NoValidatorScript),
    ] {
        let mut text = template();
        *text.pointer_mut(pointer).unwrap() = json!({ "type": "Stamp" });
        assert_eq!(only_error(&file(&text.to_string())).0, code);
    }
}

#[test]
fn unknown_kind_is_rejected_with_the_known_ones() {
    let mut text = template();
    text["properties"]["customize"][0]["type"] = json!("Stam");
    let parsed = file(&text.to_string());
    let (code, path, message) = only_error(&parsed);
    assert_eq!((code, path), (ErrorCode::BadCustomizerType, "properties.customize[0].type"));
    assert!(message.ends_with("Known: `Stamp`"), "{message}");
}

#[test]
fn kind_of_a_later_version_is_rejected() {
    let mut text = template();
    text["apiVersion"] = json!("2022-02-14");
    let parsed = file(&text.to_string());
    let (code, path, _) = only_error(&parsed);
    assert_eq!((code, path), (ErrorCode::BadDistributeType, "properties.distribute[0].type"));
}

#[test]
fn target_with_the_key_of_another_is_rejected() {
    let mut text = template();
    text["identity"] = json!({ "type": "None" });
    let second = json!({ "type": "Shelf", "runOutputName": "two", "place": "LEFT" });
    text["properties"]["distribute"].as_array_mut().unwrap().push(second);
    let parsed = serve(&text.to_string());
    let (_, path, message) = only_error(&parsed);
    assert_eq!(path, "properties.distribute[1].place");
    assert!(message.contains("'properties.distribute[0]' writes the same shelf"), "{message}");
}
