//! `quirks`: how far the published protocol's figures move when a quirk is removed.

use std::fmt;

use circuitcheck::analysis::published::{QuirkEffect, draw_set, effects};
use circuitcheck::experiment::stream;
use circuitcheck::report::effects_markdown;
use clap::Args;
use serde::Serialize;

use crate::cli::args::model::{Identity, ModelArg};
use crate::cli::args::questions::SetArg;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;

/// Measure what each quirk of the published protocol changes
///
/// Follows the published protocol as `discover` does, then once more without each of its quirks, one
/// at a time, on the same questions. Prints a Markdown table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck quirks models/w126_add_d5_l2*
  circuitcheck quirks models/w126_add_d5_l2* --questions set.json --json")]
#[command(after_long_help = "\
Examples:
  circuitcheck quirks models/w126_add_d5_l2*
  circuitcheck quirks models/w126_add_d5_l2* --questions set.json --json

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  seed, questions        of what is drawn; questions in the set
  effects                for each quirk: quirk, nodes_gained, nodes_lost, and of the nodes useful with
                         and without it fail_moved, fail_most (points), impact_moved, math_moved,
                         clusters_gained, clusters_lost; claims: kept, gained, lost, moved")]
pub struct QuirkEffects {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    set: SetArg,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: JsonArg,
}

impl QuirkEffects {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let draw = || draw_set(&model.folder, &mut stream(self.draws.seed, "question set"));
        let set = self.set.read(&model)?.unwrap_or_else(draw);
        let heading = model.heading().seed(self.draws.seed);
        let heading = heading.and(format_args!("{} questions", set.len()));
        let found = QuirksFound {
            identity: model.identity(),
            seed: self.draws.seed,
            questions: set.len(),
            effects: effects(&model.folder, &model.engine, &set, self.draws.seed)?,
        };
        self.format.print_under(&heading, &found)?;
        Ok(ExitCode::Success)
    }
}

#[derive(Debug, Serialize)]
struct QuirksFound {
    #[serde(flatten)]
    identity: Identity,
    seed: u64,
    questions: usize,
    effects: Vec<QuirkEffect>,
}

impl fmt::Display for QuirksFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&effects_markdown(&self.effects))
    }
}
