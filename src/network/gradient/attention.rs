//! The derivative of attention.

use super::forward::Attended;
use crate::network::engine::attention::{Heads, product_sum};
use crate::network::engine::lanes::{Kernel, LANES, Lanes, dispatch};

/// Attention whose results have the gradient `z`.
pub(super) struct AttentionBackward<'a> {
    pub heads: Heads,
    /// Rows of a question, and the first that asks.
    pub live: usize,
    pub first_asking: usize,
    pub attended: &'a Attended<'a>,
    /// Attention weights, `[asking rows, heads, live]`.
    pub pattern: &'a [f32],
    /// The gradient of the heads' results, `[asking rows, heads.results()]`.
    pub z: &'a [f32],
}

impl AttentionBackward<'_> {
    /// The gradients of the queries, `[asking rows, heads.total()]`, and of the keys and values,
    /// `[rows, 2 * heads.total()]`.
    pub fn run(self) -> (Vec<f32>, Vec<f32>) {
        let total = self.heads.total();
        let mut query = vec![0.0; self.attended.queries.len() * total];
        let mut key_value = vec![0.0; self.attended.key_values.len() * 2 * total];
        dispatch(BackwardKernel {
            of: self,
            query: &mut query,
            key_value: &mut key_value,
        });
        (query, key_value)
    }
}

struct BackwardKernel<'a> {
    of: AttentionBackward<'a>,
    query: &'a mut [f32],
    key_value: &'a mut [f32],
}

impl Kernel for BackwardKernel<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let AttentionBackward {
            heads,
            live,
            first_asking,
            attended,
            pattern,
            z,
        } = self.of;
        let (stride, total) = (heads.stride(), heads.total());
        let asked = live - first_asking;
        let mut from_z = vec![0.0; stride];
        let mut weight_gradients = vec![0.0; live];
        for (row, query) in attended.queries.iter().enumerate() {
            let first = row / asked * live;
            let count = first_asking + row % asked + 1;
            for head in 0..heads.count {
                let at = head * stride;
                let (keys, values) = (at..at + stride, total + at..total + at + stride);
                let weights = &pattern[(row * heads.count + head) * live..][..count];
                let of_head = &z[row * heads.results() + head * heads.width..][..heads.width];
                from_z[..heads.width].copy_from_slice(of_head);
                let looked_at = &attended.key_values[first..][..count];
                let mut mean = 0.0;
                for ((gradient, row), weight) in
                    (weight_gradients.iter_mut().zip(looked_at)).zip(weights)
                {
                    *gradient = product_sum(lanes, &from_z, &row[values.clone()]);
                    mean += *gradient * weight;
                }
                let own = &mut self.query[row * total..][keys.clone()];
                for source in 0..count {
                    let weight = weights[source];
                    let score = weight * (weight_gradients[source] - mean);
                    add_scaled(lanes, own, score, &looked_at[source][keys.clone()]);
                    let theirs = &mut self.key_value[(first + source) * 2 * total..][..2 * total];
                    add_scaled(
                        lanes,
                        &mut theirs[keys.clone()],
                        score,
                        &query[keys.clone()],
                    );
                    add_scaled(lanes, &mut theirs[values.clone()], weight, &from_z);
                }
            }
        }
    }
}

/// Adds `factor * from` to `to`, both of whole vectors.
#[inline(always)]
fn add_scaled<L: Lanes>(lanes: L, to: &mut [f32], factor: f32, from: &[f32]) {
    let factor = lanes.splat(factor);
    let (to, from) = (to.as_chunks_mut::<LANES>().0, from.as_chunks::<LANES>().0);
    for (to, from) in to.iter_mut().zip(from) {
        let sum = lanes.mul_add(factor, lanes.load(from), lanes.load(to));
        lanes.store(to, sum);
    }
}
