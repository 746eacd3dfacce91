//! The result of a verification: the one type that every report is made from.

mod layout;
mod schema;

pub use layout::laid_out;
pub(crate) use schema::schema_of;
pub use schema::{evidence_schema, schema_text};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::controls::Controls;
use super::cost::PhaseCost;
use super::free_order::FreeOrder;
use super::limits::{ControlPlan, Limits};
use super::necessity::Necessity;
use super::options::Decoding;
use super::parity::EngineParity;
use super::published_test::{Published, PublishedResult};
use super::verdict::{Verdict, VerdictKind};
use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::node::NodeName;
use crate::domain::shape::Shape;
use crate::experiment::stats::Bounds;
use crate::experiment::{Aspect, Baseline, Measures, Rules};
use crate::network::engine::Decode;
use crate::storage::read_stored;

/// The name and version of the format of `evidence.json`.
pub const SCHEMA: &str = "circuitcheck/evidence/4";

/// Everything a verification found. The same input and seed give the same bytes: it holds no times,
/// and from logits only the resulting tokens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Evidence {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was tested.
    pub inputs: Inputs,
    /// The rules it was tested by.
    pub protocol: Protocol,
    /// Comparison of the engine with the plain forward pass, on this model and these nodes.
    pub engine_parity: EngineParity,
    /// The unpatched model.
    pub baseline: Baseline,
    /// Number of claims with each verdict.
    #[serde(serialize_with = "stored_by_name")]
    #[schemars(with = "BTreeMap<String, usize>")]
    pub summary: BTreeMap<VerdictKind, usize>,
    /// Every claim, in the order of the file.
    pub claims: Vec<ClaimEvidence>,
    /// What each phase cost; empty for evidence read from a file.
    #[serde(skip)]
    pub cost: Vec<PhaseCost>,
}

/// Counts of verdicts, ordered by verdict name, as stored.
pub fn by_name(counts: &BTreeMap<VerdictKind, usize>) -> BTreeMap<&'static str, usize> {
    let named = |(kind, &count): (&VerdictKind, &usize)| (kind.name(), count);
    counts.iter().map(named).collect()
}

fn stored_by_name<S: Serializer>(
    counts: &BTreeMap<VerdictKind, usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    by_name(counts).serialize(serializer)
}

/// Why stored evidence cannot be read.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// Not JSON, or JSON of another format.
    #[error("not the evidence of a verification: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Evidence of another version of the format.
    #[error("the evidence has the format {found:?}; this version reads {SCHEMA:?}")]
    Schema {
        /// The format it names.
        found: String,
    },
}

impl Evidence {
    /// The evidence as stored: JSON formatted as [`laid_out`], with a final line feed.
    pub fn to_json(&self) -> String {
        laid_out(self)
    }

    /// Reads stored evidence. Written again it gives the same bytes.
    ///
    /// # Errors
    /// [`EvidenceError`] where it has another format.
    pub fn from_json(json: &[u8]) -> Result<Self, EvidenceError> {
        read_stored(json, SCHEMA, |found| EvidenceError::Schema { found })
    }
}

/// The files and the network under test.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Inputs {
    /// The model's name.
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// SHA-256 of the claims file.
    pub features_sha256: String,
    /// SHA-256 of the behaviors file, if there is one: attention is taken from it.
    pub behaviors_sha256: Option<String>,
    /// The operations the model was trained for.
    pub operations: String,
    /// The network's dimensions.
    pub shape: Shape,
}

/// The rules of a verification.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Protocol {
    /// How answers are decoded.
    #[schemars(with = "String")]
    pub decode: Decoding,
    /// Required interchange accuracy.
    pub threshold: f64,
    /// Error of the whole file: all claims, both directions.
    pub alpha: f64,
    /// Testable claims that share the error, regardless of filters.
    pub testable_claims: usize,
    /// Counterfactual trials after which a claim's sampling ends.
    pub max_trials: usize,
    /// Seed of all random draws.
    pub seed: u64,
    /// The limits that no option changes.
    pub limits: Limits,
    /// The controls run for every claim.
    pub controls: ControlPlan,
    /// The filters applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

impl Protocol {
    /// The decoding used for verdicts and their counterexamples; of two, the first.
    pub fn decode_of_verdicts(&self) -> Decode {
        self.decode.of_verdicts()
    }

    /// The rules, with the error of the whole file.
    pub fn rules(&self) -> Rules {
        Rules {
            threshold: self.threshold,
            alpha: self.alpha,
            max_trials: self.max_trials,
            seed: self.seed,
        }
    }
}

