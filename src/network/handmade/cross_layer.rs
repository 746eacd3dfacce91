//! A network in which a variable is passed across layers: [`TwoDigits`], but D0 reaches A0 through
//! `=` and layer 1.
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P5L0H3 | D0 | `A0.SA` with P8L0H0 |
//! | P8L1H3, which reads it | D0 | `A0.SA` with P8L0H0 |
//! | P8L0H0 | D'0 | `A0.SA` with either of these |

use super::sheet::{Entry, Head};
use super::two_digits::{PLANTED, TwoDigits, claims_but};
use super::{Handmade, JointSet};
use crate::inputs::model::Operations;

pub(super) fn network() -> Handmade {
    let mut network = TwoDigits::plain();
    let places = network.places;
    let (equals, a0) = (places.equals(), places.predicting(0));
    network.own.insert(a0, vec![(places.second(0), 1.0)]);
    let first = [(equals, vec![(places.first(0), 1.0)])];
    let relayed = [(a0, vec![(equals, 1.0)])];
    network.planted = vec![
        places.summing(0, PLANTED, Entry::Relay, first),
        Head {
            from: Entry::Relay,
            ..places.summing(1, PLANTED, Entry::Sum, relayed)
        },
    ];
    let (alone, nearly) = claims_but(&["P8L0H0"]);
    Handmade::new(
        network.sheet(),
        Operations::Add,
        &alone,
        vec![JointSet::new(
            "A0.SA",
            &[&["P8L0H0"], &["P5L0H3", "P8L1H3"]],
        )],
        &nearly,
    )
}
