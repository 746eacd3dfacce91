//! The limits that verdicts rest on and the controls run for every claim, as evidence states them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::controls::{DECOYS, FIND_PLACEBOS, PANELS, SELECTIVITY_MARGIN, SIDE_TRIALS};
use super::escalation::JOINT_NEED;
use super::phases::{MEAN_QUESTIONS, UNTRAINED_SEED};
use super::{attends, necessity};
use crate::experiment::{BASELINE_QUESTIONS, FIRST_LOOK, GATE, HALF, NEGLIGIBLE, TIE_MARGIN};

/// Limits that no option changes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Limits {
    /// Accuracy of the unpatched model on a class, at the lower bound, for its claims to be testable.
    pub baseline: f64,
    /// Control and off-target effect rates up to this are negligible; an effect below it is inert.
    pub negligible: f64,
    /// Interchange accuracy below this, at the upper bound, is that of a claim that fails.
    pub refuted_below: f64,
    /// By how much a claim must beat each decoy and each wrong digit, at the lower bound.
    pub selectivity_margin: f64,
    /// By how much a set must beat its parts to be joint, at the lower bound.
    pub joint_need: f64,
    /// Lead in logits under which a token is a numerical tie.
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

/// The controls run for every claim, and on how much.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct ControlPlan {
    /// Questions of each class that the unpatched model answers first.
    pub baseline_questions: usize,
    /// Rightly answered questions of each class over which means are taken.
    pub mean_questions: usize,
    /// Questions of each class on which attention is measured.
    pub attention_questions: usize,
    /// Pairs at the first look; every later look doubles them.
    pub first_look: usize,
    /// Sets tried as decoys of a set; of a single node, every node that may be a decoy is one.
    pub decoys: usize,
    /// Sizes of the panels on which decoys and the claim's nodes at every other digit are tried, the
    /// next where one leaves it open.
    pub decoy_panels: Vec<usize>,
    /// Control pairs that a decoy leaves alone before it is called a find.
    pub find_placebos: usize,
    /// Trials of each control that is reported and decides nothing: the base run's own activation,
    /// other tasks at the same digit, and untrained weights.
    pub side_trials: usize,
    /// Seed of the untrained weights.
    pub untrained_seed: u64,
    /// Questions mean-ablated on either side of necessity.
    pub necessity_questions: usize,
}

impl Default for ControlPlan {
    fn default() -> Self {
        ControlPlan {
            baseline_questions: BASELINE_QUESTIONS,
            mean_questions: MEAN_QUESTIONS,
            attention_questions: attends::QUESTIONS,
            first_look: FIRST_LOOK,
            decoys: DECOYS,
            decoy_panels: PANELS.to_vec(),
            find_placebos: FIND_PLACEBOS,
            side_trials: SIDE_TRIALS,
            untrained_seed: UNTRAINED_SEED,
            necessity_questions: necessity::QUESTIONS,
        }
    }
}
