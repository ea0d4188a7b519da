//! Places in a text.

use std::fmt;

/// A line and a column, both counted from 1, of the first character of something.
///
/// Azure Resource Manager's columns count UTF-16 units, and so do these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in UTF-16 units.
    pub column: u32,
}

impl Position {
    /// The position of `line` and `column`.
    pub fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line '{}' and column '{}'", self.line, self.column)
    }
}
