//! Reads back what evidence writes as text.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};

/// A value written by its `Display`, read by its `FromStr`.
///
/// # Errors
/// Where there is no text, or it does not parse.
pub fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: Display,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// A bound that may be infinite: JSON has no infinity, so it stands there as null.
///
/// # Errors
/// Where there is neither a number nor null.
pub fn unbounded_below<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

/// As [`unbounded_below`], of an upper bound.
///
/// # Errors
/// Where there is neither a number nor null.
pub fn unbounded_above<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

/// Implements `Deserialize` by `FromStr`.
macro_rules! deserialize_from_text {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::domain::text::parsed(deserializer)
            }
        }
    )+};
}

pub(crate) use deserialize_from_text;
