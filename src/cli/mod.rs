//! The command line: its definition, and which command answers what.

mod args;
mod command;
mod groups;
mod term;

use std::ffi::OsString;
use std::fmt::Display;
use std::time::Instant;

use circuitcheck::training::keep_freed_memory;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use args::count::count_to;
use command::{
    ablate, accuracy, ask, circuit, cluster, compare, coverage, discover, evidence, explain, graph,
    hub, pages, patch, property, quirks, report, represents, selfcheck, show, sweep, test, train,
    verify,
};
use term::error::CliError;
use term::exit_code::ExitCode;
use term::interrupt;
use term::output::{Loudness, detail, set_loudness};

const EXAMPLES: &str = "\
Examples:
  circuitcheck verify
  circuitcheck verify models/w126_add_d5_l2* --task ST --out reports/add
  circuitcheck property --property answers
  circuitcheck show
  circuitcheck ask 12345+67890 5-90
  circuitcheck patch models/w126_add_d5_l2* --source 22222+66966 --base 33333+55555 --node P15L0H2
  circuitcheck ablate --node P15L0H3 --by mean --json
  circuitcheck discover models/w126_add_d5_l2* --out found
  circuitcheck compare models/w126_add_d5_l2*/behaviors.json found/behaviors.json";

/// Check published claims about what the parts of small arithmetic transformers compute, by
/// intervening on the network.
///
/// Commands take a model as DIR: its folder, its file of weights, or its address on the hub
/// (hf://owner/repository). Without DIR, a command uses the current folder if that holds a model's
/// weights, and otherwise the bundled model of addition and subtraction.
#[derive(Debug, Parser)]
#[command(name = "circuitcheck", version, max_term_width = 100)]
#[command(help_template = groups::help_template::<Command>())]
#[command(after_help = format!("{EXAMPLES}\n\n{}", ExitCode::help()))]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalOptions,
}

/// Most threads: beyond it, starting them takes longer than they save on any machine.
const MAX_THREADS: u64 = 1024;

