//! Circuits: how well a network does with only some nodes intact and every other ablated.
//!
//! An ablated node holds its mean over questions of the same class, each in its own layer, or its
//! value in another question of the class, the same question for all nodes.

mod compare;
mod criteria;
mod evidence;
mod faithfulness;
mod minimal;
mod null_hypotheses;
mod scrubbing;
mod search;

pub use compare::{Comparing, NamedCircuit, NamedCircuitError};
pub use criteria::{CircuitTests, ClassTests, FEWEST, TestBench};
pub use evidence::{Circuit, CircuitError, CircuitEvidence, SCHEMA};
pub use faithfulness::{Curve, CurvePoint, Faithfulness};
pub use minimal::{MinimalityTest, NodeMinimality, QUANTILE};
pub use null_hypotheses::{
    AgainstRandom, Decision, Equivalence, HypothesisTests, Independence, TOLERANCE,
    TokenIndependence,
};
pub use scrubbing::{Claimed, Scrubbing};
pub use search::{Added, Minimality, Pruned, grow, minimality, prune};

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{AnswerToken, Class, Prompt};
use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::experiment::stats::{Count, Rate};
use crate::experiment::{Baseline, stream};
use crate::network::ablation::{Ablation, AblationBench};
use crate::network::engine::{Engine, EngineError, Site};
use crate::network::logits::AnswerLogits;

/// Questions run together; the activations at every node are held in memory for all of them.
const BLOCK: usize = 32;

pub const QUESTIONS: usize = 300;

/// Random sets that a circuit is compared with.
pub const RANDOM_SETS: usize = 20;

/// Share of correctly answered questions that growing and pruning aim for.
pub const ENOUGH: f64 = 0.99;

/// Most nodes added by growing.
pub const MOST_ADDED: usize = 40;

/// The ablations with which a circuit is scored.
pub const ABLATIONS: [Ablation; 2] = [Ablation::Mean, Ablation::Resample];

pub type NodeSet = BTreeSet<Node>;

/// Correctly answered questions of one class.
pub(super) struct ClassQuestions<'a> {
    pub(super) class: Class,
    pub(super) bench: AblationBench<'a>,
}

impl<'a> ClassQuestions<'a> {
    /// Takes up to `count` correctly answered questions of each class that `asked` wants, for
    /// ablating `nodes`.
    pub(super) fn of_each(
        engine: &'a Engine,
        baseline: &Baseline,
        nodes: &[Node],
        count: usize,
        asked: impl Fn(Class) -> bool,
    ) -> Result<Vec<Self>, EngineError> {
        let mut classes = Vec::new();
        for (&class, right) in baseline.right.iter().filter(|&(&class, _)| asked(class)) {
            let right = right.iter().take(count);
            let prompts: Vec<Prompt> = right.map(|&question| Prompt::truth(question)).collect();
            // With one question, neither its mean nor another question's value is meaningful.
            if prompts.len() >= 2 {
                let bench = AblationBench::new(engine, prompts, nodes.to_vec())?;
                classes.push(Self { class, bench });
            }
        }
        Ok(classes)
    }

    pub(super) fn prompts(&self) -> &[Prompt] {
        self.bench.prompts()
    }

    /// Adds to `count` how many of the first questions are answered correctly.
    fn count_right(&self, logits: &[AnswerLogits], count: &mut Count) {
        for (logits, prompt) in logits.iter().zip(self.prompts()) {
            count.add(logits.answer() == prompt.forced);
        }
    }
}

/// A network with questions to score circuits on.
pub struct Workbench<'a> {
    classes: Vec<ClassQuestions<'a>>,
    /// Nodes that can affect an answer.
    nodes: NodeSet,
}

/// The score of a circuit on one class under one ablation.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct CircuitScore {
    pub class: Class,
    /// The ablation of all other nodes.
    pub ablation: Ablation,
    pub right: Rate,
    /// Questions on which each answer token is wrong; tokens that are never wrong are left out.
    pub wrong: BTreeMap<AnswerToken, u64>,
    /// Correctly answered questions, over random sets of the same number of heads and MLPs.
    pub random: Count,
    /// The best of these sets.
    pub best_random: Count,
}

/// How circuits are scored and tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scoring {
    /// Random sets to compare with, for each class and ablation.
    pub random_sets: usize,
    /// Error of all intervals of scores together; of tests, that of each interval, and of the same
    /// decision on all classes.
    pub alpha: f64,
    pub seed: u64,
}

