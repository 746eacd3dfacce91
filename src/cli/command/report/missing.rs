//! What a report shows of other steps, done where it is missing.

use std::path::Path;

use circuitcheck::batch::steps::{Step, StepModel};
use circuitcheck::report::stored_report;
use circuitcheck::storage::check_writable;
use circuitcheck::verify::Conclusion;

use crate::cli::args::model::Model;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::progress::with_progress;

/// Does the steps whose results are not stored beside the evidence, or are of other evidence, by the usual
/// rules. One that fails is told of, and the report is made without it.
pub fn run_missing(stored: &Path, model: &Model, shown: &str) -> Result<(), CliError> {
    let report = stored_report(stored, Some(&model.folder), "")?;
    let node_set = StepModel {
        folder: &model.folder,
        engine: &model.engine,
        shown,
    };
    for (step, file) in Step::missing(&report) {
        check_writable(stored)?;
        warn(format_args!(
            "{} is missing or of other verdicts, so it is made first",
            stored.join(&file).display()
        ));
        match with_progress(|progress| step.run(&node_set, stored, progress)) {
            Ok(Conclusion::Baseline) => {
                warn(
                    "the unpatched model fails the baseline in every class, so no circuit is scored",
                );
            }
            Ok(_) => {}
            Err(failure) => warn(format_args!(
                "no {file} was made ({failure}); the report is made without it"
            )),
        }
    }
    Ok(())
}
