//! The client's side of NTLMv2: [MS-NLMP] 3.1 and 3.3.2.

use md4::{Digest as _, Md4};
use rc4::StreamCipher as _;

use super::{
    message::{self, Authenticate, Challenge, MIC},
    primitives::{Block, hmac, rc4},
    seal::{Seal, Way},
};
use crate::Login;

/// What the client chooses by chance.
pub(super) struct Chance {
    pub(super) challenge: [u8; 8],
    pub(super) session_key: Block,
}

/// The end of a handshake: the message that proves the password, and what protects all after it.
pub(super) struct Proof {
    pub(super) message: Vec<u8>,
    pub(super) out: Seal,
    pub(super) r#in: Seal,
}

/// Answers the server's challenge. The error says what is wrong with it or with the user's name.
pub(super) fn answer(
    login: &Login,
    negotiate: &[u8],
    challenge: &[u8],
    chance: &Chance,
) -> Result<Proof, &'static str> {
    let parsed = Challenge::parse(challenge)?;
    let (domain, user) = login.user.split_once('\\').unwrap_or(("", &login.user));
    let key = password_key(domain, user, &login.password);
    let (response, exchange) = respond(&key, &parsed, &chance.challenge);
    let mut encrypted_key = chance.session_key;
    rc4(&exchange).apply_keystream(&mut encrypted_key);
    let (domain, user) = (utf16(domain), utf16(user));
    let parts = Authenticate { domain: &domain, user: &user, response: &response, encrypted_key };
    let mut message = message::authenticate(&parsed, &parts).ok_or("is too long to be answered")?;
    let mic = hmac(&chance.session_key, &[negotiate, challenge, &message]);
    message[MIC].copy_from_slice(&mic);
    let key = &chance.session_key;
    Ok(Proof { message, out: Seal::new(key, Way::Out), r#in: Seal::new(key, Way::In) })
}

/// `NTOWFv2`.
fn password_key(domain: &str, user: &str, password: &str) -> Block {
    let hash: Block = Md4::digest(utf16(password)).into();
    hmac(&hash, &[&utf16(&user.chars().map(upper).collect::<String>()), &utf16(domain)])
}

/// Windows knows a capital letter only where it is one letter: `ß` stays.
fn upper(letter: char) -> char {
    let mut capitals = letter.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None) => capital,
        _ => letter,
    }
}

/// The response to a challenge, and the key that goes with it.
fn respond(key: &Block, challenge: &Challenge, ours: &[u8; 8]) -> (Vec<u8>, Block) {
    let mut facts = vec![1, 1, 0, 0, 0, 0, 0, 0];
    facts.extend(challenge.timestamp);
    facts.extend(ours);
    facts.extend([0; 4]);
    facts.extend(&challenge.target);
    facts.extend([0; 4]);
    let proof = hmac(key, &[&challenge.challenge, &facts]);
    let exchange = hmac(key, &[&proof]);
    ([&proof[..], &facts].concat(), exchange)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_the_password_is_that_of_the_specification() {
        let key = password_key("Domain", "User", "Password");
        assert_eq!(hex::encode(key), "0c868a403bfd7a93a3001ef22ef02e3f");
    }

    #[test]
    fn letter_without_a_single_capital_stays() {
        assert_eq!("aéßσ".chars().map(upper).collect::<String>(), "AÉßΣ");
    }

    /// [MS-NLMP] 4.2.4.
    #[test]
    fn proof_and_session_key_are_those_of_the_specification() {
        let key = password_key("Domain", "User", "Password");
        let target = "02000c0044006f006d00610069006e0001000c00530065007200760065007200\
                      00000000";
        let challenge = Challenge::of_test(
            0x0123_4567_89ab_cdef_u64.to_be_bytes(),
            [0; 8],
            hex::decode(target).unwrap(),
        );
        let (response, exchange) = respond(&key, &challenge, &[0xaa; 8]);
        assert_eq!(hex::encode(&response[..16]), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(hex::encode(exchange), "8de40ccadbc14a82f15cb0ad0de95ca3");
        let mut encrypted = [0x55; 16];
        rc4(&exchange).apply_keystream(&mut encrypted);
        assert_eq!(hex::encode(encrypted), "c5dad2544fc9799094ce1ce90bc9d03e");
    }
}
