//! Counts the judged trials of one node set, and derives the measures.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::{Count, Errors, Rate};
use super::trial::{AffectedTokens, Judged, Outcome, Trial};
use crate::domain::arithmetic::{Answer, AnswerToken, TokenSet};
use crate::domain::causal::{Kind, Stratum, with_other_sign};

/// A claim whose control-pair or off-target rate is above this is not specific (docs/METHOD.md,
/// "Verdicts"). A node whose effect is below it is inert.
pub const NEGLIGIBLE: f64 = 0.05;

/// A claim with an interchange accuracy below this fails more often than it holds.
pub const HALF: f64 = 0.5;

/// Parts of a task that are measured separately.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// The digits of the answer.
    Digits,
    /// The order of the operands, or the sign read.
    Sign,
    /// The requested operation.
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

/// A token in one stratum of pairs that changes it: the smallest unit that is judged.
pub type Cell = (Stratum, AnswerToken);

/// Counterfactual trials of one aspect: counts beyond those of single cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AspectCounts {
    /// A token moved to its predicted value.
    pub effect: Count,
    /// A token changed that the causal model says cannot change.
    pub off_target: Count,
}

/// The digits after a sign that flipped as predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct AfterSign {
    /// Trials in which the sign flipped as predicted.
    pub turned: u64,
    /// Of these, trials in which every digit stayed: the digits follow the sign token in the input.
    pub follow_token: u64,
    /// Of these, trials in which every digit is that of the other sign: the digits follow the order
    /// that the model computed.
    pub follow_order: u64,
    /// Digits, over all these trials, that differ between the two signs' answers.
    pub digits: u64,
    /// Of these, those that stayed.
    pub digits_follow_token: u64,
    /// Of these, those of the other sign's answer.
    pub digits_follow_order: u64,
}

/// Whether the digits after a sign follow the sign token or the computed order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignReading {
    Token,
    Order,
    Neither,
}

impl AfterSign {
    /// The reading that more than half of the distinguishing digits support.
    pub fn reading(&self) -> SignReading {
        let most = |count: u64| 2 * count > self.digits;
        if most(self.digits_follow_token) {
            SignReading::Token
        } else if most(self.digits_follow_order) {
            SignReading::Order
        } else {
            SignReading::Neither
        }
    }

    pub(crate) fn add(&mut self, trial: &Trial, answer: &Answer) {
        let sign = TokenSet::only(answer.sign_place());
        let digits = TokenSet::all(answer.n_digits()).difference(sign);
        let (token, order) = (&trial.reference, &with_other_sign(&trial.pair.base));
        let unlike = |other: &Answer| answer.changed_from(other).intersection(digits);
        self.turned += 1;
        self.follow_token += u64::from(unlike(token).is_empty());
        self.follow_order += u64::from(unlike(order).is_empty());
        let counterfactual = token.changed_from(order).intersection(digits);
        let like = |other: &Answer| counterfactual.difference(unlike(other)).iter().count() as u64;
        self.digits += counterfactual.iter().count() as u64;
        self.digits_follow_token += like(token);
        self.digits_follow_order += like(order);
    }
}

impl fmt::Display for AfterSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self.reading() {
            SignReading::Token => "follow the sign token they are given",
            SignReading::Order => "follow the order that the model computed",
            SignReading::Neither => "follow neither the sign token nor the order",
        };
        let AfterSign {
            turned,
            follow_token,
            follow_order,
            digits,
            ..
        } = self;
        write!(
            f,
            "where the sign flips, the digits after it {told}: of {digits} digits that differ, {} match the token and {} match the order (all of them in {follow_token} and {follow_order} of {turned} trials)",
            self.digits_follow_token, self.digits_follow_order,
        )
    }
}

/// A count with its own sequence of interim analyses. It is analysed until it is settled and never
/// again, so that the analyses run are those its error was split among.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    pub count: Count,
    pub(super) analyses: usize,
    pub(super) settled: bool,
}

