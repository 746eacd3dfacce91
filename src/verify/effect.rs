//! Effects of patching on the pairs that sets are searched on: how far logits moved, not only
//! whether answers changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{Kind, Pair, Stratum};
use crate::experiment::stats::Count;
use crate::experiment::{Aspect, NEGLIGIBLE, Outcome, Terms, Trial};
use crate::network::logits::AnswerLogits;

/// A node joins a set if it improves the score by this many standard errors…
const CLEARLY: f64 = 3.0;

/// …and by at least this much.
const WORTH_ADDING: f64 = 0.02;

/// Share of a cell's free pairs that a set must move as predicted, allowing one failure, to be
/// worth judging.
const PROMISING: f64 = 0.975;

/// Minimum number of sampled trials of a cell to draw any conclusion from it.
const FEWEST: u64 = 8;

/// Weight of unwanted movement relative to predicted movement: a set may have almost no off-target
/// effect.
const HARM: f64 = 2.0;

/// Range to which a token's movement is clipped. 0 is unpatched; 1 is where the logits of its own
/// and the predicted token are equal. Clipping keeps one extreme token from outweighing others that
/// do not move.
const GAIN: (f32, f32) = (-0.5, 1.5);

/// The effect of a node set on the sample.
#[derive(Debug, Clone, Default)]
pub(super) struct Effect {
    /// How far each token predicted to change moved, by counterfactual pair and token.
    pub(super) gains: Vec<(Stratum, AnswerToken, f32)>,
    /// For each counterfactual pair: the tokens predicted to change, and those that did so as
    /// predicted.
    pub(super) moves: Vec<Move>,
    /// Free trials that moved a token as predicted.
    pub(super) right: BTreeMap<(Stratum, AnswerToken), Count>,
    /// For tasks that predict only a direction: counterfactual trials as predicted, by aspect.
    pub(super) directed: BTreeMap<Aspect, Count>,
    /// Counterfactual trials in which another token moved.
    off_target: Count,
    /// How far the most-moved of these tokens moved, by pair.
    strayed: Vec<f32>,
    /// Control trials in which anything changed…
    changed: Count,
    /// …and how far, by pair.
    disturbed: Vec<f32>,
}

/// The effect of a node set on one counterfactual pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) stratum: Stratum,
    pub(super) pair: Pair,
    pub(super) predicted: TokenSet,
    pub(super) right: TokenSet,
}

fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += f64::from(value);
        count += 1;
    }
    if count == 0 {
        0.0
    } else {
        sum / f64::from(count)
    }
}

impl Effect {
    pub(super) fn add(
        &mut self,
        trial: &Trial,
        reading: &Reading,
        kind: Kind,
        is_alike: bool,
        terms: &Terms,
    ) {
        let judged = trial.judge(&reading.outcome, terms);
        let harm = reading.harm.max(0.0);
        if kind == Kind::Control {
            self.changed.add(judged.off_target);
            self.disturbed.push(harm);
            return;
        }
        let gains = reading.gains.iter();
        self.gains
            .extend(gains.map(|&(token, gain)| (trial.stratum, token, gain)));
        self.strayed.push(harm);
        self.off_target.add(judged.off_target);
        self.moves.push(Move {
            stratum: trial.stratum,
            pair: trial.pair,
            predicted: judged.predicted,
            right: judged.right,
        });
        if terms.direction_only && judged.in_reach {
            let count = self.directed.entry(trial.stratum.into()).or_default();
            count.add(judged.agrees);
        }
        for token in judged.predicted.iter().filter(|_| !is_alike) {
            let count = self.right.entry((trial.stratum, token)).or_default();
            count.add(judged.right.contains(token));
        }
    }

    pub(super) fn gain(&self, token: AnswerToken) -> f64 {
        let of = self.gains.iter().filter(|(_, other, _)| *other == token);
        mean(of.map(|(_, _, gain)| *gain))
    }

    pub(super) fn harm(&self) -> f64 {
        HARM * (mean(self.strayed.iter().copied()) + mean(self.disturbed.iter().copied()))
    }

    /// How far a token moves as predicted, minus the weighted movement of everything that must not
    /// move.
    pub(super) fn score(&self, token: AnswerToken) -> f64 {
        self.gain(token) - self.harm()
    }

    /// The cells that the node set moves as predicted almost always, if it leaves everything else
    /// unchanged.
    pub(super) fn holds_on(&self) -> BTreeSet<(Stratum, AnswerToken)> {
        let few = |count: Count| count.share() <= NEGLIGIBLE;
        if !few(self.off_target) || !few(self.changed) {
            return BTreeSet::new();
        }
        let cells = self.right.iter();
        let nearly_all = |count: &Count| {
            let all_but_one = Count {
                hits: (count.hits + 1).min(count.trials),
                ..*count
            };
            count.trials >= FEWEST && all_but_one.share() >= PROMISING
        };
        cells
            .filter(|(_, count)| nearly_all(count))
            .map(|(&cell, _)| cell)
            .collect()
    }

