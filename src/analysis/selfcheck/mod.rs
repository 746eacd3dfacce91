//! Checks of the checker itself: claims whose verdict is known in advance, and invariants of every
//! verification.

mod corruption;
mod determinism;
mod false_claims;
mod intervals;
mod missed;
mod seeds;
mod true_claims;

pub use corruption::{Corrupted, Corruption, corruptions};
pub use determinism::determinism;
pub use false_claims::{false_claims, passes};
pub use intervals::{CLAIM_ALPHA, intervals};
pub use missed::missed;
pub use seeds::seeds;
pub use true_claims::{Expected, falsehoods, known_claims, truths};

use serde::Serialize;

use crate::experiment::Rules;
use crate::inputs::model::ModelFolder;
use crate::network::handmade::{self, Planted};
use crate::verify::{Options, VerifyError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckPart {
    /// Decisions on simulated claims with known rates.
    Intervals,
    /// Claims of handmade networks, true and false.
    Handmade,
    /// The same for the planted networks.
    Planted,
    /// Corrupted claims of models.
    Corrupted,
    /// Threads, blocks and the order of claims.
    Determinism,
    /// Other seeds.
    Seeds,
    /// A harder search for sets, for claims that fail.
    Missed,
}

impl CheckPart {
    /// Every kind, in the order they are run.
    pub const ALL: [Self; 7] = [
        Self::Intervals,
        Self::Handmade,
        Self::Planted,
        Self::Corrupted,
        Self::Determinism,
        Self::Seeds,
        Self::Missed,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intervals => "intervals",
            Self::Handmade => "handmade",
            Self::Planted => "planted",
            Self::Corrupted => "corrupted",
            Self::Determinism => "determinism",
            Self::Seeds => "seeds",
            Self::Missed => "missed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effort {
    /// Corrupted claims per kind and model.
    pub corruptions: usize,
    /// Counterfactual trials after which a claim's sampling ends.
    pub max_trials: usize,
    /// Digits of the handmade networks.
    pub handmade_digits: &'static [usize],
    /// False claims tried on each of them.
    pub falsehoods: usize,
    /// Claims simulated at each known rate.
    pub drawn: usize,
    /// False claims tried on each planted network; 0 skips the planted networks.
    pub planted_falsehoods: usize,
    /// Claimed nodes verified repeatedly.
    pub repeated: usize,
    /// Seeds with which all claims of a model are verified, each with the usual budget.
    pub seeds: u64,
    /// Whether to repeat failing claims with a harder search for sets.
    pub missed: bool,
}

impl Effort {
    pub const QUICK: Effort = Effort {
        corruptions: 4,
        max_trials: 512,
        handmade_digits: &[2],
        falsehoods: 40,
        drawn: 1_000,
        planted_falsehoods: 0,
        repeated: 1,
        seeds: 0,
        missed: false,
    };

    /// Takes some minutes per model.
    pub const FULL: Effort = Effort {
        corruptions: 24,
        max_trials: 2_000,
        handmade_digits: &[2, 3],
        falsehoods: 400,
        drawn: 10_000,
        planted_falsehoods: 100,
        repeated: 6,
        seeds: 3,
        missed: true,
    };
}

/// Runs the checks of these kinds, passing each to `seen` when it ends.
///
/// # Errors
/// [`VerifyError`] where a model cannot be verified.
pub fn run(
    models: &[ModelFolder],
    parts: &[CheckPart],
    effort: &Effort,
    seed: u64,
    seen: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, VerifyError> {
    let options = Options {
        rules: Rules {
            max_trials: effort.max_trials,
            seed,
            ..Rules::default()
        },
        ..Options::default()
    };
    let usual = Options {
        rules: Rules {
            seed,
            ..Rules::default()
        },
        ..Options::default()
    };
    let mut checks = Vec::new();
    let mut add = |check: Check| {
        seen(&check);
        checks.push(check);
    };
    let asked = |part| parts.contains(&part);
    if asked(CheckPart::Intervals) {
        add(intervals(effort.drawn, CLAIM_ALPHA, seed));
    }
    let by_hand = effort.handmade_digits.iter();
    for &n_digits in by_hand.filter(|_| asked(CheckPart::Handmade)) {
        let handmade = handmade::addition(n_digits);
        let (folder, expected) = truths(&handmade);
        let name = format!("true claims: {n_digits} digits by hand");
        add(known_claims(&name, &folder, &expected, &options)?);
        let (folder, expected) = falsehoods(&handmade, effort.falsehoods, seed);
        let name = format!("false claims: {n_digits} digits by hand");
        add(known_claims(&name, &folder, &expected, &options)?);
    }
    let planted = handmade::planted().into_iter();
    for network in planted.filter(|_| effort.planted_falsehoods > 0 && asked(CheckPart::Planted)) {
        let Planted { name, handmade, .. } = &network;
        let (folder, expected) = truths(handmade);
        let name_of = |kind: &str| format!("{kind} claims: planted, {name}");
        add(known_claims(&name_of("true"), &folder, &expected, &usual)?);
        let (folder, expected) = falsehoods(handmade, effort.planted_falsehoods, seed);
        add(known_claims(&name_of("false"), &folder, &expected, &usual)?);
    }
    for folder in models {
        if asked(CheckPart::Corrupted) {
            let corrupted = corruptions(folder, effort.corruptions, seed)?;
            add(false_claims(folder, &corrupted, &options)?);
        }
        if asked(CheckPart::Determinism) {
            add(determinism(folder, effort.repeated, &options)?);
        }
        if asked(CheckPart::Seeds) && effort.seeds > 0 {
            add(seeds(folder, effort.seeds, &usual)?);
        }
        if asked(CheckPart::Missed) && effort.missed {
            add(missed(folder, &usual)?);
        }
    }
    Ok(checks)
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    /// What was checked.
    pub what: String,
    pub figures: Vec<Figure>,
    /// Whether every figure is within its limit.
    pub passed: bool,
}

impl Check {
    /// A check with its figures; it passes if they are within their limits.
    pub fn new(name: impl Into<String>, what: impl Into<String>, figures: Vec<Figure>) -> Self {
        Check {
            name: name.into(),
            what: what.into(),
            passed: figures.iter().all(Figure::within),
            figures,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The label of the figure.
    pub what: String,
    pub value: FigureValue,
    /// The upper limit, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FigureValue {
    /// A count.
    Count(u64),
    Mean(f64),
    /// A finding as text.
    Text(String),
}

impl Figure {
    /// A count without a limit.
    pub fn count(what: impl Into<String>, count: usize) -> Self {
        Figure {
            what: what.into(),
            value: FigureValue::Count(count as u64),
            most: None,
        }
    }

    /// A count that may be at most `most`.
    pub fn at_most(what: impl Into<String>, count: usize, most: u64) -> Self {
        Figure {
            most: Some(most),
            ..Figure::count(what, count)
        }
    }

    /// A mean without a limit.
    pub fn mean(what: impl Into<String>, mean: f64) -> Self {
        Figure {
            what: what.into(),
            value: FigureValue::Mean(mean),
            most: None,
        }
    }

    pub fn text(what: impl Into<String>, text: impl Into<String>) -> Self {
        Figure {
            what: what.into(),
            value: FigureValue::Text(text.into()),
            most: None,
        }
    }

    /// Whether the figure is within its limit, if it has one.
    pub fn within(&self) -> bool {
        match (&self.value, self.most) {
            (FigureValue::Count(count), Some(most)) => *count <= most,
            _ => true,
        }
    }
}