impl Watched {
    /// Counts a trial, unless the count is settled.
    pub fn add(&mut self, hit: bool) {
        if !self.settled {
            self.count.add(hit);
        }
    }
}

/// The parts of a trial's outcome that interchange accuracy on any tokens depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    stratum: Stratum,
    predicted: TokenSet,
    right: TokenSet,
    off_target: bool,
}

/// All counts of one node set.
#[derive(Debug, Clone, Default)]
pub struct TrialTally {
    /// Counterfactual trials that moved the token as predicted, among those that predict a change
    /// of it.
    pub cells: BTreeMap<Cell, Watched>,
    /// Tokens that no node of the set can move: trials that predict a change of only these do not
    /// count towards its effect.
    pub(super) out_of_sight: TokenSet,
    /// Trials that moved it to another value.
    astray: BTreeMap<Cell, u64>,
    /// Counted over strata drawn equally often.
    pub counterfactual: BTreeMap<Aspect, AspectCounts>,
    /// Counterfactual trials, over strata drawn equally often, that moved a token to a value other
    /// than predicted.
    pub elsewhere: Count,
    pub(super) shared_analyses: usize,
    pub shared_done: bool,
    /// Control trials in which anything changed.
    pub control_pairs: Watched,
    pub after_sign: AfterSign,
    /// Trials in which a token was set aside as a numerical tie.
    pub ties: u64,
    /// Trials set aside because mean ablation alone changed the answer.
    pub unstable: u64,
    shapes: BTreeMap<Shape, u64>,
}

impl TrialTally {
    /// Counts one outcome. Returns how it was judged, or `None` if it says nothing.
    pub fn add(
        &mut self,
        kind: Kind,
        trial: &Trial,
        outcome: Option<&Outcome>,
        terms: &super::trial::Terms,
    ) -> Option<Judged> {
        let Some(outcome) = outcome else {
            self.unstable += 1;
            return None;
        };
        let judged = trial.judge(outcome, terms);
        self.ties += u64::from(judged.tied);
        if kind == Kind::Control {
            self.control_pairs.add(judged.off_target);
            return Some(judged);
        }
        for place in judged.predicted.iter() {
            let cell = (trial.stratum, place);
            let watched = self.cells.entry(cell).or_default();
            if !watched.settled {
                watched.add(judged.right.contains(place));
                let astray = self.astray.entry(cell).or_default();
                *astray += u64::from(judged.astray.contains(place));
            }
        }
        if !self.shared_done {
            let counterfactual = self.counterfactual.entry(trial.stratum.into()).or_default();
            if !judged.predicted.difference(self.out_of_sight).is_empty() {
                counterfactual.effect.add(judged.moved);
                (self.elsewhere).add(judged.off_target || !judged.astray.is_empty());
            }
            counterfactual.off_target.add(judged.off_target);
        }
        if trial.stratum == Stratum::Order && judged.moved {
            self.after_sign.add(trial, &outcome.answer);
        }
        let shape = Shape {
            stratum: trial.stratum,
            predicted: judged.predicted.difference(self.out_of_sight),
            right: judged.right,
            off_target: judged.off_target,
        };
        *self.shapes.entry(shape).or_default() += 1;
        Some(judged)
    }

    /// Counterfactual trials, over all strata, that moved each token as predicted.
    pub fn by_token(&self) -> BTreeMap<AnswerToken, Count> {
        let mut tokens: BTreeMap<AnswerToken, Count> = BTreeMap::new();
        for (&(_, place), watched) in &self.cells {
            let total = tokens.entry(place).or_default();
            total.hits += watched.count.hits;
            total.trials += watched.count.trials;
        }
        tokens
    }

    /// Counterfactual trials counted.
    pub fn counterfactual_trials(&self) -> u64 {
        self.shapes.values().sum()
    }

