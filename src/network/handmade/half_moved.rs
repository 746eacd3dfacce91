//! A network in which a tri-case decides one token, and another only in part: [`TwoDigits`], but
//! `A0.ST` is computed at `=`, and A1 also has a head of its own.
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P5L0H2 | the sum of column 0 | `A0.ST`, `A0.SV`: A2 always, A1 in two thirds of pairs |
//! | P5L0M0 | whether it is ten or more | the same |
//! | P6L1H2, which reads that | the same | `A0.ST`, `A0.SV`, `A1.SS`: A2 |
//! | P7L1H2, which reads that too | the same | `A0.SC`, `A0.ST`, `A0.SV`, `A1.STC` with P7L0H3 or P7L0M0: A1 |
//! | P7L0H3 | the sum of column 0 | the same with P7L1H2; `A0.ST`, `A0.SV` also with P5L0H2 or P5L0M0 |
//! | P7L0M0 | whether it is over 5, and over 13 | as P7L0H3 |
//! | P6L0M0 | the vote of column 1 | `A1.SC`, `A1.ST` |
//!
//! Where A1 is predicted, two of three votes make a carry: that the sum is ten or more, as computed
//! at `=`; that it is over 5; and that it is over 13. The vote from `=` decides from 6 to 13.

use super::sheet::{Entry, Head, MlpStep};
use super::two_digits::{LOWER, PLANTED, TwoDigits, claims_but};
use super::{Handmade, JointSet, Planted, claims};
use crate::domain::arithmetic::AnswerToken;
use crate::inputs::model::Operations;

pub(super) fn network() -> Planted {
    let mut network = TwoDigits::plain();
    let places = network.places;
    let [equals, a2, a1] = [places.equals(), places.predicting(2), places.predicting(1)];
    let column = places.column(0, 1.0);
    network.below.remove(&a1);
    network.lower = [(equals, column.clone())].into();
    // `=` gives half a vote, which is the weight of a lower carry at A2; at A1 it counts as a whole
    // vote.
    let votes = [(a2, vec![(equals, 1.0)]), (a1, vec![(equals, 2.0)])];
    network.planted = vec![
        places.summing(0, PLANTED, Entry::Below(1), [(a1, column)]),
        Head {
            from: Entry::Votes,
            ..places.summing(1, LOWER, Entry::Votes, votes)
        },
    ];
    let mut sheet = network.sheet();
    for over in [5.0, 13.0] {
        sheet.step(
            0,
            &MlpStep {
                reads: &[(Entry::Below(1), 1.0)],
                from: over + 0.1,
                to: over + 0.9,
                writes: Entry::Votes,
                height: 1.0,
            },
        );
    }
    let (mut alone, mut nearly) = claims_but(&["P6L0H2", "P6L0M0", "P6L1M0", "P7L0H1", "P7L0M0"]);
    alone.extend([
        ("P5L0H2", &["A0.ST", "A0.SV"] as &[&str]),
        ("P5L0M0", &["A0.ST", "A0.SV"]),
        ("P6L1H2", &["A0.ST", "A0.SV", "A1.SS"]),
        ("P6L0M0", &["A1.SC", "A1.ST"]),
        ("P6L1M0", &["A1.SC", "A1.SS"]),
    ]);
    // What is represented at `=` affects A1 and A2, and these claims are about only one of the two.
    nearly.extend([
        ("P5L0H2", &["A0.SC", "A1.SS", "A1.STC"] as &[&str]),
        ("P5L0M0", &["A0.SC", "A1.SS", "A1.STC"]),
        ("P6L0M0", &["A1.SV", "A2.STC"]),
        ("P6L1M0", &["A1.ST", "A1.SV", "A2.STC"]),
    ]);
    let set =
        |variable, from_equals| JointSet::new(variable, &[from_equals, &["P7L0H3", "P7L0M0"]]);
    let sets = vec![
        set("A0.SC", &["P7L1H2"]),
        set("A1.STC", &["P7L1H2"]),
        set("A0.ST", &["P7L1H2", "P5L0H2", "P5L0M0"]),
        set("A0.SV", &["P7L1H2", "P5L0H2", "P5L0M0"]),
    ];
    Planted {
        in_part: claims(&alone)
            .filter(|(node, _)| node.position == equals)
            .map(|claim| (claim, AnswerToken(1)))
            .collect(),
        ..Planted::new(
            "half-moved",
            Handmade::new(sheet, Operations::Add, &alone, sets, &nearly),
        )
    }
}
