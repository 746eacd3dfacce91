//! The published result of a claim: the outcome of the published tool's one or two fixed pairs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{Answer, Prompt, TokenSet};
use crate::domain::causal::{Canonical, Expectation, canonical_pairs, impact_text};
use crate::domain::node::{Node, NodeName};
use crate::domain::task::{Task, Variable};
use crate::inputs::model::Operations;
use crate::network::engine::{Decode, Engine, EngineError, Intervention, Site, Source};

/// The outcome of a claim's published test.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PublishedResult {
    /// The task has no published test at this digit.
    #[serde(rename = "no test")]
    NoTest,
    /// Neither the answer nor the impact is as expected.
    Failed,
    /// The attention prerequisite holds, which is the whole test of OPR and SGN.
    #[serde(rename = "attention only")]
    AttentionOnly,
    /// Only the impact is as expected.
    Weak,
    /// Both answer and impact are as expected.
    Strong,
}

impl PublishedResult {
    pub fn name(self) -> &'static str {
        match self {
            PublishedResult::NoTest => "no test",
            PublishedResult::Failed => "failed",
            PublishedResult::AttentionOnly => "attention only",
            PublishedResult::Weak => "weak",
            PublishedResult::Strong => "strong",
        }
    }
}

/// A published result and the nodes that were patched together to get it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct Published {
    /// The result.
    pub result: PublishedResult,
    /// The node alone, or with one partner.
    pub nodes: Vec<NodeName>,
    /// The answer to each pair, `source -> base = answer`, for this result.
    pub answers: Vec<PublishedTrial>,
}

/// One published pair and its patched answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct PublishedTrial {
    /// The question the activation came from.
    pub source: Prompt,
    /// The question it was patched into.
    pub base: Prompt,
    /// The patched answer.
    pub got: Answer,
}

/// Tasks for which the published tool also tries pairs of heads.
pub const TRIED_IN_PAIRS: [Task; 5] = [Task::Sa, Task::St, Task::Md, Task::Mt, Task::Nd];

/// Tasks for which the impact alone gives a weak tag. For the others the weak pass repeats the
/// strong test.
pub const WEAK_BY_IMPACT: [Task; 3] = [Task::Sa, Task::Md, Task::Nd];

/// How the impact of an intervention is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImpactReading {
    /// Whether the sign is A(n+1). In addition-only models, the published tool gives it no number.
    pub sign_has_number: bool,
    /// Whether impacts are compared as the published text, with sorted characters, or as positions.
    pub sorted: bool,
}

pub struct PublishedTests<'a> {
    engine: &'a Engine,
    reading: ImpactReading,
}

impl<'a> PublishedTests<'a> {
    /// Published tests on one network, trained for `operations`.
    pub fn new(engine: &'a Engine, operations: Operations) -> Self {
        let reading = ImpactReading {
            sign_has_number: operations.trains_subtraction(),
            sorted: true,
        };
        Self::reading(engine, reading)
    }

    /// Published tests on one network, with another reading of impacts.
    pub fn reading(engine: &'a Engine, reading: ImpactReading) -> Self {
        PublishedTests { engine, reading }
    }

    /// The published result of a claim with a digit: the best of the node alone and the node with
    /// each of `partners` (heads of its layer and position with the same tag).
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn interventions(
        &self,
        variable: Variable,
        node: Node,
        partners: &[Node],
    ) -> Result<Published, EngineError> {
        let mut sets = vec![vec![node]];
        if TRIED_IN_PAIRS.contains(&variable.task) && node.head().is_some() {
            sets.extend(partners.iter().map(|&partner| {
                let mut set = vec![node, partner];
                set.sort();
                set
            }));
        }
        let mut best: Option<Published> = None;
        for nodes in sets {
            let tried = self.together(variable, nodes)?;
            if best.as_ref().is_none_or(|b| tried.result > b.result) {
                best = Some(tried);
            }
        }
        Ok(best.expect("the node alone was tried"))
    }

