//! The logits of a question's answer tokens, and what is derived from them.

use crate::domain::arithmetic::{Answer, AnswerToken, Token};
use crate::domain::shape::D_VOCAB;

/// Logits at the positions that predict the answer, `[n_answer, 15]`, the sign's first.
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

    /// Sets the logits of the answer token at `index`, the sign being 0.
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

    /// The lead of the highest logit at a place over the second.
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

    /// The logit difference of an answer: the logit of its token minus that of the strongest other
    /// token, as a mean over the answer's places, the sign's included. Below zero only where a place
    /// is answered with another token.
    ///
    /// # Panics
    /// If `truth` has more or fewer tokens.
    pub fn logit_difference(&self, truth: &Answer) -> f64 {
        let places = self.rows.len();
        assert_eq!(truth.tokens().len(), places);
        let lead = |(row, &right): (&[f32; D_VOCAB], &Token)| {
            let others = (0..D_VOCAB).filter(|&token| token != right as usize);
            let strongest = others.map(|token| row[token]).fold(f32::MIN, f32::max);
            f64::from(row[right as usize]) - f64::from(strongest)
        };
        let total: f64 = self.rows.iter().zip(truth.tokens()).map(lead).sum();
        total / places as f64
    }

    /// The probability of each token at a place.
    pub fn probabilities(&self, place: AnswerToken) -> [f64; D_VOCAB] {
        let row = self.row(place);
        let normalizer = log_sum_exp(row);
        row.map(|logit| (f64::from(logit) - normalizer).exp())
    }

    /// Mean cross-entropy of the answer tokens of `truth`, in nats.
    ///
    /// # Panics
    /// If `truth` has more or fewer tokens.
    pub fn loss(&self, truth: &Answer) -> f64 {
        let places = self.rows.len();
        assert_eq!(truth.tokens().len(), places);
        let total: f64 = (self.rows.iter())
            .zip(truth.tokens())
            .map(|(row, &token)| log_sum_exp(row) - f64::from(row[token as usize]))
            .sum();
        total / places as f64
    }
}

/// `ln Σ exp(logit)`, computed without probabilities, which can underflow.
fn log_sum_exp(row: &[f32; D_VOCAB]) -> f64 {
    let top = f64::from(row[highest(row) as usize]);
    let total: f64 = row
        .iter()
        .map(|&logit| (f64::from(logit) - top).exp())
        .sum();
    top + total.ln()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose answer to a one-digit question is `+05`, each token `height` above the rest.
    fn peaked(height: f32) -> AnswerLogits {
        let mut logits = AnswerLogits::zeros(3);
        for (index, token) in [10, 0, 5].into_iter().enumerate() {
            let mut row = [0.0; D_VOCAB];
            row[token] = height;
            logits.set(index, row);
        }
        logits
    }

    #[test]
    fn the_answer_is_the_highest_logit_of_each_place() {
        assert_eq!(peaked(1.0).answer().to_string(), "+05");
    }

    #[test]
    fn a_tie_goes_to_the_lowest_token_and_has_no_margin() {
        let tie = peaked(0.0);
        assert_eq!(tie.answer().to_string(), "000");
        assert_eq!(tie.smallest_margin(), 0.0);
    }

    #[test]
    fn places_are_counted_from_the_units_digit() {
        let mut logits = peaked(4.0);
        let mut units = *logits.row(AnswerToken(0));
        units[7] = 3.0;
        logits.set(2, units);
        assert_eq!(logits.margin(AnswerToken(0)), 1.0);
        assert_eq!(logits.margin(AnswerToken(2)), 4.0);
        assert_eq!(logits.smallest_margin(), 1.0);
    }

    #[test]
    fn the_logit_difference_is_the_mean_lead_of_the_right_tokens() {
        let sure = peaked(4.0);
        assert_eq!(sure.logit_difference(&sure.answer()), 4.0);
        // Of the tokens of 000 two are 4 below the strongest other, the middle one is 4 above.
        let other = peaked(0.0).answer();
        assert!((sure.logit_difference(&other) + 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_loss_of_equal_logits_is_the_logarithm_of_the_vocabulary() {
        let logits = peaked(0.0);
        let loss = logits.loss(&logits.answer());
        assert!((loss - (D_VOCAB as f64).ln()).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn the_loss_of_a_sure_answer_is_not_rounded_away() {
        let logits = peaked(20.0);
        let loss = logits.loss(&logits.answer());
        let expected = 14.0 * (-20f64).exp();
        assert!((loss / expected - 1.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn the_loss_of_an_answer_of_no_probability_is_finite() {
        // Two of the three tokens of 000 are 1000 nats below the predicted ones.
        let loss = peaked(1000.0).loss(&peaked(0.0).answer());
        assert!((loss - 2000.0 / 3.0).abs() < 1e-9, "{loss}");
    }

    #[test]
    fn probabilities_are_the_softmax_of_a_place() {
        let probabilities = peaked(2.0).probabilities(AnswerToken(0));
        let e = 2f64.exp();
        assert!((probabilities[5] - e / (e + 14.0)).abs() < 1e-12);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
