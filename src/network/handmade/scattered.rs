//! A network in which a variable is scattered over five positions: [`TwoDigits`], but each of five
//! nodes contributes a fifth of column 1's sum to A1.
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P3L0H3, P4L0H3, P5L0H3, P6L0H3 | a fifth of the sum each | `A1.SA`, all five together |
//! | P7L1H0 to P7L1H3, which read one of these each | the same fifth | `A1.SA` in its place |
//! | P7L0H0 | a fifth of the sum | `A1.SA`, all five together |
//!
//! Four fifths of another sum move A1 as predicted only if that sum is less than three away.

use super::sheet::{Entry, Head};
use super::two_digits::{PLANTED, TwoDigits, claims_but};
use super::{Handmade, JointSet};
use crate::inputs::model::Operations;

/// The share of the sum that each node contributes.
const SHARE: f32 = 0.2;

pub(super) fn network() -> Handmade {
    let mut network = TwoDigits::plain();
    let places = network.places;
    let a1 = places.predicting(1);
    let share = places.column(1, SHARE);
    network.own.insert(a1, share.clone());
    // The four positions before, from the first that has seen both digits.
    let relays = places.second(1)..a1;
    let shares = relays.clone().map(|position| (position, share.clone()));
    network.planted = vec![places.summing(0, PLANTED, Entry::Relay, shares)];
    (network.planted).extend(relays.enumerate().map(|(number, relay)| Head {
        from: Entry::Relay,
        ..places.summing(1, number, Entry::Sum, [(a1, vec![(relay, 1.0)])])
    }));
    let slots: &[&[&str]] = &[
        &["P3L0H3", "P7L1H0"],
        &["P4L0H3", "P7L1H1"],
        &["P5L0H3", "P7L1H2"],
        &["P6L0H3", "P7L1H3"],
        &["P7L0H0"],
    ];
    let (alone, nearly) = claims_but(&["P7L0H0"]);
    Handmade::new(
        network.sheet(),
        Operations::Add,
        &alone,
        vec![JointSet::new("A1.SA", slots)],
        &nearly,
    )
}
