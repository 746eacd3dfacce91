//! Tables of aligned text.

use std::fmt;

use anstyle::Style;

use super::style;

const GAP: &str = "  ";

/// One cell: text and how it is shown.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn styled(text: impl ToString, style: Style) -> Self {
        Self {
            text: text.to_string(),
            style,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, style::PLAIN)
    }
}

/// On which side the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Rows of cells; columns are as wide as their widest cell. The last cell of a row that ends early
/// may be as long as it likes.
#[derive(Debug, Clone)]
pub struct Table {
    indent: &'static str,
    sides: Vec<Side>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table of columns that stand on these sides.
    pub fn new(sides: impl IntoIterator<Item = Side>) -> Self {
        Self {
            indent: "",
            sides: sides.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// The same table, moved to the right.
    pub fn indented(mut self) -> Self {
        self.indent = GAP;
        self
    }

    /// Adds the row of headings.
    pub fn heading(&mut self, titles: impl IntoIterator<Item = impl ToString>) {
        let titles = titles.into_iter();
        self.row(titles.map(|title| Cell::styled(title, style::TITLE)));
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.sides.len();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter(|row| column + 1 < row.len() || row.len() == columns)
                .map(|row| row[column].width())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            f.write_str(self.indent)?;
            for (column, cell) in row.iter().enumerate() {
                let fill = " ".repeat(widths[column].saturating_sub(cell.width()));
                let (before, after) = match self.sides[column] {
                    Side::Left => ("", fill.as_str()),
                    Side::Right => (fill.as_str(), ""),
                };
                // Nothing follows the last cell, not even blanks.
                let after = if column + 1 == row.len() { "" } else { after };
                let gap = if column == 0 { "" } else { GAP };
                let style = cell.style;
                write!(f, "{gap}{before}{style}{}{style:#}{after}", cell.text)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Left]);
        table.row(["a".into(), 7.into(), "x".into()]);
        table.row(["long".into(), 1234.into(), "yy".into()]);
        assert_eq!(table.to_string(), "a        7  x\nlong  1234  yy\n");
        table.row(["note".into(), "longer than all".into()]);
        assert!(table.to_string().starts_with("a        7  x\n"));
        assert!(table.indented().to_string().starts_with("  a  "));
    }
}
