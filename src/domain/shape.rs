//! The dimensions of a model, taken from its tensors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Size of the vocabulary: `0`–`9`, `+`, `-`, `=`, `*`, `\`.
pub const D_VOCAB: usize = 15;

/// Most digits an operand may have: answers are held in 128-bit integers, which hold every sum of
/// two 37-digit numbers.
pub const MAX_DIGITS: usize = 37;

/// The dimensions of a network. Created only from tensors that agree with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema, Serialize)]
pub struct Shape {
    /// Digits in each operand.
    pub n_digits: usize,
    /// Layers (transformer blocks).
    pub n_layers: usize,
    /// Attention heads in each layer.
    pub n_heads: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one head; `n_heads * d_head` need not equal `d_model`.
    pub d_head: usize,
    /// Width of the MLP's hidden layer.
    pub d_mlp: usize,
}

impl Shape {
    /// Token positions of question and answer: `3 * n_digits + 4`.
    pub const fn n_ctx(&self) -> usize {
        3 * self.n_digits + 4
    }

    /// Number of answer tokens: the sign and `n_digits + 1` digits.
    pub const fn n_answer(&self) -> usize {
        self.n_digits + 2
    }

    /// The first position whose logits predict an answer token: that of `=`, which predicts the
    /// sign.
    pub const fn first_answer_position(&self) -> usize {
        2 * self.n_digits + 1
    }

    /// Width of all heads together, `n_heads * d_head`.
    pub const fn d_heads(&self) -> usize {
        self.n_heads * self.d_head
    }
}
