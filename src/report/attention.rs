//! Where claimed heads look: their mean attention, by class of question.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::experiment::Baseline;
use crate::inputs::model::Operations;
use crate::network::engine::{Engine, EngineError};
use crate::storage::read_stored;
use crate::verify::evidence::Evidence;

/// The name and version of the form of `attention.json`.
const SCHEMA: &str = "circuitcheck/attention/1";

/// Rightly answered questions of each class that attention is averaged over.
const QUESTIONS: usize = 512;

/// The mean attention of claimed heads. It is measured once and stored, so that reports can be made
/// again byte for byte on any machine: percents may round otherwise on another one.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Attention {
    pub schema: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    pub seed: u64,
    /// Questions averaged over, by class.
    pub questions: BTreeMap<Class, usize>,
    pub heads: Vec<HeadAttention>,
}

/// Where one head looks from its position.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct HeadAttention {
    pub node: NodeName,
    /// Percent of its attention on each position, by class.
    pub percents: BTreeMap<Class, Vec<u8>>,
}

/// The heads that claims, and the sets they are true of, are made of.
fn heads(evidence: &Evidence) -> BTreeSet<NodeName> {
    let claims = evidence.claims.iter();
    claims
        .flat_map(|claim| claim.nodes.iter().chain([&claim.node]))
        .filter(|node| node.is_head())
        .copied()
        .collect()
}

/// Why bytes are not stored attention.
#[derive(Debug, Error)]
pub enum AttentionError {
    /// Not JSON, or JSON of another shape.
    #[error("not stored attention: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another format.
    #[error("the attention has the format {found:?}; this version reads {SCHEMA:?}")]
    Schema { found: String },
}

/// The row of a head in mean attention weights, in percent.
///
/// # Panics
/// If the node is no head.
fn percents_of(patterns: &[f32], node: Node, shape: &Shape) -> Vec<u8> {
    let head = node.head().expect("only heads are looked at");
    // [layer, head, query, key]
    let row = (node.layer() * shape.n_heads + head) * shape.n_ctx() + node.position();
    let row = &patterns[row * shape.n_ctx()..(row + 1) * shape.n_ctx()];
    let percents = row.iter().map(|share| (share * 100.0).round() as u8);
    percents.collect()
}

impl Attention {
    /// Reads an attention.json.
    ///
    /// # Errors
    /// [`AttentionError`].
    pub fn from_json(json: &[u8]) -> Result<Self, AttentionError> {
        read_stored(json, SCHEMA, |found| AttentionError::Schema { found })
    }

    /// Measures the attention of every head in the evidence, on the questions its baseline answered
    /// rightly.
    ///
    /// # Errors
    /// [`EngineError`], which questions drawn for this model do not cause.
    pub fn measure(
        engine: &Engine,
        operations: Operations,
        evidence: &Evidence,
    ) -> Result<Self, EngineError> {
        let protocol = &evidence.protocol;
        let shape = engine.shape();
        let baseline = Baseline::measure(engine, operations, protocol.alpha, protocol.seed)?;
        let nodes: Vec<Node> = heads(evidence)
            .iter()
            .filter_map(|name| name.resolve(&shape).ok())
            .collect();
        let mut percents = vec![BTreeMap::new(); nodes.len()];
        let mut questions = BTreeMap::new();
        for (&class, right) in baseline.right.iter().filter(|(_, right)| !right.is_empty()) {
            let prompts = right.iter().take(QUESTIONS);
            let prompts: Vec<Prompt> = prompts.map(|&question| Prompt::truth(question)).collect();
            let patterns = engine.mean_attention(&prompts)?;
            for (node, percents) in nodes.iter().zip(&mut percents) {
                percents.insert(class, percents_of(&patterns, *node, &shape));
            }
            questions.insert(class, prompts.len());
        }
        let heads = nodes.iter().zip(percents);
        Ok(Attention {
            schema: SCHEMA.into(),
            weights_sha256: evidence.inputs.weights_sha256.clone(),
            seed: protocol.seed,
            questions,
            heads: heads
                .map(|(node, percents)| HeadAttention {
                    node: node.name(),
                    percents,
                })
                .collect(),
        })
    }

    /// The attention of heads on one question, teacher-forced; nodes that are no heads are left out.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where the question has another size than the model's.
    pub fn on_question(
        engine: &Engine,
        weights_sha256: &str,
        prompt: Prompt,
        nodes: &[Node],
    ) -> Result<Self, EngineError> {
        let (class, shape) = (prompt.question.class(), engine.shape());
        let patterns = engine.mean_attention(&[prompt])?;
        let heads = nodes.iter().filter(|node| node.head().is_some());
        Ok(Attention {
            schema: SCHEMA.into(),
            weights_sha256: weights_sha256.to_owned(),
            seed: 0,
            questions: [(class, 1)].into(),
            heads: heads
                .map(|node| HeadAttention {
                    node: node.name(),
                    percents: [(class, percents_of(&patterns, *node, &shape))].into(),
                })
                .collect(),
        })
    }

    /// Whether it holds every head of the evidence, and is of the same weights and seed.
    pub fn is_of(&self, evidence: &Evidence) -> bool {
        self.weights_sha256 == evidence.inputs.weights_sha256
            && self.seed == evidence.protocol.seed
            && self
                .heads
                .iter()
                .map(|head| head.node)
                .collect::<BTreeSet<_>>()
                == heads(evidence)
    }
}
