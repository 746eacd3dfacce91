//! Counting judged trials of one subject, and what the counts decide.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::{Count, Errors, Rate};
use super::trial::{Judged, Outcome, Terms, Trial};
use crate::domain::arithmetic::AnswerToken;
use crate::domain::causal::{Kind, Stratum};

/// Placebo and spill rates above this are too high for a claim to be specific (docs/METHOD.md,
/// "Verdicts"); an effect below it is inert.
pub const NEGLIGIBLE: f64 = 0.05;

/// Below this agreement a claim fails more often than it holds, and is refuted.
pub const HALF: f64 = 0.5;

/// Parts of a task that are judged apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// The digits of the answer.
    Digits,
    /// The order of the operands, or the sign read.
    Sign,
    /// The operation asked for.
    Operation,
}

impl From<Stratum> for Aspect {
    fn from(stratum: Stratum) -> Self {
        match stratum {
            Stratum::Whole | Stratum::Depth(_) => Aspect::Digits,
            Stratum::Order | Stratum::Sign(_) => Aspect::Sign,
            Stratum::Operation(_) => Aspect::Operation,
        }
    }
}

/// Counts over telling trials of one aspect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Telling {
    /// Exactly as predicted.
    pub agreement: Count,
    pub effect: Count,
    /// A token changed that cannot.
    pub spill: Count,
}

/// Counts over the trials of one stratum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StratumTally {
    pub telling: Telling,
    /// Placebo trials in which anything changed.
    pub placebo: Count,
}

/// Everything counted of one subject.
#[derive(Debug, Clone, Default)]
pub struct TrialTally {
    pub telling: BTreeMap<Aspect, Telling>,
    /// Placebo trials in which anything changed.
    pub placebo: Count,
    /// Trials set aside because all that was wrong were numerical ties.
    pub ties: u64,
    /// Trials set aside because neutralising alone changed the answer.
    pub unstable: u64,
    /// The same by stratum, with placebo trials.
    pub strata: BTreeMap<Stratum, StratumTally>,
    /// Trials that moved a token to its predicted value, among those that predict a change of it.
    pub tokens: BTreeMap<(Stratum, AnswerToken), Count>,
}

impl TrialTally {
    /// Counts one outcome; returns how it was judged, or `None` where it says nothing.
    pub fn add(
        &mut self,
        kind: Kind,
        trial: &Trial,
        outcome: Option<&Outcome>,
        terms: Terms,
    ) -> Option<Judged> {
        let Some(outcome) = outcome else {
            self.unstable += 1;
            return None;
        };
        let predicted = trial.predicted_change();
        let judged = trial.judge(outcome, terms);
        if kind == Kind::Telling {
            let changed = outcome.answer.changed_from(&trial.reference);
            for place in predicted.iter() {
                let right = changed.contains(place)
                    && outcome.answer.get(place) == trial.predicted.get(place);
                self.tokens
                    .entry((trial.stratum, place))
                    .or_default()
                    .add(right);
            }
        }
        let Some(judged) = judged else {
            self.ties += 1;
            return None;
        };
        match kind {
            Kind::Telling => {
                let astray = terms.direction_only && !judged.astray.is_empty();
                let aspect = self.telling.entry(trial.stratum.into()).or_default();
                let stratum = self.strata.entry(trial.stratum).or_default();
                for telling in [aspect, &mut stratum.telling] {
                    if judged.in_reach {
                        telling.agreement.add(judged.agrees);
                        telling.effect.add(judged.moved);
                    }
                    telling.spill.add(judged.spilled || astray);
                }
            }
            Kind::Placebo => {
                self.placebo.add(judged.spilled);
                let stratum = self.strata.entry(trial.stratum).or_default();
                stratum.placebo.add(judged.spilled);
            }
        }
        Some(judged)
    }

    /// The share of telling trials, over all strata, that moved each token as predicted.
    pub fn by_token(&self) -> BTreeMap<AnswerToken, Count> {
        let mut tokens: BTreeMap<AnswerToken, Count> = BTreeMap::new();
        for (&(_, place), count) in &self.tokens {
            let total = tokens.entry(place).or_default();
            total.hits += count.hits;
            total.trials += count.trials;
        }
        tokens
    }

    /// Telling trials counted, over all aspects.
    pub fn telling_trials(&self) -> u64 {
        self.telling.values().map(|t| t.agreement.trials).sum()
    }
}

/// The measures of a subject, with their intervals.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Measures {
    /// Telling trials that gave exactly the predicted answer, by aspect.
    pub agreement: BTreeMap<Aspect, Rate>,
    /// Telling trials that changed any predicted token, by aspect.
    pub effect: BTreeMap<Aspect, Rate>,
    /// Telling trials that changed a token that cannot change, by aspect.
    pub spill: BTreeMap<Aspect, Rate>,
    /// Placebo trials that changed anything.
    pub placebo: Rate,
    /// Trials set aside as numerical ties.
    pub ties: u64,
    /// Trials set aside because neutralising alone changed the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unstable: u64,
    /// Looks taken at the counts.
    pub looks: usize,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What the measures of a subject say so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Agreement reaches the threshold, placebo and spill are negligible.
    Holds,
    /// Agreement reaches the threshold, placebo or spill is too high.
    HoldsUnspecifically,
    /// Agreement is below the threshold and at least one half, placebo and spill are negligible.
    HoldsInPart,
    /// Agreement is below the threshold, and placebo or spill is too high.
    FailsUnspecifically,
    /// Agreement is below one half.
    Fails,
    /// A bound still lies between.
    Open,
}