    /// Trials as predicted on these affected tokens, by aspect, among those that predict a change
    /// of one of them.
    fn interchange_accuracy(
        &self,
        affected_tokens: &AffectedTokens,
        direction_only: bool,
    ) -> BTreeMap<Aspect, Count> {
        let mut found: BTreeMap<Aspect, Count> = BTreeMap::new();
        for (shape, &trials) in &self.shapes {
            let told = shape
                .predicted
                .intersection(affected_tokens.on(shape.stratum));
            if told.is_empty() {
                continue;
            }
            let right = told.intersection(shape.right);
            let agrees = !shape.off_target
                && if direction_only {
                    !right.is_empty()
                } else {
                    right == told
                };
            let count = found.entry(shape.stratum.into()).or_default();
            count.trials += trials;
            count.hits += if agrees { trials } else { 0 };
        }
        found
    }
}

/// What is known of one token in one stratum.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TokenOutcome {
    /// It moves as predicted: the lower bound reaches the threshold.
    Holds,
    /// It moves as predicted less often: the upper bound is below the threshold.
    InPart,
    /// It does not hold, and moves as predicted in a negligible share of trials.
    Unmoved,
    /// The bounds leave open whether it holds.
    Open,
}

impl TokenOutcome {
    pub const fn name(self) -> &'static str {
        match self {
            TokenOutcome::Holds => "holds",
            TokenOutcome::InPart => "in part",
            TokenOutcome::Unmoved => "does not move",
            TokenOutcome::Open => "left open",
        }
    }
}

/// One token in one stratum.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct TokenRate {
    /// The stratum of pairs.
    pub stratum: Stratum,
    /// The token.
    pub token: AnswerToken,
    /// Counterfactual trials that moved it to its predicted value, among those that predict a change of it.
    pub moved: Rate,
    /// Trials that moved it to another value.
    pub astray: u64,
    /// The outcome that the bounds imply.
    pub outcome: TokenOutcome,
}

/// The measures of a node set, with their intervals.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Measures {
    /// Every token that the causal model changes, in each stratum that changes it.
    pub tokens: Vec<TokenRate>,
    /// Counterfactual trials that gave exactly the predicted answer on the tokens that hold (if
    /// none does, on those that move as predicted in at least half of the trials; otherwise on
    /// all), by aspect.
    pub interchange_accuracy: BTreeMap<Aspect, Rate>,
    /// Counterfactual trials that moved a token to its predicted value, by aspect.
    pub effect: BTreeMap<Aspect, Rate>,
    /// Counterfactual trials that changed a token that the causal model says cannot change, by
    /// aspect.
    pub off_target: BTreeMap<Aspect, Rate>,
    /// Counterfactual trials that moved a token to a value other than predicted.
    pub elsewhere: Rate,
    /// Control trials that changed anything.
    pub control_pairs: Rate,
    /// The digits where the sign flips as predicted; absent if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_sign: Option<AfterSign>,
    /// Trials with a token set aside as a numerical tie.
    pub ties: u64,
    /// Trials set aside because mean ablation alone changed the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unstable: u64,
    /// Interim analyses run.
    pub analyses: usize,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The standing of a node set according to its measures so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At least one token holds and none is open; control-pair and off-target rates are negligible.
    Holds,
    /// At least one token holds; the control-pair or off-target rate is too high.
    HoldsUnspecifically,
    /// No token holds, one moves as predicted in at least half of the trials; control-pair and
    /// off-target rates are negligible.
    HoldsInPart,
    /// No token holds; the control-pair or off-target rate is too high.
    FailsUnspecifically,
    /// Every token moves as predicted in less than half of the trials.
    Fails,
    /// The bounds do not decide yet.
    Open,
}

/// How a node set's error is split among the bounds of its rates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub(super) alpha: f64,
    /// Number of cells of which any one makes the node set hold.
    pub(super) cells: usize,
    pub(super) direction_only: bool,
    /// Whether the counterfactual and the control trials, respectively, are all there are.
    pub(super) exhaustive: (bool, bool),
    pub(super) threshold: f64,
}

