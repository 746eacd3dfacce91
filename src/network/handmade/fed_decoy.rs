//! A network in which a later node of the same kind reads what a node represents, and does as well
//! in its place: [`TwoDigits`], but A1's sum is passed through `=`.
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P5L0H3 | the sum of column 1 | `A1.SA` |
//! | P6L0M0 | votes on the carry into A2 | `A1.SC`, `A1.SS`, `A1.SV`, `A2.STC` |
//!
//! There are no claims about P7L1H3 and P6L1M0, which read these two and have the same interchange
//! accuracy. They are decoys that must not be held against them.

use super::Handmade;
use super::sheet::{Entry, Head};
use super::two_digits::{PLANTED, TwoDigits, claims_but};
use crate::inputs::model::Operations;

pub(super) fn network() -> Handmade {
    let mut network = TwoDigits::plain();
    let places = network.places;
    let (equals, a1) = (places.equals(), places.predicting(1));
    let sum = network.own.remove(&a1).expect("A1 has a sum");
    network.planted = vec![
        places.summing(0, PLANTED, Entry::Relay, [(equals, sum)]),
        Head {
            from: Entry::Relay,
            ..places.summing(1, PLANTED, Entry::Sum, [(a1, vec![(equals, 1.0)])])
        },
    ];
    let (mut alone, mut nearly) = claims_but(&["P7L0H0", "P6L1M0"]);
    alone.push(("P5L0H3", &["A1.SA"]));
    nearly.extend([
        ("P7L1H3", &["A1.SA"][..]),
        ("P6L1M0", &["A1.SC", "A1.SS", "A1.ST", "A1.SV", "A2.STC"]),
    ]);
    Handmade::new(
        network.sheet(),
        Operations::Add,
        &alone,
        Vec::new(),
        &nearly,
    )
}
