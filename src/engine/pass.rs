//! One pass over a slice of items: every layer in turn, over just the rows that can differ from what
//! is already known.
//!
//! A row is one token position of one item. A row is *dirty* at a layer when its residual there is
//! not that of the item's base run. A layer computes keys and values of its dirty rows, and queries,
//! attention and MLP of the rows at or after an item's first dirty row (attention looks back, so
//! nothing before can change), limited to the rows that are needed later. An item without a base run
//! is dirty everywhere, which is how base runs themselves are made.

use std::ops::Range;

use super::blocks::Packed;
use super::intervention::{Intervention, Overwrite, Site};
use super::matrix::{add_scaled, dot, softmax};
use crate::arithmetic::Token;
use crate::shape::D_VOCAB;

/// What a base run keeps of one slice of questions, per layer.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Tokens, `[questions, n_ctx]`.
    pub tokens: Vec<Token>,
    pub layers: Vec<LayerCache>,
}

/// Rows are `question * positions + position`, positions being all but the last, whose logits
/// predict nothing.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    /// Residual entering the layer, `[rows, d_model]`.
    pub x: Vec<f32>,
    /// Queries, `[rows, heads]`; in the last layer filled at answer positions alone.
    pub query: Vec<f32>,
    /// Keys and values, `[rows, 2 * heads]`.
    pub key_value: Vec<f32>,
}

/// One item of a pass.
pub(super) struct Item<'a> {
    /// The base run's cache and the question's place in it.
    pub base: Option<(&'a Cache, usize)>,
    /// What is overwritten.
    pub intervention: &'a Intervention<'a>,
}

/// Which rows each layer must compute queries for, `[n_layers][n_ctx]`.
pub(super) struct Needed(Vec<Vec<bool>>);

impl Needed {
    /// What the answer tokens hang on: every live position, in the last layer those that predict.
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

    /// What the activations at `sites` hang on.
    pub fn for_sites(packed: &Packed, sites: &[Site]) -> Self {
        let shape = packed.shape;
        let needed = |layer: usize, position: usize| {
            sites.iter().any(|site| {
                (site.layer() > layer && position <= site.position())
                    || (site.layer() == layer && position == site.position())
            })
        };
        Needed(
            (0..shape.n_layers)
                .map(|layer| (0..shape.n_ctx()).map(|p| needed(layer, p)).collect())
                .collect(),
        )
    }

    /// Positions up to the last one needed at a layer: those whose keys and values count.
    pub fn extent(&self, layer: usize) -> usize {
        self.0[layer]
            .iter()
            .rposition(|&needed| needed)
            .map_or(0, |last| last + 1)
    }
}

/// What a pass writes down on its way.
pub(super) enum Record<'r> {
    /// Nothing but the logits.
    Nothing,
    /// Everything later runs need.
    Base(&'r mut Cache),
    /// Activations at sites, `values[site]` being `[items, width]`.
    Sites {
        sites: &'r [Site],
        values: &'r mut [Vec<f32>],
    },
    /// Attention weights summed over items, `[n_layers, n_heads, n_ctx, n_ctx]`.
    Attention(&'r mut [f64]),
}

/// Rows of a layer with their residual.
#[derive(Default)]
pub(super) struct Rows {
    /// (item, position), sorted.
    at: Vec<(usize, usize)>,
    /// `[rows, d_model]`
    x: Vec<f32>,
}

/// Keys and values that differ from the base runs', for one layer.
struct Overlay {
    /// Row of `key_value` for item and position, or `CLEAN`.
    slot: Vec<u32>,
    /// `[rows, 2 * heads]`
    key_value: Vec<f32>,
    /// Each item's first dirty position; `usize::MAX` where it has none.
    first_dirty: Vec<usize>,
}

const CLEAN: u32 = u32::MAX;

/// The state of a pass; stepping it again adds later positions to it.
pub(super) struct Pass<'p, 'a> {
    packed: &'p Packed,
    needed: Needed,
    items: &'p [Item<'a>],
    overlays: Vec<Overlay>,
    /// How many of each item's overwrites were applied.
    pub fired: Vec<usize>,
}

