//! One pass over a slice of items: every layer in turn, over only the rows that can differ from
//! what is already known.
//!
//! A row is *dirty* at a layer when its residual there differs from that of the item's base run. A
//! layer computes keys and values of its dirty rows, and queries, attention and MLP of the rows at
//! or after an item's first dirty row (attention looks back, so earlier rows cannot change),
//! limited to the rows that are needed later. An item without a base run is dirty everywhere; base
//! runs themselves are computed this way. Where such items have a common prefix, its rows are
//! computed once.

use std::ops::Range;

use super::attention::{Asking, attend};
use super::base::{Base, Cache, LayerCache};
use super::blocks::Packed;
use super::intervention::{Intervention, Overwrite};
use super::matrix::Onto;
use super::record::Record;
use super::rows::{Needed, Overlay, Rows, shared_with_the_one_before};
use super::sites::{Points, ReplacedRows};
use crate::domain::arithmetic::Token;
use crate::domain::shape::D_VOCAB;
use crate::domain::site::Point;

/// Values of the widest activation that are processed together: few enough to stay in a core's own
/// cache between matrices.
const BLOCK_VALUES: usize = 112 * 1024;

/// One item of a pass.
pub(super) struct Item<'a> {
    /// The base run's cache and the question's index in it.
    pub base: Option<(&'a Cache, usize)>,
    pub intervention: &'a Intervention<'a>,
}

/// The state of a pass; each further step adds later positions.
pub(super) struct Pass<'p, 'a> {
    pub(super) packed: &'p Packed,
    pub(super) needed: Needed,
    pub(super) items: &'p [Item<'a>],
    /// The input tokens of each item, `[items, n_ctx]`.
    tokens: Vec<Token>,
    /// Positions that each item shares with the previous one, whose rows it uses.
    shared: Vec<usize>,
    pub(super) overlays: Vec<Overlay>,
    /// The rows of each layer where what enters it is overwritten.
    pub(super) replaced: Vec<ReplacedRows>,
    /// Where any item overwrites.
    pub(super) overwritten: Points,
    /// How many of each item's overwrites were applied.
    pub fired: Vec<usize>,
}

/// Rows of a layer before its heads.
pub(super) struct Entering {
    /// Residuals of the dirty rows of this step, `[rows, d_model]`.
    x: Vec<f32>,
    /// The slot of the first of them.
    first_slot: usize,
    /// Queries of the rows that need one, `[querying rows, heads]`.
    query: Vec<f32>,
    /// The index of a row in `query`, `[rows]`.
    query_of: Vec<u32>,
}

