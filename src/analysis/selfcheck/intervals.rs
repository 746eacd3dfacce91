//! Checks that intervals keep their error: simulated claims with known rates, without a network,
//! are decided by the same rules as real ones.

use std::fmt;

use rand::RngExt;
use rayon::prelude::*;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::{Check, Figure};
use crate::domain::arithmetic::AnswerToken;
use crate::domain::causal::Stratum;
use crate::experiment::{Goal, HALF, NEGLIGIBLE, Rules, Sampling, Standing, analyses, stream};

/// Error that a simulated claim may spend in each direction: much more than a real claim, so that
/// wrong decisions are frequent enough to count.
pub const CLAIM_ALPHA: f64 = 0.01;

/// Probability that a scenario fails although the rule is sound: one in a million.
const FALSE_ALARM: f64 = 1e-6;

/// The true rates of a claim.
#[derive(Debug, Clone, Copy)]
struct Rates {
    /// For each aspect judged separately: one for most tasks, two for MT.
    interchange_accuracy: &'static [f64],
    /// Counterfactual trials with an off-target effect, in each aspect.
    off_target: f64,
    /// Control trials in which something changes.
    control_pairs: f64,
}

const fn rates(interchange_accuracy: &'static [f64], off_target: f64, control_pairs: f64) -> Rates {
    Rates {
        interchange_accuracy,
        off_target,
        control_pairs,
    }
}

/// True rates at, near and away from each of the deciding limits; the last is for the case where
/// one wrong bound of many would suffice.
const SCENARIOS: [Rates; 17] = [
    rates(&[0.0], 0.0, 0.0),
    rates(&[0.49], 0.0, 0.0),
    rates(&[HALF], 0.0, 0.0),
    rates(&[0.51], 0.0, 0.0),
    rates(&[0.90], 0.0, 0.0),
    rates(&[0.94], 0.0, 0.0),
    rates(&[0.9499], 0.0, 0.0),
    rates(&[0.95], 0.0, 0.0),
    rates(&[0.96], 0.0, 0.0),
    rates(&[0.99], 0.0, 0.0),
    rates(&[0.99], 0.0, NEGLIGIBLE),
    rates(&[0.99], 0.0, 0.0501),
    rates(&[0.90], 0.0, NEGLIGIBLE),
    rates(&[0.9499, 0.99], 0.0, 0.0),
    rates(&[0.95, 0.95], 0.0, 0.0),
    rates(&[HALF, HALF], 0.0, 0.0),
    rates(&[0.90, 0.90], NEGLIGIBLE, NEGLIGIBLE),
];

impl Rates {
    /// Whether a standing is right for these rates, or leaves the question open.
    fn bear_out(self, standing: Standing, threshold: f64) -> bool {
        // One token that holds is enough.
        let any = |limit: f64| self.interchange_accuracy.iter().any(|&rate| rate >= limit);
        let (holds, half) = (any(threshold), any(HALF));
        let clean = self.control_pairs <= NEGLIGIBLE && self.off_target <= NEGLIGIBLE;
        match standing {
            Standing::Holds => holds && clean,
            Standing::HoldsUnspecifically => holds && !clean,
            Standing::HoldsInPart => !holds && half && clean,
            Standing::FailsUnspecifically => !holds && !clean,
            Standing::Fails => !half,
            Standing::Open => true,
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interchange_accuracy: Vec<String> = self
            .interchange_accuracy
            .iter()
            .map(f64::to_string)
            .collect();
        write!(
            f,
            "interchange accuracy {}",
            interchange_accuracy.join(" and ")
        )?;
        if self.off_target > 0.0 {
            write!(f, ", off-target effect {}", self.off_target)?;
        }
        write!(f, ", control pairs {}", self.control_pairs)
    }
}

/// The outcome of one simulated claim.
struct Drawn {
    standing: Standing,
    trials: u64,
}

/// Simulates `claims` claims at each of a list of known rates, and counts how often the rules,
/// spending `alpha`, decide wrongly: at most as often as [`CLAIM_ALPHA`] allows. Also gives the
/// mean number of counterfactual trials per claim at each rate.
///
/// # Panics
/// If `claims` is 0.
pub fn intervals(claims: usize, alpha: f64, seed: u64) -> Check {
    let rules = Rules {
        alpha,
        seed,
        ..Rules::default()
    };
    let most = Binomial::new(CLAIM_ALPHA, claims as u64)
        .expect("the error is a probability")
        .inverse_cdf(1.0 - FALSE_ALARM);
    let mut figures = vec![Figure::count("simulated claims at each rate", claims)];
    for rates in SCENARIOS {
        let drawn: Vec<Drawn> = (0..claims)
            .into_par_iter()
            .map(|i| draw(rates, rules, i))
            .collect();
        let count = |keep: &dyn Fn(Standing) -> bool| {
            drawn.iter().filter(|claim| keep(claim.standing)).count()
        };
        let wrong = count(&|standing| !rates.bear_out(standing, rules.threshold));
        let open = count(&|standing| standing == Standing::Open);
        let trials: u64 = drawn.iter().map(|claim| claim.trials).sum();
        let name = rates.to_string();
        figures.push(Figure::at_most(format!("{name}: wrong"), wrong, most));
        figures.push(Figure::count(format!("{name}: left open"), open));
        figures.push(Figure::mean(
            format!("{name}: trials per claim"),
            trials as f64 / claims as f64,
        ));
    }
    let what = format!(
        "decisions on simulated claims with known rates are wrong in at most {CLAIM_ALPHA}"
    );
    Check::new("intervals", what, figures)
}

fn draw(rates: Rates, rules: Rules, claim: usize) -> Drawn {
    let mut rng = stream(rules.seed, &format!("selfcheck/intervals/{rates}/{claim}"));
    let strata = &[Stratum::Whole, Stratum::Order][..rates.interchange_accuracy.len()];
    let mut sampling = Sampling::new(rules, strata.len(), false, (false, false));
    let (mut drawn, mut trials) = (0, 0);
    for total in analyses(strata.len()) {
        let spent = trials >= rules.max_trials as u64 || drawn >= rules.max_trials;
        if spent || !sampling.is_open(Goal::Standing) {
            break;
        }
        let more = total - drawn;
        let wanted: Vec<usize> = (0..strata.len())
            .filter(|&group| sampling.wants(strata[group]))
            .collect();
        for group in wanted {
            let stratum = strata[group];
            for _ in 0..more {
                let spills = rng.random_bool(rates.off_target);
                let moves = rng.random_bool(rates.interchange_accuracy[group]);
                let tally = &mut sampling.tally;
                let cell = (stratum, AnswerToken(group));
                tally.cells.entry(cell).or_default().add(moves);
                if !tally.shared_done {
                    let counterfactual = tally.counterfactual.entry(stratum.into()).or_default();
                    counterfactual.effect.add(moves);
                    counterfactual.off_target.add(spills);
                    tally.elsewhere.add(spills);
                }
                trials += 1;
            }
        }
        if sampling.wants_control() {
            for _ in 0..more {
                let changes = rng.random_bool(rates.control_pairs);
                sampling.tally.control_pairs.add(changes);
            }
        }
        drawn = total;
        sampling.analyse();
    }
    sampling.end();
    Drawn {
        standing: sampling.standing,
        trials,
    }
}
