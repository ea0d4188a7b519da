//! The three messages of the authentication: [MS-NLMP] 2.2.

use super::primitives::Block;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Unicode, sign, seal, NTLM, always sign, extended session security, target info, 128 bits, key
/// exchange: without all of these messages could not be protected as we do it.
const REQUIRED: u32 = 0x6088_8231;
/// These but target info, which is the server's; and target, version, 56 bits.
const ASKED: u32 = 0xE208_8235;
/// Windows 10.0, which is what clients show; revision 15 of NTLM.
const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];

const AV_EOL: u16 = 0;
const AV_FLAGS: u16 = 6;
const AV_TIMESTAMP: u16 = 7;
const AV_CHANNEL_BINDINGS: u16 = 10;
/// In `AV_FLAGS`: the authentication has an integrity code over all three messages.
const HAS_MIC: u32 = 2;

/// The first message: what the client asks for.
pub(super) fn negotiate() -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(SIGNATURE);
    message.extend(1_u32.to_le_bytes());
    message.extend(ASKED.to_le_bytes());
    // Neither a domain nor a workstation.
    message.extend([0; 16]);
    message.extend(VERSION);
    message
}

/// The second message: the server's challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) challenge: [u8; 8],
    /// When the server made it, in units of 100 ns since 1601.
    pub(super) timestamp: [u8; 8],
    /// What the server says about itself, with our own answers added.
    pub(super) target: Vec<u8>,
    flags: u32,
}

impl Challenge {
    /// Reads a challenge; the error says what is wrong with it.
    pub(super) fn parse(message: &[u8]) -> Result<Self, &'static str> {
        let short = "is too short";
        if message.get(..8) != Some(SIGNATURE) || u32_at(message, 8) != Some(2) {
            return Err("is none of NTLM");
        }
        let flags = u32_at(message, 20).ok_or(short)?;
        if flags & REQUIRED != REQUIRED {
            return Err("does not agree to encrypt messages with 128 bits");
        }
        let challenge = array_at(message, 24).ok_or(short)?;
        let (length, offset) = (u16_at(message, 40), u32_at(message, 44));
        let length = usize::from(length.ok_or(short)?);
        let offset = usize::try_from(offset.ok_or(short)?).map_err(|_| short)?;
        let end = offset.checked_add(length).ok_or(short)?;
        let target = message.get(offset..end).ok_or(short)?;
        let (timestamp, target) = answered(target)?;
        Ok(Self { challenge, timestamp, target, flags })
    }
}

#[cfg(test)]
impl Challenge {
    pub(super) fn of_test(challenge: [u8; 8], timestamp: [u8; 8], target: Vec<u8>) -> Self {
        Self { challenge, timestamp, target, flags: REQUIRED }
    }
}

/// The timestamp in a list of attributes, and the list with our own added: that there is an integrity
/// code, and that the channel is not bound to TLS.
fn answered(attributes: &[u8]) -> Result<([u8; 8], Vec<u8>), &'static str> {
    let (mut rest, mut timestamp, mut flags) = (attributes, None, 0);
    let mut answered = Vec::with_capacity(attributes.len() + 32);
    loop {
        let short = "has a broken list of attributes";
        let (id, length) = (u16_at(rest, 0).ok_or(short)?, u16_at(rest, 2).ok_or(short)?);
        let end = 4 + usize::from(length);
        let value = rest.get(4..end).ok_or(short)?;
        match id {
            AV_EOL => break,
            AV_FLAGS => flags = u32_at(value, 0).ok_or(short)?,
            AV_CHANNEL_BINDINGS => {}
            _ => answered.extend_from_slice(&rest[..end]),
        }
        if id == AV_TIMESTAMP {
            timestamp = Some(array_at(value, 0).ok_or(short)?);
        }
        rest = &rest[end..];
    }
    attribute(&mut answered, AV_FLAGS, &(flags | HAS_MIC).to_le_bytes());
    attribute(&mut answered, AV_CHANNEL_BINDINGS, &[0; 16]);
    attribute(&mut answered, AV_EOL, &[]);
    // All since Windows 7 have it.
    Ok((timestamp.ok_or("has no timestamp")?, answered))
}

fn attribute(list: &mut Vec<u8>, id: u16, value: &[u8]) {
    list.extend(id.to_le_bytes());
    list.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    list.extend(value);
}

/// What the third message says.
pub(super) struct Authenticate<'a> {
    pub(super) domain: &'a [u8],
    pub(super) user: &'a [u8],
    /// The proof, with what it was made of.
    pub(super) response: &'a [u8],
    pub(super) encrypted_key: Block,
}

