//! The command line: its definition, and which command answers what.

mod args;
mod command;
mod term;

use std::fmt::Display;
use std::num::NonZeroUsize;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use command::{
    ablate, accuracy, ask, carries, circuit, cluster, compare, coverage, diff, discover, explain,
    graph, hub, pages, patch, property, quirks, report, selfcheck, show, sweep, test, verify,
};
use term::error::CliError;
use term::exit_code::ExitCode;

const EXAMPLES: &str = "\
Examples:
  circuitcheck verify
  circuitcheck verify models/add --task ST --out reports/add
  circuitcheck property --property answers
  circuitcheck show
  circuitcheck ask 12345+67890 5-90
  circuitcheck patch models/add --source 22222+66966 --base 33333+55555 --node P15L0H2
  circuitcheck ablate --node P15L0H3 --by mean --json
  circuitcheck discover models/add --out found
  circuitcheck diff models/add/behaviors.json found/behaviors.json";

/// Checks published claims about what the parts of small arithmetic transformers compute, by
/// intervening on the network.
///
/// Every command takes a model's folder (or the file of its weights, or its address on the hub, as
/// hf://owner/repository) and, without one, the mixed addition and subtraction model that is part of
/// the program.
#[derive(Debug, Parser)]
#[command(name = "circuitcheck", version, max_term_width = 100)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", ExitCode::help()))]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalOptions,
}

/// Options of every command.
#[derive(Debug, Args)]
struct GlobalOptions {
    /// Threads to compute with; without it, as many as there are cores
    #[arg(long, value_name = "N", global = true)]
    threads: Option<NonZeroUsize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Box<verify::Verify>),
    Show(show::Show),
    Ask(ask::AskCommand),
    Patch(patch::Patch),
    Ablate(ablate::Ablate),
    Accuracy(accuracy::Accuracy),
    Carries(carries::CarriesCommand),
    Coverage(coverage::CoverageCommand),
    Explain(explain::Explain),
    Discover(discover::Discover),
    Compare(compare::CompareCommand),
    Diff(diff::Diff),
    Quirks(quirks::QuirkEffects),
    Property(property::PropertyTest),
    Graph(graph::GraphCommand),
    Report(report::ReportCommand),
    Test(test::Test),
    Circuit(circuit::CircuitCommand),
    List(hub::List),
    Sweep(sweep::Sweep),
    Plan(cluster::PlanCommand),
    Work(cluster::WorkCommand),
    Status(cluster::Status),
    Merge(cluster::Merge),
    Selfcheck(selfcheck::Selfcheck),
    Completions(pages::Completions),
    Man(pages::Man),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// See [`CliError`].
    pub fn run(self) -> Result<ExitCode, CliError> {
        if let Some(threads) = self.global.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads.get())
                .build_global()
                .map_err(|error| CliError::input("--threads", error))?;
        }
        match self.command {
            Command::Verify(verify) => verify.run(),
            Command::Show(show) => show.run(),
            Command::Ask(ask) => ask.run(),
            Command::Patch(patch) => patch.run(),
            Command::Ablate(ablate) => ablate.run(),
            Command::Accuracy(accuracy) => accuracy.run(),
            Command::Carries(carries) => carries.run(),
            Command::Coverage(coverage) => coverage.run(),
            Command::Explain(explain) => explain.run(),
            Command::Discover(discover) => discover.run(),
            Command::Compare(compare) => compare.run(),
            Command::Diff(diff) => diff.run(),
            Command::Quirks(quirks) => quirks.run(),
            Command::Property(property) => property.run(),
            Command::Graph(graph) => graph.run(),
            Command::Report(report) => report.run(),
            Command::Test(test) => test.run(),
            Command::Circuit(circuit) => circuit.run(),
            Command::List(list) => list.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Plan(plan) => plan.run(),
            Command::Work(work) => work.run(),
            Command::Status(status) => status.run(),
            Command::Merge(merge) => merge.run(),
            Command::Selfcheck(selfcheck) => selfcheck.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

/// An error like clap's own, for what the definition of a command can't express.
fn usage_error(command: &str, kind: ErrorKind, message: impl Display) -> CliError {
    let mut root = Cli::command();
    root.build();
    let command = root
        .find_subcommand_mut(command)
        .expect("commands name themselves");
    CliError::Usage(command.error(kind, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
