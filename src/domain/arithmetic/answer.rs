//! Answers as tokens, a sign and `n + 1` digits, and sets of answer tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::vocabulary::{MINUS, PLUS, Token, char_of, token_of};
use super::{Operation, Question, power_of_ten};
use crate::domain::shape::MAX_DIGITS;
use crate::domain::text::text_form;

/// Most tokens an answer may have: the sign and one digit more than an operand.
const MAX_ANSWER: usize = MAX_DIGITS + 2;

/// One place of an answer: `A0` is the units digit, `A(n+1)` the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerToken(pub usize);

impl fmt::Display for AnswerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A{}", self.0)
    }
}

/// Text that is not an answer, or not an answer token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not {1}, such as {2}")]
pub struct NotAnAnswer(String, &'static str, &'static str);

impl FromStr for AnswerToken {
    type Err = NotAnAnswer;

    fn from_str(text: &str) -> Result<Self, NotAnAnswer> {
        let place = text.strip_prefix('A').and_then(|k| k.parse().ok());
        place
            .filter(|&place| place < MAX_ANSWER)
            .map(AnswerToken)
            .ok_or_else(|| NotAnAnswer(text.into(), "a place of an answer", "A3"))
    }
}

impl FromStr for Answer {
    type Err = NotAnAnswer;

    fn from_str(text: &str) -> Result<Self, NotAnAnswer> {
        let tokens: Option<Vec<Token>> = text.chars().map(token_of).collect();
        tokens
            .filter(|tokens| (3..=MAX_ANSWER).contains(&tokens.len()))
            .map(|tokens| Answer::from_tokens(&tokens))
            .ok_or_else(|| NotAnAnswer(text.into(), "an answer", "+012345"))
    }
}

text_form!(AnswerToken, Answer);

impl<'de> Deserialize<'de> for TokenSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<AnswerToken>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

/// A set of answer tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TokenSet(u64);

impl TokenSet {
    pub const EMPTY: TokenSet = TokenSet(0);

    /// Every token of an answer to a question of `n_digits`: `A0` to `A(n+1)`.
    pub fn all(n_digits: usize) -> Self {
        TokenSet((1 << (n_digits + 2)) - 1)
    }

    pub fn only(token: AnswerToken) -> Self {
        TokenSet(1 << token.0)
    }

    /// Whether `token` is in the set.
    pub fn contains(self, token: AnswerToken) -> bool {
        self.0 >> token.0 & 1 == 1
    }

    /// Adds `token`.
    pub fn insert(&mut self, token: AnswerToken) {
        self.0 |= 1 << token.0;
    }

    pub fn union(self, other: TokenSet) -> Self {
        TokenSet(self.0 | other.0)
    }

    pub fn intersection(self, other: TokenSet) -> Self {
        TokenSet(self.0 & other.0)
    }

    /// Tokens in this set but not in `other`.
    pub fn difference(self, other: TokenSet) -> Self {
        TokenSet(self.0 & !other.0)
    }

    /// Whether no token is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many tokens are in the set.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The tokens, highest place first, in reading order.
    pub fn iter(self) -> impl Iterator<Item = AnswerToken> {
        (0..MAX_ANSWER)
            .rev()
            .map(AnswerToken)
            .filter(move |&t| self.contains(t))
    }
}

impl FromIterator<AnswerToken> for TokenSet {
    fn from_iter<I: IntoIterator<Item = AnswerToken>>(tokens: I) -> Self {
        let mut set = TokenSet::EMPTY;
        tokens.into_iter().for_each(|t| set.insert(t));
        set
    }
}

impl fmt::Display for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, token) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{token}")?;
        }
        Ok(())
    }
}

impl Serialize for TokenSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The tokens of an answer, sign first. A network may give any token at any place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    len: u8,
    tokens: [Token; MAX_ANSWER],
}

