//! `plan`, `work`, `status` and `merge`: the same questions asked on many machines.

mod merge;
mod plan;
mod status;
mod work;

pub use merge::Merge;
pub use plan::PlanCommand;
pub use status::Status;
pub use work::WorkCommand;

use std::path::{Path, PathBuf};

use circuitcheck::batch::shards::ShardPlan;
use circuitcheck::inputs::model::{MAX_JSON_FILE_BYTES, ModelFolder};
use clap::Args;

use crate::cli::term::error::CliError;

/// A plan, and where its results lie.
#[derive(Debug, Args)]
struct Planned {
    /// The plan, as `circuitcheck plan` printed it
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
        Ok(ShardPlan::read(&shown, &bytes)?)
    }

    fn folder(&self) -> PathBuf {
        let beside = || self.plan.with_extension("shards");
        self.results.clone().unwrap_or_else(beside)
    }
}

/// Opens a planned model. Its name in the plan is the one it is found under.
fn open(location: &str) -> Result<ModelFolder, CliError> {
    crate::cli::command::hub::open_folder(Path::new(location))
}
