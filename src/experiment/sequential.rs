//! Sequential sampling: node sets of one variable are tried on growing numbers of fresh pairs,
//! shared by all, until each one's bounds decide or the budget ends.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use thiserror::Error;

use super::rng::stream;
use super::stats::Rate;
use super::tally::{Cell, HALF, Measures, NEGLIGIBLE, Shares, Standing, TrialTally, Watched};
use super::trial::{AffectedTokens, Bench, NodeSet, Outcome, SourceFrom, Terms, Trial, TrialBlock};
use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{Draws, Family, Kind, Pair, Quantity, Stratum};
use crate::network::engine::{Decode, EngineError};

/// Counterfactual (and control) pairs at the first interim analysis; each later analysis doubles
/// the total. A claim that always holds needs 205 trials for a lower bound of 0.95 at the error of
/// a first analysis among a hundred claims.
pub const FIRST_ANALYSIS: usize = 256;

/// Pairs of each stratum at the second interim analysis, where a quantity has several strata: as
/// many as a token that always moves as predicted needs to hold at the error of one cell of one
/// claim in a hundred.
const SECOND_ANALYSIS: usize = 320;

/// Most pairs of a family that are all run, instead of drawn from.
const ALL_PAIRS: usize = 20_000;

/// Most control pairs drawn for one node set.
const CONTROL_PAIRS: usize = 8192;

/// Trials after which tokens that hold no longer wait for those that are open: more would tell which
/// tokens the node set moves, not whether it holds.
const OPEN_TOKENS_WAIT: u64 = 4096;

/// Judged trials kept per node set, to describe failures and find counterexamples.
const KEPT_TRIALS: usize = 4096;

/// Thresholds, error, budget and seed of a test, passed from the command line down to the trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rules {
    /// Interchange accuracy to reach, at the lower bound of its interval.
    pub threshold: f64,
    /// Error that may be spent: by everything tested together, or by one test's share in each
    /// direction, over all interim analyses.
    pub alpha: f64,
    /// Counterfactual trials after which the sampling of one node set ends.
    pub max_trials: usize,
    /// Seed of every draw.
    pub seed: u64,
}

/// Most trials of a claim or an edge: a dozen times what decides any of the published ones.
pub const MOST_TRIALS: usize = 1_000_000;

/// The error that may be spent: bounds of less are beyond what is computed with, bounds of more say nothing.
pub const ALPHA: RangeInclusive<f64> = 1e-9..=0.5;

/// Refuses an error that cannot be spent.
///
/// # Errors
/// [`RulesError::Alpha`].
pub fn check_alpha(alpha: f64) -> Result<(), RulesError> {
    match ALPHA.contains(&alpha) {
        true => Ok(()),
        false => Err(RulesError::Alpha { alpha }),
    }
}

/// A rule that cannot be followed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RulesError {
    #[error("alpha is {alpha:?}, expected {:e} to {}", ALPHA.start(), ALPHA.end())]
    Alpha { alpha: f64 },
    #[error("threshold is {0:?}, which is not between 0 and 1")]
    Threshold(f64),
    #[error("max_trials is {0}, expected 1 to {MOST_TRIALS}")]
    Trials(usize),
}

impl Rules {
    /// Refuses what no test can follow.
    ///
    /// # Errors
    /// See [`RulesError`].
    pub fn check(&self) -> Result<(), RulesError> {
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(RulesError::Threshold(self.threshold));
        }
        check_alpha(self.alpha)?;
        match self.max_trials {
            1..=MOST_TRIALS => Ok(()),
            trials => Err(RulesError::Trials(trials)),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            threshold: 0.95,
            alpha: 0.01,
            max_trials: 80_000,
            seed: 1,
        }
    }
}

impl Rules {
    /// The same rules with a different share of the error.
    pub fn with_alpha(self, alpha: f64) -> Self {
        Rules { alpha, ..self }
    }
}

/// What sampling is to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The standing of the node set.
    Standing,
    /// Only whether the node set holds or is inert. Sampling stops once it is known to fall short
    /// or to have side effects.
    Holds,
}

/// A judged trial, kept to describe failures.
#[derive(Debug, Clone, Copy)]
pub struct Judgment {
    pub kind: Kind,
    pub trial: Trial,
    pub outcome: Outcome,
    /// Whether the trial counts towards interchange accuracy. One that does not was kept because of
    /// an off-target effect.
    pub in_reach: bool,
    /// Whether the answer was as predicted.
    pub agrees: bool,
}

