//! The backward pass of a slice of questions: the gradient of every activation.

use super::Differentiable;
use super::attention::AttentionBackward;
use super::forward::{LayerTape, Tape, asking, attended, live};
use super::norm::norm_backward;
use crate::domain::arithmetic::Token;
use crate::domain::shape::Shape;
use crate::network::engine::matrix::Onto;

/// The gradients of a slice's activations, with rows as in its [`Tape`].
pub(super) struct Adjoint {
    pub layers: Vec<LayerAdjoint>,
    /// After the final norm, `[answer rows, d_model]`.
    pub normed: Vec<f32>,
}

/// The gradients of one layer's activations.
pub(super) struct LayerAdjoint {
    /// `[rows, d_model]`: in the first layer along the residual stream alone, without what attention
    /// reads.
    pub x: Vec<f32>,
    /// After the first norm, `[rows, d_model]`; `None` in the first layer, where a table is read.
    pub normed: Option<Vec<f32>>,
    /// `[asking rows, heads]`
    pub query: Vec<f32>,
    /// `[rows, 2 * heads]`
    pub key_value: Vec<f32>,
    /// `[asking rows, n_heads * d_head]`
    pub z: Vec<f32>,
    /// `[asking rows, d_model]`
    pub mid: Vec<f32>,
    /// After the second norm, `[asking rows, d_model]`.
    pub normed_mid: Vec<f32>,
    /// Before the ReLU, `[asking rows, d_mlp]`.
    pub pre: Vec<f32>,
    /// `[asking rows, d_model]`
    pub after: Vec<f32>,
}

/// Goes back from the gradient of the logits, `[answer rows, 15]`.
pub(super) fn backward(
    network: &Differentiable,
    tokens: &[Token],
    tape: &Tape,
    logits: &[f32],
) -> Adjoint {
    let forward = &network.forward;
    let mut gradient = vec![0.0; tape.x.len()];
    let normed = network.unembed.times(logits);
    norm_backward(&forward.ln_final, &tape.x, &normed, &mut gradient);
    let mut layers = Vec::with_capacity(tape.layers.len());
    for (layer, of_layer) in tape.layers.iter().enumerate().rev() {
        let adjoint = backward_layer(network, layer, tokens, of_layer, gradient);
        gradient = adjoint.x.clone();
        layers.push(adjoint);
    }
    layers.reverse();
    Adjoint { layers, normed }
}

fn backward_layer(
    network: &Differentiable,
    layer: usize,
    tokens: &[Token],
    tape: &LayerTape,
    after: Vec<f32>,
) -> LayerAdjoint {
    let forward = &network.forward;
    let shape = &forward.shape;
    let (block, back) = (&forward.blocks[layer], &network.layers[layer]);
    let mut pre = back.mlp_out.times(&after);
    for (gradient, &post) in pre.iter_mut().zip(&tape.post) {
        *gradient = if post > 0.0 { *gradient } else { 0.0 };
    }
    let mut mid = after.clone();
    let normed_mid = back.mlp_in.times(&pre);
    norm_backward(&block.ln2, &tape.mid, &normed_mid, &mut mid);
    let z = back.output.times(&mid);
    let (query, key_value) = AttentionBackward {
        heads: forward.heads,
        live: live(shape),
        first_asking: asking(shape, layer).start,
        attended: &attended(forward, layer, tokens, tape.projected.as_ref()),
        pattern: &tape.pattern,
        z: &z,
    }
    .run();
    let mut x = spread(shape, layer, &mid);
    let normed = tape.projected.as_ref().map(|_| {
        let mut normed = spread(shape, layer, &back.query.times(&query));
        (back.key_value).multiply(&key_value, Onto::Result, &mut normed);
        norm_backward(&block.ln1, &tape.x, &normed, &mut x);
        normed
    });
    LayerAdjoint {
        x,
        normed,
        query,
        key_value,
        z,
        mid,
        normed_mid,
        pre,
        after,
    }
}

/// Asking rows among zeros for all others: `[rows, d_model]`.
pub(super) fn spread(shape: &Shape, layer: usize, asked: &[f32]) -> Vec<f32> {
    let (asking, live, width) = (asking(shape, layer), live(shape), shape.d_model);
    let questions = asked.len() / (asking.len() * width);
    let mut rows = vec![0.0; questions * live * width];
    let asked = asked.chunks_exact(asking.len() * width);
    for (rows, asked) in rows.chunks_exact_mut(live * width).zip(asked) {
        rows[asking.start * width..].copy_from_slice(asked);
    }
    rows
}
