//! Values that are stored as text.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};

use super::plain::one_line;

/// Parses a value written by its `Display` with its `FromStr`.
///
/// # Errors
/// If there is no text, or it does not parse.
pub fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: Display,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// A text as one line, however the file lays it out.
///
/// # Errors
/// If there is no text.
pub fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(one_line(text.trim()).into_owned())
}

/// A lower bound that may be infinite: JSON has no infinity, so it is stored as null.
///
/// # Errors
/// If there is neither a number nor null.
pub fn unbounded_below<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

/// As [`unbounded_below`], for an upper bound.
///
/// # Errors
/// If there is neither a number nor null.
pub fn unbounded_above<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

/// Implements `Deserialize` with `FromStr`.
macro_rules! deserialize_from_text {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::domain::text::parsed(deserializer)
            }
        }
    )+};
}

/// Implements `Serialize` with `Display` and `Deserialize` with `FromStr`.
macro_rules! text_form {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        crate::domain::text::deserialize_from_text!($name);
    )+};
}

pub(crate) use {deserialize_from_text, text_form};