/// The result of sampling for one node set.
#[derive(Debug, Clone)]
pub struct Finding {
    pub node_set: NodeSet,
    /// The tokens it is judged on: [`Measures::affected_tokens`].
    pub affected_tokens: AffectedTokens,
    /// Rates with intervals, at the last interim analysis.
    pub measures: Measures,
    pub standing: Standing,
    pub kept: Vec<Judgment>,
    /// Pairs dropped because the unpatched network answered wrongly.
    pub dropped: usize,
}

impl Finding {
    /// The tokens that the causal model changes in at least one trial.
    pub fn possible(&self) -> TokenSet {
        self.measures.tokens.iter().map(|cell| cell.token).collect()
    }

    /// Of these, the tokens it is judged on.
    pub fn reached(&self) -> TokenSet {
        self.affected_tokens.tokens().intersection(self.possible())
    }

    /// Whether interchange accuracy reaches the threshold, with or without side effects.
    pub fn holds(&self) -> bool {
        matches!(
            self.standing,
            Standing::Holds | Standing::HoldsUnspecifically
        )
    }
}

/// Pairs of one kind from one named stream, or all pairs where there are few.
struct PairSource<'f> {
    draws: Draws<'f>,
    rng: ChaCha8Rng,
    all: Option<Vec<(Stratum, Pair)>>,
}

impl<'f> PairSource<'f> {
    fn new(family: &'f Family, rng: ChaCha8Rng, exhaustive: bool) -> Self {
        PairSource {
            draws: family.draws(),
            rng,
            all: exhaustive.then(|| family.enumerate()),
        }
    }

    /// The next `count` pairs; if all pairs are to be run, the first call returns them all.
    fn take(&mut self, count: usize) -> Vec<(Stratum, Pair)> {
        match &mut self.all {
            Some(all) => std::mem::take(all),
            None => self.draws.take(count, &mut self.rng),
        }
    }
}

/// Number of cells that are judged: tokens that the causal model changes and that are not
/// `out_of_sight`, over all strata of counterfactual pairs.
fn cells(quantity: Quantity, strata: &[Stratum], n_digits: usize, out_of_sight: TokenSet) -> usize {
    let sign = TokenSet::only(AnswerToken(n_digits + 1));
    let affected_tokens = quantity.affected_tokens(n_digits);
    let of = |stratum: &Stratum| match stratum {
        Stratum::Depth(depth) => affected_tokens
            .difference(sign)
            .iter()
            .take(*depth)
            .collect(),
        Stratum::Order => sign,
        Stratum::Whole | Stratum::Operation(_) | Stratum::Sign(_) => affected_tokens,
    };
    let counts = strata
        .iter()
        .map(|stratum| of(stratum).difference(out_of_sight).len());
    counts.sum()
}

/// Tokens that the quantity can change but no node of the set can, teacher-forced. Free-running, a
/// token also depends on those before it. Empty if it would contain every token: then the claim
/// itself fails because nothing moves.
fn out_of_sight(bench: &Bench, quantity: Quantity, node_set: &NodeSet) -> TokenSet {
    let shape = bench.engine.shape();
    let affected_tokens = quantity.affected_tokens(shape.n_digits);
    let unmoved = |token: &AnswerToken| {
        !node_set
            .nodes
            .iter()
            .any(|n| n.can_feed_token(*token, &shape))
    };
    let unmoved: TokenSet = match bench.decode {
        Decode::Forced => affected_tokens.iter().filter(unmoved).collect(),
        Decode::Free => TokenSet::EMPTY,
    };
    if unmoved == affected_tokens {
        TokenSet::EMPTY
    } else {
        unmoved
    }
}

/// The sampling of one node set: its counts, and the result of the last interim analysis.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub tally: TrialTally,
    /// Rates with intervals, at the last interim analysis.
    pub measures: Measures,
    pub standing: Standing,
    shares: Shares,
}

impl Sampling {
    /// A sampling before its first trial. `cells` is the number of cells of which any one makes the
    /// node set hold; `exhaustive` is whether, for counterfactual and control trials, the first
    /// analysis sees every existing pair.
    pub fn new(rules: Rules, cells: usize, direction_only: bool, exhaustive: (bool, bool)) -> Self {
        let tally = TrialTally::default();
        let shares = Shares {
            alpha: rules.alpha,
            cells,
            direction_only,
            exhaustive,
            threshold: rules.threshold,
        };
        Sampling {
            measures: Measures::of(&tally, shares),
            tally,
            standing: Standing::Open,
            shares,
        }
    }

