//! The network's weights, arranged for the engine: heads side by side, keys beside values, and the
//! input of layer 0 tabulated, since it depends only on token and position.

use rayon::prelude::*;

use super::attention::Heads;
use super::matrix::Matrix;
use super::norm::NormWeights;
use crate::domain::arithmetic::Token;
use crate::domain::shape::{D_VOCAB, Shape};
use crate::inputs::model::Weights;

#[derive(Debug, Clone)]
pub(in crate::network) struct LayerWeights {
    pub ln1: NormWeights,
    /// `[d_model, heads]`, heads side by side, scaled by `1/sqrt(d_head)`.
    pub query: Matrix,
    pub query_bias: Vec<f32>,
    /// `[d_model, 2 * heads]`: all heads' keys, then all heads' values.
    pub key_value: Matrix,
    pub key_value_bias: Vec<f32>,
    /// `[n_heads * d_head, d_model]`
    pub output: Matrix,
    pub output_bias: Vec<f32>,
    pub ln2: NormWeights,
    /// `[d_model, d_mlp]`
    pub mlp_in: Matrix,
    pub mlp_in_bias: Vec<f32>,
    /// `[d_mlp, d_model]`
    pub mlp_out: Matrix,
    pub mlp_out_bias: Vec<f32>,
}

impl LayerWeights {
    fn load(weights: &Weights, layer: usize) -> Self {
        let shape = weights.shape();
        let heads = Heads::of(&shape);
        let array = |name: &str| weights.array(&format!("blocks.{layer}.{name}")).data();
        let norm = |name: &str| NormWeights {
            weight: array(&format!("{name}.w")).to_vec(),
            bias: array(&format!("{name}.b")).to_vec(),
        };
        let d = shape.d_model;
        let scale = 1.0 / (shape.d_head as f32).sqrt();
        // [h, rows, d_head] to [rows, heads], written at a column offset of a wider matrix.
        let beside = |into: &mut [f32], width: usize, offset: usize, source: &[f32], scale: f32| {
            let rows = source.len() / heads.results();
            for (i, from) in source.chunks_exact(heads.width).enumerate() {
                let (head, row) = (i / rows, i % rows);
                let at = row * width + offset + head * heads.stride();
                for (to, value) in into[at..at + heads.width].iter_mut().zip(from) {
                    *to = value * scale;
                }
            }
        };
        let width = heads.total();
        let mut query = vec![0.0; d * width];
        beside(&mut query, width, 0, array("attn.W_Q"), scale);
        let mut query_bias = vec![0.0; width];
        beside(&mut query_bias, width, 0, array("attn.b_Q"), scale);
        let mut key_value = vec![0.0; d * 2 * width];
        beside(&mut key_value, 2 * width, 0, array("attn.W_K"), 1.0);
        beside(&mut key_value, 2 * width, width, array("attn.W_V"), 1.0);
        let mut key_value_bias = vec![0.0; 2 * width];
        beside(&mut key_value_bias, 2 * width, 0, array("attn.b_K"), 1.0);
        beside(
            &mut key_value_bias,
            2 * width,
            width,
            array("attn.b_V"),
            1.0,
        );
        // In pieces of about the same size, for threads to share.
        let (mlp_in, (mlp_out, output)) = rayon::join(
            || Matrix::new(d, shape.d_mlp, array("mlp.W_in")),
            || {
                rayon::join(
                    || Matrix::new(shape.d_mlp, d, array("mlp.W_out")),
                    || Matrix::new(heads.results(), d, array("attn.W_O")),
                )
            },
        );
        LayerWeights {
            ln1: norm("ln1"),
            query: Matrix::new(d, width, &query),
            query_bias,
            key_value: Matrix::new(d, 2 * width, &key_value),
            key_value_bias,
            output,
            output_bias: array("attn.b_O").to_vec(),
            ln2: norm("ln2"),
            mlp_in,
            mlp_in_bias: array("mlp.b_in").to_vec(),
            mlp_out,
            mlp_out_bias: array("mlp.b_out").to_vec(),
        }
    }
}

