//! The expected checksum of an image's content, and where it is published.

/// The checksum fields of an image by URL.
#[derive(Debug, Default)]
pub(super) struct WireImageSums {
    pub(super) sha256: Option<String>,
    pub(super) sha512: Option<String>,
    pub(super) checksums: Option<String>,
    pub(super) rolling: bool,
    pub(super) versioned_name: Option<String>,
}

/// The expected checksum, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    Sha256(String),
    Sha512(String),
}

impl Checksum {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Sha512(text) => text,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Sha512(_) => "SHA-512",
        }
    }

    /// The length determines the kind; `None` for any other length.
    pub(crate) fn of_hex(text: &str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        match text.len() {
            64 => Some(Self::Sha256(text.to_lowercase())),
            128 => Some(Self::Sha512(text.to_lowercase())),
            _ => None,
        }
    }

    /// The checksum in an entry, if it has one.
    pub(super) fn read(
        sha256: Option<String>,
        sha512: Option<String>,
    ) -> Result<Option<Self>, String> {
        let (text, length) = match (sha256, sha512) {
            (None, None) => return Ok(None),
            (Some(text), None) => (text, 64),
            (None, Some(text)) => (text, 128),
            (Some(_), Some(_)) => return Err("give sha256 or sha512, not both".to_owned()),
        };
        let found = Self::of_hex(&text).filter(|found| found.text().len() == length);
        match found {
            Some(checksum) => Ok(Some(checksum)),
            None => Err(format!("a checksum of this kind is {length} hexadecimal digits")),
        }
    }
}

/// The source of a published image's checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pledge {
    /// The catalogue contains it.
    Given(Checksum),
    /// The publisher's own checksum file contains it. The file is read when the image is fetched.
    Listed(Listing),
}

/// A publisher's checksum file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The URL of the file.
    pub(crate) url: String,
    /// `Some`: the content at the image's address changes from time to time, so that the
    /// catalogue's version is only the first part of the real one. The inner pair is the text
    /// before and after the version in the image's other name, if the file lists a name with the
    /// version in it.
    pub(crate) rolling: Option<Option<(String, String)>>,
}

impl Pledge {
    /// The pledge in an entry.
    pub(super) fn read(wire: WireImageSums) -> Result<Self, String> {
        let WireImageSums { sha256, sha512, checksums, rolling, versioned_name } = wire;
        let given = Checksum::read(sha256, sha512)?;
        match (given, checksums) {
            (Some(_), Some(_)) => Err("give checksums, or sha256 or sha512, not both".to_owned()),
            (Some(_), None) if rolling || versioned_name.is_some() => {
                Err("rolling and versioned-name go with checksums".to_owned())
            }
            (Some(checksum), None) => Ok(Self::Given(checksum)),
            (None, Some(url)) => {
                if !is_safe(&url) {
                    return Err(
                        "checksums must begin with https://, because an attacker that changes the image could \
                                change them too"
                            .to_owned(),
                    );
                }
                let name = versioned_name.as_deref().map(split).transpose()?;
                if name.is_some() && !rolling {
                    return Err("versioned-name goes with rolling = true".to_owned());
                }
                Ok(Self::Listed(Listing { url, rolling: rolling.then_some(name) }))
            }
            (None, None) => Err("an image by URL needs its sha256 or sha512, or checksums: the \
                                 address of the file that lists them"
                .to_owned()),
        }
    }

    pub(crate) fn is_rolling(&self) -> bool {
        match self {
            Self::Given(_) => false,
            Self::Listed(listing) => listing.rolling.is_some(),
        }
    }

    /// Everything that determines the content.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Given(checksum) => checksum.text().to_owned(),
            Self::Listed(listing) => format!("{listing:?}"),
        }
    }
}

fn split(pattern: &str) -> Result<(String, String), String> {
    match pattern.split_once("{version}") {
        Some((before, after)) if !after.contains("{version}") => {
            Ok((before.to_owned(), after.to_owned()))
        }
        _ => Err("versioned-name has {version} in it, once".to_owned()),
    }
}

/// Whether nobody can change it in transit: https, or this host.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    url.scheme() == "https" || (url.scheme() == "http" && here)
}
