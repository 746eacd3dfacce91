//! Rates with exact intervals, and how a claim's error is split over its interim analyses.
//!
//! Intervals are Clopper–Pearson intervals ("The use of confidence or fiducial limits illustrated
//! in the case of the binomial", Biometrika 26 (1934)): the bounds are quantiles of Beta
//! distributions (Brown, Cai and DasGupta, Statistical Science 16 (2001), section 4.2.1).

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};
use std::fmt;

/// A number of successes among a number of distinct trials.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema, Serialize,
)]
pub struct Count {
    /// Trials with the counted outcome.
    pub hits: u64,
    /// All trials.
    pub trials: u64,
}

impl<'de> Deserialize<'de> for Count {
    /// Refuses more hits than trials, of which there are no bounds.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Count")]
        struct Read {
            hits: u64,
            trials: u64,
        }
        let Read { hits, trials } = Read::deserialize(deserializer)?;
        checked(hits, trials).map_err(D::Error::custom)
    }
}

impl Count {
    pub fn add(&mut self, hit: bool) {
        self.trials += 1;
        self.hits += u64::from(hit);
    }

    /// The share of hits; 0 without trials.
    pub fn share(&self) -> f64 {
        if self.trials == 0 {
            0.0
        } else {
            self.hits as f64 / self.trials as f64
        }
    }

    /// Both one-sided Clopper–Pearson bounds, each wrong with probability at most `alpha`.
    pub fn bounds(&self, alpha: f64) -> Bounds {
        Bounds {
            lower: self.lower(alpha),
            upper: self.upper(alpha),
        }
    }

    /// The lower bound: the quantile at `alpha` of Beta(hits, misses + 1).
    pub fn lower(&self, alpha: f64) -> f64 {
        let (hits, misses) = (self.hits as f64, (self.trials - self.hits) as f64);
        match (self.hits, self.trials - self.hits) {
            (0, _) => 0.0,
            // The quantile in closed form, where the general search is least accurate.
            (_, 0) => alpha.powf(1.0 / hits),
            _ => beta_quantile(hits, misses + 1.0, alpha),
        }
    }

    /// The upper bound: the quantile at 1 − `alpha` of Beta(hits + 1, misses).
    pub fn upper(&self, alpha: f64) -> f64 {
        let (hits, misses) = (self.hits as f64, (self.trials - self.hits) as f64);
        match (self.hits, self.trials - self.hits) {
            (_, 0) => 1.0,
            (0, _) => 1.0 - alpha.powf(1.0 / misses),
            _ => beta_quantile(hits + 1.0, misses, 1.0 - alpha),
        }
    }

    /// The bounds of a count over every existing trial: the share itself.
    pub fn exact(&self) -> Bounds {
        Bounds {
            lower: self.share(),
            upper: self.share(),
        }
    }
}

fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    Beta::new(a, b)
        .expect("both parameters are at least one")
        .inverse_cdf(p)
}

/// The errors that the two bounds of a rate may spend: the probability that each bound is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    pub lower: f64,
    pub upper: f64,
}

impl Errors {
    /// The same error for both.
    pub fn even(alpha: f64) -> Self {
        Errors {
            lower: alpha,
            upper: alpha,
        }
    }
}

/// Scale for rounding bounds to six decimals: the last bits of a quantile may differ between maths
/// libraries, but evidence must not.
const WRITTEN_DECIMALS: f64 = 1e6;

/// Serialises a bound, rounded to six decimals.
///
/// # Errors
/// Those of the serialiser.
pub fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(to_written(*value))
}

fn to_written(value: f64) -> f64 {
    match value * WRITTEN_DECIMALS {
        scaled if scaled.is_finite() => scaled.round() / WRITTEN_DECIMALS,
        _ => value,
    }
}

/// As [`rounded`], for a bound that may be absent.
///
/// # Errors
/// Those of the serialiser.
pub fn rounded_option<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => rounded(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// A lower and an upper bound of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Bounds {
    /// Lower bound.
    #[serde(serialize_with = "rounded")]
    pub lower: f64,
    /// Upper bound.
    #[serde(serialize_with = "rounded")]
    pub upper: f64,
}

/// A count with its bounds, as stored in evidence.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema, Serialize)]
pub struct Rate {
    /// Trials with the counted outcome.
    pub hits: u64,
    /// All trials.
    pub trials: u64,
    /// Whether these are all existing trials, so that both bounds are the rate itself.
    pub exhaustive: bool,
    /// Lower bound.
    #[serde(serialize_with = "rounded")]
    pub lower: f64,
    /// Upper bound.
    #[serde(serialize_with = "rounded")]
    pub upper: f64,
}

