//! Experiments as values: which pairs of questions, what is done where, what is read, which controls,
//! and the rule that decides. `docs/EXPERIMENTS.md` has the grammar.

mod check;
mod run;
mod target;

pub use run::{
    AssayError, Estimate, ExperimentResult, ExperimentSetting, ExperimentVerdict, Measured, run,
};
pub use target::{NodeGroup, Target};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{AnswerToken, Class, Prompt};
use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::inputs::claims::{Claim, ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;
use crate::network::ablation::Ablation;
use crate::network::engine::Scale;
use crate::storage::{PlainText, read_json};

/// Pairs drawn where a file does not say how many.
const COUNT: usize = 256;

/// An experiment.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What it is to show, in words.
    pub says: String,
    pub pairs: Pairs,
    /// What is done in the base question's run, all together.
    #[serde(default)]
    pub act: Vec<Step>,
    /// How layer norms behind edges are scaled.
    #[serde(default)]
    pub scale: EdgeScale,
    pub read: Reading,
    #[serde(default)]
    pub control: Vec<Control>,
    pub rule: Rule,
}

/// Where pairs of a source and a base question come from.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pairs {
    /// Drawn so that a variable differs and the predicted answer changes.
    Variable {
        variable: Variable,
        #[serde(default = "count")]
        count: usize,
    },
    /// Two questions drawn independently, the base of one class and the source of the same or of
    /// another. The source's own answer is predicted.
    Class {
        class: Class,
        source: Option<Class>,
        #[serde(default = "count")]
        count: usize,
    },
    /// These, the source first. The source's own answer is predicted.
    Given { pairs: Vec<(Prompt, Prompt)> },
}

const fn count() -> usize {
    COUNT
}

/// Something done at some places.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The values of the source question's run are put in.
    Swap { at: Vec<Target> },
    /// Means, zeros or another question's values are put in.
    Ablate { at: Vec<Target>, by: Ablation },
    /// All nodes but these are ablated.
    KeepOnly { at: Vec<Target>, by: Ablation },
    /// Values are moved this far towards the source's; without a share, in steps from 0 to 1.
    Interpolate { at: Vec<Target>, share: Option<f64> },
    /// The source's values are put in within the subspace in which pairs differ most, learned on other
    /// pairs.
    SwapWithin { at: Vec<Target>, rank: usize },
    /// The mean difference between source and base, learned on other pairs, is added so many times.
    Add {
        at: Vec<Target>,
        #[serde(default = "once")]
        times: f64,
    },
}

const fn once() -> f64 {
    1.0
}

impl Step {
    /// The places as they are written.
    pub fn at(&self) -> &[Target] {
        match self {
            Step::Swap { at }
            | Step::Ablate { at, .. }
            | Step::KeepOnly { at, .. }
            | Step::Interpolate { at, .. }
            | Step::SwapWithin { at, .. }
            | Step::Add { at, .. } => at,
        }
    }

    /// The same done elsewhere.
    fn moved_to(&self, elsewhere: Vec<Target>) -> Self {
        let mut step = self.clone();
        match &mut step {
            Step::Swap { at }
            | Step::Ablate { at, .. }
            | Step::KeepOnly { at, .. }
            | Step::Interpolate { at, .. }
            | Step::SwapWithin { at, .. }
            | Step::Add { at, .. } => *at = elsewhere,
        }
        step
    }
}

/// The scale of the layer norms behind edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeScale {
    /// That of the base run.
    #[default]
    Frozen,
    /// That of the changed stream.
    Running,
}

impl From<EdgeScale> for Scale {
    fn from(scale: EdgeScale) -> Self {
        match scale {
            EdgeScale::Frozen => Scale::Frozen,
            EdgeScale::Running => Scale::Running,
        }
    }
}

/// What is read of every pair.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reading {
    /// Whether the answer, or one token of it, is the predicted one.
    Predicted { token: Option<AnswerToken> },
    /// Whether the answer, or one token of it, is another than without the act.
    Changed { token: Option<AnswerToken> },
    /// Whether the answer, or one token of it, is right.
    Right { token: Option<AnswerToken> },
    /// By how much the logit of the predicted token leads that of the base question's own.
    LogitDifference { token: AnswerToken },
    /// Over an interpolation, the share of the way in which that lead makes the middle 80 % of its
    /// change: 0.8 where it rises along a line, and less where it steps.
    StepWidth { token: AnswerToken },
    /// The attention that a head of the base question's run gives to some positions. Nothing is done.
    Attention { head: NodeName, on: Vec<usize> },
}

/// What must not show the same.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// Pairs in which the variable does not differ to any consequence: a change counts.
    SameValue,
    /// The same done at other places.
    Elsewhere { at: Vec<Target> },
    /// The same done at random sets of as many heads and MLPs.
    RandomSets { sets: usize },
    /// The same in a network of the same shape with untrained weights, scored against its own answers.
    Untrained,
}

/// When an experiment shows what it says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What is read must be this or more, at the lower bound.
    pub at_least: Option<f64>,
    /// What is read must be this or less, at the upper bound.
    pub at_most: Option<f64>,
    /// What every control reads must be this or less, at the upper bound.
    pub control_at_most: Option<f64>,
    /// The chance that any bound is wrong.
    #[serde(default = "alpha")]
    pub alpha: f64,
}

