//! Exchanges on edges: what a site adds to what another reads, changed there alone.
//!
//! An exchange is turned into overwrites of its receivers. Everything else that a receiver reads is held
//! at its base value, so nothing reaches it through a third site and no receiver passes its change on to
//! another; after the receivers, the network runs freely.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::matrix::{Matrix, Onto};
use super::path::Deltas;
use super::{Activations, Engine, EngineError, Run, Scale, Site};
use crate::domain::arithmetic::Prompt;
use crate::domain::edge::{Edge, Receiver, Sender};
use crate::domain::site::{Hook, Point};

/// What senders add to the residual stream in each of some prompts.
#[derive(Debug, Clone)]
pub struct Contributions {
    senders: Vec<Sender>,
    d_model: usize,
    /// `values[sender]` is `[prompts, d_model]`.
    values: Vec<Vec<f32>>,
}

impl Contributions {
    /// What a sender adds in one prompt, `[d_model]`.
    ///
    /// # Panics
    /// If the sender was not asked for.
    pub fn get(&self, prompt: usize, sender: &Sender) -> &[f32] {
        let index = (self.senders.binary_search(sender)).expect("only what was asked for is known");
        &self.values[index][prompt * self.d_model..][..self.d_model]
    }

    /// The means over the prompts, as those of a single one.
    pub fn mean(self) -> Self {
        let mean = |rows: &Vec<f32>| {
            let mut sum = vec![0f64; self.d_model];
            for row in rows.chunks_exact(self.d_model) {
                sum.iter_mut()
                    .zip(row)
                    .for_each(|(s, &v)| *s += f64::from(v));
            }
            let count = (rows.len() / self.d_model) as f64;
            sum.into_iter().map(|s| (s / count) as f32).collect()
        };
        Contributions {
            values: self.values.iter().map(mean).collect(),
            ..self
        }
    }
}

/// The changes of what edges carry in one question of a base run.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    pub question: usize,
    /// Each edge with the difference that is added to what it carries, `[d_model]`.
    pub changes: Vec<(&'a Edge, Vec<f32>)>,
}

/// The receivers of one exchange, each with its value.
pub type Received = Vec<(Site, Vec<f32>)>;