    /// The published result of a claim with a digit, with these nodes patched together.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn together(&self, variable: Variable, nodes: Vec<Node>) -> Result<Published, EngineError> {
        let n_digits = self.engine.shape().n_digits;
        let Some(pairs) = canonical_pairs(variable, n_digits) else {
            return Ok(Published {
                result: PublishedResult::NoTest,
                nodes: Node::names(&nodes),
                answers: Vec::new(),
            });
        };
        let bases: Vec<Prompt> = pairs.iter().map(|p| Prompt::truth(p.base)).collect();
        let sources: Vec<Prompt> = pairs.iter().map(|p| Prompt::truth(p.source)).collect();
        let run = self.engine.run(&bases)?;
        let stored = self
            .engine
            .activations(&sources, nodes.iter().map(|&n| Site::from(n)))?;
        let jobs: Vec<(usize, Intervention)> = (0..pairs.len())
            .map(|pair| {
                let patch = nodes
                    .iter()
                    .map(|&node| stored.overwrite(pair, node, Source::Stored));
                (pair, Intervention::new(patch))
            })
            .collect();
        let logits = self.engine.intervene(&run, &jobs, Decode::Forced)?;
        let answers: Vec<PublishedTrial> = logits
            .iter()
            .zip(sources.iter().zip(&bases))
            .map(|(logits, (&source, &base))| PublishedTrial {
                source,
                base,
                got: logits.answer(),
            })
            .collect();
        let outcomes: Vec<PublishedResult> = pairs
            .iter()
            .zip(&answers)
            .map(|(pair, trial)| self.compare(variable, pair, trial))
            .collect();
        // A task with two tests must pass both.
        let result = outcomes
            .into_iter()
            .min()
            .expect("a published test has pairs");
        Ok(Published {
            result,
            nodes: Node::names(&nodes),
            answers,
        })
    }

    fn compare(
        &self,
        variable: Variable,
        pair: &Canonical,
        trial: &PublishedTrial,
    ) -> PublishedResult {
        let truth = trial.base.forced;
        let changed = trial.got.changed_from(&truth);
        let passed = match pair.expect {
            Expectation::AnyChange => !changed.is_empty(),
            Expectation::SignFlips => changed.contains(truth.sign_place()),
            Expectation::Exactly { answer, impact } => {
                let sign = truth.sign_place();
                let text = impact_text(changed, sign, self.reading.sign_has_number);
                let impact_holds = if self.reading.sorted {
                    text == impact.to_string()
                } else {
                    changed == TokenSet::only(impact)
                };
                if trial.got != answer && impact_holds && WEAK_BY_IMPACT.contains(&variable.task) {
                    return PublishedResult::Weak;
                }
                trial.got == answer && impact_holds
            }
        };
        if passed {
            PublishedResult::Strong
        } else {
            PublishedResult::Failed
        }
    }
}

/// Attention sources that the published files list for each node, at most four per node.
pub type AttentionSources = BTreeMap<Node, Vec<usize>>;

/// Most attention sources listed for a node.
const TOP_SOURCES: usize = 4;

/// Minimum percentage of attention, before rounding, for a source to be listed.
const NAMED_PERCENT: f32 = 1.0;

/// As [`AttentionSources`], with the rounded percentage of each source.
pub type AttentionPercents = BTreeMap<Node, Vec<(usize, u32)>>;

/// The main sources of attention of every head, from mean attention weights
/// `[n_layers, n_heads, n_ctx, n_ctx]`, by the published rule: the four largest of at least 1 %.
pub fn attention_sources(engine: &Engine, attention: &[f32]) -> AttentionSources {
    attention_percents(engine, attention)
        .into_iter()
        .map(|(node, sources)| {
            (
                node,
                sources.into_iter().map(|(source, _)| source).collect(),
            )
        })
        .collect()
}

/// The weights that a head gives each source position, `[n_ctx]`, from mean attention weights
/// `[n_layers, n_heads, n_ctx, n_ctx]`; `None` for an MLP.
pub fn attention_row<'w>(engine: &Engine, attention: &'w [f32], node: Node) -> Option<&'w [f32]> {
    let shape = engine.shape();
    let n_ctx = shape.n_ctx();
    let row = (node.layer() * shape.n_heads + node.head()?) * n_ctx + node.position();
    Some(&attention[row * n_ctx..][..n_ctx])
}

/// As [`attention_sources`], with the rounded percentage of each source.
pub fn attention_percents(engine: &Engine, attention: &[f32]) -> AttentionPercents {
    let shape = engine.shape();
    Node::all(&shape)
        .into_iter()
        .filter_map(|node| {
            let weights = attention_row(engine, attention, node)?;
            let mut sources: Vec<usize> = (0..weights.len())
                .filter(|&source| weights[source] * 100.0 >= NAMED_PERCENT)
                .collect();
            sources.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
            sources.truncate(TOP_SOURCES);
            let percent = |source: usize| (weights[source] * 100.0).round() as u32;
            let sources = sources.into_iter().map(|s| (s, percent(s))).collect();
            Some((node, sources))
        })
        .collect()
}

/// The position whose attention is the whole published test of OPR or SGN.
pub fn attended_position(task: Task, engine: &Engine) -> Option<usize> {
    match task {
        Task::Opr => Some(engine.shape().operator()),
        Task::Sgn => Some(engine.shape().sign()),
        _ => None,
    }
}
