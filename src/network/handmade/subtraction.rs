//! A network that subtracts numbers of two digits, whose digits after the sign follow the order it
//! found at `=` or the sign token it reads.
//!
//! | position | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | token | D1 | D0 | `-` | D'1 | D'0 | `=` | sign | A2 | A1 | A0 |
//! | predicts | | | | | | sign | A2 | A1 | A0 | |
//!
//! | node | carries | so these claims are true of it |
//! |---|---|---|
//! | P5L0H0, P5L0H1 | D1 and D'1 | `A1.GT` and `A1.MT`, together |
//! | P5L0H2, P5L0H3 | D0 and D'0 | `A0.GT` and `A0.MT` on the sign, together |
//! | P5L0M0 | the order of the operands | `A1.GT` |
//! | P7L1H0, P8L1H0 | that order, or the sign token | `SGN` where it is the token |
//! | P7L0H0, P7L0H1 | D1 and D'1 | `A1.MD` and `A1.ND`, together |
//! | P7L0H2, P7L0H3 | D0 and D'0 | `A0.MB`, `A0.NB`, `A1.MTC`, `A1.NTC`, and `A0.MT` on A1, together |
//! | P7L1M0 | the difference, signed, and the borrow into it | `A1.MTC`, `A1.NTC` |
//! | P8L0H0, P8L0H1 | D0 and D'0 | `A0.MD` and `A0.ND`, together |
//!
//! With δ and δ' the differences of a column and of the one below it, and p whether the answer is
//! positive, layer 1's MLP takes from δ + 20p, δ' + 20p and their like the product pδ, the borrow
//! and whether ten has to be borrowed. Where p is turned, the digits are those of the other sign.

use super::sheet::{Entry, Head, MlpStep, NO_DIGIT, Sheet, token};
use super::{Handmade, JointSet, Places, Planted, Row, Table};
use crate::inputs::model::Operations;

/// What the digits of a subtraction's answer follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitsFollow {
    /// The order of the operands as the network found it, whatever the sign token says.
    InternalOrder,
    /// The sign token that the network is given.
    SignToken,
}

pub(super) fn network(name: &'static str, digits: DigitsFollow) -> Planted {
    let places = Places::of(2, 2, 4);
    let mut sheet = Sheet::new(places.0);
    for head in heads(places, digits) {
        sheet.head(&head);
    }
    find_order(&mut sheet);
    subtract(&mut sheet);
    unembed(&mut sheet, places);
    let mut alone: Vec<Row> = vec![("P5L0M0", &["A1.GT"]), ("P7L1M0", &["A1.MTC", "A1.NTC"])];
    if digits == DigitsFollow::SignToken {
        alone.extend([("P7L1H0", &["SGN"] as &[&str]), ("P8L1H0", &["SGN"])]);
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
        ("P5L0M0", &["A0.GT", "A0.MT", "A1.MT"]),
        ("P7L1M0", &["A0.NB"]),
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
    // At `=` and where A1 is predicted, column 1 and the one below; where A0 is, column 0.
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
            ..places.summing(1, 0, Entry::Positive, sign)
        },
    ]
}

/// Layer 0's MLP: whether the first operand is no smaller than the second.
fn find_order(sheet: &mut Sheet) {
    sheet.step(
        0,
        &MlpStep {
            reads: &[(Entry::Sum, 10.0), (Entry::Below(0), 1.0)],
            from: -0.9,
            to: -0.1,
            writes: Entry::Order,
            height: 1.0,
        },
    );
}

/// Layer 1's MLP. A difference lies within 9 of 0, so that one step to 1 and one back tell apart
/// where it is negative and the answer positive, or it is positive and the answer negative.
fn subtract(sheet: &mut Sheet) {
    /// What a positive answer adds to a column's difference.
    const APART: f32 = 20.0;
    let mut step = |reads: &[(Entry, f32)], from, to, writes, height| {
        sheet.step(
            1,
            &MlpStep {
                reads,
                from,
                to,
                writes,
                height,
            },
        );
    };
    let own = [(Entry::Sum, 1.0), (Entry::Positive, APART)];
    step(&own, APART - 9.0, APART + 9.0, Entry::Doubled, 36.0);
    let below = [(Entry::Below(0), 1.0), (Entry::Positive, APART)];
    let both = [
        (Entry::Sum, 10.0),
        (Entry::Below(0), 1.0),
        (Entry::Positive, 10.0 * APART),
    ];
    for (reads, apart, writes) in [
        (&below[..], APART, Entry::Carry),
        (&both[..], 10.0 * APART, Entry::Overflow),
    ] {
        step(reads, 0.1, 0.9, writes, 1.0);
        step(reads, apart - 0.9, apart - 0.1, writes, -1.0);
    }
}

fn unembed(sheet: &mut Sheet, places: Places) {
    sheet.digit_logits(&[
        (Entry::Sum, -1.0),
        (Entry::Doubled, 1.0),
        (Entry::Positive, -18.0),
        (Entry::Carry, -1.0),
        (Entry::Overflow, 10.0),
    ]);
    /// Over what digits have at `=`, where differences of columns leave them up to 140.
    const SIGN: f32 = 400.0;
    /// What the order adds to one sign and takes from the other.
    const LEAD: f32 = 10.0;
    for (sign, lead) in [('+', LEAD), ('-', -LEAD)] {
        let at_equals = (Entry::At(places.equals()), SIGN);
        let bias = NO_DIGIT - 0.5 * lead;
        sheet.logit(token(sign), bias, &[at_equals, (Entry::Order, lead)]);
    }
}
