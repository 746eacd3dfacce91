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

/// Tensors with their names.
type Named = Vec<(String, Vec<f32>)>;

/// A part of the gradient that can be computed by itself.
type Part<'a> = Box<dyn Fn() -> Named + Send + Sync + 'a>;

/// One of the linear maps of a layer.
type FactorOf = fn(&LayerFactors) -> &Factor;

/// The gradient of all weights, from what the slices contribute, in order.
pub(super) fn weight_gradient(network: &Differentiable, slices: &[SliceFactors]) -> Tensors {
    let forward = &network.forward;
    // No part needs another: one thread goes on to the next while others finish the last.
    let mut parts: Vec<Part> = vec![Box::new(|| first_projections(network, slices))];
    for layer in 0..forward.shape.n_layers {
        let of_layer = move || slices.iter().map(move |slice| &slice.layers[layer]);
        let block = format!("blocks.{layer}");
        if layer > 0 {
            let block = block.clone();
            parts.push(Box::new(move || {
                let factors = of_layer().filter_map(|layer| layer.projections.as_ref());
                projections(forward.heads, &block, &factors.collect::<Vec<_>>())
            }));
        }
        let linears: [(_, _, FactorOf); 3] = [
            ("attn", "O", |layer| &layer.output),
            ("mlp", "in", |layer| &layer.mlp_in),
            ("mlp", "out", |layer| &layer.mlp_out),
        ];
        for (module, part, factor) in linears {
            let module = format!("{block}.{module}");
            parts.push(Box::new(move || {
                linear(&module, part, of_layer().map(factor))
            }));
        }
        parts.push(Box::new(move || {
            norm(&format!("{block}.ln2"), of_layer().map(|layer| &layer.ln2))
        }));
    }
    parts.push(Box::new(|| {
        let mut tensors = linear("unembed", "U", slices.iter().map(|slice| &slice.unembed));
        tensors.extend(norm("ln_final", slices.iter().map(|slice| &slice.ln_final)));
        tensors
    }));
    parts.par_iter().flat_map_iter(|part| part()).collect()
}

/// The gradient of a linear map whose weights are `W_part` and biases `b_part` of a module.
fn linear<'a>(module: &str, part: &str, factors: impl Iterator<Item = &'a Factor>) -> Named {
    let Linear { weight, bias } = Linear::of(&factors.collect::<Vec<_>>());
    vec![
        (format!("{module}.W_{part}"), weight),
        (format!("{module}.b_{part}"), bias),
    ]
}

/// The gradient of a norm's own weights.
fn norm<'a>(name: &str, parts: impl Iterator<Item = &'a NormGradient>) -> Named {
    let sum = parts.cloned().reduce(|mut sum, part| {
        sum.add(&part);
        sum
    });
    let sum = sum.expect("a batch has a slice");
    vec![
        (format!("{name}.w"), sum.weight),
        (format!("{name}.b"), sum.bias),
    ]
}

/// The gradients of the first layer's norm, queries, keys and values, and of the embeddings.
fn first_projections(network: &Differentiable, slices: &[SliceFactors]) -> Named {
    let shape = &network.forward.shape;
    let mut table = TableGradient::new(network, slices);
    let factors = table.factors(network);
    let factors: Vec<&ProjectionFactors> = factors.iter().collect();
    let mut tensors = projections(network.forward.heads, "blocks.0", &factors);
    let width = shape.d_model;
    let mut tokens = vec![0.0; D_VOCAB * width];
    let mut positions = vec![0.0; shape.n_ctx() * width];
    for row in 0..shape.n_ctx() * D_VOCAB {
        add_row(&mut tokens, row % D_VOCAB, &table.x, row, width);
        add_row(&mut positions, row / D_VOCAB, &table.x, row, width);
    }
    tensors.push(("embed.W_E".to_owned(), tokens));
    tensors.push(("pos_embed.W_pos".to_owned(), positions));
    tensors
}

/// The gradients of a layer's first norm, queries, keys and values.
fn projections(heads: Heads, block: &str, factors: &[&ProjectionFactors]) -> Named {
    let mut tensors = norm(
        &format!("{block}.ln1"),
        factors.iter().map(|factors| &factors.ln1),
    );
    let queries: Vec<&Factor> = factors.iter().map(|factors| &factors.query).collect();
    let key_values: Vec<&Factor> = factors.iter().map(|factors| &factors.key_value).collect();
    let (query, key_value) = rayon::join(|| Linear::of(&queries), || Linear::of(&key_values));
    // The engine's queries are scaled by its weights.
    let scale = 1.0 / (heads.width as f32).sqrt();
    for (name, linear, first, scale) in [
        ("Q", &query, 0, scale),
        ("K", &key_value, 0, 1.0),
        ("V", &key_value, heads.total(), 1.0),
    ] {
        let apart = |data: &[f32]| heads_apart(heads, data, linear.bias.len(), first, scale);
        tensors.push((format!("{block}.attn.W_{name}"), apart(&linear.weight)));
        tensors.push((format!("{block}.attn.b_{name}"), apart(&linear.bias)));
    }
    tensors
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