impl<'a> Workbench<'a> {
    /// Takes up to `count` correctly answered questions of each class of the baseline.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn new(engine: &'a Engine, baseline: &Baseline, count: usize) -> Result<Self, EngineError> {
        let nodes = live_nodes(&engine.shape());
        let live: Vec<Node> = nodes.iter().copied().collect();
        Ok(Workbench {
            classes: ClassQuestions::of_each(engine, baseline, &live, count, |_| true)?,
            nodes,
        })
    }

    /// The nodes that can affect an answer: those that a circuit can be made of.
    pub fn nodes(&self) -> &NodeSet {
        &self.nodes
    }

    /// Those of these nodes that can affect an answer.
    pub fn named<'n>(&self, names: impl IntoIterator<Item = &'n NodeName>) -> NodeSet {
        let names: BTreeSet<NodeName> = names.into_iter().copied().collect();
        let nodes = self.nodes.iter().copied();
        nodes.filter(|node| names.contains(&node.name())).collect()
    }

    /// The classes that have questions.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.classes.iter().map(|questions| questions.class)
    }

    /// The logits of up to `limit` questions of a class, once for each set in `keeps`, with all
    /// nodes outside the set ablated. Work shared between the sets is done once.
    fn logits(
        &self,
        questions: &ClassQuestions,
        keeps: &[&NodeSet],
        ablation: Ablation,
        limit: usize,
    ) -> Result<Vec<Vec<AnswerLogits>>, EngineError> {
        let mut logits = vec![Vec::new(); keeps.len()];
        for block in questions.bench.blocks(limit, BLOCK) {
            let mut block = block?;
            for (keep, logits) in keeps.iter().zip(&mut logits) {
                let ablated: Vec<Node> = self.nodes.difference(keep).copied().collect();
                logits.extend(block.ablate(ablation, &ablated)?);
            }
        }
        Ok(logits)
    }

    /// For each set, how many questions of all classes are answered correctly with only that set
    /// intact and all other nodes mean-ablated.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn right_of_each(&self, keeps: &[&NodeSet]) -> Result<Vec<Count>, EngineError> {
        let mut counts = vec![Count::default(); keeps.len()];
        for questions in &self.classes {
            let logits = self.logits(questions, keeps, Ablation::Mean, usize::MAX)?;
            for (count, logits) in counts.iter_mut().zip(&logits) {
                questions.count_right(logits, count);
            }
        }
        Ok(counts)
    }

    /// How many questions of all classes are answered correctly with only `keep` intact and all
    /// other nodes mean-ablated.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn right(&self, keep: &NodeSet) -> Result<Count, EngineError> {
        Ok(self.right_of_each(&[keep])?[0])
    }

    /// For each set, the mean loss in nats over up to `limit` questions of each class, with only
    /// that set intact and all other nodes mean-ablated.
    fn losses(&self, keeps: &[&NodeSet], limit: usize) -> Result<Vec<f64>, EngineError> {
        let (mut totals, mut asked) = (vec![0.0; keeps.len()], 0);
        for questions in &self.classes {
            let logits = self.logits(questions, keeps, Ablation::Mean, limit)?;
            for (total, logits) in totals.iter_mut().zip(&logits) {
                let each = logits.iter().zip(questions.prompts());
                *total += each.map(|(l, p)| l.loss(&p.forced)).sum::<f64>();
            }
            asked += limit.min(questions.prompts().len());
        }
        let mean = |total: f64| total / asked.max(1) as f64;
        Ok(totals.into_iter().map(mean).collect())
    }

    /// Scores a circuit on every class with every ablation. `progress` receives the number of
    /// scores done and the total.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn score(
        &self,
        keep: &NodeSet,
        scoring: Scoring,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<CircuitScore>, EngineError> {
        let of = self.classes.len() * ABLATIONS.len();
        let alpha = scoring.alpha / (2 * of.max(1)) as f64;
        let mut scores = Vec::with_capacity(of);
        for questions in &self.classes {
            for ablation in ABLATIONS {
                progress(scores.len(), of);
                let sets: Vec<NodeSet> = (0..scoring.random_sets)
                    .map(|set| {
                        let name = format!("circuit/{}/{ablation}/{set}", questions.class);
                        self.random_like(keep, scoring.seed, &name)
                    })
                    .collect();
                let all: Vec<&NodeSet> = [keep].into_iter().chain(&sets).collect();
                let logits = self.logits(questions, &all, ablation, usize::MAX)?;
                let (logits, others) = logits.split_first().expect("the circuit itself");
                let mut right = Count::default();
                let mut wrong: BTreeMap<AnswerToken, u64> = BTreeMap::new();
                for (logits, prompt) in logits.iter().zip(questions.prompts()) {
                    let changed = logits.answer().changed_from(&prompt.forced);
                    right.add(changed.is_empty());
                    for token in changed.iter() {
                        *wrong.entry(token).or_default() += 1;
                    }
                }
                let (mut random, mut best) = (Count::default(), Count::default());
                for logits in others {
                    let mut found = Count::default();
                    questions.count_right(logits, &mut found);
                    random.hits += found.hits;
                    random.trials += found.trials;
                    if best.trials == 0 || found.hits > best.hits {
                        best = found;
                    }
                }
                scores.push(CircuitScore {
                    class: questions.class,
                    ablation,
                    right: Rate::sampled(right, alpha),
                    wrong,
                    random,
                    best_random: best,
                });
            }
        }
        Ok(scores)
    }

    /// A random set with the same number of heads and of MLPs.
    fn random_like(&self, keep: &NodeSet, seed: u64, name: &str) -> NodeSet {
        let mut rng = stream(seed, name);
        let mut drawn = NodeSet::new();
        for heads in [true, false] {
            let of_kind = |node: &&Node| node.head().is_some() == heads;
            let mut pool: Vec<Node> = self.nodes.iter().filter(of_kind).copied().collect();
            let wanted = keep.intersection(&self.nodes).filter(of_kind).count();
            pool.shuffle(&mut rng);
            drawn.extend(pool.into_iter().take(wanted));
        }
        drawn
    }

    /// The useful nodes: those whose mean ablation, alone, makes some question fail.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn useful(&self) -> Result<NodeSet, EngineError> {
        let mut useful = NodeSet::new();
        for questions in &self.classes {
            for block in questions.bench.blocks(usize::MAX, BLOCK) {
                let mut block = block?;
                for &node in &self.nodes {
                    if useful.contains(&node) {
                        continue;
                    }
                    let logits = block.ablate(Ablation::Mean, &[node])?;
                    let mut answers = logits.iter().zip(block.prompts());
                    if answers.any(|(logits, prompt)| logits.answer() != prompt.forced) {
                        useful.insert(node);
                    }
                }
            }
        }
        Ok(useful)
    }
}

/// The nodes that can affect an answer.
pub fn live_nodes(shape: &Shape) -> NodeSet {
    Node::all(shape)
        .into_iter()
        .filter(|&node| Site::from(node).reaches_an_answer(shape))
        .collect()
}
