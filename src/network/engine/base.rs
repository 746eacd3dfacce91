//! The cached activations of a base run, which runs with an intervention start from.

use super::blocks::Packed;
use crate::domain::arithmetic::Token;

/// The cache of a base run for one slice of questions.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Tokens, `[questions, n_ctx]`.
    pub tokens: Vec<Token>,
    /// The row of each position in the layers' matrices, `[questions, n_ctx]`; questions with a
    /// common prefix share rows.
    pub row_of: Vec<u32>,
    /// Layers from the second on; the input of the first layer is tabulated.
    pub layers: Vec<LayerCache>,
}

/// The cache of a base run for one layer.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    /// Residual stream entering the layer, `[rows, d_model]`.
    pub x: Vec<f32>,
    /// Keys and values, `[rows, 2 * heads]`.
    pub key_value: Vec<f32>,
    /// Queries, `[querying rows, heads]`.
    pub query: Vec<f32>,
    /// The index of a row in `query`, `[rows]`; in the last layer, only rows that predict an answer
    /// token have one.
    pub query_of: Vec<u32>,
}

/// One question of a base run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    cache: &'a Cache,
    /// Its index in the cache.
    question: usize,
}

impl<'a> Base<'a> {
    pub fn new(cache: &'a Cache, question: usize) -> Self {
        Base { cache, question }
    }

    /// Its tokens, `[n_ctx]`.
    pub fn tokens(&self, packed: &Packed) -> &'a [Token] {
        let n_ctx = packed.shape.n_ctx();
        &self.cache.tokens[self.question * n_ctx..][..n_ctx]
    }

    fn row(&self, packed: &Packed, position: usize) -> usize {
        self.cache.row_of[self.question * packed.shape.n_ctx() + position] as usize
    }

    /// The residual stream entering a layer, `[d_model]`.
    pub fn x(&self, packed: &'a Packed, layer: usize, position: usize) -> &'a [f32] {
        match layer.checked_sub(1) {
            None => (packed.embedding).row(position, self.tokens(packed)[position]),
            Some(layer) => {
                let d = packed.shape.d_model;
                &self.cache.layers[layer].x[self.row(packed, position) * d..][..d]
            }
        }
    }

    /// All heads' keys, then all heads' values, `[2 * heads]`.
    pub fn key_value(&self, packed: &'a Packed, layer: usize, position: usize) -> &'a [f32] {
        match layer.checked_sub(1) {
            None => (packed.first_key_value).row(position, self.tokens(packed)[position]),
            Some(layer) => {
                let width = 2 * packed.heads.total();
                &self.cache.layers[layer].key_value[self.row(packed, position) * width..][..width]
            }
        }
    }

    /// All heads' queries, `[heads]`; in the last layer only where an answer token is predicted.
    pub fn query(&self, packed: &'a Packed, layer: usize, position: usize) -> &'a [f32] {
        match layer.checked_sub(1) {
            None => (packed.first_query).row(position, self.tokens(packed)[position]),
            Some(layer) => {
                let width = packed.heads.total();
                let layer = &self.cache.layers[layer];
                let query = layer.query_of[self.row(packed, position)] as usize;
                &layer.query[query * width..][..width]
            }
        }
    }
}
