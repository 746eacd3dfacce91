//! The forward pass of a slice of questions, with everything kept that the backward pass needs.

use std::ops::Range;

use crate::domain::arithmetic::Token;
use crate::domain::shape::Shape;
use crate::network::engine::attention::{Asking, attend};
use crate::network::engine::blocks::Packed;
use crate::network::engine::matrix::Onto;

/// The forward pass of a slice. Rows are questions and, within one, positions. The last position of
/// a question predicts nothing and has no row.
pub(super) struct Tape {
    pub layers: Vec<LayerTape>,
    /// The residual stream after the last layer where an answer token is predicted, `[answer rows,
    /// d_model]`.
    pub x: Vec<f32>,
    /// That after the final norm.
    pub normed: Vec<f32>,
    /// `[answer rows, 15]`
    pub logits: Vec<f32>,
}

/// One layer of a forward pass. Asking rows are those of the positions that [`asking`] gives.
pub(super) struct LayerTape {
    /// The residual stream entering the layer, `[rows, d_model]`.
    pub x: Vec<f32>,
    /// What attention reads; `None` in the first layer, where it is tabulated.
    pub projected: Option<Projected>,
    /// Attention weights, `[asking rows, heads, live positions]`.
    pub pattern: Vec<f32>,
    /// `[asking rows, n_heads * d_head]`
    pub z: Vec<f32>,
    /// The residual stream between attention and MLP, `[asking rows, d_model]`.
    pub mid: Vec<f32>,
    /// That after the norm.
    pub normed_mid: Vec<f32>,
    /// The MLP's hidden layer after the ReLU, `[asking rows, d_mlp]`.
    pub post: Vec<f32>,
}

/// The input of a layer after its norm, and its projections in the engine's layout of heads.
pub(super) struct Projected {
    /// `[rows, d_model]`
    pub normed: Vec<f32>,
    /// `[asking rows, heads]`
    pub query: Vec<f32>,
    /// `[rows, 2 * heads]`
    pub key_value: Vec<f32>,
}

/// The queries, keys and values of a slice by row.
pub(super) struct Attended<'a> {
    /// One for each asking row, `[heads]`.
    pub queries: Vec<&'a [f32]>,
    /// One for each row, `[2 * heads]`.
    pub key_values: Vec<&'a [f32]>,
}

/// Positions of a question that have a row.
pub(super) const fn live(shape: &Shape) -> usize {
    shape.n_ctx() - 1
}

/// The positions of a question whose residual stream a layer must change: all live ones, or in the last
/// layer those that predict an answer token.
pub(super) const fn asking(shape: &Shape, layer: usize) -> Range<usize> {
    let last = layer + 1 == shape.n_layers;
    let first = if last {
        shape.first_answer_position()
    } else {
        0
    };
    first..live(shape)
}

/// The rows of some positions of every question; `rows` is `[questions, live, width]`.
pub(super) fn pick(rows: &[f32], width: usize, live: usize, positions: &Range<usize>) -> Vec<f32> {
    let picked = positions.start * width..positions.end * width;
    let questions = rows.chunks_exact(live * width);
    let mut out = Vec::with_capacity(questions.len() * picked.len());
    for question in questions {
        out.extend_from_slice(&question[picked.clone()]);
    }
    out
}

/// The queries, keys and values of a layer; in the first, `tokens` (`[questions, n_ctx]`) says which
/// rows of the tables.
pub(super) fn attended<'a>(
    packed: &'a Packed,
    layer: usize,
    tokens: &[Token],
    projected: Option<&'a Projected>,
) -> Attended<'a> {
    if let Some(projected) = projected {
        let heads = packed.heads.total();
        return Attended {
            queries: projected.query.chunks_exact(heads).collect(),
            key_values: projected.key_value.chunks_exact(2 * heads).collect(),
        };
    }
    let shape = &packed.shape;
    let at = |positions: Range<usize>| {
        let questions = tokens.chunks_exact(shape.n_ctx());
        questions.flat_map(move |question| positions.clone().map(move |p| (p, question[p])))
    };
    Attended {
        queries: at(asking(shape, layer))
            .map(|(position, token)| packed.first_query.row(position, token))
            .collect(),
        key_values: at(0..live(shape))
            .map(|(position, token)| packed.first_key_value.row(position, token))
            .collect(),
    }
}

/// Runs a slice of questions, `[questions, n_ctx]`.
pub(super) fn forward(packed: &Packed, tokens: &[Token]) -> Tape {
    let shape = &packed.shape;
    let mut x = Vec::with_capacity(tokens.len() * shape.d_model);
    for question in tokens.chunks_exact(shape.n_ctx()) {
        for (position, &token) in question[..live(shape)].iter().enumerate() {
            x.extend_from_slice(packed.embedding.row(position, token));
        }
    }
    let mut layers = Vec::with_capacity(shape.n_layers);
    for layer in 0..shape.n_layers {
        let (tape, after) = forward_layer(packed, layer, tokens, x);
        layers.push(tape);
        x = after;
    }
    let normed = packed.ln_final.apply(&x);
    let logits = packed.unembed.apply(&normed, &packed.unembed_bias);
    Tape {
        layers,
        x,
        normed,
        logits,
    }
}

/// One layer, and the residual stream after it.
fn forward_layer(
    packed: &Packed,
    layer: usize,
    tokens: &[Token],
    x: Vec<f32>,
) -> (LayerTape, Vec<f32>) {
    let shape = &packed.shape;
    let (block, live, asking) = (&packed.blocks[layer], live(shape), asking(shape, layer));
    let projected = (layer > 0).then(|| {
        let normed = block.ln1.apply(&x);
        let asked = pick(&normed, shape.d_model, live, &asking);
        Projected {
            query: block.query.apply(&asked, &block.query_bias),
            key_value: block.key_value.apply(&normed, &block.key_value_bias),
            normed,
        }
    });
    let mut mid = pick(&x, shape.d_model, live, &asking);
    let rows = mid.len() / shape.d_model;
    let mut pattern = vec![0.0; rows * shape.n_heads * live];
    let mut z = vec![0.0; rows * packed.heads.results()];
    let Attended {
        queries,
        key_values,
    } = attended(packed, layer, tokens, projected.as_ref());
    let asks: Vec<Asking> = (queries.iter().enumerate())
        .map(|(row, query)| Asking {
            query,
            first: row / asking.len() * live,
            count: asking.start + row % asking.len() + 1,
        })
        .collect();
    attend(
        packed.heads,
        &asks,
        &key_values,
        &mut z,
        Some(&mut |row, head, weights| {
            pattern[(row * shape.n_heads + head) * live..][..weights.len()]
                .copy_from_slice(weights);
        }),
    );
    (block.output).multiply(&z, Onto::ResultAnd(&block.output_bias), &mut mid);
    let normed_mid = block.ln2.apply(&mid);
    let post = (block.mlp_in).apply_relu(&normed_mid, &block.mlp_in_bias);
    let mut after = mid.clone();
    (block.mlp_out).multiply(&post, Onto::ResultAnd(&block.mlp_out_bias), &mut after);
    let tape = LayerTape {
        x,
        projected,
        pattern,
        z,
        mid,
        normed_mid,
        post,
    };
    (tape, after)
}
