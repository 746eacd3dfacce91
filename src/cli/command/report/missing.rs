//! What a report shows of other commands, made where it is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use circuitcheck::report::{DISCOVERED, EVIDENCE_FILE, stored_report};
use circuitcheck::storage::check_writable;

use crate::cli::args::model::Model;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;

/// Runs the commands whose results are not stored beside the evidence, or are of other evidence: each as
/// a process of its own, with the usual options. One that fails is told of, and the
/// report is made without it.
pub fn run_missing(stored: &Path, model: &Model, dir: Option<&Path>) -> Result<(), CliError> {
    let report = stored_report(stored, Some(&model.folder), "")?;
    if report.is_stale() {
        return Ok(());
    }
    let evidence = stored.join(EVIDENCE_FILE);
    let wanted =
        |part: &&circuitcheck::report::Part| part.found.is_none() || part.of_other_evidence;
    for part in report.parts.iter().filter(wanted) {
        let mut command = program(&part.usual_arguments(), dir)?;
        if part.file != "property.json" {
            command.arg("--evidence").arg(&evidence);
        }
        run(command.arg("--out").arg(stored), part.file, stored)?;
    }
    if report.behaviors.is_empty() {
        let mut command = program(&["discover".to_owned()], dir)?;
        let out = stored.join(DISCOVERED);
        run(
            command.arg("--out").arg(&out),
            "discovered/behaviors.json",
            &out,
        )?;
    }
    Ok(())
}

/// This program with a command and the model.
fn program(arguments: &[String], dir: Option<&Path>) -> Result<Command, CliError> {
    let this = std::env::current_exe();
    let mut command = Command::new(this.map_err(|error| CliError::input(&arguments[0], error))?);
    command.arg(&arguments[0]).args(dir).args(&arguments[1..]);
    let threads = rayon::current_num_threads().to_string();
    command.args(["--threads", &threads]);
    Ok(command)
}

fn run(command: &mut Command, file: &str, out: &Path) -> Result<(), CliError> {
    check_writable(out)?;
    warn(format_args!(
        "{} is missing or of other verdicts, so it is made first",
        out.join(file.rsplit('/').next().unwrap_or(file)).display()
    ));
    // Its table is not this command's output; its progress and its errors are for the user.
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let ended = ended.map_err(|error| CliError::input(file, error))?;
    if !ended.code().is_some_and(ExitCode::is_a_result) {
        warn(format_args!(
            "no {file} was made ({ended}); the report is made without it"
        ));
    }
    Ok(())
}
