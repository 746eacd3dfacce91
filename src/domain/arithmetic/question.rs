//! Questions: two operands and an operation, and their token sequence.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::vocabulary::{EQUALS, MINUS, PLUS, Token, token_of};
use super::{Answer, Class, power_of_ten};
use crate::domain::shape::MAX_DIGITS;
use crate::domain::text::{deserialize_from_text, text_form};

/// The operation of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Sub,
}

impl Operation {
    pub fn token(self) -> Token {
        match self {
            Operation::Add => PLUS,
            Operation::Sub => MINUS,
        }
    }

    /// The other operation on the same operands.
    pub fn other(self) -> Self {
        match self {
            Operation::Add => Operation::Sub,
            Operation::Sub => Operation::Add,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Add => "+",
            Operation::Sub => "-",
        })
    }
}

/// Errors in the text of a question.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum QuestionError {
    /// No operator between two operands.
    #[error("question {text:?} has no operator: expected digits, then + or -, then digits")]
    NoOperator { text: String },
    /// An operator that is neither `+` nor `-`.
    #[error(
        "question {text:?} has the operator {found:?}, the operators known are \"+\" and \"-\""
    )]
    UnknownOperator { text: String, found: char },
    /// An operand that is not a number.
    #[error("question {text:?}: operand {operand:?} is not a row of digits")]
    NotDigits { text: String, operand: String },
    /// An operand with more digits than the model's.
    #[error(
        "question {text:?}: operand {operand:?} has {found} digits, the model takes {expected}"
    )]
    TooManyDigits {
        text: String,
        operand: String,
        found: usize,
        expected: usize,
    },
    /// An answer given with the question that is not the true one.
    #[error("question {text:?} states the answer {stated:?}, the true answer is {expected}")]
    WrongAnswer {
        text: String,
        stated: String,
        expected: String,
    },
    /// A forced answer that is too long or too short for the question.
    #[error("question {text:?}: answer {answer:?} has {found} tokens, the model takes {expected}")]
    AnswerLength {
        text: String,
        answer: String,
        found: usize,
        expected: usize,
    },
    /// A forced answer with a character outside the vocabulary.
    #[error("question {text:?}: answer {answer:?} has {found:?}, which is no token")]
    NotAToken {
        text: String,
        answer: String,
        found: char,
    },
}

/// Two operands of `n_digits` digits each and an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    first: u128,
    second: u128,
    operation: Operation,
    n_digits: u8,
}

impl Question {
    /// A question for a model of `n_digits`.
    ///
    /// # Panics
    /// If an operand does not fit `n_digits`, or `n_digits` is over [`MAX_DIGITS`].
    pub fn new(first: u128, operation: Operation, second: u128, n_digits: usize) -> Self {
        assert!(n_digits <= MAX_DIGITS);
        assert!(first < power_of_ten(n_digits) && second < power_of_ten(n_digits));
        Question {
            first,
            second,
            operation,
            n_digits: n_digits as u8,
        }
    }

    /// Parses `12345+67890`, optionally with its answer: `12345+67890=+080235`. Operands shorter
    /// than `n_digits` get leading zeros.
    ///
    /// # Errors
    /// [`QuestionError`], with one variant for each kind of error.
    pub fn parse(text: &str, n_digits: usize) -> Result<Self, QuestionError> {
        let (question, stated) = Self::parse_apart(text, n_digits)?;
        let expected = Answer::of(&question).to_string();
        match stated {
            Some(stated) if stated != expected => Err(QuestionError::WrongAnswer {
                text: text.into(),
                stated: stated.into(),
                expected,
            }),
            _ => Ok(question),
        }
    }

