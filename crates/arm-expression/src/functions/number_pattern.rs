//! Patterns for integers in .NET's notation, such as `00000`, `#,##0.00` or `0 'GiB';-0;none`.

use crate::error::{Fault, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `0` if true, which shows a zero where there is no digit, or `#`.
    Digit(bool),
    Point,
    Comma,
    /// `%` or `‰`.
    Part(char),
    Literal(char),
}

/// The number in a pattern of up to three sections: for positive numbers, negative ones, and zero.
pub(super) fn format(number: i64, pattern: &str) -> Result<String, Fault> {
    let sections = sections(pattern)?;
    let section = |index: usize| sections.get(index).filter(|section| !section.is_empty());
    let magnitude = u128::from(number.unsigned_abs());
    let first = Layout::new(&sections[0]);
    if let (true, Some(negative)) = (number < 0, section(1)) {
        let layout = Layout::new(negative);
        let digits = layout.digits(magnitude)?;
        if digits.is_zero() {
            return zero(section(2), &first);
        }
        return Ok(layout.text(&digits));
    }
    let digits = first.digits(magnitude)?;
    if digits.is_zero() {
        return zero(section(2), &first);
    }
    let minus = if number < 0 { "-" } else { "" };
    Ok(format!("{minus}{}", first.text(&digits)))
}

/// The fault of a pattern that .NET knows and this library does not.
fn unsupported(what: &str) -> Fault {
    Fault::of(Kind::Unsupported, format!("{what} in a pattern for numbers is not supported"))
}

fn zero(section: Option<&Vec<Token>>, first: &Layout<'_>) -> Result<String, Fault> {
    match section {
        Some(section) => {
            let layout = Layout::new(section);
            Ok(layout.text(&layout.digits(0)?))
        }
        None => Ok(first.text(&first.digits(0)?)),
    }
}

fn sections(pattern: &str) -> Result<Vec<Vec<Token>>, Fault> {
    let mut sections = vec![Vec::new()];
    let mut characters = pattern.chars().peekable();
    let add = |sections: &mut Vec<Vec<Token>>, token| {
        if let Some(section) = sections.last_mut() {
            section.push(token);
        }
    };
    while let Some(character) = characters.next() {
        match character {
            ';' => sections.push(Vec::new()),
            '0' | '#' => add(&mut sections, Token::Digit(character == '0')),
            '.' => add(&mut sections, Token::Point),
            ',' => add(&mut sections, Token::Comma),
            '%' | '‰' => add(&mut sections, Token::Part(character)),
            '\\' => {
                if let Some(escaped) = characters.next() {
                    add(&mut sections, Token::Literal(escaped));
                }
            }
            '\'' | '"' => {
                for quoted in characters.by_ref().take_while(|next| *next != character) {
                    add(&mut sections, Token::Literal(quoted));
                }
            }
            'E' | 'e' if matches!(characters.peek(), Some('0' | '+' | '-')) => {
                return Err(unsupported("an exponent"));
            }
            other => add(&mut sections, Token::Literal(other)),
        }
    }
    sections.truncate(3);
    Ok(sections)
}

/// The digits of a number that are to be shown, without zeros that no placeholder asks for.
struct Digits {
    /// Without leading zeros; empty for 0.
    whole: String,
    fraction: String,
}

impl Digits {
    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.bytes().all(|digit| digit == b'0')
    }
}

/// A section with the counts of its placeholders.
struct Layout<'a> {
    tokens: &'a [Token],
    /// Where the point is, or the end.
    point: usize,
    whole: usize,
    fraction: usize,
    /// The number of digits that are shown at least.
    least_whole: usize,
    least_fraction: usize,
    is_grouped: bool,
    /// How often a comma at the end of the whole part divides by 1000.
    divisions: u32,
}

