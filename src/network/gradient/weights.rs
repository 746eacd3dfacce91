//! From the gradients of activations to those of the weights, in the tensors of the state dict.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Differentiable;
use super::backward::Adjoint;
use super::forward::{Tape, asking, live, pick};
use super::norm::{NormGradient, norm_backward};
use crate::domain::arithmetic::Token;
use crate::domain::shape::{D_VOCAB, Shape};
use crate::network::engine::attention::Heads;
use crate::network::engine::blocks::TokenTable;
use crate::network::engine::matrix::{Matrix, Onto};

/// Rows of a weight's gradient that are computed together: whole tiles of the kernel.
const BLOCK: usize = 56;

/// Rows of the first layer's table that are taken together.
const TABLE_ROWS: usize = 96;

/// The gradient of every tensor by its name in the state dict, each laid out as the tensor.
pub type Tensors = BTreeMap<String, Vec<f32>>;

/// The two sides of the product that is a matrix' gradient, for some rows.
struct Factor {
    /// What the matrix was multiplied by, `[rows, inputs]`.
    inputs: Vec<f32>,
    /// The gradient of the result, `[rows, outputs]`.
    outputs: Matrix,
}

impl Factor {
    /// Of inputs `[rows, width]` and the gradient of the outputs for the same rows.
    fn new(inputs: Vec<f32>, width: usize, outputs: &[f32]) -> Self {
        let rows = inputs.len() / width;
        Factor {
            inputs,
            outputs: Matrix::new(rows, outputs.len() / rows, outputs),
        }
    }
}

/// The gradient of a linear map: `[inputs, outputs]` and `[outputs]`.
struct Linear {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    /// Every value is one sum over the rows of the factors in order.
    fn of(factors: &[&Factor]) -> Self {
        let rows = factors[0].outputs.rows();
        let outputs = factors[0].outputs.columns();
        let inputs = factors[0].inputs.len() / rows;
        let mut weight = vec![0.0; inputs * outputs];
        let mut bias = vec![0.0; outputs];
        let blocks = weight.par_chunks_mut(BLOCK * outputs).enumerate();
        let weights = || {
            blocks.for_each(|(block, weight)| {
                let first = block * BLOCK;
                let columns = first..first + weight.len() / outputs;
                for factor in factors {
                    (factor.outputs).add_transposed(
                        &factor.inputs,
                        inputs,
                        columns.clone(),
                        weight,
                    );
                }
            });
        };
        let biases = || {
            for factor in factors {
                factor.outputs.add_column_sums(&mut bias);
            }
        };
        rayon::join(weights, biases);
        Linear { weight, bias }
    }
}

/// The queries', keys' and values' share of a layer, for some rows.
struct ProjectionFactors {
    query: Factor,
    key_value: Factor,
    ln1: NormGradient,
}

struct LayerFactors {
    /// `None` in the first layer.
    projections: Option<ProjectionFactors>,
    output: Factor,
    mlp_in: Factor,
    mlp_out: Factor,
    ln2: NormGradient,
}

/// What a slice (`[questions, n_ctx]` tokens) contributes to the gradient of the weights.
pub(super) struct SliceFactors<'a> {
    tokens: &'a [Token],
    layers: Vec<LayerFactors>,
    unembed: Factor,
    ln_final: NormGradient,
    /// Of the first layer's queries, keys and values, and of the embedding, by row.
    query: Vec<f32>,
    key_value: Vec<f32>,
    x: Vec<f32>,
}

