//! Counting judged trials of one subject, and what the counts decide.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trial::{Outcome, Trial};
use crate::arithmetic::{AnswerToken, TokenSet};
use crate::causal::{Kind, Stratum};
use crate::engine::Decode;
use crate::stats::{Count, Rate};

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
    /// Any predicted token changed.
    pub effect: Count,
    /// A token changed that cannot.
    pub spill: Count,
}

/// How a subject is judged.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The tokens it is judged on.
    pub reach: TokenSet,
    /// Whether the task predicts only where tokens move.
    pub direction_only: bool,
    /// How answers are read.
    pub decode: Decode,
}

/// Everything counted of one subject.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Telling trials, by aspect.
    pub telling: BTreeMap<Aspect, Telling>,
    /// Placebo trials in which anything changed.
    pub placebo: Count,
    /// Trials set aside because all that was wrong were numerical ties.
    pub ties: u64,
    /// Trials set aside because neutralising alone changed the answer.
    pub unstable: u64,
    /// Trials that moved a token to its predicted value, among those that predict a change of it.
    pub tokens: BTreeMap<(Stratum, AnswerToken), Count>,
}

impl Tally {
    /// Counts one outcome; returns whether it agreed, or `None` where it says nothing.
    pub fn add(
        &mut self,
        kind: Kind,
        trial: &Trial,
        outcome: Option<&Outcome>,
        terms: Terms,
    ) -> Option<bool> {
        let Some(outcome) = outcome else {
            self.unstable += 1;
            return None;
        };
        let predicted = trial.predicted_change();
        let judged = trial.judge(outcome, terms.reach, terms.direction_only, terms.decode);
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
            // Either nothing was predicted inside the reach, or only ties stood in the way.
            let judgeable =
                kind == Kind::Placebo || !predicted.intersection(terms.reach).is_empty();
            self.ties += u64::from(judgeable);
            return None;
        };
        match kind {
            Kind::Telling => {
                let telling = self.telling.entry(trial.stratum.into()).or_default();
                telling.agreement.add(judged.agrees);
                telling.effect.add(judged.moved);
                let astray = terms.direction_only && !judged.astray.is_empty();
                telling.spill.add(judged.spilled || astray);
            }
            Kind::Placebo => self.placebo.add(judged.spilled),
        }
        Some(judged.agrees)
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
    /// The measures of a tally at one look, whose bounds may each err with probability `alpha`.
    /// `exhaustive` tells, for telling and placebo trials, that no other pair exists.
    pub fn of(tally: &Tally, alpha: f64, looks: usize, exhaustive: (bool, bool)) -> Self {
        let rates = |count: fn(&Telling) -> Count| {
            tally
                .telling
                .iter()
                .map(|(&aspect, telling)| (aspect, Rate::new(count(telling), exhaustive.0, alpha)))
                .collect()
        };
        Measures {
            agreement: rates(|t| t.agreement),
            effect: rates(|t| t.effect),
            spill: rates(|t| t.spill),
            placebo: Rate::new(tally.placebo, exhaustive.1, alpha),
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

    /// Whether agreement is known to be below the threshold, whatever else is open.
    pub fn falls_short(&self, threshold: f64, direction_only: bool) -> bool {
        let deciding = self.deciding(direction_only);
        deciding.values().any(|rate| rate.upper < threshold)
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
