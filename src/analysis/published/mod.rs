//! Describes a model from its weights by the published protocol: which nodes are useful, what they
//! do, and which published tests they pass.

mod changes;
mod clusters;
mod effect;
mod questions;
mod quirk;
mod reproduce;
mod search;
mod survey;

pub use changes::{Changes, Moved};
pub use clusters::{Clustering, Scores};
pub use effect::{QuirkEffect, effects};
pub use questions::{
    Enrichment, RANDOM_QUESTIONS, SET_SEED, draw_set, draw_set_with, subtraction_share,
};
pub use quirk::{Quirk, Quirks, UnknownQuirk};
pub use reproduce::{Predicted, Remeasuring, Reproduction, TagEvidence, TagReading, remeasure};
pub use search::search;
pub use survey::{Failures, Survey};

use clusters::{HeadOutput, TriCase};
use rayon::prelude::*;
use serde_json::Map;

use crate::domain::arithmetic::{AnswerToken, Class, Operation, Prompt};
use crate::domain::causal::impact_text;
use crate::domain::node::Node;
use crate::experiment::stream;
use crate::inputs::claims::{Tag, TaggedNode};
use crate::inputs::model::{ModelFolder, Operations};
use crate::network::engine::{Engine, EngineError, Site};
use crate::verify::attention_percents;

/// The description of a model's nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovered {
    pub questions: usize,
    /// Questions answered correctly without ablation; the others count only in the means.
    pub right: usize,
    /// Positions whose ablation makes some question fail.
    pub positions: Vec<usize>,
    pub nodes: Vec<UsefulNode>,
}

/// A node whose ablation makes some question fail, and its observed behaviour.
#[derive(Debug, Clone, PartialEq)]
pub struct UsefulNode {
    pub node: Node,
    pub failures: Failures,
    /// Main sources of attention with rounded percentages, largest first; empty for an MLP.
    pub attention: Vec<(usize, u32)>,
    /// Digits by whose three cases the head's output clusters, additions first.
    pub clusters: Vec<(Operation, usize)>,
}

/// A model described by one protocol, with the two files that contain the description.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub found: Discovered,
    pub behaviors: Vec<TaggedNode>,
    pub features: Vec<TaggedNode>,
}

/// Describes a model over a question set, and searches for claims among the behaviours found or
/// those given.
///
/// # Errors
/// As [`discover`].
pub fn describe(
    folder: &ModelFolder,
    engine: &Engine,
    set: &[Prompt],
    quirks: &Quirks,
    seed: u64,
    given: Option<&[TaggedNode]>,
) -> Result<Description, EngineError> {
    let operations = folder.operations();
    let found = discover(folder, engine, set, quirks, seed)?;
    let behaviors = found.behaviors(engine.shape().n_digits, operations, quirks);
    let features = search(engine, operations, given.unwrap_or(&behaviors), quirks)?;
    Ok(Description {
        found,
        behaviors,
        features,
    })
}

/// Describes a model over a question set. Clustering draws its own questions from `seed`.
///
/// # Errors
/// [`EngineError`] where a question does not fit the model, or an ablation was not applied.
pub fn discover(
    folder: &ModelFolder,
    engine: &Engine,
    set: &[Prompt],
    quirks: &Quirks,
    seed: u64,
) -> Result<Discovered, EngineError> {
    let mut found = useful(engine, set, quirks)?;
    let heads = found.heads();
    let clusterings = clusterings(folder, engine, &heads, quirks, seed)?;
    found.cluster(&heads, &clusterings, quirks);
    Ok(found)
}

/// The useful nodes, without their clustering.
///
/// # Errors
/// As [`discover`].
pub fn useful(engine: &Engine, set: &[Prompt], quirks: &Quirks) -> Result<Discovered, EngineError> {
    let survey = Survey::new(engine, set, quirks)?;
    let positions: Vec<usize> = survey
        .positions()?
        .iter()
        .enumerate()
        .filter(|(_, failures)| failures.count.hits > 0)
        .map(|(position, _)| position)
        .collect();
    let candidates: Vec<Node> = Node::all(&engine.shape())
        .into_iter()
        .filter(|node| positions.contains(&node.position()))
        .collect();
    let failures = survey.nodes(&candidates)?;
    let mut attention = attention_percents(engine, &engine.mean_attention(set)?);
    let right = failures.first().map_or(0, |f| f.count.trials as usize);
    let nodes = candidates
        .into_iter()
        .zip(failures)
        .filter(|(_, failures)| failures.count.hits > 0)
        .map(|(node, failures)| UsefulNode {
            node,
            failures,
            attention: attention.remove(&node).unwrap_or_default(),
            clusters: Vec::new(),
        })
        .collect();
    Ok(Discovered {
        questions: set.len(),
        right,
        positions,
        nodes,
    })
}

/// The clusterings of heads' outputs by the cases of one digit under one operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustered {
    pub operation: Operation,
    pub digit: usize,
    /// One for each head, in order.
    pub clusterings: Vec<Clustering>,
}