/// Options of every command.
#[derive(Debug, Args)]
struct GlobalOptions {
    /// Threads to compute with; without it, as many as there are cores
    #[arg(short = 'j', long, value_name = "N", global = true, value_parser = count_to::<usize>(MAX_THREADS))]
    threads: Option<usize>,
    /// Print only results, warnings and errors: no progress, no news of files written
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Also print how long each phase and the whole command took, and the threads used
    #[arg(short, long, global = true)]
    verbose: bool,
    /// When to color the output
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t = ColorArg::Auto)]
    color: ColorArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ColorArg {
    /// On terminals, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

impl From<ColorArg> for anstream::ColorChoice {
    fn from(color: ColorArg) -> Self {
        match color {
            ColorArg::Auto => Self::Auto,
            ColorArg::Always => Self::Always,
            ColorArg::Never => Self::Never,
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(mut_subcommand("plan", |command| command.hide(true)))]
#[command(mut_subcommand("work", |command| command.hide(true)))]
#[command(mut_subcommand("status", |command| command.hide(true)))]
#[command(mut_subcommand("merge", |command| command.hide(true)))]
enum Command {
    Verify(Box<verify::Verify>),
    Show(show::Show),
    Ask(ask::AskCommand),
    Patch(patch::Patch),
    Ablate(ablate::Ablate),
    Accuracy(accuracy::Accuracy),
    #[command(alias = "carries")]
    Represents(represents::RepresentsCommand),
    Coverage(coverage::CoverageCommand),
    Evidence(evidence::EvidenceCommand),
    Explain(explain::Explain),
    Discover(discover::Discover),
    #[command(alias = "diff")]
    Compare(compare::CompareCommand),
    Quirks(quirks::QuirkEffects),
    Property(property::PropertyTest),
    Graph(graph::GraphCommand),
    Report(report::ReportCommand),
    Test(test::Test),
    Train(train::Train),
    Circuit(circuit::CircuitCommand),
    List(hub::List),
    Sweep(sweep::Sweep),
    Shard(cluster::Shard),
    /// The commands of `shard` as they were called before there was one.
    #[command(flatten)]
    UngroupedShard(cluster::ShardCommand),
    Selfcheck(selfcheck::Selfcheck),
    Completions(pages::Completions),
    Man(pages::Man),
}

/// Runs the command that these arguments are, the first of which is the program, and returns its exit
/// code. Ends the process where the arguments ask for help or cannot be understood.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let done = Cli::parse_from(arguments).run();
    done.unwrap_or_else(|error| error.report()) as u8
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// See [`CliError`].
    fn run(self) -> Result<ExitCode, CliError> {
        let global = self.global;
        if let Command::Train(_) = self.command {
            // Before there are threads, each of which would get an arena of its own.
            keep_freed_memory();
        }
        interrupt::listen();
        anstream::ColorChoice::from(global.color).write_global();
        set_loudness(match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        });
        if let Some(threads) = global.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()
                .map_err(|error| CliError::input("--threads", error))?;
        }
        let started = Instant::now();
        let code = self.command.run()?;
        detail(format_args!(
            "took {:.1} s with {} threads",
            started.elapsed().as_secs_f64(),
            rayon::current_num_threads()
        ));
        Ok(code)
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Command::Verify(verify) => verify.run(),
            Command::Show(show) => show.run(),
            Command::Ask(ask) => ask.run(),
            Command::Patch(patch) => patch.run(),
            Command::Ablate(ablate) => ablate.run(),
            Command::Accuracy(accuracy) => accuracy.run(),
            Command::Represents(represents) => represents.run(),
            Command::Coverage(coverage) => coverage.run(),
            Command::Evidence(evidence) => evidence.run(),
            Command::Explain(explain) => explain.run(),
            Command::Discover(discover) => discover.run(),
            Command::Compare(compare) => compare.run(),
            Command::Quirks(quirks) => quirks.run(),
            Command::Property(property) => property.run(),
            Command::Graph(graph) => graph.run(),
            Command::Report(report) => report.run(),
            Command::Test(test) => test.run(),
            Command::Train(train) => train.run(),
            Command::Circuit(circuit) => circuit.run(),
            Command::List(list) => list.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Shard(shard) => shard.command.run(),
            Command::UngroupedShard(command) => command.run(),
            Command::Selfcheck(selfcheck) => selfcheck.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

/// An error like clap's own, for what the definition of a command can't express. `command` is its name
/// or, of a command of another one, both names: `shard work`.
fn usage_error(command: &str, kind: ErrorKind, message: impl Display) -> CliError {
    let mut root = Cli::command();
    root.build();
    let command = command.split(' ').fold(&mut root, |parent, name| {
        parent
            .find_subcommand_mut(name)
            .expect("commands name themselves")
    });
    CliError::Usage(command.error(kind, message))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// The words of a shell command, up to where its output goes; quotes are taken away.
    fn shell_words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in line.chars() {
            match (quote, c) {
                (None, '>' | '|') => break,
                (None, ' ') => words.push(String::new()),
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (_, c) => words.last_mut().expect("never empty").push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let helps = [command.get_after_help(), command.get_after_long_help()];
        for help in helps.into_iter().flatten() {
            let text = help.to_string();
            let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
            found.extend(
                lines
                    .filter(|line| line.starts_with("circuitcheck "))
                    .map(str::to_owned),
            );
        }
        for inner in command.get_subcommands() {
            examples(inner, found);
        }
    }

    #[test]
    fn the_examples_of_the_help_parse_and_name_what_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut lines = Vec::new();
        examples(&Cli::command(), &mut lines);
        assert!(lines.len() > 40, "{lines:?}");
        for line in lines {
            let words = shell_words(&line);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{line}: {error}");
            }
            for pair in words.windows(2) {
                let is_input = !["--out", "-o"].contains(&pair[0].as_str());
                let ours = ["models/", "reports/", "hypotheses/"];
                if is_input && ours.iter().any(|folder| pair[1].starts_with(folder)) {
                    let pattern = root.join(&pair[1]).display().to_string();
                    let found = glob::glob(&pattern).unwrap().count();
                    assert!(found > 0, "{line}: {}", pair[1]);
                }
            }
        }
    }
}
