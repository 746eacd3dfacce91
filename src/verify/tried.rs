//! The trials of one claim, before its verdict.

use super::controls::Controls;
use super::escalation::{Attempt, AttemptOutcome};
use super::evidence::{Escalated, Trials, Unreached};
use super::free_order::FreeOrder;
use super::necessity::Necessity;
use super::verdict::VerdictKind;
use crate::domain::arithmetic::AnswerToken;
use crate::domain::node::Node;
use crate::experiment::{Finding, HALF, Standing};

/// A claim after all trials of its node and of the sets tried in its place.
pub(super) struct TriedClaim {
    /// The finding on the node alone.
    pub(super) finding: Finding,
    /// Attempts made where the node does not hold alone.
    pub(super) attempts: Vec<Attempt>,
    /// Whether fresh trials were run to see how the node fails; `finding` is then from these.
    pub(super) judged_again: bool,
}

impl TriedClaim {
    /// The attempt that holds where the node alone does not; otherwise the first set that holds in
    /// part.
    pub(super) fn success(&self) -> Option<&Attempt> {
        let first = |outcome| {
            self.attempts
                .iter()
                .find(|attempt| attempt.outcome == outcome)
        };
        first(AttemptOutcome::Holds).or_else(|| first(AttemptOutcome::HoldsInPart))
    }

    /// Whether something holds that controls could overturn. A claim that fails needs no controls.
    pub(super) fn hangs_on_selectivity(&self) -> bool {
        let holds = matches!(
            self.finding.standing,
            Standing::Holds | Standing::HoldsInPart
        );
        self.success().is_some() || holds
    }

    /// The finding that decides the claim: of the set that holds, or of the node.
    pub(super) fn chosen(&self) -> &Finding {
        self.success()
            .map_or(&self.finding, |attempt| &attempt.finding)
    }

    /// Among the sets that do not hold, the one whose best token most often moves as predicted, if
    /// more often than the node's own.
    pub(super) fn nearest(&self, direction_only: bool) -> Option<&Attempt> {
        let share = |finding: &Finding| {
            let best = finding.measures.best(direction_only);
            best.map_or(0.0, |rate| rate.share())
        };
        let sets = self
            .attempts
            .iter()
            .filter(|a| a.finding.node_set.mean_ablated.is_empty());
        sets.max_by(|a, b| share(&a.finding).total_cmp(&share(&b.finding)))
            .filter(|set| share(&set.finding) > share(&self.finding))
    }

    /// The trials as evidence, for a claim with this verdict that may spend `alpha`.
    pub(super) fn into_evidence(
        self,
        verdict: VerdictKind,
        alpha: f64,
        controls: Controls,
        necessity: Necessity,
        free_order: Option<FreeOrder>,
    ) -> Trials {
        // A claim decided by a set lists the tokens that the set moves.
        let judged = match verdict {
            VerdictKind::Joint | VerdictKind::JointInPart | VerdictKind::Redundant => self.chosen(),
            _ => &self.finding,
        };
        // A token that is open, or moves in part, is not known to be unaffected.
        let may_move = |token: &AnswerToken| {
            let mut cells = judged.measures.tokens.iter();
            cells.any(|cell| cell.token == *token && cell.moved.upper >= HALF)
        };
        let unreached = judged.possible().difference(judged.reached());
        let unreached = unreached.iter().filter(|token| !may_move(token));
        let unreached = unreached.map(|token| Unreached {
            token,
            reached_by: Vec::new(),
        });
        let unreached = unreached.collect();
        let TriedClaim {
            finding,
            attempts,
            judged_again,
        } = self;
        Trials {
            alpha: alpha / 2.0,
            judged_again,
            affected_tokens: finding.reached(),
            dropped: finding.dropped,
            unreached,
            alone: finding.measures,
            free_order,
            escalation: attempts.into_iter().map(Escalated::from).collect(),
            controls,
            necessity,
        }
    }
}

impl From<Attempt> for Escalated {
    fn from(attempt: Attempt) -> Self {
        let needed = Node::names(&attempt.needed());
        let helping = Node::names(&attempt.helping());
        Escalated {
            nodes: Node::names(&attempt.finding.node_set.nodes),
            mean_ablated: Node::names(&attempt.finding.node_set.mean_ablated),
            affected_tokens: attempt.finding.reached(),
            measures: attempt.finding.measures,
            need: attempt.need,
            needed,
            helping,
        }
    }
}
