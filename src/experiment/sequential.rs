//! Sequential sampling: subjects of one variable are tried on ever more fresh pairs, all on the same
//! ones, until each one's bounds decide or the budget ends.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::rng::stream;
use super::stats::Rate;
use super::tally::{Cell, HALF, Measures, NEGLIGIBLE, Shares, Standing, TrialTally, Watched};
use super::trial::{Bench, Outcome, Reach, StoreFrom, Terms, TestedNodes, Trial, TrialBlock};
use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{Draws, Family, Kind, Pair, Quantity, Stratum};
use crate::network::engine::{Decode, EngineError};

/// Telling (and placebo) pairs of the first look; each later look doubles the total. A claim that
/// always holds needs 205 trials for a lower bound of 0.95 at the error of a first look among a
/// hundred claims.
pub const FIRST_LOOK: usize = 256;

/// Pairs of each group at the second look, where a quantity has several groups: as many as a token
/// that always moves as predicted needs to hold at the error of one cell of one claim in a hundred.
const SECOND_LOOK: usize = 320;

/// Judged trials of a subject kept for describing where it fails and for counterexamples.
const KEPT_TRIALS: usize = 4096;

/// How strictly is judged, and on which draws: one value from the command line to the trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rules {
    /// Agreement to reach, at the lower bound of its interval.
    pub threshold: f64,
    /// Error that may be spent: of all that is tested together, or the share of one of them in each
    /// direction, over all looks.
    pub alpha: f64,
    /// Telling trials after which the sampling of one subject ends.
    pub max_trials: usize,
    /// Seed of every draw.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            threshold: 0.95,
            alpha: 0.01,
            max_trials: 20_000,
            seed: 1,
        }
    }
}

impl Rules {
    /// The same rules with another share of the error.
    pub fn with_alpha(self, alpha: f64) -> Self {
        Rules { alpha, ..self }
    }
}

/// What sampling is to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Which standing the subject has.
    Standing,
    /// Only whether the subject holds, or is inert: one that is known to fall short, or to move what
    /// it must not, is settled.
    Holds,
}

/// A trial that was judged, kept to describe failures.
#[derive(Debug, Clone, Copy)]
pub struct Judgment {
    pub kind: Kind,
    pub trial: Trial,
    pub outcome: Outcome,
    /// Whether it counts towards agreement; one that does not was kept because it moved what it must
    /// not.
    pub in_reach: bool,
    /// Whether it was as predicted.
    pub agrees: bool,
}

/// What sampling found of one subject.
#[derive(Debug, Clone)]
pub struct Finding {
    pub subject: TestedNodes,
    /// The tokens it is judged on: [`Measures::reach`].
    pub reach: Reach,
    /// Rates with intervals, at the last look taken.
    pub measures: Measures,
    pub standing: Standing,
    pub kept: Vec<Judgment>,
    /// Pairs dropped because the unpatched network was wrong.
    pub dropped: usize,
}

impl Finding {
    /// The tokens that the causal model changes in some of the trials.
    pub fn possible(&self) -> TokenSet {
        self.measures.tokens.iter().map(|cell| cell.token).collect()
    }

    /// Of these, the tokens it is judged on.
    pub fn reached(&self) -> TokenSet {
        self.reach.tokens().intersection(self.possible())
    }

    /// Whether agreement reaches the threshold, specifically or not.
    pub fn holds(&self) -> bool {
        matches!(
            self.standing,
            Standing::Holds | Standing::HoldsUnspecifically
        )
    }
}

/// Pairs of one kind in one named stream, all of them where they are few.
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

    /// The next `count` pairs; all there are, the first time, where all are to be run.
    fn take(&mut self, count: usize) -> Vec<(Stratum, Pair)> {
        match &mut self.all {
            Some(all) => std::mem::take(all),
            None => self.draws.take(count, &mut self.rng),
        }
    }
}

