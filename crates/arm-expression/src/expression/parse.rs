//! The parser of expressions.

use std::sync::Arc;

use super::{
    lex::{Lexer, Token},
    tree::{Access, Call, Callee, Expression, Step, Term},
};
use crate::{
    error::{Fault, Kind},
    limits::Limits,
    value::Value,
};

/// Namespaces of the functions that the language itself has.
const OWN_NAMESPACES: [&str; 2] = ["sys", "az"];

/// How many characters of an expression an error message repeats.
const QUOTED_CHARS: usize = 300;

impl Expression {
    /// Parses an expression with its outer brackets, such as `[concat('a', 'b')]`.
    ///
    /// # Errors
    ///
    /// [`Kind::Syntax`] if it does not follow the grammar, [`Kind::Limit`] if it is too long or too deep.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Fault> {
        // A text has at least as many bytes as characters: the count is rarely needed.
        if text.len() > limits.expression_chars
            && text.encode_utf16().count() > limits.expression_chars
        {
            let limit = limits.expression_chars;
            let message = format!("The expression exceeds the limit of {limit} characters");
            return Err(Fault::of(Kind::Limit, message));
        }
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(|| syntax(text, "it must stand in square brackets"))?;
        let mut parser = Parser {
            lexer: Lexer::new(inner),
            ahead: Token::EndOfData,
            text: inner,
            depth: limits.evaluation_depth,
        };
        parser.advance()?;
        let root = parser.term()?;
        parser.expect(&Token::EndOfData)?;
        Ok(Self { root })
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token that comes next.
    ahead: Token<'a>,
    /// The expression without its outer brackets, for messages.
    text: &'a str,
    /// How many more terms may open inside one another.
    depth: u32,
}

impl<'a> Parser<'a> {
    fn term(&mut self) -> Result<Term, Fault> {
        if self.depth == 0 {
            let text = quoted(self.text);
            let message = format!("The depth of the expression '{text}' exceeds the limit");
            return Err(Fault::of(Kind::Limit, message));
        }
        self.depth -= 1;
        let base = match self.advance()? {
            Token::Literal(text) => Term::Literal(Value::String(text.into())),
            Token::Integer(number) => Term::Literal(Value::Int(number)),
            Token::Identifier(name) => Term::Call(self.call(name)?),
            other => return Err(self.expected("Identifier", &other)),
        };
        let steps = self.steps()?;
        self.depth += 1;
        if steps.is_empty() {
            return Ok(base);
        }
        Ok(Term::Access(Box::new(Access { base, steps })))
    }

    fn call(&mut self, first: &'a str) -> Result<Call, Fault> {
        let (name, callee) = self.callee(first)?;
        self.expect(&Token::LeftParenthesis)?;
        let mut arguments = Vec::new();
        if self.ahead == Token::RightParenthesis {
            self.advance()?;
            return Ok(Call { name, callee, arguments });
        }
        loop {
            arguments.push(self.term()?);
            if self.ahead != Token::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect(&Token::RightParenthesis)?;
        Ok(Call { name, callee, arguments })
    }

    fn callee(&mut self, first: &'a str) -> Result<(Arc<str>, Callee), Fault> {
        if self.ahead != Token::Dot {
            return Ok((first.into(), Callee::find(first)));
        }
        self.advance()?;
        let second = self.identifier()?;
        if OWN_NAMESPACES.iter().any(|namespace| namespace.eq_ignore_ascii_case(first)) {
            return Ok((second.into(), Callee::find(second)));
        }
        Ok((format!("{first}.{second}").into(), Callee::User))
    }

    fn steps(&mut self) -> Result<Vec<Step>, Fault> {
        let mut steps = Vec::new();
        loop {
            match self.ahead {
                Token::Dot => {
                    self.advance()?;
                    steps.push(Step::Property(self.identifier()?.into()));
                }
                Token::LeftSquareBracket => {
                    self.advance()?;
                    let index = self.term()?;
                    self.expect(&Token::RightSquareBracket)?;
                    steps.push(Step::Index(index));
                }
                _ => return Ok(steps),
            }
        }
    }

    fn identifier(&mut self) -> Result<&'a str, Fault> {
        match self.advance()? {
            Token::Identifier(name) => Ok(name),
            other => Err(self.expected("Identifier", &other)),
        }
    }

    fn expect(&mut self, token: &Token<'_>) -> Result<(), Fault> {
        if self.ahead != *token {
            return Err(self.expected(token.name(), &self.ahead));
        }
        self.advance().map(drop)
    }

    /// The token that came next, and moves behind it.
    fn advance(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.lexer.offset();
        let ahead = self.lexer.next().map_err(|wrong| {
            let place = self.text[..start].chars().count();
            syntax(self.text, &format!("{wrong}, behind character {place}"))
        })?;
        Ok(std::mem::replace(&mut self.ahead, ahead))
    }

    fn expected(&self, expected: &str, actual: &Token<'_>) -> Fault {
        let actual = actual.name();
        syntax(self.text, &format!("expected token '{expected}' and actual '{actual}'"))
    }
}

fn syntax(text: &str, wrong: &str) -> Fault {
    let text = quoted(text);
    Fault::of(Kind::Syntax, format!("Unable to parse language expression '{text}': {wrong}"))
}

/// The text, cut if it is long.
fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < text.len() {
        quoted.push_str("...");
    }
    quoted
}
