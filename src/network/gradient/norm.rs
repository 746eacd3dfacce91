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
    pub fn zeros(width: usize) -> Self {
        NormGradient {
            weight: vec![0.0; width],
            bias: vec![0.0; width],
        }
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

/// Adds to `x_gradient` the gradient of what is normalised, given that of the result; all matrices are
/// `[m, d_model]`. Returns the gradient of the norm's own weights.
pub(super) fn norm_backward(
    norm: &NormWeights,
    x: &[f32],
    gradient: &[f32],
    x_gradient: &mut [f32],
) -> NormGradient {
    assert!(x.len() == gradient.len() && x.len() == x_gradient.len());
    let mut own = NormGradient::zeros(norm.weight.len());
    dispatch(NormKernel {
        norm,
        x,
        gradient,
        x_gradient,
        own: &mut own,
    });
    own
}

struct NormKernel<'a> {
    norm: &'a NormWeights,
    x: &'a [f32],
    gradient: &'a [f32],
    x_gradient: &'a mut [f32],
    own: &'a mut NormGradient,
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
            let own = self.own.weight.iter_mut().zip(&mut self.own.bias);
            for ((weight, bias), (gradient, normal)) in own.zip(gradient.iter().zip(&normal)) {
                *weight += gradient * normal;
                *bias += gradient;
            }
        }
    }
}
