//! What a reader needs of a claim, in order: every form of a report is made from this.

use super::commands::argument;
use crate::domain::causal::Stratum;
use crate::domain::node::NodeName;
use crate::experiment::stats::Rate;
use crate::experiment::{Counterexample, Measures};
use crate::verify::evidence::{ClaimEvidence, Evidence};
use crate::verify::{PublishedResult, Verdict, VerdictKind, Weakness};

/// A claim as readers see it.
#[derive(Debug, Clone)]
pub struct ClaimView<'a> {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    pub claim: &'a str,
    pub node: NodeName,
    /// The tag, e.g. `A1.ST`.
    pub tag: &'a str,
    pub task: &'a str,
    pub digit: Option<usize>,
    /// What the published test gives.
    pub published: PublishedResult,
    pub verdict: VerdictKind,
    /// The verdict when the model reads its own tokens, where both were asked for.
    pub free_running: Option<VerdictKind>,
    /// The nodes the verdict is about.
    pub nodes: &'a [NodeName],
    pub note: String,
    /// The measures the verdict rests on; `None` where the claim was not tested.
    pub measures: Option<&'a Measures>,
    /// Where it fails more often.
    pub fails_where: &'a [Weakness],
    /// A pair on which it fails.
    pub counterexample: Option<&'a Counterexample>,
    /// The command that replays that pair.
    pub replay: Option<String>,
    /// All that was found of it.
    pub evidence: &'a ClaimEvidence,
}

impl<'a> ClaimView<'a> {
    /// One claim of some evidence; `model` is how the command line names the model.
    pub fn new(claim: &'a ClaimEvidence, evidence: &Evidence, model: &str) -> Self {
        let counterexample = claim.verdict.counterexample();
        let decode = evidence.protocol.decode_of_verdicts();
        ClaimView {
            claim: &claim.claim,
            node: claim.node,
            tag: claim.tag(),
            task: &claim.task,
            digit: claim.digit,
            published: claim.published,
            verdict: claim.verdict.kind(),
            free_running: claim.free_running.as_ref().map(|free| free.verdict.kind()),
            nodes: &claim.nodes,
            note: claim.note(),
            measures: claim.deciding_measures(),
            fails_where: match &claim.verdict {
                Verdict::Partial { fails_where, .. }
                | Verdict::Refuted { fails_where, .. }
                | Verdict::NotShown { fails_where, .. } => fails_where,
                _ => &[],
            },
            counterexample,
            replay: counterexample.map(|example| {
                let arguments = example.arguments(decode);
                format!("circuitcheck patch{} {arguments}", argument(model))
            }),
            evidence: claim,
        }
    }

    /// Every claim of some evidence, in its order.
    pub fn all(evidence: &'a Evidence, model: &str) -> Vec<Self> {
        let claims = evidence.claims.iter();
        claims
            .map(|claim| Self::new(claim, evidence, model))
            .collect()
    }

    /// The interchange accuracy that the verdict rests on; of several parts of the task the lowest.
    pub fn lowest_interchange_accuracy(&self) -> Option<&'a Rate> {
        let rates = self.measures?.interchange_accuracy.values();
        rates.min_by(|a, b| a.share().total_cmp(&b.share()))
    }
}

/// The stratum of pairs that a rate is of, in words; empty for the only one.
pub(super) fn stratum_text(stratum: Stratum) -> String {
    match stratum {
        Stratum::Whole => String::new(),
        Stratum::Depth(depth) => format!("at depth {depth}"),
        Stratum::Order => "by order".into(),
        Stratum::Operation(class) => format!("operation of {class}"),
        Stratum::Sign(class) => format!("sign of {class}"),
    }
}
