//! The common part of the planted addition networks: they add two-digit numbers, without the
//! redundancy of [`addition()`](super::addition()).
//!
//! | position | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | token | D1 | D0 | `+` | D'1 | D'0 | `=` | sign | A2 | A1 | A0 |
//! | predicts | | | | | | sign | A2 | A1 | A0 | |
//!
//! Each network changes how one variable is represented. Everything else is as here:
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P7L0H0, P8L0H0 | the sum of column 1, of column 0 | `A1.SA`, `A0.SA` |
//! | P7L0H1, P7L0M0 | the sum of column 0, and a vote on it | `A0.SC`, `A0.ST`, `A0.SV`, `A1.STC` |
//! | P6L0H1 | the sum of column 1 | `A1.SC`, `A1.ST` |
//! | P6L0H2 | the sum of column 0 | `A0.ST`, `A0.SV`, `A1.SS` |
//! | P6L0M0 | votes on the carry into A2 | `A1.SC`, `A1.SS`, `A1.SV`, `A2.STC` |
//! | P6L1M0 | that carry | the same |
//! | P7L1M0 | the carry into A1, and whether the sum with it is ten or more | `A1.STC` |

use std::collections::BTreeMap;

use super::addition::adder;
use super::sheet::{Entry, Head, Sheet};
use super::{PLANTED_LEAD, Places, Row, Table};

/// Heads of layer 0, by function.
pub(super) const OWN: usize = 0;
pub(super) const BELOW: usize = 1;
pub(super) const LOWER: usize = 2;
/// The head that a network plants, in any layer.
pub(super) const PLANTED: usize = 3;

/// By position, the positions that a head reads and their weights.
type Reads = BTreeMap<usize, Vec<(usize, f32)>>;

/// A network before its weights are written.
pub(super) struct TwoDigits {
    pub(super) places: Places,
    /// What the heads of layer 0 read: a position's own column, the one below, and the one below
    /// that.
    pub(super) own: Reads,
    pub(super) below: Reads,
    pub(super) lower: Reads,
    pub(super) planted: Vec<Head>,
}

impl TwoDigits {
    /// The network with nothing planted.
    pub(super) fn plain() -> Self {
        let places = Places::planted(2);
        let [a2, a1, a0] = [2, 1, 0].map(|k| places.predicting(k));
        let [column_1, column_0] = [1, 0].map(|k| places.column(k, 1.0));
        TwoDigits {
            places,
            own: [(a1, column_1.clone()), (a0, column_0.clone())].into(),
            below: [(a2, column_1), (a1, column_0.clone())].into(),
            lower: [(a2, column_0)].into(),
            planted: Vec::new(),
        }
    }

    /// The network's weights.
    pub(super) fn sheet(self) -> Sheet {
        let places = self.places;
        // A single head that reads the column below needs a second vote.
        let voted: Vec<usize> = self.below.keys().copied().collect();
        let mut heads = vec![
            places.summing(0, OWN, Entry::Sum, self.own),
            places.summing(0, BELOW, Entry::Below(0), self.below),
            places.summing(0, LOWER, Entry::Lower, self.lower),
        ];
        heads.extend(self.planted);
        let mut sheet = adder(places, &heads, 1, PLANTED_LEAD);
        for position in voted {
            sheet.start_with(position, Entry::Votes, 1.0);
        }
        sheet
    }
}

/// What the nodes of the table above represent alone.
const ALONE: &Table = &[
    ("P7L0H0", &["A1.SA"]),
    ("P8L0H0", &["A0.SA"]),
    ("P7L0H1", &["A0.SC", "A0.ST", "A0.SV", "A1.STC"]),
    ("P7L0M0", &["A0.SC", "A0.ST", "A0.SV", "A1.STC"]),
    ("P6L0H1", &["A1.SC", "A1.ST"]),
    ("P6L0H2", &["A0.ST", "A0.SV", "A1.SS"]),
    ("P6L0M0", &["A1.SC", "A1.SS", "A1.SV", "A2.STC"]),
    ("P6L1M0", &["A1.SC", "A1.SS", "A1.SV", "A2.STC"]),
    ("P7L1M0", &["A1.STC"]),
];

/// What they nearly represent: the claim fails on the few source questions whose column 1 sums to
/// nine and propagates another carry than the base question's.
const NEARLY: &Table = &[
    ("P6L0H1", &["A1.SV", "A2.STC"]),
    ("P6L0M0", &["A1.ST"]),
    ("P6L1M0", &["A1.ST"]),
];

/// The true and nearly true claims of the plain network, without the nodes that a network replaces.
pub(super) fn claims_but(replaced: &[&str]) -> (Vec<Row>, Vec<Row>) {
    let kept = |table: &Table| {
        let rows = table.iter().copied();
        rows.filter(|(node, _)| !replaced.contains(node)).collect()
    };
    (kept(ALONE), kept(NEARLY))
}
