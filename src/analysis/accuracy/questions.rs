//! The questions to ask: a sequence addressed by index and cut into blocks.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::analysis::published::subtraction_share;
use crate::domain::arithmetic::{Operation, Question, power_of_ten};
use crate::domain::text::text_form;
use crate::experiment::stream;
use crate::inputs::model::ModelFolder;
use crate::training::training_question;

/// Questions in a block. A round number, so that blocks of a bounded space share their first
/// operand and most of the second; large enough that seeding a block's generator costs nothing in
/// comparison.
pub const BLOCK: u64 = 1000;

/// Most questions of one sequence: more than a million processors ask in a day.
pub const MAX_QUESTIONS: u64 = 1_000_000_000_000_000;

/// Where the questions come from.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(tag = "drawn", rename_all = "lowercase")]
pub enum QuestionSource {
    /// Drawn uniformly with replacement: first the operation, then the operands.
    Uniform { seed: u64 },
    /// Drawn as in training: with more carries and borrows, and training's share of each operation.
    Enriched { seed: u64, subtractions: f64 },
    /// Every question with operands in these ranges.
    Every { first: Operands, second: Operands },
}

/// A range of operands, both ends included; written `0..999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operands {
    lowest: u128,
    highest: u128,
}

/// Text that is not a range of operands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "invalid operand range {0:?}: expected a number such as 7 or a range such as 0..999 (both ends included)"
)]
pub struct NotOperands(String);

impl Operands {
    /// Every operand of `n_digits`.
    pub fn all(n_digits: usize) -> Self {
        Operands {
            lowest: 0,
            highest: power_of_ten(n_digits) - 1,
        }
    }

    pub fn highest(self) -> u128 {
        self.highest
    }

    fn len(self) -> u128 {
        self.highest - self.lowest + 1
    }
}

impl FromStr for Operands {
    type Err = NotOperands;

    fn from_str(text: &str) -> Result<Self, NotOperands> {
        let (lowest, highest) = text.split_once("..").unwrap_or((text, text));
        let number = |part: &str| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        };
        match (number(lowest), number(highest)) {
            (Some(lowest), Some(highest)) if lowest <= highest && highest < u128::MAX => {
                Ok(Operands { lowest, highest })
            }
            _ => Err(NotOperands(text.into())),
        }
    }
}

impl fmt::Display for Operands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.lowest, self.highest)
    }
}

text_form!(Operands);

/// Why questions cannot be asked of a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuestionsError {
    /// The model was trained for neither addition nor subtraction.
    #[error("{model}: no questions to ask: the model was trained only for {operations}")]
    NoOperation {
        model: String,
        /// The operations it was trained for.
        operations: String,
    },
    /// An operand has more digits than the model takes.
    #[error("{operand} has more digits than the model's operands ({n_digits})")]
    TooManyDigits {
        operand: u128,
        /// Digits in each operand of the model.
        n_digits: usize,
    },
    /// More questions than anyone can ask.
    #[error("{questions} questions are more than the {MAX_QUESTIONS} that can be asked")]
    TooMany {
        /// How many there are, saturating.
        questions: u128,
    },
}

/// A sequence of questions. The question at an index depends only on this value, so any number of
/// threads or machines can ask parts of the sequence independently.
#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    n_digits: usize,
    operations: Vec<Operation>,
    source: QuestionSource,
    len: u64,
}

impl Questions {
    /// `len` questions drawn uniformly.
    ///
    /// # Errors
    /// [`QuestionsError::NoOperation`].
    pub fn uniform(folder: &ModelFolder, len: u64, seed: u64) -> Result<Self, QuestionsError> {
        Self::new(folder, QuestionSource::Uniform { seed }, len.into())
    }

    /// `len` questions drawn as in training.
    ///
    /// # Errors
    /// [`QuestionsError::NoOperation`].
    pub fn enriched(folder: &ModelFolder, len: u64, seed: u64) -> Result<Self, QuestionsError> {
        let subtractions = subtraction_share(folder);
        Self::new(
            folder,
            QuestionSource::Enriched { seed, subtractions },
            len.into(),
        )
    }

    /// Every question with operands in these ranges, for every operation trained.
    ///
    /// # Errors
    /// [`QuestionsError`].
    pub fn every(
        folder: &ModelFolder,
        first: Operands,
        second: Operands,
    ) -> Result<Self, QuestionsError> {
        let n_digits = folder.weights.shape().n_digits;
        for operand in [first.highest, second.highest] {
            if operand >= power_of_ten(n_digits) {
                return Err(QuestionsError::TooManyDigits { operand, n_digits });
            }
        }
        let of_each = first.len().saturating_mul(second.len());
        Self::new(folder, QuestionSource::Every { first, second }, of_each)
    }

