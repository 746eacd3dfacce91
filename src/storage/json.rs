//! JSON as results are printed and stored.

use serde::Serialize;

/// A value as JSON, with two spaces of indent and a line feed at the end.
///
/// # Panics
/// If the value has keys that are no strings.
pub fn pretty_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(value).expect("results have string keys") + "\n"
}