impl Engine {
    /// What senders add to the residual stream in each prompt, without the bias that all heads share
    /// where a part of a head's output is meant.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub fn contributions(
        &self,
        prompts: &[Prompt],
        senders: impl IntoIterator<Item = Sender>,
    ) -> Result<Contributions, EngineError> {
        let mut senders: Vec<Sender> = senders.into_iter().collect();
        senders.sort();
        senders.dedup();
        let read = self.activations(prompts, senders.iter().flat_map(sites_of))?;
        let d_model = self.shape().d_model;
        let values = (senders.iter())
            .map(|sender| {
                let of = |prompt| self.contribution(&read, prompt, sender);
                (0..prompts.len())
                    .into_par_iter()
                    .flat_map_iter(of)
                    .collect()
            })
            .collect();
        Ok(Contributions {
            senders,
            d_model,
            values,
        })
    }

    fn contribution(&self, read: &Activations, prompt: usize, sender: &Sender) -> Vec<f32> {
        let site = sender.site();
        let (Some(head), Some(layer)) = (site.head(), site.hook().layer()) else {
            return read.get(prompt, site).to_vec();
        };
        if sender.keys().is_empty() {
            return read.get(prompt, site).to_vec();
        }
        let shape = self.shape();
        let pattern = Site::of_head(site.position(), Hook::of(Point::Pattern, layer), head);
        let weights = read.get(prompt, pattern);
        let mut z = vec![0.0; shape.d_head];
        for &key in sender.keys() {
            let value = Site::of_head(key, Hook::of(Point::V, layer), head);
            for (z, value) in z.iter_mut().zip(read.get(prompt, value)) {
                *z += weights[key] * value;
            }
        }
        let rows = head * shape.d_head..(head + 1) * shape.d_head;
        let mut added = vec![0.0; shape.d_model];
        self.packed.blocks[layer]
            .output
            .add_rows(rows, &z, &mut added);
        added
    }

    /// The values of the receivers of each exchange, to be written in the run of its question.
    ///
    /// # Errors
    /// [`EngineError::Site`] for an edge that this network does not have, [`EngineError::Width`] for a
    /// change of another width than the residual stream.
    pub fn received(
        &self,
        run: &Run,
        exchanges: &[Exchange],
        scale: Scale,
    ) -> Result<Vec<Received>, EngineError> {
        let shape = self.shape();
        for (edge, change) in exchanges.iter().flat_map(|exchange| &exchange.changes) {
            edge.check(&shape)?;
            if change.len() != shape.d_model {
                return Err(EngineError::Width {
                    site: edge.to_string(),
                    found: change.len(),
                    expected: shape.d_model,
                });
            }
        }
        let edges = exchanges.iter().flat_map(|exchange| &exchange.changes);
        let receivers = edges.map(|(edge, _)| edge.to());
        let read = receivers.flat_map(|to| match to.site().point() {
            // A head is recomputed from the cache.
            Point::Z => vec![],
            _ => vec![to.site(), to.stream(&shape)],
        });
        let clean = self.activations(run.prompts(), read)?;
        Ok((exchanges.par_iter())
            .map(|Exchange { question, changes }| {
                let mut by_receiver: BTreeMap<Receiver, Deltas> = BTreeMap::new();
                for (edge, change) in changes {
                    let deltas = by_receiver.entry(edge.to()).or_default();
                    let delta = (deltas.entry(edge.from().site().position()))
                        .or_insert_with(|| vec![0.0; shape.d_model]);
                    delta.iter_mut().zip(change).for_each(|(d, c)| *d += c);
                }
                let live = by_receiver
                    .into_iter()
                    // A head that cannot affect an answer has no queries in the base run.
                    .filter(|(to, _)| to.site().reaches_an_answer(&shape));
                live.map(|(to, deltas)| {
                    let value = match to.site().point() {
                        Point::Z => self.head_received(run, *question, to.site(), &deltas, scale),
                        _ => self.value_received(&clean, *question, to, &deltas, scale),
                    };
                    (to.site(), value)
                })
                .collect()
            })
            .collect())
    }

    fn head_received(
        &self,
        run: &Run,
        question: usize,
        site: Site,
        deltas: &Deltas,
        scale: Scale,
    ) -> Vec<f32> {
        let name = site.node().expect("a head's result is a node");
        let target = name.resolve(&self.shape()).expect("it was checked");
        let head = site.head().expect("a head's result has its head");
        self.head_value(run.base(question), target, head, deltas, scale)
    }

    fn value_received(
        &self,
        clean: &Activations,
        question: usize,
        to: Receiver,
        deltas: &Deltas,
        scale: Scale,
    ) -> Vec<f32> {
        let shape = self.shape();
        let site = to.site();
        let delta = &deltas[&site.position()];
        let stream = clean.get(question, to.stream(&shape));
        let own = clean.get(question, site);
        let block = &self.packed.blocks[site.layer_in(&shape)];
        let norm = match site.point() {
            Point::LnFinal => &self.packed.ln_final,
            Point::Ln2 => &block.ln2,
            _ => &block.ln1,
        };
        // The change of what is read, behind the norm.
        let change: Vec<f32> = match scale {
            Scale::Frozen => norm.change_at_scale_of(stream, delta),
            Scale::Running => {
                let changed: Vec<f32> = stream.iter().zip(delta).map(|(x, d)| x + d).collect();
                let rows = norm.apply(&changed).into_iter().zip(norm.apply(stream));
                rows.map(|(changed, clean)| changed - clean).collect()
            }
        };
        let Some(head) = site.head() else {
            return own
                .iter()
                .zip(&change)
                .map(|(own, change)| own + change)
                .collect();
        };
        let heads = self.packed.heads;
        let total = heads.total();
        let (matrix, width, start, unscale): (&Matrix, usize, usize, f32) = match site.point() {
            Point::Q => (&block.query, total, 0, (shape.d_head as f32).sqrt()),
            Point::K => (&block.key_value, 2 * total, 0, 1.0),
            _ => (&block.key_value, 2 * total, total, 1.0),
        };
        let mut projected = vec![0.0; width];
        matrix.multiply(&change, Onto::Result, &mut projected);
        let projected = &projected[start + head * heads.stride()..];
        (own.iter().zip(projected))
            .map(|(own, change)| own + change * unscale)
            .collect()
    }
}

/// The sites that tell what a sender adds.
fn sites_of(sender: &Sender) -> Vec<Site> {
    let site = sender.site();
    match (site.head(), site.hook().layer()) {
        (Some(head), Some(layer)) if !sender.keys().is_empty() => {
            let value = |&key: &usize| Site::of_head(key, Hook::of(Point::V, layer), head);
            let pattern = Site::of_head(site.position(), Hook::of(Point::Pattern, layer), head);
            sender.keys().iter().map(value).chain([pattern]).collect()
        }
        _ => vec![site],
    }
}
