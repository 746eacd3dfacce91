//! The one or two fixed question pairs of the published test of a claim.

use std::collections::BTreeSet;

use crate::domain::arithmetic::{Answer, AnswerToken, Operation, Question, TokenSet, power_of_ten};
use crate::domain::task::{Task, Variable};

/// What the published tool expects of the patched base question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This answer, with only this token changed.
    Exactly {
        answer: Answer,
        /// The only token that may change.
        impact: AnswerToken,
    },
    AnyChange,
    /// The sign flips; other changes are ignored.
    SignFlips,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canonical {
    /// The question the activation comes from.
    pub source: Question,
    /// The question it is patched into.
    pub base: Question,
    /// The expected result.
    pub expect: Expectation,
}

/// An operand of a published pair: a digit repeated n times, optionally without its last, plus
/// multiples of the tested digit's place, the place below it, and one.
#[derive(Clone, Copy)]
struct Operand {
    repeated: u128,
    drops_last: bool,
    at: u128,
    below: u128,
    ones: u128,
}

const fn r(digit: u128) -> Operand {
    Operand {
        repeated: digit,
        drops_last: false,
        at: 0,
        below: 0,
        ones: 0,
    }
}

impl Operand {
    const fn drop_last(self) -> Self {
        Operand {
            drops_last: true,
            ..self
        }
    }

    const fn at(self, at: u128) -> Self {
        Operand { at, ..self }
    }

    const fn below(self, below: u128) -> Self {
        Operand { below, ..self }
    }

    const fn ones(self, ones: u128) -> Self {
        Operand { ones, ..self }
    }

    /// The number in a test of digit `m`, if it has at most `n` digits.
    fn value(self, m: usize, n: usize) -> Option<u128> {
        let repeated = self.repeated * (power_of_ten(n) - 1) / 9;
        let start = if self.drops_last {
            repeated / 10
        } else {
            repeated
        };
        let below = match self.below {
            0 => 0,
            times => times * power_of_ten(m.checked_sub(1)?),
        };
        let value = start + self.at * power_of_ten(m) + below + self.ones;
        (value < power_of_ten(n)).then_some(value)
    }
}

/// The expected change of a published test, as listed in its row.
#[derive(Clone, Copy)]
enum ExpectedChange {
    /// The answer changes by this multiple of the tested digit's place, and only in that digit.
    Digit(i128),
    /// The same for the place above the tested digit.
    Carry(i128),
    AnyChange,
    SignFlips,
}

/// Two operands with the operator between them.
type QuestionTerms = (Operand, Operation, Operand);

/// The published pairs in order: task, source, base, expected change.
#[rustfmt::skip]
const PAIRS: [(Task, QuestionTerms, QuestionTerms, ExpectedChange); 14] = {
    use ExpectedChange::{AnyChange, Carry, Digit, SignFlips};
    use Operation::{Add, Sub};
    let greater = (r(0).at(6), Sub, r(0).at(2).ones(1));
    let smaller = (r(0).at(1), Sub, r(0).at(2).ones(1));
    [
        (Task::Sc, (r(2), Add, r(6).at(3)), (r(3), Add, r(5)), Carry(1)),
        (Task::Ss, (r(2).at(3), Add, r(4)), (r(3).at(1).below(3), Add, r(5)), Carry(-1)),
        (Task::Sa, (r(2), Add, r(1)), (r(5), Add, r(4)), Digit(-6)),
        (Task::Sa, (r(2), Add, r(6)), (r(5), Add, r(1)), Digit(2)),
        (Task::St, (r(2), Add, r(7).at(2)), (r(3), Add, r(6)), AnyChange),
        (Task::Md, (r(3), Sub, r(1)), (r(9), Sub, r(4)), Digit(-3)),
        (Task::Md, (r(6), Sub, r(2)), (r(9), Sub, r(3)), Digit(-2)),
        (Task::Mb, (r(2), Sub, r(1).at(2)), (r(7), Sub, r(4)), Carry(-1)),
        (Task::Mt, (r(5), Sub, r(0)), (r(2), Sub, r(2).at(2)), AnyChange),
        (Task::Nd, (r(3).drop_last(), Sub, r(1)), (r(9).drop_last(), Sub, r(4)), Digit(-3)),
        (Task::Nd, (r(6).drop_last(), Sub, r(2)), (r(9).drop_last(), Sub, r(3)), Digit(-2)),
        (Task::Nb, (r(2).drop_last(), Sub, r(1).at(2)), (r(7).drop_last(), Sub, r(4)), Carry(-1)),
        (Task::Gt, greater, smaller, SignFlips),
        (Task::Gt, smaller, greater, SignFlips),
    ]
};

/// The published pairs of a variable, in order; `None` if the published test is not defined (no
/// test for the task, or not for this digit).
pub fn canonical_pairs(variable: Variable, n_digits: usize) -> Option<Vec<Canonical>> {
    let digit = variable.digit.filter(|&digit| digit <= n_digits)?;
    let question = |(first, operation, second): QuestionTerms| {
        let (first, second) = (
            first.value(digit, n_digits)?,
            second.value(digit, n_digits)?,
        );
        Some(Question::new(first, operation, second, n_digits))
    };
    let rows = PAIRS.iter().filter(|(task, ..)| *task == variable.task);
    let pairs: Option<Vec<Canonical>> = rows
        .map(|&(_, source, base, expected)| {
            let (source, base) = (question(source)?, question(base)?);
            Some(Canonical {
                source,
                base,
                expect: match expected {
                    ExpectedChange::Digit(times) => moved(base, times, digit)?,
                    ExpectedChange::Carry(times) => moved(base, times, digit + 1)?,
                    ExpectedChange::AnyChange => Expectation::AnyChange,
                    ExpectedChange::SignFlips => Expectation::SignFlips,
                },
            })
        })
        .collect();
    pairs.filter(|pairs| !pairs.is_empty())
}

/// The true answer of `base` changed by a multiple of a place, if only the digit at that place
/// changes.
fn moved(base: Question, times: i128, place: usize) -> Option<Expectation> {
    let n_digits = base.n_digits();
    if place > n_digits {
        return None;
    }
    let (first, second) = (base.first() as i128, base.second() as i128);
    let truth = match base.operation() {
        Operation::Add => first + second,
        Operation::Sub => first - second,
    };
    let answer = truth + times * power_of_ten(place) as i128;
    Some(Expectation::Exactly {
        answer: Answer::from_integer(answer < 0, answer.unsigned_abs(), n_digits),
        impact: AnswerToken(place),
    })
}

/// The published text of an impact: the set of digit characters of the places, highest first. `A10`
/// reads `A10` but `A12` reads `A21`, so the text is ambiguous from ten places on. In addition-only
/// models the sign has no number, and an impact on it alone reads `A`.
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
