//! Path patching: the source activations of some nodes act only along the direct path into chosen
//! targets, with everything else held at its base value.
//!
//! A target's input is the residual stream it reads. In it, only the source nodes' own
//! contributions are exchanged; every other node is frozen, so nothing reaches the target through a
//! third node, and no target passes its change on to another. A head reads the stream at its own
//! position for its query, and at every position up to it for keys and values; an MLP reads it at
//! its own position; an answer token's logits read it at the position that predicts it, after the
//! last layer. After the targets, the network runs freely.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::attention::{Asking, attend};
use super::base::Base;
use super::matrix::{Matrix, Onto};
use super::norm::NormWeights;
use super::{Activations, Decode, Engine, EngineError, Intervention, Overwrite, Run, Site, Source};
use crate::domain::arithmetic::TokenSet;
use crate::domain::node::Node;
use crate::domain::shape::D_VOCAB;
use crate::network::logits::AnswerLogits;

/// Where the exchanged contributions are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The inputs of these nodes; their changed outputs are passed on.
    Nodes(Vec<Node>),
    /// The final residual behind the logits of these answer tokens.
    Answer(TokenSet),
}

/// The scale of the layer norm before a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scale {
    /// That of the base run, so that contributions act linearly.
    Frozen,
    /// That of the changed residual.
    Running,
}

/// Source nodes with their source activations, and the targets that read them.
#[derive(Debug, Clone, PartialEq)]
pub struct PathPatch<'a> {
    sources: Vec<(Node, &'a [f32])>,
    target: Target,
    scale: Scale,
}

impl<'a> PathPatch<'a> {
    /// The patch that lets `target` read these nodes' values. If a node occurs more than once, its
    /// first value is used.
    pub fn new(
        sources: impl IntoIterator<Item = (Node, &'a [f32])>,
        target: Target,
        scale: Scale,
    ) -> Self {
        let mut sources: Vec<_> = sources.into_iter().collect();
        sources.sort_by_key(|(node, _)| *node);
        sources.dedup_by_key(|(node, _)| *node);
        PathPatch {
            sources,
            target,
            scale,
        }
    }
}

/// Exchanged contributions to the residual stream, by position, `[d_model]` each.
pub(super) type Deltas = BTreeMap<usize, Vec<f32>>;

impl Engine {
    /// Applies one path patch each to questions of a base run, `(question, patch)`, teacher-forced,
    /// and returns the resulting logits in the same order.
    ///
    /// # Errors
    /// [`EngineError::Width`] for a value that does not fit its node.
    pub fn patch_paths(
        &self,
        run: &Run,
        jobs: &[(usize, PathPatch)],
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        for (node, value) in jobs.iter().flat_map(|(_, patch)| &patch.sources) {
            let (found, expected) = (value.len(), Site::from(*node).width(&self.shape()));
            if found != expected {
                return Err(EngineError::Width {
                    site: node.to_string(),
                    found,
                    expected,
                });
            }
        }
        let clean = self.activations(run.prompts(), self.sites_of(jobs))?;
        let values: Vec<Vec<(Node, Vec<f32>)>> = jobs
            .par_iter()
            .map(|(question, patch)| self.target_values(run, &clean, *question, patch))
            .collect();
        let interventions: Vec<(usize, Intervention)> = jobs
            .iter()
            .zip(&values)
            .map(|((question, _), values)| {
                let overwrites = values.iter().map(|(node, value)| Overwrite {
                    site: (*node).into(),
                    source: Source::Stored,
                    value,
                });
                (*question, Intervention::new(overwrites))
            })
            .collect();
        let mut logits = self.intervene(run, &interventions, Decode::Forced)?;
        logits
            .par_iter_mut()
            .zip(jobs)
            .for_each(|(logits, (question, patch))| {
                self.patch_answer(logits, &clean, *question, patch);
            });
        Ok(logits)
    }

    /// The base activations needed beyond the cache.
    fn sites_of(&self, jobs: &[(usize, PathPatch)]) -> Vec<Site> {
        let shape = self.shape();
        let mut sites = Vec::new();
        for (_, patch) in jobs {
            sites.extend(patch.sources.iter().map(|(node, _)| Site::from(*node)));
            match &patch.target {
                Target::Nodes(nodes) => {
                    sites.extend(nodes.iter().map(|&node| Site::from(node)));
                    // An MLP reads the outputs of the heads in its layer.
                    for mlp in nodes.iter().filter(|node| node.head().is_none()) {
                        let beside = Node::all_at(&shape, mlp.position(), mlp.layer());
                        sites.extend(beside.into_iter().map(Site::from));
                    }
                }
                Target::Answer(tokens) => {
                    sites.extend(tokens.iter().map(|token| {
                        Site::resid_post(shape.predicting(token), shape.n_layers - 1)
                    }));
                }
            }
            sites.sort();
            sites.dedup();
        }
        sites
    }

    /// The difference between each source's contribution to the residual stream and its base
    /// contribution, where `reads` says that the target reads it.
    fn deltas(
        &self,
        clean: &Activations,
        question: usize,
        patch: &PathPatch,
        reads: impl Fn(&Node) -> bool,
    ) -> Deltas {
        let shape = self.shape();
        let mut deltas = Deltas::new();
        for &(node, stored) in patch.sources.iter().filter(|(node, _)| reads(node)) {
            let own = clean.get(question, node.into());
            let difference: Vec<f32> = stored.iter().zip(own).map(|(s, o)| s - o).collect();
            let block = &self.packed.blocks[node.layer()];
            let delta = deltas
                .entry(node.position())
                .or_insert_with(|| vec![0.0; shape.d_model]);
            match node.head() {
                Some(head) => {
                    let rows = head * shape.d_head..(head + 1) * shape.d_head;
                    block.output.add_rows(rows, &difference, delta);
                }
                None => (block.mlp_out).multiply(&difference, Onto::Result, delta),
            }
        }
        deltas
    }