const fn alpha() -> f64 {
    0.01
}

impl Experiment {
    /// Reads an experiment.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str::<PlainText<true>>(text)?;
        toml::from_str(text)
    }

    /// Reads an experiment that is written as JSON.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse_json(text: &str) -> Result<Self, serde_json::Error> {
        read_json(text.as_bytes())
    }
}

/// The nodes that the model's file claims for variables, as [`ExperimentSetting`] takes them.
///
/// # Errors
/// [`ClaimsError`] where the file cannot be read.
pub fn claimed(folder: &ModelFolder) -> Result<Vec<(NodeName, Variable)>, ClaimsError> {
    let Some(features) = &folder.features else {
        return Ok(Vec::new());
    };
    let file = features.path.display().to_string();
    let claims = claims_of(&read_tagged_nodes(&file, &features.bytes)?);
    let testable = |claim: Claim| Some((claim.node, claim.variable.ok()?));
    Ok(claims.into_iter().filter_map(testable).collect())
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let last = items.pop().unwrap_or_default();
    match items.is_empty() {
        true => last,
        false => format!("{} and {last}", items.join(", ")),
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pairs::Variable { variable, count } => {
                write!(f, "{count} pairs of questions that differ in {variable}")
            }
            Pairs::Class {
                class,
                source,
                count,
            } => match source {
                Some(source) if source != class => {
                    write!(
                        f,
                        "{count} pairs of a {source} question and a {class} question"
                    )
                }
                _ => write!(f, "{count} pairs of {class} questions"),
            },
            Pairs::Given { pairs } => write!(f, "{} given pairs", pairs.len()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = listed(self.at());
        match self {
            Step::Swap { .. } => write!(f, "with {at} as in the source question"),
            Step::Ablate { by, .. } => write!(f, "with {at} ablated by {by}"),
            Step::KeepOnly { by, .. } => write!(f, "with all nodes but {at} ablated by {by}"),
            Step::Interpolate { share, .. } => match share {
                Some(share) => write!(f, "with {at} moved by {share} towards the source question"),
                None => write!(f, "with {at} moved stepwise to the source question"),
            },
            Step::SwapWithin { rank, .. } => write!(
                f,
                "with {at} as in the source question within a learned subspace of rank {rank}"
            ),
            Step::Add { times, .. } => {
                write!(f, "with the learned direction added {times} times at {at}")
            }
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = |token: &Option<AnswerToken>| match token {
            Some(token) => token.to_string(),
            None => "the answer".to_owned(),
        };
        match self {
            Reading::Predicted { token } => write!(f, "{} is as predicted", what(token)),
            Reading::Changed { token } => write!(f, "{} changes", what(token)),
            Reading::Right { token } => write!(f, "{} is right", what(token)),
            Reading::LogitDifference { token } => {
                write!(
                    f,
                    "the predicted {token} leads the base question's own by a median"
                )
            }
            Reading::StepWidth { token } => {
                write!(
                    f,
                    "the logit difference at {token} makes its change within a median share"
                )
            }
            Reading::Attention { head, on } => {
                let on = listed(on.iter().map(|position| format!("P{position}")));
                write!(f, "the mean attention of {head} to {on} is")
            }
        }
    }
}

impl Reading {
    /// Whether pairs are counted; otherwise a value of each is read.
    pub const fn counts(&self) -> bool {
        matches!(
            self,
            Reading::Predicted { .. } | Reading::Changed { .. } | Reading::Right { .. }
        )
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::SameValue => f.write_str("pairs alike in it"),
            Control::Elsewhere { at } => write!(f, "the same at {}", listed(at)),
            Control::RandomSets { sets } => write!(f, "{sets} random sets of as many nodes"),
            Control::Untrained => f.write_str("an untrained network"),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, pairs) = match self {
            Estimate::Rate(rate) => return rate.fmt(f),
            Estimate::Median { pairs, .. } => ("median", pairs),
            Estimate::Mean { pairs, .. } => ("mean", pairs),
        };
        let (value, bounds) = (self.value(), self.bounds());
        write!(
            f,
            "{kind} {value:.3} [{:.3}, {:.3}] of {pairs}",
            bounds.lower, bounds.upper
        )
    }
}

impl fmt::Display for Experiment {
    /// Writes the experiment as a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Of {}", self.pairs)?;
        for step in &self.act {
            write!(f, ", {step}")?;
        }
        write!(f, ", {}", self.read)?;
        let bounds = [
            ("at least", self.rule.at_least),
            ("at most", self.rule.at_most),
        ];
        let bounds = bounds.into_iter();
        let bounds: Vec<String> = bounds
            .filter_map(|(words, bound)| bound.map(|bound| format!("{words} {bound}")))
            .collect();
        let share = if self.read.counts() { "in " } else { "" };
        write!(f, " {share}{}", listed(bounds))?;
        if let Some(most) = self.rule.control_at_most
            && !self.control.is_empty()
        {
            let controls = listed(&self.control);
            write!(f, "; with {controls}, at most {most}")?;
        }
        f.write_str(".")
    }
}