/// Tokens that the causal model changes and are not `out_of_sight`, over all groups of telling pairs:
/// what is judged by itself.
fn cells(quantity: Quantity, strata: &[Stratum], n_digits: usize, out_of_sight: TokenSet) -> usize {
    let sign = TokenSet::only(AnswerToken(n_digits + 1));
    let reach = quantity.reach(n_digits);
    let of = |stratum: &Stratum| match stratum {
        Stratum::Depth(depth) => reach.difference(sign).iter().take(*depth).collect(),
        Stratum::Order => sign,
        Stratum::Whole | Stratum::Operation(_) | Stratum::Sign(_) => reach,
    };
    let counts = strata
        .iter()
        .map(|stratum| of(stratum).difference(out_of_sight).len());
    counts.sum()
}

/// Tokens that the quantity can change and no node of the subject can, teacher-forced. Free-running,
/// each token is what those after it are given. Empty where these are all: then it is of the claim that
/// nothing moves.
fn out_of_sight(bench: &Bench, quantity: Quantity, subject: &TestedNodes) -> TokenSet {
    let shape = bench.engine.shape();
    let reach = quantity.reach(shape.n_digits);
    let unmoved = |token: &AnswerToken| {
        !subject
            .nodes
            .iter()
            .any(|n| n.can_feed_token(*token, &shape))
    };
    let unmoved: TokenSet = match bench.decode {
        Decode::Forced => reach.iter().filter(unmoved).collect(),
        Decode::Free => TokenSet::EMPTY,
    };
    if unmoved == reach {
        TokenSet::EMPTY
    } else {
        unmoved
    }
}

/// The sampling of one subject: what was counted, and what that says at the last look.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub tally: TrialTally,
    /// Rates with intervals, at the last look taken.
    pub measures: Measures,
    pub standing: Standing,
    shares: Shares,
}

impl Sampling {
    /// A sampling before its first trial. `cells` are the tokens of which each alone makes the subject
    /// hold; `exhaustive` tells, for telling and placebo trials, that the first look sees every pair
    /// there is.
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

    /// Whether more trials could settle what is asked: the standing; and of a subject that fails,
    /// whether it seems to be inert and is, and whether it moves answers elsewhere more often than not.
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

    /// Whether it is open how a subject that fails does so.
    fn fails_how(&self) -> bool {
        let elsewhere = &self.measures.elsewhere;
        let elsewhere_is_open = elsewhere.lower <= HALF && elsewhere.upper >= HALF;
        self.inert_is_open() || (elsewhere_is_open && !self.shares.direction_only)
    }

    fn inert_is_open(&self) -> bool {
        // What predicts only a direction is decided by its effect.
        let decides = self.shares.direction_only;
        !decides && self.measures.seems_inert() && !self.measures.is_inert()
    }

