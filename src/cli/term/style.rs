//! The colours of the output. They reach terminals only: `anstream` takes them out elsewhere, and
//! where `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// `error:`
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// `warning:`
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// `hint:`
pub const HINT: Style = AnsiColor::Cyan.on_default();
/// Titles and the heads of tables.
pub const TITLE: Style = Style::new().bold();
pub const RIGHT: Style = AnsiColor::Green.on_default();
pub const WRONG: Style = AnsiColor::Red.on_default();
/// Nothing out of the ordinary.
pub const PLAIN: Style = Style::new();