impl<'p, 'a: 'p> Pass<'p, 'a> {
    /// A pass over `items` with the input `tokens`, `[items, n_ctx]`.
    pub fn new(
        packed: &'p Packed,
        needed: Needed,
        items: &'p [Item<'a>],
        tokens: Vec<Token>,
    ) -> Self {
        let n_ctx = packed.shape.n_ctx();
        let overlays = (0..packed.shape.n_layers)
            .map(|_| Overlay::new(items.len(), n_ctx))
            .collect();
        // Sites that cannot affect an answer count as overwritten without being computed.
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
            shared: vec![0; items.len()],
            tokens,
            overlays,
            replaced: (0..packed.shape.n_layers)
                .map(|_| ReplacedRows::new())
                .collect(),
            overwritten: Points::of(items.iter().flat_map(|item| {
                let overwrites = item.intervention.overwrites().iter();
                overwrites.map(|overwrite| overwrite.site)
            })),
            fired,
        }
    }

    /// Computes the common prefix of consecutive items once. They have no base run and no
    /// intervention, and all their rows are computed in one step.
    pub fn share(&mut self) {
        self.shared = shared_with_the_one_before(&self.tokens, self.packed.shape.n_ctx());
    }

    /// Positions up to the last one that affects anything needed.
    pub fn extent(&self) -> usize {
        self.needed.extent(0)
    }

    /// How many positions each item shares with the previous one.
    pub fn shared(&self) -> &[usize] {
        &self.shared
    }

    /// Replaces an input token of an item.
    pub fn read(&mut self, item: usize, position: usize, token: Token) {
        self.tokens[item * self.packed.shape.n_ctx() + position] = token;
    }

    pub(super) fn token(&self, item: usize, position: usize) -> Token {
        self.tokens[item * self.packed.shape.n_ctx() + position]
    }

    fn base(&self, item: usize) -> Base<'a> {
        let (cache, question) = self.items[item]
            .base
            .expect("a row without a base run is dirty");
        Base::new(cache, question)
    }

    /// Runs every layer over the positions of `window`, and returns the rows leaving the last one.
    pub fn step(&mut self, window: Range<usize>, record: &mut Record) -> Rows {
        let mut rows = Rows {
            at: self.changed(&window),
            x: Vec::new(),
        };
        for layer in 0..self.packed.shape.n_layers {
            rows = self.layer(layer, rows, &window, record);
        }
        rows
    }

    /// The rows whose token differs from the base run's.
    fn changed(&self, window: &Range<usize>) -> Vec<(usize, usize)> {
        let mut changed = Vec::new();
        for (item, &Item { base, .. }) in self.items.iter().enumerate() {
            let clean =
                base.map(|(cache, question)| Base::new(cache, question).tokens(self.packed));
            for position in window.start.max(self.shared[item])..window.end {
                if clean.is_none_or(|clean| clean[position] != self.token(item, position)) {
                    changed.push((item, position));
                }
            }
        }
        changed
    }

    fn layer(
        &mut self,
        layer: usize,
        mut rows: Rows,
        window: &Range<usize>,
        record: &mut Record,
    ) -> Rows {
        let packed = self.packed;
        let shape = packed.shape;
        let d = shape.d_model;
        rows.keep_before(self.needed.extent(layer), d);
        let first_slot = self.overlays[layer].insert(&rows.at, &self.shared);
        let entering = match layer {
            0 => Entering {
                x: Vec::new(),
                first_slot,
                query: Vec::new(),
                query_of: Vec::new(),
            },
            _ => self.enter(layer, &rows.at, rows.x, first_slot),
        };
        self.replace_entering(layer, window, &entering);
        self.record_entering(layer, &rows.at, &entering, record);
        let at = self.asking_rows(layer, window);
        let mut x = vec![0.0; at.len() * d];
        if !record.ends_before_heads(layer, &shape) {
            let height = block_height(packed);
            for (at, x) in at.chunks(height).zip(x.chunks_mut(height * d)) {
                self.block(layer, at, &entering, x, record);
            }
        }
        if let Record::Base(cache) = record
            && layer > 0
        {
            let overlay = &mut self.overlays[layer];
            cache.row_of = overlay.slots().to_vec();
            cache.layers.push(LayerCache {
                x: entering.x,
                key_value: std::mem::take(&mut overlay.key_value),
                query: entering.query,
                query_of: entering.query_of,
            });
        }
        Rows { at, x }
    }

    /// Keys, values and queries of the dirty rows.
    fn enter(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        x: Vec<f32>,
        first_slot: usize,
    ) -> Entering {
        let packed = self.packed;
        let (d, heads) = (packed.shape.d_model, packed.heads.total());
        let block = &packed.blocks[layer];
        let needed = |&(_, position): &(usize, usize)| self.needed.at(layer, position);
        let mut asking = 0;
        let query_of = at
            .iter()
            .map(|at| {
                let query = if needed(at) { asking } else { u32::MAX };
                asking += u32::from(needed(at));
                query
            })
            .collect();

        let key_value = &mut self.overlays[layer].key_value;
        let known = key_value.len();
        key_value.resize(known + at.len() * 2 * heads, 0.0);
        let mut query = vec![0.0; asking as usize * heads];
        let mut queries = query.as_mut_slice();
        let height = block_height(packed);
        let mut normed = vec![0.0; height.min(at.len()) * d];
        let inputs = at.chunks(height).zip(x.chunks(height * d));
        let outputs = key_value[known..].chunks_mut(height * 2 * heads);
        for ((at, x), key_value) in inputs.zip(outputs) {
            let normed = &mut normed[..x.len()];
            block.ln1.apply_to(x, normed);
            let bias = Onto::Bias(&block.key_value_bias);
            block.key_value.multiply(normed, bias, key_value);

            // Move the querying rows to the front.
            let mut asking = 0;
            for row in (0..at.len()).filter(|&row| needed(&at[row])) {
                normed.copy_within(row * d..(row + 1) * d, asking * d);
                asking += 1;
            }
            let (these, rest) = queries.split_at_mut(asking * heads);
            let bias = Onto::Bias(&block.query_bias);
            (block.query).multiply(&normed[..asking * d], bias, these);
            queries = rest;
        }
        Entering {
            x,
            first_slot,
            query,
            query_of,
        }
    }

    /// The rows of a layer whose output can differ from the base run's and is needed.
    fn asking_rows(&self, layer: usize, window: &Range<usize>) -> Vec<(usize, usize)> {
        let shape = self.packed.shape;
        let mut at = Vec::new();
        for (item, first) in self.overlays[layer].first_dirty.iter().enumerate() {
            let overwrites = self.items[item].intervention.overwrites();
            for position in window.start.max(self.shared[item])..window.end {
                let overwritten = || {
                    overwrites
                        .iter()
                        .any(|o| o.site.layer_in(&shape) == layer && o.site.position() == position)
                };
                if self.needed.at(layer, position) && (position >= *first || overwritten()) {
                    at.push((item, position));
                }
            }
        }
        at
    }

    /// Heads and MLP for some rows: turns the residuals entering the layer, `x`, into those leaving
    /// it.
    fn block(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        entering: &Entering,
        x: &mut [f32],
        record: &mut Record,
    ) {
        let packed = self.packed;
        let shape = packed.shape;
        let (d, d_mlp) = (shape.d_model, shape.d_mlp);
        let block = &packed.blocks[layer];

        let patterns = self.take(Point::Pattern, layer, at);
        let mut z = self.attention(layer, at, entering, &patterns, record);
        self.overwrite(Point::Z, layer, at, &mut z);
        record.store(Point::Z, layer, at, &z, &shape);
        if record.ends_with_heads(layer, &shape) {
            return;
        }

        for (&(item, position), x) in at.iter().zip(x.chunks_exact_mut(d)) {
            x.copy_from_slice(self.entering_x(layer, item, position, entering));
        }
        (block.output).multiply(&z, Onto::ResultAnd(&block.output_bias), x);
        self.attention_out(layer, at, &z, entering, x, record);
        self.overwrite(Point::ResidMid, layer, at, x);
        record.store(Point::ResidMid, layer, at, x, &shape);

        let mut normed = block.ln2.apply(x);
        self.overwrite(Point::Ln2, layer, at, &mut normed);
        record.store(Point::Ln2, layer, at, &normed, &shape);
        let mut hidden = vec![0.0; at.len() * d_mlp];
        (block.mlp_in).multiply_relu(&normed, Onto::Bias(&block.mlp_in_bias), &mut hidden);
        self.before_relu(layer, at, &normed, &mut hidden, record);
        self.overwrite(Point::Post, layer, at, &mut hidden);
        record.store(Point::Post, layer, at, &hidden, &shape);

        let before = self.overwritten.has(Point::MlpOut).then(|| x.to_vec());
        (block.mlp_out).multiply(&hidden, Onto::ResultAnd(&block.mlp_out_bias), x);
        self.mlp_out(layer, at, &hidden, before, x, record);
        self.overwrite(Point::ResidPost, layer, at, x);
        record.store(Point::ResidPost, layer, at, x, &shape);
    }

    pub(super) fn entering_x<'e>(
        &'e self,
        layer: usize,
        item: usize,
        position: usize,
        entering: &'e Entering,
    ) -> &'e [f32]
    where
        'p: 'e,
    {
        if let Some(replaced) = self.replaced[layer].get(&(item, position)) {
            return &replaced.x;
        }
        let packed = self.packed;
        let d = packed.shape.d_model;
        if layer == 0 {
            return (packed.embedding).row(position, self.token(item, position));
        }
        match self.overlays[layer].slot(item, position) {
            Some(slot) => &entering.x[(slot - entering.first_slot) * d..][..d],
            None => self.base(item).x(packed, layer, position),
        }
    }

    pub(super) fn query<'e>(
        &'e self,
        layer: usize,
        item: usize,
        position: usize,
        entering: &'e Entering,
    ) -> &'e [f32]
    where
        'p: 'e,
    {
        if let Some(replaced) = self.replaced[layer].get(&(item, position)) {
            return &replaced.query;
        }
        let packed = self.packed;
        let heads = packed.heads.total();
        if layer == 0 {
            return (packed.first_query).row(position, self.token(item, position));
        }
        match self.overlays[layer].slot(item, position) {
            Some(slot) => {
                let query = entering.query_of[slot - entering.first_slot] as usize;
                &entering.query[query * heads..][..heads]
            }
            None => self.base(item).query(packed, layer, position),
        }
    }

    pub(super) fn key_value(&self, layer: usize, item: usize, position: usize) -> &[f32] {
        if let Some(replaced) = self.replaced[layer].get(&(item, position)) {
            return &replaced.key_value;
        }
        let packed = self.packed;
        let width = 2 * packed.heads.total();
        if layer == 0 {
            return (packed.first_key_value).row(position, self.token(item, position));
        }
        match self.overlays[layer].slot(item, position) {
            Some(slot) => &self.overlays[layer].key_value[slot * width..][..width],
            None => self.base(item).key_value(packed, layer, position),
        }
    }

    /// Every head's weighted values for some rows, `[rows, n_heads * d_head]`.
    fn attention(
        &self,
        layer: usize,
        at: &[(usize, usize)],
        entering: &Entering,
        patterns: &[(usize, Overwrite)],
        record: &mut Record,
    ) -> Vec<f32> {
        let heads = self.packed.heads;
        let mut looked_at = Vec::new();
        let mut asking = Vec::with_capacity(at.len());
        for rows in at.chunk_by(|(a, _), (b, _)| a == b) {
            let first = looked_at.len();
            for &(item, position) in rows {
                let known = looked_at.len() - first;
                looked_at
                    .extend((known..=position).map(|source| self.key_value(layer, item, source)));
                asking.push(Asking {
                    query: self.query(layer, item, position, entering),
                    first,
                    count: position + 1,
                });
            }
        }
        let mut z = vec![0.0; at.len() * heads.results()];
        {
            let mut weighed = record.weighed(layer, at, &self.packed.shape);
            let weighed = weighed
                .as_mut()
                .map(|w| w as &mut dyn FnMut(usize, usize, &[f32]));
            attend(heads, &asking, &looked_at, &mut z, weighed);
        }
        let rows = (&asking[..], &looked_at[..]);
        self.weigh_again(layer, at, rows, patterns, &mut z, record);
        z
    }

    /// Applies the overwrites at a point of `layer` to its values in some rows, each with all heads
    /// side by side.
    fn overwrite(&mut self, point: Point, layer: usize, at: &[(usize, usize)], values: &mut [f32]) {
        let width = values.len() / at.len().max(1);
        for (row, Overwrite { site, value, .. }) in self.take(point, layer, at) {
            values[row * width..][site.part(&self.packed.shape)].copy_from_slice(value);
        }
    }

    /// What the logits of the rows leaving the last layer are read from, `[rows, d_model]`.
    fn normed(&mut self, rows: &Rows) -> Vec<f32> {
        let mut normed = self.packed.ln_final.apply(&rows.x);
        let last = self.packed.shape.n_layers - 1;
        self.overwrite(Point::LnFinal, last, &rows.at, &mut normed);
        normed
    }

    /// Records what the logits of the rows leaving the last layer are read from.
    pub fn record_final(&mut self, rows: &Rows, record: &mut Record) {
        let shape = self.packed.shape;
        let last = shape.n_layers - 1;
        if !record
            .rows(Point::LnFinal, last, &rows.at, &shape)
            .is_empty()
        {
            let normed = self.normed(rows);
            record.store(Point::LnFinal, last, &rows.at, &normed, &shape);
        }
    }

    /// The logits of the rows leaving the last layer, with the item and position of each.
    pub fn logits(&mut self, rows: &Rows) -> Vec<((usize, usize), [f32; D_VOCAB])> {
        let normed = self.normed(rows);
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

/// Rows that are processed together through a layer: whole tiles of a product.
fn block_height(packed: &Packed) -> usize {
    let shape = packed.shape;
    let widest = shape.d_mlp.max(2 * packed.heads.total());
    let rows = BLOCK_VALUES / widest;
    rows.next_multiple_of(super::matrix::TALLEST)
}