impl Measures {
    /// The measures of a tally. A node set holds if one of its cells does and it has no side
    /// effects: the lower bounds of the cells split the error; the upper bounds of the off-target
    /// and control-pair rates may each spend all of it, since all must be right. It fails if all
    /// cells do, or if one of the rates that must be negligible is not: these bounds split the
    /// error evenly.
    pub(super) fn of(tally: &TrialTally, shares: Shares) -> Self {
        use super::stats::alpha_of_look;
        let Shares {
            alpha,
            cells,
            direction_only,
            exhaustive,
            threshold,
        } = shares;
        let aspects = tally.counterfactual.len();
        let against = alpha / (aspects + 2) as f64;
        let any_cell = alpha / cells.max(1) as f64;
        let at = |look: usize, lower: f64, upper: f64| Errors {
            lower: alpha_of_look(lower, look.max(1)),
            upper: alpha_of_look(upper, look.max(1)),
        };
        let shared = tally.shared_analyses;
        let by_aspect = |count: fn(&AspectCounts) -> Count, errors| -> BTreeMap<Aspect, Rate> {
            let counts = tally
                .counterfactual
                .iter()
                .map(|(&aspect, t)| (aspect, count(t)));
            let counts = counts.filter(|(_, count)| count.trials > 0);
            let rate = |(aspect, count)| (aspect, Rate::new(count, exhaustive.0, errors));
            counts.map(rate).collect()
        };
        let outcome = |rate: &Rate| match rate {
            rate if rate.trials == 0 => TokenOutcome::Open,
            rate if rate.lower >= threshold => TokenOutcome::Holds,
            rate if rate.upper >= threshold => TokenOutcome::Open,
            rate if rate.share() <= NEGLIGIBLE => TokenOutcome::Unmoved,
            _ => TokenOutcome::InPart,
        };
        let tokens: Vec<TokenRate> = (tally.cells.iter())
            .map(|(&(stratum, token), watched)| {
                let errors = at(watched.analyses, any_cell, against);
                let moved = Rate::new(watched.count, exhaustive.0, errors);
                TokenRate {
                    stratum,
                    token,
                    moved,
                    astray: tally.astray.get(&(stratum, token)).copied().unwrap_or(0),
                    outcome: outcome(&moved),
                }
            })
            .collect();
        let analyses = tally.cells.values().map(|watched| watched.analyses);
        let analyses = analyses.fold(shared.max(tally.control_pairs.analyses), usize::max);
        let mut measures = Measures {
            tokens,
            interchange_accuracy: BTreeMap::new(),
            effect: by_aspect(|t| t.effect, at(shared, alpha, against)),
            off_target: by_aspect(|t| t.off_target, at(shared, against, alpha)),
            elsewhere: Rate::new(tally.elsewhere, exhaustive.0, at(shared, alpha, alpha)),
            control_pairs: Rate::new(
                tally.control_pairs.count,
                exhaustive.1,
                at(tally.control_pairs.analyses, against, alpha),
            ),
            after_sign: (tally.after_sign.turned > 0).then_some(tally.after_sign),
            ties: tally.ties,
            unstable: tally.unstable,
            analyses,
        };
        let affected_tokens = measures.affected_tokens(direction_only);
        let interchange_accuracy = tally.interchange_accuracy(&affected_tokens, direction_only);
        measures.interchange_accuracy = (interchange_accuracy.into_iter())
            .map(|(aspect, count)| {
                (
                    aspect,
                    Rate::new(count, exhaustive.0, at(analyses, alpha, alpha)),
                )
            })
            .collect();
        measures
    }

