//! The verdict of a claim, from all that was found of it.

use super::controls::{Controls, SELECTIVITY_MARGIN, Selectivity};
use super::escalation::Attempt;
use super::evidence::{Escalated, StratumRates, TokenCount, Trials, Unreached};
use super::necessity::Necessity;
use super::phases::{Tried, Verification};
use super::plan::Testable;
use super::published_test::attended_position;
use super::verdict::Verdict;
use super::weakness;
use crate::domain::node::{Node, NodeName};
use crate::experiment::stats::{Rate, alpha_of_look};
use crate::experiment::{
    Bench, Finding, Measures, NEGLIGIBLE, Standing, Subject, Terms, counterexample,
};
use crate::network::engine::EngineError;

impl Verification<'_> {
    /// The first verdict of docs/METHOD.md's table that applies.
    pub(super) fn verdict(
        &self,
        bench: &Bench,
        claim: &Testable,
        tried: &Tried,
        controls: &Controls,
    ) -> Result<Verdict, EngineError> {
        let Tried { finding, .. } = tried;
        let variable = claim.variable;
        let direction_only = variable.task.predicts_only_direction();
        let terms = Terms {
            reach: finding.reach,
            direction_only,
            decode: bench.decode,
        };
        let example = || counterexample(bench, variable, &finding.subject, terms, &finding.kept);
        let weaknesses = || weakness::weaknesses(variable, &finding.kept, self.options.alpha);
        let mut reasons = side_effects(&finding.measures);
        if controls.own_activation.hits > 0 {
            reasons.push("patching its own activation changes the answer".into());
        }
        let chosen_alone = tried.success().is_none();
        let selectivity = controls.selectivity();
        let decides_alone = chosen_alone && tried.hangs_on_selectivity();
        if decides_alone && selectivity == Selectivity::Lacking {
            reasons.extend(lacks_selectivity(controls));
        }
        if decides_alone && selectivity == Selectivity::Open && reasons.is_empty() {
            return Ok(Verdict::Inconclusive {
                open: format!(
                    "it beats every control by {:.2} at least, and one by {:.2} at most, where {SELECTIVITY_MARGIN} decides",
                    controls.beats_all_by_at_least(),
                    controls.beats_all_by_at_most,
                ),
            });
        }
        match finding.standing {
            Standing::Holds if reasons.is_empty() => return Ok(Verdict::Supported),
            Standing::Holds | Standing::HoldsUnspecifically => {
                return Ok(Verdict::Unspecific {
                    reasons,
                    counterexample: example()?,
                });
            }
            _ => {}
        }
        if let Some(attempt) = tried.success()
            && controls.selective()
            && controls.own_activation.hits == 0
        {
            let measures = attempt.finding.measures.clone();
            return Ok(match attempt.need {
                Some(need) => Verdict::Joint {
                    set: Node::names(&attempt.finding.subject.nodes),
                    measures,
                    need,
                },
                None => Verdict::Redundant {
                    neutralised: Node::names(&attempt.finding.subject.neutralised),
                    measures,
                },
            });
        }
        let inert = finding.measures.is_inert();
        let part = matches!(finding.standing, Standing::HoldsInPart) && chosen_alone;
        if let Some(open) = tried
            .left_open(selectivity, direction_only)
            .filter(|_| !part)
        {
            return Ok(Verdict::Inconclusive { open });
        }
        Ok(match finding.standing {
            Standing::HoldsInPart if chosen_alone && reasons.is_empty() => Verdict::Partial {
                fails_where: weaknesses(),
                counterexample: example()?,
            },
            Standing::HoldsInPart | Standing::FailsUnspecifically => Verdict::Unspecific {
                reasons: if reasons.is_empty() {
                    vec!["holds in part, and only in a set that is not selective".into()]
                } else {
                    reasons
                },
                counterexample: example()?,
            },
            // No effect was shown: it may be as small as a placebo's.
            Standing::Fails
                if direction_only
                    && finding
                        .measures
                        .effect
                        .values()
                        .all(|e| e.lower <= NEGLIGIBLE) =>
            {
                Verdict::Correlational {
                    attends: attended_position(variable.task, self.engine)
                        .is_some_and(|position| self.attends(claim.node, position)),
                }
            }
            Standing::Fails => Verdict::Refuted {
                inert,
                fails_where: weaknesses(),
                counterexample: example()?,
            },
            _ => Verdict::Inconclusive {
                open: still_open(&finding.measures, direction_only),
            },
        })
    }

    pub(super) fn trials(
        &self,
        verdict: &Verdict,
        tried: Tried,
        controls: Controls,
        necessity: Necessity,
    ) -> Trials {
        // What a set reaches is said of a claim that is the set's.
        let judged = match verdict {
            Verdict::Joint { .. } | Verdict::Redundant { .. } => tried.chosen(),
            _ => &tried.finding,
        };
        let unreached: Vec<Unreached> = judged
            .possible()
            .difference(judged.reach)
            .iter()
            .map(|token| Unreached {
                token,
                reached_by: Vec::new(),
            })
            .collect();
        let Tried { finding, attempts } = tried;
        Trials {
            alpha: self.alpha(),
            reach: finding.reached(),
            dropped: finding.dropped,
            unreached,
            strata: by_stratum(&finding, self.alpha()),
            alone: finding.measures,
            tokens: finding
                .tokens
                .iter()
                .map(|(&(stratum, token), &moved)| TokenCount {
                    stratum,
                    token,
                    moved,
                })
                .collect(),
            escalation: attempts
                .into_iter()
                .map(|attempt| Escalated {
                    nodes: Node::names(&attempt.finding.subject.nodes),
                    neutralised: Node::names(&attempt.finding.subject.neutralised),
                    reach: attempt.finding.reached(),
                    measures: attempt.finding.measures,
                    need: attempt.need,
                })
                .collect(),
            controls,
            necessity,
        }
    }
}

impl Tried {
    /// The attempt that holds where the node alone does not.
    pub(super) fn success(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.succeeds)
    }

    /// What was left open of the sets that may hold where the node alone does not.
    pub(super) fn left_open(
        &self,
        selectivity: Selectivity,
        direction_only: bool,
    ) -> Option<String> {
        let names = |attempt: &Attempt| {
            let Subject { nodes, neutralised } = &attempt.finding.subject;
            let names = |nodes: &[Node]| {
                let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
                names.join(" ")
            };
            match &neutralised[..] {
                [] => names(nodes),
                held => format!("{} with {} neutralised", names(nodes), names(held)),
            }
        };
        if let Some(success) = self.success() {
            let open = selectivity == Selectivity::Open;
            return open.then(|| format!("{} may or may not beat its controls", names(success)));
        }
        let attempt = self.attempts.iter().find(|attempt| attempt.open)?;
        Some(match attempt.need {
            Some(need) if attempt.finding.holds() => format!(
                "{} holds, and needs the node by {need:.2} at least: whether by as much as a joint claim must was left open",
                names(attempt)
            ),
            _ => {
                let measures = &attempt.finding.measures;
                format!(
                    "{}: {}",
                    names(attempt),
                    still_open(measures, direction_only)
                )
            }
        })
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