impl<'p, 'a> Pass<'p, 'a> {
    pub fn new(packed: &'p Packed, needed: Needed, items: &'p [Item<'a>]) -> Self {
        let n_ctx = packed.shape.n_ctx();
        let overlays = (0..packed.shape.n_layers)
            .map(|_| Overlay {
                slot: vec![CLEAN; items.len() * n_ctx],
                key_value: Vec::new(),
                first_dirty: vec![usize::MAX; items.len()],
            })
            .collect();
        // What cannot reach an answer is overwritten without being computed.
        let fired = items
            .iter()
            .map(|item| {
                let dead = |o: &&Overwrite| {
                    o.site.is_in(&packed.shape) && !o.site.reaches_an_answer(&packed.shape)
                };
                item.intervention.overwrites().iter().filter(dead).count()
            })
            .collect();
        Pass {
            packed,
            needed,
            items,
            overlays,
            fired,
        }
    }

    /// The rows entering layer 0 for items and positions whose token is not the base run's.
    pub fn embed(&self, at: Vec<(usize, usize)>, token: impl Fn(usize, usize) -> Token) -> Rows {
        let mut x = Vec::with_capacity(at.len() * self.packed.shape.d_model);
        for &(item, position) in &at {
            x.extend_from_slice(
                self.packed
                    .embedding
                    .row(embedding_row(position, token(item, position))),
            );
        }
        Rows { at, x }
    }

    /// Runs every layer over the positions of `window`, and returns the rows leaving the last one.
    /// `token` tells the token of the rows in `rows`.
    pub fn step(
        &mut self,
        mut rows: Rows,
        window: Range<usize>,
        token: impl Fn(usize, usize) -> Token,
        record: &mut Record,
    ) -> Rows {
        for layer in 0..self.packed.shape.n_layers {
            rows = self.layer(layer, rows, &window, &token, record);
        }
        rows
    }

    fn layer(
        &mut self,
        layer: usize,
        mut rows: Rows,
        window: &Range<usize>,
        token: &impl Fn(usize, usize) -> Token,
        record: &mut Record,
    ) -> Rows {
        let packed = self.packed;
        let shape = packed.shape;
        let (d, heads) = (shape.d_model, shape.d_heads());
        let block = &packed.blocks[layer];
        rows.keep_before(self.needed.extent(layer), d);

        let normed = match layer {
            0 => Vec::new(),
            _ => block.ln1.apply(&rows.x),
        };
        let key_value = if layer == 0 {
            let table = &packed.first_key_value;
            rows.gather(|item, position| table.row(embedding_row(position, token(item, position))))
        } else {
            block.key_value.apply(&normed, &block.key_value_bias)
        };
        let first_slot =
            self.overlays[layer].insert(&rows.at, &key_value, shape.n_ctx(), 2 * heads);

        // Which rows are computed, and which of them are dirty.
        let at = self.query_rows(layer, window);
        let dirty: Vec<Option<usize>> = at
            .iter()
            .map(|&(item, position)| {
                let slot = self.overlays[layer].slot[item * shape.n_ctx() + position];
                (slot != CLEAN && slot >= first_slot).then(|| (slot - first_slot) as usize)
            })
            .collect();

        let own_query = if layer == 0 {
            None
        } else {
            let inputs: Vec<f32> = dirty
                .iter()
                .flatten()
                .flat_map(|&row| &normed[row * d..][..d])
                .copied()
                .collect();
            Some(block.query.apply(&inputs, &block.query_bias))
        };
        let mut next_own = 0;
        let mut query = Vec::with_capacity(at.len() * heads);
        let mut x = Vec::with_capacity(at.len() * d);
        for (&(item, position), dirty) in at.iter().zip(&dirty) {
            match (dirty, &own_query) {
                (Some(row), Some(own)) => {
                    query.extend_from_slice(&own[next_own * heads..][..heads]);
                    next_own += 1;
                    x.extend_from_slice(&rows.x[row * d..][..d]);
                }
                (Some(row), None) => {
                    let table_row = embedding_row(position, token(item, position));
                    query.extend_from_slice(packed.first_query.row(table_row));
                    x.extend_from_slice(&rows.x[row * d..][..d]);
                }
                (None, _) => {
                    let (base, row) = self.base_row(layer, item, position);
                    query.extend_from_slice(&base.query[row * heads..][..heads]);
                    x.extend_from_slice(&base.x[row * d..][..d]);
                }
            }
        }
        if let Record::Base(cache) = record {
            cache.layers.push(LayerCache {
                query: spread(&rows.at, &at, &query, heads),
                x: rows.x,
                key_value,
            });
        }

        let mut z = self.attention(layer, &at, &query, record);
        self.overwrite(layer, &at, &mut z, |site| match site {
            Site::Node(node) => node.head().map(|head| (head * shape.d_head, heads)),
            Site::Residual { .. } => None,
        });
        record.store(layer, &at, &z, heads, |site| match site {
            Site::Node(node) => node
                .head()
                .map(|head| head * shape.d_head..(head + 1) * shape.d_head),
            Site::Residual { .. } => None,
        });
        if record.ends_with_heads(layer) {
            return Rows::default();
        }

        add_to_each_row(&mut x, &block.output_bias);
        block.output.accumulate(&z, &mut x);

        let mut hidden = block.mlp_in.apply(&block.ln2.apply(&x), &block.mlp_in_bias);
        for value in &mut hidden {
            *value = value.max(0.0);
        }
        let d_mlp = shape.d_mlp;
        self.overwrite(layer, &at, &mut hidden, |site| match site {
            Site::Node(node) if node.head().is_none() => Some((0, d_mlp)),
            _ => None,
        });
        record.store(layer, &at, &hidden, d_mlp, |site| match site {
            Site::Node(node) if node.head().is_none() => Some(0..d_mlp),
            _ => None,
        });

        add_to_each_row(&mut x, &block.mlp_out_bias);
        block.mlp_out.accumulate(&hidden, &mut x);
        self.overwrite(layer, &at, &mut x, |site| {
            matches!(site, Site::Residual { .. }).then_some((0, d))
        });
        record.store(layer, &at, &x, d, |site| {
            matches!(site, Site::Residual { .. }).then_some(0..d)
        });
        Rows { at, x }
    }

    /// The rows of a layer whose output can differ from the base run's and is needed.
    fn query_rows(&self, layer: usize, window: &Range<usize>) -> Vec<(usize, usize)> {
        let mut at = Vec::new();
        for (item, first) in self.overlays[layer].first_dirty.iter().enumerate() {
            let overwrites = self.items[item].intervention.overwrites();
            for position in window.clone() {
                let overwritten = || {
                    overwrites
                        .iter()
                        .any(|o| o.site.layer() == layer && o.site.position() == position)
                };
                if self.needed.0[layer][position] && (position >= *first || overwritten()) {
                    at.push((item, position));
                }
            }
        }
        at
    }

    fn base_row(&self, layer: usize, item: usize, position: usize) -> (&'a LayerCache, usize) {
        let (cache, question) = self.items[item]
            .base
            .expect("a row without a base run is dirty");
        let positions = self.packed.shape.n_ctx() - 1;
        (&cache.layers[layer], question * positions + position)
    }

    /// Every head's weighted values for each query row, `[rows, heads]`.
    fn attention(
        &self,
        layer: usize,
        at: &[(usize, usize)],
        query: &[f32],
        record: &mut Record,
    ) -> Vec<f32> {
        let shape = self.packed.shape;
        let (heads, d_head, n_ctx) = (shape.d_heads(), shape.d_head, shape.n_ctx());
        let overlay = &self.overlays[layer];
        let mut z = vec![0.0; at.len() * heads];
        let mut sources: Vec<&[f32]> = Vec::with_capacity(n_ctx);
        let mut weights = vec![0f32; n_ctx];
        for (row, &(item, position)) in at.iter().enumerate() {
            sources.clear();
            sources.extend((0..=position).map(|source| {
                match overlay.slot[item * n_ctx + source] {
                    CLEAN => {
                        let (base, row) = self.base_row(layer, item, source);
                        &base.key_value[row * 2 * heads..][..2 * heads]
                    }
                    slot => &overlay.key_value[slot as usize * 2 * heads..][..2 * heads],
                }
            }));
            for head in 0..shape.n_heads {
                let part = head * d_head..(head + 1) * d_head;
                let query = &query[row * heads..][part.clone()];
                let weights = &mut weights[..=position];
                for (weight, source) in weights.iter_mut().zip(&sources) {
                    *weight = dot(query, &source[part.clone()]);
                }
                softmax(weights);
                let out = &mut z[row * heads..][part.clone()];
                for (&weight, source) in weights.iter().zip(&sources) {
                    add_scaled(out, weight, &source[heads..][part.clone()]);
                }
                if let Record::Attention(sums) = record {
                    let start = ((layer * shape.n_heads + head) * n_ctx + position) * n_ctx;
                    for (sum, &weight) in sums[start..].iter_mut().zip(weights.iter()) {
                        *sum += f64::from(weight);
                    }
                }
            }
        }
        z
    }

    /// Applies the overwrites of `layer` that `place` gives a start and a row width for.
    fn overwrite(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        values: &mut [f32],
        place: impl Fn(&Site) -> Option<(usize, usize)>,
    ) {
        for (item, fired) in self.fired.iter_mut().enumerate() {
            for overwrite in self.items[item].intervention.overwrites() {
                // A head that only a larger network has would lie on the next row.
                if overwrite.site.layer() != layer || !overwrite.site.is_in(&self.packed.shape) {
                    continue;
                }
                let Some((start, width)) = place(&overwrite.site) else {
                    continue;
                };
                if let Ok(row) = at.binary_search(&(item, overwrite.site.position())) {
                    values[row * width + start..][..overwrite.value.len()]
                        .copy_from_slice(overwrite.value);
                    *fired += 1;
                }
            }
        }
    }

    /// The logits of the rows that leave the last layer, with the item and position of each.
    pub fn logits(&self, rows: &Rows) -> Vec<((usize, usize), [f32; D_VOCAB])> {
        let normed = self.packed.ln_final.apply(&rows.x);
        let logits = self
            .packed
            .unembed
            .apply(&normed, &self.packed.unembed_bias);
        let (logits, _) = logits.as_chunks::<D_VOCAB>();
        rows.at
            .iter()
            .copied()
            .zip(logits.iter().copied())
            .collect()
    }
}

/// The row of the layer-0 tables for a token at a position.
fn embedding_row(position: usize, token: Token) -> usize {
    position * D_VOCAB + token as usize
}

fn add_to_each_row(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        add_scaled(row, 1.0, bias);
    }
}