    /// Whether more trials could settle the goal: the standing and, for a node set that fails,
    /// whether it is inert and whether it moves answers elsewhere in more than half of the trials.
    pub fn is_open(&self, goal: Goal) -> bool {
        let Shares {
            threshold,
            direction_only,
            ..
        } = self.shares;
        match (goal, self.standing) {
            (Goal::Standing, Standing::Open) => true,
            (Goal::Holds, Standing::Open) if self.measures.may_hold(threshold, direction_only) => {
                true
            }
            (Goal::Holds, Standing::Open | Standing::Fails) => {
                self.inert_is_open() && !self.tally.shared_done
            }
            (Goal::Standing, Standing::Fails) => self.fails_how() && !self.tally.shared_done,
            _ => false,
        }
    }

    /// Whether it is still open how a failing node set fails.
    fn fails_how(&self) -> bool {
        let elsewhere = &self.measures.elsewhere;
        let elsewhere_is_open = elsewhere.lower <= HALF && elsewhere.upper >= HALF;
        self.inert_is_open() || (elsewhere_is_open && !self.shares.direction_only)
    }

    fn inert_is_open(&self) -> bool {
        // A quantity that predicts only a direction is decided by its effect.
        let decides = self.shares.direction_only;
        !decides && self.measures.seems_inert() && !self.measures.is_inert()
    }

    /// Whether the next interim analysis needs more of the trials that are counted over all strata
    /// together.
    fn wants_shared(&self) -> bool {
        let spill_is_open = (self.measures.off_target.values())
            .any(|rate| rate.lower <= NEGLIGIBLE && rate.upper > NEGLIGIBLE);
        let effect_is_open = || {
            let threshold = self.shares.threshold;
            (self.measures.effect.values()).any(|rate| {
                rate.upper >= threshold && rate.lower < threshold
                    || rate.lower < HALF && rate.upper >= HALF
            })
        };
        match self.standing {
            Standing::Fails => self.fails_how(),
            _ => {
                spill_is_open
                    || self.inert_is_open()
                    || (self.shares.direction_only && effect_is_open())
            }
        }
    }

    /// Whether the next interim analysis needs more counterfactual trials of a stratum.
    pub fn wants(&self, stratum: Stratum) -> bool {
        let of = |(cell, watched): (&Cell, &Watched)| cell.0 == stratum && !watched.settled;
        let unseen = !self.tally.cells.keys().any(|cell| cell.0 == stratum);
        !self.tally.shared_done || unseen || self.tally.cells.iter().any(of)
    }

    /// Whether the next interim analysis needs more control trials.
    pub fn wants_control(&self) -> bool {
        !self.tally.control_pairs.settled
    }

    /// Runs an interim analysis of the counts. Whatever it settles is not analysed again.
    pub fn analyse(&mut self) {
        for watched in self.tally.cells.values_mut().filter(|w| !w.settled) {
            watched.analyses += 1;
        }
        if !self.tally.shared_done {
            self.tally.shared_analyses += 1;
        }
        if !self.tally.control_pairs.settled {
            self.tally.control_pairs.analyses += 1;
        }
        self.take_stock(false);
        let threshold = self.shares.threshold;
        for cell in &self.measures.tokens {
            let Rate { lower, upper, .. } = cell.moved;
            let watched = self.tally.cells.get_mut(&(cell.stratum, cell.token));
            let watched = watched.expect("every rate is of a cell");
            // Beyond the threshold, or beyond one half, on either side.
            watched.settled |=
                lower >= threshold || upper < HALF || (upper < threshold && lower >= HALF);
        }
        let control_pairs = &self.measures.control_pairs;
        self.tally.control_pairs.settled |=
            control_pairs.lower > NEGLIGIBLE || control_pairs.upper <= NEGLIGIBLE;
        self.tally.shared_done |= !self.wants_shared();
    }

    fn take_stock(&mut self, last: bool) {
        self.measures = Measures::of(&self.tally, self.shares);
        let Shares {
            threshold,
            direction_only,
            ..
        } = self.shares;
        let last = last || self.tally.counterfactual_trials() >= OPEN_TOKENS_WAIT;
        self.standing = self.measures.standing(threshold, direction_only, last);
    }

    /// Ends sampling: a token that holds no longer waits for others.
    pub fn end(&mut self) {
        self.take_stock(true);
    }
}

/// Pairs of each stratum drawn at each interim analysis: at the first, [`FIRST_ANALYSIS`] over all
/// strata; at the second, if there are several strata, [`SECOND_ANALYSIS`] each; then doubling.
pub fn analyses(groups: usize) -> impl Iterator<Item = usize> {
    let first = FIRST_ANALYSIS.div_ceil(groups.max(1));
    std::iter::successors(Some(first), move |&drawn| {
        Some(match drawn {
            drawn if drawn < FIRST_ANALYSIS => SECOND_ANALYSIS,
            drawn => 2 * drawn,
        })
    })
}

