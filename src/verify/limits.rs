//! The limits behind the verdicts and the controls run for every claim, as stored in evidence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::controls::{CARRIER_CONTROL_PAIRS, DECOYS, PANELS, SELECTIVITY_MARGIN, SIDE_TRIALS};
use super::escalation::JOINT_NEED;
use super::phases::{MEAN_QUESTIONS, UNTRAINED_SEED};
use super::{attends, necessity};
use crate::experiment::{BASELINE_QUESTIONS, FIRST_ANALYSIS, GATE, HALF, NEGLIGIBLE, TIE_MARGIN};

/// Limits that no option changes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Limits {
    /// Accuracy that the unpatched model must reach on a class, at the lower bound, for its claims
    /// to be testable.
    pub baseline: f64,
    /// Control-pair and off-target rates up to this are negligible; a node whose effect is below it
    /// is inert.
    pub negligible: f64,
    /// A claim whose interchange accuracy is below this, at the upper bound, fails.
    pub refuted_below: f64,
    /// Margin by which a claim must beat each decoy and each wrong digit, at the lower bound.
    pub selectivity_margin: f64,
    /// Margin by which a joint set must beat the set without the node, at the lower bound.
    pub joint_need: f64,
    /// Logit lead below which a token is a numerical tie.
    pub tie_margin: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            baseline: GATE,
            negligible: NEGLIGIBLE,
            refuted_below: HALF,
            selectivity_margin: SELECTIVITY_MARGIN,
            joint_need: JOINT_NEED,
            tie_margin: TIE_MARGIN,
        }
    }
}

/// The controls run for every claim, and their sample sizes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct ControlPlan {
    /// Questions of each class on which the unpatched model's baseline is measured.
    pub baseline_questions: usize,
    /// Correctly answered questions of each class over which means are taken.
    pub mean_questions: usize,
    /// Questions of each class on which attention is measured.
    pub attention_questions: usize,
    /// Pairs at the first interim analysis.
    pub first_analysis: usize,
    /// Sets tried as decoys of a set. For a single node, every eligible node is a decoy.
    pub decoys: usize,
    /// Pairs, in total, on which decoys, and the claim's nodes at every other digit, are tried; more
    /// are run where the result is still open.
    pub decoy_panels: Vec<usize>,
    /// Control pairs that a decoy must leave unchanged to count as an additional carrier.
    pub carrier_control_pairs: usize,
    /// Trials of each control that is reported but decides nothing: the base run's own activation,
    /// other tasks at the same digit, and untrained weights.
    pub side_trials: usize,
    /// Seed of the untrained weights.
    pub untrained_seed: u64,
    /// Questions mean-ablated on each side of the necessity measurement.
    pub necessity_questions: usize,
}

impl Default for ControlPlan {
    fn default() -> Self {
        ControlPlan {
            baseline_questions: BASELINE_QUESTIONS,
            mean_questions: MEAN_QUESTIONS,
            attention_questions: attends::QUESTIONS,
            first_analysis: FIRST_ANALYSIS,
            decoys: DECOYS,
            decoy_panels: PANELS.to_vec(),
            carrier_control_pairs: CARRIER_CONTROL_PAIRS,
            side_trials: SIDE_TRIALS,
            untrained_seed: UNTRAINED_SEED,
            necessity_questions: necessity::QUESTIONS,
        }
    }
}
