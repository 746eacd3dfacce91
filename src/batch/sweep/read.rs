//! Reads the results of a model's steps.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;

use super::{
    AccuracySummary, HypothesisSummary, ModelSummary, StepRecord, StepState, SufficiencySummary,
};
use crate::analysis::circuit::{Circuit, CircuitEvidence};
use crate::analysis::hypothesis::{ClauseResult, TestedHypothesis};
use crate::inputs::model::ModelFolder;
use crate::report::claim_rows;
use crate::storage::read_result;
use crate::verify::evidence::{Evidence, by_name};

/// Prefix of the names of steps that test hypotheses.
const HYPOTHESIS_STEP: &str = "hypothesis ";

impl ModelSummary {
    /// The results of completed steps, with their files in `folder`. A step whose result cannot be
    /// read counts as failed.
    pub fn read(
        location: &str,
        model: &ModelFolder,
        folder: &Path,
        steps: Vec<StepRecord>,
    ) -> Self {
        let mut summary = Self::of(location, model, Vec::new());
        for mut step in steps {
            if step.state == StepState::Done
                && let Err(reason) = summary.take(&step.step, folder)
            {
                step.state = StepState::Failed;
                step.messages = vec![reason];
            }
            summary.steps.push(step);
        }
        summary
    }

    /// Adds the results of a step.
    fn take(&mut self, step: &str, folder: &Path) -> Result<(), String> {
        match step {
            "verify" => {
                let evidence = found(folder, "evidence.json", Evidence::from_json)?;
                self.take_evidence(&evidence.ok_or("evidence.json: not there")?);
            }
            "accuracy" => {
                let accuracy = found(folder, "accuracy.json", |json| {
                    serde_json::from_slice::<AccuracySummary>(json)
                })?;
                self.accuracy = accuracy;
            }
            "circuit" => {
                // A model that fails the baseline in every class has none.
                let circuits = found(folder, "circuit.json", CircuitEvidence::from_json)?;
                let circuits = circuits.map(|evidence| evidence.circuits);
                self.sufficiency = circuits.iter().flatten().flat_map(sufficiency).collect();
            }
            _ => {
                if let Some(stem) = step.strip_prefix(HYPOTHESIS_STEP) {
                    let tested = found(folder, &format!("hypothesis-{stem}.json"), |json| {
                        serde_json::from_slice::<TestedHypothesis>(json)
                    })?;
                    self.hypotheses
                        .extend(tested.map(|tested| hypothesis(&tested)));
                }
            }
        }
        Ok(())
    }

    fn take_evidence(&mut self, evidence: &Evidence) {
        self.verdicts = by_name(&evidence.summary);
        self.claims = claim_rows(evidence);
        for claim in &evidence.claims {
            let (_, text) = claim.claim.split_once(' ').unwrap_or_default();
            // In `A3.ST` and `A5.ND.A5` the task is the second part; `OPR` has only one.
            let task = text.split('.').nth(1).unwrap_or(text);
            let task = self.tasks.entry(task.to_owned()).or_default();
            task.claims += 1;
            *task.verdicts.entry(claim.verdict.kind()).or_default() += 1;
            if claim.verdict.holds() {
                task.hold.push(claim.claim.clone());
            }
        }
    }
}

/// The content of a file in a folder, if it exists.
fn found<T, E: Display>(
    folder: &Path,
    name: &str,
    read: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Option<T>, String> {
    match read_result(&folder.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
        Ok(bytes) => read(&bytes)
            .map(Some)
            .map_err(|error| format!("{name}: {error}")),
    }
}

fn hypothesis(tested: &TestedHypothesis) -> HypothesisSummary {
    let count = |is: fn(&ClauseResult) -> bool| tested.clauses.iter().filter(|c| is(c)).count();
    HypothesisSummary {
        name: tested.hypothesis.clone(),
        holds: tested.holds,
        met: count(|clause| clause.met),
        of: count(|clause| clause.applies),
    }
}

fn sufficiency(circuit: &Circuit) -> impl Iterator<Item = SufficiencySummary> {
    circuit.scores.iter().map(|score| SufficiencySummary {
        circuit: circuit.from.clone(),
        nodes: circuit.nodes.len(),
        class: score.class.to_string(),
        ablation: score.ablation.name().to_owned(),
        right: score.right.hits,
        questions: score.right.trials,
    })
}
