//! The gradient at any site of a slice of questions, read from its backward pass. What training does not
//! need is computed here, and only where it is asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Differentiable;
use super::backward::{Adjoint, spread};
use super::forward::{Tape, asking, attended, live};
use super::norm::norm_backward;
use crate::domain::arithmetic::Token;
use crate::domain::shape::Shape;
use crate::domain::site::{Point, Site};
use crate::network::engine::matrix::Onto;

/// A slice's forward and backward pass.
pub(super) struct Passes<'a> {
    pub network: &'a Differentiable,
    /// `[questions, n_ctx]`
    pub tokens: &'a [Token],
    pub tape: &'a Tape,
    pub adjoint: &'a Adjoint,
}

/// The gradients at the sites of a slice.
pub(super) struct SiteGradients<'a> {
    of: Passes<'a>,
    /// What a backward pass does not keep, by layer: of what the first layer's first norm gives, `[rows,
    /// d_model]`; after the ReLU, `[asking rows, d_mlp]`.
    recomputed: BTreeMap<(Point, usize), Vec<f32>>,
    /// The stream that enters the network, `[rows, d_model]`.
    entering: Option<Vec<f32>>,
}

/// Rows of values, and where those of a site are in one.
struct Rows<'a> {
    values: &'a [f32],
    /// Positions of a question that have a row.
    positions: Range<usize>,
    width: usize,
    /// Where the site's activation begins in a row.
    start: usize,
    /// What the values are multiplied by.
    factor: f32,
}

impl<'a> SiteGradients<'a> {
    /// Computes what these sites need beyond the backward pass.
    pub fn new(of: Passes<'a>, sites: &[Site]) -> Self {
        let shape = of.network.shape();
        let mut recomputed = BTreeMap::new();
        let mut enters = false;
        for site in sites {
            let (point, layer) = (site.point(), site.layer_in(&shape));
            match point {
                Point::Post => {
                    recomputed
                        .entry((point, layer))
                        .or_insert_with(|| of.after_relu(layer));
                }
                Point::Ln1 if layer == 0 => {
                    recomputed
                        .entry((point, layer))
                        .or_insert_with(|| of.first_normed());
                }
                Point::Embed | Point::PosEmbed => enters = true,
                Point::ResidPre => enters |= layer == 0,
                _ => {}
            }
        }
        let entering = enters.then(|| of.entering());
        SiteGradients {
            of,
            recomputed,
            entering,
        }
    }

    /// The gradient at a site of one question; zero where the layer need not compute it.
    pub fn at(&self, question: usize, site: &Site) -> Vec<f32> {
        let shape = self.of.network.shape();
        if site.point() == Point::Pattern {
            return self.of.pattern(question, site);
        }
        let Rows {
            values,
            positions,
            width,
            start,
            factor,
        } = self.rows(site);
        if !positions.contains(&site.position()) {
            return vec![0.0; site.width(&shape)];
        }
        let row = question * positions.len() + site.position() - positions.start;
        let own = &values[row * width + start..][site.columns(&shape)];
        own.iter().map(|value| factor * value).collect()
    }