impl Measures {
    /// The measures of a tally at one look, which may spend `alpha` in each direction. `exhaustive`
    /// tells, for telling and placebo trials, that no other pair exists.
    ///
    /// A claim holds where all rates are on the right side of their limits, so that each bound that
    /// speaks for it may spend all of `alpha`. It fails where any one is on the wrong side: the bounds
    /// that speak against it share `alpha` evenly.
    pub fn of(tally: &TrialTally, alpha: f64, looks: usize, exhaustive: (bool, bool)) -> Self {
        let telling = |count: fn(&Telling) -> Count| {
            let counts = tally
                .telling
                .iter()
                .map(move |(&aspect, t)| (aspect, count(t)));
            counts.filter(|(_, count)| count.trials > 0)
        };
        let against = telling(|t| t.agreement).count() + telling(|t| t.spill).count() + 1;
        let shared = alpha / against as f64;
        let high = Errors {
            lower: alpha,
            upper: shared,
        };
        let low = Errors {
            lower: shared,
            upper: alpha,
        };
        let rates = |count, errors| {
            let rate = |(aspect, count)| (aspect, Rate::new(count, exhaustive.0, errors));
            telling(count).map(rate).collect()
        };
        Measures {
            agreement: rates(|t| t.agreement, high),
            effect: rates(|t| t.effect, high),
            spill: rates(|t| t.spill, low),
            placebo: Rate::new(tally.placebo, exhaustive.1, low),
            ties: tally.ties,
            unstable: tally.unstable,
            looks,
        }
    }

    /// The rates that decide: agreement, or effect for tasks that predict only a direction.
    pub fn deciding(&self, direction_only: bool) -> &BTreeMap<Aspect, Rate> {
        if direction_only {
            &self.effect
        } else {
            &self.agreement
        }
    }

    /// Whether patching is inert: effect is negligible in every aspect.
    pub fn is_inert(&self) -> bool {
        !self.effect.is_empty() && self.effect.values().all(|rate| rate.upper < NEGLIGIBLE)
    }

    /// Whether effect is so rare, in every aspect, that more trials may show it to be negligible.
    pub fn seems_inert(&self) -> bool {
        let seldom = NEGLIGIBLE / 2.0;
        !self.effect.is_empty() && self.effect.values().all(|rate| rate.share() < seldom)
    }

    /// Whether it is not known that agreement is below the threshold, or that anything else moves.
    pub fn may_hold(&self, threshold: f64, direction_only: bool) -> bool {
        let deciding = self.deciding(direction_only);
        let mut side_effects = self.spill.values().chain([&self.placebo]);
        deciding.values().all(|rate| rate.upper >= threshold)
            && side_effects.all(|rate| rate.lower <= NEGLIGIBLE)
    }

    /// What the measures say at this agreement threshold.
    pub fn standing(&self, threshold: f64, direction_only: bool) -> Standing {
        let deciding = self.deciding(direction_only);
        if deciding.is_empty() {
            return Standing::Open;
        }
        if deciding.values().any(|rate| rate.upper < HALF) {
            return Standing::Fails;
        }
        let side_effects = || self.spill.values().chain([&self.placebo]);
        let clean = side_effects().all(|rate| rate.upper <= NEGLIGIBLE);
        let dirty = side_effects().any(|rate| rate.lower > NEGLIGIBLE);
        let holds = deciding.values().all(|rate| rate.lower >= threshold);
        let below = deciding.values().any(|rate| rate.upper < threshold);
        let above_half = deciding.values().all(|rate| rate.lower >= HALF);
        if holds && clean {
            Standing::Holds
        } else if holds && dirty {
            Standing::HoldsUnspecifically
        } else if below && dirty {
            Standing::FailsUnspecifically
        } else if below && above_half && clean {
            Standing::HoldsInPart
        } else {
            Standing::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(aspects: &[Aspect], agreement: Count, spill: Count) -> TrialTally {
        let telling = Telling {
            agreement,
            effect: agreement,
            spill,
        };
        TrialTally {
            telling: aspects.iter().map(|&aspect| (aspect, telling)).collect(),
            placebo: spill,
            ..TrialTally::default()
        }
    }

    #[test]
    fn bounds_that_speak_against_a_claim_share_its_error() {
        let alpha = 0.01;
        let (half, few) = (
            Count {
                hits: 100,
                trials: 200,
            },
            Count {
                hits: 12,
                trials: 200,
            },
        );
        for (aspects, bounds) in [
            (&[Aspect::Digits][..], 3.0),
            (&[Aspect::Digits, Aspect::Sign], 5.0),
        ] {
            let measures = Measures::of(&tally(aspects, half, few), alpha, 1, (false, false));
            for aspect in aspects {
                let (agreement, spill) = (measures.agreement[aspect], measures.spill[aspect]);
                assert_eq!(agreement.lower, half.lower(alpha));
                assert_eq!(agreement.upper, half.upper(alpha / bounds));
                assert_eq!(spill.lower, few.lower(alpha / bounds));
                assert_eq!(spill.upper, few.upper(alpha));
            }
            assert_eq!(measures.placebo.lower, few.lower(alpha / bounds));
        }
    }

    #[test]
    fn an_aspect_that_only_spills_takes_a_claim_down() {
        let always = Count {
            hits: 500,
            trials: 500,
        };
        let never = Count {
            hits: 0,
            trials: 500,
        };
        let mut counted = tally(&[Aspect::Sign], always, never);
        let standing = |counted: &TrialTally| {
            Measures::of(counted, 0.001, 1, (false, false)).standing(0.95, false)
        };
        assert_eq!(standing(&counted), Standing::Holds);
        // Outside the reach there is nothing to agree with.
        let digits = Telling {
            spill: always,
            ..Telling::default()
        };
        counted.telling.insert(Aspect::Digits, digits);
        assert_eq!(standing(&counted), Standing::HoldsUnspecifically);
    }
}
