//! Reads a small XML document into a tree.
//!
//! The document comes from a guest: its depth and the number of its elements have limits, and a
//! document type, which could define entities, is an error.

use quick_xml::{
    NsReader,
    events::{BytesStart, Event},
    name::ResolveResult,
};

/// An answer of a service has about ten.
const DEEPEST: usize = 64;
/// An answer with output has an element for each piece of it.
const MOST_ELEMENTS: usize = 20_000;
const MOST_ATTRIBUTES: usize = 64;

/// An element and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    /// The URI of its namespace, empty without one.
    pub(crate) space: String,
    /// Its name without a prefix.
    pub(crate) name: String,
    /// Its attributes; their names are without a prefix. Declarations of namespaces are left out.
    pub(crate) attributes: Vec<(String, String)>,
    /// The text directly in it.
    pub(crate) text: String,
    /// The elements directly in it.
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Whether it has this name in this namespace.
    pub(crate) fn is(&self, space: &str, name: &str) -> bool {
        self.space == space && self.name == name
    }

    /// The first child with this name in this namespace.
    pub(crate) fn child(&self, space: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(space, name))
    }

    /// The children with this name in this namespace.
    pub(crate) fn all<'a>(
        &'a self,
        space: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.is(space, name))
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The text in it and in all elements below it.
    pub(crate) fn whole_text(&self) -> String {
        let mut text = self.text.clone();
        for child in &self.children {
            text.push_str(&child.whole_text());
        }
        text
    }
}

/// Reads a document; `Err` says what is wrong with it.
pub(crate) fn parse(document: &[u8]) -> Result<Element, String> {
    let text = std::str::from_utf8(document).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    let mut tree = Tree::default();
    loop {
        let (space, event) = reader.read_resolved_event().map_err(|e| format!("no XML: {e}"))?;
        match event {
            Event::Start(start) => tree.open(element(&space, &start)?)?,
            Event::Empty(start) => {
                tree.open(element(&space, &start)?)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => {
                tree.text(&text.xml10_content().map_err(|e| format!("no XML: {e}"))?)?;
            }
            Event::CData(text) => {
                tree.text(&text.xml10_content().map_err(|e| format!("no XML: {e}"))?)?;
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|e| format!("no XML: {e}"))?;
                let text = match reference.resolve_char_ref() {
                    Ok(Some(character)) => character.to_string(),
                    Ok(None) => predefined(&name)?.to_owned(),
                    Err(e) => return Err(format!("no XML: {e}")),
                };
                tree.text(&text)?;
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return tree.root(),
        }
    }
}

fn predefined(name: &str) -> Result<&'static str, String> {
    quick_xml::escape::resolve_predefined_entity(name)
        .ok_or_else(|| format!("it has an entity {:?}", name.chars().take(40).collect::<String>()))
}

fn element(space: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Element, String> {
    let space = match space {
        ResolveResult::Bound(space) => String::from_utf8_lossy(space.as_ref()).into_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err("it has an unknown prefix".to_owned()),
    };
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for (number, attribute) in start.attributes().with_checks(false).enumerate() {
        if number == MOST_ATTRIBUTES {
            return Err(format!("an element has more than {MOST_ATTRIBUTES} attributes"));
        }
        let attribute = attribute.map_err(|e| format!("no XML: {e}"))?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let value = std::str::from_utf8(&attribute.value).map_err(|e| e.to_string())?;
        let value = quick_xml::escape::unescape(value).map_err(|e| format!("no XML: {e}"))?;
        attributes.push((key, value.into_owned()));
    }
    Ok(Element { space, name, attributes, ..Element::default() })
}

/// The elements that are open, from the root inwards, and the root when it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, element: Element) -> Result<(), String> {
        self.elements += 1;
        if self.root.is_some() {
            return Err("it has two roots".to_owned());
        }
        if self.open.len() == DEEPEST {
            return Err(format!("it is more than {DEEPEST} elements deep"));
        }
        if self.elements > MOST_ELEMENTS {
            return Err(format!("it has more than {MOST_ELEMENTS} elements"));
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let closed = self.open.pop().ok_or("an element ends that has not begun")?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("it has text outside of its root".to_owned()),
        }
        Ok(())
    }

    fn root(self) -> Result<Element, String> {
        if self.open.is_empty() {
            self.root.ok_or_else(|| "it is empty".to_owned())
        } else {
            Err("it ends too early".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_namespace_whatever_the_prefix() {
        let tree =
            parse(b"<?xml version=\"1.0\"?><a:x xmlns:a='urn:1'><y xmlns='urn:2' a:k='v'/></a:x>");
        let tree = tree.unwrap();
        assert!(tree.is("urn:1", "x"));
        let child = tree.child("urn:2", "y").unwrap();
        assert_eq!(child.attribute("k"), Some("v"));
        assert_eq!(child.attributes.len(), 1);
    }

    #[test]
    fn texts_are_joined_over_references_and_sections() {
        let tree =
            parse("<x>a&lt;b&#x41;&#66;<![CDATA[<c>]]><y>z</y>\u{e4}</x>".as_bytes()).unwrap();
        assert_eq!(tree.text, "a<bAB<c>\u{e4}");
        assert_eq!(tree.whole_text(), "a<bAB<c>\u{e4}z");
    }

    #[test]
    fn document_type_is_an_error() {
        let bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>";
        assert_eq!(parse(bomb).unwrap_err(), "it has a document type");
        assert!(parse(b"<x>&a;</x>").unwrap_err().contains("entity"));
    }

    #[test]
    fn what_is_too_deep_too_many_or_cut_is_an_error() {
        assert!(parse("<x>".repeat(100).as_bytes()).unwrap_err().contains("deep"));
        let many = format!("<x>{}</x>", "<y/>".repeat(MOST_ELEMENTS));
        assert!(parse(many.as_bytes()).unwrap_err().contains("elements"));
        let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
        assert!(parse(format!("<x{attributes}/>").as_bytes()).unwrap_err().contains("attributes"));
        for cut in ["", "<x", "<x>", "<x><y></x>", "</x>", "<x/><x/>", "text", "<x/>text"] {
            assert!(parse(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
