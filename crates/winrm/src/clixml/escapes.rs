//! What stands for a character in a text: entities of XML, and `_xHHHH_` for what XML cannot hold.

/// The longest thing that stands for a character, `&#1114111;`, in bytes.
const LONGEST: usize = 10;

/// Replaces what stands for characters, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Escapes {
    /// The beginning of something that may stand for a character.
    held: Vec<u8>,
    /// The first half of a character of two UTF-16 units.
    high: Option<u16>,
    last: u8,
}

/// What some text begins with.
enum Found {
    /// A character; how many bytes stand for it.
    Char(char, usize),
    /// A unit of UTF-16; how many bytes stand for it.
    Unit(u16, usize),
    /// Maybe the beginning of one.
    Part,
    /// Itself.
    Nothing,
}

impl Escapes {
    /// Takes the next piece of a text.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(bytes);
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            let special = rest.iter().position(|byte| matches!(byte, b'&' | b'_'));
            let (plain, escape) = rest.split_at(special.unwrap_or(rest.len()));
            self.put(plain, out);
            rest = match read(escape) {
                Found::Char(character, length) => {
                    self.put(character.encode_utf8(&mut [0; 4]).as_bytes(), out);
                    &escape[length..]
                }
                Found::Unit(unit, length) => {
                    self.unit(unit, out);
                    &escape[length..]
                }
                Found::Part => {
                    self.held.extend_from_slice(escape);
                    return;
                }
                Found::Nothing => {
                    self.put(&escape[..1], out);
                    &escape[1..]
                }
            };
        }
    }

    /// The end of the text.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.put(&held, out);
        self.give_up_half(out);
    }

    /// Whether the text that was put out ends with a line end.
    pub(super) fn line_ended(&self) -> bool {
        self.last == b'\n'
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if let Some(last) = text.last() {
            self.give_up_half(out);
            out.extend_from_slice(text);
            self.last = *last;
        }
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        if (0xD800..0xDC00).contains(&unit) {
            self.give_up_half(out);
            self.high = Some(unit);
            return;
        }
        let units = [self.high.unwrap_or(unit), unit];
        let pair = if self.high.is_some() { &units[..] } else { &units[1..] };
        let mut decoded = char::decode_utf16(pair.iter().copied());
        match decoded.next() {
            Some(Ok(character)) if decoded.next().is_none() => {
                self.high = None;
                self.put(character.encode_utf8(&mut [0; 4]).as_bytes(), out);
            }
            _ => {
                self.give_up_half(out);
                let character = char::from_u32(u32::from(unit));
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                self.put(character.encode_utf8(&mut [0; 4]).as_bytes(), out);
            }
        }
    }

    fn give_up_half(&mut self, out: &mut Vec<u8>) {
        if self.high.take().is_some() {
            out.extend_from_slice("\u{fffd}".as_bytes());
            self.last = 0;
        }
    }
}

/// Looks at a text that is empty or begins with `&` or `_`.
fn read(text: &[u8]) -> Found {
    if text.first() == Some(&b'_') { unit(text) } else { entity(text) }
}

/// `_xHHHH_`
fn unit(text: &[u8]) -> Found {
    let fits = |(at, byte): (usize, &u8)| match at {
        0 | 6 => *byte == b'_',
        1 => *byte == b'x',
        _ => byte.is_ascii_hexdigit(),
    };
    if !text.iter().take(7).enumerate().all(fits) {
        return Found::Nothing;
    }
    let Some(digits) = text.get(2..6).filter(|_| text.len() > 6) else { return Found::Part };
    let digits = std::str::from_utf8(digits).ok();
    match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(unit) => Found::Unit(unit, 7),
        None => Found::Nothing,
    }
}

fn entity(text: &[u8]) -> Found {
    let window = &text[..text.len().min(LONGEST)];
    let Some(end) = window.iter().position(|byte| *byte == b';') else {
        let begun = window.iter().skip(1).all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#');
        return if begun && window.len() < LONGEST { Found::Part } else { Found::Nothing };
    };
    let name = std::str::from_utf8(&window[1..end]).unwrap_or_default();
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let character = match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(digits), _) => number(digits, 16),
            (None, Some(digits)) => number(digits, 10),
            (None, None) => None,
        },
    };
    character.map_or(Found::Nothing, |character| Found::Char(character, end + 1))
}
