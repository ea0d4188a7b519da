//! The reader of JSON.

use std::{collections::HashMap, sync::Arc};

use super::scan::{Scanner, error};
use crate::{
    error::{Error, Kind},
    limits::Limits,
    position::Position,
};

/// Above this number of fields, a key that occurs twice is found through an index.
const INDEXED: usize = 16;

/// What the reader makes of a text.
pub(crate) trait Build: Sized {
    /// A value that contains no other.
    fn scalar(position: Position, scalar: Scalar) -> Self;

    /// An array.
    fn array(position: Position, items: Vec<Self>) -> Self;

    /// An object. No two fields have the same key.
    fn object(position: Position, fields: Vec<Field<Self>>) -> Self;
}

/// A value that contains no other.
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
}

/// A key of an object, its place, and its value.
pub(crate) struct Field<T> {
    pub(crate) key: Arc<str>,
    pub(crate) position: Position,
    pub(crate) value: T,
}

/// Reads a text; [`Node::parse`](crate::Node::parse) describes what it may contain.
pub(crate) fn read<T: Build>(text: &str, limits: &Limits) -> Result<T, Error> {
    if text.len() > limits.template_bytes {
        let message = format!("The text exceeds the limit of {} bytes", limits.template_bytes);
        return Err(Error::new(Kind::Limit, message, None));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { scanner: Scanner::new(text), depth: limits.value_depth };
    reader.scanner.skip_blank()?;
    let value = reader.value()?;
    reader.scanner.skip_blank()?;
    match reader.scanner.peek() {
        None => Ok(value),
        Some(_) => Err(reader.scanner.unexpected("the end of the text")),
    }
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    /// How many more arrays and objects may open.
    depth: u32,
}

impl Reader<'_> {
    fn value<T: Build>(&mut self) -> Result<T, Error> {
        let position = self.scanner.position();
        let scalar = match self.scanner.peek() {
            Some(b'{') => return self.nested(position, Self::object),
            Some(b'[') => return self.nested(position, Self::array),
            Some(quote @ (b'"' | b'\'')) => Scalar::Text(self.string(quote)?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(byte) if byte.is_ascii_alphabetic() => self.word()?,
            _ => return Err(self.scanner.unexpected("a value")),
        };
        Ok(T::scalar(position, scalar))
    }

    fn nested<T: Build>(
        &mut self,
        position: Position,
        read: fn(&mut Self, Position) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == 0 {
            let message = "The depth of arrays and objects exceeds the limit";
            return Err(Error::new(Kind::Limit, message, Some(position)));
        }
        self.depth -= 1;
        self.scanner.skip(1);
        let value = read(self, position)?;
        self.depth += 1;
        Ok(value)
    }

    fn array<T: Build>(&mut self, position: Position) -> Result<T, Error> {
        let mut items = Vec::new();
        while !self.closes(b']')? {
            items.push(self.value()?);
            self.separator(b']')?;
        }
        Ok(T::array(position, items))
    }

    fn object<T: Build>(&mut self, start: Position) -> Result<T, Error> {
        let mut fields = Fields::new();
        while !self.closes(b'}')? {
            let position = self.scanner.position();
            let key = self.key()?;
            self.scanner.skip_blank()?;
            if self.scanner.peek() != Some(b':') {
                return Err(self.scanner.unexpected("':'"));
            }
            self.scanner.skip(1);
            self.scanner.skip_blank()?;
            let value = self.value()?;
            fields.insert(Field { key, position, value });
            self.separator(b'}')?;
        }
        Ok(T::object(start, fields.list))
    }

    /// Moves behind blanks, and behind `bracket` if it follows.
    fn closes(&mut self, bracket: u8) -> Result<bool, Error> {
        self.scanner.skip_blank()?;
        let closes = self.scanner.peek() == Some(bracket);
        if closes {
            self.scanner.skip(1);
        }
        Ok(closes)
    }

    /// Moves behind a comma. Before the closing bracket, there may be one.
    fn separator(&mut self, bracket: u8) -> Result<(), Error> {
        self.scanner.skip_blank()?;
        match self.scanner.peek() {
            Some(b',') => {
                self.scanner.skip(1);
                Ok(())
            }
            Some(byte) if byte == bracket => Ok(()),
            _ => Err(self.scanner.unexpected(&format!("',' or '{}'", char::from(bracket)))),
        }
    }

    fn key(&mut self) -> Result<Arc<str>, Error> {
        match self.scanner.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(byte) if is_word(byte) => {
                let start = self.scanner.offset();
                self.scanner.skip_while(is_word);
                Ok(self.scanner.since(start).into())
            }
            _ => Err(self.scanner.unexpected("a key or '}'")),
        }
    }

    fn word(&mut self) -> Result<Scalar, Error> {
        let (start, position) = (self.scanner.offset(), self.scanner.position());
        self.scanner.skip_while(is_word);
        match self.scanner.since(start) {
            "null" => Ok(Scalar::Null),
            "true" => Ok(Scalar::Bool(true)),
            "false" => Ok(Scalar::Bool(false)),
            other => {
                let word: String = other.chars().take(40).collect();
                Err(error(format!("Unexpected word '{word}', expected a value"), position))
            }
        }
    }

    fn number(&mut self) -> Result<Scalar, Error> {
        let (start, position) = (self.scanner.offset(), self.scanner.position());
        self.scanner.skip_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
        });
        let text = self.scanner.since(start);
        let wrong = || {
            let number: String = text.chars().take(40).collect();
            error(format!("'{number}' is not a number"), position)
        };
        if !is_number(text) {
            return Err(wrong());
        }
        if let Ok(number) = text.parse() {
            return Ok(Scalar::Int(number));
        }
        match text.parse() {
            Ok(number) if f64::is_finite(number) => Ok(Scalar::Float(number)),
            _ => Err(wrong()),
        }
    }

    /// A string from its opening to its closing quote.
    fn string(&mut self, quote: u8) -> Result<Arc<str>, Error> {
        let position = self.scanner.position();
        self.scanner.skip(1);
        let mut start = self.scanner.offset();
        let mut decoded = String::new();
        loop {
            self.scanner.skip_plain(quote);
            let plain = self.scanner.since(start);
            match self.scanner.peek() {
                None => return Err(error("The string has no closing quote", position)),
                Some(b'\\') => {
                    decoded.push_str(plain);
                    decoded.push(self.escape()?);
                    start = self.scanner.offset();
                }
                Some(_) => {
                    self.scanner.skip(1);
                    if decoded.is_empty() {
                        return Ok(plain.into());
                    }
                    decoded.push_str(plain);
                    return Ok(decoded.into());
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let position = self.scanner.position();
        self.scanner.skip(1);
        match self.scanner.advance() {
            Some(c @ ('"' | '\'' | '\\' | '/')) => Ok(c),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode(position),
            _ => Err(error("The string has an unknown escape sequence", position)),
        }
    }

    /// The character of `\uXXXX`. A surrogate without its other half becomes U+FFFD: Rust's text cannot hold it, and it
    /// does not stand for a character.
    fn unicode(&mut self, position: Position) -> Result<char, Error> {
        let first = self.hexadecimal(position)?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let rest = self.scanner.rest();
        let second = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4)).and_then(parse_hex);
        match second.filter(|second| (0xdc00..0xe000).contains(second)) {
            Some(second) => {
                self.scanner.skip(6);
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            None => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn hexadecimal(&mut self, position: Position) -> Result<u32, Error> {
        let digits = self.scanner.rest().get(..4).and_then(parse_hex);
        let number = digits.ok_or_else(|| {
            error("The escape sequence '\\u' needs four hexadecimal digits", position)
        })?;
        self.scanner.skip(4);
        Ok(number)
    }
}

/// The fields of an object under construction.
struct Fields<T> {
    list: Vec<Field<T>>,
    /// The places of the keys; filled above [`INDEXED`] fields.
    index: HashMap<Arc<str>, usize>,
}

impl<T> Fields<T> {
    fn new() -> Self {
        Self { list: Vec::new(), index: HashMap::new() }
    }

    /// Adds a field, in place of one with the same key.
    fn insert(&mut self, field: Field<T>) {
        match self.find(&field.key) {
            Some(at) => self.list[at] = field,
            None => self.append(field),
        }
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.list.len() <= INDEXED {
            return self.list.iter().position(|field| *field.key == *key);
        }
        self.index.get(key).copied()
    }

    fn append(&mut self, field: Field<T>) {
        self.list.push(field);
        let count = self.list.len();
        if count <= INDEXED {
            return;
        }
        for at in self.index.len()..count {
            self.index.insert(self.list[at].key.clone(), at);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn parse_hex(digits: &str) -> Option<u32> {
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// The grammar of numbers in JSON, which is narrower than that of Rust.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|digits| digits.strip_prefix(['+', '-']).unwrap_or(digits));
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