impl Answer {
    /// The true answer to a question; a zero difference is `+0…0`.
    pub fn of(question: &Question) -> Self {
        let (a, b) = (question.first(), question.second());
        let (negative, magnitude) = match question.operation() {
            Operation::Add => (false, a + b),
            Operation::Sub => (a < b, a.abs_diff(b)),
        };
        Self::from_integer(negative, magnitude, question.n_digits())
    }

    /// The answer with this sign and magnitude. Digits of the magnitude beyond `n_digits + 1` are
    /// cut off.
    pub fn from_integer(negative: bool, magnitude: u128, n_digits: usize) -> Self {
        let mut answer = Self::from_tokens(&vec![0; n_digits + 2]);
        answer.set(
            AnswerToken(n_digits + 1),
            if negative { MINUS } else { PLUS },
        );
        for k in 0..=n_digits {
            answer.set(AnswerToken(k), (magnitude / power_of_ten(k) % 10) as Token);
        }
        answer
    }

    /// The answer with these tokens, sign first.
    ///
    /// # Panics
    /// If there are more tokens than an answer can have.
    pub fn from_tokens(tokens: &[Token]) -> Self {
        let mut answer = Answer {
            len: tokens.len() as u8,
            tokens: [0; MAX_ANSWER],
        };
        answer.tokens[..tokens.len()].copy_from_slice(tokens);
        answer
    }

    /// The tokens, sign first: `[n_digits + 2]`.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens[..self.len as usize]
    }

    /// Digits in each operand of the question this answers.
    pub fn n_digits(&self) -> usize {
        self.len as usize - 2
    }

    pub fn get(&self, place: AnswerToken) -> Token {
        self.tokens[self.len as usize - 1 - place.0]
    }

    /// Replaces the token at a place.
    pub fn set(&mut self, place: AnswerToken, token: Token) {
        self.tokens[self.len as usize - 1 - place.0] = token;
    }

    /// The place of the sign, `A(n+1)`.
    pub fn sign_place(&self) -> AnswerToken {
        AnswerToken(self.len as usize - 1)
    }

    /// Whether the sign is `-`.
    pub fn is_negative(&self) -> bool {
        self.get(self.sign_place()) == MINUS
    }

    /// The number it represents; `None` unless it is a sign and digits. `-0…0` gives zero.
    pub fn integer(&self) -> Option<i128> {
        let (&sign, digits) = self.tokens().split_first()?;
        let magnitude = digits.iter().try_fold(0, |value: i128, &token| {
            (token < 10).then(|| value * 10 + i128::from(token))
        })?;
        match sign {
            PLUS => Some(magnitude),
            MINUS => Some(-magnitude),
            _ => None,
        }
    }

    /// This answer with the other sign and the same digits.
    pub fn with_sign_flipped(mut self) -> Self {
        let flipped = if self.is_negative() { PLUS } else { MINUS };
        self.set(self.sign_place(), flipped);
        self
    }

    /// The places at which two answers to questions of the same size differ.
    pub fn changed_from(&self, other: &Answer) -> TokenSet {
        (0..self.len as usize)
            .map(AnswerToken)
            .filter(|&place| self.get(place) != other.get(place))
            .collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens()
            .iter()
            .try_for_each(|&t| write!(f, "{}", char_of(t)))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_as_the_number_it_was_made_from() {
        for (negative, magnitude) in [(false, 0), (true, 55_545), (false, 199_998)] {
            let value = i128::try_from(magnitude).unwrap();
            let expected = if negative { -value } else { value };
            let answer = Answer::from_integer(negative, magnitude, 5);
            assert_eq!(answer.integer(), Some(expected));
        }
    }

    #[test]
    fn an_answer_with_another_token_than_a_sign_and_digits_reads_as_no_number() {
        let mut answer = Answer::from_integer(false, 12, 5);
        answer.set(AnswerToken(0), MINUS);
        assert_eq!(answer.integer(), None);
        assert_eq!(Answer::from_tokens(&[1, 2, 3]).integer(), None);
    }
}