    /// Whether the next look needs more trials that are counted over all groups of pairs together.
    fn wants_shared(&self) -> bool {
        let spill_is_open = (self.measures.spill.values())
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

    /// Whether the next look needs more telling trials of a group of pairs.
    pub fn wants(&self, stratum: Stratum) -> bool {
        let of = |(cell, watched): (&Cell, &Watched)| cell.0 == stratum && !watched.settled;
        let unseen = !self.tally.cells.keys().any(|cell| cell.0 == stratum);
        !self.tally.shared_done || unseen || self.tally.cells.iter().any(of)
    }

    /// Whether the next look needs more placebo trials.
    pub fn wants_placebo(&self) -> bool {
        !self.tally.placebo.settled
    }

    /// Takes a look at the counts. What is settled by it is not looked at again.
    pub fn look(&mut self) {
        for watched in self.tally.cells.values_mut().filter(|w| !w.settled) {
            watched.looks += 1;
        }
        if !self.tally.shared_done {
            self.tally.shared_looks += 1;
        }
        if !self.tally.placebo.settled {
            self.tally.placebo.looks += 1;
        }
        self.take_stock(false);
        let threshold = self.shares.threshold;
        for cell in &self.measures.tokens {
            let Rate { lower, upper, .. } = cell.moved;
            let watched = self.tally.cells.get_mut(&(cell.stratum, cell.token));
            let watched = watched.expect("every rate is of a cell");
            // Either side of the threshold, and of one half.
            watched.settled |=
                lower >= threshold || upper < HALF || (upper < threshold && lower >= HALF);
        }
        let placebo = &self.measures.placebo;
        self.tally.placebo.settled |= placebo.lower > NEGLIGIBLE || placebo.upper <= NEGLIGIBLE;
        self.tally.shared_done |= !self.wants_shared();
    }

    fn take_stock(&mut self, last: bool) {
        self.measures = Measures::of(&self.tally, self.shares);
        let Shares {
            threshold,
            direction_only,
            ..
        } = self.shares;
        self.standing = self.measures.standing(threshold, direction_only, last);
    }

    /// No more looks will be taken: a token that holds no longer waits for others.
    pub fn end(&mut self) {
        self.take_stock(true);
    }
}

/// How many pairs of each group have been drawn at each look: at the first, [`FIRST_LOOK`] over all
/// groups; at the second, where there are several, [`SECOND_LOOK`]; then twice as many each time.
pub fn looks(groups: usize) -> impl Iterator<Item = usize> {
    let first = FIRST_LOOK.div_ceil(groups.max(1));
    std::iter::successors(Some(first), move |&drawn| {
        Some(match drawn {
            drawn if drawn < FIRST_LOOK => SECOND_LOOK,
            drawn => 2 * drawn,
        })
    })
}

struct Candidate {
    sampling: Sampling,
    subject: TestedNodes,
    kept: Vec<(Kind, Trial, Outcome)>,
    dropped: usize,
    /// Telling pairs run.
    spent: usize,
    /// Whether the budget has ended.
    ended: bool,
}

/// Judges subjects on fresh pairs of the stream `name`. All see the same pairs; each stops when its
/// bounds decide.
pub fn judge(
    bench: &Bench,
    quantity: impl Into<Quantity>,
    subjects: Vec<TestedNodes>,
    goal: Goal,
    rules: Rules,
    name: &str,
) -> Result<Vec<Finding>, EngineError> {
    let quantity = quantity.into();
    let n_digits = bench.engine.shape().n_digits;
    let telling = Family::new(quantity, Kind::Telling, n_digits);
    let placebo = Family::new(quantity, Kind::Placebo, n_digits);
    let few = |family: &Family| family.len() <= rules.max_trials as f64;
    let exhaustive = (few(&telling), few(&placebo));
    let strata = telling.strata();
    let groups: Vec<Family> = (strata.iter())
        .map(|&stratum| telling.clone().restricted_to(|other| other == stratum))
        .collect();
    let mut sources: Vec<PairSource> = (groups.iter().zip(&strata))
        .map(|(group, stratum)| {
            let stream_name = match groups.len() {
                1 => format!("{quantity}/telling/{name}"),
                _ => format!("{quantity}/telling/{name}/{stratum:?}"),
            };
            PairSource::new(group, stream(rules.seed, &stream_name), exhaustive.0)
        })
        .collect();
    let placebo_stream = stream(rules.seed, &format!("{quantity}/placebo/{name}"));
    let mut placebos = PairSource::new(&placebo, placebo_stream, exhaustive.1);
    let direction_only = quantity.predicts_only_direction();
    let terms = Terms::new(quantity, Reach::everything(n_digits));
    let mut candidates: Vec<Candidate> = (subjects.into_iter())
        .map(|subject| {
            let unmoved = out_of_sight(bench, quantity, &subject);
            let n_cells = cells(quantity, &strata, n_digits, unmoved);
            let mut sampling = Sampling::new(rules, n_cells, direction_only, exhaustive);
            sampling.tally.out_of_sight = unmoved;
            Candidate {
                sampling,
                subject,
                kept: Vec::new(),
                dropped: 0,
                spent: 0,
                ended: false,
            }
        })
        .collect();
    let (mut drawn, mut placebos_drawn) = (0, 0);
    for total in looks(groups.len()) {
        let mut open: Vec<&mut Candidate> = (candidates.iter_mut())
            .filter(|candidate| !candidate.ended && candidate.sampling.is_open(goal))
            .collect();
        if open.is_empty() {
            break;
        }
        let more = total - drawn;
        // What each may still spend on each group that it wants; what the first look sees is all there
        // is where pairs are few.
        let allowed: Vec<usize> = (open.iter_mut())
            .map(|candidate| {
                let wanted = strata
                    .iter()
                    .filter(|&&s| candidate.sampling.wants(s))
                    .count();
                let left = (rules.max_trials - candidate.spent) / wanted.max(1);
                candidate.ended = exhaustive.0 || left <= more;
                if exhaustive.0 {
                    usize::MAX
                } else {
                    left.min(more)
                }
            })
            .collect();
        for (source, &stratum) in sources.iter_mut().zip(&strata) {
            let pairs = source.take(more);
            let mut by_length: BTreeMap<usize, Vec<&mut Candidate>> = BTreeMap::new();
            for (candidate, &allowed) in open.iter_mut().zip(&allowed) {
                if candidate.sampling.wants(stratum) {
                    let length = allowed.min(pairs.len());
                    by_length.entry(length).or_default().push(&mut **candidate);
                }
            }
            for (length, mut wanting) in by_length {
                run(
                    bench,
                    quantity,
                    &pairs[..length],
                    Kind::Telling,
                    &mut wanting,
                    &terms,
                )?;
            }
        }
        let placebos_wanted = (FIRST_LOOK.max(total)).min(rules.max_trials);
        let pairs = placebos.take(placebos_wanted - placebos_drawn);
        placebos_drawn = placebos_wanted;
        let mut wanting: Vec<&mut Candidate> = (open.iter_mut())
            .filter(|candidate| candidate.sampling.wants_placebo())
            .map(|candidate| &mut **candidate)
            .collect();
        run(bench, quantity, &pairs, Kind::Placebo, &mut wanting, &terms)?;
        drawn = total;
        for candidate in open {
            candidate.sampling.look();
        }
    }
    Ok((candidates.into_iter())
        .map(|candidate| candidate.finding(quantity))
        .collect())
}

fn run(
    bench: &Bench,
    quantity: Quantity,
    pairs: &[(Stratum, Pair)],
    kind: Kind,
    wanting: &mut [&mut Candidate],
    terms: &Terms,
) -> Result<(), EngineError> {
    let subjects: Vec<TestedNodes> = wanting.iter().map(|c| c.subject.clone()).collect();
    if subjects.is_empty() || pairs.is_empty() {
        return Ok(());
    }
    bench.run(quantity, pairs, StoreFrom::Store, &subjects, |block| {
        for (candidate, outcomes) in wanting.iter_mut().zip(&block.outcomes) {
            candidate.add(kind, &block, outcomes, terms);
        }
    })
}

impl Candidate {
    /// Counts the candidate's outcomes in the trials of a block.
    fn add(&mut self, kind: Kind, block: &TrialBlock, outcomes: &[Option<Outcome>], terms: &Terms) {
        self.dropped += block.dropped;
        if kind == Kind::Telling {
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

    /// What was found, with the kept trials judged on the tokens that the subject is judged on.
    fn finding(mut self, quantity: Quantity) -> Finding {
        self.sampling.end();
        let Sampling {
            measures,
            standing,
            tally,
            ..
        } = self.sampling;
        let reach = measures.reach(quantity.predicts_only_direction());
        let reach = reach.without(tally.out_of_sight);
        let terms = Terms::new(quantity, reach.clone());
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
            subject: self.subject,
            reach,
            measures,
            standing,
            dropped: self.dropped,
        }
    }
}
