//! Which rows a pass computes: a row is one token position of one item.

use super::blocks::Packed;
use crate::domain::arithmetic::Token;
use crate::domain::site::Site;

/// Which rows each layer must compute queries for, `[n_layers][n_ctx]`.
pub(super) struct Needed(Vec<Vec<bool>>);

impl Needed {
    /// The rows that answer tokens depend on: every live position, or in the last layer those that
    /// predict.
    pub fn for_answers(packed: &Packed) -> Self {
        let shape = packed.shape;
        let live = |layer: usize, position: usize| {
            let last_layer = layer + 1 == shape.n_layers;
            position + 1 < shape.n_ctx()
                && (!last_layer || position >= shape.first_answer_position())
        };
        Needed(
            (0..shape.n_layers)
                .map(|layer| (0..shape.n_ctx()).map(|p| live(layer, p)).collect())
                .collect(),
        )
    }

    /// The rows that the activations at `sites` depend on.
    pub fn for_sites(packed: &Packed, sites: &[Site]) -> Self {
        let shape = packed.shape;
        let needed = |layer: usize, position: usize| {
            sites.iter().any(|site| {
                let of = site.layer_in(&shape);
                (of > layer && position <= site.position())
                    || (of == layer && position == site.position())
            })
        };
        Needed(
            (0..shape.n_layers)
                .map(|layer| (0..shape.n_ctx()).map(|p| needed(layer, p)).collect())
                .collect(),
        )
    }

    /// Whether a position's row is needed at a layer.
    pub fn at(&self, layer: usize, position: usize) -> bool {
        self.0[layer][position]
    }

    /// Positions up to the last one needed at a layer: those whose keys and values matter.
    pub fn extent(&self, layer: usize) -> usize {
        self.0[layer]
            .iter()
            .rposition(|&needed| needed)
            .map_or(0, |last| last + 1)
    }
}

/// How many leading tokens each item shares with the previous item, so that their rows are the
/// same.
pub(super) fn shared_with_the_one_before(tokens: &[Token], n_ctx: usize) -> Vec<usize> {
    let mut before: &[Token] = &[];
    tokens
        .chunks_exact(n_ctx)
        .map(|tokens| {
            let common = std::iter::zip(before, tokens).take_while(|(a, b)| a == b);
            before = tokens;
            common.count()
        })
        .collect()
}

/// Rows of a layer with their residual.
#[derive(Default)]
pub(super) struct Rows {
    /// (item, position), sorted.
    pub at: Vec<(usize, usize)>,
    /// `[rows, d_model]`; empty before the first layer, whose residuals are tabulated.
    pub x: Vec<f32>,
}

impl Rows {
    /// Drops the rows at or after `extent`.
    pub fn keep_before(&mut self, extent: usize, d_model: usize) {
        if self.at.iter().all(|&(_, position)| position < extent) {
            return;
        }
        let mut kept = Rows::default();
        for (row, &(item, position)) in self.at.iter().enumerate() {
            if position < extent {
                kept.at.push((item, position));
                let x = self.x.get(row * d_model..(row + 1) * d_model);
                kept.x.extend_from_slice(x.unwrap_or_default());
            }
        }
        *self = kept;
    }
}

/// Rows of one layer that differ from those of the base runs.
pub(super) struct Overlay {
    n_ctx: usize,
    /// Row of `key_value` for item and position, or `CLEAN`.
    slots: Vec<u32>,
    /// `[rows, 2 * heads]`; empty in the first layer.
    pub key_value: Vec<f32>,
    count: usize,
    /// Each item's first dirty position; `usize::MAX` if it has none.
    pub first_dirty: Vec<usize>,
}

const CLEAN: u32 = u32::MAX;

impl Overlay {
    pub fn new(items: usize, n_ctx: usize) -> Self {
        Overlay {
            n_ctx,
            slots: vec![CLEAN; items * n_ctx],
            key_value: Vec::new(),
            count: 0,
            first_dirty: vec![usize::MAX; items],
        }
    }

    /// Adds rows and returns the slot of the first. An item shares its first `shared` rows with the
    /// previous item.
    pub fn insert(&mut self, at: &[(usize, usize)], shared: &[usize]) -> usize {
        let first = self.count;
        for (row, &(item, position)) in at.iter().enumerate() {
            self.slots[item * self.n_ctx + position] = (first + row) as u32;
            self.first_dirty[item] = self.first_dirty[item].min(position);
        }
        self.count += at.len();
        for (item, &shared) in shared.iter().enumerate().skip(1) {
            let start = item * self.n_ctx;
            (self.slots).copy_within(start - self.n_ctx..start - self.n_ctx + shared, start);
            if shared > 0 {
                self.first_dirty[item] = 0;
            }
        }
        first
    }

    /// The row of an item's position, if it is dirty.
    pub fn slot(&self, item: usize, position: usize) -> Option<usize> {
        match self.slots[item * self.n_ctx + position] {
            CLEAN => None,
            slot => Some(slot as usize),
        }
    }

    /// The rows of all positions, `[items, n_ctx]`.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }
}
