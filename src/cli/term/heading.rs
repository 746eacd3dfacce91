//! The line above a command's tables: which model, and on what terms.

use std::fmt;

use circuitcheck::network::engine::Decode;

use super::style;
use crate::cli::args::decode::spelled;

/// A model, and what else decides the figures below.
#[derive(Debug, Clone)]
pub struct Heading {
    model: String,
    terms: Vec<String>,
}

impl Heading {
    /// `origin` says where the model was found, if the command line does not.
    pub fn new(model: &str, origin: Option<&str>) -> Self {
        Self {
            model: model.to_owned(),
            terms: origin.map(str::to_owned).into_iter().collect(),
        }
    }

    pub fn and(mut self, term: impl fmt::Display) -> Self {
        self.terms.push(term.to_string());
        self
    }

    pub fn seed(self, seed: u64) -> Self {
        self.and(format_args!("seed {seed}"))
    }

    pub fn decode(self, decode: Decode) -> Self {
        self.and(spelled(decode.name()))
    }
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bold = style::TITLE;
        write!(f, "{bold}{}{bold:#}", self.model)?;
        for term in &self.terms {
            write!(f, ", {term}")?;
        }
        writeln!(f)
    }
}
