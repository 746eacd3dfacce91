//! Interventions: which activations are overwritten, and with what.

use std::fmt;

use crate::domain::site::Site;

/// The origin of an overwriting value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The mean over a set of questions.
    Mean,
    Zero,
    /// The same activation in a run of another question.
    Stored,
    /// The same activation in a run of the same question.
    Own,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Mean => "mean",
            Source::Zero => "zero",
            Source::Stored => "stored",
            Source::Own => "own",
        })
    }
}

/// A site and the value that overwrites it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overwrite<'a> {
    pub site: Site,
    /// The origin of the value.
    pub source: Source,
    /// The value, with the [width](Site::width) of the site.
    pub value: &'a [f32],
}

/// A set of overwrites applied together in one forward pass. It owns nothing of the network and
/// leaves no trace in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Intervention<'a> {
    overwrites: Vec<Overwrite<'a>>,
}

impl<'a> Intervention<'a> {
    /// The intervention that overwrites nothing.
    pub const fn none() -> Self {
        Intervention {
            overwrites: Vec::new(),
        }
    }

    /// The intervention with these overwrites. If a site occurs more than once, its first value is
    /// used.
    pub fn new(overwrites: impl IntoIterator<Item = Overwrite<'a>>) -> Self {
        let mut overwrites: Vec<_> = overwrites.into_iter().collect();
        overwrites.sort_by_key(|o| o.site);
        overwrites.dedup_by_key(|o| o.site);
        Intervention { overwrites }
    }

    /// The overwrites, sorted by site.
    pub fn overwrites(&self) -> &[Overwrite<'a>] {
        &self.overwrites
    }

    /// Whether nothing is overwritten.
    pub fn is_empty(&self) -> bool {
        self.overwrites.is_empty()
    }
}

impl fmt::Display for Intervention<'_> {
    /// Writes `P15L0H2=stored P16L0H1=mean`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, overwrite) in self.overwrites.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}={}", overwrite.site, overwrite.source)?;
        }
        Ok(())
    }
}
