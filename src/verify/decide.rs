//! The verdict of a claim, from all that was found of it: the table of docs/METHOD.md, row by row.

use super::controls::{Controls, SELECTIVITY_MARGIN, Selectivity};
use super::escalation::Attempt;
use super::tried::TriedClaim;
use super::verdict::{Verdict, VerdictKind};
use super::weakness::weaknesses;
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::experiment::{
    Bench, Counterexample, Finding, Measures, NEGLIGIBLE, Standing, Terms, TestedNodes,
    counterexample,
};
use crate::network::engine::EngineError;

/// What a testable claim's verdict is decided by.
pub(super) struct Grounds<'a> {
    pub(super) variable: Variable,
    pub(super) tried: &'a TriedClaim,
    pub(super) controls: &'a Controls,
    /// Whether the node attends where the claim needs it to.
    pub(super) attends: bool,
    /// Error of the whole file.
    pub(super) alpha: f64,
}

/// A row of the table: a verdict, and whether it applies to these grounds.
type VerdictRow<G> = (VerdictKind, fn(&G) -> bool);

impl Grounds<'_> {
    /// The verdict with what it rests on; `bench` shrinks counterexamples.
    pub(super) fn verdict(&self, bench: &Bench) -> Result<Verdict, EngineError> {
        let finding = self.finding();
        let fails_where = || weaknesses(self.variable, &finding.kept, self.alpha);
        Ok(match self.kind() {
            VerdictKind::Supported => Verdict::Supported,
            VerdictKind::Unspecific => Verdict::Unspecific {
                reasons: match self.reasons() {
                    none if none.is_empty() => {
                        vec!["holds in part, and only in a set that is not selective".into()]
                    }
                    reasons => reasons,
                },
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Joint | VerdictKind::Redundant => self.of_set(),
            VerdictKind::Partial => Verdict::Partial {
                fails_where: fails_where(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Refuted => Verdict::Refuted {
                inert: finding.measures.is_inert(),
                fails_where: fails_where(),
                counterexample: self.counterexample(bench)?,
            },
            VerdictKind::Correlational => Verdict::Correlational {
                attends: self.attends,
            },
            VerdictKind::Inconclusive | VerdictKind::NotTestable => Verdict::Inconclusive {
                open: self.open().expect("some row applies to what is not open"),
            },
        })
    }

    /// The first row of the table that applies. A claim that is not testable never comes here, and
    /// where a bound lies between, no other row is known to apply.
    fn kind(&self) -> VerdictKind {
        let rows: [VerdictRow<Self>; 7] = [
            (VerdictKind::Supported, Self::is_supported),
            (VerdictKind::Unspecific, Self::is_unspecific),
            (VerdictKind::Joint, Self::is_joint),
            (VerdictKind::Redundant, Self::is_redundant),
            (VerdictKind::Partial, Self::is_partial),
            (VerdictKind::Refuted, Self::is_refuted),
            (VerdictKind::Correlational, Self::is_correlational),
        ];
        let applies = rows.into_iter().find(|(_, applies)| applies(self));
        applies
            .filter(|_| self.open().is_none())
            .map_or(VerdictKind::Inconclusive, |(kind, _)| kind)
    }

    fn is_supported(&self) -> bool {
        self.finding().standing == Standing::Holds && self.reasons().is_empty()
    }

    fn is_unspecific(&self) -> bool {
        let holds_or_has_side_effects = matches!(
            self.finding().standing,
            Standing::Holds
                | Standing::HoldsUnspecifically
                | Standing::HoldsInPart
                | Standing::FailsUnspecifically
        );
        holds_or_has_side_effects && self.set().is_none() && !self.is_partial()
    }

    fn is_joint(&self) -> bool {
        self.set().is_some_and(|set| set.need.is_some())
    }

    fn is_redundant(&self) -> bool {
        self.set().is_some_and(|set| set.need.is_none())
    }

    fn is_partial(&self) -> bool {
        self.holds_in_part_alone() && self.reasons().is_empty()
    }

    fn is_refuted(&self) -> bool {
        self.finding().standing == Standing::Fails && !self.is_correlational()
    }

    fn is_correlational(&self) -> bool {
        // No effect was shown: it may be as small as a placebo's.
        let mut effects = self.finding().measures.effect.values();
        self.finding().standing == Standing::Fails
            && self.direction_only()
            && effects.all(|effect| effect.lower <= NEGLIGIBLE)
    }

    /// What was left open, where that keeps the claim from its verdict.
    fn open(&self) -> Option<String> {
        if self.hangs_alone_on_controls()
            && self.controls.selectivity() == Selectivity::Open
            && self.reasons().is_empty()
        {
            return Some(format!(
                "it beats every control by {:.2} at least, and one by {:.2} at most, where {SELECTIVITY_MARGIN} decides",
                self.controls.beats_all_by_at_least(),
                self.controls.beats_all_by_at_most,
            ));
        }
        if self.finding().holds() || self.set().is_some() || self.holds_in_part_alone() {
            return None;
        }
        let alone_is_open = self.finding().standing == Standing::Open;
        let of_node = || still_open(&self.finding().measures, self.direction_only());
        self.open_of_sets().or_else(|| alone_is_open.then(of_node))
    }

    /// What was left open of the sets that may hold where the node alone does not.
    fn open_of_sets(&self) -> Option<String> {
        if let Some(success) = self.tried.success() {
            let open = self.controls.selectivity() == Selectivity::Open;
            return open.then(|| format!("{} may or may not beat its controls", names_of(success)));
        }
        let attempt = self.tried.attempts.iter().find(|attempt| attempt.open)?;
        let names = names_of(attempt);
        Some(match attempt.need {
            Some(need) if attempt.finding.holds() => format!(
                "{names} holds, and needs the node by {need:.2} at least: whether by as much as a joint claim must was left open"
            ),
            _ => {
                let measures = &attempt.finding.measures;
                format!("{names}: {}", still_open(measures, self.direction_only()))
            }
        })
    }

    /// What is above its limit or not beaten. Controls are held against the node only where they were
    /// those of the node.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = side_effects(&self.finding().measures);
        if self.controls.own_activation.hits > 0 {
            reasons.push("patching its own activation changes the answer".into());
        }
        if self.hangs_alone_on_controls() && self.controls.selectivity() == Selectivity::Lacking {
            reasons.extend(lacks_selectivity(self.controls));
        }
        reasons
    }

    /// The set that holds, and passes its controls, where the node alone does not hold.
    fn set(&self) -> Option<&Attempt> {
        let passes = self.controls.selective() && self.controls.own_activation.hits == 0;
        self.tried.success().filter(|_| passes)
    }

    fn of_set(&self) -> Verdict {
        let set = self.set().expect("the verdict is of a set");
        let measures = set.finding.measures.clone();
        match set.need {
            Some(need) => Verdict::Joint {
                set: Node::names(&set.finding.subject.nodes),
                measures,
                need,
            },
            None => Verdict::Redundant {
                neutralised: Node::names(&set.finding.subject.neutralised),
                measures,
            },
        }
    }

    fn holds_in_part_alone(&self) -> bool {
        self.finding().standing == Standing::HoldsInPart && self.tried.success().is_none()
    }

    fn hangs_alone_on_controls(&self) -> bool {
        self.tried.success().is_none() && self.tried.hangs_on_selectivity()
    }

    fn finding(&self) -> &Finding {
        &self.tried.finding
    }

    fn direction_only(&self) -> bool {
        self.variable.task.predicts_only_direction()
    }

    fn counterexample(&self, bench: &Bench) -> Result<Option<Counterexample>, EngineError> {
        let finding = self.finding();
        let terms = Terms::new(self.variable, finding.reach, bench.decode);
        counterexample(bench, self.variable, &finding.subject, terms, &finding.kept)
    }
}

/// The nodes of an attempt, and those neutralised.
fn names_of(attempt: &Attempt) -> String {
    let TestedNodes { nodes, neutralised } = &attempt.finding.subject;
    let names = |nodes: &[Node]| {
        let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
        names.join(" ")
    };
    match &neutralised[..] {
        [] => names(nodes),
        held => format!("{} with {} neutralised", names(nodes), names(held)),
    }
}

/// What is too high among the measures that must be negligible.
fn side_effects(measures: &Measures) -> Vec<String> {
    let mut reasons = Vec::new();
    if measures.placebo.lower > NEGLIGIBLE {
        reasons.push(format!(
            "{:.0} % of placebo trials change the answer",
            measures.placebo.share() * 100.0
        ));
    }
    for spill in measures
        .spill
        .values()
        .filter(|rate| rate.lower > NEGLIGIBLE)
    {
        reasons.push(format!(
            "{:.0} % of telling trials change a token they must not",
            spill.share() * 100.0
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
                "decoy {} agrees in {} of {}",
                names.join(" "),
                decoy.agreement.hits,
                decoy.agreement.trials
            )
        }));
    }
    if controls
        .beats_wrong_digits_by
        .is_some_and(|by| by < SELECTIVITY_MARGIN)
    {
        let best = controls
            .wrong_digits
            .iter()
            .max_by(|a, b| a.agreement.share().total_cmp(&b.agreement.share()));
        reasons.extend(best.map(|wrong| {
            format!(
                "passes {} as well, in {} of {}",
                wrong.variable, wrong.agreement.hits, wrong.agreement.trials
            )
        }));
    }
    reasons
}

fn still_open(measures: &Measures, direction_only: bool) -> String {
    let rates: Vec<String> = measures
        .deciding(direction_only)
        .values()
        .map(|rate| {
            format!(
                "{} of {} trials, between {:.3} and {:.3}",
                rate.hits, rate.trials, rate.lower, rate.upper
            )
        })
        .collect();
    if rates.is_empty() {
        "no trial told anything".into()
    } else {
        format!("the budget ended at {}", rates.join("; "))
    }
}
