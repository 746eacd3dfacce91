//! What stands at each token position.

use crate::domain::position::PromptPart;
use crate::domain::shape::Shape;

/// The token at a position: `D4`, `op`, `D'4`, `=`, `±`, `A5`.
pub fn place(position: usize, shape: &Shape) -> String {
    match shape.part_at(position) {
        PromptPart::First(k) => format!("D{k}"),
        PromptPart::Operator => "op".into(),
        PromptPart::Second(k) => format!("D′{k}"),
        PromptPart::Equals => "=".into(),
        PromptPart::Answer(token) if token == shape.sign_token() => "±".into(),
        PromptPart::Answer(token) => token.to_string(),
    }
}