    /// The question in `text`, and the answer after it as written, if any.
    fn parse_apart(text: &str, n_digits: usize) -> Result<(Self, Option<&str>), QuestionError> {
        let trimmed = text.trim();
        let (body, stated) = match trimmed.split_once('=') {
            Some((body, stated)) => (body, Some(stated)),
            None => (trimmed, None),
        };
        let operator = body
            .find(['+', '-'])
            .filter(|&i| i > 0)
            .ok_or_else(|| no_operator(text, body))?;
        let operation = if body[operator..].starts_with('+') {
            Operation::Add
        } else {
            Operation::Sub
        };
        let operand = |part: &str| -> Result<u128, QuestionError> {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(QuestionError::NotDigits {
                    text: text.into(),
                    operand: part.into(),
                });
            }
            if part.len() > n_digits {
                return Err(QuestionError::TooManyDigits {
                    text: text.into(),
                    operand: part.into(),
                    found: part.len(),
                    expected: n_digits,
                });
            }
            Ok(part
                .bytes()
                .fold(0, |value, b| value * 10 + u128::from(b - b'0')))
        };
        let question = Question::new(
            operand(&body[..operator])?,
            operation,
            operand(&body[operator + 1..])?,
            n_digits,
        );
        Ok((question, stated))
    }

    pub fn first(&self) -> u128 {
        self.first
    }

    pub fn second(&self) -> u128 {
        self.second
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Digits in each operand.
    pub fn n_digits(&self) -> usize {
        self.n_digits as usize
    }

    /// The digits (Dk, D′k) of column `k`, with the units at 0; zeros above the operands.
    pub fn column(&self, k: usize) -> (u8, u8) {
        if k >= self.n_digits() {
            return (0, 0);
        }
        let power = power_of_ten(k);
        (
            (self.first / power % 10) as u8,
            (self.second / power % 10) as u8,
        )
    }

    /// The class of the question: ADD, SUB or NEG.
    pub fn class(&self) -> Class {
        match self.operation {
            Operation::Add => Class::Add,
            Operation::Sub if self.first >= self.second => Class::Sub,
            Operation::Sub => Class::Neg,
        }
    }

    /// The same operands under the other operation.
    pub fn with_other_operation(self) -> Self {
        Question {
            operation: self.operation.other(),
            ..self
        }
    }
}

/// Error for two operands with something other than `+` or `-` between them, or for other text.
fn no_operator(text: &str, body: &str) -> QuestionError {
    let is_digit = |c: char| c.is_ascii_digit();
    let between = body.trim_matches(is_digit);
    let mut characters = between.chars();
    match (characters.next(), characters.next()) {
        (Some(found), None) if body.starts_with(is_digit) && body.ends_with(is_digit) => {
            QuestionError::UnknownOperator {
                text: text.into(),
                found,
            }
        }
        _ => QuestionError::NoOperator { text: text.into() },
    }
}

impl fmt::Display for Question {
    /// Writes `12345+00090`, with operands at full width.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:0width$}{}{:0width$}",
            self.first,
            self.operation,
            self.second,
            width = self.n_digits()
        )
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({self})")
    }
}

/// A question and the answer tokens the model reads after it (teacher forcing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prompt {
    pub question: Question,
    /// The tokens at the answer positions.
    pub forced: Answer,
}

impl Prompt {
    /// The question followed by its true answer.
    pub fn truth(question: Question) -> Self {
        Prompt {
            question,
            forced: Answer::of(&question),
        }
    }

    /// Parses `12345-67890`, optionally with the answer to force, which need not be the true one:
    /// `12345-67890=+055545`.
    ///
    /// # Errors
    /// [`QuestionError`], with one variant for each kind of error.
    pub fn parse(text: &str, n_digits: usize) -> Result<Self, QuestionError> {
        let (question, stated) = Question::parse_apart(text, n_digits)?;
        let truth = Prompt::truth(question);
        let Some(stated) = stated else {
            return Ok(truth);
        };
        let tokens = stated
            .chars()
            .map(|found| {
                token_of(found).ok_or_else(|| QuestionError::NotAToken {
                    text: text.into(),
                    answer: stated.into(),
                    found,
                })
            })
            .collect::<Result<Vec<Token>, _>>()?;
        let expected = truth.forced.tokens().len();
        if tokens.len() != expected {
            return Err(QuestionError::AnswerLength {
                text: text.into(),
                answer: stated.into(),
                found: tokens.len(),
                expected,
            });
        }
        Ok(Prompt {
            question,
            forced: Answer::from_tokens(&tokens),
        })
    }

