//! A network that subtracts two-digit numbers, whose digits after the sign follow either the order
//! it computed at `=` or the sign token it reads.
//!
//! | position | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | token | D1 | D0 | `-` | D'1 | D'0 | `=` | sign | A2 | A1 | A0 |
//! | predicts | | | | | | sign | A2 | A1 | A0 | |
//!
//! | node | represents | true claims |
//! |---|---|---|
//! | P5L0H0, P5L0H1 | D1 and D'1 | `A1.GT` and `A1.MT`, together |
//! | P5L0H2, P5L0H3 | D0 and D'0 | `A0.GT`, and `A0.MT` on the sign, together |
//! | P5L0M0 | the tri-case of column 0 | the same |
//! | P5L1M0 | the order of the operands | `A1.GT` |
//! | P7L2H0, P8L2H0 | that order, or the sign token | `SGN` where it is the token |
//! | P7L0H0, P7L0H1 | D1 and D'1 | `A1.MD` and `A1.ND`, together |
//! | P7L0H2, P7L0H3 | D0 and D'0 | `A0.MB`, `A0.NB`, `A1.MTC`, `A1.NTC`, and `A0.MT` on A1, together |
//! | P7L0M0 | the tri-case of column 0 | the same |
//! | P7L2M0 | the difference, signed, and the borrow into it | `A1.MTC`, `A1.NTC` |
//! | P8L0H0, P8L0H1 | D0 and D'0 | `A0.MD` and `A0.ND`, together |
//!
//! Let δ be the difference of a column, t the tri-case of the one below it, 0 to 2, and p whether
//! the answer should be positive. The order of the digits up to that column is that of 2δ + t against
//! one. Layer 1's MLP computes it at `=`. Layer 2's MLP determines from it, with p, whether to borrow
//! ten, and from t the borrow in. If p is flipped, the digits become those of the other sign.

use super::sheet::{Entry, Head, MlpStep, NO_DIGIT, Sheet, token};
use super::{Handmade, JointSet, PLANTED_LEAD, Places, Planted, Row, Table};
use crate::inputs::model::Operations;

/// What the digits of a subtraction's answer follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitsFollow {
    /// The order of the operands as computed by the network, whatever the sign token.
    InternalOrder,
    /// The sign token in the input.
    SignToken,
}

pub(super) fn network(name: &'static str, digits: DigitsFollow) -> Planted {
    let places = Places::planted(3);
    let mut sheet = Sheet::new(places.0);
    sheet.mark('+', Entry::Plus, 1.0);
    for head in heads(places, digits) {
        sheet.head(&head);
    }
    compare(&mut sheet);
    subtract(&mut sheet);
    unembed(&mut sheet, places);
    let mut alone: Vec<Row> = vec![
        ("P5L0M0", &["A0.GT", "A0.MT"]),
        ("P5L1M0", &["A1.GT"]),
        ("P7L0M0", &["A0.MB", "A0.NB", "A0.MT", "A1.MTC", "A1.NTC"]),
        ("P7L2M0", &["A1.MTC", "A1.NTC"]),
    ];
    if digits == DigitsFollow::SignToken {
        alone.extend([("P7L2H0", &["SGN"] as &[&str]), ("P8L2H0", &["SGN"])]);
    }
    let pairs: &[(&[&str], [&str; 2])] = &[
        (&["A1.GT", "A1.MT"], ["P5L0H0", "P5L0H1"]),
        (&["A0.GT", "A0.MT"], ["P5L0H2", "P5L0H3"]),
        (&["A1.MD", "A1.ND"], ["P7L0H0", "P7L0H1"]),
        (
            &["A0.MB", "A0.NB", "A0.MT", "A1.MTC", "A1.NTC"],
            ["P7L0H2", "P7L0H3"],
        ),
        (&["A0.MD", "A0.ND"], ["P8L0H0", "P8L0H1"]),
    ];
    let sets = pairs.iter().flat_map(|(variables, [first, second])| {
        (variables.iter()).map(|variable| JointSet::new(variable, &[&[first], &[second]]))
    });
    let nearly: &Table = &[
        ("P5L1M0", &["A0.GT", "A0.MT", "A1.MT"]),
        ("P7L2M0", &["A0.NB"]),
    ];
    let sets = sets.collect();
    Planted {
        digits: Some(digits),
        ..Planted::new(
            name,
            Handmade::new(sheet, Operations::Sub, &alone, sets, nearly),
        )
    }
}