    /// `len` questions or, of [`QuestionSource::Every`], so many of each operation.
    fn new(
        folder: &ModelFolder,
        source: QuestionSource,
        len: u128,
    ) -> Result<Self, QuestionsError> {
        let trained = folder.operations();
        let operations: Vec<Operation> = [Operation::Add, Operation::Sub]
            .into_iter()
            .filter(|&operation| trained.trains(operation))
            .collect();
        if operations.is_empty() {
            return Err(QuestionsError::NoOperation {
                model: folder.name.clone(),
                operations: trained.to_string(),
            });
        }
        let questions = match source {
            QuestionSource::Every { .. } => len.saturating_mul(operations.len() as u128),
            _ => len,
        };
        let len = match u64::try_from(questions) {
            Ok(len) if len <= MAX_QUESTIONS => len,
            _ => return Err(QuestionsError::TooMany { questions }),
        };
        Ok(Questions {
            n_digits: folder.weights.shape().n_digits,
            operations,
            source,
            len,
        })
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no questions.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn source(&self) -> QuestionSource {
        self.source
    }

    /// Whether these are all existing questions rather than a sample.
    pub fn is_a_whole_space(&self) -> bool {
        matches!(self.source, QuestionSource::Every { .. })
    }

    /// Number of blocks; all but the last have [`BLOCK`] questions.
    pub fn blocks(&self) -> u64 {
        self.len.div_ceil(BLOCK)
    }

    /// The indices of a block's questions.
    pub fn places(&self, block: u64) -> Range<u64> {
        (block * BLOCK).min(self.len)..((block + 1) * BLOCK).min(self.len)
    }

    /// A block's questions, in index order. An exhaustive sequence is ordered by first operand,
    /// operation, second operand.
    pub fn block(&self, block: u64) -> Vec<Question> {
        let places = self.places(block);
        match self.source {
            QuestionSource::Uniform { seed } => {
                let mut rng = stream(seed, &format!("accuracy/uniform/{block}"));
                places.map(|_| self.draw(&mut rng)).collect()
            }
            QuestionSource::Enriched { seed, subtractions } => {
                let mut rng = stream(seed, &format!("accuracy/enriched/{block}"));
                places
                    .map(|_| training_question(subtractions, self.n_digits, &mut rng))
                    .collect()
            }
            QuestionSource::Every { first, second } => places
                .map(|place| self.at(u128::from(place), first, second))
                .collect(),
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Question {
        let operation = self.operations[rng.random_range(0..self.operations.len())];
        let mut operand = || rng.random_range(0..power_of_ten(self.n_digits));
        Question::new(operand(), operation, operand(), self.n_digits)
    }

    fn at(&self, place: u128, first: Operands, second: Operands) -> Question {
        let operations = self.operations.len() as u128;
        let (row, column) = (place / second.len(), place % second.len());
        Question::new(
            first.lowest + row / operations,
            self.operations[(row % operations) as usize],
            second.lowest + column,
            self.n_digits,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::arithmetic::Class;

    fn every(first: &str, second: &str) -> Result<Questions, QuestionsError> {
        Questions::every(
            &ModelFolder::bundled(),
            first.parse().unwrap(),
            second.parse().unwrap(),
        )
    }

    #[test]
    fn a_whole_space_holds_every_question_once() {
        let questions = every("8..12", "95..1000").unwrap();
        let asked: Vec<Question> = (0..questions.blocks())
            .flat_map(|block| questions.block(block))
            .collect();
        let expected: BTreeSet<Question> = (8..=12)
            .flat_map(|a| (95..=1000).map(move |b| (a, b)))
            .flat_map(|(a, b)| {
                [Operation::Add, Operation::Sub].map(|op| Question::new(a, op, b, 5))
            })
            .collect();
        assert_eq!(asked.len() as u64, questions.len());
        assert_eq!(asked.len(), expected.len());
        assert_eq!(asked.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn a_whole_space_is_walked_by_first_operand_operation_and_second_operand() {
        let asked = every("1..2", "0..1").unwrap().block(0);
        let texts: Vec<String> = asked.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "00001+00000",
                "00001+00001",
                "00001-00000",
                "00001-00001",
                "00002+00000",
                "00002+00001",
                "00002-00000",
                "00002-00001"
            ]
        );
    }

    #[test]
    fn uniform_questions_are_of_each_operation_equally_often() {
        let questions = Questions::uniform(&ModelFolder::bundled(), 10 * BLOCK, 1).unwrap();
        let asked: Vec<Question> = (0..10).flat_map(|block| questions.block(block)).collect();
        let additions = asked.iter().filter(|q| q.class() == Class::Add).count() as f64;
        let sigma = (asked.len() as f64 * 0.25).sqrt();
        assert!((additions - 5000.0).abs() < 5.0 * sigma, "{additions}");
    }

    #[test]
    fn enriched_questions_have_more_nines_and_the_training_share_of_subtractions() {
        let questions = Questions::enriched(&ModelFolder::bundled(), 20 * BLOCK, 1).unwrap();
        let asked: Vec<Question> = (0..20).flat_map(|block| questions.block(block)).collect();
        let is_addition = |q: &&Question| q.operation() == Operation::Add;
        let (additions, subtractions): (Vec<&Question>, Vec<&Question>) =
            asked.iter().partition(is_addition);
        let share = subtractions.len() as f64 / asked.len() as f64;
        assert!((share - 0.66).abs() < 0.02, "{share}");
        // One pair in ten sums to nine, and 0.4 · 0.4 of the rest are made to: 0.244.
        let nines = additions
            .iter()
            .flat_map(|q| (0..5).map(|k| q.column(k)))
            .filter(|(x, y)| x + y == 9)
            .count() as f64;
        let share = nines / (5 * additions.len()) as f64;
        assert!((share - 0.244).abs() < 0.01, "{share}");
        // 1 in 250 of the subtractions.
        let equal = subtractions
            .iter()
            .filter(|q| q.first() == q.second())
            .count();
        assert!((20..100).contains(&equal), "{equal}");
    }

    #[test]
    fn a_range_of_operands_reads_back_as_written() {
        for text in ["0..999", "7..7"] {
            assert_eq!(text.parse::<Operands>().unwrap().to_string(), text);
        }
        assert_eq!("7".parse::<Operands>().unwrap().len(), 1);
        for text in ["", "..", "9..3", "0..=9", "a..b", "-1..3", "0..+3"] {
            assert_eq!(
                text.parse::<Operands>(),
                Err(NotOperands(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn operands_the_model_does_not_take_are_refused() {
        assert_eq!(
            every("0..99999", "0..100000").unwrap_err().to_string(),
            "100000 has more digits than the model's operands (5)"
        );
    }
}
