//! The verdict of a claim, derived from its measurements: the table of docs/METHOD.md, row by row.

use super::attends::Attends;
use super::controls::{Controls, SELECTIVITY_MARGIN, Selectivity};
use super::escalation::{Attempt, AttemptOutcome, JOINT_NEED};
use super::tried::TriedClaim;
use super::verdict::{JointSet, NamedSet, Refutation, Verdict, VerdictKind};
use super::weakness::weaknesses;
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::experiment::{
    Bench, Counterexample, Finding, HALF, Measures, NEGLIGIBLE, NodeSet, Standing, Terms,
    counterexample,
};
use crate::network::engine::EngineError;

/// The grounds for a testable claim's verdict.
pub(super) struct Grounds<'a> {
    pub(super) variable: Variable,
    pub(super) tried: &'a TriedClaim,
    pub(super) controls: &'a Controls,
    /// For a task about attention: whether the node attends where the claim says.
    pub(super) attends: Option<Attends>,
    /// Error of the whole file.
    pub(super) alpha: f64,
}

/// A row of the table: a verdict, and whether it applies to these grounds.
type VerdictRow<G> = (VerdictKind, fn(&G) -> bool);

impl Grounds<'_> {
    /// The verdict with its grounds; `bench` shrinks counterexamples.
    pub(super) fn verdict(&self, bench: &Bench) -> Result<Verdict, EngineError> {
        let finding = self.finding();
        let fails_where = || weaknesses(self.variable, &finding.kept, self.alpha);
        Ok(match self.kind() {
            VerdictKind::Supported => Verdict::Supported,
            VerdictKind::Unspecific => Verdict::Unspecific {
                reasons: self.reasons(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Joint => Verdict::Joint(self.joint_set()),
            VerdictKind::JointInPart => Verdict::JointInPart(self.joint_set()),
            VerdictKind::Redundant => self.redundant(),
            VerdictKind::Partial => Verdict::Partial {
                fails_where: fails_where(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Refuted => Verdict::Refuted {
                by: self.refutation().expect("a refuted claim has a refutation"),
                fails_where: fails_where(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::NotShown => Verdict::NotShown {
                inert: finding.measures.is_inert(),
                best: self.best_set(),
                fails_where: fails_where(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Correlational => Verdict::Correlational {
                attends: self
                    .attends
                    .expect("only claims about attention are correlational")
                    .rate,
                effect: finding.measures.best(self.direction_only()),
            },
            VerdictKind::NotTestable => Verdict::NotTestable {
                reason: self
                    .silence()
                    .expect("the row applies only without informative trials"),
            },
            VerdictKind::Inconclusive => Verdict::Inconclusive { open: self.open() },
        })
    }

    /// The first row of the table that applies. Where bounds are still open, none may.
    fn kind(&self) -> VerdictKind {
        let rows: [VerdictRow<Self>; 10] = [
            (VerdictKind::NotTestable, |grounds| {
                grounds.silence().is_some()
            }),
            (VerdictKind::Supported, Self::is_supported),
            (VerdictKind::Joint, Self::is_joint),
            (VerdictKind::Unspecific, Self::is_unspecific),
            (VerdictKind::JointInPart, Self::is_joint_in_part),
            (VerdictKind::Redundant, Self::is_redundant),
            (VerdictKind::Partial, Self::is_partial),
            (VerdictKind::Correlational, Self::is_correlational),
            (VerdictKind::Refuted, Self::is_refuted),
            (VerdictKind::NotShown, Self::is_not_shown),
        ];
        let applies = rows.into_iter().find(|(_, applies)| applies(self));
        applies.map_or(VerdictKind::Inconclusive, |(kind, _)| kind)
    }

    /// Why no trial says anything about the claim, where none does.
    fn silence(&self) -> Option<String> {
        let measures = &self.finding().measures;
        let silent = measures.tokens.is_empty() && measures.effect.is_empty();
        silent.then(|| {
            if self.direction_only() {
                "given the source question itself, the unpatched model writes none of the predicted tokens".into()
            } else {
                "the unpatched model answers none of the drawn questions correctly".into()
            }
        })
    }

    fn is_supported(&self) -> bool {
        self.finding().standing == Standing::Holds && self.passes_controls_alone()
    }

    /// Interchange accuracy is as required for supported, but side effects or controls are not.
    fn is_unspecific(&self) -> bool {
        match self.finding().standing {
            Standing::HoldsUnspecifically => true,
            Standing::Holds => !self.reasons().is_empty(),
            Standing::HoldsInPart => self.set().is_none() && !self.reasons().is_empty(),
            _ => false,
        }
    }

    fn is_joint(&self) -> bool {
        self.set()
            .is_some_and(|set| set.outcome == AttemptOutcome::Holds && !is_single(set))
    }

    fn is_joint_in_part(&self) -> bool {
        self.set()
            .is_some_and(|set| set.outcome == AttemptOutcome::HoldsInPart)
    }

    fn is_redundant(&self) -> bool {
        self.set().is_some_and(is_single)
    }

    fn is_partial(&self) -> bool {
        self.finding().standing == Standing::HoldsInPart && self.passes_controls_alone()
    }

    /// The node attends, but patching it does not have the predicted effect.
    fn is_correlational(&self) -> bool {
        self.is_below() && self.attends.is_some_and(|attends| attends.is_shown())
    }

    fn is_refuted(&self) -> bool {
        self.refutation().is_some()
    }

    fn is_not_shown(&self) -> bool {
        self.is_below() && self.attends.is_none() && !self.is_left_open_by_sets()
    }

    /// Whether the node alone is known to stay below the threshold.
    fn is_below(&self) -> bool {
        matches!(
            self.finding().standing,
            Standing::Fails | Standing::FailsUnspecifically | Standing::HoldsInPart
        )
    }

    /// The evidence against the claim. Finding nothing in its favour is not evidence against it.
    fn refutation(&self) -> Option<Refutation> {
        let finding = self.finding();
        if finding.standing != Standing::Fails || self.is_left_open_by_sets() {
            return None;
        }
        if let Some(attends) = self.attends {
            return (attends.is_refuted()).then_some(Refutation::DoesNotAttend {
                attends: attends.rate,
            });
        }
        let elsewhere = finding.measures.elsewhere;
        if elsewhere.lower > HALF {
            return Some(Refutation::MovesElsewhere { elsewhere });
        }
        let without = |attempt: &&Attempt| attempt.outcome == AttemptOutcome::HoldsWithout;
        let set = self.tried.attempts.iter().find(without)?;
        Some(Refutation::NotNeeded {
            set: Node::names(&set.finding.node_set.nodes),
            need: set
                .need
                .expect("the set was compared with its subsets")
                .upper,
        })
    }

    /// Whether, within the budget, a set might still hold and need the node.
    fn is_left_open_by_sets(&self) -> bool {
        let open = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Open;
        self.tried.success().is_none() && self.tried.attempts.iter().any(open)
    }

    /// What was left open, where that keeps the claim from a verdict.
    fn open(&self) -> String {
        if self.tried.hangs_on_selectivity() && self.controls.selectivity() == Selectivity::Open {
            return format!(
                "beats every control by at least {:.2} and one by at most {:.2}; required: {SELECTIVITY_MARGIN}",
                self.controls.beats_all_by_at_least(),
                self.controls.beats_all_by_at_most,
            );
        }
        let open = |attempt: &&Attempt| attempt.outcome == AttemptOutcome::Open;
        if let Some(attempt) = self.tried.attempts.iter().find(open) {
            let names = names_of(attempt);
            return match attempt.need {
                Some(need) if need.lower < JOINT_NEED => format!(
                    "{names} may hold; whether the node is needed is open (by at least {:.2}; required: {JOINT_NEED})",
                    need.lower
                ),
                _ => {
                    let measures = &attempt.finding.measures;
                    format!("{names}: {}", still_open(measures, self.direction_only()))
                }
            };
        }
        still_open(&self.finding().measures, self.direction_only())
    }

    /// Which limits are exceeded and which controls are not beaten. Controls count against the node
    /// only where they were run for the node alone.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = side_effects(&self.finding().measures);
        if self.controls.own_activation.hits > 0 {
            reasons.push("patching with the base run's own activation changes the answer".into());
        }
        if self.tried.success().is_none() && self.controls.selectivity() == Selectivity::Lacking {
            reasons.extend(lacks_selectivity(self.controls));
        }
        reasons
    }

    fn passes_controls_alone(&self) -> bool {
        self.tried.success().is_none() && self.controls.selective() && self.reasons().is_empty()
    }

    /// The set that holds, fully or in part, and passes its controls, where the node alone does not
    /// hold.
    fn set(&self) -> Option<&Attempt> {
        let passes = self.controls.selective() && self.controls.own_activation.hits == 0;
        self.tried.success().filter(|_| passes)
    }

    fn joint_set(&self) -> JointSet {
        let set = self.set().expect("the verdict is about a set");
        let is_other = |attempt: &&Attempt| {
            attempt.outcome == set.outcome && !is_single(attempt) && !std::ptr::eq(*attempt, set)
        };
        JointSet {
            set: Node::names(&set.finding.node_set.nodes),
            helping: Node::names(&set.helping()),
            measures: set.finding.measures.clone(),
            need: set
                .need
                .expect("the set was compared with its subsets")
                .lower,
            also: (self.tried.attempts.iter().filter(is_other))
                .map(|attempt| Node::names(&attempt.finding.node_set.nodes))
                .collect(),
        }
    }

    fn redundant(&self) -> Verdict {
        let set = self
            .set()
            .expect("the verdict is about a node with others mean-ablated");
        Verdict::Redundant {
            mean_ablated: Node::names(&set.finding.node_set.mean_ablated),
            measures: set.finding.measures.clone(),
        }
    }

    /// The best of the sets that do not hold.
    fn best_set(&self) -> Option<NamedSet> {
        let direction_only = self.direction_only();
        let set = self.tried.nearest(direction_only)?;
        Some(NamedSet {
            set: Node::names(&set.finding.node_set.nodes),
            interchange_accuracy: set.finding.measures.best(direction_only)?,
            control_pairs: set.finding.measures.control_pairs,
        })
    }

    fn finding(&self) -> &Finding {
        &self.tried.finding
    }

    fn direction_only(&self) -> bool {
        self.variable.task.predicts_only_direction()
    }

    fn counterexample(&self, bench: &Bench) -> Result<Option<Counterexample>, EngineError> {
        let finding = self.finding();
        let terms = Terms::new(self.variable, finding.affected_tokens.clone());
        counterexample(
            bench,
            self.variable,
            &finding.node_set,
            &terms,
            &finding.kept,
        )
    }
}

/// Whether an attempt is the node itself with others mean-ablated.
fn is_single(attempt: &Attempt) -> bool {
    !attempt.finding.node_set.mean_ablated.is_empty()
}

/// The nodes of an attempt, and those mean-ablated.
fn names_of(attempt: &Attempt) -> String {
    let NodeSet {
        nodes,
        mean_ablated,
    } = &attempt.finding.node_set;
    let names = |nodes: &[Node]| {
        let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
        names.join(" ")
    };
    match &mean_ablated[..] {
        [] => names(nodes),
        held => format!("{} with {} mean-ablated", names(nodes), names(held)),
    }
}

/// Which of the measures that must be negligible are not.
fn side_effects(measures: &Measures) -> Vec<String> {
    let mut reasons = Vec::new();
    if measures.control_pairs.lower > NEGLIGIBLE {
        reasons.push(format!(
            "{:.0} % of control trials change the answer",
            measures.control_pairs.share() * 100.0
        ));
    }
    for off_target in measures
        .off_target
        .values()
        .filter(|rate| rate.lower > NEGLIGIBLE)
    {
        reasons.push(format!(
            "{:.0} % of counterfactual trials have an off-target effect",
            off_target.share() * 100.0
        ));
    }
    reasons
}

fn lacks_selectivity(controls: &Controls) -> Vec<String> {
    let mut reasons = Vec::new();
    if controls.beats_decoys_by < SELECTIVITY_MARGIN {
        let best = controls.decoys.iter().find(|decoy| !decoy.carries);
        reasons.extend(best.map(|decoy| {
            let names: Vec<String> = decoy.nodes.iter().map(NodeName::to_string).collect();
            format!(
                "decoy {} gives the predicted answer in {} of {} trials",
                names.join(" "),
                decoy.interchange_accuracy.hits,
                decoy.interchange_accuracy.trials
            )
        }));
    }
    if controls
        .beats_wrong_digits_by
        .is_some_and(|by| by < SELECTIVITY_MARGIN)
    {
        let best = controls.wrong_digits.iter().max_by(|a, b| {
            a.interchange_accuracy
                .share()
                .total_cmp(&b.interchange_accuracy.share())
        });
        reasons.extend(best.map(|wrong| {
            format!(
                "also passes as {} in {} of {} trials",
                wrong.variable, wrong.interchange_accuracy.hits, wrong.interchange_accuracy.trials
            )
        }));
    }
    reasons
}

fn still_open(measures: &Measures, direction_only: bool) -> String {
    let rates = measures.deciding(direction_only);
    let rates = rates.iter().filter(|rate| rate.upper >= HALF);
    let rates: Vec<String> = rates
        .map(|rate| {
            format!(
                "{} of {} trials [{:.3}, {:.3}]",
                rate.hits, rate.trials, rate.lower, rate.upper
            )
        })
        .collect();
    if rates.is_empty() {
        "no trial was informative".into()
    } else {
        format!("the trial budget ended at {}", rates.join("; "))
    }
}
