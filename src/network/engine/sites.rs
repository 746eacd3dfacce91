//! What a pass does at sites other than the results of heads and MLPs and the stream leaving a layer:
//! those are on its way, these are computed only in rows where one is replaced or recorded.

use std::collections::BTreeMap;
use std::ops::Range;

use super::attention::{Asking, attend};
use super::intervention::Overwrite;
use super::pass::{Entering, Item, Pass};
use super::record::Record;
use crate::domain::shape::Shape;
use crate::domain::site::{Point, Site};

/// The points of a set of sites.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Points(u32);

impl Points {
    pub fn of(sites: impl IntoIterator<Item = Site>) -> Self {
        let mut points = Points::default();
        for site in sites {
            points.0 |= 1 << site.point() as u32;
        }
        points
    }

    pub fn has(self, point: Point) -> bool {
        self.0 & 1 << point as u32 != 0
    }

    /// Whether one is before the heads attend.
    fn any_entering(self) -> bool {
        self.0 & ((1 << Point::Pattern as u32) - 1) != 0
    }
}

/// What enters a layer at one row, where something of it is replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    /// Token and position embedding, `[d_model]` each, before the first layer.
    embeddings: Option<[Vec<f32>; 2]>,
    /// Residual stream, `[d_model]`.
    pub x: Vec<f32>,
    /// What attention reads, `[d_model]`.
    normed: Vec<f32>,
    /// All heads' queries, `[heads]`; empty where none is needed.
    pub query: Vec<f32>,
    /// All heads' keys, then all heads' values, `[2 * heads]`.
    pub key_value: Vec<f32>,
}

/// The replaced rows of a layer, by item and position.
pub(super) type ReplacedRows = BTreeMap<(usize, usize), Replaced>;

/// Values computed for some rows only.
struct Demanded {
    /// Indices of the rows.
    rows: Vec<usize>,
    /// `[rows, width]`
    values: Vec<f32>,
    /// Those of the rows where a value is replaced.
    replaced: Vec<usize>,
}

impl Demanded {
    /// Computes a point in the rows where it is replaced or recorded, replaces and records.
    fn new(
        (layer, point): (usize, Point),
        at: &[(usize, usize)],
        overwrites: &[(usize, Overwrite)],
        record: &mut Record,
        shape: &Shape,
        compute: impl FnOnce(&[usize]) -> Vec<f32>,
    ) -> Self {
        let mut replaced: Vec<usize> = overwrites.iter().map(|&(row, _)| row).collect();
        replaced.dedup();
        let mut rows = replaced.clone();
        rows.extend(record.rows(point, layer, at, shape));
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() {
            let values = Vec::new();
            return Demanded {
                rows,
                values,
                replaced,
            };
        }
        let mut values = compute(&rows);
        let width = values.len() / rows.len();
        for (row, Overwrite { site, value, .. }) in overwrites {
            let row = rows.binary_search(row).expect("it was asked for");
            values[row * width..][site.part(shape)].copy_from_slice(value);
        }
        let places: Vec<_> = rows.iter().map(|&row| at[row]).collect();
        record.store(point, layer, &places, &values, shape);
        Demanded {
            rows,
            values,
            replaced,
        }
    }

    /// The values of the rows where one is replaced, with the index of each.
    fn replaced(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let width = self.values.len() / self.rows.len().max(1);
        self.replaced.iter().map(move |&row| {
            let index = self.rows.binary_search(&row).expect("it is one of them");
            (row, &self.values[index * width..][..width])
        })
    }
}

/// Some rows of a matrix of rows of `width`.
fn gather(values: &[f32], rows: &[usize], width: usize) -> Vec<f32> {
    let rows = rows.iter();
    rows.flat_map(|&row| &values[row * width..][..width])
        .copied()
        .collect()
}

fn add(to: &mut [f32], a: &[f32], b: &[f32]) {
    for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(b)) {
        *to = a + b;
    }
}

