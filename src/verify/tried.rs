//! What the trials of one claim gave, before its verdict.

use super::controls::Controls;
use super::escalation::Attempt;
use super::evidence::{Escalated, StratumRates, TokenCount, Trials, Unreached};
use super::necessity::Necessity;
use super::verdict::VerdictKind;
use crate::domain::node::Node;
use crate::experiment::stats::{Rate, alpha_of_look};
use crate::experiment::{Finding, Standing};

/// A claim after all trials of its node and of sets in its place.
pub(super) struct TriedClaim {
    /// What was found of the node alone.
    pub(super) finding: Finding,
    /// What was tried in its place where it does not hold.
    pub(super) attempts: Vec<Attempt>,
}

impl TriedClaim {
    /// The attempt that holds where the node alone does not.
    pub(super) fn success(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.succeeds)
    }

    /// Whether anything holds that controls could take away again. That a claim fails is reason enough.
    pub(super) fn hangs_on_selectivity(&self) -> bool {
        let in_part = self.finding.standing == Standing::HoldsInPart;
        self.success().is_some() || self.finding.holds() || in_part
    }

    /// What the claim comes down to: the set that holds, or the node.
    pub(super) fn chosen(&self) -> &Finding {
        self.success()
            .map_or(&self.finding, |attempt| &attempt.finding)
    }

    /// The trials as evidence, of a claim that got this verdict and may spend `alpha`.
    pub(super) fn into_evidence(
        self,
        verdict: VerdictKind,
        alpha: f64,
        controls: Controls,
        necessity: Necessity,
    ) -> Trials {
        // What a set reaches is said of a claim that is the set's.
        let judged = match verdict {
            VerdictKind::Joint | VerdictKind::Redundant => self.chosen(),
            _ => &self.finding,
        };
        let unreached = judged.possible().difference(judged.reach);
        let unreached = unreached.iter().map(|token| Unreached {
            token,
            reached_by: Vec::new(),
        });
        let unreached = unreached.collect();
        let TriedClaim { finding, attempts } = self;
        let tokens = finding.tokens.iter();
        Trials {
            alpha,
            reach: finding.reached(),
            dropped: finding.dropped,
            unreached,
            strata: by_stratum(&finding, alpha),
            tokens: tokens
                .map(|(&(stratum, token), &moved)| TokenCount {
                    stratum,
                    token,
                    moved,
                })
                .collect(),
            alone: finding.measures,
            escalation: attempts.into_iter().map(Escalated::from).collect(),
            controls,
            necessity,
        }
    }
}

impl From<Attempt> for Escalated {
    fn from(attempt: Attempt) -> Self {
        Escalated {
            nodes: Node::names(&attempt.finding.subject.nodes),
            neutralised: Node::names(&attempt.finding.subject.neutralised),
            reach: attempt.finding.reached(),
            measures: attempt.finding.measures,
            need: attempt.need,
        }
    }
}

/// The measures of each stratum, where there are several; bounds as at the last look.
fn by_stratum(finding: &Finding, alpha: f64) -> Vec<StratumRates> {
    if finding.strata.len() < 2 {
        return Vec::new();
    }
    let rate = |count| Rate::sampled(count, alpha_of_look(alpha, finding.measures.looks));
    finding
        .strata
        .iter()
        .map(|(&stratum, counted)| StratumRates {
            stratum,
            agreement: rate(counted.telling.agreement),
            effect: rate(counted.telling.effect),
            spill: rate(counted.telling.spill),
            placebo: rate(counted.placebo),
        })
        .collect()
}
