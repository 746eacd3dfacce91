//! Sequential sampling: subjects of one variable are tried on ever more fresh pairs, all on the same
//! ones, until each one's bounds decide or the budget ends.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::rng::stream;
use super::stats::alpha_of_look;
use super::tally::{Measures, NEGLIGIBLE, Standing, StratumTally, TrialTally};
use super::trial::{Bench, Outcome, StoreFrom, Terms, TestedNodes, Trial, TrialBlock};
use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{Draws, Family, Kind, Pair, Quantity, Stratum};
use crate::network::engine::EngineError;

/// Telling (and placebo) pairs of the first look; each later look doubles the total. A claim that
/// always holds needs 205 trials for a lower bound of 0.95 at the error of a first look among a
/// hundred claims.
pub const FIRST_LOOK: usize = 256;

/// Pairs for finding which tokens a subject reaches, for each stratum.
pub const DISCOVERY_PER_STRATUM: usize = 64;

/// A token is taken as reached where at least this share of discovery trials moved it as predicted…
const REACHED: f64 = 0.5;

/// …or, where no token is, this share: more than a placebo may move.
const TOUCHED: f64 = 0.05;

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
    /// Only whether the subject holds: one that is known to fall short, or to move what it must not,
    /// is settled.
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
    /// The tokens it was judged on.
    pub reach: TokenSet,
    /// Rates with intervals, at the last look taken.
    pub measures: Measures,
    pub standing: Standing,
    /// What was counted of each stratum, over all looks.
    pub strata: BTreeMap<Stratum, StratumTally>,
    /// By stratum and token: telling trials that moved it as predicted, over all looks.
    pub tokens: BTreeMap<(Stratum, AnswerToken), crate::experiment::stats::Count>,
    pub kept: Vec<Judgment>,
    /// Pairs dropped because the unpatched network was wrong.
    pub dropped: usize,
}

impl Finding {
    /// The tokens that the causal model changes in some of the trials.
    pub fn possible(&self) -> TokenSet {
        self.tokens.keys().map(|&(_, token)| token).collect()
    }

    /// Of these, the tokens it was judged on.
    pub fn reached(&self) -> TokenSet {
        self.reach.intersection(self.possible())
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
    fn new(family: &'f Family, rng: ChaCha8Rng, budget: usize) -> Self {
        let all = (family.len() <= budget as f64).then(|| family.enumerate());
        PairSource {
            draws: family.draws(),
            rng,
            all,
        }
    }

    /// The next `count` pairs; all there are, the first time, where those are no more than the budget.
    fn take(&mut self, count: usize) -> Vec<(Stratum, Pair)> {
        match &mut self.all {
            Some(all) => std::mem::take(all),
            None => self.draws.take(count, &mut self.rng),
        }
    }

    fn exhaustive(&self) -> bool {
        self.all.is_some()
    }
}

/// The tokens that a subject reaches, from how often it moved each as predicted; `everything` where it
/// touches none.
pub fn reach_of(
    tokens: &BTreeMap<AnswerToken, crate::experiment::stats::Count>,
    everything: TokenSet,
) -> TokenSet {
    let at_least = |share: f64| -> TokenSet {
        tokens
            .iter()
            .filter(|(_, count)| count.share() >= share)
            .map(|(&place, _)| place)
            .collect()
    };
    [at_least(REACHED), at_least(TOUCHED), everything]
        .into_iter()
        .find(|set| !set.is_empty())
        .expect("an answer has tokens")
}

/// Finds which tokens each subject reaches, on a sample of its own.
pub fn discover(
    bench: &Bench,
    quantity: impl Into<Quantity>,
    subjects: &[TestedNodes],
    rules: Rules,
    name: &str,
) -> Result<Vec<TokenSet>, EngineError> {
    let quantity = quantity.into();
    let n_digits = bench.engine.shape().n_digits;
    let everything = TokenSet::all(n_digits);
    if !quantity.reaches_several() {
        return Ok(vec![everything; subjects.len()]);
    }
    let family = Family::new(quantity, Kind::Telling, n_digits);
    let mut rng = stream(rules.seed, &format!("{quantity}/telling/discovery/{name}"));
    let count = DISCOVERY_PER_STRATUM * family.strata().len();
    let pairs = family.draws().take(count, &mut rng);
    let terms = Terms::new(quantity, everything, bench.decode);
    let mut tallies = vec![TrialTally::default(); subjects.len()];
    bench.run(quantity, &pairs, StoreFrom::Store, subjects, |block| {
        for (tally, outcomes) in tallies.iter_mut().zip(&block.outcomes) {
            for (trial, outcome) in block.trials.iter().zip(outcomes) {
                tally.add(Kind::Telling, trial, outcome.as_ref(), terms);
            }
        }
    })?;
    Ok(tallies
        .iter()
        .map(|tally| reach_of(&tally.by_token(), everything))
        .collect())
}

/// The sampling of one subject: what was counted, and what that says at the last look.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub tally: TrialTally,
    /// Rates with intervals, at the last look taken.
    pub measures: Measures,
    pub standing: Standing,
    rules: Rules,
    direction_only: bool,
    exhaustive: (bool, bool),
}

impl Sampling {
    /// A sampling before its first trial. `exhaustive` tells, for telling and placebo trials, that
    /// the first look sees every pair there is.
    pub fn new(rules: Rules, direction_only: bool, exhaustive: (bool, bool)) -> Self {
        let tally = TrialTally::default();
        Sampling {
            measures: Measures::of(&tally, rules.alpha, 0, (false, false)),
            tally,
            standing: Standing::Open,
            rules,
            direction_only,
            exhaustive,
        }
    }

