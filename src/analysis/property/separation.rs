//! Node properties: whether a node's output separates the values of the variable it is claimed for.
//!
//! Each triplet has three freshly drawn questions: two on which the variable is the same, and one
//! on which it differs, with all other digits free. The node separates its variable where the
//! outputs of the first two are closer to each other than the first is to the third.

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::arithmetic::Prompt;
use crate::domain::causal::{Sampler, Space, Value, classes, value};
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::experiment::stats::{Count, Rate};
use crate::experiment::stream;
use crate::inputs::claims::Claim;
use crate::inputs::model::Operations;
use crate::network::engine::{Engine, EngineError, Site};

/// Triplets drawn per variable: enough for an interval of ±0.02 around 0.95.
const TRIPLETS: usize = 1000;

/// Separate triplets from which the distance between outputs of different values is estimated.
const CALIBRATION: usize = 200;

/// Share of triplets that must be separated, at the lower bound.
pub const THRESHOLD: f64 = 0.95;

/// Questions surveyed to find the values of a variable.
const SURVEYED: usize = 4096;

/// Draws after which a value counts as too rare.
const MOST_TRIES: usize = 100_000;

/// Whether a claimed node separates its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Separates {
    /// The lower bound reaches the threshold.
    Yes,
    /// The upper bound is below the threshold.
    No,
    /// Neither.
    Undecided,
    /// The variable cannot be sampled for this model.
    NotAsked,
}

impl Separates {
    pub fn name(self) -> &'static str {
        match self {
            Separates::Yes => "separates",
            Separates::No => "mixes",
            Separates::Undecided => "undecided",
            Separates::NotAsked => "not asked",
        }
    }
}

/// The result for one claimed node.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Separation {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    pub claim: String,
    pub node: NodeName,
    pub separates: Separates,
    /// Why it was not tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<NodeDistances>,
}

/// Distances between a node's outputs.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct NodeDistances {
    /// Triplets in which outputs of equal values are closer than those of different values; about
    /// half for an output unrelated to the variable.
    pub separation: Rate,
    /// Distance up to which two outputs count as the same: a share of the root mean square distance
    /// between outputs of different values.
    pub distance: f64,
    /// Pairs of equal value within that distance.
    pub same_within: Rate,
    /// Pairs of different value beyond it.
    pub different_beyond: Rate,
    /// Number of values of the variable that were seen.
    pub values: usize,
    /// The simplest drawn triplet that is not separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Triplet>,
}

/// Two questions with equal values and one with another.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Triplet {
    /// Two questions on which the variable is the same.
    pub same: [Prompt; 2],
    /// One on which it differs.
    pub different: Prompt,
    /// Distance between the outputs of the first two, as a share of the root mean square distance
    /// between outputs of different values.
    #[serde(serialize_with = "to_thousandths")]
    pub same_distance: f64,
    /// Distance of the first from the third, in the same unit.
    #[serde(serialize_with = "to_thousandths")]
    pub different_distance: f64,
}

/// Distances are rounded to thousandths: their last digits differ between processors, but evidence
/// must not.
fn to_thousandths<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1000.0).round() / 1000.0)
}

/// Draws prompts by the value of a variable.
struct ValueSampler {
    variable: Variable,
    samplers: Vec<Sampler>,
    waiting: BTreeMap<Value, VecDeque<Prompt>>,
}

impl ValueSampler {
    /// Surveys which values occur.
    fn new(variable: Variable, n_digits: usize, rng: &mut impl Rng) -> Self {
        let samplers = classes(variable.task)
            .iter()
            .map(|&class| Space::of_class(class, n_digits).sampler())
            .collect();
        let mut values = ValueSampler {
            variable,
            samplers,
            waiting: BTreeMap::new(),
        };
        for _ in 0..SURVEYED {
            values.draw(rng);
        }
        values
    }

    fn draw(&mut self, rng: &mut impl Rng) {
        let sampler = &self.samplers[rng.random_range(0..self.samplers.len())];
        let prompt = Prompt::truth(sampler.draw(rng));
        if let Some(value) = value(self.variable, &prompt) {
            self.waiting.entry(value).or_default().push_back(prompt);
        }
    }

    /// A prompt with this value that no other triplet uses.
    fn take(&mut self, value: Value, rng: &mut impl Rng) -> Option<Prompt> {
        for _ in 0..MOST_TRIES {
            if let Some(prompt) = self.waiting.get_mut(&value).and_then(VecDeque::pop_front) {
                return Some(prompt);
            }
            self.draw(rng);
        }
        None
    }

    /// `count` triplets, with values equally often; `None` if a value is too rare.
    fn triplets(&mut self, count: usize, rng: &mut impl Rng) -> Option<Vec<[Prompt; 3]>> {
        let values: Vec<Value> = self.waiting.keys().copied().collect();
        (0..count)
            .map(|_| {
                let same = rng.random_range(0..values.len());
                let other = (same + rng.random_range(1..values.len())) % values.len();
                let (same, other) = (values[same], values[other]);
                Some([
                    self.take(same, rng)?,
                    self.take(same, rng)?,
                    self.take(other, rng)?,
                ])
            })
            .collect()
    }
}

/// A claim's node and variable, or why it cannot be tested.
fn resolve(
    claim: &Claim,
    engine: &Engine,
    operations: Operations,
) -> Result<(Node, Variable), String> {
    let shape = engine.shape();
    let variable = claim.variable.clone().map_err(|error| error.to_string())?;
    let node = claim
        .node
        .resolve(&shape)
        .map_err(|error| error.to_string())?;
    let trained = operations.classes();
    if let Some(class) = classes(variable.task)
        .iter()
        .find(|class| !trained.contains(class))
    {
        return Err(format!(
            "{variable} needs {class} questions, but the model was trained only for {operations}"
        ));
    }
    Ok((node, variable))
}