struct Candidate {
    sampling: Sampling,
    node_set: NodeSet,
    kept: Vec<(Kind, Trial, Outcome)>,
    dropped: usize,
    /// Counterfactual pairs run.
    spent: usize,
    /// Whether the budget has ended.
    ended: bool,
}

/// Judges node sets on fresh pairs of the stream `name`. All are run on the same pairs; each stops
/// when its bounds decide.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn judge(
    bench: &Bench,
    quantity: impl Into<Quantity>,
    node_sets: Vec<NodeSet>,
    goal: Goal,
    rules: Rules,
    name: &str,
) -> Result<Vec<Finding>, EngineError> {
    let quantity = quantity.into();
    let n_digits = bench.engine.shape().n_digits;
    let counterfactual = Family::new(quantity, Kind::Counterfactual, n_digits);
    let control_pairs = Family::new(quantity, Kind::Control, n_digits);
    let few = |family: &Family| family.len() <= rules.max_trials.min(ALL_PAIRS) as f64;
    let judging = SequentialTest {
        bench,
        quantity,
        rules,
        strata: counterfactual.strata(),
        exhaustive: (few(&counterfactual), few(&control_pairs)),
        terms: Terms::new(quantity, AffectedTokens::everything(n_digits)),
    };
    let groups: Vec<Family> = (judging.strata.iter())
        .map(|&stratum| {
            counterfactual
                .clone()
                .restricted_to(|other| other == stratum)
        })
        .collect();
    let mut sources = judging.sources(&groups, name);
    let control_stream = stream(rules.seed, &format!("{quantity}/placebo/{name}"));
    let mut control_source = PairSource::new(&control_pairs, control_stream, judging.exhaustive.1);
    let mut candidates: Vec<Candidate> = (node_sets.into_iter())
        .map(|node_set| judging.candidate(node_set))
        .collect();
    let (mut drawn, mut controls_drawn) = (0, 0);
    for total in analyses(groups.len()) {
        let mut open: Vec<&mut Candidate> = (candidates.iter_mut())
            .filter(|candidate| !candidate.ended && candidate.sampling.is_open(goal))
            .collect();
        if open.is_empty() {
            break;
        }
        let more = total - drawn;
        let controls = FIRST_ANALYSIS.max(total).min(judging.most_controls());
        let more_controls = controls - controls_drawn;
        let allowed: Vec<usize> = (open.iter_mut())
            .map(|candidate| judging.allow(candidate, more, more_controls))
            .collect();
        for (source, &stratum) in sources.iter_mut().zip(&judging.strata) {
            // Once no node set wants a stratum, none will.
            if (open.iter()).any(|candidate| candidate.sampling.wants(stratum)) {
                judging.run_stratum(stratum, &source.take(more), &mut open, &allowed)?;
            }
        }
        let pairs = control_source.take(more_controls);
        let mut wanting: Vec<&mut Candidate> = (open.iter_mut())
            .filter(|candidate| candidate.sampling.wants_control())
            .map(|candidate| &mut **candidate)
            .collect();
        judging.run(&pairs, Kind::Control, &mut wanting)?;
        (drawn, controls_drawn) = (total, controls);
        for candidate in open {
            candidate.sampling.analyse();
        }
    }
    Ok((candidates.into_iter())
        .map(|candidate| candidate.finding(quantity))
        .collect())
}

/// What all node sets that are judged together have in common.
struct SequentialTest<'a> {
    bench: &'a Bench<'a>,
    quantity: Quantity,
    rules: Rules,
    strata: Vec<Stratum>,
    /// Whether all counterfactual and all control pairs, respectively, are run.
    exhaustive: (bool, bool),
    terms: Terms,
}

