//! `circuitcheck shard status`: which shards of a plan are done.

use std::fmt;

use circuitcheck::batch::shards::{Store, indices};
use clap::Args;
use serde::Serialize;

use super::Planned;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, write};

/// List which shards of a plan are done
///
/// With --json: shards, done, and missing (their numbers).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck shard status --plan plan.json
  sbatch --array=\"$(circuitcheck shard status --plan plan.json --missing)\" deploy/slurm/shards.sbatch plan.json")]
pub struct Status {
    #[command(flatten)]
    planned: Planned,
    /// Print the numbers of missing shards alone, as `sbatch --array` and `hq submit --array` take them,
    /// and nothing where none is missing
    #[arg(long, conflicts_with = "json")]
    missing: bool,
    #[command(flatten)]
    format: JsonArg,
}

#[derive(Serialize)]
struct Told {
    shards: usize,
    done: usize,
    missing: Vec<u64>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} shards are done", self.done, self.shards)?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", indices(&self.missing))?;
        }
        writeln!(f)
    }
}

impl Status {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let plan = self.planned.read()?;
        let missing = Store::new(&plan, &self.planned.folder()).missing()?;
        if self.missing {
            if !missing.is_empty() {
                write(format_args!("{}\n", indices(&missing)))?;
            }
        } else {
            self.format.print(&Told {
                shards: plan.shards(),
                done: plan.shards() - missing.len(),
                missing,
            })?;
        }
        Ok(ExitCode::Success)
    }
}
