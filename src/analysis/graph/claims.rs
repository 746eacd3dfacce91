//! What is known of each claim before a graph is drawn: its node set and its verdict, from evidence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::Variable;
use crate::inputs::claims::Claim;
use crate::verify::evidence::Evidence;

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stands {
    /// True of the node.
    Supported,
    /// True of a set.
    Joint,
    /// True with the other carriers neutralised.
    Redundant,
    /// True on part of its domain.
    Partial,
    /// Only attention is as claimed.
    Correlational,
    /// Not decided.
    Inconclusive,
    /// Not testable.
    #[serde(rename = "not testable")]
    NotTestable,
    /// Not specific.
    Unspecific,
    /// False.
    Refuted,
    /// Not tested.
    Untested,
}

impl Stands {
    /// The verdict's name.
    pub const fn name(self) -> &'static str {
        match self {
            Stands::Supported => "supported",
            Stands::Joint => "joint",
            Stands::Redundant => "redundant",
            Stands::Partial => "partial",
            Stands::Correlational => "correlational",
            Stands::Inconclusive => "inconclusive",
            Stands::NotTestable => "not testable",
            Stands::Unspecific => "unspecific",
            Stands::Refuted => "refuted",
            Stands::Untested => "untested",
        }
    }

    /// Whether the claim is true, of the node or of a set.
    pub const fn holds(self) -> bool {
        matches!(self, Stands::Supported | Stands::Joint | Stands::Redundant)
    }

    /// Whether the claim counts as refuted.
    pub const fn is_refuted(self) -> bool {
        matches!(self, Stands::Refuted | Stands::Unspecific)
    }
}

/// One claim with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownClaim {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    pub claim: String,
    /// What is claimed.
    pub variable: Variable,
    /// The nodes it is true of together: the node claimed, the set it is joint with, or all that
    /// carry the variable redundantly. Sorted.
    pub nodes: Vec<Node>,
    /// How it stands.
    pub stands: Stands,
}

/// What can be wrong with evidence that a graph is to be drawn from.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// Not evidence.
    #[error("{file}: {source} (expected an evidence.json written by circuitcheck verify)")]
    Json {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Evidence about other weights.
    #[error("{file}: the evidence is about weights {found:.12}, the model's are {expected:.12}")]
    OtherWeights {
        /// The file.
        file: String,
        /// The digest in the evidence.
        found: String,
        /// The model's.
        expected: String,
    },
}

/// The part of evidence.json that is read.
#[derive(Deserialize)]
struct Wire {
    inputs: WireInputs,
    claims: Vec<WireClaim>,
}

#[derive(Deserialize)]
struct WireInputs {
    weights_sha256: String,
}

#[derive(Deserialize)]
struct WireClaim {
    claim: String,
    nodes: Vec<String>,
    verdict: Stands,
    because: Option<WireBecause>,
}

#[derive(Deserialize)]
struct WireBecause {
    #[serde(default)]
    neutralised: Vec<String>,
}

/// Claims read from evidence, and those that no vertex can be made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownClaims {
    /// The claims, in the file's order.
    pub claims: Vec<KnownClaim>,
    /// Claims about a node, task or digit that the model does not have.
    pub left_out: Vec<String>,
}

impl KnownClaims {
    /// Reads an evidence.json about weights of this digest; `file` names it in errors.
    ///
    /// # Errors
    /// [`EvidenceError`], one variant per thing that can be wrong.
    pub fn read(
        file: &str,
        bytes: &[u8],
        weights_sha256: &str,
        shape: &Shape,
    ) -> Result<Self, EvidenceError> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|source| EvidenceError::Json {
            file: file.into(),
            source,
        })?;
        if wire.inputs.weights_sha256 != weights_sha256 {
            return Err(EvidenceError::OtherWeights {
                file: file.into(),
                found: wire.inputs.weights_sha256,
                expected: weights_sha256.into(),
            });
        }
        let mut known = KnownClaims::default();
        for claim in wire.claims {
            let because = claim.because.map(|because| because.neutralised);
            let names: Vec<String> = claim
                .nodes
                .iter()
                .cloned()
                .chain(because.into_iter().flatten())
                .collect();
            match of_text(&claim.claim, &names, shape) {
                Some((variable, nodes)) => known.claims.push(KnownClaim {
                    claim: claim.claim,
                    variable,
                    nodes,
                    stands: claim.verdict,
                }),
                None => known.left_out.push(claim.claim),
            }
        }
        Ok(known)
    }

    /// The claims of evidence just made.
    pub fn of(evidence: &Evidence, shape: &Shape) -> Self {
        let json = serde_json::to_vec(evidence).expect("evidence has string keys");
        Self::read("evidence", &json, &evidence.inputs.weights_sha256, shape)
            .expect("evidence is read back as it was written")
    }

    /// Claims of which nothing is known, each of its own node alone.
    pub fn untested(claims: &[Claim], shape: &Shape) -> Self {
        let mut known = KnownClaims::default();
        for claim in claims {
            match of_text(&claim.to_string(), &[claim.node.to_string()], shape) {
                Some((variable, nodes)) => known.claims.push(KnownClaim {
                    claim: claim.to_string(),
                    variable,
                    nodes,
                    stands: Stands::Untested,
                }),
                None => known.left_out.push(claim.to_string()),
            }
        }
        known
    }
}

/// The variable and nodes of a claim; `None` where the model does not have them.
fn of_text(claim: &str, nodes: &[String], shape: &Shape) -> Option<(Variable, Vec<Node>)> {
    let (node, minor) = claim.split_once(' ')?;
    let variable = Claim::parse(node.parse().ok()?, minor).variable.ok()?;
    if variable.digit.is_some_and(|digit| digit > shape.n_digits) {
        return None;
    }
    let nodes: Option<BTreeSet<Node>> = nodes
        .iter()
        .map(|name| name.parse::<NodeName>().ok()?.resolve(shape).ok())
        .collect();
    Some((variable, nodes?.into_iter().collect()))
}
