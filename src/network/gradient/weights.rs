//! From the gradients of activations to those of the weights, in the tensors of the state dict.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Differentiable;
use super::backward::Adjoint;
use super::forward::{Tape, asking, live, pick};
use super::norm::{NormFactor, NormGradient, norm_backward};
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
}

struct LayerFactors {
    /// `None` in the first layer, as `ln1`.
    projections: Option<ProjectionFactors>,
    ln1: Option<NormFactor>,
    ln2: NormFactor,
    output: Factor,
    mlp_in: Factor,
    mlp_out: Factor,
}

/// What a slice (`[questions, n_ctx]` tokens) contributes to the gradient of the weights.
pub(super) struct Factors<'a> {
    tokens: &'a [Token],
    layers: Vec<LayerFactors>,
    ln_final: NormFactor,
    unembed: Factor,
    /// Of the first layer's queries, keys and values, and of the embedding, by row.
    query: Vec<f32>,
    key_value: Vec<f32>,
    x: Vec<f32>,
}

impl<'a> Factors<'a> {
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
                    }
                });
                let ln1 = adjoint.normed.map(|gradient| NormFactor {
                    width: d_model,
                    x: tape.x,
                    gradient,
                });
                let factors = LayerFactors {
                    projections,
                    ln1,
                    ln2: NormFactor {
                        width: d_model,
                        x: tape.mid,
                        gradient: adjoint.normed_mid,
                    },
                    output: Factor::new(tape.z, shape.d_heads(), &adjoint.mid),
                    mlp_in: Factor::new(tape.normed_mid, d_model, &adjoint.pre),
                    mlp_out: Factor::new(tape.post, shape.d_mlp, &adjoint.after),
                };
                first.get_or_insert((adjoint.query, adjoint.key_value, adjoint.x));
                factors
            })
            .collect();
        let (query, key_value, x) = first.expect("a network has a layer");
        Factors {
            tokens,
            layers,
            ln_final: NormFactor {
                width: d_model,
                x: tape.x,
                gradient: adjoint.normed,
            },
            unembed: Factor::new(tape.normed, d_model, logits),
            query,
            key_value,
            x,
        }
    }
}

/// The gradients of some rows of the first layer's tables: those of [`TABLE_ROWS`] in a row that some
/// question reads.
struct TableGradient {
    /// Which rows, in the order of a [`TokenTable`].
    rows: Vec<usize>,
    /// `[rows, heads]`, `[rows, 2 * heads]` and `[rows, d_model]`.
    query: Vec<f32>,
    key_value: Vec<f32>,
    x: Vec<f32>,
}

impl TableGradient {
    /// Sums what all questions contribute to the rows of the tables that they read.
    fn all(network: &Differentiable, slices: &[Factors]) -> Vec<Self> {
        let shape = &network.forward.shape;
        let heads = network.forward.heads.total();
        let (live, asking) = (live(shape), asking(shape, 0));
        // A row of the tables for each row of a slice.
        let read = |slice: &Factors| -> Vec<usize> {
            let questions = slice.tokens.chunks_exact(shape.n_ctx());
            let rows = questions.flat_map(|question| question[..live].iter().enumerate());
            rows.map(|(position, &token)| TokenTable::index(position, token))
                .collect()
        };
        let mut is_read = vec![false; shape.n_ctx() * D_VOCAB];
        for row in slices.iter().flat_map(read) {
            is_read[row] = true;
        }
        // Where the gradient of a row of the tables is.
        let mut places = vec![(0, 0); is_read.len()];
        let mut parts = Vec::new();
        for (part, is_read) in is_read.chunks(TABLE_ROWS).enumerate() {
            let rows = (0..is_read.len()).filter(|&row| is_read[row]);
            let rows: Vec<usize> = rows.map(|row| part * TABLE_ROWS + row).collect();
            for (number, &row) in rows.iter().enumerate() {
                places[row] = (part, number);
            }
            parts.push(TableGradient {
                query: vec![0.0; rows.len() * heads],
                key_value: vec![0.0; rows.len() * 2 * heads],
                x: vec![0.0; rows.len() * shape.d_model],
                rows,
            });
        }
        for slice in slices {
            for (row, table_row) in read(slice).into_iter().enumerate() {
                let (part, to) = places[table_row];
                let part = &mut parts[part];
                add_row(&mut part.key_value, to, &slice.key_value, row, 2 * heads);
                add_row(&mut part.x, to, &slice.x, row, shape.d_model);
                let (question, position) = (row / live, row % live);
                if asking.contains(&position) {
                    let row = question * asking.len() + position - asking.start;
                    add_row(&mut part.query, to, &slice.query, row, heads);
                }
            }
        }
        parts.retain(|part| !part.rows.is_empty());
        parts
    }

