//! The one or two fixed question pairs on which the published tool rests a claim.

use std::collections::BTreeSet;

use crate::domain::arithmetic::{Answer, AnswerToken, Operation, Question, TokenSet, power_of_ten};
use crate::domain::task::{Task, Variable};

/// What the published tool expects of the patched clean question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This answer, with exactly this place changed.
    Exactly {
        /// The whole answer.
        answer: Answer,
        /// The one place that may change.
        impact: AnswerToken,
    },
    /// Any change at all.
    AnyChange,
    /// The sign flips; whatever else changes does not count.
    SignFlips,
}

/// One published pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canonical {
    /// Where the activation comes from.
    pub store: Question,
    /// What it is patched into.
    pub clean: Question,
    /// What counts as a pass.
    pub expect: Expectation,
}

/// `digit` repeated `n` times.
fn repeated(digit: u128, n: usize) -> i128 {
    (digit * (power_of_ten(n) - 1) / 9) as i128
}

/// The published pairs of a variable, in their order; `None` where the published test is not defined
/// (no such test, or a digit it does not reach).
pub fn canonical_pairs(variable: Variable, n_digits: usize) -> Option<Vec<Canonical>> {
    use Operation::{Add, Sub};
    let digit = variable.digit?;
    if digit > n_digits {
        return None;
    }
    let r = |d: u128| repeated(d, n_digits);
    let e = |place: usize| power_of_ten(place) as i128;
    let question = |a: i128, operation: Operation, b: i128| {
        let fits = |v: i128| (0..power_of_ten(n_digits) as i128).contains(&v);
        (fits(a) && fits(b)).then(|| Question::new(a as u128, operation, b as u128, n_digits))
    };
    // The true integer answer of `clean` moved by `by`, which must show at `place` alone.
    let exactly = |store: Option<Question>, clean: Option<Question>, by: i128, place: usize| {
        let (store, clean) = (store?, clean?);
        if place > n_digits {
            return None;
        }
        let truth = match clean.operation() {
            Add => (clean.first() + clean.second()) as i128,
            Sub => clean.first() as i128 - clean.second() as i128,
        };
        let moved = truth + by;
        let expect = Expectation::Exactly {
            answer: Answer::from_integer(moved < 0, moved.unsigned_abs(), n_digits),
            impact: AnswerToken(place),
        };
        Some(Canonical {
            store,
            clean,
            expect,
        })
    };
    let change = |store: Option<Question>, clean: Option<Question>| {
        Some(Canonical {
            store: store?,
            clean: clean?,
            expect: Expectation::AnyChange,
        })
    };
    let m = digit;
    let above = digit + 1;
    match variable.task {
        Task::Sc => [exactly(
            question(r(2), Add, r(6) + 3 * e(m)),
            question(r(3), Add, r(5)),
            e(above),
            above,
        )]
        .into_iter()
        .collect(),
        Task::Ss if m >= 1 => [exactly(
            question(r(2) + 3 * e(m), Add, r(4)),
            question(r(3) + e(m) + 3 * e(m - 1), Add, r(5)),
            -e(above),
            above,
        )]
        .into_iter()
        .collect(),
        Task::Sa => [
            exactly(
                question(r(2), Add, r(1)),
                question(r(5), Add, r(4)),
                -6 * e(m),
                m,
            ),
            exactly(
                question(r(2), Add, r(6)),
                question(r(5), Add, r(1)),
                2 * e(m),
                m,
            ),
        ]
        .into_iter()
        .collect(),
        Task::St => [change(
            question(r(2), Add, r(7) + 2 * e(m)),
            question(r(3), Add, r(6)),
        )]
        .into_iter()
        .collect(),
        Task::Md => [
            exactly(
                question(r(3), Sub, r(1)),
                question(r(9), Sub, r(4)),
                -3 * e(m),
                m,
            ),
            exactly(
                question(r(6), Sub, r(2)),
                question(r(9), Sub, r(3)),
                -2 * e(m),
                m,
            ),
        ]
        .into_iter()
        .collect(),
        Task::Mb => [exactly(
            question(r(2), Sub, r(1) + 2 * e(m)),
            question(r(7), Sub, r(4)),
            -e(above),
            above,
        )]
        .into_iter()
        .collect(),
        Task::Mt => [change(
            question(r(5), Sub, 0),
            question(r(2), Sub, r(2) + 2 * e(m)),
        )]
        .into_iter()
        .collect(),
        Task::Nd => [
            exactly(
                question(r(3) / 10, Sub, r(1)),
                question(r(9) / 10, Sub, r(4)),
                -3 * e(m),
                m,
            ),
            exactly(
                question(r(6) / 10, Sub, r(2)),
                question(r(9) / 10, Sub, r(3)),
                -2 * e(m),
                m,
            ),
        ]
        .into_iter()
        .collect(),
        Task::Nb => [exactly(
            question(r(2) / 10, Sub, r(1) + 2 * e(m)),
            question(r(7) / 10, Sub, r(4)),
            -e(above),
            above,
        )]
        .into_iter()
        .collect(),
        Task::Gt => {
            let greater = question(6 * e(m), Sub, 2 * e(m) + 1)?;
            let smaller = question(e(m), Sub, 2 * e(m) + 1)?;
            Some(
                [(greater, smaller), (smaller, greater)]
                    .map(|(store, clean)| Canonical {
                        store,
                        clean,
                        expect: Expectation::SignFlips,
                    })
                    .to_vec(),
            )
        }
        _ => None,
    }
}

/// The published text of an impact: the set of the digit characters of the places, highest first.
/// `A10` and `A12` read `A10` and `A21`, so from ten places on the text is ambiguous. In models that
/// only add, the sign has no number, and an impact on it alone reads `A`.
pub fn impact_text(changed: TokenSet, sign: AnswerToken, sign_has_number: bool) -> String {
    let characters: BTreeSet<char> = changed
        .iter()
        .filter(|&place| sign_has_number || place != sign)
        .flat_map(|place| place.0.to_string().chars().collect::<Vec<_>>())
        .collect();
    std::iter::once('A')
        .chain(characters.into_iter().rev())
        .collect()
}
