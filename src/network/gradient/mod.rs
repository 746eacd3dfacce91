//! Derivatives: of the loss by every weight, which training follows, and of any logit by the activation
//! at any site.
//!
//! The backward pass is written by hand for this one architecture, on the engine's kernels. As in the
//! engine, the first layer's queries, keys and values are read from tables, and the last layer computes
//! no more than answers need; the gradients of what is left out are known to be zero. A batch is cut into
//! slices of a fixed number of questions, so no gradient depends on the number of threads.

mod attention;
mod backward;
mod forward;
mod norm;
mod sites;
mod weights;

use rayon::prelude::*;

use self::backward::backward;
use self::forward::forward;
use self::sites::{Passes, SiteGradients};
use self::weights::{Factors, weight_gradient};
use super::engine::blocks::{LayerWeights, Packed};
use super::engine::matrix::Matrix;
use super::engine::{EngineError, Site, check_digits};
use super::logits::AnswerLogits;
use crate::domain::arithmetic::{Prompt, Token};
use crate::domain::shape::{D_VOCAB, Shape};
use crate::inputs::model::Weights;

pub use self::weights::Tensors;

/// Questions in a slice: enough rows for the kernel's tiles, and a batch of 64 occupies four threads. The
/// gradients of norms are sums of the slices' sums, so that another number would change their last bits.
const SLICE: usize = 16;

/// A network that can be differentiated: its weights, packed for both directions.
#[derive(Debug)]
pub struct Differentiable {
    forward: Packed,
    layers: Vec<Transposes>,
    /// `[15, d_model]`
    unembed: Matrix,
}

/// The transposed matrices of a layer.
#[derive(Debug)]
struct Transposes {
    /// `[heads, d_model]`
    query: Matrix,
    /// `[2 * heads, d_model]`
    key_value: Matrix,
    /// `[d_model, n_heads * d_head]`
    output: Matrix,
    /// `[d_mlp, d_model]`
    mlp_in: Matrix,
    /// `[d_model, d_mlp]`
    mlp_out: Matrix,
}

impl Transposes {
    fn of(layer: &LayerWeights) -> Self {
        let attention = || {
            let matrices = [&layer.query, &layer.key_value, &layer.output];
            matrices.map(Matrix::transposed)
        };
        let mlp = || rayon::join(|| layer.mlp_in.transposed(), || layer.mlp_out.transposed());
        let ([query, key_value, output], (mlp_in, mlp_out)) = rayon::join(attention, mlp);
        Transposes {
            query,
            key_value,
            output,
            mlp_in,
            mlp_out,
        }
    }
}

/// The loss of a batch and its derivatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// Cross-entropy of each answer token in nats, `[prompts, n_answer]`, the sign's first.
    pub token_losses: Vec<f64>,
    /// The gradient of their mean, by the names of the state dict.
    pub gradient: Tensors,
}

impl Descent {
    /// The mean cross-entropy of the answer tokens, in nats.
    pub fn loss(&self) -> f64 {
        self.token_losses.iter().sum::<f64>() / self.token_losses.len() as f64
    }
}

impl Differentiable {
    pub fn new(weights: &Weights) -> Self {
        let forward = Packed::load(weights);
        Differentiable {
            layers: forward.blocks.par_iter().map(Transposes::of).collect(),
            unembed: forward.unembed.transposed(),
            forward,
        }
    }

    pub const fn shape(&self) -> Shape {
        self.forward.shape
    }

