//! Sequential sampling: subjects of one variable are tried on ever more fresh pairs, all on the same
//! ones, until each one's bounds decide or the budget ends.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::tally::{Measures, Standing, Tally, Terms};
use super::trial::{Bench, Outcome, StoreFrom, Subject, Trial};
use crate::arithmetic::{AnswerToken, TokenSet};
use crate::causal::{Draws, Family, Kind, Pair, Stratum};
use crate::engine::EngineError;
use crate::stats::alpha_of_look;
use crate::task::{Task, Variable};

/// Telling (and placebo) pairs of the first look; each later look doubles the total. A claim that
/// always holds needs 205 trials for a lower bound of 0.95 at the error of a first look among a
/// hundred claims.
const FIRST_LOOK: usize = 256;

/// Pairs for finding which tokens a subject reaches, for each stratum.
const DISCOVERY_PER_STRATUM: usize = 64;

/// A token is taken as reached where at least this share of discovery trials moved it as predicted…
const REACHED: f64 = 0.5;

/// …or, where no token is, this share: more than a placebo may move.
const TOUCHED: f64 = 0.05;

/// Judged trials of a subject kept for describing where it fails and for counterexamples.
const KEPT_TRIALS: usize = 4096;

/// The rules of a verification that sampling hangs on.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Agreement to reach.
    pub threshold: f64,
    /// Error that the claim may spend in each direction, over all looks.
    pub alpha: f64,
    /// Telling trials after which sampling ends.
    pub max_trials: usize,
    /// Seed of every draw.
    pub seed: u64,
}

/// A generator for one named stream of draws: streams of different names are independent, and none
/// depends on which others were drawn.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Sha256::digest(format!("{seed}/{name}")).into())
}

/// What sampling is to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Which standing the subject has.
    Standing,
    /// Only whether the subject holds: one that is known to fall short is settled.
    Holds,
}

/// A trial that was judged, kept to describe failures.
#[derive(Debug, Clone, Copy)]
pub struct Judgment {
    /// Telling or placebo.
    pub kind: Kind,
    /// The trial.
    pub trial: Trial,
    /// What was answered.
    pub outcome: Outcome,
    /// Whether it was as predicted.
    pub agrees: bool,
}

/// What sampling found of one subject.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The subject.
    pub subject: Subject,
    /// The tokens it was judged on.
    pub reach: TokenSet,
    /// Rates with intervals, at the last look taken.
    pub measures: Measures,
    /// What they say.
    pub standing: Standing,
    /// By stratum and token: telling trials that moved it as predicted, over all looks.
    pub tokens: BTreeMap<(Stratum, AnswerToken), crate::stats::Count>,
    /// The first judged trials.
    pub kept: Vec<Judgment>,
    /// Pairs dropped because the unpatched network was wrong.
    pub dropped: usize,
}

impl Finding {
    /// Whether agreement reaches the threshold, specifically or not.
    pub fn holds(&self) -> bool {
        matches!(
            self.standing,
            Standing::Holds | Standing::HoldsUnspecifically
        )
    }
}

/// Pairs of one kind in one named stream, all of them where they are few.
struct Source<'f> {
    draws: Draws<'f>,
    rng: ChaCha8Rng,
    all: Option<Vec<(Stratum, Pair)>>,
}

