//! Text from files as a part of Markdown.

use crate::domain::plain::one_line;

/// The text as Markdown shows it: in one line, and without what would end a cell, begin a tag, a link or
/// code.
pub fn markdown_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '|' | '`' | '[' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The text between backticks, which nothing in it can end.
pub fn markdown_code(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_markdown_would_obey_is_shown() {
        assert_eq!(markdown_text("A1.ST, a_b"), "A1.ST, a_b");
        assert_eq!(
            markdown_text("a|b\n| c | <script>[x](y) `z`"),
            r"a\|b \| c \| &lt;script>\[x](y) \`z\`"
        );
        assert_eq!(markdown_code("a`b\nc"), "`a'b c`");
    }
}