impl SequentialTest<'_> {
    /// The pairs of each stratum, `groups[stratum]`.
    fn sources<'f>(&self, groups: &'f [Family], name: &str) -> Vec<PairSource<'f>> {
        let quantity = self.quantity;
        (groups.iter().zip(&self.strata))
            .map(|(group, stratum)| {
                let stream_name = match groups.len() {
                    1 => format!("{quantity}/telling/{name}"),
                    _ => format!("{quantity}/telling/{name}/{stratum:?}"),
                };
                let stream = stream(self.rules.seed, &stream_name);
                PairSource::new(group, stream, self.exhaustive.0)
            })
            .collect()
    }

    fn most_controls(&self) -> usize {
        match self.exhaustive.1 {
            true => ALL_PAIRS,
            false => CONTROL_PAIRS.min(self.rules.max_trials),
        }
    }

    fn candidate(&self, node_set: NodeSet) -> Candidate {
        let quantity = self.quantity;
        let n_digits = self.bench.engine.shape().n_digits;
        let unmoved = out_of_sight(self.bench, quantity, &node_set);
        let n_cells = cells(quantity, &self.strata, n_digits, unmoved);
        let direction_only = quantity.predicts_only_direction();
        let mut sampling = Sampling::new(self.rules, n_cells, direction_only, self.exhaustive);
        sampling.tally.out_of_sight = unmoved;
        Candidate {
            sampling,
            node_set,
            kept: Vec::new(),
            dropped: 0,
            spent: 0,
            ended: false,
        }
    }

    /// How many of the next pairs of each stratum a candidate may spend, and whether this is the last
    /// time. Where pairs are few, the first analysis sees all of them.
    fn allow(&self, candidate: &mut Candidate, more: usize, more_controls: usize) -> usize {
        let wanted = (self.strata.iter())
            .filter(|&&stratum| candidate.sampling.wants(stratum))
            .count();
        let left = (self.rules.max_trials - candidate.spent) / wanted.max(1);
        let gets_more = wanted > 0 || (candidate.sampling.wants_control() && more_controls > 0);
        candidate.ended = self.exhaustive.0 || left <= more || !gets_more;
        match self.exhaustive.0 {
            true => usize::MAX,
            false => left.min(more),
        }
    }

    /// Runs the candidates that want a stratum on as many of its pairs as they are allowed.
    fn run_stratum(
        &self,
        stratum: Stratum,
        pairs: &[(Stratum, Pair)],
        open: &mut [&mut Candidate],
        allowed: &[usize],
    ) -> Result<(), EngineError> {
        let mut by_length: BTreeMap<usize, Vec<&mut Candidate>> = BTreeMap::new();
        for (candidate, &allowed) in open.iter_mut().zip(allowed) {
            if candidate.sampling.wants(stratum) {
                let length = allowed.min(pairs.len());
                by_length.entry(length).or_default().push(&mut **candidate);
            }
        }
        for (length, mut wanting) in by_length {
            self.run(&pairs[..length], Kind::Counterfactual, &mut wanting)?;
        }
        Ok(())
    }

    fn run(
        &self,
        pairs: &[(Stratum, Pair)],
        kind: Kind,
        wanting: &mut [&mut Candidate],
    ) -> Result<(), EngineError> {
        let node_sets: Vec<NodeSet> = wanting.iter().map(|c| c.node_set.clone()).collect();
        if node_sets.is_empty() || pairs.is_empty() {
            return Ok(());
        }
        let SequentialTest {
            bench, quantity, ..
        } = *self;
        bench.run(quantity, pairs, SourceFrom::Source, &node_sets, |block| {
            for (candidate, outcomes) in wanting.iter_mut().zip(&block.outcomes) {
                candidate.add(kind, &block, outcomes, &self.terms);
            }
        })
    }
}

impl Candidate {
    /// Counts the candidate's outcomes in a block of trials.
    fn add(&mut self, kind: Kind, block: &TrialBlock, outcomes: &[Option<Outcome>], terms: &Terms) {
        self.dropped += block.dropped;
        if kind == Kind::Counterfactual {
            self.spent += block.trials.len() + block.dropped;
        }
        for (trial, outcome) in block.trials.iter().zip(outcomes) {
            self.sampling
                .tally
                .add(kind, trial, outcome.as_ref(), terms);
            if let Some(outcome) = outcome
                && self.kept.len() < KEPT_TRIALS
            {
                self.kept.push((kind, *trial, *outcome));
            }
        }
    }

    /// The finding, with the kept trials judged on the tokens that the node set is judged on.
    fn finding(mut self, quantity: Quantity) -> Finding {
        self.sampling.end();
        let Sampling {
            measures,
            standing,
            tally,
            ..
        } = self.sampling;
        let affected_tokens = measures.affected_tokens(quantity.predicts_only_direction());
        let affected_tokens = affected_tokens.without(tally.out_of_sight);
        let terms = Terms::new(quantity, affected_tokens.clone());
        let kept = (self.kept.into_iter()).map(|(kind, trial, outcome)| {
            let judged = trial.judge(&outcome, &terms);
            Judgment {
                kind,
                trial,
                outcome,
                in_reach: judged.in_reach,
                agrees: judged.agrees,
            }
        });
        Finding {
            kept: kept.filter(|j| j.in_reach || !j.agrees).collect(),
            node_set: self.node_set,
            affected_tokens,
            measures,
            standing,
            dropped: self.dropped,
        }
    }
}