    /// Whether more trials could settle what is asked: the standing, and of a subject that fails and
    /// seems to be inert, whether it is.
    pub fn is_open(&self, goal: Goal) -> bool {
        if goal == Goal::Standing && self.standing == Standing::Fails {
            return self.measures.seems_inert() && !self.measures.is_inert();
        }
        let may_hold = || {
            let threshold = self.rules.threshold;
            self.measures.may_hold(threshold, self.direction_only)
        };
        self.standing == Standing::Open && (goal == Goal::Standing || may_hold())
    }

    /// Whether the next look needs more trials of a kind: a placebo rate that is already bounded on
    /// one side of negligible needs none.
    pub fn wants(&self, kind: Kind) -> bool {
        let placebo = &self.measures.placebo;
        kind == Kind::Telling || (placebo.lower <= NEGLIGIBLE && placebo.upper > NEGLIGIBLE)
    }

    /// Takes look `look` (from 1) at the counts.
    pub fn look(&mut self, look: usize) {
        let alpha = alpha_of_look(self.rules.alpha, look);
        self.measures = Measures::of(&self.tally, alpha, look, self.exhaustive);
        self.standing = self
            .measures
            .standing(self.rules.threshold, self.direction_only);
    }
}

/// How many pairs of each kind have been drawn at each look: twice as many as at the one before, and
/// `max_trials` at the last.
pub fn looks(max_trials: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(FIRST_LOOK.min(max_trials)), move |&drawn| {
        (drawn < max_trials).then(|| (2 * drawn).min(max_trials))
    })
}

struct Candidate {
    sampling: Sampling,
    subject: TestedNodes,
    terms: Terms,
    kept: Vec<Judgment>,
    dropped: usize,
}

/// Judges subjects on fresh pairs of the stream `name`. All see the same pairs; each stops when its
/// bounds decide. `reaches` are the tokens each is judged on.
pub fn judge(
    bench: &Bench,
    quantity: impl Into<Quantity>,
    subjects: Vec<TestedNodes>,
    reaches: &[TokenSet],
    goal: Goal,
    rules: Rules,
    name: &str,
) -> Result<Vec<Finding>, EngineError> {
    let quantity = quantity.into();
    let n_digits = bench.engine.shape().n_digits;
    let families = [Kind::Telling, Kind::Placebo].map(|kind| Family::new(quantity, kind, n_digits));
    let mut sources = families.each_ref().map(|family| {
        let kind = match family.kind() {
            Kind::Telling => "telling",
            Kind::Placebo => "placebo",
        };
        let rng = stream(rules.seed, &format!("{quantity}/{kind}/{name}"));
        PairSource::new(family, rng, rules.max_trials)
    });
    let exhaustive = (sources[0].exhaustive(), sources[1].exhaustive());
    let mut candidates: Vec<Candidate> = (subjects.into_iter().zip(reaches))
        .map(|(subject, &reach)| Candidate {
            sampling: Sampling::new(rules, quantity.predicts_only_direction(), exhaustive),
            subject,
            terms: Terms::new(quantity, reach, bench.decode),
            kept: Vec::new(),
            dropped: 0,
        })
        .collect();
    let mut drawn = 0;
    for (look, total) in looks(rules.max_trials).enumerate() {
        let mut open: Vec<&mut Candidate> = (candidates.iter_mut())
            .filter(|candidate| candidate.sampling.is_open(goal))
            .collect();
        if open.is_empty() {
            break;
        }
        let mut found_any = false;
        for (source, kind) in sources.iter_mut().zip([Kind::Telling, Kind::Placebo]) {
            let pairs = source.take(total - drawn);
            found_any |= !pairs.is_empty();
            let mut wanting: Vec<&mut Candidate> = (open.iter_mut())
                .filter(|candidate| candidate.sampling.wants(kind))
                .map(|candidate| &mut **candidate)
                .collect();
            let subjects: Vec<TestedNodes> = wanting.iter().map(|c| c.subject.clone()).collect();
            if subjects.is_empty() {
                continue;
            }
            bench.run(quantity, &pairs, StoreFrom::Store, &subjects, |block| {
                for (candidate, outcomes) in wanting.iter_mut().zip(&block.outcomes) {
                    candidate.add(kind, &block, outcomes);
                }
            })?;
        }
        drawn = total;
        for candidate in open {
            candidate.sampling.look(look + 1);
        }
        if !found_any || (exhaustive.0 && exhaustive.1) {
            break;
        }
    }
    Ok(candidates.into_iter().map(Finding::from).collect())
}

impl From<Candidate> for Finding {
    fn from(candidate: Candidate) -> Self {
        Finding {
            subject: candidate.subject,
            reach: candidate.terms.reach,
            measures: candidate.sampling.measures,
            standing: candidate.sampling.standing,
            strata: candidate.sampling.tally.strata,
            tokens: candidate.sampling.tally.tokens,
            kept: candidate.kept,
            dropped: candidate.dropped,
        }
    }
}

impl Candidate {
    /// Counts the candidate's outcomes in the trials of a block.
    fn add(&mut self, kind: Kind, block: &TrialBlock, outcomes: &[Option<Outcome>]) {
        self.dropped += block.dropped;
        for (trial, outcome) in block.trials.iter().zip(outcomes) {
            let tally = &mut self.sampling.tally;
            let judged = tally.add(kind, trial, outcome.as_ref(), self.terms);
            if let (Some(judged), Some(outcome)) = (judged, outcome)
                && (judged.in_reach || !judged.agrees)
                && self.kept.len() < KEPT_TRIALS
            {
                self.kept.push(Judgment {
                    kind,
                    trial: *trial,
                    outcome: *outcome,
                    in_reach: judged.in_reach,
                    agrees: judged.agrees,
                });
            }
        }
    }
}
