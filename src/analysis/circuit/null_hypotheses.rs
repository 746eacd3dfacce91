//! Hypothesis tests of a circuit: equivalence to the network, independence of what is left without it,
//! and the two against random circuits (C. Shi et al., "Hypothesis testing the circuit hypothesis in
//! LLMs", NeurIPS 2024). Minimality has a module of its own.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use super::criteria::{TestBench, logit_differences};
use super::{ClassQuestions, NodeSet, Scoring};
use crate::domain::arithmetic::{AnswerToken, Class, Prompt, Token};
use crate::domain::shape::D_VOCAB;
use crate::experiment::resampling::{dependence, drawn_p_value, is_p_value};
use crate::experiment::stats::{Bounds, Errors, paired_difference, rounded};
use crate::experiment::{TIE_MARGIN, stream};
use crate::network::ablation::Ablation;
use crate::network::engine::EngineError;
use crate::network::logits::AnswerLogits;

/// How far from one half the chance of a circuit to do better than the network may be.
pub const TOLERANCE: f64 = 0.1;

/// Fewest and most permutations of the independence test. Between these there are so many that the least
/// p-value, times the tokens of an answer, is half of the error.
const PERMUTATIONS: (usize, usize) = (4999, 19_999);

/// Most questions of a class that the tests use: the independence test takes the square of this.
const MOST_QUESTIONS: usize = 300;

/// What a test with a null hypothesis and an interval comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The circuit has the property.
    Shown,
    /// The null hypothesis that it has it is rejected.
    Rejected,
    /// Neither.
    Open,
}

/// Whether a circuit does better than the network as often as worse, by the logit difference.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Equivalence {
    /// Questions on which the circuit does better.
    pub better: u64,
    /// Questions on which it does worse.
    pub worse: u64,
    /// Questions on which the two are equal up to rounding. Each counts half as better, half as worse.
    pub equal: u64,
    /// The chance of doing better, minus one half.
    pub difference: Bounds,
    /// Of the null hypothesis that this chance is within [`TOLERANCE`] of one half.
    #[serde(serialize_with = "rounded")]
    pub p_value: f64,
    /// Whether as many questions, half better and half worse, could show it.
    pub enough: bool,
    /// Rejected by the p-value; shown where the bounds are within [`TOLERANCE`].
    pub decision: Decision,
}

impl Equivalence {
    /// Compares the logit differences of the same questions.
    fn of(circuit: &[f64], whole: &[f64], alpha: f64) -> Self {
        let (mut better, mut worse) = (0, 0);
        for (circuit, whole) in circuit.iter().zip(whole) {
            better += u64::from(circuit - whole >= f64::from(TIE_MARGIN));
            worse += u64::from(whole - circuit >= f64::from(TIE_MARGIN));
        }
        let asked = circuit.len() as u64;
        let bounds = |better, worse| {
            let bounds = paired_difference(better, worse, asked, Errors::even(alpha / 2.0));
            Bounds {
                lower: bounds.lower / 2.0,
                upper: bounds.upper / 2.0,
            }
        };
        let is_within = |of: Bounds| of.lower >= -TOLERANCE && of.upper <= TOLERANCE;
        let difference = bounds(better, worse);
        let p_value = sign_test(better.abs_diff(worse), asked);
        Equivalence {
            better,
            worse,
            equal: asked - better - worse,
            difference,
            p_value,
            enough: is_within(bounds(asked / 2, asked - asked / 2)),
            decision: match is_within(difference) {
                _ if p_value <= alpha => Decision::Rejected,
                true => Decision::Shown,
                false => Decision::Open,
            },
        }
    }
}

/// The probability, where a question is better with a chance of ½ + [`TOLERANCE`], that better and worse
/// ones differ by `difference` or more.
fn sign_test(difference: u64, asked: u64) -> f64 {
    if difference == 0 {
        return 1.0;
    }
    let better = Binomial::new(0.5 + TOLERANCE, asked).expect("a probability");
    let fewest = (asked + difference).div_ceil(2);
    let most = (asked - difference) / 2;
    (better.cdf(most) + 1.0 - better.cdf(fewest - 1)).min(1.0)
}

/// Whether the network without the circuit still says something of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Independence {
    pub tokens: Vec<TokenIndependence>,
    /// Of the null hypothesis that all tokens are independent: the least, times their number.
    #[serde(serialize_with = "rounded")]
    pub p_value: f64,
    /// Never shown: a dependence may be too weak for these questions.
    pub decision: Decision,
}

