//! The record of a step, stored beside its result: a step with the same fingerprint is not run
//! again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Step, StepModel, unseen};
use crate::analysis::property::KEPT_FILE;
use crate::inputs::model::{ModelFolder, sha256};
use crate::storage::{OutputError, pretty_json, read_json, read_result, write_files};
use crate::verify::Conclusion;

/// The record of a step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepRecord {
    pub step: String,
    /// The digest of the program's version, the command, and all files it depends on.
    pub fingerprint: String,
    pub state: StepState,
    /// The exit code; `None` if there was none.
    pub exit: Option<i32>,
    /// Its last messages, if it failed.
    pub messages: Vec<String>,
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It has a result.
    Done,
    /// It has no result.
    Failed,
    /// It was not started, because it needs another step's result.
    Skipped,
}

impl StepState {
    /// The name in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::Skipped => "skipped",
        }
    }
}

impl Step {
    /// The fingerprint of this step for this model and these files.
    fn fingerprint(&self, model: &ModelFolder, folder: &Path) -> String {
        let mut text = format!(
            "circuitcheck {}\n{}\n{:?}\n",
            env!("CARGO_PKG_VERSION"),
            model.weights_sha256,
            self.command(folder)
        );
        for file in [&model.features, &model.behaviors].into_iter().flatten() {
            text += &file.sha256;
            text.push('\n');
        }
        for file in self.reads(folder) {
            // A missing file counts too: a step that needs it fails and says so.
            text += &fs::read(file).map_or_else(|_| "none".into(), |bytes| sha256(&bytes));
            text.push('\n');
        }
        sha256(text.as_bytes())
    }

    /// The record of an earlier run, unless it failed, its result is gone, or something it depends
    /// on changed.
    fn before(&self, folder: &Path, fingerprint: &str) -> Option<StepRecord> {
        let record = read_result(&folder.join(record_name(&self.name()))).ok()?;
        let record: StepRecord = read_json(&record).ok()?;
        let is_there = match self.result() {
            Some(name) => {
                // A model that fails the baseline leaves no file, but the evidence says so.
                let unmeasured = record.exit == Some(Conclusion::Baseline.code().into());
                unmeasured && !matches!(self, Step::Verify { .. }) || folder.join(name).exists()
            }
            None => true,
        };
        let stands = record.fingerprint == fingerprint && record.state != StepState::Failed;
        (stands && is_there).then_some(record)
    }

    /// Runs the step unless it was done before, and records the outcome; also returns whether it
    /// was run now. `done` are the steps of this model so far.
    pub(super) fn resume(
        &self,
        model: &StepModel,
        folder: &Path,
        done: &[StepRecord],
    ) -> Result<(StepRecord, bool), OutputError> {
        let fingerprint = self.fingerprint(model.folder, folder);
        if let Some(record) = self.before(folder, &fingerprint) {
            return Ok((record, false));
        }
        let mut record = StepRecord {
            step: self.name(),
            fingerprint,
            state: StepState::Done,
            exit: None,
            messages: Vec::new(),
        };
        let is_missing =
            |step: &&StepRecord| step.step == "verify" && step.state != StepState::Done;
        if let Some(needed) = done
            .iter()
            .find(is_missing)
            .filter(|_| self.needs_evidence())
        {
            record.state = StepState::Skipped;
            record.messages = vec![format!(
                "needs the result of {}, which has none",
                needed.step
            )];
            return Ok((record, false));
        }
        let started = Instant::now();
        if matches!(self, Step::Property { .. }) {
            // A fresh run starts without the cases of an earlier one, so that an interrupted run
            // gives the same result as an uninterrupted one.
            remove(&folder.join(KEPT_FILE))?;
        }
        match self.run(model, folder, &mut unseen) {
            Ok(conclusion) => record.exit = Some(conclusion.code().into()),
            Err(failure) => {
                record.state = StepState::Failed;
                record.exit = failure.exit();
                record.messages = failure.to_string().lines().map(str::to_owned).collect();
            }
        }
        let seconds = format!("{:.1}\n", started.elapsed().as_secs_f64());
        let name = record_name(&record.step);
        let timed = name.replace(".json", ".seconds");
        write_files(folder, &[(&timed, seconds), (&name, pretty_json(&record))])?;
        Ok((record, true))
    }
}

/// The file that stores a step's record.
fn record_name(step: &str) -> String {
    format!("step-{}.json", step.replace(' ', "-"))
}

/// Makes the next sweep rerun a step, whatever its state.
///
/// # Errors
/// [`OutputError`] if its record cannot be removed.
pub fn forget(folder: &Path, step: &str) -> Result<(), OutputError> {
    remove(&folder.join(record_name(step)))
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => Err(OutputError {
            path: path.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}
