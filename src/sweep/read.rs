//! Reads what a model's steps left.

use std::path::Path;

use serde_json::Value;

use super::{
    AccuracySummary, HypothesisSummary, ModelSummary, StepRecord, StepState, SufficiencySummary,
};
use crate::evidence::Evidence;
use crate::model::{ModelFolder, RawFile};
use crate::report::claim_rows;
use crate::verify::Verdict;

/// How files of tested hypotheses begin.
const HYPOTHESIS_STEP: &str = "hypothesis ";

impl ModelSummary {
    /// What the steps found that are done; their files lie in `folder`.
    pub fn read(
        location: &str,
        model: &ModelFolder,
        folder: &Path,
        steps: Vec<StepRecord>,
    ) -> Self {
        let mut summary = Self::of(location, model, steps);
        let done = |name: &str| {
            let mut steps = summary.steps.iter();
            steps.any(|step| step.step == name && step.state == StepState::Done)
        };
        let json = |name: &str| -> Option<Value> {
            let file = RawFile::read(&folder.join(name)).ok()?;
            serde_json::from_slice(&file.bytes).ok()
        };
        let evidence = done("verify").then(|| RawFile::read(&folder.join("evidence.json")).ok());
        let evidence = evidence.flatten();
        let evidence = evidence.and_then(|file| Evidence::from_json(&file.bytes).ok());
        let accuracy = done("accuracy").then(|| json("accuracy.json")).flatten();
        let circuit = done("circuit").then(|| json("circuit.json")).flatten();
        let hypotheses: Vec<Value> = (summary.steps.iter())
            .filter(|step| step.state == StepState::Done)
            .filter_map(|step| step.step.strip_prefix(HYPOTHESIS_STEP))
            .filter_map(|stem| json(&format!("hypothesis-{stem}.json")))
            .collect();

        if let Some(evidence) = evidence {
            summary.take_evidence(&evidence);
        }
        summary.accuracy = accuracy.and_then(|found| {
            let nines = |key: &str| Some(found.get(key)?.as_u64()? as u32);
            Some(AccuracySummary {
                questions: found.get("questions")?.as_u64()?,
                wrong: found.get("wrong")?.as_u64()?,
                nines: nines("nines"),
                nines_at_least: nines("nines_at_least"),
            })
        });
        summary.hypotheses = hypotheses.iter().filter_map(hypothesis).collect();
        summary.sufficiency = circuit.iter().flat_map(sufficiency).collect();
        summary
    }

    fn take_evidence(&mut self, evidence: &Evidence) {
        self.verdicts = evidence.summary.clone();
        self.claims = claim_rows(evidence);
        for claim in &evidence.claims {
            let (_, text) = claim.claim.split_once(' ').unwrap_or_default();
            // Of `A3.ST` and of `A5.ND.A5` the task is the second part; `OPR` has one alone.
            let task = text.split('.').nth(1).unwrap_or(text);
            let task = self.tasks.entry(task.to_owned()).or_default();
            task.claims += 1;
            if matches!(
                claim.verdict,
                Verdict::Supported | Verdict::Joint { .. } | Verdict::Redundant { .. }
            ) {
                task.hold.push(claim.claim.clone());
            }
        }
    }
}

fn hypothesis(found: &Value) -> Option<HypothesisSummary> {
    let clauses = found.get("clauses")?.as_array()?;
    let count = |key: &str| {
        let is = |clause: &&Value| clause.get(key).and_then(Value::as_bool) == Some(true);
        clauses.iter().filter(is).count()
    };
    Some(HypothesisSummary {
        name: found.get("hypothesis")?.as_str()?.to_owned(),
        holds: found.get("holds")?.as_bool()?,
        met: count("met"),
        of: count("applies"),
    })
}

fn sufficiency(circuit: &Value) -> Vec<SufficiencySummary> {
    let scores = circuit.get("scores").and_then(Value::as_array);
    let score = |score: &Value| {
        let right = score.get("right")?;
        Some(SufficiencySummary {
            class: score.get("class")?.as_str()?.to_owned(),
            others: score.get("others")?.as_str()?.to_owned(),
            right: right.get("hits")?.as_u64()?,
            questions: right.get("trials")?.as_u64()?,
        })
    };
    scores.into_iter().flatten().filter_map(score).collect()
}