/// One claim and all its results.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct ClaimEvidence {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    pub claim: String,
    /// The node claimed.
    pub node: NodeName,
    /// The node set that the verdict is about: the node, or the set it is joint with.
    pub nodes: Vec<NodeName>,
    /// The task claimed.
    pub task: String,
    /// The digit claimed.
    pub digit: Option<usize>,
    /// The result of the published test.
    pub published: PublishedResult,
    /// The published test's pairs and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_test: Option<Published>,
    /// The verdict and its grounds.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The free-running verdict, where both decodings were requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_running: Option<FreeRunning>,
    /// The measurements; absent if the claim is not testable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<Trials>,
}

impl ClaimEvidence {
    /// The measures behind the verdict: the node's own, those of the set it is joint with, or those
    /// with other carriers mean-ablated. `None` if the claim was not tested.
    pub fn deciding_measures(&self) -> Option<&Measures> {
        let trials = self.trials.as_ref()?;
        Some(match &self.verdict {
            Verdict::Joint(joint) | Verdict::JointInPart(joint) => &joint.measures,
            Verdict::Redundant { measures, .. } => measures,
            _ => &trials.alone,
        })
    }

    /// The tag of the claim, e.g. `A1.ST`.
    pub fn tag(&self) -> &str {
        self.claim.split_once(' ').map_or("", |(_, tag)| tag)
    }

    /// The deciding interchange accuracy as text; empty if the claim was not tested.
    pub fn interchange_accuracy_text(&self) -> String {
        let Some(measures) = self.deciding_measures() else {
            return String::new();
        };
        let several = measures.interchange_accuracy.len() > 1;
        let parts: Vec<String> = measures
            .interchange_accuracy
            .iter()
            .map(|(aspect, rate)| {
                let name = match aspect {
                    Aspect::Digits => "digits ",
                    Aspect::Sign => "sign ",
                    Aspect::Operation => "operation ",
                };
                format!("{}{rate}", if several { name } else { "" })
            })
            .collect();
        parts.join(", ")
    }

    /// One line explaining the verdict, for tables.
    pub fn note(&self) -> String {
        self.verdict.note()
    }

    /// The affected tokens that the claim was judged on: those of the node, or of the set that
    /// decides a joint or redundant claim.
    pub fn affected_tokens(&self) -> Option<TokenSet> {
        let trials = self.trials.as_ref()?;
        let (nodes, mean_ablated) = match &self.verdict {
            Verdict::Joint(joint) | Verdict::JointInPart(joint) => (joint.set.clone(), &[][..]),
            Verdict::Redundant { mean_ablated, .. } => (vec![self.node], &mean_ablated[..]),
            _ => return Some(trials.affected_tokens),
        };
        let mut tried = trials.escalation.iter();
        tried
            .find(|tried| tried.nodes == nodes && tried.mean_ablated == mean_ablated)
            .map(|tried| tried.affected_tokens)
    }
}

/// The free-running verdict of a claim: the model reads its own tokens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct FreeRunning {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The node's measures.
    pub measures: Option<Measures>,
}

/// The measurements of a claim.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Trials {
    /// Error that the trials of the node alone may spend in each direction.
    pub alpha: f64,
    /// Whether these are the second, fresh trials, drawn to see how a node fails that holds neither
    /// alone nor in a set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judged_again: bool,
    /// The affected tokens the node is judged on.
    pub affected_tokens: TokenSet,
    /// Pairs dropped because the unpatched model answered them wrongly.
    pub dropped: usize,
    /// The node alone.
    pub alone: Measures,
    /// For a claim about the order of the operands judged teacher-forced: the same nodes
    /// free-running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_order: Option<FreeOrder>,
    /// Tokens that the causal model changes but the node (for a joint or redundant claim, the set)
    /// does not move, with the claims that move them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<Unreached>,
    /// Sets that were tried with the node, if it does not hold alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<Escalated>,
    /// Controls: other nodes on the same trials, and the same nodes on other variables.
    pub controls: Controls,
    /// What mean-ablating the nodes costs.
    pub necessity: Necessity,
}

/// A token that a node moves in less than half of the trials, in every stratum.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Unreached {
    /// The token.
    pub token: AnswerToken,
    /// Supported claims that move it.
    pub reached_by: Vec<String>,
}

/// A set tried in place of a node alone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Escalated {
    /// The nodes patched together.
    pub nodes: Vec<NodeName>,
    /// Nodes mean-ablated in both the unpatched and the patched run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean_ablated: Vec<NodeName>,
    /// The affected tokens it was judged on.
    #[serde(default)]
    pub affected_tokens: TokenSet,
    /// Its measures.
    pub measures: Measures,
    /// For a set that holds, holds in part or may hold: how much its interchange accuracy exceeds
    /// that of the set without the claimed node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<Bounds>,
    /// Members that such a set needs, by the margin of a joint claim…
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<NodeName>,
    /// …and those that only help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub helping: Vec<NodeName>,
}
