//! The claims a graph is built from: each with its node set and verdict.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::Variable;
use crate::inputs::claims::{Claim, ClaimsError, UntestableTag, claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;
use crate::verify::evidence::Evidence;
use crate::verify::{Verdict, VerdictKind};

/// Name for the status of a claim without a verdict.
pub const UNTESTED: &str = "untested";

/// A claim with its verdict, if known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownClaim {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    pub claim: String,
    pub variable: Variable,
    /// The nodes it holds for together: the node claimed, the set it is joint with, or all
    /// redundant carriers of the variable. Sorted.
    pub nodes: Vec<Node>,
    /// The verdict; `None` if the claim was not tested.
    pub verdict: Option<VerdictKind>,
}

impl KnownClaim {
    /// Whether the verdict says that it holds.
    pub fn holds(&self) -> bool {
        self.verdict.is_some_and(VerdictKind::holds)
    }

    /// The verdict's name, or [`UNTESTED`].
    pub fn verdict_name(&self) -> &'static str {
        self.verdict.map_or(UNTESTED, VerdictKind::name)
    }
}

/// Evidence about different weights.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("the evidence is for weights {found:.12}, but the model has {expected:.12}")]
pub struct OtherWeights {
    /// The digest in the evidence.
    pub found: String,
    /// The digest of the model's weights.
    pub expected: String,
}

/// Claims with their verdicts, and those that cannot become a vertex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownClaims {
    /// The claims, in the order of the file.
    pub claims: Vec<KnownClaim>,
    /// Claims about a node, task or digit that the model does not have.
    pub left_out: Vec<String>,
}

impl KnownClaims {
    /// The claims of evidence that must be about weights with this digest.
    ///
    /// # Errors
    /// [`OtherWeights`] where it is not.
    pub fn about(
        evidence: &Evidence,
        weights_sha256: &str,
        shape: &Shape,
    ) -> Result<Self, OtherWeights> {
        let found = &evidence.inputs.weights_sha256;
        if found != weights_sha256 {
            return Err(OtherWeights {
                found: found.clone(),
                expected: weights_sha256.into(),
            });
        }
        Ok(Self::of(evidence, shape))
    }

    pub fn of(evidence: &Evidence, shape: &Shape) -> Self {
        let mut known = KnownClaims::default();
        for claim in &evidence.claims {
            let mean_ablated = match &claim.verdict {
                Verdict::Redundant { mean_ablated, .. } => &mean_ablated[..],
                _ => &[],
            };
            known.add(
                claim.claim.clone(),
                Claim::parse(claim.node, claim.tag()).variable,
                claim.nodes.iter().chain(mean_ablated).copied(),
                Some(claim.verdict.kind()),
                shape,
            );
        }
        known
    }

    /// Untested claims, each about its own node alone.
    pub fn untested(claims: &[Claim], shape: &Shape) -> Self {
        let mut known = KnownClaims::default();
        for claim in claims {
            let variable = claim.variable.clone();
            known.add(claim.to_string(), variable, [claim.node], None, shape);
        }
        known
    }

    /// Untested claims as the model's own file makes them; `None` where it has no such file.
    ///
    /// # Errors
    /// [`ClaimsError`] where the file cannot be read.
    pub fn in_file(folder: &ModelFolder) -> Result<Option<Self>, ClaimsError> {
        let Some(features) = &folder.features else {
            return Ok(None);
        };
        let file = features.path.display().to_string();
        let claims = claims_of(&read_tagged_nodes(&file, &features.bytes)?);
        Ok(Some(Self::untested(&claims, &folder.weights.shape())))
    }

    /// Adds a claim, or leaves it out if the model does not have its nodes or its digit.
    fn add(
        &mut self,
        claim: String,
        variable: Result<Variable, UntestableTag>,
        nodes: impl IntoIterator<Item = NodeName>,
        verdict: Option<VerdictKind>,
        shape: &Shape,
    ) {
        let nodes = nodes.into_iter().map(|name| name.resolve(shape));
        let nodes: Result<BTreeSet<Node>, _> = nodes.collect();
        match (variable, nodes) {
            (Ok(variable), Ok(nodes)) if variable.fits(shape.n_digits) => {
                self.claims.push(KnownClaim {
                    claim,
                    variable,
                    nodes: nodes.into_iter().collect(),
                    verdict,
                });
            }
            _ => self.left_out.push(claim),
        }
    }
}