    /// The mean cross-entropy of the prompts' answer tokens, teacher-forced, and its gradient by every
    /// weight.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's.
    ///
    /// # Panics
    /// If there are no prompts.
    pub fn descent(&self, prompts: &[Prompt]) -> Result<Descent, EngineError> {
        assert!(!prompts.is_empty(), "a mean of nothing has no gradient");
        let tokens = self.tokens(prompts)?;
        let share = 1.0 / (prompts.len() * self.shape().n_answer()) as f64;
        let (losses, factors): (Vec<_>, Vec<_>) = (self.slices(&tokens))
            .map(|tokens| {
                let tape = forward(&self.forward, tokens);
                let (losses, logits) = cross_entropy(&self.shape(), tokens, &tape.logits, share);
                let adjoint = backward(self, tokens, &tape, &logits);
                let factors = Factors::new(&self.shape(), tokens, tape, adjoint, &logits);
                (losses, factors)
            })
            .unzip();
        Ok(Descent {
            token_losses: losses.concat(),
            gradient: weight_gradient(self, &factors),
        })
    }

    /// The gradients of weighted sums of logits by the activations at `sites`: `[prompt][site][width]`.
    /// `weights` has, for each prompt, the weight of each logit; for the gradient of a single logit, one
    /// of them is 1 and the others 0.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's, and
    /// [`EngineError::Site`] for a site that the network does not have.
    ///
    /// # Panics
    /// If there are more or fewer weights than prompts, or than a prompt has answer tokens.
    pub fn by_sites(
        &self,
        prompts: &[Prompt],
        weights: &[AnswerLogits],
        sites: &[Site],
    ) -> Result<Vec<Vec<Vec<f32>>>, EngineError> {
        let shape = self.shape();
        assert_eq!(prompts.len(), weights.len());
        for site in sites {
            site.check(&shape)?;
        }
        let tokens = self.tokens(prompts)?;
        let slices: Vec<Vec<Vec<Vec<f32>>>> = (self.slices(&tokens))
            .zip(weights.par_chunks(SLICE))
            .map(|(tokens, weights)| {
                let tape = forward(&self.forward, tokens);
                let rows = weights.iter().flat_map(|weights| {
                    assert_eq!(weights.rows().len(), shape.n_answer());
                    weights.rows().as_flattened()
                });
                let logits: Vec<f32> = rows.copied().collect();
                let adjoint = backward(self, tokens, &tape, &logits);
                let passes = Passes {
                    network: self,
                    tokens,
                    tape: &tape,
                    adjoint: &adjoint,
                };
                let gradients = SiteGradients::new(passes, sites);
                let of_question = |question| {
                    sites
                        .iter()
                        .map(|site| gradients.at(question, site))
                        .collect()
                };
                (0..weights.len()).map(of_question).collect()
            })
            .collect();
        Ok(slices.concat())
    }

    /// `[prompts, n_ctx]`
    fn tokens(&self, prompts: &[Prompt]) -> Result<Vec<Token>, EngineError> {
        check_digits(self.shape().n_digits, prompts)?;
        Ok(prompts.iter().flat_map(Prompt::tokens).collect())
    }

    /// The tokens of each slice, `[questions, n_ctx]`.
    fn slices<'a>(
        &self,
        tokens: &'a [Token],
    ) -> impl IndexedParallelIterator<Item = &'a [Token]> + use<'a> {
        tokens.par_chunks(SLICE * self.shape().n_ctx())
    }
}

/// The loss of each answer token, and the gradient by the logits (`[answer rows, 15]`) of `share` times
/// their sum.
fn cross_entropy(
    shape: &Shape,
    tokens: &[Token],
    logits: &[f32],
    share: f64,
) -> (Vec<f64>, Vec<f32>) {
    let truths = tokens
        .chunks_exact(shape.n_ctx())
        .flat_map(|question| &question[shape.first_answer_position() + 1..]);
    let (rows, _) = logits.as_chunks::<D_VOCAB>();
    let mut losses = Vec::with_capacity(rows.len());
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, &truth) in rows.iter().zip(truths) {
        let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let powers = row.map(|logit| (f64::from(logit) - top).exp());
        let total: f64 = powers.iter().sum();
        losses.push(top + total.ln() - f64::from(row[truth as usize]));
        gradient.extend(powers.iter().enumerate().map(|(token, power)| {
            let is_truth = f64::from(u8::from(token == truth as usize));
            (share * (power / total - is_truth)) as f32
        }));
    }
    (losses, gradient)
}