impl Heads {
    /// The layout of the heads of a network with this shape.
    pub fn of(shape: &Shape) -> Self {
        Heads {
            count: shape.n_heads,
            width: shape.d_head,
        }
    }
}

/// A row for each token at each position.
#[derive(Debug, Clone)]
pub(in crate::network) struct TokenTable {
    width: usize,
    /// `[n_ctx, 15, width]`
    data: Vec<f32>,
}

impl TokenTable {
    /// The row of a token at a position, `[width]`.
    pub fn row(&self, position: usize, token: Token) -> &[f32] {
        &self.data[Self::index(position, token) * self.width..][..self.width]
    }

    /// The index of that row.
    pub const fn index(position: usize, token: Token) -> usize {
        position * D_VOCAB + token as usize
    }

    /// All rows, `[n_ctx * 15, width]`.
    pub fn rows(&self) -> &[f32] {
        &self.data
    }
}

#[derive(Debug, Clone)]
pub(in crate::network) struct Packed {
    pub shape: Shape,
    pub heads: Heads,
    /// Residual stream entering layer 0, `[d_model]` per row.
    pub embedding: TokenTable,
    /// Its two parts: `[15, d_model]` and `[n_ctx, d_model]`.
    token_embeddings: Vec<f32>,
    position_embeddings: Vec<f32>,
    /// Layer 0's queries, `[heads]` per row.
    pub first_query: TokenTable,
    /// Layer 0's keys and values, `[2 * heads]` per row.
    pub first_key_value: TokenTable,
    pub blocks: Vec<LayerWeights>,
    pub ln_final: NormWeights,
    /// `[d_model, 15]`
    pub unembed: Matrix,
    pub unembed_bias: Vec<f32>,
}

impl Packed {
    pub fn load(weights: &Weights) -> Self {
        let shape = weights.shape();
        let array = |name: &str| weights.array(name).data();
        let (tokens, positions) = (array("embed.W_E"), array("pos_embed.W_pos"));
        let mut embedding = Vec::with_capacity(shape.n_ctx() * D_VOCAB * shape.d_model);
        for position in positions.chunks_exact(shape.d_model) {
            for token in tokens.chunks_exact(shape.d_model) {
                embedding.extend(token.iter().zip(position).map(|(t, p)| t + p));
            }
        }
        let blocks: Vec<LayerWeights> = (0..shape.n_layers)
            .into_par_iter()
            .map(|layer| LayerWeights::load(weights, layer))
            .collect();
        let first = &blocks[0];
        let normed = first.ln1.apply(&embedding);
        let table = |width, data| TokenTable { width, data };
        let heads = Heads::of(&shape);
        let (query, key_value) = rayon::join(
            || first.query.apply(&normed, &first.query_bias),
            || first.key_value.apply(&normed, &first.key_value_bias),
        );
        Packed {
            shape,
            heads,
            first_query: table(heads.total(), query),
            first_key_value: table(2 * heads.total(), key_value),
            embedding: table(shape.d_model, embedding),
            token_embeddings: tokens.to_vec(),
            position_embeddings: positions.to_vec(),
            blocks,
            ln_final: NormWeights {
                weight: array("ln_final.w").to_vec(),
                bias: array("ln_final.b").to_vec(),
            },
            unembed: Matrix::new(shape.d_model, D_VOCAB, array("unembed.W_U")),
            unembed_bias: array("unembed.b_U").to_vec(),
        }
    }

    /// A token's own embedding, `[d_model]`.
    pub fn token_embedding(&self, token: Token) -> &[f32] {
        let d = self.shape.d_model;
        &self.token_embeddings[usize::from(token) * d..][..d]
    }

    /// A position's own embedding, `[d_model]`.
    pub fn position_embedding(&self, position: usize) -> &[f32] {
        let d = self.shape.d_model;
        &self.position_embeddings[position * d..][..d]
    }
}
