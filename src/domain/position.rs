//! Which token is at each position of a question with its answer, and where each is predicted.

use super::arithmetic::{AnswerToken, TokenSet};
use super::shape::Shape;

/// The role of a token in a question with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptPart {
    /// A digit of the first operand.
    First(usize),
    Operator,
    /// A digit of the second operand.
    Second(usize),
    /// `=`.
    Equals,
    /// The sign of the answer, or a digit.
    Answer(AnswerToken),
}

impl Shape {
    /// The position of digit `k` of the first operand.
    pub const fn first_operand(&self, k: usize) -> usize {
        self.n_digits - 1 - k
    }

    /// The position of the operator.
    pub const fn operator(&self) -> usize {
        self.n_digits
    }

    /// The position of digit `k` of the second operand.
    pub const fn second_operand(&self, k: usize) -> usize {
        2 * self.n_digits - k
    }

    /// The position of the answer's sign.
    pub const fn sign(&self) -> usize {
        self.position_of(self.sign_token())
    }

    /// The token that is the answer's sign, `A(n+1)`.
    pub const fn sign_token(&self) -> AnswerToken {
        AnswerToken(self.n_digits + 1)
    }

    /// The position of an answer token.
    pub const fn position_of(&self, token: AnswerToken) -> usize {
        self.n_ctx() - 1 - token.0
    }

    /// The position whose logits predict an answer token: the one before it.
    pub const fn predicting(&self, token: AnswerToken) -> usize {
        self.position_of(token) - 1
    }

    /// The answer token that the logits of a position predict, if they predict one.
    pub fn predicted_at(&self, position: usize) -> Option<AnswerToken> {
        let last = self.predicting(AnswerToken(0));
        (self.first_answer_position()..=last)
            .contains(&position)
            .then(|| AnswerToken(last - position))
    }

    /// The answer tokens predicted at or after a position.
    pub fn predicted_from(&self, position: usize) -> TokenSet {
        let tokens = (0..self.n_answer()).map(AnswerToken);
        let later = |token: &AnswerToken| self.predicting(*token) >= position;
        tokens.filter(later).collect()
    }

    /// The role of the token at a position.
    pub fn part_at(&self, position: usize) -> PromptPart {
        if position < self.operator() {
            PromptPart::First(self.first_operand(position))
        } else if position == self.operator() {
            PromptPart::Operator
        } else if position < self.first_answer_position() {
            PromptPart::Second(self.second_operand(position))
        } else if position == self.first_answer_position() {
            PromptPart::Equals
        } else {
            PromptPart::Answer(AnswerToken(self.n_ctx() - 1 - position))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arithmetic::{Operation, Prompt, Question, char_of};

    const SHAPE: Shape = Shape {
        n_digits: 3,
        n_layers: 1,
        n_heads: 1,
        d_model: 1,
        d_head: 1,
        d_mlp: 1,
    };

    #[test]
    fn each_position_holds_the_token_that_is_said_to_stand_there() {
        let question = Question::new(123, Operation::Sub, 456, 3);
        let prompt = Prompt::truth(question);
        let text: String = prompt
            .tokens()
            .iter()
            .map(|&token| char_of(token))
            .collect();
        assert_eq!(text, "123-456=-0333");
        let at = |position: usize| text.as_bytes()[position] as char;
        for k in 0..3 {
            assert_eq!(at(SHAPE.first_operand(k)), ['3', '2', '1'][k]);
            assert_eq!(at(SHAPE.second_operand(k)), ['6', '5', '4'][k]);
        }
        assert_eq!(
            (at(SHAPE.operator()), at(SHAPE.first_answer_position())),
            ('-', '=')
        );
        assert_eq!(
            (at(SHAPE.sign()), SHAPE.sign_token()),
            ('-', AnswerToken(4))
        );
        for (position, &token) in prompt.tokens().iter().enumerate() {
            let stands = match SHAPE.part_at(position) {
                PromptPart::First(k) => SHAPE.first_operand(k),
                PromptPart::Operator => SHAPE.operator(),
                PromptPart::Second(k) => SHAPE.second_operand(k),
                PromptPart::Equals => SHAPE.first_answer_position(),
                PromptPart::Answer(place) => {
                    assert_eq!(prompt.forced.get(place), token);
                    SHAPE.position_of(place)
                }
            };
            assert_eq!(stands, position);
        }
    }

    #[test]
    fn a_token_is_predicted_at_the_position_before_it() {
        for position in 0..SHAPE.n_ctx() {
            let next = (position + 1 < SHAPE.n_ctx()).then(|| SHAPE.part_at(position + 1));
            let next = match next {
                Some(PromptPart::Answer(token)) => Some(token),
                _ => None,
            };
            assert_eq!(SHAPE.predicted_at(position), next);
            let from = SHAPE.predicted_from(position + 1);
            assert_eq!(
                SHAPE.predicted_from(position).difference(from),
                next.map_or(TokenSet::EMPTY, TokenSet::only)
            );
        }
        assert_eq!(SHAPE.predicted_from(0), TokenSet::all(SHAPE.n_digits));
    }
}