fn heads(places: Places, digits: DigitsFollow) -> Vec<Head> {
    let [equals, a1, a0] = [places.equals(), places.predicting(1), places.predicting(0)];
    let digit = |number, writes, negated, reads: &[(usize, usize)]| Head {
        negated,
        ..places.summing(
            0,
            number,
            writes,
            reads.iter().map(|&(at, read)| (at, vec![(read, 1.0)])),
        )
    };
    // At `=` and where A1 is predicted, column 1 and the one below; where A0 is predicted, column
    // 0.
    let own = |of: fn(Places, usize) -> usize| {
        let [top, low] = [of(places, 1), of(places, 0)];
        [(equals, top), (a1, top), (a0, low)]
    };
    let below = |of: fn(Places, usize) -> usize| [(equals, of(places, 0)), (a1, of(places, 0))];
    let (from, at) = match digits {
        DigitsFollow::InternalOrder => (Entry::Order, equals),
        DigitsFollow::SignToken => (Entry::Plus, places.sign()),
    };
    let sign = [a1, a0].map(|position| (position, vec![(at, 1.0)]));
    vec![
        digit(0, Entry::Sum, false, &own(Places::first)),
        digit(1, Entry::Sum, true, &own(Places::second)),
        digit(2, Entry::Below(0), false, &below(Places::first)),
        digit(3, Entry::Below(0), true, &below(Places::second)),
        Head {
            from,
            ..places.summing(2, 0, Entry::Positive, sign)
        },
    ]
}

/// Twice a column's difference plus the tri-case of the one below: above 1 if the first operand is
/// greater up to that column, below 1 if it is less.
const ORDER: [(Entry, f32); 2] = [(Entry::Sum, 2.0), (Entry::TriCase, 1.0)];

/// Layer 0's and layer 1's MLPs: the tri-case of the column below, and the order of the operands.
fn compare(sheet: &mut Sheet) {
    let mut reaches = |layer, reads: &[(Entry, f32)], least: f32, writes| {
        sheet.step(
            layer,
            &MlpStep {
                reads,
                from: least - 0.75,
                to: least - 0.25,
                writes,
                height: 1.0,
            },
        );
    };
    for least in [0.0, 1.0] {
        reaches(0, &[(Entry::Below(0), 1.0)], least, Entry::TriCase);
    }
    reaches(1, &ORDER, 1.0, Entry::Order);
}

/// Layer 2's MLP.
fn subtract(sheet: &mut Sheet) {
    let mut step = |reads: &[(Entry, f32)], from, to, writes, height| {
        sheet.step(
            2,
            &MlpStep {
                reads,
                from,
                to,
                writes,
                height,
            },
        );
    };
    // A difference is within 9 of 0, so adding 18 keeps it above the threshold.
    let own = [(Entry::Sum, 1.0), (Entry::Positive, 18.0)];
    step(&own, 9.0, 27.0, Entry::Doubled, 36.0);
    // There is a borrow if this is above 1 and the answer negative, or below 1 and the answer
    // positive; `apart` moves it out of range under the other sign.
    for (reads, apart, writes) in [
        (&ORDER[1..], 2.0, Entry::Carry),
        (&ORDER[..], 20.0, Entry::Overflow),
    ] {
        for (sign, least) in [(1.0, 2.0), (-1.0, apart)] {
            let signed = reads.iter().map(|&(entry, weight)| (entry, sign * weight));
            let reads: Vec<_> = signed.chain([(Entry::Positive, -sign * apart)]).collect();
            step(&reads, least - 0.75, least - 0.25, writes, 1.0);
        }
    }
}

fn unembed(sheet: &mut Sheet, places: Places) {
    let digit = [
        (Entry::Sum, -1.0),
        (Entry::Doubled, 1.0),
        (Entry::Positive, -18.0),
        (Entry::Carry, -1.0),
        (Entry::Overflow, 10.0),
    ];
    sheet.digit_logits(PLANTED_LEAD, &digit);
    /// Above the digits' logits at `=`, which differences of columns leave at up to 140.
    const SIGN: f32 = 400.0;
    /// The amount the order adds to one sign and subtracts from the other.
    const LEAD: f32 = 10.0;
    for (sign, lead) in [('+', LEAD), ('-', -LEAD)] {
        let at_equals = (Entry::At(places.equals()), SIGN);
        let bias = NO_DIGIT - 0.5 * lead;
        sheet.logit(token(sign), bias, &[at_equals, (Entry::Order, lead)]);
    }
}