/// Query rows laid out over all dirty rows, zeros where none was computed.
fn spread(all: &[(usize, usize)], at: &[(usize, usize)], rows: &[f32], width: usize) -> Vec<f32> {
    if all.len() == at.len() {
        return rows.to_vec();
    }
    let mut spread = vec![0.0; all.len() * width];
    for (row, at) in at.iter().enumerate() {
        let to = all
            .binary_search(at)
            .expect("every query row of a base run is dirty");
        spread[to * width..][..width].copy_from_slice(&rows[row * width..][..width]);
    }
    spread
}

impl Rows {
    /// Drops the rows at or after `extent`.
    fn keep_before(&mut self, extent: usize, d_model: usize) {
        if self.at.iter().all(|&(_, position)| position < extent) {
            return;
        }
        let mut kept = Rows::default();
        for (row, &(item, position)) in self.at.iter().enumerate() {
            if position < extent {
                kept.at.push((item, position));
                kept.x
                    .extend_from_slice(&self.x[row * d_model..][..d_model]);
            }
        }
        *self = kept;
    }

    fn gather<'t>(&self, row: impl Fn(usize, usize) -> &'t [f32]) -> Vec<f32> {
        self.at
            .iter()
            .flat_map(|&(item, position)| row(item, position))
            .copied()
            .collect()
    }
}

