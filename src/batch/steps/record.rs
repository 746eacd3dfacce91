//! What became of a step, kept beside its result: a step with the same fingerprint is not done again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Step, StepModel, unseen};
use crate::analysis::property::KEPT_FILE;
use crate::inputs::model::{ModelFolder, sha256};
use crate::storage::{OutputError, pretty_json, write_files};
use crate::verify::Conclusion;

/// What became of a step, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepRecord {
    pub step: String,
    /// The digest of the program's version, the command, and all files it hangs on.
    pub fingerprint: String,
    pub state: StepState,
    /// The exit code; `None` where there was none.
    pub exit: Option<i32>,
    /// The last of what it said, where it failed.
    pub messages: Vec<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It has a result.
    Done,
    /// It has none.
    Failed,
    /// It was not begun, for want of another's result.
    Skipped,
}

impl StepState {
    /// Its name, as JSON and tables have it.
    pub const fn name(self) -> &'static str {
        match self {
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::Skipped => "skipped",
        }
    }
}

impl Step {
    /// What tells this step, on this model and with these files, from every other.
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
            // One that is not there counts too: a step that needs it fails, and says so.
            text += &fs::read(file).map_or_else(|_| "none".into(), |bytes| sha256(&bytes));
            text.push('\n');
        }
        sha256(text.as_bytes())
    }

    /// What became of it before, unless that was a failure, its result is gone or something it hangs on
    /// changed.
    fn before(&self, folder: &Path, fingerprint: &str) -> Option<StepRecord> {
        let record = fs::read(folder.join(record_name(&self.name()))).ok()?;
        let record: StepRecord = serde_json::from_slice(&record).ok()?;
        let is_there = match self.result() {
            Some(name) => {
                // A model that cannot be measured leaves no file, but evidence says so.
                let unmeasured = record.exit == Some(Conclusion::Baseline.code().into());
                unmeasured && !matches!(self, Step::Verify { .. }) || folder.join(name).exists()
            }
            None => true,
        };
        let stands = record.fingerprint == fingerprint && record.state != StepState::Failed;
        (stands && is_there).then_some(record)
    }

    /// Does the step, unless it was done before, and records what became of it; also returns whether it
    /// was done now. `done` are the steps of this model so far.
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
            // Begun anew it starts without the cases of an earlier run, so that one that was interrupted
            // gives what one that was not gives.
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

/// The file that tells what became of a step.
fn record_name(step: &str) -> String {
    format!("step-{}.json", step.replace(' ', "-"))
}

/// Has a step done anew by the next sweep, whatever became of it.
///
/// # Errors
/// [`OutputError`], where its record cannot be removed.
pub fn forget(folder: &Path, step: &str) -> Result<(), OutputError> {
    remove(&folder.join(record_name(step)))
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => Err(OutputError {
            path: path.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}