    /// The tokens: `[n_ctx]`, `n_ctx = 3 * n_digits + 4`.
    pub fn tokens(&self) -> Vec<Token> {
        let text = self.question.to_string();
        let mut tokens: Vec<Token> = text
            .chars()
            .map(|c| token_of(c).expect("questions are written in the vocabulary"))
            .collect();
        tokens.push(EQUALS);
        tokens.extend_from_slice(self.forced.tokens());
        tokens
    }
}

/// Digits of the first operand: the number of digits if both operands are written in full.
fn digits_written(text: &str) -> usize {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    digits.min(MAX_DIGITS)
}

impl FromStr for Question {
    type Err = QuestionError;

    /// Parses a question whose operands are written in full, as by [`Question`]'s `Display`.
    fn from_str(text: &str) -> Result<Self, QuestionError> {
        Question::parse(text, digits_written(text))
    }
}

impl FromStr for Prompt {
    type Err = QuestionError;

    /// Parses a prompt whose operands are written in full.
    fn from_str(text: &str) -> Result<Self, QuestionError> {
        Prompt::parse(text, digits_written(text))
    }
}

text_form!(Question);
deserialize_from_text!(Prompt);

impl From<Question> for Prompt {
    fn from(question: Question) -> Self {
        Prompt::truth(question)
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.question, self.forced)
    }
}

impl Serialize for Prompt {
    /// The question alone if the forced answer is the true one; otherwise question and answer.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.forced == Answer::of(&self.question) {
            serializer.collect_str(&self.question)
        } else {
            serializer.collect_str(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        Question::parse(text, 5).unwrap_err().to_string()
    }

    #[test]
    fn an_operator_that_is_not_known_is_shown_with_the_known_ones() {
        assert_eq!(
            refusal("12345*67890"),
            "question \"12345*67890\" has the operator '*', the operators known are \"+\" and \"-\""
        );
    }

    #[test]
    fn text_without_two_operands_has_no_operator() {
        for text in ["12345", "", "*5", "5*", "hello"] {
            let error = Question::parse(text, 5).unwrap_err();
            assert_eq!(error, QuestionError::NoOperator { text: text.into() });
        }
    }

    #[test]
    fn an_operand_of_too_many_digits_is_refused_with_both_numbers() {
        assert_eq!(
            refusal("123456+1"),
            "question \"123456+1\": operand \"123456\" has 6 digits, the model takes 5"
        );
    }

    #[test]
    fn an_operand_that_is_no_number_is_shown() {
        assert_eq!(
            refusal("12a45+1"),
            "question \"12a45+1\": operand \"12a45\" is not a row of digits"
        );
    }

    #[test]
    fn a_wrong_answer_is_refused_for_a_question_and_forced_for_a_prompt() {
        let text = "12345-67890=+055545";
        assert_eq!(
            refusal(text),
            "question \"12345-67890=+055545\" states the answer \"+055545\", the true answer is -055545"
        );
        let prompt = Prompt::parse(text, 5).unwrap();
        assert_eq!(
            prompt.forced,
            Answer::of(&prompt.question).with_sign_flipped()
        );
    }

    #[test]
    fn a_forced_answer_of_another_length_is_refused_with_both_numbers() {
        assert_eq!(
            Prompt::parse("1+2=+3", 5).unwrap_err().to_string(),
            "question \"1+2=+3\": answer \"+3\" has 2 tokens, the model takes 7"
        );
    }

    #[test]
    fn a_forced_answer_has_only_tokens() {
        assert_eq!(
            Prompt::parse("1+2=+00000x", 5).unwrap_err().to_string(),
            "question \"1+2=+00000x\": answer \"+00000x\" has 'x', which is no token"
        );
    }

    proptest! {
        #[test]
        fn prompts_round_trip(first in 0u128..100_000, second in 0u128..100_000, add: bool, flip: bool) {
            let operation = if add { Operation::Add } else { Operation::Sub };
            let mut prompt = Prompt::truth(Question::new(first, operation, second, 5));
            if flip {
                prompt.forced = prompt.forced.with_sign_flipped();
            }
            prop_assert_eq!(Prompt::parse(&prompt.to_string(), 5), Ok(prompt));
        }
    }
}
