//! Layer normalisation.

use super::lanes::{Kernel, LANES, Lanes, dispatch};

/// LayerNorm's epsilon in the published models.
const EPS: f32 = 1e-5;

/// Layer normalisation with weight and bias.
#[derive(Debug, Clone)]
pub struct NormWeights {
    /// `[d_model]`
    pub weight: Vec<f32>,
    /// `[d_model]`
    pub bias: Vec<f32>,
}

impl NormWeights {
    /// Normalises every row of `x` (`[m, d_model]`) into `out`, of the same shape.
    pub fn apply_to(&self, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len());
        dispatch(Normalise { norm: self, x, out });
    }

    /// Normalises every row of `x` (`[m, d_model]`) into a new matrix of the same shape.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.apply_to(x, &mut out);
        out
    }

    /// The change in one row's result when `delta` is added to it (both `[d_model]`), with the
    /// scale of the norm kept as for `x`.
    pub fn change_at_scale_of(&self, x: &[f32], delta: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        dispatch(ChangeAtScale {
            norm: self,
            x,
            delta,
            out: &mut out,
        });
        out
    }
}

struct Normalise<'a> {
    norm: &'a NormWeights,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (weight, bias) = (&self.norm.weight, &self.norm.bias);
        let width = weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let mean = mean(lanes, x);
            let scale = scale(lanes, x, mean);
            let row = x.iter().zip(weight.iter().zip(bias));
            for (out, (x, (weight, bias))) in out.iter_mut().zip(row) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}

struct ChangeAtScale<'a> {
    norm: &'a NormWeights,
    x: &'a [f32],
    delta: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for ChangeAtScale<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let scale = scale(lanes, self.x, mean(lanes, self.x));
        let moved = mean(lanes, self.delta);
        let row = self.delta.iter().zip(&self.norm.weight);
        for (out, (delta, weight)) in self.out.iter_mut().zip(row) {
            *out = (delta - moved) * scale * weight;
        }
    }
}

#[inline(always)]
pub(in crate::network) fn mean<L: Lanes>(lanes: L, row: &[f32]) -> f32 {
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut sum = lanes.splat(0.0);
    for values in whole {
        sum = lanes.add(sum, lanes.load(values));
    }
    (lanes.sum(sum) + rest.iter().sum::<f32>()) / row.len() as f32
}

/// The mean of the products of two rows' values.
#[inline(always)]
pub(in crate::network) fn product_mean<L: Lanes>(lanes: L, a: &[f32], b: &[f32]) -> f32 {
    let ((whole, rest), (others, other_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sum = lanes.splat(0.0);
    for (a, b) in whole.iter().zip(others) {
        sum = lanes.mul_add(lanes.load(a), lanes.load(b), sum);
    }
    let rest: f32 = rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    (lanes.sum(sum) + rest) / a.len() as f32
}

/// One over the standard deviation.
#[inline(always)]
pub(in crate::network) fn scale<L: Lanes>(lanes: L, row: &[f32], mean: f32) -> f32 {
    let (whole, rest) = row.as_chunks::<LANES>();
    let (mut sum, middle) = (lanes.splat(0.0), lanes.splat(mean));
    for values in whole {
        let off = lanes.sub(lanes.load(values), middle);
        sum = lanes.mul_add(off, off, sum);
    }
    let rest: f32 = rest.iter().map(|v| (v - mean) * (v - mean)).sum();
    let variance = (lanes.sum(sum) + rest) / row.len() as f32;
    1.0 / (variance + EPS).sqrt()
}