    /// The value of every target node, if any of them reads a source.
    fn target_values(
        &self,
        run: &Run,
        clean: &Activations,
        question: usize,
        patch: &PathPatch,
    ) -> Vec<(Node, Vec<f32>)> {
        let Target::Nodes(targets) = &patch.target else {
            return Vec::new();
        };
        let shape = self.shape();
        let read: Vec<(Node, Deltas)> = targets
            .iter()
            // A target that cannot affect an answer has no queries in the base run, and needs none.
            .filter(|target| Site::from(**target).reaches_an_answer(&shape))
            .map(|&target| {
                let sees = |source: &Node| source.writes_to(&target);
                (target, self.deltas(clean, question, patch, sees))
            })
            .collect();
        if read.iter().all(|(_, deltas)| deltas.is_empty()) {
            return Vec::new();
        }
        let base = run.base(question);
        read.into_iter()
            .map(|(target, deltas)| {
                let own = |node: Node| clean.get(question, node.into());
                let value = match target.head() {
                    // No target passes its change on to another.
                    _ if deltas.is_empty() => own(target).to_vec(),
                    Some(head) => self.head_value(base, target, head, &deltas, patch.scale),
                    None => self.mlp_value(base, target, &deltas, patch.scale, own),
                };
                (target, value)
            })
            .collect()
    }

    pub(super) fn head_value(
        &self,
        base: Base,
        target: Node,
        head: usize,
        deltas: &Deltas,
        scale: Scale,
    ) -> Vec<f32> {
        let packed = &self.packed;
        let heads = packed.heads;
        let (layer, position) = (target.layer(), target.position());
        let block = &packed.blocks[layer];
        let project = |matrix: &Matrix, bias: &[f32], position: usize, clean: &[f32]| {
            let Some(delta) = deltas.get(&position) else {
                return clean.to_vec();
            };
            let x = base.x(packed, layer, position);
            read(&block.ln1, matrix, bias, x, clean, delta, scale)
        };
        let query = base.query(packed, layer, position);
        let query = project(&block.query, &block.query_bias, position, query);
        let key_values: Vec<Vec<f32>> = (0..=position)
            .map(|source| {
                let clean = base.key_value(packed, layer, source);
                project(&block.key_value, &block.key_value_bias, source, clean)
            })
            .collect();
        let looked_at: Vec<&[f32]> = key_values.iter().map(Vec::as_slice).collect();
        let asking = Asking {
            query: &query,
            first: 0,
            count: looked_at.len(),
        };
        let mut z = vec![0.0; heads.results()];
        attend(heads, &[asking], &looked_at, &mut z, None);
        z[head * heads.width..][..heads.width].to_vec()
    }

    fn mlp_value<'c>(
        &self,
        base: Base,
        target: Node,
        deltas: &Deltas,
        scale: Scale,
        own: impl Fn(Node) -> &'c [f32],
    ) -> Vec<f32> {
        let shape = self.shape();
        let block = &self.packed.blocks[target.layer()];
        let mut x = base
            .x(&self.packed, target.layer(), target.position())
            .to_vec();
        let z: Vec<f32> = Node::all_at(&shape, target.position(), target.layer())
            .into_iter()
            .filter(|node| node.head().is_some())
            .flat_map(|head| own(head).iter().copied())
            .collect();
        (block.output).multiply(&z, Onto::ResultAnd(&block.output_bias), &mut x);
        let hidden = block.mlp_in.apply(&block.ln2.apply(&x), &block.mlp_in_bias);
        let delta = &deltas[&target.position()];
        let mut hidden = read(
            &block.ln2,
            &block.mlp_in,
            &block.mlp_in_bias,
            &x,
            &hidden,
            delta,
            scale,
        );
        for value in &mut hidden {
            *value = value.max(0.0);
        }
        hidden
    }

    /// Replaces the logits that a patch of the answer's own residual changes.
    fn patch_answer(
        &self,
        logits: &mut AnswerLogits,
        clean: &Activations,
        question: usize,
        patch: &PathPatch,
    ) {
        let Target::Answer(tokens) = patch.target else {
            return;
        };
        let shape = self.shape();
        for token in tokens.iter() {
            let deltas = self.deltas(clean, question, patch, |source| {
                source.writes_to_token(&shape) == Some(token)
            });
            let Some((&position, delta)) = deltas.first_key_value() else {
                continue;
            };
            let x = clean.get(question, Site::resid_post(position, shape.n_layers - 1));
            let row = read(
                &self.packed.ln_final,
                &self.packed.unembed,
                &self.packed.unembed_bias,
                x,
                logits.row(token),
                delta,
                patch.scale,
            );
            let row: [f32; D_VOCAB] = row.try_into().expect("a row has one logit for each token");
            logits.set(shape.n_answer() - 1 - token.0, row);
        }
    }
}

/// The output of a matrix behind a layer norm for `x + delta`, given its output `clean` for `x`.
fn read(
    norm: &NormWeights,
    matrix: &Matrix,
    bias: &[f32],
    x: &[f32],
    clean: &[f32],
    delta: &[f32],
    scale: Scale,
) -> Vec<f32> {
    match scale {
        Scale::Frozen => {
            let mut out = clean.to_vec();
            let change = norm.change_at_scale_of(x, delta);
            matrix.multiply(&change, Onto::Result, &mut out);
            out
        }
        Scale::Running => {
            let changed: Vec<f32> = x.iter().zip(delta).map(|(x, d)| x + d).collect();
            matrix.apply(&norm.apply(&changed), bias)
        }
    }
}