#[derive(Debug, Clone, Copy)]
pub struct SeparationTerms {
    /// Most triplets per variable.
    pub cases: usize,
    /// Share of the distance between different values up to which outputs count as the same.
    pub distance: f64,
    /// Probability that a bound is wrong.
    pub alpha: f64,
    pub seed: u64,
}

/// Measures the separation of every claim, in the given order. Claims of one variable share the
/// same questions, which do not depend on other claims.
///
/// # Errors
/// [`EngineError`], which does not occur for questions drawn for this model.
pub fn separations(
    engine: &Engine,
    operations: Operations,
    claims: &[Claim],
    terms: SeparationTerms,
    mut done: impl FnMut(usize),
) -> Result<Vec<Separation>, EngineError> {
    let mut results: BTreeMap<usize, Separation> = BTreeMap::new();
    let mut by_variable: BTreeMap<Variable, Vec<(usize, Node)>> = BTreeMap::new();
    let not_asked = |claim: &Claim, reason: String| Separation {
        claim: claim.to_string(),
        node: claim.node,
        separates: Separates::NotAsked,
        not_asked: Some(reason),
        measured: None,
    };
    for (index, claim) in claims.iter().enumerate() {
        match resolve(claim, engine, operations) {
            Ok((node, variable)) => by_variable.entry(variable).or_default().push((index, node)),
            Err(reason) => {
                results.insert(index, not_asked(claim, reason));
            }
        }
    }
    for (variable, nodes) in by_variable {
        let mut rng = stream(terms.seed, &format!("separation/{variable}"));
        let mut values = ValueSampler::new(variable, engine.shape().n_digits, &mut rng);
        let seen = values.waiting.len();
        let count = CALIBRATION + terms.cases.min(TRIPLETS);
        let triplets = match seen {
            0 | 1 => None,
            _ => values.triplets(count, &mut rng),
        };
        let Some(triplets) = triplets else {
            for (index, _) in nodes {
                let reason =
                    format!("{variable} takes only {seen} values on questions of this size");
                results.insert(index, not_asked(&claims[index], reason));
            }
            continue;
        };
        let prompts = triplets.as_flattened();
        let sites = nodes.iter().map(|&(_, node)| Site::from(node));
        let outputs = engine.activations(prompts, sites)?;
        for (index, node) in nodes {
            let output = |prompt: usize| outputs.get(prompt, Site::from(node));
            let distances: Vec<(f64, f64)> = (0..triplets.len())
                .map(|i| {
                    let first = output(3 * i);
                    (
                        distance(first, output(3 * i + 1)),
                        distance(first, output(3 * i + 2)),
                    )
                })
                .collect();
            let measured = measure(&triplets, &distances, seen, terms);
            let rate = measured.separation;
            let separates = if rate.lower >= THRESHOLD {
                Separates::Yes
            } else if rate.upper < THRESHOLD {
                Separates::No
            } else {
                Separates::Undecided
            };
            results.insert(
                index,
                Separation {
                    claim: claims[index].to_string(),
                    node: claims[index].node,
                    separates,
                    not_asked: None,
                    measured: Some(measured),
                },
            );
            done(results.len());
        }
    }
    Ok(results.into_values().collect())
}

/// Euclidean distance, summed in double precision.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(&x, &y)| f64::from(x - y).powi(2));
    squares.sum::<f64>().sqrt()
}

fn measure(
    triplets: &[[Prompt; 3]],
    distances: &[(f64, f64)],
    values: usize,
    terms: SeparationTerms,
) -> NodeDistances {
    let calibration = distances[..CALIBRATION].iter();
    let squares: f64 = calibration.map(|(_, different)| different.powi(2)).sum();
    let scale = (squares / CALIBRATION as f64).sqrt();
    let bound = terms.distance * scale;
    let (mut closer, mut within, mut beyond) =
        (Count::default(), Count::default(), Count::default());
    let mut mixed: Option<Triplet> = None;
    for (&[x, y, z], &(same, different)) in triplets[CALIBRATION..]
        .iter()
        .zip(&distances[CALIBRATION..])
    {
        closer.add(same < different);
        within.add(same <= bound);
        beyond.add(different > bound);
        if same < different {
            continue;
        }
        let simpler =
            |old: &Triplet| size(&[x, y, z]) < size(&[old.same[0], old.same[1], old.different]);
        if mixed.as_ref().is_none_or(simpler) {
            let share = |distance: f64| if scale > 0.0 { distance / scale } else { 0.0 };
            mixed = Some(Triplet {
                same: [x, y],
                different: z,
                same_distance: share(same),
                different_distance: share(different),
            });
        }
    }
    let rate = |count| Rate::sampled(count, terms.alpha);
    NodeDistances {
        separation: rate(closer),
        distance: terms.distance,
        same_within: rate(within),
        different_beyond: rate(beyond),
        values,
        mixed,
    }
}

/// Simplicity of three questions: number of non-zero digits, then their sum.
fn size(prompts: &[Prompt]) -> (u32, u32) {
    let digits = prompts.iter().flat_map(|prompt| {
        let question = prompt.question;
        (0..question.n_digits()).flat_map(move |k| <[u8; 2]>::from(question.column(k)))
    });
    digits.fold((0, 0), |(raised, sum), digit| {
        (raised + u32::from(digit > 0), sum + u32::from(digit))
    })
}