impl<'a> SliceFactors<'a> {
    /// Of a slice's passes, `logits` being the gradient of its logits.
    pub fn new(
        shape: &Shape,
        tokens: &'a [Token],
        tape: Tape,
        adjoint: Adjoint,
        logits: &[f32],
    ) -> Self {
        let d_model = shape.d_model;
        let mut first = None;
        let layers = (tape.layers.into_iter().zip(adjoint.layers).enumerate())
            .map(|(layer, (tape, adjoint))| {
                let projections = tape.projected.map(|projected| {
                    let asking = asking(shape, layer);
                    let asked = pick(&projected.normed, d_model, live(shape), &asking);
                    ProjectionFactors {
                        query: Factor::new(asked, d_model, &adjoint.query),
                        key_value: Factor::new(projected.normed, d_model, &adjoint.key_value),
                        ln1: adjoint.ln1,
                    }
                });
                let factors = LayerFactors {
                    projections,
                    output: Factor::new(tape.z, shape.d_heads(), &adjoint.mid),
                    mlp_in: Factor::new(tape.normed_mid, d_model, &adjoint.pre),
                    mlp_out: Factor::new(tape.post, shape.d_mlp, &adjoint.after),
                    ln2: adjoint.ln2,
                };
                first.get_or_insert((adjoint.query, adjoint.key_value, adjoint.x));
                factors
            })
            .collect();
        let (query, key_value, x) = first.expect("a network has a layer");
        SliceFactors {
            tokens,
            layers,
            unembed: Factor::new(tape.normed, d_model, logits),
            ln_final: adjoint.ln_final,
            query,
            key_value,
            x,
        }
    }
}

/// The gradients of the first layer's tables, row by row as in a [`TokenTable`].
struct TableGradient {
    query: Vec<f32>,
    key_value: Vec<f32>,
    x: Vec<f32>,
}

impl TableGradient {
    /// Sums what the rows of all questions contribute to the rows of the tables they read.
    fn new(network: &Differentiable, slices: &[SliceFactors]) -> Self {
        let shape = &network.forward.shape;
        let heads = network.forward.heads.total();
        let rows = shape.n_ctx() * D_VOCAB;
        let (live, asking) = (live(shape), asking(shape, 0));
        let mut sums = TableGradient {
            query: vec![0.0; rows * heads],
            key_value: vec![0.0; rows * 2 * heads],
            x: vec![0.0; rows * shape.d_model],
        };
        for slice in slices {
            for (number, question) in slice.tokens.chunks_exact(shape.n_ctx()).enumerate() {
                for (position, &token) in question[..live].iter().enumerate() {
                    let to = TokenTable::index(position, token);
                    let row = number * live + position;
                    add_row(&mut sums.key_value, to, &slice.key_value, row, 2 * heads);
                    add_row(&mut sums.x, to, &slice.x, row, shape.d_model);
                    if asking.contains(&position) {
                        let row = number * asking.len() + position - asking.start;
                        add_row(&mut sums.query, to, &slice.query, row, heads);
                    }
                }
            }
        }
        sums
    }

    /// Goes back through the first layer's projections and norm; leaves the gradient of the embedding's
    /// rows in `x`.
    fn factors(&mut self, network: &Differentiable) -> Vec<ProjectionFactors> {
        let forward = &network.forward;
        let (d_model, heads) = (forward.shape.d_model, forward.heads.total());
        let (block, back) = (&forward.blocks[0], &network.layers[0]);
        let embedding = forward.embedding.rows().par_chunks(TABLE_ROWS * d_model);
        embedding
            .zip(self.query.par_chunks(TABLE_ROWS * heads))
            .zip(self.key_value.par_chunks(TABLE_ROWS * 2 * heads))
            .zip(self.x.par_chunks_mut(TABLE_ROWS * d_model))
            .map(|(((embedding, query), key_value), x)| {
                let normed = block.ln1.apply(embedding);
                let mut gradient = back.query.times(query);
                (back.key_value).multiply(key_value, Onto::Result, &mut gradient);
                ProjectionFactors {
                    query: Factor::new(normed.clone(), d_model, query),
                    key_value: Factor::new(normed, d_model, key_value),
                    ln1: norm_backward(&block.ln1, embedding, &gradient, x),
                }
            })
            .collect()
    }
}

/// Adds a row of one matrix to a row of another.
fn add_row(to: &mut [f32], to_row: usize, from: &[f32], from_row: usize, width: usize) {
    let from = &from[from_row * width..][..width];
    for (to, from) in to[to_row * width..][..width].iter_mut().zip(from) {
        *to += from;
    }
}

