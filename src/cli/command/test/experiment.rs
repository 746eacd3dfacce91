//! An experiment, as a file describes it.

use std::fmt;
use std::path::Path;

use circuitcheck::experiment::assay::{
    Experiment, ExperimentResult, ExperimentSetting, ExperimentVerdict, Measured, claimed, run,
};
use circuitcheck::inputs::model::RawFile;
use serde::Serialize;

use crate::cli::args::model::{Identity, Model};
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Largest file of an experiment.
const MAX_BYTES: usize = 1 << 20;

/// Reads a file that describes an experiment: it has pairs. `None` for any other.
///
/// # Errors
/// If it cannot be read, or describes an experiment wrongly.
pub fn read(path: &Path) -> Result<Option<Experiment>, CliError> {
    let bytes = RawFile::read(path)?.bytes;
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(None);
    };
    let text = text.trim_start_matches('\u{feff}');
    let table = match toml::from_str::<toml::Table>(text) {
        Ok(table) if text.len() <= MAX_BYTES => table,
        _ => return Ok(None),
    };
    if let Some(claim) = table.get("claim").filter(|_| table.contains_key("measure")) {
        let id = claim
            .get("id")
            .and_then(toml::Value::as_str)
            .unwrap_or("ID");
        let help = format!("circuitcheck evidence --claim {id} measures it");
        let what = "a published claim, neither a hypothesis nor an experiment";
        return Err(CliError::input(path.display(), what).with_hint(help));
    }
    if !table.contains_key("pairs") {
        return Ok(None);
    }
    let read = Experiment::parse(text);
    Ok(Some(
        read.map_err(|error| CliError::input(path.display(), error))?,
    ))
}

/// Runs an experiment on a model.
///
/// # Errors
/// If it does not fit the model.
pub fn test(
    model: &Model,
    path: &Path,
    experiment: &Experiment,
    seed: u64,
) -> Result<Shown, CliError> {
    let claimed = claimed(&model.folder)?;
    let setting = ExperimentSetting {
        engine: &model.engine,
        claimed: &claimed,
        seed,
    };
    let outcome = run(experiment, &setting);
    Ok(Shown {
        identity: model.identity(),
        outcome: outcome.map_err(|error| CliError::input(path.display(), error))?,
    })
}

/// An experiment's outcome, as it is printed.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    outcome: ExperimentResult,
}

impl Shown {
    pub fn exit_code(&self) -> ExitCode {
        match self.outcome.verdict {
            ExperimentVerdict::Shown => ExitCode::Success,
            ExperimentVerdict::NotShown | ExperimentVerdict::ControlFails => ExitCode::Refuted,
            ExperimentVerdict::Open => ExitCode::Inconclusive,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = &self.outcome;
        writeln!(f, "{}\n{}\n", outcome.experiment.says, outcome.sentence)?;
        let mut table = Table::new([Side::Left, Side::Left, Side::Right]);
        table.heading(["condition", "read", "dropped"]);
        let mut row = |measured: &Measured| {
            table.row([
                measured.condition.as_str().into(),
                measured.figure.to_string().into(),
                measured.dropped.into(),
            ]);
        };
        row(&outcome.measured);
        outcome.controls.iter().for_each(row);
        table.fmt(f)?;
        let shade = match outcome.verdict {
            ExperimentVerdict::Shown => style::RIGHT,
            ExperimentVerdict::Open => style::WARNING,
            ExperimentVerdict::NotShown | ExperimentVerdict::ControlFails => style::WRONG,
        };
        let mut verdict = Table::new([Side::Left]);
        verdict.row([Cell::styled(outcome.verdict.name(), shade)]);
        write!(f, "\n{verdict}")
    }
}
