//! The origin of scripts and files. Customizers, validators and the workload optimizer share these
//! rules.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Face;
use super::read::fields::Fields;
use super::read::{Node, Reader};
use crate::ErrorCode;

/// The script of a customizer or validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// A script to fetch from `scriptUri`.
    Uri {
        /// The address as written; see [`Location`].
        uri: String,
        /// SHA-256 as 64 lower-case hexadecimal digits.
        sha256_checksum: Option<String>,
    },
    /// The lines of a script.
    Inline(Vec<String>),
}

impl Serialize for Script {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Uri { uri, sha256_checksum } => {
                map.serialize_entry("scriptUri", uri)?;
                if let Some(checksum) = sha256_checksum {
                    map.serialize_entry("sha256Checksum", checksum)?;
                }
            }
            Self::Inline(lines) => map.serialize_entry("inline", lines)?,
        }
        map.end()
    }
}

/// The location that `scriptUri` or `sourceUri` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'a> {
    /// An http or https address.
    Web(&'a str),
    /// A path on the build host. A relative path is relative to the template's folder.
    Path(&'a str),
}

impl<'a> Location<'a> {
    /// Distinguishes a web address from a local path.
    ///
    /// # Errors
    /// The reason why the address cannot be used, as a sentence.
    pub fn of(uri: &'a str) -> Result<Self, String> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(Self::Path(uri));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if host.is_empty() || host.ends_with('@') {
                    return Err("The address has no host.".to_owned());
                }
                if uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    return Err("An address must not contain white space; write %20.".to_owned());
                }
                Ok(Self::Web(uri))
            }
            "file" if rest.starts_with('/') => Ok(Self::Path(rest)),
            "file" => Err("A file address has three slashes: file:///path.".to_owned()),
            other => Err(format!("The scheme `{other}` is not supported.")),
        }
    }
}

/// The owner of a script, which decides the error code for a missing script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Customizer,
    Validator,
}

impl Reader<'_> {
    /// The error code for a step without a script or file.
    pub const fn no_script(&self) -> ErrorCode {
        match self.owner {
            Owner::Customizer => ErrorCode::NoCustomizerScript,
            Owner::Validator => ErrorCode::NoValidatorScript,
        }
    }

    /// Reads either `scriptUri` or `inline`, and `sha256Checksum`.
    pub fn script(&mut self, fields: &Fields<'_>) -> Option<Script> {
        let uri = self.present(fields, "scriptUri");
        let checksum = self.checksum(fields);
        let inline = fields.get("inline");
        let lines = self.strings(fields, "inline");
        match (uri, inline) {
            (Some((node, uri)), _) => {
                if let Some(inline) = fields.get("inline").filter(|_| !lines.is_empty()) {
                    both(self, fields, &inline);
                }
                self.location(&node, &uri);
                Some(Script::Uri { uri, sha256_checksum: checksum })
            }
            (None, Some(inline)) => {
                if inline.is_empty_list() {
                    empty(self, fields, &inline);
                }
                if let Some(node) = fields.get("sha256Checksum").filter(|_| checksum.is_some()) {
                    let message = format!(
                        "{}Field 'sha256Checksum' goes with 'scriptUri' and has no effect on 'inline'",
                        fields.failed()
                    );
                    self.warn(&node, message, None);
                }
                Some(Script::Inline(lines))
            }
            (None, None) => {
                let message = format!(
                    "{}Missing field 'scriptUri' or 'inline': there is no script to run",
                    fields.failed()
                );
                let hint = "give either `scriptUri` or `inline`".to_owned();
                self.fail(self.no_script(), fields.at(), message, Some(hint));
                None
            }
        }
    }

    /// Reports an address that cannot be fetched for this face.
    pub fn location(&mut self, node: &Node<'_>, uri: &str) {
        match Location::of(uri) {
            Ok(Location::Web(_)) => {}
            Ok(Location::Path(_)) => match self.face {
                Face::File => {}
                Face::Service => self.bad_value_hint(
                    node,
                    "Expected an http or https address.",
                    Some("local paths work with `goldsmith build` only".to_owned()),
                ),
            },
            Err(reason) => {
                let hint = Some("give an http or https address".to_owned());
                self.bad_value_hint(node, &reason, hint);
            }
        }
    }

    /// `sha256Checksum` in lower case; empty means absent.
    pub fn checksum(&mut self, fields: &Fields<'_>) -> Option<String> {
        let (node, text) = self.present(fields, "sha256Checksum")?;
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(text.to_ascii_lowercase());
        }
        let reason =
            format!("Expected 64 hexadecimal digits, found {} characters.", text.chars().count());
        self.bad_value_hint(&node, &reason, Some("`sha256sum FILE` prints it".to_owned()));
        None
    }
}

fn both(reader: &mut Reader<'_>, fields: &Fields<'_>, inline: &Node<'_>) {
    let message = format!("{}Fields 'scriptUri' and 'inline' exclude each other", fields.failed());
    let hint = "keep one of them, or split the step in two".to_owned();
    reader.error(inline, message, Some(hint));
}

fn empty(reader: &mut Reader<'_>, fields: &Fields<'_>, inline: &Node<'_>) {
    let message = format!("{}Field 'inline' has no lines", fields.failed());
    let hint = "add at least one command, or remove the step".to_owned();
    reader.fail(reader.no_script(), inline.at(), message, Some(hint));
}