/// The gradient of all weights, from what the slices contribute, in order.
pub(super) fn weight_gradient(network: &Differentiable, slices: &[SliceFactors]) -> Tensors {
    let shape = &network.forward.shape;
    let mut table = TableGradient::new(network, slices);
    let first = table.factors(network);
    let mut tensors = Tensors::new();
    let mut put = |name: String, data: Vec<f32>| {
        tensors.insert(name, data);
    };
    for layer in 0..shape.n_layers {
        let of_layer = || slices.iter().map(move |slice| &slice.layers[layer]);
        let projections: Vec<&ProjectionFactors> = match layer {
            0 => first.iter().collect(),
            _ => of_layer().filter_map(|l| l.projections.as_ref()).collect(),
        };
        let mut put = |part: &str, data| put(format!("blocks.{layer}.{part}"), data);
        put_projections(network.forward.heads, &projections, &mut put);
        let linear = |factor: fn(&LayerFactors) -> &Factor| {
            Linear::of(&of_layer().map(factor).collect::<Vec<_>>())
        };
        let output = linear(|layer| &layer.output);
        put("attn.W_O", output.weight);
        put("attn.b_O", output.bias);
        put_norm("ln2", of_layer().map(|layer| &layer.ln2), &mut put);
        let mlp_in = linear(|layer| &layer.mlp_in);
        put("mlp.W_in", mlp_in.weight);
        put("mlp.b_in", mlp_in.bias);
        let mlp_out = linear(|layer| &layer.mlp_out);
        put("mlp.W_out", mlp_out.weight);
        put("mlp.b_out", mlp_out.bias);
    }
    let mut put = |name: &str, data| put(name.to_owned(), data);
    let unembed: Vec<&Factor> = slices.iter().map(|slice| &slice.unembed).collect();
    let unembed = Linear::of(&unembed);
    put("unembed.W_U", unembed.weight);
    put("unembed.b_U", unembed.bias);
    let ln_final = slices.iter().map(|slice| &slice.ln_final);
    put_norm("ln_final", ln_final, &mut put);
    let width = shape.d_model;
    let mut tokens = vec![0.0; D_VOCAB * width];
    let mut positions = vec![0.0; shape.n_ctx() * width];
    for row in 0..shape.n_ctx() * D_VOCAB {
        add_row(&mut tokens, row % D_VOCAB, &table.x, row, width);
        add_row(&mut positions, row / D_VOCAB, &table.x, row, width);
    }
    put("embed.W_E", tokens);
    put("pos_embed.W_pos", positions);
    tensors
}

fn put_norm<'a>(
    name: &str,
    parts: impl Iterator<Item = &'a NormGradient>,
    put: &mut impl FnMut(&str, Vec<f32>),
) {
    let sum = parts.cloned().reduce(|mut sum, part| {
        sum.add(&part);
        sum
    });
    let sum = sum.expect("a batch has a slice");
    put(&format!("{name}.w"), sum.weight);
    put(&format!("{name}.b"), sum.bias);
}

/// Puts the gradients of a layer's first norm, queries, keys and values.
fn put_projections(
    heads: Heads,
    factors: &[&ProjectionFactors],
    put: &mut impl FnMut(&str, Vec<f32>),
) {
    put_norm("ln1", factors.iter().map(|factors| &factors.ln1), put);
    let query = Linear::of(&factors.iter().map(|f| &f.query).collect::<Vec<_>>());
    let key_value = Linear::of(&factors.iter().map(|f| &f.key_value).collect::<Vec<_>>());
    // The engine's queries are scaled by its weights.
    let scale = 1.0 / (heads.width as f32).sqrt();
    let total = heads.total();
    for (name, linear, first, scale) in [
        ("Q", &query, 0, scale),
        ("K", &key_value, 0, 1.0),
        ("V", &key_value, total, 1.0),
    ] {
        let apart = |data: &[f32]| heads_apart(heads, data, linear.bias.len(), first, scale);
        put(&format!("attn.W_{name}"), apart(&linear.weight));
        put(&format!("attn.b_{name}"), apart(&linear.bias));
    }
}

/// Heads side by side from column `first` of `[rows, width]`, to `[h, rows, d_head]`.
fn heads_apart(heads: Heads, data: &[f32], width: usize, first: usize, scale: f32) -> Vec<f32> {
    let rows = data.chunks_exact(width);
    let mut apart = Vec::with_capacity(heads.count * rows.len() * heads.width);
    for head in 0..heads.count {
        let at = first + head * heads.stride();
        for row in rows.clone() {
            apart.extend(row[at..at + heads.width].iter().map(|value| value * scale));
        }
    }
    apart
}
