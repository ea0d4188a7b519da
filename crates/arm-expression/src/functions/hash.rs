//! `uniqueString` and `guid`: names that are the same for the same text, and the same as Azure's.

use std::fmt::Write;

use sha1::{Digest, Sha1};

use super::{ANY, Arguments, Entry, casing, entry};
use crate::{
    error::{Fault, Kind},
    value::Value,
};

pub(super) const FUNCTIONS: &[Entry] =
    &[entry("guid", 1..=ANY, guid), entry("uniqueString", 1..=ANY, unique_string)];

/// The longest text that is hashed, in characters, as in Azure.
const MAX_CHARACTERS: usize = 131_072;

/// The namespace of Azure's version 5 UUIDs.
const NAMESPACE: u128 = 0x11fb06fb_712d_4ddd_98c7_e71bbd588830;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

fn unique_string(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(encode(hash(joined(arguments)?.as_bytes())).into())
}

fn guid(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(uuid(&joined(arguments)?).into())
}

/// The arguments with a hyphen between them.
fn joined(arguments: &Arguments<'_>) -> Result<String, Fault> {
    let mut text = String::new();
    for index in 0..arguments.values.len() {
        if index > 0 {
            text.push('-');
        }
        text.push_str(arguments.string(index)?);
        if casing::units(&text) > MAX_CHARACTERS {
            let message = format!("the arguments have more than {MAX_CHARACTERS} characters");
            return Err(Fault::of(Kind::Limit, message));
        }
    }
    Ok(text)
}

/// A UUID of version 5 in Azure's namespace.
pub fn uuid(text: &str) -> String {
    let digest =
        Sha1::new().chain_update(NAMESPACE.to_be_bytes()).chain_update(text.as_bytes()).finalize();
    let mut uuid = String::new();
    for (index, byte) in digest.iter().take(16).enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x50,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(uuid, "{hyphen}{byte:02x}");
    }
    uuid
}

/// Thirteen characters, five bits each from the top; the last has four bits and a zero.
fn encode(hash: u64) -> String {
    (0..13u32)
        .map(|index| {
            let bits = if index < 12 { hash >> (59 - 5 * index) } else { hash << 1 };
            char::from(ALPHABET[(bits & 31) as usize])
        })
        .collect()
}

/// A 64-bit hash with two lanes, a relative of MurmurHash3 with seed 0. `uniqueString` of published
/// texts gives the published names.
pub fn hash(text: &[u8]) -> u64 {
    let (mut first, mut second) = (0u32, 0u32);
    let blocks = text.chunks_exact(8);
    let tail = blocks.remainder();
    for block in blocks {
        first = (first ^ mix_first(word(&block[..4]))).rotate_left(19).wrapping_add(second);
        first = first.wrapping_mul(5).wrapping_add(0x561c_cd1b);
        second = (second ^ mix_second(word(&block[4..]))).rotate_left(13).wrapping_add(first);
        second = second.wrapping_mul(5).wrapping_add(0x0bca_a747);
    }
    first ^= mix_first(word(&tail[..tail.len().min(4)]));
    second ^= mix_second(word(tail.get(4..).unwrap_or_default()));

    let length = text.len() as u32;
    first ^= length;
    second ^= length;
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    first = finish(first);
    second = finish(second);
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    u64::from(second) << 32 | u64::from(first)
}

const FACTOR_A: u32 = 0x239b_961b;
const FACTOR_B: u32 = 0xab0e_9789;

fn mix_first(word: u32) -> u32 {
    word.wrapping_mul(FACTOR_A).rotate_left(15).wrapping_mul(FACTOR_B)
}

fn mix_second(word: u32) -> u32 {
    word.wrapping_mul(FACTOR_B).rotate_left(17).wrapping_mul(FACTOR_A)
}

/// At most four bytes, the first one lowest. No bytes give 0, which mixes to 0.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn finish(mut lane: u32) -> u32 {
    lane ^= lane >> 16;
    lane = lane.wrapping_mul(0x85eb_ca6b);
    lane ^= lane >> 13;
    lane = lane.wrapping_mul(0xc2b2_ae35);
    lane ^ lane >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_published_texts_is_the_published_one() {
        for (text, name) in [
            ("", "aaaaaaaaaaaaa"),
            ("tyeth", "zcztcwvu6iyg6"),
            ("hello-world", "a7wkljktk6wne"),
            ("fubar", "cj2xpqsiwjfne"),
            ("rg-aib", "xg77zwa4pjdc2"),
        ] {
            assert_eq!(encode(hash(text.as_bytes())), name, "{text}");
        }
        assert_eq!(hash(b"hello-world"), 571_013_382_255_652_050);
    }

    #[test]
    fn uuid_is_of_version_5_in_azures_namespace() {
        assert_eq!(uuid("asdf"), "228d27cc-6fdb-5934-b7ac-1efccebade04");
        assert_eq!(uuid("foo-bar-baz"), "2ed86837-7c7c-5eaa-9864-dd077fd19b0d");
    }
}