impl<'p, 'a: 'p> Pass<'p, 'a> {
    /// The overwrites at a point of a layer in some rows, each with its row, by row. They count as made.
    pub(super) fn take(
        &mut self,
        point: Point,
        layer: usize,
        at: &[(usize, usize)],
    ) -> Vec<(usize, Overwrite<'a>)> {
        let mut taken = Vec::new();
        let (Some(&(first, _)), Some(&(last, _))) = (at.first(), at.last()) else {
            return taken;
        };
        if !self.overwritten.has(point) {
            return taken;
        }
        let shape = self.packed.shape;
        for item in first..=last {
            for overwrite in self.items[item].intervention.overwrites() {
                let site = overwrite.site;
                // A head that exists only in a larger network would write into the next row.
                if site.point() != point || site.layer_in(&shape) != layer || !site.is_in(&shape) {
                    continue;
                }
                if let Ok(row) = at.binary_search(&(item, site.position())) {
                    taken.push((row, *overwrite));
                    self.fired[item] += 1;
                }
            }
        }
        taken
    }

    /// Replaces what enters a layer where an item overwrites it. Rows from there on can change.
    pub(super) fn replace_entering(
        &mut self,
        layer: usize,
        window: &Range<usize>,
        entering: &Entering,
    ) {
        if !self.overwritten.any_entering() {
            return;
        }
        let shape = self.packed.shape;
        let extent = self.needed.extent(layer).min(window.end);
        let mut replaced = Vec::new();
        for (item, Item { intervention, .. }) in self.items.iter().enumerate() {
            let here: Vec<Overwrite> = (intervention.overwrites().iter().copied())
                .filter(|Overwrite { site, .. }| {
                    let position = site.position();
                    site.point() < Point::Pattern
                        && site.layer_in(&shape) == layer
                        && site.is_in(&shape)
                        && (window.start..extent).contains(&position)
                        && (site.point() != Point::Q || self.needed.at(layer, position))
                })
                .collect();
            self.fired[item] += here.len();
            for here in here.chunk_by(|a, b| a.site.position() == b.site.position()) {
                let position = here[0].site.position();
                let row = self.replaced_row(layer, (item, position), entering, here);
                replaced.push(((item, position), row));
                if here.iter().any(|o| o.site.point() != Point::Q) {
                    let first = &mut self.overlays[layer].first_dirty[item];
                    *first = position.min(*first);
                }
            }
        }
        self.replaced[layer].extend(replaced);
    }

    fn replaced_row(
        &self,
        layer: usize,
        (item, position): (usize, usize),
        entering: &Entering,
        overwrites: &[Overwrite],
    ) -> Replaced {
        let packed = self.packed;
        let (shape, block) = (packed.shape, &packed.blocks[layer]);
        let write = |point: Point, row: &mut [f32]| {
            let here = overwrites.iter().filter(|o| o.site.point() == point);
            for Overwrite { site, value, .. } in here {
                row[site.columns(&shape)].copy_from_slice(value);
            }
        };
        let points = Points::of(overwrites.iter().map(|o| o.site));
        let mut x = self.entering_x(layer, item, position, entering).to_vec();
        let embeddings = (layer == 0).then(|| {
            let mut token = packed.token_embedding(self.token(item, position)).to_vec();
            let mut place = packed.position_embedding(position).to_vec();
            write(Point::Embed, &mut token);
            write(Point::PosEmbed, &mut place);
            [token, place]
        });
        if let Some([token, place]) = &embeddings
            && (points.has(Point::Embed) || points.has(Point::PosEmbed))
        {
            add(&mut x, token, place);
        }
        write(Point::ResidPre, &mut x);
        let mut normed = block.ln1.apply(&x);
        write(Point::Ln1, &mut normed);

        let asks = self.needed.at(layer, position);
        let stream = [Point::Embed, Point::PosEmbed, Point::ResidPre, Point::Ln1];
        let (mut query, mut key_value) = match stream.into_iter().any(|point| points.has(point)) {
            true => (
                (block.query).apply(&normed, &block.query_bias),
                (block.key_value).apply(&normed, &block.key_value_bias),
            ),
            false => (
                match asks {
                    true => self.query(layer, item, position, entering).to_vec(),
                    false => Vec::new(),
                },
                self.key_value(layer, item, position).to_vec(),
            ),
        };
        let (stride, total) = (packed.heads.stride(), packed.heads.total());
        let scale = 1.0 / (shape.d_head as f32).sqrt();
        for Overwrite { site, value, .. } in overwrites {
            let Some(head) = site.head() else { continue };
            let columns = site.columns(&shape);
            let at = head * stride + columns.start;
            match site.point() {
                Point::Q => {
                    let query = &mut query[at..at + columns.len()];
                    query
                        .iter_mut()
                        .zip(*value)
                        .for_each(|(q, v)| *q = v * scale);
                }
                Point::K => key_value[at..at + columns.len()].copy_from_slice(value),
                _ => key_value[total + at..][..columns.len()].copy_from_slice(value),
            }
        }
        Replaced {
            embeddings,
            x,
            normed,
            query,
            key_value,
        }
    }

    /// Records what enters a layer in some rows.
    pub(super) fn record_entering(
        &self,
        layer: usize,
        at: &[(usize, usize)],
        entering: &Entering,
        record: &mut Record,
    ) {
        let Record::Sites { sites, values, .. } = record else {
            return;
        };
        let packed = self.packed;
        let shape = packed.shape;
        let (stride, total) = (packed.heads.stride(), packed.heads.total());
        for (site, values) in sites.iter().zip(values.iter_mut()) {
            if site.point() >= Point::Pattern || site.layer_in(&shape) != layer {
                continue;
            }
            let columns = site.columns(&shape);
            let of_head = |row: &[f32], first: usize| {
                let start = first + site.head().unwrap_or(0) * stride;
                row[start + columns.start..start + columns.end].to_vec()
            };
            for &(item, position) in at.iter().filter(|(_, p)| *p == site.position()) {
                let replaced = self.replaced[layer].get(&(item, position));
                let embedding = |which: usize| {
                    let replaced = replaced.and_then(|row| row.embeddings.as_ref());
                    match (replaced, which) {
                        (Some(embeddings), _) => embeddings[which][columns.clone()].to_vec(),
                        (None, 0) => packed.token_embedding(self.token(item, position))
                            [columns.clone()]
                        .to_vec(),
                        _ => packed.position_embedding(position)[columns.clone()].to_vec(),
                    }
                };
                let x = || self.entering_x(layer, item, position, entering);
                values.extend(match site.point() {
                    Point::Embed => embedding(0),
                    Point::PosEmbed => embedding(1),
                    Point::ResidPre => x()[columns.clone()].to_vec(),
                    Point::Ln1 => match replaced {
                        Some(row) => row.normed[columns.clone()].to_vec(),
                        None => packed.blocks[layer].ln1.apply(x())[columns.clone()].to_vec(),
                    },
                    Point::Q => {
                        let scale = (shape.d_head as f32).sqrt();
                        let query = of_head(self.query(layer, item, position, entering), 0);
                        query.into_iter().map(|q| q * scale).collect()
                    }
                    Point::K => of_head(self.key_value(layer, item, position), 0),
                    _ => of_head(self.key_value(layer, item, position), total),
                });
            }
        }
    }

    /// Replaces and records attention weights, and recomputes the results `z` of heads whose weights
    /// are replaced.
    pub(super) fn weigh_again(
        &self,
        layer: usize,
        at: &[(usize, usize)],
        (asking, looked_at): (&[Asking], &[&[f32]]),
        overwrites: &[(usize, Overwrite)],
        z: &mut [f32],
        record: &mut Record,
    ) {
        let (shape, heads) = (self.packed.shape, self.packed.heads);
        let n_ctx = shape.n_ctx();
        let point = (layer, Point::Pattern);
        let weights = Demanded::new(point, at, overwrites, record, &shape, |rows| {
            let again: Vec<Asking> = rows.iter().map(|&row| asking[row]).collect();
            let mut weights = vec![0.0; rows.len() * heads.count * n_ctx];
            let mut keep = |row: usize, head: usize, of_row: &[f32]| {
                let start = (row * heads.count + head) * n_ctx;
                weights[start..start + of_row.len()].copy_from_slice(of_row);
            };
            let mut ignored = vec![0.0; rows.len() * heads.results()];
            attend(heads, &again, looked_at, &mut ignored, Some(&mut keep));
            weights
        });
        for (row, weights) in weights.replaced() {
            let heads_replaced = overwrites.iter().filter(|(of, _)| *of == row);
            for head in heads_replaced.filter_map(|(_, o)| o.site.head()) {
                let rows = &looked_at[asking[row].first..][..asking[row].count];
                let start = heads.total() + head * heads.stride();
                let z = &mut z[row * heads.results() + head * heads.width..][..heads.width];
                z.fill(0.0);
                for (weight, row) in weights[head * n_ctx..].iter().zip(rows) {
                    for (z, value) in z.iter_mut().zip(&row[start..]) {
                        *z += weight * value;
                    }
                }
            }
        }
    }

    /// Replaces and records what the heads add to the stream, `x`, alone and together.
    pub(super) fn attention_out(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        z: &[f32],
        entering: &Entering,
        x: &mut [f32],
        record: &mut Record,
    ) {
        let packed = self.packed;
        let (shape, heads, block) = (packed.shape, packed.heads, &packed.blocks[layer]);
        let d = shape.d_model;
        let taken = self.take(Point::Result, layer, at);
        let point = (layer, Point::Result);
        let results = Demanded::new(point, at, &taken, record, &shape, |rows| {
            let mut results = vec![0.0; rows.len() * heads.count * d];
            for (&row, results) in rows.iter().zip(results.chunks_exact_mut(heads.count * d)) {
                let z = &z[row * heads.results()..][..heads.results()];
                for (head, result) in results.chunks_exact_mut(d).enumerate() {
                    let part = head * heads.width..(head + 1) * heads.width;
                    (block.output).add_rows(part.clone(), &z[part], result);
                }
            }
            results
        });
        let summed: BTreeMap<usize, Vec<f32>> = (results.replaced())
            .map(|(row, results)| {
                let mut sum = block.output_bias.clone();
                for result in results.chunks_exact(d) {
                    sum.iter_mut().zip(result).for_each(|(sum, r)| *sum += r);
                }
                (row, sum)
            })
            .collect();
        let taken = self.take(Point::AttnOut, layer, at);
        let point = (layer, Point::AttnOut);
        let out = Demanded::new(point, at, &taken, record, &shape, |rows| {
            let z = gather(z, rows, heads.results());
            let mut out = (block.output).apply(&z, &block.output_bias);
            for (row, out) in rows.iter().zip(out.chunks_exact_mut(d)) {
                if let Some(sum) = summed.get(row) {
                    out.copy_from_slice(sum);
                }
            }
            out
        });
        let summed = summed.iter().map(|(&row, sum)| (row, sum.as_slice()));
        for (row, out) in summed.chain(out.replaced()) {
            let (item, position) = at[row];
            let before = self.entering_x(layer, item, position, entering);
            add(&mut x[row * d..][..d], before, out);
        }
    }

    /// Replaces and records the MLP's hidden layer before the ReLU, and what follows from it in
    /// `hidden`, the layer after it.
    pub(super) fn before_relu(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        normed: &[f32],
        hidden: &mut [f32],
        record: &mut Record,
    ) {
        let packed = self.packed;
        let (shape, block) = (packed.shape, &packed.blocks[layer]);
        let taken = self.take(Point::Pre, layer, at);
        let pre = Demanded::new((layer, Point::Pre), at, &taken, record, &shape, |rows| {
            let normed = gather(normed, rows, shape.d_model);
            (block.mlp_in).apply(&normed, &block.mlp_in_bias)
        });
        for (row, pre) in pre.replaced() {
            let hidden = &mut hidden[row * shape.d_mlp..][..shape.d_mlp];
            hidden
                .iter_mut()
                .zip(pre)
                .for_each(|(h, pre)| *h = pre.max(0.0));
        }
    }

    /// Replaces and records what the MLP adds to the stream, which was `before` and is now `x`.
    pub(super) fn mlp_out(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        hidden: &[f32],
        before: Option<Vec<f32>>,
        x: &mut [f32],
        record: &mut Record,
    ) {
        let packed = self.packed;
        let (shape, block) = (packed.shape, &packed.blocks[layer]);
        let d = shape.d_model;
        let taken = self.take(Point::MlpOut, layer, at);
        let out = Demanded::new((layer, Point::MlpOut), at, &taken, record, &shape, |rows| {
            let hidden = gather(hidden, rows, shape.d_mlp);
            (block.mlp_out).apply(&hidden, &block.mlp_out_bias)
        });
        for (row, out) in out.replaced() {
            let before = before.as_ref().expect("kept where it is replaced");
            add(&mut x[row * d..][..d], &before[row * d..][..d], out);
        }
    }
}
