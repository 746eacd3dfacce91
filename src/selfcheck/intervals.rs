//! Intervals keep their error: claims of known rates are drawn, without a network, and decided by
//! the rules that decide real ones.

use rand::RngExt;
use rayon::prelude::*;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::{Check, Figure};
use crate::causal::Kind;
use crate::verify::{
    Aspect, Goal, HALF, NEGLIGIBLE, Options, Rules, Sampling, Standing, looks, stream,
};

/// Error that a drawn claim may spend in each direction. Much more than a real claim may, so that
/// wrong decisions are common enough to be counted.
pub const CLAIM_ALPHA: f64 = 0.01;

/// Chance that a scenario of a sound rule is reported all the same: one in a million.
const FALSE_ALARM: f64 = 1e-6;

/// True rates of agreement and of placebo trials that change something: at, beside and away from
/// each of the limits that decide.
const SCENARIOS: [(f64, f64); 13] = [
    (0.0, 0.0),
    (0.49, 0.0),
    (HALF, 0.0),
    (0.51, 0.0),
    (0.90, 0.0),
    (0.94, 0.0),
    (0.9499, 0.0),
    (0.95, 0.0),
    (0.96, 0.0),
    (0.99, 0.0),
    (0.99, NEGLIGIBLE),
    (0.99, 0.0501),
    (0.90, NEGLIGIBLE),
];

/// What is true of a claim.
#[derive(Debug, Clone, Copy)]
struct Rates {
    agreement: f64,
    placebo: f64,
}

impl Rates {
    /// Whether a standing is right, or leaves open what is.
    fn bear_out(self, standing: Standing, threshold: f64) -> bool {
        let (holds, half) = (self.agreement >= threshold, self.agreement >= HALF);
        let clean = self.placebo <= NEGLIGIBLE;
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

/// What came of one drawn claim.
struct Drawn {
    standing: Standing,
    trials: u64,
}

/// Draws `claims` claims at each of a list of known rates and counts how often the rules, spending
/// `alpha`, decide wrongly: no more often than [`CLAIM_ALPHA`] allows. Also gives the mean number of
/// telling trials that a claim of each rate takes.
///
/// # Panics
/// Where `claims` is 0.
pub fn intervals(claims: usize, alpha: f64, seed: u64) -> Check {
    let Options {
        threshold,
        max_trials,
        ..
    } = Options::default();
    let rules = Rules {
        threshold,
        alpha,
        max_trials,
        seed,
    };
    let most = Binomial::new(CLAIM_ALPHA, claims as u64)
        .expect("an error is a probability")
        .inverse_cdf(1.0 - FALSE_ALARM);
    let mut figures = vec![Figure::count("claims drawn at each rate", claims)];
    for (agreement, placebo) in SCENARIOS {
        let rates = Rates { agreement, placebo };
        let drawn: Vec<Drawn> = (0..claims)
            .into_par_iter()
            .map(|i| draw(rates, rules, i))
            .collect();
        let count = |keep: &dyn Fn(Standing) -> bool| {
            drawn.iter().filter(|claim| keep(claim.standing)).count()
        };
        let wrong = count(&|standing| !rates.bear_out(standing, threshold));
        let open = count(&|standing| standing == Standing::Open);
        let trials: u64 = drawn.iter().map(|claim| claim.trials).sum();
        let name = format!("agreement {agreement}, placebo {placebo}");
        figures.push(Figure::at_most(format!("{name}: wrong"), wrong, most));
        figures.push(Figure::count(format!("{name}: left open"), open));
        figures.push(Figure::mean(
            format!("{name}: trials for each claim"),
            trials as f64 / claims as f64,
        ));
    }
    let what = format!("decisions on claims of known rates are wrong in {CLAIM_ALPHA} at most");
    Check::new("intervals", what, figures)
}

fn draw(rates: Rates, rules: Rules, claim: usize) -> Drawn {
    let Rates { agreement, placebo } = rates;
    let name = format!("selfcheck/intervals/{agreement}/{placebo}/{claim}");
    let mut rng = stream(rules.seed, &name);
    let mut sampling = Sampling::new(rules, false, (false, false));
    let mut drawn = 0;
    for (look, total) in looks(rules.max_trials).enumerate() {
        if !sampling.is_open(Goal::Standing) {
            break;
        }
        let (more, asks_placebo) = (total - drawn, sampling.wants(Kind::Placebo));
        let telling = sampling.tally.telling.entry(Aspect::Digits).or_default();
        for _ in 0..more {
            let agrees = rng.random_bool(agreement);
            telling.agreement.add(agrees);
            // A claim that fails here does so by doing nothing.
            telling.effect.add(agrees);
            telling.spill.add(false);
        }
        if asks_placebo {
            for _ in 0..more {
                sampling.tally.placebo.add(rng.random_bool(placebo));
            }
        }
        drawn = total;
        sampling.look(look + 1);
    }
    Drawn {
        standing: sampling.standing,
        trials: sampling.tally.telling_trials(),
    }
}
