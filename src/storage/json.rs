//! JSON for printing, storing and reading results.

use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::plain::is_hidden;

/// A value as JSON, with two spaces of indent and a final line feed.
///
/// # Panics
/// If the value has keys that are not strings.
pub fn pretty_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(value).expect("results have string keys") + "\n"
}

/// Reads JSON that may be anyone's. No text in it holds what a terminal or a page would obey instead of
/// show, so that results can be printed as they are.
///
/// # Errors
/// Errors in the JSON, and for such a text.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<PlainText>(json)?;
    serde_json::from_slice(json)
}

/// A document of which only this is known: no text in it, keys included, holds hidden characters but
/// breaks of lines and tabs where `LAYOUT` allows these.
#[derive(Debug)]
pub struct PlainText<const LAYOUT: bool = false>;

impl<'de, const LAYOUT: bool> Deserialize<'de> for PlainText<LAYOUT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainText)
    }
}

impl<'de, const LAYOUT: bool> Visitor<'de> for PlainText<LAYOUT> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        let is_layout = |c: char| LAYOUT && matches!(c, '\n' | '\r' | '\t');
        match text.chars().find(|&c| is_hidden(c) && !is_layout(c)) {
            None => Ok(self),
            Some(c) => Err(E::custom(format_args!(
                "a text holds the control character U+{:04X}",
                u32::from(c)
            ))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
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
    Ok(read_json(json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_control_character_is_refused_wherever_it_is() {
        let read = |json: &str| read_json::<serde_json::Value>(json.as_bytes());
        assert!(read(r#"{"a": ["b", 1, -1, 0.5, null, true, {"c": "d é"}]}"#).is_ok());
        for hidden in [
            r#""\u001b[31m""#,
            r#"{"a": ["x\ny"]}"#,
            r#"{"a\t": 1}"#,
            r#"[{"a": "\u202e"}]"#,
            "[\"\u{9b}\"]",
        ] {
            let error = read(hidden).unwrap_err().to_string();
            assert!(error.contains("control character U+"), "{hidden}: {error}");
        }
        assert!(serde_json::from_str::<PlainText<true>>(r#""a\n\tb""#).is_ok());
        assert!(serde_json::from_str::<PlainText<true>>(r#""\u0007""#).is_err());
    }
}
