//! Sealing: [MS-NLMP] 3.4 with extended session security, 128 bits and key exchange.

use rc4::{Rc4, StreamCipher as _};

use super::primitives::{Block, hmac, hmac_begins_with, md5, rc4};

/// The length of a signature in bytes.
pub(super) const SIGNATURE: usize = 16;
const VERSION: [u8; 4] = 1_u32.to_le_bytes();

/// Which way messages go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// From this client to the server.
    Out,
    /// From the server to this client.
    In,
}

/// The keys of one way, and how far its messages have come. Messages must be sealed or unsealed in
/// the order in which they are sent.
pub(super) struct Seal {
    signing: Block,
    cipher: Rc4,
    sequence: u32,
}

/// A message was changed, repeated or left out on its way, or is not from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forged;

impl Seal {
    pub(super) fn new(session_key: &Block, way: Way) -> Self {
        let way = match way {
            Way::Out => "client-to-server",
            Way::In => "server-to-client",
        };
        let key = |purpose: &str| {
            let magic = format!("session key to {way} {purpose} key magic constant\0");
            md5(&[session_key, magic.as_bytes()])
        };
        Self { signing: key("signing"), cipher: rc4(&key("sealing")), sequence: 0 }
    }

    /// Encrypts a message in place and returns its signature.
    pub(super) fn seal(&mut self, message: &mut [u8]) -> [u8; SIGNATURE] {
        let sequence = self.next();
        let digest = hmac(&self.signing, &[&sequence, message]);
        self.cipher.apply_keystream(message);
        let mut signature = [0; SIGNATURE];
        signature[..4].copy_from_slice(&VERSION);
        signature[4..12].copy_from_slice(&digest[..8]);
        self.cipher.apply_keystream(&mut signature[4..12]);
        signature[12..].copy_from_slice(&sequence);
        signature
    }

    /// Decrypts a message in place and verifies its signature. Nothing of it may be used after an
    /// error, nor any message after it.
    pub(super) fn unseal(
        &mut self,
        message: &mut [u8],
        mut signature: [u8; SIGNATURE],
    ) -> Result<(), Forged> {
        let sequence = self.next();
        self.cipher.apply_keystream(message);
        self.cipher.apply_keystream(&mut signature[4..12]);
        let genuine = signature[..4] == VERSION
            && signature[12..] == sequence
            && hmac_begins_with(&self.signing, &[&sequence, message], &signature[4..12]);
        if genuine { Ok(()) } else { Err(Forged) }
    }

    fn next(&mut self) -> [u8; 4] {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION_KEY: Block = [0x55; 16];

    fn plaintext() -> Vec<u8> {
        "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// [MS-NLMP] 4.2.4.4.
    #[test]
    fn message_is_sealed_as_in_the_specification() {
        let mut message = plaintext();
        let signature = Seal::new(&SESSION_KEY, Way::Out).seal(&mut message);
        assert_eq!(hex::encode(message), "54e50165bf1936dc996020c1811b0f06fb5f");
        assert_eq!(hex::encode(signature), "010000007fb38ec5c55d497600000000");
    }

    #[test]
    fn signing_key_is_that_of_the_specification() {
        let seal = Seal::new(&SESSION_KEY, Way::Out);
        assert_eq!(hex::encode(seal.signing), "4788dc861b4782f35d43fd98fe1a2d39");
    }

    #[test]
    fn messages_are_unsealed_in_their_order_only() {
        let mut sender = Seal::new(&SESSION_KEY, Way::In);
        let sealed: Vec<_> = (0_u8..3)
            .map(|at| {
                let mut message = vec![at; 10];
                let signature = sender.seal(&mut message);
                (message, signature)
            })
            .collect();
        let mut receiver = Seal::new(&SESSION_KEY, Way::In);
        for (at, (mut message, signature)) in sealed.clone().into_iter().enumerate() {
            assert_eq!(receiver.unseal(&mut message, signature), Ok(()));
            assert_eq!(message, vec![u8::try_from(at).unwrap(); 10]);
        }
        let (mut first, signature) = sealed[0].clone();
        assert_eq!(receiver.unseal(&mut first, signature), Err(Forged));
        let (mut second, signature) = sealed[1].clone();
        assert_eq!(Seal::new(&SESSION_KEY, Way::In).unseal(&mut second, signature), Err(Forged));
    }

    #[test]
    fn changed_bit_is_found_wherever_it_is() {
        let mut message = plaintext();
        let signature = Seal::new(&SESSION_KEY, Way::In).seal(&mut message);
        for bit in 0..message.len() * 8 {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let unsealed = Seal::new(&SESSION_KEY, Way::In).unseal(&mut changed, signature);
            assert_eq!(unsealed, Err(Forged), "bit {bit}");
        }
        for bit in 0..SIGNATURE * 8 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            let unsealed = Seal::new(&SESSION_KEY, Way::In).unseal(&mut message.clone(), changed);
            assert_eq!(unsealed, Err(Forged), "bit {bit} of the signature");
        }
    }
}
