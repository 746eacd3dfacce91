//! Integer arithmetic on questions and answers: the oracle, which never asks the network.

mod answer;
mod class;
mod question;
mod vocabulary;

pub use answer::{Answer, AnswerToken, TokenSet};
pub use class::{Class, Complexity, complexity};
pub use question::{Operation, Prompt, Question, QuestionError};
pub use vocabulary::{Token, char_of, token_of};

/// `10^k` for `k` up to [`crate::domain::shape::MAX_DIGITS`].
pub fn power_of_ten(k: usize) -> u128 {
    10u128.pow(k as u32)
}
