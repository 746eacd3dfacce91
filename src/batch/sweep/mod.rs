//! The results of a sweep over many models, collected from its steps.

mod html;
mod markdown;
mod read;
mod tables;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::steps::{StepRecord, StepState};
use crate::domain::shape::Shape;
use crate::experiment::stats::Count;
use crate::inputs::model::ModelFolder;
use crate::report::{ClaimRow, percent};
use crate::storage::pretty_json;
use crate::verify::VerdictKind;

/// All results of a sweep so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// The models, in the order given.
    pub models: Vec<ModelSummary>,
}

/// The results of one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ModelSummary {
    pub location: String,
    /// Its name; empty if it could not be opened.
    pub model: String,
    pub weights_sha256: String,
    /// The operations it was trained for.
    pub operations: String,
    pub shape: Option<Shape>,
    /// Why it could not be opened.
    pub error: Option<String>,
    /// The record of each step.
    pub steps: Vec<StepRecord>,
    /// How often it answers correctly.
    pub accuracy: Option<AccuracySummary>,
    /// Every claim with its verdict.
    #[serde(skip)]
    pub claims: Vec<ClaimRow>,
    /// Number of claims with each verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// The results for each task.
    pub tasks: BTreeMap<String, TaskSummary>,
    /// The hypotheses that apply to it.
    pub hypotheses: Vec<HypothesisSummary>,
    /// How many questions each circuit alone answers correctly, by class and ablation of the other
    /// nodes.
    pub sufficiency: Vec<SufficiencySummary>,
}

/// How often a model answers correctly.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct AccuracySummary {
    pub questions: u64,
    pub wrong: u64,
    /// Nines of the share of correct answers; `None` if none is wrong.
    pub nines: Option<u32>,
    /// Nines of its lower bound.
    pub nines_at_least: Option<u32>,
}

/// The results for the claims of one task.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TaskSummary {
    pub claims: usize,
    /// Claims that hold, each as `P17L0H1 A0.SA`.
    pub hold: Vec<String>,
    /// How many claims have each verdict.
    #[serde(skip)]
    pub verdicts: BTreeMap<VerdictKind, usize>,
}

/// The result of a hypothesis.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct HypothesisSummary {
    pub name: String,
    pub holds: bool,
    pub met: usize,
    pub of: usize,
}

/// The score of a circuit alone, on one class.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct SufficiencySummary {
    /// The origin of its nodes: a hypothesis, or a file.
    pub circuit: String,
    pub nodes: usize,
    pub class: String,
    /// How the other nodes are ablated: `mean` or `resample`.
    pub ablation: String,
    pub right: u64,
    pub questions: u64,
}

impl ModelSummary {
    /// A model that could not be opened.
    pub fn unopened(location: &str, error: &str) -> Self {
        Self {
            location: location.to_owned(),
            error: Some(error.to_owned()),
            ..Self::default()
        }
    }

    fn of(location: &str, model: &ModelFolder, steps: Vec<StepRecord>) -> Self {
        Self {
            location: location.to_owned(),
            model: model.name.clone(),
            weights_sha256: model.weights_sha256.clone(),
            operations: model.operations().to_string(),
            shape: Some(model.weights.shape()),
            steps,
            ..Self::default()
        }
    }

    fn is_open(&self) -> bool {
        self.error.is_none()
    }

    fn has_claims(&self) -> bool {
        !self.verdicts.is_empty()
    }

    fn shape_text(&self) -> String {
        self.shape.map_or_else(String::new, |shape| {
            format!(
                "{} digits, {} layers, {} heads",
                shape.n_digits, shape.n_layers, shape.n_heads
            )
        })
    }

    /// Number of claims that hold, and of claims tested.
    fn held(&self) -> (usize, usize) {
        let hold = self.tasks.values().map(|task| task.hold.len()).sum();
        let claims = self.tasks.values().map(|task| task.claims).sum();
        (hold, claims)
    }

    /// Steps without a result.
    fn without_result(&self) -> impl Iterator<Item = &StepRecord> {
        (self.steps.iter()).filter(|step| step.state != StepState::Done)
    }

    fn accuracy_text(&self) -> String {
        let Some(accuracy) = &self.accuracy else {
            return "–".into();
        };
        match (accuracy.nines, accuracy.nines_at_least) {
            (Some(nines), _) => format!("{nines} nines"),
            (None, Some(least)) => format!("at least {least} nines"),
            (None, None) => "never wrong".into(),
        }
    }

    /// The basis of its accuracy.
    fn accuracy_count(&self) -> String {
        let accuracy = self.accuracy.as_ref();
        accuracy.map_or_else(
            || "not measured".into(),
            |accuracy| format!("{} of {} wrong", accuracy.wrong, accuracy.questions),
        )
    }

    fn hypotheses_text(&self) -> String {
        let texts: Vec<String> = (self.hypotheses.iter())
            .map(|found| {
                let holds = if found.holds {
                    "holds"
                } else {
                    "does not hold"
                };
                format!("{}: {holds}, {} of {}", found.name, found.met, found.of)
            })
            .collect();
        if texts.is_empty() {
            "–".into()
        } else {
            texts.join("; ")
        }
    }
}

impl SufficiencySummary {
    /// The column of a circuit's score: `ADD mean`.
    fn column(&self) -> String {
        format!("{} {}", self.class, self.ablation)
    }

    /// The share of questions that stay correct: `94.3 %`.
    fn percent(&self) -> String {
        percent(&Count {
            hits: self.right,
            trials: self.questions,
        })
    }
}

/// The scores of one circuit of a model.
struct CircuitRow<'a> {
    model: &'a str,
    circuit: &'a str,
    nodes: usize,
    /// One per column; `None` if the model was not trained for the class.
    shares: Vec<Option<String>>,
}

impl Summary {
    /// Whether every model was opened and every step has a result.
    pub fn is_complete(&self) -> bool {
        (self.models.iter())
            .all(|model| model.error.is_none() && model.without_result().next().is_none())
    }

    /// The content of `summary.json`.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// The scores that circuits have, and the circuits of all models.
    fn circuits(&self) -> (Vec<String>, Vec<CircuitRow<'_>>) {
        let scores = self.models.iter().flat_map(|model| &model.sufficiency);
        let mut columns: Vec<String> = Vec::new();
        for score in scores {
            if !columns.contains(&score.column()) {
                columns.push(score.column());
            }
        }
        let mut rows = Vec::new();
        for model in &self.models {
            let circuits = model.sufficiency.chunk_by(|a, b| a.circuit == b.circuit);
            rows.extend(circuits.map(|scores| {
                CircuitRow {
                    model: &model.model,
                    circuit: &scores[0].circuit,
                    nodes: scores[0].nodes,
                    shares: (columns.iter())
                        .map(|column| scores.iter().find(|score| score.column() == *column))
                        .map(|score| score.map(SufficiencySummary::percent))
                        .collect(),
                }
            }));
        }
        (columns, rows)
    }

    /// All tasks claimed for any model, sorted by name.
    fn tasks(&self) -> Vec<&str> {
        let tasks = self.models.iter().flat_map(|model| model.tasks.keys());
        let mut tasks: Vec<&str> = tasks.map(String::as_str).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}
