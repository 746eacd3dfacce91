//! The quirks of the published protocol, each of which can be removed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// A difference between what the published tool does and what it documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quirk {
    /// Means are taken at layer 0 and used for nodes of every layer. Without it: each layer's own.
    FirstLayerMeans,
    /// A node attends P1 if a tag contains `Attn:P1`, so P10 qualifies. Without it: the exact
    /// position.
    AttentionSubstring,
    /// Any attention listed in a tag is enough. Without it: at least 10 %, as the tool intends.
    NoAttentionMinimum,
    /// A node impacts A3 if A3 is the highest wrong place. Without it: if it is any wrong place.
    HighestImpact,
    /// Tags are matched and deleted as substrings: a search for `A1.ST` deletes `A1.STC`. Without
    /// it: the exact tag, or its weak form.
    TagSubstring,
    /// The impact of an intervention is compared as sorted digit characters, so A12 reads `A21`.
    /// Without it: places are compared.
    SortedImpact,
    /// In addition-only models, the sign has no number: an impact on it alone reads `A`. Without
    /// it: it is A(n+1), as in all others.
    UnnumberedSign,
    /// A node left with only OPR, or only SGN, loses it. Without it: the tag stays.
    LonelyTag,
    /// Each score of a clustering is the larger of those with two and with three clusters. Without
    /// it: one of the two clusterings must reach every threshold.
    SeparateScores,
    /// The first component's share is rounded to a percent before comparison. Without it: it is
    /// compared unrounded.
    RoundedShare,
    /// If a case has too few questions, one multiple of the place's power of ten is added to both
    /// operands, which blurs the cases, and questions that no longer fit are dropped. Without it:
    /// the case's own questions are repeated.
    BlurredCases,
}

const NAMES: [(Quirk, &str); 11] = [
    (Quirk::FirstLayerMeans, "first-layer-means"),
    (Quirk::AttentionSubstring, "attention-substring"),
    (Quirk::NoAttentionMinimum, "no-attention-minimum"),
    (Quirk::HighestImpact, "highest-impact"),
    (Quirk::TagSubstring, "tag-substring"),
    (Quirk::SortedImpact, "sorted-impact"),
    (Quirk::UnnumberedSign, "unnumbered-sign"),
    (Quirk::LonelyTag, "lonely-tag"),
    (Quirk::SeparateScores, "separate-scores"),
    (Quirk::RoundedShare, "rounded-share"),
    (Quirk::BlurredCases, "blurred-cases"),
];

impl Quirk {
    /// All quirks, in the order in which they occur in the protocol.
    pub fn all() -> impl Iterator<Item = Quirk> {
        NAMES.iter().map(|&(quirk, _)| quirk)
    }

    /// The name in text form.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An unknown quirk name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown quirk {0:?}")]
pub struct UnknownQuirk(pub String);

impl FromStr for Quirk {
    type Err = UnknownQuirk;

    fn from_str(text: &str) -> Result<Self, UnknownQuirk> {
        Quirk::all()
            .find(|quirk| quirk.name() == text)
            .ok_or_else(|| UnknownQuirk(text.into()))
    }
}

impl Serialize for Quirk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The quirks of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quirks(BTreeSet<Quirk>);

impl Quirks {
    /// The published protocol: all quirks.
    pub fn published() -> Self {
        Quirks(Quirk::all().collect())
    }

    pub fn none() -> Self {
        Quirks(BTreeSet::new())
    }

    pub fn without(mut self, quirk: Quirk) -> Self {
        self.0.remove(&quirk);
        self
    }

    /// Whether a run has this quirk.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.0.contains(&quirk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_is_read_back_from_its_name() {
        for quirk in Quirk::all() {
            assert_eq!(quirk.to_string().parse(), Ok(quirk));
        }
        assert_eq!("odd".parse::<Quirk>(), Err(UnknownQuirk("odd".to_owned())));
    }

    #[test]
    fn one_quirk_is_removed_at_a_time() {
        for quirk in Quirk::all() {
            let rest = Quirks::published().without(quirk);
            assert!(Quirk::all().all(|other| rest.has(other) == (other != quirk)));
            assert!(!Quirks::none().has(quirk));
        }
    }
}
