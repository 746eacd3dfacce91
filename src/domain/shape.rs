//! The dimensions of a model, taken from its tensors.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Size of the vocabulary: `0`–`9`, `+`, `-`, `=`, `*`, `\`.
pub const D_VOCAB: usize = 15;

/// Most digits an operand may have: answers are held in 128-bit integers, which hold every sum of
/// two 37-digit numbers.
pub const MAX_DIGITS: usize = 37;

/// Most layers of a network. Published ones have four; the limits are what engine and reports are made for,
/// since a file of a few kilobytes may claim any shape.
const MAX_LAYERS: usize = 64;

/// Most heads in a layer.
const MAX_HEADS: usize = 64;

/// Widest residual stream.
const MAX_D_MODEL: usize = 8192;

/// Widest heads of a layer, side by side.
const MAX_D_HEADS: usize = 32_768;

/// Widest MLP.
const MAX_D_MLP: usize = 65_536;

/// Most activations of one question: 16 MiB. Of the largest published network there are a million.
const MAX_ACTIVATIONS: usize = 4 << 20;

/// A dimension is larger than any this program is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{dimension} is {found}, more than {most}")]
pub struct TooLarge {
    pub dimension: &'static str,
    pub found: usize,
    /// The largest there may be.
    pub most: usize,
}

/// The dimensions of a network. Created only from tensors that agree with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize)]
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

impl<'de> Deserialize<'de> for Shape {
    /// Refuses what [`Shape::check_size`] refuses.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Shape")]
        struct Read {
            n_digits: usize,
            n_layers: usize,
            n_heads: usize,
            d_model: usize,
            d_head: usize,
            d_mlp: usize,
        }
        let Read {
            n_digits,
            n_layers,
            n_heads,
            d_model,
            d_head,
            d_mlp,
        } = Read::deserialize(deserializer)?;
        let shape = Shape {
            n_digits,
            n_layers,
            n_heads,
            d_model,
            d_head,
            d_mlp,
        };
        let dimensions = [n_digits, n_layers, n_heads, d_model, d_head, d_mlp];
        if dimensions.contains(&0) {
            return Err(D::Error::custom("a dimension of the network is 0"));
        }
        shape.check_size().map_err(D::Error::custom)?;
        Ok(shape)
    }
}

fn at_most(dimension: &'static str, found: usize, most: usize) -> Result<(), TooLarge> {
    match found <= most {
        true => Ok(()),
        false => Err(TooLarge {
            dimension,
            found,
            most,
        }),
    }
}

#[cfg(test)]
impl Shape {
    /// That of the bundled addition model of two layers.
    pub const EXAMPLE: Self = Shape {
        n_digits: 5,
        n_layers: 2,
        n_heads: 3,
        d_model: 126,
        d_head: 42,
        d_mlp: 504,
    };
}

impl Shape {
    /// Checks a number of layers.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn check_layers(n_layers: usize) -> Result<(), TooLarge> {
        at_most("the number of layers", n_layers, MAX_LAYERS)
    }

    /// Checks that a network of this shape can be run.
    ///
    /// # Errors
    /// [`TooLarge`] for the first dimension that is too large.
    pub fn check_size(&self) -> Result<(), TooLarge> {
        at_most("the number of digits", self.n_digits, MAX_DIGITS)?;
        Self::check_layers(self.n_layers)?;
        at_most("n_heads", self.n_heads, MAX_HEADS)?;
        at_most("d_model", self.d_model, MAX_D_MODEL)?;
        at_most("d_head", self.d_head, MAX_D_HEADS)?;
        at_most("n_heads times d_head", self.d_heads(), MAX_D_HEADS)?;
        at_most("d_mlp", self.d_mlp, MAX_D_MLP)?;
        let position = self.d_model + 4 * self.d_heads() + self.n_heads * self.n_ctx() + self.d_mlp;
        let activations = self.n_layers * self.n_ctx() * position;
        at_most(
            "the number of activations of a question",
            activations,
            MAX_ACTIVATIONS,
        )
    }

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
