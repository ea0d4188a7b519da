//! From a condition's text to its tree.

use super::{
    Test,
    words::{Word, words},
};
use crate::Pattern;

/// Azure's limit for the text of a condition, in bytes.
const MOST_BYTES: usize = 8_192;
/// The deepest nesting that is read.
const DEEPEST: usize = 64;

/// The tree of a text, or nothing if it cannot be read.
pub(super) fn test(text: &str) -> Option<Test> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let words = words(text)?;
    let mut reader = Reader { words: &words, depth: 0 };
    let test = reader.tests()?;
    reader.words.is_empty().then_some(test)
}

struct Reader<'a> {
    words: &'a [Word<'a>],
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next_is(&mut self, word: Word<'_>) -> bool {
        let is = self.words.first() == Some(&word);
        if is {
            self.words = &self.words[1..];
        }
        is
    }

    /// Tests between the same operator: Azure demands parentheses around different ones.
    fn tests(&mut self) -> Option<Test> {
        let first = self.one()?;
        let Some(operator @ (Word::And | Word::Or)) = self.words.first().copied() else {
            return Some(first);
        };
        let mut tests = vec![first];
        while self.next_is(operator) {
            tests.push(self.one()?);
        }
        Some(if operator == Word::And { Test::All(tests) } else { Test::Any(tests) })
    }

    fn one(&mut self) -> Option<Test> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let test = if self.next_is(Word::Not) {
            Test::Not(Box::new(self.one()?))
        } else if self.next_is(Word::Open) {
            let test = self.tests()?;
            if !self.next_is(Word::Close) {
                return None;
            }
            test
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Some(test)
    }

    /// Everything up to the next operator or parenthesis.
    fn comparison(&mut self) -> Option<Test> {
        let is_end = |word: &Word<'_>| {
            matches!(word, Word::And | Word::Or | Word::Not | Word::Open | Word::Close)
        };
        let length = self.words.iter().position(is_end).unwrap_or(self.words.len());
        let (words, rest) = self.words.split_at(length);
        self.words = rest;
        match words {
            [Word::Name(name), list @ ..] if name.eq_ignore_ascii_case("ActionMatches") => {
                let [Word::List(list)] = list else { return None };
                let text = list.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Pattern::parse(text).ok().map(Test::Action)
            }
            [] => None,
            words if words.iter().any(is_action_matches) => None,
            _ => Some(Test::Unknown),
        }
    }
}

fn is_action_matches(word: &Word<'_>) -> bool {
    matches!(word, Word::Name(name) if name.eq_ignore_ascii_case("ActionMatches"))
}