    fn rows(&self, site: &Site) -> Rows<'_> {
        let network = self.of.network;
        let (shape, heads) = (network.shape(), network.forward.heads);
        let (layer, head) = (site.layer_in(&shape), site.head().unwrap_or(0));
        let of_layer = &self.of.adjoint.layers[layer];
        let recomputed = || &self.recomputed[&(site.point(), layer)];
        let entering = || self.entering.as_ref().expect("computed for these sites");
        let asked = asking(&shape, layer);
        let all = 0..live(&shape);
        let (width, of_head) = (shape.d_model, head * heads.stride());
        let rows = |values, positions, width| Rows {
            values,
            positions,
            width,
            start: 0,
            factor: 1.0,
        };
        match site.point() {
            Point::Embed | Point::PosEmbed => rows(entering(), all, width),
            Point::ResidPre if layer == 0 => rows(entering(), all, width),
            Point::ResidPre => rows(&of_layer.x, all, width),
            Point::Ln1 => {
                let normed = of_layer.normed.as_ref();
                rows(normed.unwrap_or_else(|| recomputed()), all, width)
            }
            Point::Q => Rows {
                start: of_head,
                // The engine's queries have the scale of the scores in them.
                factor: 1.0 / (shape.d_head as f32).sqrt(),
                ..rows(&of_layer.query, asked, heads.total())
            },
            Point::K => Rows {
                start: of_head,
                ..rows(&of_layer.key_value, all, 2 * heads.total())
            },
            Point::V => Rows {
                start: heads.total() + of_head,
                ..rows(&of_layer.key_value, all, 2 * heads.total())
            },
            Point::Z => Rows {
                start: head * shape.d_head,
                ..rows(&of_layer.z, asked, shape.d_heads())
            },
            // They are added to the stream, so that all have its gradient.
            Point::Result | Point::AttnOut | Point::ResidMid => rows(&of_layer.mid, asked, width),
            Point::Ln2 => rows(&of_layer.normed_mid, asked, width),
            Point::Pre => rows(&of_layer.pre, asked, shape.d_mlp),
            Point::Post => rows(recomputed(), asked, shape.d_mlp),
            Point::MlpOut | Point::ResidPost => rows(&of_layer.after, asked, width),
            Point::LnFinal => rows(&self.of.adjoint.normed, answering(&shape), width),
            Point::Pattern => unreachable!("a pattern has no rows of one width"),
        }
    }
}

/// The positions that predict an answer token.
const fn answering(shape: &Shape) -> Range<usize> {
    shape.first_answer_position()..live(shape)
}

impl Passes<'_> {
    /// The gradient of what the ReLU gives.
    fn after_relu(&self, layer: usize) -> Vec<f32> {
        let back = &self.network.layers[layer];
        back.mlp_out.times(&self.adjoint.layers[layer].after)
    }

    /// The gradient of what the first layer's first norm gives.
    fn first_normed(&self) -> Vec<f32> {
        let (back, of_layer) = (&self.network.layers[0], &self.adjoint.layers[0]);
        let shape = self.network.shape();
        let mut normed = spread(&shape, 0, &back.query.times(&of_layer.query));
        (back.key_value).multiply(&of_layer.key_value, Onto::Result, &mut normed);
        normed
    }

    /// The gradient of the stream that enters the first layer.
    fn entering(&self) -> Vec<f32> {
        let mut x = self.adjoint.layers[0].x.clone();
        let normed = self.first_normed();
        let norm = &self.network.forward.blocks[0].ln1;
        norm_backward(norm, &self.tape.layers[0].x, &normed, &mut x);
        x
    }

    /// The gradient of a head's attention weights at a position: what its result's gradient has along the
    /// value of each position that is attended to.
    fn pattern(&self, question: usize, site: &Site) -> Vec<f32> {
        let (shape, forward) = (self.network.shape(), &self.network.forward);
        let (layer, head) = (site.layer_in(&shape), site.head().unwrap_or(0));
        let asked = asking(&shape, layer);
        if !asked.contains(&site.position()) {
            return vec![0.0; site.width(&shape)];
        }
        let projected = self.tape.layers[layer].projected.as_ref();
        let key_values = attended(forward, layer, self.tokens, projected).key_values;
        let row = question * asked.len() + site.position() - asked.start;
        let z = &self.adjoint.layers[layer].z[row * shape.d_heads() + head * shape.d_head..];
        let first = forward.heads.total() + head * forward.heads.stride();
        let along = |key: usize| {
            let value = &key_values[question * live(&shape) + key][first..][..shape.d_head];
            value.iter().zip(z).map(|(value, z)| value * z).sum()
        };
        site.columns(&shape).map(along).collect()
    }
}
