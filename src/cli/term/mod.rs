//! What the terminal is shown: tables, colour, errors, exit codes.

pub mod answer;
pub mod error;
pub mod exit_code;
pub mod heading;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod style;
pub mod table;