impl<'de> Deserialize<'de> for Rate {
    /// Refuses more hits than trials, as [`Count`] does.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Rate")]
        struct Read {
            hits: u64,
            trials: u64,
            exhaustive: bool,
            lower: f64,
            upper: f64,
        }
        let read = Read::deserialize(deserializer)?;
        let count = checked(read.hits, read.trials).map_err(D::Error::custom)?;
        let (lower, upper) = (read.lower, read.upper);
        if ![lower, upper]
            .iter()
            .all(|bound| (0.0..=1.0).contains(bound))
        {
            return Err(D::Error::custom("a bound of a rate is not from 0 to 1"));
        }
        Ok(Rate::with_bounds(
            count,
            read.exhaustive,
            Bounds { lower, upper },
        ))
    }
}

/// A count that was read.
fn checked(hits: u64, trials: u64) -> Result<Count, String> {
    match hits <= trials {
        true => Ok(Count { hits, trials }),
        false => Err(format!("{hits} hits of only {trials} trials")),
    }
}

impl Rate {
    /// A count of sampled trials, with each bound wrong with probability at most `alpha`.
    pub fn sampled(count: Count, alpha: f64) -> Self {
        Self::with_bounds(count, false, count.bounds(alpha))
    }

    /// A count of all existing trials (`exhaustive`), or of a sample.
    pub fn new(count: Count, exhaustive: bool, errors: Errors) -> Self {
        let exhaustive = exhaustive && count.trials > 0;
        let bounds = if exhaustive {
            count.exact()
        } else {
            Bounds {
                lower: count.lower(errors.lower),
                upper: count.upper(errors.upper),
            }
        };
        Self::with_bounds(count, exhaustive, bounds)
    }

    fn with_bounds(count: Count, exhaustive: bool, bounds: Bounds) -> Self {
        Rate {
            hits: count.hits,
            trials: count.trials,
            exhaustive,
            lower: bounds.lower,
            upper: bounds.upper,
        }
    }

    /// The rate with its bounds rounded as in stored evidence, for verdicts that are read back from
    /// it.
    pub fn as_written(self) -> Self {
        Rate {
            lower: to_written(self.lower),
            upper: to_written(self.upper),
            ..self
        }
    }

    /// The count without its bounds.
    pub const fn count(&self) -> Count {
        Count {
            hits: self.hits,
            trials: self.trials,
        }
    }

    pub fn share(&self) -> f64 {
        self.count().share()
    }

    /// The rate of a rare event as text: `6/25807 [0.00007, 0.00058]`.
    pub fn rare_text(&self) -> String {
        format!(
            "{}/{} [{:.5}, {:.5}]",
            self.hits, self.trials, self.lower, self.upper
        )
    }
}

impl fmt::Display for Rate {
    /// Writes `256/256 [0.957, 1.000]`, or `12/16 (exact)` if every trial was run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { hits, trials, .. } = self;
        if self.exhaustive {
            write!(f, "{hits}/{trials} (exact)")
        } else {
            write!(f, "{hits}/{trials} [{:.3}, {:.3}]", self.lower, self.upper)
        }
    }
}

/// The share of `alpha` that interim analysis `look` (from 1) may spend: 2^−look, so that any
/// number of analyses together spend at most `alpha` (Boole's inequality).
pub fn alpha_of_look(alpha: f64, look: usize) -> f64 {
    alpha * 0.5f64.powi(look as i32)
}

/// Bounds of the paired difference of two rates measured on the same trials: `first_only` trials
/// had the outcome under the first alone, `second_only` under the second alone. The two discordant
/// shares are bounded separately with half of the error each, which needs no normal approximation
/// (O. J. Dunn, "Multiple comparisons among means", Journal of the American Statistical Association
/// 56 (1961), section 2: by Boole's inequality, each of two bounds gets half the error).
pub fn paired_difference(first_only: u64, second_only: u64, trials: u64, errors: Errors) -> Bounds {
    let of = |hits| Count { hits, trials };
    difference(of(first_only), of(second_only), errors)
}

/// Bounds of the difference of two rates measured on different trials, each rate bounded with half
/// of the error.
pub fn difference(first: Count, second: Count, errors: Errors) -> Bounds {
    Bounds {
        lower: first.lower(errors.lower / 2.0) - second.upper(errors.lower / 2.0),
        upper: first.upper(errors.upper / 2.0) - second.lower(errors.upper / 2.0),
    }
}

