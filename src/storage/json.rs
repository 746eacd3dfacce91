//! JSON for printing, storing and reading results.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A value as JSON, with two spaces of indent and a final line feed.
///
/// # Panics
/// If the value has keys that are not strings.
pub fn pretty_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(value).expect("results have string keys") + "\n"
}

/// Reads a stored result, which names its format; `other_form` makes the error if that is not
/// `schema`. The rest of a file of another format is not read: it may hold anything.
///
/// # Errors
/// That error, and errors in the JSON.
pub fn read_stored<T: DeserializeOwned, E: From<serde_json::Error>>(
    json: &[u8],
    schema: &str,
    other_form: impl FnOnce(String) -> E,
) -> Result<T, E> {
    #[derive(Deserialize)]
    struct Header {
        schema: String,
    }
    let header: Header = serde_json::from_slice(json)?;
    if header.schema != schema {
        return Err(other_form(header.schema));
    }
    Ok(serde_json::from_slice(json)?)
}
