//! `shard plan`, `work`, `status` and `merge`: the same questions asked on many machines.

mod merge;
mod plan;
mod status;
mod work;

use merge::Merge;
use plan::PlanCommand;
use status::Status;
use work::WorkCommand;

use std::path::{Path, PathBuf};

use circuitcheck::batch::shards::ShardPlan;
use circuitcheck::inputs::hub::Address;
use circuitcheck::inputs::model::{MAX_JSON_FILE_BYTES, ModelFolder, without_mark};
use clap::{Args, Subcommand};

use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;

/// Split a measurement of many models over many machines
///
/// `plan` cuts the work into numbered shards, `work` does one shard, `status` lists those that are
/// missing, and `merge` puts the results together.
#[derive(Debug, Args)]
pub struct Shard {
    #[command(subcommand)]
    pub command: ShardCommand,
}

#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    Plan(PlanCommand),
    Work(WorkCommand),
    Status(Status),
    Merge(Merge),
}

impl ShardCommand {
    pub fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Plan(plan) => plan.run(),
            Self::Work(work) => work.run(),
            Self::Status(status) => status.run(),
            Self::Merge(merge) => merge.run(),
        }
    }
}

/// A plan, and where its results lie.
#[derive(Debug, Args)]
struct Planned {
    /// The plan, as `circuitcheck shard plan` printed it
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Folder of the shards' results; without it, beside the plan, under the plan's name with
    /// ".shards" at the end
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
}

impl Planned {
    fn read(&self) -> Result<ShardPlan, CliError> {
        let shown = self.plan.display().to_string();
        let unreadable = |error: &dyn std::fmt::Display| CliError::input(&shown, error);
        let length = self
            .plan
            .metadata()
            .map_err(|error| unreadable(&error))?
            .len();
        if length > MAX_JSON_FILE_BYTES {
            return Err(unreadable(&format_args!(
                "{length} bytes, more than the {MAX_JSON_FILE_BYTES} that are read of a plan"
            )));
        }
        let bytes = std::fs::read(&self.plan).map_err(|error| unreadable(&error))?;
        Ok(ShardPlan::read(&shown, without_mark(&bytes))?)
    }

    /// Opens a planned model. Its path, if it is a relative one, is taken from the current folder, or
    /// from that of the plan.
    fn open(&self, location: &str) -> Result<ModelFolder, CliError> {
        let path = Path::new(location);
        if path.is_absolute() || path.exists() || Address::is_meant(location) {
            return open(location);
        }
        let beside = self.plan.with_file_name(location);
        if beside.exists() {
            return crate::cli::command::hub::open_folder(&beside);
        }
        Err(CliError::input(
            self.plan.display(),
            format_args!(
                "the model {location} is neither in the current folder nor beside the plan"
            ),
        )
        .with_hint(
            "run the command in the folder where the plan was made, or plan with absolute paths",
        ))
    }

    fn folder(&self) -> PathBuf {
        let beside = || self.plan.with_extension("shards");
        self.results.clone().unwrap_or_else(beside)
    }
}

/// Opens a model.
fn open(location: &str) -> Result<ModelFolder, CliError> {
    crate::cli::command::hub::open_folder(Path::new(location))
}
