//! The logits of one question's answer tokens, and what is read off them.

use crate::arithmetic::{Answer, AnswerToken, Token};
use crate::shape::D_VOCAB;

/// Logits at the positions that predict an answer, `[n_answer, 15]`, the sign's first.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerLogits {
    rows: Vec<[f32; D_VOCAB]>,
}

impl AnswerLogits {
    /// Logits of zero for `n_answer` tokens.
    pub fn zeros(n_answer: usize) -> Self {
        AnswerLogits {
            rows: vec![[0.0; D_VOCAB]; n_answer],
        }
    }

    /// The rows, `[n_answer][15]`.
    pub fn rows(&self) -> &[[f32; D_VOCAB]] {
        &self.rows
    }

    /// Replaces the logits of the `index`-th answer token, the sign being the first.
    pub fn set(&mut self, index: usize, row: [f32; D_VOCAB]) {
        self.rows[index] = row;
    }

    /// The row that predicts a place.
    pub fn row(&self, place: AnswerToken) -> &[f32; D_VOCAB] {
        &self.rows[self.rows.len() - 1 - place.0]
    }

    /// The predicted answer: the highest logit at each place, the lower token on a tie.
    pub fn answer(&self) -> Answer {
        let tokens: Vec<Token> = self.rows.iter().map(highest).collect();
        Answer::from_tokens(&tokens)
    }

    /// How far the highest logit at a place leads the second.
    pub fn margin(&self, place: AnswerToken) -> f32 {
        let row = self.row(place);
        let best = highest(row) as usize;
        let second = (0..D_VOCAB)
            .filter(|&token| token != best)
            .map(|token| row[token])
            .fold(f32::NEG_INFINITY, f32::max);
        row[best] - second
    }

    /// The smallest margin of any place.
    pub fn smallest_margin(&self) -> f32 {
        (0..self.rows.len())
            .map(|place| self.margin(AnswerToken(place)))
            .fold(f32::INFINITY, f32::min)
    }

    /// The probability of each token at a place.
    pub fn probabilities(&self, place: AnswerToken) -> [f64; D_VOCAB] {
        let row = self.row(place).map(f64::from);
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = row.map(|logit| (logit - top).exp());
        let total: f64 = weights.iter().sum();
        weights.map(|weight| weight / total)
    }

    /// Mean cross-entropy of the answer tokens of `truth`, in nats.
    pub fn loss(&self, truth: &Answer) -> f64 {
        let places = self.rows.len();
        let total: f64 = (0..places)
            .map(AnswerToken)
            .map(|place| -self.probabilities(place)[truth.get(place) as usize].ln())
            .sum();
        total / places as f64
    }
}

fn highest(row: &[f32; D_VOCAB]) -> Token {
    let mut best = 0;
    for token in 1..D_VOCAB {
        if row[token] > row[best] {
            best = token;
        }
    }
    best as Token
}
