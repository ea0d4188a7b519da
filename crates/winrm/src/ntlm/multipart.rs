//! How a sealed envelope is written into a body of HTTP: [MS-WSMV] 2.2.9.1.

use super::seal::{SIGNATURE, Seal};

const BOUNDARY: &str = "Encrypted Boundary";
/// The content type of a body with a sealed envelope.
pub(super) const CONTENT_TYPE: &str = "multipart/encrypted;\
    protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
const HEAD: &str = "--Encrypted Boundary\r\n\
    \tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
    \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=";
const SECOND_PART: &str = "\r\n--Encrypted Boundary\r\n\
    \tContent-Type: application/octet-stream\r\n";
const TAIL: &str = "--Encrypted Boundary--\r\n";

/// Seals an envelope.
pub(super) fn write(seal: &mut Seal, envelope: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(envelope.len() + 400);
    body.extend(HEAD.as_bytes());
    body.extend(envelope.len().to_string().as_bytes());
    body.extend(SECOND_PART.as_bytes());
    body.extend([16, 0, 0, 0]);
    let signature = body.len();
    body.extend([0; SIGNATURE]);
    let content = body.len();
    body.extend(envelope);
    let signed = seal.seal(&mut body[content..]);
    body[signature..content].copy_from_slice(&signed);
    body.extend(TAIL.as_bytes());
    body
}

/// Unseals the envelope in a body. The error says what is wrong with the body.
pub(super) fn read(seal: &mut Seal, body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut rest = body;
    if !is_boundary(line(&mut rest)?, BOUNDARY) {
        return Err("an encrypted answer without a beginning");
    }
    let mut length = None;
    loop {
        let line = line(&mut rest)?;
        if is_boundary(line, BOUNDARY) {
            break;
        }
        if let Some((_, digits)) = line.split_once("Length=") {
            length = digits.trim().parse::<usize>().ok();
        }
    }
    let length = length.ok_or("an encrypted answer without its length")?;
    if !line(&mut rest)?.trim().eq_ignore_ascii_case("Content-Type: application/octet-stream") {
        return Err("an encrypted answer without its second part");
    }
    let short = "an encrypted answer that is too short";
    let (header, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    if *header != [16, 0, 0, 0] {
        return Err("an encrypted answer with a signature of another length");
    }
    let (signature, rest) = rest.split_first_chunk::<SIGNATURE>().ok_or(short)?;
    let (sealed, mut tail) = rest.split_at_checked(length).ok_or(short)?;
    if !is_boundary(line(&mut tail)?, &format!("{BOUNDARY}--")) {
        return Err("an encrypted answer that is longer than it says");
    }
    let mut envelope = sealed.to_vec();
    let unsealed = seal.unseal(&mut envelope, *signature);
    unsealed.map_err(|_| "an encrypted answer that was changed on its way")?;
    Ok(envelope)
}

/// Takes a line of text without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    let wrong = "an encrypted answer that is not in parts";
    // All lines together have 300 bytes.
    let end = rest.iter().take(400).position(|byte| *byte == b'\n').ok_or(wrong)?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| wrong)
}

/// Some services write a space after the hyphens.
fn is_boundary(line: &str, boundary: &str) -> bool {
    line.strip_prefix("--").is_some_and(|rest| rest.trim_start() == boundary)
}

#[cfg(test)]
mod tests {
    use super::{super::seal::Way, *};

    const ENVELOPE: &[u8] = b"<s:Envelope>\r\n--Encrypted Boundary--\r\n</s:Envelope>";

    fn seal() -> Seal {
        Seal::new(&[7; 16], Way::In)
    }

    fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
        let at = body.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        [&body[..at], to.as_bytes(), &body[at + from.len()..]].concat()
    }

    #[test]
    fn envelope_is_read_as_it_was_written() {
        for envelope in [ENVELOPE, b"", &[0; 200_000]] {
            let body = write(&mut seal(), envelope);
            assert_eq!(read(&mut seal(), &body).unwrap(), envelope);
        }
    }

    #[test]
    fn space_in_the_boundaries_is_accepted() {
        let mut body = write(&mut seal(), ENVELOPE);
        for _ in 0..3 {
            body = replaced(&body, "--Encrypted", "-- Encrypted");
        }
        assert_eq!(read(&mut seal(), &body).unwrap(), ENVELOPE);
    }

    #[test]
    fn body_cut_anywhere_is_an_error() {
        let body = write(&mut seal(), ENVELOPE);
        for length in 0..body.len() - 1 {
            assert!(read(&mut seal(), &body[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn false_lengths_are_errors() {
        let body = write(&mut seal(), ENVELOPE);
        for length in ["Length=50", "Length=52", "Length=", "Length=99999999999999999999"] {
            let false_body = replaced(&body, &format!("Length={}", ENVELOPE.len()), length);
            assert!(read(&mut seal(), &false_body).is_err(), "{length}");
        }
    }

    mod fuzz {
        use super::*;

        proptest::proptest! {
            #[test]
            fn no_body_makes_the_parser_fail(bytes: Vec<u8>, at in 0_usize..400) {
                let mut body = write(&mut seal(), ENVELOPE);
                let at = at.min(body.len());
                body.splice(at.., bytes);
                drop(read(&mut seal(), &body));
            }
        }
    }
}
