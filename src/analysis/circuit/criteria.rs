//! What the literature asks of a circuit: how faithful it is, whether its nodes do what is claimed of them
//! and nothing else, and the hypothesis tests of equivalence, independence and minimality. Nodes are
//! ranked on one half of the questions, and everything is judged on the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faithfulness::Faithfulness;
use super::minimal::MinimalityTest;
use super::null_hypotheses::HypothesisTests;
use super::scrubbing::{Claimed, Outside, Scrubbing};
use super::{ClassQuestions, NodeSet, Scoring, Workbench};
use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::node::Node;
use crate::experiment::Baseline;
use crate::network::ablation::Ablation;
use crate::network::engine::{Engine, EngineError};
use crate::network::logits::AnswerLogits;

/// Fewest questions of a class, in each half, that anything is judged on.
pub const FEWEST: usize = 10;

/// The tests of one circuit.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct CircuitTests {
    pub classes: Vec<ClassTests>,
    /// Classes that the network answers correctly on too few questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub too_few: Vec<Class>,
    /// Each node against random ones, on all classes; absent where there are none to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimality: Option<MinimalityTest>,
}

/// The tests of a circuit on the questions of one class.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ClassTests {
    pub class: Class,
    /// Questions that nodes are ranked on.
    pub ranked_on: usize,
    /// The other questions, which everything is judged on.
    pub judged_on: usize,
    /// Absent where ablating all nodes costs no logit difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faithfulness: Option<Faithfulness>,
    /// Absent for a circuit whose nodes come without claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrubbing: Option<Scrubbing>,
    /// The same with the nodes outside the circuit left as they are: of the claims alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_alone: Option<Scrubbing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypotheses: Option<HypothesisTests>,
}

impl CircuitTests {
    /// Whether stored figures can have come from these tests.
    pub(super) fn is_possible(&self) -> bool {
        let minimality = self.minimality.as_ref();
        self.classes.iter().all(ClassTests::is_possible)
            && minimality.is_none_or(MinimalityTest::is_possible)
    }
}

impl ClassTests {
    fn is_possible(&self) -> bool {
        let faithfulness = self.faithfulness.as_ref();
        let estimates = faithfulness.is_none_or(Faithfulness::is_possible);
        let hypotheses = self.hypotheses.as_ref();
        let judged = self.judged_on as u64;
        let scrubbings = [&self.scrubbing, &self.claims_alone].into_iter().flatten();
        estimates
            && hypotheses.is_none_or(|tests| tests.is_possible(judged))
            && scrubbings
                .flat_map(|of| &of.recovered)
                .all(|of| of.is_possible())
    }
}

/// A network with two halves of the questions, and its nodes ranked on the first.
pub struct TestBench<'a> {
    pub(super) engine: &'a Engine,
    pub(super) judging: Workbench<'a>,
    /// The nodes by how much mean-ablating each alone lowers the logit difference on the first half of
    /// a class's questions, the largest loss first, and the number of these questions.
    ranked: BTreeMap<Class, (Vec<Node>, usize)>,
    too_few: Vec<Class>,
}

impl<'a> TestBench<'a> {
    /// Takes up to `count` correctly answered questions of each class of the baseline, half of them to
    /// rank the nodes on.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn new(engine: &'a Engine, baseline: &Baseline, count: usize) -> Result<Self, EngineError> {
        let half = |first: usize| {
            let mut half = baseline.clone();
            for right in half.right.values_mut() {
                *right = right
                    .iter()
                    .take(count)
                    .skip(first)
                    .step_by(2)
                    .copied()
                    .collect();
            }
            half.right.retain(|_, right| right.len() >= FEWEST);
            Workbench::new(engine, &half, count)
        };
        let (ranking, judging) = (half(0)?, half(1)?);
        let mut ranked = BTreeMap::new();
        for questions in &ranking.classes {
            let nodes = ranking.by_effect(questions)?;
            ranked.insert(questions.class, (nodes, questions.prompts().len()));
        }
        let judged = |class: &Class| judging.classes().any(|other| other == *class);
        let too_few = (baseline.right.keys().copied())
            .filter(|class| !judged(class) || !ranked.contains_key(class))
            .collect();
        Ok(TestBench {
            engine,
            judging,
            ranked,
            too_few,
        })
    }

    /// The nodes that can affect an answer.
    pub fn nodes(&self) -> &NodeSet {
        self.judging.nodes()
    }

    /// Puts a circuit to all tests; its claims too, where its nodes come with some. `progress` receives
    /// the number of classes done and the total.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn test(
        &self,
        keep: &NodeSet,
        claimed: Option<&Claimed>,
        testing: Scoring,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<CircuitTests, EngineError> {
        let of_class = testing.alpha / self.judging.classes.len().max(1) as f64;
        let mut classes = Vec::new();
        for (done, questions) in self.judging.classes.iter().enumerate() {
            progress(done, self.judging.classes.len());
            let Some((ranked, ranked_on)) = self.ranked.get(&questions.class) else {
                continue;
            };
            let scrub = |outside| {
                let scrubbed =
                    claimed.map(|claimed| self.scrub(questions, keep, claimed, outside, testing));
                scrubbed.transpose()
            };
            classes.push(ClassTests {
                class: questions.class,
                ranked_on: *ranked_on,
                judged_on: questions.prompts().len(),
                faithfulness: self.faithfulness(questions, keep, ranked, testing)?,
                scrubbing: scrub(Outside::Random)?,
                claims_alone: scrub(Outside::Own)?,
                hypotheses: self.hypothesis_tests(questions, keep, testing, of_class)?,
            });
        }
        Ok(CircuitTests {
            classes,
            too_few: self.too_few.clone(),
            minimality: self.minimality_test(keep, testing)?,
        })
    }
}

/// The logit difference of each question.
pub(super) fn logit_differences(prompts: &[Prompt], logits: &[AnswerLogits]) -> Vec<f64> {
    let each = logits.iter().zip(prompts);
    each.map(|(logits, prompt)| logits.logit_difference(&prompt.forced))
        .collect()
}

impl Workbench<'_> {
    /// For each set, the logit difference of up to `limit` questions of a class with only that set
    /// intact and all other nodes mean-ablated: `[set][question]`.
    pub(super) fn logit_differences(
        &self,
        questions: &ClassQuestions,
        keeps: &[&NodeSet],
        limit: usize,
    ) -> Result<Vec<Vec<f64>>, EngineError> {
        let logits = self.logits(questions, keeps, Ablation::Mean, limit)?;
        let of_set = |logits: &Vec<AnswerLogits>| logit_differences(questions.prompts(), logits);
        Ok(logits.iter().map(of_set).collect())
    }

    /// All nodes, those whose mean ablation alone lowers the logit difference most first.
    fn by_effect(&self, questions: &ClassQuestions) -> Result<Vec<Node>, EngineError> {
        let without: Vec<NodeSet> = (self.nodes.iter())
            .map(|&node| self.without(&self.nodes, node))
            .collect();
        let left =
            self.logit_differences(questions, &without.iter().collect::<Vec<_>>(), usize::MAX)?;
        let left = left.iter().map(|each| each.iter().sum::<f64>());
        let mut ranked: Vec<(Node, f64)> = self.nodes.iter().copied().zip(left).collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        Ok(ranked.into_iter().map(|(node, _)| node).collect())
    }
}
