//! Questions: two operands and an operation, and the token sequence that poses one.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::vocabulary::{EQUALS, MINUS, PLUS, Token, token_of};
use super::{Answer, Class, power_of_ten};
use crate::shape::MAX_DIGITS;

/// What a question asks to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Sub,
}

impl Operation {
    /// The operator's token.
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

/// What can be wrong with the text of a question.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum QuestionError {
    /// No operator between two operands.
    #[error("question {text:?} has no operator: expected digits, then + or -, then digits")]
    NoOperator { text: String },
    /// An operand that is no number.
    #[error("question {text:?}: operand {operand:?} is not a row of digits")]
    NotDigits { text: String, operand: String },
    /// An operand that is too long for the model.
    #[error(
        "question {text:?}: operand {operand:?} has {found} digits, the model takes {expected}"
    )]
    TooManyDigits {
        text: String,
        operand: String,
        found: usize,
        expected: usize,
    },
    /// An answer was given with the question and is not the true one.
    #[error("question {text:?} states the answer {stated:?}, the true answer is {expected}")]
    WrongAnswer {
        text: String,
        stated: String,
        expected: String,
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

    /// Reads `12345+67890`, or with its answer `12345+67890=+080235`. Operands shorter than
    /// `n_digits` are filled with leading zeros.
    ///
    /// # Errors
    /// [`QuestionError`], one variant per thing that can be wrong.
    pub fn parse(text: &str, n_digits: usize) -> Result<Self, QuestionError> {
        let trimmed = text.trim();
        let (body, stated) = match trimmed.split_once('=') {
            Some((body, stated)) => (body, Some(stated)),
            None => (trimmed, None),
        };
        let operator = body
            .find(['+', '-'])
            .filter(|&i| i > 0)
            .ok_or_else(|| QuestionError::NoOperator { text: text.into() })?;
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
        if let Some(stated) = stated {
            let expected = Answer::of(&question).to_string();
            if stated != expected {
                return Err(QuestionError::WrongAnswer {
                    text: text.into(),
                    stated: stated.into(),
                    expected,
                });
            }
        }
        Ok(question)
    }

    /// The first operand, D.
    pub fn first(&self) -> u128 {
        self.first
    }

    /// The second operand, D′.
    pub fn second(&self) -> u128 {
        self.second
    }

    /// What is asked.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Digits in each operand.
    pub fn n_digits(&self) -> usize {
        self.n_digits as usize
    }

    /// The digits (Dk, D′k) of column `k`, units at 0; zeros above the operands.
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

impl fmt::Display for Question {
    /// Writes `12345+00090`, operands at full length.
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

impl Serialize for Question {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A question and the answer the model is made to read after it (teacher forcing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prompt {
    /// The question.
    pub question: Question,
    /// The answer tokens at the answer positions.
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
    /// The question alone where the forced answer is the true one, else question and answer.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.forced == Answer::of(&self.question) {
            serializer.collect_str(&self.question)
        } else {
            serializer.collect_str(self)
        }
    }
}
