//! A tag of a claims or behaviours file.

use std::fmt;
use std::str::FromStr;

/// A tag: `Major:Minor`. Unknown majors are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// What kind of fact it is: `Algo`, `Fail%`, `Impact`, `Attn`, …
    pub major: String,
    pub minor: String,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Tag {
    /// How many colons there are instead of one.
    type Err = usize;

    fn from_str(text: &str) -> Result<Self, usize> {
        match text.split_once(':') {
            Some((major, minor)) if !minor.contains(':') => Ok(Tag {
                major: major.into(),
                minor: minor.into(),
            }),
            _ => Err(text.matches(':').count()),
        }
    }
}
