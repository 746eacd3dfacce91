//! The network's weights as the engine multiplies them: heads side by side, keys beside values, and
//! layer 0's projections tabulated, since there the residual is a function of token and position.

use super::matrix::{LayerNorm, Matrix};
use crate::model::Weights;
use crate::shape::{D_VOCAB, Shape};

/// One layer.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub ln1: LayerNorm,
    /// `[d_model, heads]`, heads side by side, scaled by `1/sqrt(d_head)`.
    pub query: Matrix,
    pub query_bias: Vec<f32>,
    /// `[d_model, 2 * heads]`: all heads' keys, then all heads' values.
    pub key_value: Matrix,
    pub key_value_bias: Vec<f32>,
    /// `[heads, d_model]`
    pub output: Matrix,
    pub output_bias: Vec<f32>,
    pub ln2: LayerNorm,
    /// `[d_model, d_mlp]`
    pub mlp_in: Matrix,
    pub mlp_in_bias: Vec<f32>,
    /// `[d_mlp, d_model]`
    pub mlp_out: Matrix,
    pub mlp_out_bias: Vec<f32>,
}

impl Block {
    fn load(weights: &Weights, layer: usize) -> Self {
        let shape = weights.shape();
        let array = |name: &str| {
            weights
                .array(&format!("blocks.{layer}.{name}"))
                .data()
                .to_vec()
        };
        let norm = |name: &str| LayerNorm {
            weight: array(&format!("{name}.w")),
            bias: array(&format!("{name}.b")),
        };
        let (d, heads, d_head) = (shape.d_model, shape.n_heads, shape.d_head);
        let scale = 1.0 / (d_head as f32).sqrt();
        // [h, d, d_head] to [d, h * d_head], written at a column offset of a wider matrix.
        let beside = |into: &mut [f32], width: usize, offset: usize, name: &str, scale: f32| {
            let source = array(name);
            for head in 0..heads {
                for row in 0..d {
                    let from = &source[(head * d + row) * d_head..][..d_head];
                    let at = row * width + offset + head * d_head;
                    for (to, value) in into[at..at + d_head].iter_mut().zip(from) {
                        *to = value * scale;
                    }
                }
            }
        };
        let width = shape.d_heads();
        let mut query = vec![0.0; d * width];
        beside(&mut query, width, 0, "attn.W_Q", scale);
        let mut key_value = vec![0.0; d * 2 * width];
        beside(&mut key_value, 2 * width, 0, "attn.W_K", 1.0);
        beside(&mut key_value, 2 * width, width, "attn.W_V", 1.0);
        Block {
            ln1: norm("ln1"),
            query: Matrix::new(d, width, query),
            query_bias: array("attn.b_Q").iter().map(|b| b * scale).collect(),
            key_value: Matrix::new(d, 2 * width, key_value),
            key_value_bias: [array("attn.b_K"), array("attn.b_V")].concat(),
            output: Matrix::new(width, d, array("attn.W_O")),
            output_bias: array("attn.b_O"),
            ln2: norm("ln2"),
            mlp_in: Matrix::new(d, shape.d_mlp, array("mlp.W_in")),
            mlp_in_bias: array("mlp.b_in"),
            mlp_out: Matrix::new(shape.d_mlp, d, array("mlp.W_out")),
            mlp_out_bias: array("mlp.b_out"),
        }
    }
}

/// All weights, packed.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub shape: Shape,
    /// Residual entering layer 0, `[n_ctx * 15, d_model]`, row `position * 15 + token`.
    pub embedding: Matrix,
    /// Layer 0's queries in the same rows, `[n_ctx * 15, heads]`.
    pub first_query: Matrix,
    /// Layer 0's keys and values in the same rows, `[n_ctx * 15, 2 * heads]`.
    pub first_key_value: Matrix,
    pub blocks: Vec<Block>,
    pub ln_final: LayerNorm,
    /// `[d_model, 15]`
    pub unembed: Matrix,
    pub unembed_bias: Vec<f32>,
}

impl Packed {
    pub fn load(weights: &Weights) -> Self {
        let shape = weights.shape();
        let array = |name: &str| weights.array(name).data().to_vec();
        let (tokens, positions) = (array("embed.W_E"), array("pos_embed.W_pos"));
        let mut embedding = Vec::with_capacity(shape.n_ctx() * D_VOCAB * shape.d_model);
        for position in positions.chunks_exact(shape.d_model) {
            for token in tokens.chunks_exact(shape.d_model) {
                embedding.extend(token.iter().zip(position).map(|(t, p)| t + p));
            }
        }
        let blocks: Vec<Block> = (0..shape.n_layers)
            .map(|layer| Block::load(weights, layer))
            .collect();
        let first = &blocks[0];
        let normed = first.ln1.apply(&embedding);
        let rows = shape.n_ctx() * D_VOCAB;
        let first_query = first.query.apply(&normed, &first.query_bias);
        let first_key_value = first.key_value.apply(&normed, &first.key_value_bias);
        Packed {
            shape,
            embedding: Matrix::new(rows, shape.d_model, embedding),
            first_query: Matrix::new(rows, shape.d_heads(), first_query),
            first_key_value: Matrix::new(rows, 2 * shape.d_heads(), first_key_value),
            blocks,
            ln_final: LayerNorm {
                weight: array("ln_final.w"),
                bias: array("ln_final.b"),
            },
            unembed: Matrix::new(shape.d_model, D_VOCAB, array("unembed.W_U")),
            unembed_bias: array("unembed.b_U"),
        }
    }
}
