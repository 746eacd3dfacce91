//! AdamW as PyTorch does it, with or without GrokFast before it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::recipe::{GROKFAST_ALPHA, GROKFAST_LAMBDA};
use crate::inputs::model::{Array, Weights, WeightsError};
use crate::network::gradient::Tensors;

/// How much of the mean gradient and of the mean square is kept at each batch.
const BETAS: [f64; 2] = [0.9, 0.98];

/// What keeps the division from zero.
const EPSILON: f32 = 1e-8;

/// AdamW: each weight moves by its mean gradient over the root of its mean square, and decays.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// Batches so far.
    pub steps: usize,
    /// Moving means of the gradient and of its square.
    pub means: Tensors,
    pub squares: Tensors,
}

impl AdamW {
    pub fn new(weights: &Weights) -> Self {
        let zeros =
            |(name, array): (&str, &Array)| (name.to_owned(), vec![0.0; array.data().len()]);
        AdamW {
            steps: 0,
            means: weights.iter().map(zeros).collect(),
            squares: weights.iter().map(zeros).collect(),
        }
    }

    /// Moves the weights against their gradient.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] where a weight is no finite number any more.
    pub fn step(
        &mut self,
        weights: Weights,
        gradient: &Tensors,
        rate: f64,
        decay: f64,
    ) -> Result<Weights, WeightsError> {
        self.steps += 1;
        let corrected = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        let step = (rate / corrected(BETAS[0])) as f32;
        let root = corrected(BETAS[1]).sqrt() as f32;
        let kept = (1.0 - rate * decay) as f32;
        let mut arrays: BTreeMap<String, Array> = weights.into();
        let tensors: Vec<_> = (arrays.values_mut())
            .zip(gradient.values())
            .zip(self.means.values_mut().zip(self.squares.values_mut()))
            .collect();
        tensors
            .into_par_iter()
            .for_each(|((array, gradient), (means, squares))| {
                let moments = means.iter_mut().zip(squares);
                let weights = array.data_mut().iter_mut().zip(gradient);
                for ((weight, &gradient), (mean, square)) in weights.zip(moments) {
                    *mean += (1.0 - BETAS[0]) as f32 * (gradient - *mean);
                    *square =
                        *square * BETAS[1] as f32 + (1.0 - BETAS[1]) as f32 * gradient * gradient;
                    let spread = square.sqrt() / root + EPSILON;
                    *weight = *weight * kept - step * (*mean / spread);
                }
            });
        Weights::from_arrays(arrays)
    }
}

/// GrokFast by a moving average (Lee et al., <https://arxiv.org/abs/2405.20233>): adds the average of the
/// gradients so far to a gradient, which speeds up what changes slowly.
///
/// The published notebook forgets the average after each batch, which leaves three times the gradient,
/// and AdamW takes that as the gradient itself. Here the average is kept.
pub fn grokfast(average: &mut Option<Tensors>, gradient: &mut Tensors) {
    let average = average.get_or_insert_with(|| gradient.clone());
    for (average, gradient) in average.values_mut().zip(gradient.values_mut()) {
        for (average, gradient) in average.iter_mut().zip(gradient) {
            *average = *average * GROKFAST_ALPHA as f32 + *gradient * (1.0 - GROKFAST_ALPHA) as f32;
            *gradient += *average * GROKFAST_LAMBDA as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(values: &[f32]) -> Tensors {
        [("a".to_owned(), values.to_vec())].into()
    }

    #[test]
    fn grokfast_adds_twice_the_moving_average() {
        let mut average = None;
        let mut first = tensors(&[1.0]);
        grokfast(&mut average, &mut first);
        assert_eq!(first["a"], [3.0]);
        let mut second = tensors(&[0.0]);
        grokfast(&mut average, &mut second);
        assert!((second["a"][0] - 2.0 * 0.98).abs() < 1e-6);
    }
}