impl<'a> Layout<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let is_digit = |token: &Token| matches!(token, Token::Digit(_));
        let is_zero = |token: &&Token| **token == Token::Digit(true);
        let point = tokens.iter().position(|token| *token == Token::Point).unwrap_or(tokens.len());
        let (before, after) = tokens.split_at(point);
        let whole: Vec<&Token> = before.iter().filter(|token| is_digit(token)).collect();
        let fraction: Vec<&Token> = after.iter().filter(|token| is_digit(token)).collect();
        let last = before.iter().rposition(is_digit);
        let first = before.iter().position(is_digit);
        let commas = |tokens: &[Token]| tokens.iter().filter(|t| **t == Token::Comma).count();
        let (is_grouped, divisions) = match first.zip(last) {
            Some((first, last)) => {
                let trailing = before[last + 1..].iter().take_while(|t| **t == Token::Comma);
                (commas(&before[first..last]) > 0, trailing.count() as u32)
            }
            None => (false, 0),
        };
        Self {
            tokens,
            point,
            least_whole: whole.iter().position(is_zero).map_or(0, |at| whole.len() - at),
            least_fraction: fraction.iter().rposition(is_zero).map_or(0, |at| at + 1),
            whole: whole.len(),
            fraction: fraction.len(),
            is_grouped,
            divisions,
        }
    }

    fn digits(&self, magnitude: u128) -> Result<Digits, Fault> {
        // More decimals than the division makes are zeros.
        let decimals = self.fraction.min(3 * self.divisions as usize);
        let parts = self.tokens.iter().filter_map(|token| match token {
            Token::Part('%') => Some(100u128),
            Token::Part(_) => Some(1000),
            _ => None,
        });
        let factor = parts.chain(std::iter::repeat_n(10, decimals));
        let too_large = || unsupported("a number this large");
        let scaled = factor.into_iter().try_fold(magnitude, u128::checked_mul);
        let scaled = scaled.ok_or_else(too_large)?;
        let divisor = 1000u128.checked_pow(self.divisions).ok_or_else(too_large)?;
        let rounded = (scaled + divisor / 2) / divisor;
        let text = format!("{rounded:0>width$}", width = decimals + 1);
        let (whole, fraction) = text.split_at(text.len() - decimals);
        let whole = whole.trim_start_matches('0').to_owned();
        Ok(Digits { whole, fraction: fraction.to_owned() })
    }

    fn text(&self, digits: &Digits) -> String {
        let mut text = String::new();
        let shown = self.least_fraction.max(digits.fraction.trim_end_matches('0').len());
        let (mut places, mut decimals) = (self.whole, 0);
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Digit(_) if at < self.point => {
                    // The first placeholder stands for all digits that have none of their own.
                    let from = if places == self.whole { digits.whole.len() } else { places };
                    self.write_whole(&digits.whole, places - 1..from.max(places), &mut text);
                    places -= 1;
                }
                Token::Digit(_) => {
                    if decimals < shown {
                        let digit = digits.fraction.as_bytes().get(decimals);
                        text.push(digit.map_or('0', |digit| char::from(*digit)));
                    }
                    decimals += 1;
                }
                Token::Point if at == self.point => {
                    if self.whole == 0 {
                        text.push_str(&digits.whole);
                    }
                    if shown > 0 {
                        text.push('.');
                    }
                }
                Token::Part(literal) | Token::Literal(literal) => text.push(*literal),
                Token::Point | Token::Comma => {}
            }
        }
        text
    }

    /// Writes the digits at these places, counted from the right, from the highest down.
    fn write_whole(&self, whole: &str, places: std::ops::Range<usize>, text: &mut String) {
        for place in places.rev() {
            let digit = whole.len().checked_sub(place + 1).map(|at| whole.as_bytes()[at]);
            match digit {
                Some(digit) => text.push(char::from(digit)),
                None if place < self.least_whole => text.push('0'),
                None => continue,
            }
            if self.is_grouped && place > 0 && place.is_multiple_of(3) {
                text.push(',');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_give_what_dotnet_gives() {
        for (number, pattern, text) in [
            (5, "000", "005"),
            (1234, "00", "1234"),
            (-5, "000", "-005"),
            (1_234_567, "#,##0", "1,234,567"),
            (42, "#,##0", "42"),
            (42, "0,000", "0,042"),
            (0, "#", ""),
            (0, "#,##0.00", "0.00"),
            (12, "0.00", "12.00"),
            (12, "0.##", "12"),
            (12, "#.0#", "12.0"),
            (0, ".00", ".00"),
            (7, ".00", "7.00"),
            (1500, "0,", "2"),
            (1450, "0,.0", "1.5"),
            (1_234_567, "#,##0,,.00", "1.23"),
            (5, "0%", "500%"),
            (1_234_567_890, "000-000-0000", "123-456-7890"),
            (12, "0 'GiB'", "12 GiB"),
            (12, "0 \"a\"\\0", "12 a0"),
            (-3, "0;(0);none", "(3)"),
            (0, "0;(0);none", "none"),
            (-3, "0;;none", "-3"),
            (123, "abc", "abc"),
        ] {
            assert_eq!(format(number, pattern).as_deref(), Ok(text), "{number} {pattern}");
        }
        assert!(format(1, "0.0E+0").is_err());
    }
}
