//! Text from files, made safe for terminals, pages and tables: control characters are shown, not obeyed.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is obeyed rather than shown: controls of the terminal, breaks of lines, and marks
/// that turn the direction of what follows.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The text as one line: breaks and tabs become blanks, other hidden characters `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if is_hidden(c) => {
                write!(line, "{}", c.escape_unicode()).expect("a String takes any text");
            }
            c => line.push(c),
        }
    }
    line.into()
}

/// The text for a message of several lines, each as [`one_line`] makes it.
pub fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_hidden(c) && c != '\n') {
        return text.into();
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(one_line).collect();
    lines.join("\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(one_line("A1.ST"), "A1.ST");
        assert_eq!(one_line("a\u{1b}[31mb\u{7}"), r"a\u{1b}[31mb\u{7}");
        assert_eq!(one_line("a\n| b |\tc\r"), "a | b | c ");
        assert_eq!(one_line("\u{9b}1m\u{202e}x"), r"\u{9b}1m\u{202e}x");
        assert_eq!(one_line("größer, ∪ 数"), "größer, ∪ 数");
        assert_eq!(lines("a\nb\u{1b}c"), "a\nb\\u{1b}c");
    }
}