impl Overlay {
    /// Adds rows and returns the slot of the first.
    fn insert(
        &mut self,
        at: &[(usize, usize)],
        key_value: &[f32],
        n_ctx: usize,
        width: usize,
    ) -> u32 {
        let first_slot = (self.key_value.len() / width) as u32;
        self.key_value.extend_from_slice(key_value);
        for (row, &(item, position)) in at.iter().enumerate() {
            self.slot[item * n_ctx + position] = first_slot + row as u32;
            self.first_dirty[item] = self.first_dirty[item].min(position);
        }
        first_slot
    }
}

impl Record<'_> {
    /// Keeps the part of each site of `layer` that `part` finds in rows of `width` values.
    fn store(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        rows: &[f32],
        width: usize,
        part: impl Fn(&Site) -> Option<Range<usize>>,
    ) {
        let Record::Sites { sites, values } = self else {
            return;
        };
        for (site, values) in sites.iter().zip(values.iter_mut()) {
            if site.layer() != layer {
                continue;
            }
            let Some(part) = part(site) else { continue };
            for (row, (_, position)) in at.iter().enumerate() {
                if *position == site.position() {
                    values.extend_from_slice(&rows[row * width..][part.clone()]);
                }
            }
        }
    }

    /// Whether nothing after the heads of `layer` is asked for.
    fn ends_with_heads(&self, layer: usize) -> bool {
        match self {
            Record::Sites { sites, .. } => sites.iter().all(|site| match site {
                Site::Node(node) if node.head().is_some() => site.layer() <= layer,
                _ => site.layer() < layer,
            }),
            _ => false,
        }
    }
}