/// The dependence between the logits of one answer token with the circuit ablated and unablated, among
/// questions with the same token before it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct TokenIndependence {
    pub token: AnswerToken,
    /// The Hilbert–Schmidt independence criterion.
    #[serde(serialize_with = "rounded")]
    pub hsic: f64,
    #[serde(serialize_with = "rounded")]
    pub p_value: f64,
}

impl Independence {
    fn of(
        prompts: &[Prompt],
        whole: &[AnswerLogits],
        without: &[AnswerLogits],
        class: Class,
        testing: Scoring,
        alpha: f64,
    ) -> Self {
        let places = whole.first().map_or(0, |logits| logits.rows().len());
        let (fewest, most) = PERMUTATIONS;
        let permutations = (2.0 * places as f64 / alpha).ceil() as usize;
        let permutations = permutations.clamp(fewest, most);
        let of_place = |place: usize| {
            let token = AnswerToken(place);
            let row = |logits: &[AnswerLogits]| -> Vec<[f32; D_VOCAB]> {
                logits.iter().map(|logits| *logits.row(token)).collect()
            };
            let (whole, without) = (row(whole), row(without));
            // The token that the position itself reads reaches its logits by no node.
            let before: Vec<Token> = (prompts.iter().zip(0..whole.len()))
                .map(|(prompt, _)| token_before(prompt, place, places))
                .collect();
            let mut rng = stream(testing.seed, &format!("independence/{class}/{token}"));
            let found = dependence(
                &whole,
                &without,
                &before,
                TIE_MARGIN,
                permutations,
                &mut rng,
            );
            TokenIndependence {
                token,
                hsic: found.hsic,
                p_value: found.p_value,
            }
        };
        let tokens: Vec<TokenIndependence> = (0..places).rev().map(of_place).collect();
        let least = tokens.iter().map(|token| token.p_value).fold(1.0, f64::min);
        let p_value = (least * tokens.len() as f64).min(1.0);
        Independence {
            tokens,
            p_value,
            decision: match p_value <= alpha {
                true => Decision::Rejected,
                false => Decision::Open,
            },
        }
    }
}

/// The answer token before a place; nothing in particular before the sign.
fn token_before(prompt: &Prompt, place: usize, places: usize) -> Token {
    match place + 1 == places {
        true => 0,
        false => prompt.forced.get(AnswerToken(place + 1)),
    }
}

/// How a circuit does against random sets of as many heads and as many MLPs. A p-value is the share of
/// sets, the circuit among them, that do as well.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct AgainstRandom {
    pub sets: usize,
    /// The logit difference of the network minus that of the circuit, as a mean of its size over
    /// questions.
    #[serde(serialize_with = "rounded")]
    pub distance: f64,
    /// Of sets whose distance is not larger.
    #[serde(serialize_with = "rounded")]
    pub sufficiency_p_value: f64,
    /// The same distance of the network without the circuit.
    #[serde(serialize_with = "rounded")]
    pub distance_without: f64,
    /// Of sets without which the distance is not smaller.
    #[serde(serialize_with = "rounded")]
    pub necessity_p_value: f64,
}

impl AgainstRandom {
    /// Distances of the circuit and of random sets, each kept alone and left out.
    fn of(kept: &[f64], without: &[f64]) -> Option<Self> {
        let (&distance, random) = kept.split_first()?;
        let (&distance_without, random_without) = without.split_first()?;
        let sets = random.len();
        let rounding = f64::from(TIE_MARGIN);
        let count = |of: &[f64], as_good: &dyn Fn(f64) -> bool| {
            let as_good = of.iter().filter(|&&random| as_good(random)).count();
            drawn_p_value(as_good, sets)
        };
        Some(AgainstRandom {
            sets,
            distance,
            sufficiency_p_value: count(random, &|random| random <= distance + rounding),
            distance_without,
            necessity_p_value: count(random_without, &|random| {
                random >= distance_without - rounding
            }),
        })
    }
}

/// The hypothesis tests of a circuit on the questions of one class.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct HypothesisTests {
    pub equivalence: Equivalence,
    pub independence: Independence,
    pub random: AgainstRandom,
}

/// The mean size of the differences of the same questions' values.
pub(super) fn distance(one: &[f64], other: &[f64]) -> f64 {
    let each = one.iter().zip(other).map(|(a, b)| (a - b).abs());
    each.sum::<f64>() / one.len().max(1) as f64
}

