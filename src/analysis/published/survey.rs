//! Which questions fail when positions and nodes are mean-ablated over a question set.

use std::collections::BTreeSet;

use crate::domain::arithmetic::{Answer, Class, Complexity, Prompt, TokenSet, complexity};
use crate::domain::node::Node;
use crate::experiment::stats::Count;
use crate::network::engine::{
    Activations, Decode, Engine, EngineError, Intervention, Overwrite, Site, Source,
};

use super::quirk::{Quirk, Quirks};

/// Mean answer loss, in nats, above which a wrong answer counts as a failure.
const FAILURE_LOSS: f64 = 0.01;

/// Memory that the base runs of one batch of questions may use.
const BATCH_BYTES: usize = 64 << 20;

/// Interventions times questions run together: enough for every thread, small compared with a
/// batch.
const JOBS_AT_ONCE: usize = 8192;

/// The questions that fail under one ablation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// Questions that fail, among those answered correctly without the ablation.
    pub count: Count,
    /// The answer tokens that are wrong in any of them.
    pub impact: TokenSet,
    pub complexities: BTreeSet<Complexity>,
}

impl Failures {
    fn add(&mut self, prompt: &Prompt, got: Answer, failed: bool) {
        self.count.add(failed);
        if failed {
            self.impact = self.impact.union(got.changed_from(&prompt.forced));
            self.complexities.insert(complexity(&prompt.question));
        }
    }

    /// Adds the failures of another set of questions.
    fn merge(&mut self, other: Failures) {
        self.count.hits += other.count.hits;
        self.count.trials += other.count.trials;
        self.impact = self.impact.union(other.impact);
        self.complexities.extend(other.complexities);
    }

    /// Grades of the failing questions of a class, ascending.
    pub fn grades(&self, class: Class) -> Vec<u8> {
        self.complexities
            .iter()
            .filter(|complexity| complexity.class == class)
            .map(|complexity| complexity.grade)
            .collect()
    }
}

/// A network, a question set and the means over it.
pub struct Survey<'a> {
    engine: &'a Engine,
    set: &'a [Prompt],
    quirks: &'a Quirks,
    means: Activations,
}

impl<'a> Survey<'a> {
    /// Takes the means over the whole set.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's.
    pub fn new(
        engine: &'a Engine,
        set: &'a [Prompt],
        quirks: &'a Quirks,
    ) -> Result<Self, EngineError> {
        let shape = engine.shape();
        let nodes = Node::all(&shape).into_iter().map(Site::from);
        let residuals = (0..shape.n_ctx()).flat_map(|position| {
            (0..shape.n_layers).map(move |layer| Site::resid_post(position, layer))
        });
        let means = engine.mean_activations(set, nodes.chain(residuals))?;
        Ok(Survey {
            engine,
            set,
            quirks,
            means,
        })
    }

    /// The mean to write at a site.
    fn overwrite(&self, site: Site) -> Overwrite<'_> {
        let from = match self.quirks.has(Quirk::FirstLayerMeans) {
            true => site.in_layer(0),
            false => site,
        };
        Overwrite {
            site,
            source: Source::Mean,
            value: self.means.get(0, from),
        }
    }

    /// For each position, the failures with the residual stream at that position mean-ablated in
    /// every layer.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn positions(&self) -> Result<Vec<Failures>, EngineError> {
        let shape = self.engine.shape();
        let ablations: Vec<Intervention> = (0..shape.n_ctx())
            .map(|position| {
                Intervention::new(
                    (0..shape.n_layers)
                        .map(|layer| self.overwrite(Site::resid_post(position, layer))),
                )
            })
            .collect();
        self.failures(&ablations)
    }

    /// The failures with each of these nodes mean-ablated.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn nodes(&self, nodes: &[Node]) -> Result<Vec<Failures>, EngineError> {
        let ablations: Vec<Intervention> = nodes
            .iter()
            .map(|&node| Intervention::new([self.overwrite(node.into())]))
            .collect();
        self.failures(&ablations)
    }

    fn failures(&self, ablations: &[Intervention]) -> Result<Vec<Failures>, EngineError> {
        let mut found = vec![Failures::default(); ablations.len()];
        for batch in self.set.chunks(self.engine.questions_in(BATCH_BYTES)) {
            let run = self.engine.run(batch)?;
            let right: Vec<usize> = (0..batch.len())
                .filter(|&question| run.logits()[question].answer() == batch[question].forced)
                .collect();
            let at_once = (JOBS_AT_ONCE / right.len().max(1)).max(1);
            for (ablations, found) in ablations.chunks(at_once).zip(found.chunks_mut(at_once)) {
                let jobs: Vec<(usize, Intervention)> = ablations
                    .iter()
                    .flat_map(|ablation| {
                        right
                            .iter()
                            .map(move |&question| (question, ablation.clone()))
                    })
                    .collect();
                let logits = self.engine.intervene(&run, &jobs, Decode::Forced)?;
                for (found, logits) in found.iter_mut().zip(logits.chunks(right.len().max(1))) {
                    let mut batch_found = Failures::default();
                    for (&question, logits) in right.iter().zip(logits) {
                        let prompt = &batch[question];
                        let got = logits.answer();
                        let failed =
                            got != prompt.forced && logits.loss(&prompt.forced) > FAILURE_LOSS;
                        batch_found.add(prompt, got, failed);
                    }
                    found.merge(batch_found);
                }
            }
        }
        Ok(found)
    }
}
