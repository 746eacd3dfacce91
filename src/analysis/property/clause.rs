//! Clauses: a relation between what is asked and the expected answer, over all numbers of its
//! variables for which the arithmetic has an answer.

use std::collections::BTreeSet;
use std::fmt;

use super::case::{Case, CaseVariable, Moves};
use super::template::{Ask, Template, TemplatePiece};
use crate::domain::arithmetic::{Answer, AnswerToken, Operation, Question, power_of_ten};
use crate::network::engine::Decode;

/// The required relation between the answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation {
    /// Left only: the answer is correct.
    Right,
    /// Left only: the right token leads every other by this many logits, at each place.
    Leads(f32),
    /// Both sides have the same tokens.
    Equals,
    /// The sides have the same digits and, unless these are all zero, opposite signs.
    Negates,
    /// The left side is a number no greater than the right one.
    AtMost,
    /// Both sides have the same tokens from this digit up, the sign included.
    SameFrom(usize),
}

impl Relation {
    /// Whether there is a right side.
    pub fn has_right(self) -> bool {
        !matches!(self, Relation::Right | Relation::Leads(_))
    }

    /// Whether two answers satisfy the relation. One-sided relations compare with the true answer,
    /// and are judged elsewhere.
    pub fn holds(self, left: &Answer, right: &Answer) -> bool {
        match self {
            Relation::Right | Relation::Leads(_) | Relation::Equals => left == right,
            Relation::Negates => {
                let zero = (0..=left.n_digits()).all(|k| left.get(AnswerToken(k)) == 0);
                *right
                    == if zero {
                        *left
                    } else {
                        left.with_sign_flipped()
                    }
            }
            Relation::AtMost => match (left.integer(), right.integer()) {
                (Some(left), Some(right)) => left <= right,
                _ => false,
            },
            Relation::SameFrom(k) => left.changed_from(right).iter().all(|place| place.0 < k),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Right => f.write_str("is right"),
            Relation::Leads(margin) => write!(f, "is right by {margin} logits"),
            Relation::Equals => f.write_str("equals"),
            Relation::Negates => f.write_str("negates"),
            Relation::AtMost => f.write_str("is at most"),
            Relation::SameFrom(k) => write!(f, "is from digit {k} up the same as"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseSide {
    /// The question, or a known number.
    pub template: Template,
    /// How its answers are decoded; `None` for the decoding of the run.
    pub decode: Option<Decode>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    n_digits: usize,
    left: ClauseSide,
    relation: Relation,
    right: Option<ClauseSide>,
    variables: Vec<CaseVariable>,
    moves: Moves,
}

impl Clause {
    /// A clause for a model of `n_digits`.
    ///
    /// # Panics
    /// If a right side is missing or superfluous, or a template's variable is not among
    /// `variables`.
    pub fn new(
        n_digits: usize,
        left: ClauseSide,
        relation: Relation,
        right: Option<ClauseSide>,
        variables: Vec<CaseVariable>,
    ) -> Self {
        assert_eq!(relation.has_right(), right.is_some(), "sides of {relation}");
        let known: BTreeSet<char> = variables.iter().map(|v| v.name).collect();
        let mut used = left.template.variables();
        if let Some(right) = &right {
            used.extend(right.template.variables());
        }
        assert!(used.is_subset(&known), "variables {used:?} of {known:?}");
        let moves = Moves::new(&variables);
        Clause {
            n_digits,
            left,
            relation,
            right,
            variables,
            moves,
        }
    }

    /// Number of digits in each operand.
    pub fn n_digits(&self) -> usize {
        self.n_digits
    }

    pub fn relation(&self) -> Relation {
        self.relation
    }

    /// The variables, in the order of a case's numbers.
    pub fn variables(&self) -> &[CaseVariable] {
        &self.variables
    }

    /// The steps to simpler cases.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// The sides, one or two.
    pub fn sides(&self) -> impl Iterator<Item = &ClauseSide> {
        std::iter::once(&self.left).chain(&self.right)
    }

    /// The operations it uses.
    pub fn operations(&self) -> BTreeSet<Operation> {
        self.sides()
            .flat_map(|side| side.template.operations())
            .collect()
    }

    /// All questions of a case, in order, with their decoding if fixed.
    pub fn asks(&self) -> Vec<(&Ask, Option<Decode>)> {
        self.sides()
            .flat_map(|side| {
                side.template
                    .asks()
                    .into_iter()
                    .map(|ask| (ask, side.decode))
            })
            .collect()
    }

    /// The value of an operand's pieces, if it has at most `n_digits` digits.
    pub fn number(&self, pieces: &[TemplatePiece], case: &Case) -> Option<u128> {
        let bound = power_of_ten(self.n_digits);
        let mut value: u128 = 0;
        for piece in pieces {
            let (number, width) = match piece {
                TemplatePiece::Digits(digits) => (digits.parse().ok()?, digits.len()),
                TemplatePiece::Variable { name, offset } => {
                    let at = self.variables.iter().position(|v| v.name == *name)?;
                    let number = case.numbers[at].checked_add_signed(i128::from(*offset))?;
                    (number, self.variables[at].width())
                }
            };
            // The preceding pieces are shifted up by this piece's width.
            value = match value {
                0 => number,
                _ => value
                    .checked_mul(power_of_ten(width.min(38)))?
                    .checked_add(number)?,
            };
            if value >= bound {
                return None;
            }
        }
        Some(value)
    }

    /// The true value of a template; `None` if an intermediate operand is negative or too long.
    fn truth(&self, template: &Template, case: &Case) -> Option<i128> {
        match template {
            Template::Number(pieces) => self.number(pieces, case).map(|number| number as i128),
            Template::Ask(ask) => {
                let question = self.true_question(ask, case)?;
                Answer::of(&question).integer()
            }
        }
    }

    /// The question to ask if every earlier one was answered correctly.
    pub fn true_question(&self, ask: &Ask, case: &Case) -> Option<Question> {
        let bound = power_of_ten(self.n_digits);
        let operand = |template| {
            let value = u128::try_from(self.truth(template, case)?).ok()?;
            (value < bound).then_some(value)
        };
        let (first, second) = (operand(&ask.first)?, operand(&ask.second)?);
        Some(Question::new(first, ask.operation, second, self.n_digits))
    }

    /// The true answer of each side; `None` outside the clause's domain.
    pub fn true_answers(&self, case: &Case) -> Option<Vec<Answer>> {
        self.sides()
            .map(|side| {
                let value = self.truth(&side.template, case)?;
                let (negative, size) = (value < 0, value.unsigned_abs());
                Some(Answer::from_integer(negative, size, self.n_digits))
            })
            .collect()
    }

    /// Whether the relation is true of the arithmetic itself. If not, a model that answers
    /// correctly violates it.
    pub fn is_true(&self, case: &Case) -> bool {
        self.true_answers(case).is_some_and(|answers| {
            self.relation
                .holds(&answers[0], &answers[answers.len() - 1])
        })
    }

    /// Whether a case is in the clause's domain: its numbers are in their ranges, the model can be
    /// asked every question and, for "the same from digit k up", the true answers agree from there.
    pub fn admits(&self, case: &Case) -> bool {
        case.within(&self.variables)
            && match self.relation {
                Relation::SameFrom(_) => self.is_true(case),
                _ => self.true_answers(case).is_some(),
            }
    }

    /// The first question of a case.
    ///
    /// # Panics
    /// If there is no question, or the case is outside the domain.
    pub fn first_question(&self, case: &Case) -> Question {
        let asks = self.asks();
        let (ask, _) = asks.first().expect("a clause asks something");
        self.true_question(ask, case)
            .expect("cases are drawn inside the domain")
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left.template, self.relation)?;
        match &self.right {
            Some(right) => write!(f, " {}", right.template),
            None => Ok(()),
        }
    }
}