/// Where the third message has its integrity code.
pub(super) const MIC: std::ops::Range<usize> = 72..88;

/// The third message, with zeros for its integrity code; `None` if a part is too long for it.
pub(super) fn authenticate(challenge: &Challenge, parts: &Authenticate<'_>) -> Option<Vec<u8>> {
    let no_workstation: &[u8] = &[];
    // Zeros when the challenge has a timestamp: [MS-NLMP] 3.1.5.1.2.
    let lan_manager: &[u8] = &[0; 24];
    let fields = [
        lan_manager,
        parts.response,
        parts.domain,
        parts.user,
        no_workstation,
        &parts.encrypted_key,
    ];
    let mut message = Vec::with_capacity(256 + parts.response.len());
    message.extend(SIGNATURE);
    message.extend(3_u32.to_le_bytes());
    let mut offset = MIC.end;
    for field in fields {
        let length = u16::try_from(field.len()).ok()?.to_le_bytes();
        message.extend(length);
        message.extend(length);
        message.extend(u32::try_from(offset).ok()?.to_le_bytes());
        offset += field.len();
    }
    message.extend((challenge.flags & (REQUIRED | ASKED)).to_le_bytes());
    message.extend(VERSION);
    message.extend([0; 16]);
    for field in fields {
        message.extend(field);
    }
    Some(message)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A challenge as Windows makes it, with these flags and attributes.
    fn challenge(flags: u32, attributes: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(SIGNATURE);
        message.extend(2_u32.to_le_bytes());
        message.extend([0; 8]);
        message.extend(flags.to_le_bytes());
        message.extend([7; 8]);
        message.extend([0; 8]);
        let length = u16::try_from(attributes.len()).unwrap().to_le_bytes();
        message.extend(length);
        message.extend(length);
        message.extend(56_u32.to_le_bytes());
        message.extend(VERSION);
        message.extend(attributes);
        message
    }

    fn attributes() -> Vec<u8> {
        let mut list = Vec::new();
        attribute(&mut list, 1, b"S\0");
        attribute(&mut list, AV_TIMESTAMP, &[9; 8]);
        attribute(&mut list, AV_EOL, &[]);
        list
    }

    #[test]
    fn challenge_is_read_and_its_attributes_are_answered() {
        let parsed = Challenge::parse(&challenge(REQUIRED, &attributes())).unwrap();
        assert_eq!((parsed.challenge, parsed.timestamp), ([7; 8], [9; 8]));
        let mut expected = Vec::new();
        attribute(&mut expected, 1, b"S\0");
        attribute(&mut expected, AV_TIMESTAMP, &[9; 8]);
        attribute(&mut expected, AV_FLAGS, &HAS_MIC.to_le_bytes());
        attribute(&mut expected, AV_CHANNEL_BINDINGS, &[0; 16]);
        attribute(&mut expected, AV_EOL, &[]);
        assert_eq!(parsed.target, expected);
    }

    #[test]
    fn challenge_without_one_of_the_required_flags_is_refused() {
        for bit in (0..32).filter(|bit| REQUIRED & (1 << bit) != 0) {
            let message = challenge(REQUIRED & !(1 << bit), &attributes());
            assert!(Challenge::parse(&message).unwrap_err().contains("128 bits"), "bit {bit}");
        }
    }

    #[test]
    fn challenge_cut_anywhere_is_refused() {
        let whole = challenge(REQUIRED, &attributes());
        for length in 0..whole.len() {
            assert!(Challenge::parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn challenge_without_a_timestamp_is_refused() {
        let mut list = Vec::new();
        attribute(&mut list, AV_EOL, &[]);
        let parsed = Challenge::parse(&challenge(REQUIRED, &list));
        assert_eq!(parsed.unwrap_err(), "has no timestamp");
    }

    #[test]
    fn name_that_is_too_long_makes_no_message() {
        let parsed = Challenge::parse(&challenge(REQUIRED, &attributes())).unwrap();
        let long = vec![0; 70_000];
        let parts =
            Authenticate { domain: &[], user: &long, response: &[], encrypted_key: [0; 16] };
        assert!(authenticate(&parsed, &parts).is_none());
    }

    mod fuzz {
        use super::*;

        proptest::proptest! {
            #[test]
            fn no_challenge_makes_the_parser_fail(bytes: Vec<u8>, at in 0_usize..100) {
                let mut message = challenge(REQUIRED, &attributes());
                let at = at.min(message.len());
                message.splice(at.., bytes);
                drop(Challenge::parse(&message));
            }
        }
    }
}