/// The clusterings of each head's output, for every trained operation and every digit that has
/// questions, in the order of `heads`.
///
/// # Errors
/// None in practice: the questions drawn fit the model.
pub fn clusterings(
    folder: &ModelFolder,
    engine: &Engine,
    heads: &[Node],
    quirks: &Quirks,
    seed: u64,
) -> Result<Vec<Clustered>, EngineError> {
    let outputs = HeadOutput::all(&folder.weights, heads);
    tri_cases(engine, folder.operations(), quirks, seed)
        .into_iter()
        .map(|drawn| {
            Ok(Clustered {
                operation: drawn.operation,
                digit: drawn.digit,
                clusterings: cluster_drawn(engine, &outputs, &drawn)?,
            })
        })
        .collect()
}

/// The questions for every trained operation and every digit that has some.
fn tri_cases(engine: &Engine, operations: Operations, quirks: &Quirks, seed: u64) -> Vec<TriCase> {
    let n_digits = engine.shape().n_digits;
    let trained = [Operation::Add, Operation::Sub]
        .into_iter()
        .filter(|&operation| operations.trains(operation));
    trained
        .flat_map(|operation| (0..n_digits).map(move |digit| (operation, digit)))
        .filter_map(|(operation, digit)| {
            let mut rng = stream(seed, &format!("tri-case/{operation}/{digit}"));
            TriCase::draw(operation, digit, n_digits, quirks, &mut rng)
        })
        .collect()
}

/// The clusterings of each head's output on the questions drawn.
fn cluster_drawn(
    engine: &Engine,
    outputs: &[HeadOutput],
    drawn: &TriCase,
) -> Result<Vec<Clustering>, EngineError> {
    let sites = outputs.iter().map(|output| Site::from(output.node()));
    let values = engine.activations(&drawn.questions, sites)?;
    Ok(outputs
        .par_iter()
        .map(|output| {
            let z = (0..drawn.questions.len())
                .map(|question| values.get(question, Site::from(output.node())));
            output.cluster(z)
        })
        .collect())
}

impl UsefulNode {
    /// The node's tags in a behaviors file.
    pub fn tags(&self, n_digits: usize, operations: Operations, quirks: &Quirks) -> Vec<Tag> {
        let sign_has_number = operations.trains_subtraction() || !quirks.has(Quirk::UnnumberedSign);
        let count = self.failures.count;
        let sign = AnswerToken(n_digits + 1);
        let mut tags = vec![
            tag(
                "Fail%",
                (100 * count.hits / count.trials.max(1)).to_string(),
            ),
            tag(
                "Impact",
                impact_text(self.failures.impact, sign, sign_has_number),
            ),
        ];
        for (class, major, letter) in [
            (Class::Add, "Math.Add", 'S'),
            (Class::Sub, "Math.Sub", 'M'),
            (Class::Neg, "Math.Neg", 'N'),
        ] {
            let grades = self.failures.grades(class);
            if !grades.is_empty() {
                let grades: String = grades.iter().map(u8::to_string).collect();
                tags.push(tag(major, format!("{letter}{grades}")));
            }
        }
        for (source, percent) in &self.attention {
            tags.push(tag("Attn", format!("P{source}={percent}")));
        }
        for &(operation, digit) in &self.clusters {
            tags.push(cluster_tag(operation, digit));
        }
        tags
    }
}

/// The tag of a head whose output clusters by the cases of a digit.
pub fn cluster_tag(operation: Operation, digit: usize) -> Tag {
    match operation {
        Operation::Add => tag("Math.Add", format!("A{digit}.SP")),
        Operation::Sub => tag("Math.Sub", format!("A{digit}.MP")),
    }
}

fn tag(major: &str, minor: String) -> Tag {
    Tag {
        major: major.into(),
        minor,
    }
}

impl Discovered {
    /// The heads among the useful nodes.
    fn heads(&self) -> Vec<Node> {
        let nodes = self.nodes.iter().map(|useful| useful.node);
        nodes.filter(|node| node.head().is_some()).collect()
    }

    /// Records by which digits the heads' outputs cluster.
    fn cluster(&mut self, heads: &[Node], found: &[Clustered], quirks: &Quirks) {
        for useful in &mut self.nodes {
            let Some(head) = heads.iter().position(|&head| head == useful.node) else {
                continue;
            };
            useful.clusters = found
                .iter()
                .filter(|clustered| clustered.clusterings[head].passes(quirks))
                .map(|clustered| (clustered.operation, clustered.digit))
                .collect();
        }
    }

    pub fn behaviors(
        &self,
        n_digits: usize,
        operations: Operations,
        quirks: &Quirks,
    ) -> Vec<TaggedNode> {
        self.nodes
            .iter()
            .map(|useful| TaggedNode {
                node: useful.node.name(),
                tags: useful.tags(n_digits, operations, quirks),
                extra: Map::new(),
            })
            .collect()
    }
}