impl<'f> Source<'f> {
    fn new(family: &'f Family, rng: ChaCha8Rng, budget: usize) -> Self {
        let all = (family.len() <= budget as f64).then(|| family.enumerate());
        Source {
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

/// Whether a task may reach several tokens, so that which ones must be found out.
fn reaches_several(task: Task) -> bool {
    matches!(
        task,
        Task::St | Task::Mt | Task::Sv | Task::Gt | Task::Opr | Task::Sgn | Task::Slt
    )
}

/// Finds which tokens each subject reaches, on a sample of its own.
pub fn discover(
    bench: &Bench,
    variable: Variable,
    subjects: &[Subject],
    rules: Rules,
    name: &str,
) -> Result<Vec<TokenSet>, EngineError> {
    let n_digits = bench.engine.shape().n_digits;
    let everything = TokenSet::all(n_digits);
    if !reaches_several(variable.task) {
        return Ok(vec![everything; subjects.len()]);
    }
    let family = Family::new(variable, Kind::Telling, n_digits);
    let mut rng = stream(rules.seed, &format!("{variable}/telling/discovery/{name}"));
    let count = DISCOVERY_PER_STRATUM * family.strata().len();
    let pairs = family.draws().take(count, &mut rng);
    let terms = Terms {
        reach: everything,
        direction_only: variable.task.predicts_only_direction(),
        decode: bench.decode,
    };
    let mut tallies = vec![Tally::default(); subjects.len()];
    bench.run(variable, &pairs, StoreFrom::Store, subjects, |block| {
        for (tally, outcomes) in tallies.iter_mut().zip(&block.outcomes) {
            for (trial, outcome) in block.trials.iter().zip(outcomes) {
                tally.add(Kind::Telling, trial, outcome.as_ref(), terms);
            }
        }
    })?;
    Ok(tallies
        .iter()
        .map(|tally| {
            let tokens = tally.by_token();
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
        })
        .collect())
}

struct Candidate {
    tally: Tally,
    finding: Finding,
}

/// Judges subjects on fresh pairs of the stream `name`. All see the same pairs; each stops when its
/// bounds decide. `reaches` are the tokens each is judged on.
pub fn judge(
    bench: &Bench,
    variable: Variable,
    subjects: Vec<Subject>,
    reaches: &[TokenSet],
    goal: Goal,
    rules: Rules,
    name: &str,
) -> Result<Vec<Finding>, EngineError> {
    let n_digits = bench.engine.shape().n_digits;
    let direction_only = variable.task.predicts_only_direction();
    let families = [Kind::Telling, Kind::Placebo].map(|kind| Family::new(variable, kind, n_digits));
    let mut sources = families.each_ref().map(|family| {
        let kind = match family.kind() {
            Kind::Telling => "telling",
            Kind::Placebo => "placebo",
        };
        let rng = stream(rules.seed, &format!("{variable}/{kind}/{name}"));
        Source::new(family, rng, rules.max_trials)
    });
    let exhaustive = (sources[0].exhaustive(), sources[1].exhaustive());
    let mut candidates: Vec<Candidate> = subjects
        .into_iter()
        .zip(reaches)
        .map(|(subject, &reach)| {
            let tally = Tally::default();
            let measures = Measures::of(&tally, rules.alpha, 0, (false, false));
            let finding = Finding {
                subject,
                reach,
                measures,
                standing: Standing::Open,
                tokens: BTreeMap::new(),
                kept: Vec::new(),
                dropped: 0,
            };
            Candidate { tally, finding }
        })
        .collect();
    let mut drawn = 0;
    for look in 1.. {
        let wanted = (FIRST_LOOK << (look - 1)).min(rules.max_trials) - drawn;
        let open: Vec<usize> = (0..candidates.len())
            .filter(|&i| {
                let Finding {
                    standing, measures, ..
                } = &candidates[i].finding;
                let short = measures.falls_short(rules.threshold, direction_only);
                *standing == Standing::Open && !(goal == Goal::Holds && short)
            })
            .collect();
        if open.is_empty() || wanted == 0 {
            break;
        }
        let mut found_any = false;
        for (source, kind) in sources.iter_mut().zip([Kind::Telling, Kind::Placebo]) {
            // A placebo rate that is already bounded on one side of negligible needs no more.
            let active: Vec<usize> = open
                .iter()
                .copied()
                .filter(|&i| kind == Kind::Telling || candidates[i].placebo_open())
                .collect();
            let pairs = source.take(wanted);
            found_any |= !pairs.is_empty();
            let subjects: Vec<Subject> = active
                .iter()
                .map(|&i| candidates[i].finding.subject.clone())
                .collect();
            if subjects.is_empty() {
                continue;
            }
            bench.run(variable, &pairs, StoreFrom::Store, &subjects, |block| {
                for (&i, outcomes) in active.iter().zip(&block.outcomes) {
                    let candidate = &mut candidates[i];
                    candidate.finding.dropped += block.dropped;
                    for (trial, outcome) in block.trials.iter().zip(outcomes) {
                        candidate.add(kind, trial, outcome.as_ref(), direction_only, bench);
                    }
                }
            })?;
        }
        drawn += wanted;
        for &i in &open {
            candidates[i].look(look, rules, direction_only, exhaustive);
        }
        if !found_any || (exhaustive.0 && exhaustive.1) {
            break;
        }
    }
    Ok(candidates
        .into_iter()
        .map(|candidate| Finding {
            tokens: candidate.tally.tokens,
            ..candidate.finding
        })
        .collect())
}

impl Candidate {
    fn placebo_open(&self) -> bool {
        let placebo = &self.finding.measures.placebo;
        placebo.lower <= super::tally::NEGLIGIBLE && placebo.upper > super::tally::NEGLIGIBLE
    }

    fn add(
        &mut self,
        kind: Kind,
        trial: &Trial,
        outcome: Option<&Outcome>,
        direction_only: bool,
        bench: &Bench,
    ) {
        let terms = Terms {
            reach: self.finding.reach,
            direction_only,
            decode: bench.decode,
        };
        let agreed = self.tally.add(kind, trial, outcome, terms);
        if let (Some(agrees), Some(outcome)) = (agreed, outcome)
            && self.finding.kept.len() < KEPT_TRIALS
        {
            self.finding.kept.push(Judgment {
                kind,
                trial: *trial,
                outcome: *outcome,
                agrees,
            });
        }
    }

    fn look(&mut self, look: usize, rules: Rules, direction_only: bool, exhaustive: (bool, bool)) {
        let alpha = alpha_of_look(rules.alpha, look);
        let measures = Measures::of(&self.tally, alpha, look, exhaustive);
        self.finding.standing = measures.standing(rules.threshold, direction_only);
        self.finding.measures = measures;
    }
}
