//! `circuitcheck sweep`: everything there is to find out, of many models.

use std::fs;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::accuracy::MAX_QUESTIONS;
use circuitcheck::analysis::hypothesis::Hypothesis;
use circuitcheck::batch::steps::{Step, StepModel, StepSettings, StepState, forget, run_steps};
use circuitcheck::batch::sweep::{ModelSummary, Summary};
use circuitcheck::network::engine::Engine;
use circuitcheck::report::quoted;
use circuitcheck::storage::write_files;
use clap::Args;

use super::hub::open_folder;
use crate::cli::args::count::{MOST_CASES, count_to};
use crate::cli::args::models::Zoo;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::interrupt::on_interrupt;
use crate::cli::term::output::{hold, tell, write};

/// Run every analysis on many models
///
/// For each model: verify, accuracy, property, discover, graph --measure, circuit, report, and test for
/// every hypothesis that is about it. A step that fails does not stop the others. What is done is not done
/// again: the same command goes on where it was stopped, and does anew what failed, and what hangs on a file
/// that changed.
///
/// Writes a folder for each model, and over all of them summary.json, summary.md and summary.html, and the
/// same as tables: models, claims, hypotheses, sufficiency and steps, each with .parquet at its end.
/// Ends with exit code 4 if a step failed or a model cannot be opened, and otherwise with 0, whatever was
/// found.
///
/// With --json the summary is printed: models[], each with location, model, weights_sha256, operations,
/// shape, error (why it could not be opened, or null), steps[] (step, state, exit, messages), accuracy, verdicts
/// (how many claims have each), tasks (for each task, the claims that hold and how many there are),
/// hypotheses (name, holds, met, of) and sufficiency.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck sweep 'models/*' --out sweep
  circuitcheck sweep hf://PhilipQuirke/VerifiedArithmetic --out zoo
  circuitcheck sweep models.txt --out zoo --hypotheses mine")]
pub struct Sweep {
    #[command(flatten)]
    zoo: Zoo,
    /// Folder for all results
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of hypotheses; without it, hypotheses where that is there
    #[arg(long, value_name = "DIR")]
    hypotheses: Option<PathBuf>,
    /// Questions to count right answers over
    #[arg(long, alias = "questions", value_name = "N", default_value_t = 1_000_000, value_parser = count_to::<u64>(MAX_QUESTIONS), allow_negative_numbers = true)]
    count: u64,
    /// Cases of each property
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count_to::<usize>(MOST_CASES))]
    cases: usize,
    #[command(flatten)]
    draws: SeedArg,
    /// Print the summary as one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Where hypotheses lie, if no folder is named.
const USUAL_HYPOTHESES: &str = "hypotheses";

impl Sweep {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let locations = self.zoo.locations()?;
        let settings = StepSettings {
            questions: self.count,
            cases: self.cases,
            seed: self.draws.seed,
            hypotheses: self.hypotheses()?,
        };
        let _held = hold(&self.out, "sweep")?;
        on_interrupt(format!(
            "finished steps are kept in {}; run the same command to resume",
            self.out.display()
        ));
        let mut summary = Summary::default();
        for (i, location) in locations.iter().enumerate() {
            let place = format!("model {} of {}", i + 1, locations.len());
            let model = self.model(location, &place, &settings, &summary)?;
            summary.models.push(model);
            // Whoever looks sees what there is so far.
            self.write(&summary)?;
        }
        if self.json {
            write(summary.to_json())?;
        } else {
            write(summary.to_markdown())?;
        }
        Ok(if summary.is_complete() {
            ExitCode::Success
        } else {
            ExitCode::Input
        })
    }

    fn write(&self, summary: &Summary) -> Result<(), CliError> {
        let mut files = vec![
            ("summary.json", summary.to_json().into_bytes()),
            ("summary.md", summary.to_markdown().into_bytes()),
            ("summary.html", summary.to_html().into_bytes()),
        ];
        for table in summary.tables() {
            let bytes = table.to_parquet();
            files.push((
                table.file,
                bytes.map_err(|error| CliError::input(table.file, error))?,
            ));
        }
        Ok(write_files(&self.out, &files)?)
    }

    fn model(
        &self,
        location: &str,
        place: &str,
        settings: &StepSettings,
        before: &Summary,
    ) -> Result<ModelSummary, CliError> {
        let model = match open_folder(Path::new(location)) {
            Ok(model) => model,
            Err(error) => {
                let reason = error.message();
                warn(format_args!("{location} is passed over: {reason}"));
                return Ok(ModelSummary::unopened(location, &reason));
            }
        };
        if before.models.iter().any(|other| other.model == model.name) {
            let reason = format!(
                "another model is called {:?} too, whose results lie there",
                model.name
            );
            warn(format_args!("{location} is passed over: {reason}"));
            return Ok(ModelSummary::unopened(location, &reason));
        }
        let folder = self.out.join(&model.name);
        let step_model = StepModel {
            folder: &model,
            engine: &Engine::new(&model.weights),
            shown: &quoted(location),
        };
        let of = Step::all(settings, &model).len();
        let mut number = 0;
        let steps = run_steps(settings, &step_model, &folder, &mut |record, done_now| {
            let told = match (record.state, done_now) {
                (StepState::Done, true) => "done",
                (StepState::Done, false) => "was done before",
                (StepState::Failed, _) => "failed",
                (StepState::Skipped, _) => "skipped",
            };
            number += 1;
            tell(format_args!(
                "{place}, step {number} of {of}: {} {}: {told}",
                model.name, record.step
            ));
            if record.state == StepState::Failed {
                for line in &record.messages {
                    tell(format_args!("  {line}"));
                }
            }
        })?;
        let done: Vec<bool> = steps.iter().map(|s| s.state == StepState::Done).collect();
        let summary = ModelSummary::read(location, &model, &folder, steps);
        for (step, done) in summary.steps.iter().zip(done) {
            // What it left cannot be read.
            if done && step.state == StepState::Failed {
                warn(format_args!(
                    "{} {}: {}",
                    model.name,
                    step.step,
                    step.messages.join(" / ")
                ));
                forget(&folder, &step.step)?;
            }
        }
        Ok(summary)
    }

    /// The hypotheses, each read and found to be in order before anything is begun.
    fn hypotheses(&self) -> Result<Vec<(PathBuf, Hypothesis)>, CliError> {
        let folder = match &self.hypotheses {
            Some(folder) => folder.clone(),
            None if Path::new(USUAL_HYPOTHESES).is_dir() => USUAL_HYPOTHESES.into(),
            None => return Ok(Vec::new()),
        };
        let entries =
            fs::read_dir(&folder).map_err(|error| CliError::input(folder.display(), error))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
            .collect();
        files.sort();
        let read = |path: PathBuf| {
            let hypothesis = Hypothesis::open(&path)?;
            Ok((path, hypothesis))
        };
        files.into_iter().map(read).collect()
    }
}