    /// Goes back through the first layer's projections and norm; leaves the gradient of the embedding's
    /// rows in `x`.
    fn factors(&mut self, network: &Differentiable) -> (ProjectionFactors, NormFactor) {
        let forward = &network.forward;
        let d_model = forward.shape.d_model;
        let (block, back) = (&forward.blocks[0], &network.layers[0]);
        let embedding: Vec<f32> = (self.rows.iter())
            .flat_map(|row| &forward.embedding.rows()[row * d_model..][..d_model])
            .copied()
            .collect();
        let normed = block.ln1.apply(&embedding);
        let mut gradient = back.query.times(&self.query);
        (back.key_value).multiply(&self.key_value, Onto::Result, &mut gradient);
        norm_backward(&block.ln1, &embedding, &gradient, &mut self.x);
        let ln1 = NormFactor {
            width: d_model,
            x: embedding,
            gradient,
        };
        let factors = ProjectionFactors {
            query: Factor::new(normed.clone(), d_model, &self.query),
            key_value: Factor::new(normed, d_model, &self.key_value),
        };
        (factors, ln1)
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

/// One of its norms; `None` if the layer has no such factor.
type NormFactorOf = fn(&LayerFactors) -> Option<&NormFactor>;

/// The gradient of all weights, from what the slices contribute, in order.
pub(super) fn weight_gradient(network: &Differentiable, slices: &[Factors]) -> Tensors {
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
        for (name, factor) in [
            ("ln1", (|layer| layer.ln1.as_ref()) as NormFactorOf),
            ("ln2", |layer| Some(&layer.ln2)),
        ] {
            if of_layer().any(|layer| factor(layer).is_some()) {
                let name = format!("{block}.{name}");
                parts.push(Box::new(move || norm(&name, of_layer().filter_map(factor))));
            }
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
    }
    parts.push(Box::new(|| {
        let mut tensors = linear("unembed", "U", slices.iter().map(|slice| &slice.unembed));
        let factors = slices.iter().map(|slice| &slice.ln_final);
        tensors.extend(norm("ln_final", factors));
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

/// The gradient of a norm's own weights: the sum of the factors' sums.
fn norm<'a>(name: &str, factors: impl Iterator<Item = &'a NormFactor>) -> Named {
    let sum = factors.map(NormGradient::of).reduce(|mut sum, part| {
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
fn first_projections(network: &Differentiable, slices: &[Factors]) -> Named {
    let shape = &network.forward.shape;
    let mut table = TableGradient::all(network, slices);
    let factors = table.par_iter_mut().map(|part| part.factors(network));
    let factors: Vec<(ProjectionFactors, NormFactor)> = factors.collect();
    let mut tensors = norm("blocks.0.ln1", factors.iter().map(|(_, ln1)| ln1));
    let factors: Vec<&ProjectionFactors> = factors.iter().map(|(factors, _)| factors).collect();
    tensors.extend(projections(network.forward.heads, "blocks.0", &factors));
    let width = shape.d_model;
    let mut tokens = vec![0.0; D_VOCAB * width];
    let mut positions = vec![0.0; shape.n_ctx() * width];
    for part in &table {
        for (number, row) in part.rows.iter().enumerate() {
            add_row(&mut tokens, row % D_VOCAB, &part.x, number, width);
            add_row(&mut positions, row / D_VOCAB, &part.x, number, width);
        }
    }
    tensors.push(("embed.W_E".to_owned(), tokens));
    tensors.push(("pos_embed.W_pos".to_owned(), positions));
    tensors
}

/// The gradients of a layer's queries, keys and values.
fn projections(heads: Heads, block: &str, factors: &[&ProjectionFactors]) -> Named {
    let mut tensors = Vec::with_capacity(6);
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
