//! Tables of aligned text.

use std::fmt;

use anstyle::Style;
use circuitcheck::domain::plain::one_line;

use super::style;

const GAP: &str = "  ";

/// Columns of text are not made narrower than this.
const NARROWEST: usize = 12;

/// One cell: text and how it is shown.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn styled(text: impl ToString, style: Style) -> Self {
        Self {
            text: one_line(&text.to_string()).into_owned(),
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

/// Rows of cells; columns are as wide as their widest cell, as far as the terminal allows. A last cell
/// that ends its row early does not widen its column.
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

/// The width of the terminal that stdout is, if it is one.
fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(width.0.into())
}

impl fmt::Display for Table {
    /// Wraps to the width of a terminal; elsewhere a row is a line, however long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, terminal_width())
    }
}

impl Table {
    /// The widths of the columns: of their widest cells or, where these take more than `limit`
    /// together, less for the widest columns of text.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let columns = self.sides.len();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter(|row| column + 1 < row.len() || row.len() == columns)
                .map(|row| row[column].width())
                .max()
                .unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        let Some(limit) = limit else {
            return widths;
        };
        let around = self.indent.len() + GAP.len() * columns.saturating_sub(1);
        let longest_word = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let words = cells.flat_map(|cell| cell.text.split(' '));
            words.map(|word| word.chars().count()).max().unwrap_or(0)
        };
        let least: Vec<usize> = (0..columns).map(longest_word).collect();
        while around + widths.iter().sum::<usize>() > limit {
            let text = (0..columns).filter(|&c| self.sides[c] == Side::Left);
            let shrinkable = text.filter(|&c| widths[c] > least[c].max(NARROWEST));
            match shrinkable.max_by_key(|&c| widths[c]) {
                Some(column) => widths[column] -= 1,
                None => break,
            }
        }
        widths
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, limit: Option<usize>) -> fmt::Result {
        let widths = self.widths(limit);
        for row in &self.rows {
            // A last cell that ends its row early has the rest of the line.
            let start = |column: usize| {
                let before = widths[..column].iter().map(|width| width + GAP.len());
                self.indent.len() + before.sum::<usize>()
            };
            let cells: Vec<Vec<&str>> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| match limit {
                    None => vec![cell.text.as_str()],
                    Some(limit) if column + 1 == row.len() => {
                        let rest = limit.saturating_sub(start(column));
                        wrapped(&cell.text, rest.max(NARROWEST))
                    }
                    Some(_) => wrapped(&cell.text, widths[column]),
                })
                .collect();
            let lines = cells.iter().map(Vec::len).max().unwrap_or(1);
            for line in 0..lines {
                let text = |column: usize| cells[column].get(line).copied().unwrap_or("");
                // Nothing follows the last text of a line, not even blanks.
                let Some(last) = (0..cells.len()).rfind(|&column| !text(column).is_empty()) else {
                    writeln!(f)?;
                    continue;
                };
                f.write_str(self.indent)?;
                for (column, cell) in row[..=last].iter().enumerate() {
                    let text = text(column);
                    let fill = " ".repeat(widths[column].saturating_sub(text.chars().count()));
                    let (before, after) = match self.sides[column] {
                        Side::Left => ("", fill.as_str()),
                        Side::Right => (fill.as_str(), ""),
                    };
                    let after = if column == last { "" } else { after };
                    let gap = if column == 0 { "" } else { GAP };
                    let style = cell.style;
                    write!(f, "{gap}{before}{style}{text}{style:#}{after}")?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// The text in lines of at most `width` characters, broken between words; a longer word has a line of
/// its own.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.chars().count() > width {
        let fits = |&(at, _): &(usize, &str)| rest[..at].chars().count() <= width;
        let blanks: Vec<(usize, &str)> =
            rest.match_indices(' ').filter(|&(at, _)| at > 0).collect();
        let last = blanks.iter().rev().find(|blank| fits(blank));
        let Some(&(at, _)) = last.or(blanks.first()) else {
            break;
        };
        lines.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_forges_a_row_or_speaks_to_the_terminal() {
        let mut table = Table::new([Side::Left, Side::Left]);
        table.row([
            "a\nP1L0H0  supported".into(),
            "\u{1b}[8mb\u{1b}]0;c\u{7}".into(),
        ]);
        let shown = table.to_string();
        assert_eq!(shown.lines().count(), 1, "{shown}");
        let own = style::PLAIN.to_string() + &format!("{:#}", style::PLAIN);
        assert_eq!(own, "", "plain cells have no style");
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Left]);
        table.row(["a".into(), 7.into(), "x".into()]);
        table.row(["long".into(), 1234.into(), "yy".into()]);
        assert_eq!(table.to_string(), "a        7  x\nlong  1234  yy\n");
        table.row(["b".into(), 1.into(), "".into()]);
        assert!(table.to_string().ends_with("\nb        1\n"));
        table.row(["note".into(), "longer than all".into()]);
        assert!(table.to_string().starts_with("a        7  x\n"));
        assert!(table.indented().to_string().starts_with("  a  "));
    }

    /// A table as a terminal of this width has it.
    struct Within<'a>(&'a Table, usize);

    impl fmt::Display for Within<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(f, Some(self.1))
        }
    }

    #[test]
    fn a_terminal_gets_lines_of_its_width_and_every_word() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Left]);
        table.row(["claim".into(), "IIA".into(), "note".into()]);
        let note = "fails on 12 of 256 pairs, and so do 3 of the decoys, which counts";
        table.row(["P9L0H1 A1.ST".into(), "0.94".into(), note.into()]);
        for width in [40, 50, 60] {
            let shown = Within(&table, width).to_string();
            let lines = shown.lines();
            assert!(
                lines.clone().all(|line| line.chars().count() <= width),
                "{shown}"
            );
            assert!(lines.clone().count() > 2, "{shown}");
            let words = |text: &str| -> Vec<String> {
                text.split_whitespace().map(str::to_owned).collect()
            };
            for word in words(note) {
                assert!(shown.contains(&word), "{word}: {shown}");
            }
        }
        let column = "claim         IIA  note\n".find("note").unwrap();
        let shown = Within(&table, 50).to_string();
        let third = shown.lines().nth(2).unwrap();
        assert!(third.starts_with(&" ".repeat(column)), "{shown}");
        assert_eq!(Within(&table, 500).to_string(), table.to_string());
    }

    #[test]
    fn a_word_longer_than_the_line_is_not_broken() {
        assert_eq!(
            wrapped("a veryverylongword b", 6),
            ["a", "veryverylongword", "b"]
        );
    }
}