    /// The tokens that a node set is judged on: those that hold; if none does, those that move as
    /// predicted in at least half of the trials; otherwise all. A quantity that predicts only a
    /// direction is judged on all.
    pub fn affected_tokens(&self, direction_only: bool) -> AffectedTokens {
        let where_cells = |keep: &dyn Fn(&TokenRate) -> bool| {
            let mut found: BTreeMap<Stratum, TokenSet> = BTreeMap::new();
            for cell in self.tokens.iter().filter(|cell| keep(cell)) {
                found.entry(cell.stratum).or_default().insert(cell.token);
            }
            found
        };
        let mut found = BTreeMap::new();
        if !direction_only {
            found = where_cells(&|cell| cell.outcome == TokenOutcome::Holds);
            if found.is_empty() {
                found = where_cells(&|cell| cell.moved.lower >= HALF);
            }
        }
        if found.is_empty() {
            found = where_cells(&|_| true);
        }
        AffectedTokens::Apart(found)
    }

    /// The rates that decide: effect for a quantity that predicts only a direction, where all
    /// aspects must hold; otherwise the rate of each token, where one is enough.
    pub fn deciding(&self, direction_only: bool) -> Vec<Rate> {
        if direction_only {
            self.effect.values().copied().collect()
        } else {
            self.tokens
                .iter()
                .map(|cell| cell.moved)
                .filter(|rate| rate.trials > 0)
                .collect()
        }
    }

    /// The most telling of the deciding rates: the highest among tokens, the lowest among aspects.
    pub fn best(&self, direction_only: bool) -> Option<Rate> {
        let deciding = self.deciding(direction_only).into_iter();
        let by_share = |a: &Rate, b: &Rate| {
            a.share()
                .total_cmp(&b.share())
                .then(a.lower.total_cmp(&b.lower))
        };
        if direction_only {
            deciding.min_by(by_share)
        } else {
            deciding.max_by(by_share)
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

    fn side_effects(&self) -> impl Iterator<Item = &Rate> {
        self.off_target.values().chain([&self.control_pairs])
    }

    /// Whether the control-pair and off-target rates are known to be negligible.
    pub fn clean(&self) -> bool {
        self.side_effects().all(|rate| rate.upper <= NEGLIGIBLE)
    }

    /// Whether the control-pair or an off-target rate is known not to be negligible.
    pub fn dirty(&self) -> bool {
        self.side_effects().any(|rate| rate.lower > NEGLIGIBLE)
    }

    /// Whether the node set may still hold: a token may reach the threshold, and side effects may
    /// be negligible.
    pub fn may_hold(&self, threshold: f64, direction_only: bool) -> bool {
        let unasked = self.deciding(direction_only).is_empty();
        let may = unasked || self.decides(direction_only, |rate| rate.upper >= threshold);
        may && !self.dirty()
    }

    fn decides(&self, direction_only: bool, reaches: impl Fn(&Rate) -> bool) -> bool {
        let deciding = self.deciding(direction_only);
        if direction_only {
            !deciding.is_empty() && deciding.iter().all(reaches)
        } else {
            deciding.iter().any(reaches)
        }
    }

    /// The standing at this interchange accuracy threshold. At the `last` analysis, tokens that
    /// hold do not wait for others.
    pub fn standing(&self, threshold: f64, direction_only: bool, last: bool) -> Standing {
        if self.deciding(direction_only).is_empty() {
            return Standing::Open;
        }
        let holds = self.decides(direction_only, |rate| rate.lower >= threshold);
        let may = self.decides(direction_only, |rate| rate.upper >= threshold);
        let waits = !direction_only
            && !last
            && (self.tokens.iter()).any(|cell| cell.outcome == TokenOutcome::Open);
        if !self.decides(direction_only, |rate| rate.upper >= HALF) {
            Standing::Fails
        } else if holds && self.dirty() {
            Standing::HoldsUnspecifically
        } else if holds && !waits && self.clean() {
            Standing::Holds
        } else if !may && self.dirty() {
            Standing::FailsUnspecifically
        } else if !may && self.decides(direction_only, |rate| rate.lower >= HALF) && self.clean() {
            Standing::HoldsInPart
        } else {
            Standing::Open
        }
    }
}
