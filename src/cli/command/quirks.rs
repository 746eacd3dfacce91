//! `quirks`: how far the published protocol's figures move when a quirk is removed.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::analysis::published::{Effect, draw_set, effects};
use circuitcheck::experiment::stream;
use circuitcheck::report::effects_markdown;
use clap::Args;
use serde::Serialize;

use crate::cli::DEFAULT_SEED;
use crate::cli::args::model::{Identity, Model};
use crate::cli::args::questions;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::Format;

/// Tell what each quirk of the published protocol changes
///
/// Follows the published protocol as `discover` does, then once more without each of its quirks, one
/// at a time, on the same questions. Prints a Markdown table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck quirks models/add
  circuitcheck quirks models/add --questions set.json --json")]
#[command(after_long_help = "\
Examples:
  circuitcheck quirks models/add
  circuitcheck quirks models/add --questions set.json --json

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  seed, questions        of what is drawn; questions in the set
  effects                for each quirk: quirk, nodes_gained, nodes_lost, and of the nodes useful with
                         and without it fail_moved, fail_most (points), impact_moved, math_moved,
                         clusters_gained, clusters_lost; claims: kept, gained, lost, moved")]
pub struct QuirkEffects {
    /// The model's folder or file of weights; without it, the bundled mixed model
    dir: Option<PathBuf>,
    /// The set of questions: a JSON list of them, or one a line
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    #[command(flatten)]
    format: Format,
}

impl QuirkEffects {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = Model::open(self.dir.as_deref())?;
        let set = match &self.questions {
            Some(file) => questions::read(&model, file)?,
            None => draw_set(&model.folder, &mut stream(self.seed, "question set")),
        };
        self.format.print(&Found {
            identity: model.identity(),
            seed: self.seed,
            questions: set.len(),
            effects: effects(&model.folder, &model.engine, &set, self.seed)?,
        })?;
        Ok(ExitCode::Success)
    }
}

#[derive(Debug, Serialize)]
struct Found {
    #[serde(flatten)]
    identity: Identity,
    seed: u64,
    questions: usize,
    effects: Vec<Effect>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&effects_markdown(&self.effects))
    }
}