    pub(super) fn holds(&self) -> bool {
        let mut directed = self.directed.values();
        !self.holds_on().is_empty() && directed.all(|count| count.share() >= PROMISING)
    }

    /// Best share of any cell, minus off-target and control changes: used to name the best of the
    /// sets that fail.
    pub(super) fn closeness(&self) -> f64 {
        let shares = self.right.values().filter(|c| c.trials >= FEWEST);
        let best = shares.map(Count::share).fold(0.0, f64::max);
        let directed = self.directed.values().map(Count::share);
        let best = directed.reduce(f64::min).unwrap_or(best);
        best - self.off_target.share() - self.changed.share()
    }

    /// Whether the node set does clearly better than another on the same pairs: either its score is
    /// higher, or it moves the token as predicted in more pairs without moving anything else
    /// further.
    pub(super) fn is_better(&self, other: &Effect, token: AnswerToken) -> bool {
        let clearly = |(by, error): (f64, f64), least: f64| by >= least && by >= CLEARLY * error;
        let rights = |effect: &Effect| -> Vec<f32> {
            let told = effect.moves.iter().filter(|m| m.predicted.contains(token));
            told.map(|m| f32::from(u8::from(m.right.contains(token))))
                .collect()
        };
        let more = difference(&rights(self), &rights(other), 1.0);
        clearly(self.exceeds(other, token), WORTH_ADDING)
            || (clearly(more, WORTH_ADDING) && self.harm() <= other.harm() + WORTH_ADDING)
    }

    /// How much the score exceeds another's on the same pairs, and the standard error of the
    /// difference.
    fn exceeds(&self, other: &Effect, token: AnswerToken) -> (f64, f64) {
        let gains = |effect: &Effect| -> Vec<f32> {
            let of = effect.gains.iter().filter(|(_, t, _)| *t == token);
            of.map(|(_, _, gain)| *gain).collect()
        };
        let parts = [
            difference(&gains(self), &gains(other), 1.0),
            difference(&self.strayed, &other.strayed, -HARM),
            difference(&self.disturbed, &other.disturbed, -HARM),
        ];
        let by = parts.iter().map(|part| part.0).sum();
        let variance: f64 = parts.iter().map(|part| part.1 * part.1).sum();
        (by, variance.sqrt())
    }
}

/// Mean paired difference, multiplied by `sign`, and its standard error.
fn difference(first: &[f32], second: &[f32], sign: f64) -> (f64, f64) {
    let differences: Vec<f64> = (first.iter().zip(second))
        .map(|(a, b)| sign * f64::from(a - b))
        .collect();
    let count = differences.len() as f64;
    if count < 2.0 {
        return (0.0, f64::INFINITY);
    }
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|d| (d - mean) * (d - mean)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

/// What is read from one patched trial.
pub(super) struct Reading {
    outcome: Outcome,
    gains: Vec<(AnswerToken, f32)>,
    /// How far the most-moved of all other tokens is from its own value; 1 where it changes.
    harm: f32,
}

pub(super) fn read(trial: &Trial, own: &AnswerLogits, patched: &AnswerLogits) -> Reading {
    let predicted = trial.predicted_change();
    let told = predicted.difference(trial.silent);
    let gain = |place: AnswerToken| {
        let (from, to) = (trial.reference.get(place), trial.predicted.get(place));
        let lead = |logits: &AnswerLogits| {
            let row = logits.row(place);
            row[usize::from(from)] - row[usize::from(to)]
        };
        let moved = 1.0 - lead(patched) / lead(own).max(f32::MIN_POSITIVE);
        (place, moved.clamp(GAIN.0, GAIN.1))
    };
    let still = TokenSet::all(trial.reference.n_digits())
        .difference(predicted)
        .difference(trial.silent);
    let harm = |place: AnswerToken| {
        let token = usize::from(trial.reference.get(place));
        let lead = |logits: &AnswerLogits| {
            let row = logits.row(place);
            let others = row.iter().enumerate().filter(|(other, _)| *other != token);
            row[token]
                - others
                    .map(|(_, &logit)| logit)
                    .fold(f32::NEG_INFINITY, f32::max)
        };
        let moved = 1.0 - lead(patched) / lead(own).max(f32::MIN_POSITIVE);
        moved.clamp(0.0, GAIN.1)
    };
    Reading {
        outcome: Outcome::of(patched),
        gains: told.iter().map(gain).collect(),
        // Movement of less than half the way changes nothing.
        harm: still.iter().map(harm).fold(0.0, f32::max) - 0.5,
    }
}
