//! Plain tables: columns as wide as their widest cell, no frame.

/// A table for people.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| cell.to_uppercase()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, or that text if it has nothing below its head.
    pub(crate) fn or(&self, nothing: &str) -> String {
        if self.rows.len() == 1 { nothing.to_owned() } else { self.render() }
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn render_aligns_columns_without_trailing_space() {
        let mut table = Table::new(&["step", "time"]);
        table.row(["a long one".to_owned(), "1 s".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        assert_eq!(table.render(), "STEP        TIME\na long one  1 s\nb\n");
    }
}