/// Bounds of the median that sorted values are drawn from, by order statistics: the number of values
/// below it is binomial with a share of one half, whatever the distribution (H. A. David and H. N.
/// Nagaraja, "Order Statistics", 2003, section 7.1). Infinite where there are too few values.
pub fn median_bounds(sorted: &[f64], errors: Errors) -> Bounds {
    let trials = sorted.len() as u64;
    let under = Binomial::new(0.5, trials).expect("one half is a probability");
    // The k-th value from below is over the median with a chance of P(Bin(n, ½) < k).
    let below = |error: f64| {
        let count = (0..trials)
            .take_while(|&count| under.cdf(count) <= error)
            .count();
        count.checked_sub(1)
    };
    Bounds {
        lower: below(errors.lower).map_or(f64::NEG_INFINITY, |k| sorted[k]),
        upper: below(errors.upper).map_or(f64::INFINITY, |k| sorted[sorted.len() - 1 - k]),
    }
}

/// Bounds of the mean of values between 0 and 1; 0 and 1 for fewer than two values.
///
/// Two bounds share the error, and the narrower holds: the empirical Bernstein inequality (A. Maurer and
/// M. Pontil, "Empirical Bernstein bounds and sample-variance penalization", COLT 2009, theorem 4), which
/// is narrow where the values agree, and Hoeffding's (W. Hoeffding, "Probability inequalities for sums of
/// bounded random variables", 1963, theorem 1), which is narrow where the mean is near 0 or 1.
pub fn mean_bounds(values: &[f64], errors: Errors) -> Bounds {
    let count = values.len() as f64;
    if values.len() < 2 {
        return Bounds {
            lower: 0.0,
            upper: 1.0,
        };
    }
    let mean = (values.iter().sum::<f64>() / count).clamp(0.0, 1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = squares / (count - 1.0);
    let radius = |error: f64| {
        let log = (2.0 / error).ln();
        (2.0 * variance * log / count).sqrt() + 7.0 * log / (3.0 * (count - 1.0))
    };
    let above = |mean: f64, error: f64| {
        let bernstein = mean + radius(error / 2.0);
        bernstein.min(above_by_hoeffding(mean, count, error / 2.0))
    };
    Bounds {
        lower: 1.0 - above(1.0 - mean, errors.lower),
        upper: above(mean, errors.upper),
    }
}

/// Bounds of the expected value of the mean of independent values between 0 and 1, by Hoeffding's
/// inequality (as in [`mean_bounds`]). 0 and 1 without a value.
pub fn share_bounds(mean: f64, count: u64, errors: Errors) -> Bounds {
    let count = count as f64;
    Bounds {
        lower: 1.0 - above_by_hoeffding(1.0 - mean, count, errors.lower),
        upper: above_by_hoeffding(mean, count, errors.upper),
    }
}

/// The largest expected value under which a mean as small as this one of `count` values is not less likely
/// than `error`.
fn above_by_hoeffding(mean: f64, count: f64, error: f64) -> f64 {
    let divergence = |expected: f64| {
        let term = |share: f64, other: f64| match share {
            0.0 => 0.0,
            _ => share * (share / other).ln(),
        };
        term(mean, expected) + term(1.0 - mean, 1.0 - expected)
    };
    let (mut low, mut high) = (mean, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        match count * divergence(middle) < (1.0 / error).ln() {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bounds_of_a_share_that_is_none_or_all_are_those_of_the_power() {
        // Of none in n, (1 - p)^n = error.
        for (count, error) in [(10, 0.01_f64), (256, 0.001)] {
            let above = 1.0 - error.powf(1.0 / count as f64);
            let none = share_bounds(0.0, count, Errors::even(error));
            assert!((none.upper - above).abs() < 1e-9, "{none:?}");
            assert_eq!(none.lower, 0.0);
            let all = share_bounds(1.0, count, Errors::even(error));
            assert!((all.lower - (1.0 - above)).abs() < 1e-9, "{all:?}");
        }
    }

    #[test]
    fn the_median_s_bounds_are_the_order_statistics_of_its_tables() {
        // Of 20 values the 4th and the 17th bound the median with 0.0013 on each side, and the 5th and
        // the 16th with 0.0059: P(Bin(20, 1/2) <= 3) and P(Bin(20, 1/2) <= 4).
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let bounds = |alpha: f64| median_bounds(&values, Errors::even(alpha));
        let Bounds { lower, upper } = bounds(0.0058);
        assert_eq!((lower, upper), (4.0, 17.0));
        let Bounds { lower, upper } = bounds(0.006);
        assert_eq!((lower, upper), (5.0, 16.0));
        let Bounds { lower, upper } = median_bounds(&values[..3], Errors::even(0.01));
        assert_eq!((lower, upper), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(
            median_bounds(&[], Errors::even(0.01)).lower,
            f64::NEG_INFINITY
        );
    }

    #[test]
    fn the_mean_s_bounds_narrow_with_more_values_and_less_spread() {
        let bounds = |values: &[f64]| mean_bounds(values, Errors::even(0.005));
        let spread: Vec<f64> = (0..1000).map(|i| f64::from(i % 2)).collect();
        let Bounds { lower, upper } = bounds(&spread);
        // Hoeffding: ln 400 / 1000 is the divergence of 0.5 from 0.5 ± 0.054570.
        assert!((upper - 0.5 - 0.054_570).abs() < 1e-6 && (0.5 - lower - 0.054_570).abs() < 1e-6);
        let Bounds { lower, upper } = bounds(&[0.5; 1000]);
        // Bernstein: the radius is 7 ln 800 / (3 · 999).
        assert!((upper - 0.515_613).abs() < 1e-6 && (lower - 0.484_387).abs() < 1e-6);
        // None of 1000 independent events: 1 - 0.0025^(1/1000).
        let Bounds { lower, upper } = bounds(&[0.0; 1000]);
        assert!(lower == 0.0 && (upper - 0.005_974).abs() < 1e-6);
        let Bounds { lower, upper } = bounds(&[1.0; 1000]);
        assert!(upper == 1.0 && (1.0 - lower - 0.005_974).abs() < 1e-6);
        assert_eq!(bounds(&[0.5]).upper, 1.0);
    }

    /// `P(X ≥ hits)` for a binomial, summed term by term: the definition that the bounds must
    /// satisfy.
    fn upper_tail(hits: u64, trials: u64, p: f64) -> f64 {
        let ln_choose = |k: u64| -> f64 {
            (1..=k)
                .map(|i| (((trials - k + i) as f64) / i as f64).ln())
                .sum()
        };
        (hits..=trials)
            .map(|k| {
                (ln_choose(k) + k as f64 * p.ln() + (trials - k) as f64 * (1.0 - p).ln()).exp()
            })
            .sum()
    }

    #[test]
    fn bounds_agree_with_published_tables() {
        // 95 % limits for 3 of 10: 0.0667 to 0.6525; for 0 of 10: 0 to 0.3085 (two-sided).
        let bounds = Count {
            hits: 3,
            trials: 10,
        }
        .bounds(0.025);
        assert!((bounds.lower - 0.0667395).abs() < 1e-6, "{bounds:?}");
        assert!((bounds.upper - 0.6524529).abs() < 1e-6, "{bounds:?}");
        let none = Count {
            hits: 0,
            trials: 10,
        }
        .bounds(0.025);
        assert_eq!(none.lower, 0.0);
        assert!((none.upper - 0.3084971).abs() < 1e-6, "{none:?}");
    }

    #[test]
    fn all_looks_together_spend_no_more_than_alpha() {
        let spent: f64 = (1..60).map(|look| alpha_of_look(0.01, look)).sum();
        assert!(spent <= 0.01 && spent > 0.0099);
    }

    #[test]
    fn a_count_without_trials_bounds_nothing() {
        let bounds = Count::default().bounds(0.01);
        assert_eq!((bounds.lower, bounds.upper), (0.0, 1.0));
    }

    #[test]
    fn an_exhaustive_rate_is_a_point() {
        let rate = Rate::new(
            Count {
                hits: 9,
                trials: 12,
            },
            true,
            Errors::even(0.01),
        );
        assert_eq!((rate.lower, rate.upper), (0.75, 0.75));
    }

    proptest! {
        #[test]
        fn bounds_are_the_rates_at_which_the_tail_is_alpha(trials in 1u64..400, share in 0.0f64..=1.0, exponent in 1i32..8) {
            let hits = (share * trials as f64).round() as u64;
            let alpha = 10f64.powi(-exponent);
            let bounds = Count { hits, trials }.bounds(alpha);
            if hits > 0 {
                let tail = upper_tail(hits, trials, bounds.lower);
                prop_assert!((tail / alpha - 1.0).abs() < 1e-4, "lower {tail} {alpha}");
            }
            if hits < trials {
                let tail = 1.0 - upper_tail(hits + 1, trials, bounds.upper);
                prop_assert!((tail - alpha).abs() < alpha * 1e-3 + 1e-12, "upper {tail} {alpha}");
            }
        }
    }
}
