//! The derivative of layer normalisation.

use crate::network::engine::lanes::{Kernel, Lanes, dispatch};
use crate::network::engine::norm::{NormWeights, mean, product_mean, scale};

/// The gradient of a norm's weight and bias, each `[d_model]`.
#[derive(Debug, Clone)]
pub(super) struct NormGradient {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl NormGradient {
    /// The gradient of the weights of a norm with this factor, summed row after row.
    pub fn of(factor: &NormFactor) -> Self {
        assert_eq!(factor.x.len(), factor.gradient.len());
        let mut own = NormGradient {
            weight: vec![0.0; factor.width],
            bias: vec![0.0; factor.width],
        };
        dispatch(OwnKernel {
            of: factor,
            own: &mut own,
        });
        own
    }

    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.weight, &other.weight),
            (&mut self.bias, &other.bias),
        ];
        for (to, from) in pairs {
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }
}

/// What was normalised and the gradient of the result, both `[m, width]`, from which the gradient of the
/// norm's own weights follows.
pub(super) struct NormFactor {
    pub width: usize,
    pub x: Vec<f32>,
    pub gradient: Vec<f32>,
}

struct OwnKernel<'a> {
    of: &'a NormFactor,
    own: &'a mut NormGradient,
}

impl Kernel for OwnKernel<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let width = self.own.weight.len();
        let rows = (self.of.x.chunks_exact(width)).zip(self.of.gradient.chunks_exact(width));
        for (x, gradient) in rows {
            let middle = mean(lanes, x);
            let scale = scale(lanes, x, middle);
            let own = self.own.weight.iter_mut().zip(&mut self.own.bias);
            for ((weight, bias), (gradient, x)) in own.zip(gradient.iter().zip(x)) {
                *weight += gradient * ((x - middle) * scale);
                *bias += gradient;
            }
        }
    }
}

/// Adds to `x_gradient` the gradient of what is normalised, given that of the result; all matrices are
/// `[m, d_model]`.
pub(super) fn norm_backward(
    norm: &NormWeights,
    x: &[f32],
    gradient: &[f32],
    x_gradient: &mut [f32],
) {
    assert!(x.len() == gradient.len() && x.len() == x_gradient.len());
    dispatch(NormKernel {
        norm,
        x,
        gradient,
        x_gradient,
    });
}

struct NormKernel<'a> {
    norm: &'a NormWeights,
    x: &'a [f32],
    gradient: &'a [f32],
    x_gradient: &'a mut [f32],
}

impl Kernel for NormKernel<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let width = self.norm.weight.len();
        let mut normal = vec![0.0; width];
        let mut scaled = vec![0.0; width];
        let rows = (self.x.chunks_exact(width)).zip(self.gradient.chunks_exact(width));
        for ((x, gradient), out) in rows.zip(self.x_gradient.chunks_exact_mut(width)) {
            let middle = mean(lanes, x);
            let scale = scale(lanes, x, middle);
            let parts = gradient.iter().zip(&self.norm.weight);
            for ((normal, scaled), (x, (gradient, weight))) in
                (normal.iter_mut().zip(&mut scaled)).zip(x.iter().zip(parts))
            {
                *normal = (x - middle) * scale;
                *scaled = gradient * weight;
            }
            let moved = mean(lanes, &scaled);
            let stretched = product_mean(lanes, &scaled, &normal);
            for (out, (scaled, normal)) in out.iter_mut().zip(scaled.iter().zip(&normal)) {
                *out += scale * (scaled - moved - normal * stretched);
            }
        }
    }
}
