//! The tokens of expressions.

use std::borrow::Cow;

/// A token. The names are those of Azure's error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    LeftParenthesis,
    RightParenthesis,
    LeftSquareBracket,
    RightSquareBracket,
    Comma,
    Dot,
    Identifier(&'a str),
    Integer(i64),
    /// A text without its quotes.
    Literal(Cow<'a, str>),
    EndOfData,
}

impl Token<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::LeftParenthesis => "LeftParenthesis",
            Self::RightParenthesis => "RightParenthesis",
            Self::LeftSquareBracket => "LeftSquareBracket",
            Self::RightSquareBracket => "RightSquareBracket",
            Self::Comma => "Comma",
            Self::Dot => "Dot",
            Self::Identifier(_) => "Identifier",
            Self::Integer(_) => "Integer",
            Self::Literal(_) => "Literal",
            Self::EndOfData => "EndOfData",
        }
    }
}

/// Reads tokens from a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte where the next token begins, or white space before it.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next token, or what is wrong with it.
    pub(super) fn next(&mut self) -> Result<Token<'a>, String> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(Token::EndOfData) };
        let single = match first {
            '(' => Token::LeftParenthesis,
            ')' => Token::RightParenthesis,
            '[' => Token::LeftSquareBracket,
            ']' => Token::RightSquareBracket,
            ',' => Token::Comma,
            '.' => Token::Dot,
            '\'' => return self.literal(rest),
            '-' | '0'..='9' => return self.integer(rest),
            'a'..='z' | 'A'..='Z' | '_' | '$' => {
                let length = rest.find(|c| !is_part_of_name(c)).unwrap_or(rest.len());
                self.at += length;
                return Ok(Token::Identifier(&rest[..length]));
            }
            other => return Err(format!("unexpected character '{}'", other.escape_debug())),
        };
        self.at += 1;
        Ok(single)
    }

    fn literal(&mut self, rest: &'a str) -> Result<Token<'a>, String> {
        let mut end = 1;
        let mut doubled = false;
        loop {
            let Some(quote) = rest[end..].find('\'') else {
                return Err("the string literal has no closing quote".to_owned());
            };
            end += quote + 1;
            if !rest[end..].starts_with('\'') {
                break;
            }
            doubled = true;
            end += 1;
        }
        self.at += end;
        let text = &rest[1..end - 1];
        Ok(Token::Literal(if doubled { text.replace("''", "'").into() } else { text.into() }))
    }

    /// An integer of 32 bits. The engine of Azure refuses longer ones; templates write them as `json('...')`.
    fn integer(&mut self, rest: &'a str) -> Result<Token<'a>, String> {
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let length = rest.len() - digits.len() + length.unwrap_or(digits.len());
        let text = &rest[..length];
        let number: i32 = text.parse().map_err(|_| {
            let text: String = text.chars().take(40).collect();
            format!("'{text}' is not an integer of 32 bits")
        })?;
        self.at += length;
        Ok(Token::Integer(number.into()))
    }
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}
