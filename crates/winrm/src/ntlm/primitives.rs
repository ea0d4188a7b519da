//! The old algorithms that NTLM is made of, for keys of 16 bytes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use rc4::Rc4;

/// A key or digest.
pub(super) type Block = [u8; 16];

pub(super) fn md5(parts: &[&[u8]]) -> Block {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-MD5.
pub(super) fn hmac(key: &Block, parts: &[&[u8]]) -> Block {
    hmac_state(key, parts).finalize().into_bytes().into()
}

/// Compares the beginning of an HMAC-MD5 in constant time.
pub(super) fn hmac_begins_with(key: &Block, parts: &[&[u8]], expected: &[u8]) -> bool {
    hmac_state(key, parts).verify_truncated_left(expected).is_ok()
}

fn hmac_state(key: &Block, parts: &[&[u8]]) -> Hmac<Md5> {
    // HMAC fills a key up with zeros to a block of its hash.
    let mut block = [0; 64];
    block[..16].copy_from_slice(key);
    let mut state = Hmac::<Md5>::new(&block.into());
    for part in parts {
        state.update(part);
    }
    state
}

/// A key stream of RC4.
pub(super) fn rc4(key: &Block) -> Rc4 {
    // RC4 repeats a key up to 256 bytes, so twice the key is the same key.
    let mut twice = [0; 32];
    twice[..16].copy_from_slice(key);
    twice[16..].copy_from_slice(key);
    Rc4::new(&twice.into())
}

#[cfg(test)]
mod tests {
    use rc4::StreamCipher as _;

    use super::*;

    #[test]
    fn rc4_of_16_bytes_is_that_of_rfc_6229() {
        let key: Block = std::array::from_fn(|at| u8::try_from(at).unwrap() + 1);
        let mut stream = [0; 16];
        rc4(&key).apply_keystream(&mut stream);
        assert_eq!(hex::encode(stream), "9ac7cc9a609d1ef7b2932899cde41b97");
    }

    #[test]
    fn hmac_is_that_of_rfc_2202() {
        let digest = hmac(&[0x0b; 16], &[b"Hi ", b"There"]);
        assert_eq!(hex::encode(digest), "9294727a3638bb1c13f48ef8158bfc9d");
        assert!(hmac_begins_with(&[0x0b; 16], &[b"Hi There"], &digest[..8]));
        assert!(!hmac_begins_with(&[0x0b; 16], &[b"Hi there"], &digest[..8]));
    }
}
