//! Options that several commands share, and the values they stand for.

pub mod count;
pub mod decode;
pub mod filter;
pub mod known_claims;
pub mod model;
pub mod models;
pub mod names;
pub mod questions;
pub mod seed;

use std::num::ParseFloatError;

use circuitcheck::experiment::check_alpha;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reads one of `all` by its name; `ignore_case` of the option lets either case through.
pub fn named<T, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(name)).map(move |given| {
        let mut all = all.into_iter();
        let found = all.find(|&value| name(value).eq_ignore_ascii_case(&given));
        found.expect("the parser admits these names only")
    })
}

/// Reads an error that bounds can be computed to.
pub fn alpha(text: &str) -> Result<f64, String> {
    let alpha: f64 = text
        .parse()
        .map_err(|error: ParseFloatError| error.to_string())?;
    match check_alpha(alpha) {
        Ok(()) => Ok(alpha),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a share that is neither none nor all.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        Ok(value) => Err(format!("{value} is not between 0 and 1")),
        Err(error) => Err(error.to_string()),
    }
}