impl HypothesisTests {
    /// Whether stored figures can have come from so many questions.
    pub(super) fn is_possible(&self, judged: u64) -> bool {
        let Equivalence {
            better,
            worse,
            equal,
            difference,
            p_value,
            ..
        } = self.equivalence;
        let asked = [better, worse, equal]
            .into_iter()
            .try_fold(0, u64::checked_add);
        let tokens = self.independence.tokens.iter().map(|token| token.p_value);
        let AgainstRandom {
            sufficiency_p_value,
            necessity_p_value,
            ..
        } = self.random;
        let p_values = [
            p_value,
            self.independence.p_value,
            sufficiency_p_value,
            necessity_p_value,
        ];
        asked.is_some_and(|asked| asked <= judged)
            && -0.5 <= difference.lower
            && difference.lower <= difference.upper
            && difference.upper <= 0.5
            && tokens.chain(p_values).all(is_p_value)
    }
}

impl TestBench<'_> {
    /// Makes the hypothesis tests on the questions of one class. `alpha` is the error of each decision.
    pub(super) fn hypothesis_tests(
        &self,
        questions: &ClassQuestions,
        keep: &NodeSet,
        testing: Scoring,
        alpha: f64,
    ) -> Result<Option<HypothesisTests>, EngineError> {
        let class = questions.class;
        let random = (0..testing.random_sets).map(|set| {
            let name = format!("circuit/tests/{class}/{set}");
            self.judging.random_like(keep, testing.seed, &name)
        });
        let kept: Vec<NodeSet> = [keep.clone()].into_iter().chain(random).collect();
        let without = kept.iter().map(|kept| self.nodes() - kept);
        let without: Vec<NodeSet> = without.collect();
        let all: Vec<&NodeSet> = [self.nodes()]
            .into_iter()
            .chain(&kept)
            .chain(&without)
            .collect();
        let mean = Ablation::Mean;
        let logits = self.judging.logits(questions, &all, mean, MOST_QUESTIONS)?;
        let prompts = &questions.prompts()[..questions.prompts().len().min(MOST_QUESTIONS)];
        let differences: Vec<Vec<f64>> = (logits.iter())
            .map(|logits| logit_differences(prompts, logits))
            .collect();
        let (whole, others) = differences.split_first().expect("all nodes");
        let distances: Vec<f64> = others.iter().map(|of| distance(of, whole)).collect();
        let (of_kept, of_without) = distances.split_at(kept.len());
        let random = AgainstRandom::of(of_kept, of_without);
        let left = &logits[1 + kept.len()];
        Ok(random.map(|random| HypothesisTests {
            equivalence: Equivalence::of(&differences[1], whole, alpha),
            independence: Independence::of(prompts, &logits[0], left, class, testing, alpha),
            random,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_sums_both_tails_at_the_edge_of_the_null_hypothesis() {
        // Of 4 questions all are better or all worse: 0.6⁴ + 0.4⁴.
        assert!((sign_test(4, 4) - 0.1552).abs() < 1e-12);
        // Of 5, a difference of 3 or more is 0, 1, 4 or 5 better ones.
        let expected = 0.4f64.powi(5) + 5.0 * 0.6 * 0.4f64.powi(4) + 5.0 * 0.6f64.powi(4) * 0.4;
        assert!((sign_test(3, 5) - expected - 0.6f64.powi(5)).abs() < 1e-12);
        assert_eq!(sign_test(0, 5), 1.0);
    }

    #[test]
    fn a_circuit_that_is_equal_is_equivalent_and_one_that_is_always_worse_or_better_is_not() {
        let whole = vec![1.0; 200];
        let decision = |circuit: &[f64]| Equivalence::of(circuit, &whole, 0.01).decision;
        assert_eq!(decision(&whole), Decision::Shown);
        assert_eq!(decision(&[0.9; 200]), Decision::Rejected);
        assert_eq!(decision(&[1.1; 200]), Decision::Rejected);
        let half: Vec<f64> = (0..100)
            .map(|question| f64::from(question % 2) * 2.0)
            .collect();
        assert_eq!(decision(&half), Decision::Open);
        let enough = |asked| Equivalence::of(&vec![1.0; asked], &vec![1.0; asked], 0.01).enough;
        assert_eq!((enough(150), enough(300)), (false, true));
    }

    #[test]
    fn a_circuit_counts_among_the_random_sets_that_do_as_well() {
        let found = AgainstRandom::of(&[0.5, 1.0, 0.5, 2.0], &[3.0, 1.0, 2.0, 2.5]).unwrap();
        assert_eq!(found.sufficiency_p_value, 0.5);
        assert_eq!(found.necessity_p_value, 0.25);
    }
}
