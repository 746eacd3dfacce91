//! `selfcheck`: the checker, checked.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::analysis::selfcheck::{Check, CheckPart, Effort, Figure, FigureValue, run};
use clap::Args;
use serde::Serialize;

use super::hub::open_folder;
use crate::cli::args::count::count;
use crate::cli::args::model::{OperationsArg, open_or_bundled};
use crate::cli::args::named;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, write};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Check the checker itself
///
/// Corrupted claims must be caught; what is true of a network written by hand must be found, and all
/// else refuted; decisions on claims of known rates must be wrong no more often than their error
/// allows; and neither threads, nor block size, nor the order of claims may change the evidence.
///
/// Ends with 0 where every check passes, otherwise with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck selfcheck --quick
  circuitcheck selfcheck models/w126_add_d5_l2* models/w126_mix* --seed 7")]
#[command(after_long_help = "\
Examples:
  circuitcheck selfcheck --quick
  circuitcheck selfcheck models/w126_add_d5_l2* models/w126_mix* --seed 7

Keys of --json:
  seed     seed of every draw
  quick    whether less was tried
  passed   whether every check passed
  checks   one object for each: name, what, figures (what, value and, where there is a limit, most),
           passed")]
pub struct Selfcheck {
    /// Models whose claims are corrupted and verified; without any, the bundled one
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Try less: half a minute for one model
    #[arg(long)]
    quick: bool,
    /// Corrupted claims of each of five kinds and each model, where there are as many
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    corruptions: Option<usize>,
    /// Seeds in a row with which every claim must get the same verdict
    #[arg(long, value_name = "N", value_parser = count::<u64>)]
    seeds: Option<u64>,
    /// Only these checks: a list with commas, or the option repeated
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = named(CheckPart::ALL, CheckPart::name), ignore_case = true)]
    only: Vec<CheckPart>,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: JsonArg,
}

impl Selfcheck {
    /// The checks asked for: all, unless some are named.
    fn parts(&self) -> Vec<CheckPart> {
        if self.only.is_empty() {
            CheckPart::ALL.to_vec()
        } else {
            self.only.clone()
        }
    }

    pub fn run(&self) -> Result<ExitCode, CliError> {
        let models = if self.dirs.is_empty() {
            vec![open_or_bundled(None, OperationsArg::default())?]
        } else {
            let open = |dir: &PathBuf| open_folder(dir);
            self.dirs.iter().map(open).collect::<Result<_, _>>()?
        };
        let mut effort = if self.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        };
        effort.seeds = self.seeds.unwrap_or(effort.seeds);
        effort.corruptions = self.corruptions.unwrap_or(effort.corruptions);
        // Some checks take minutes: each is shown as it ends.
        let mut shown = Ok(());
        let checks = run(
            &models,
            &self.parts(),
            &effort,
            self.draws.seed,
            &mut |check| {
                if !self.format.json && shown.is_ok() {
                    shown = write(ShownCheck(check)).map(drop);
                }
            },
        )?;
        shown?;
        let passed = checks.iter().all(|check| check.passed);
        self.format.print(&SelfcheckResult {
            seed: self.draws.seed,
            quick: self.quick,
            passed,
            checks,
        })?;
        Ok(if passed {
            ExitCode::Success
        } else {
            ExitCode::Refuted
        })
    }
}

#[derive(Debug, Serialize)]
struct SelfcheckResult {
    seed: u64,
    quick: bool,
    passed: bool,
    checks: Vec<Check>,
}

impl fmt::Display for SelfcheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.checks.iter().filter(|check| !check.passed).count();
        writeln!(f, "{} checks: {failed} failed", self.checks.len())
    }
}

/// A check as a table.
struct ShownCheck<'a>(&'a Check);

impl fmt::Display for ShownCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShownCheck(check) = self;
        let mut title = Table::new([Side::Left; 2]);
        let verdict = if check.passed {
            Cell::styled("passed", style::RIGHT)
        } else {
            Cell::styled("failed", style::WRONG)
        };
        title.row([Cell::styled(&check.name, style::TITLE), verdict]);
        writeln!(f, "{title}  {}", check.what)?;
        let mut table = Table::new([Side::Left, Side::Right, Side::Left]).indented();
        let (told, counted): (Vec<&Figure>, Vec<&Figure>) = check
            .figures
            .iter()
            .partition(|figure| matches!(figure.value, FigureValue::Text(_)));
        for figure in counted {
            table.row(row(figure));
        }
        write!(f, "{table}")?;
        for figure in told {
            writeln!(f, "  {}: {}", figure.what, shown(&figure.value))?;
        }
        writeln!(f)
    }
}

fn row(figure: &Figure) -> [Cell; 3] {
    let shade = if figure.within() {
        style::PLAIN
    } else {
        style::WRONG
    };
    let limit = figure
        .most
        .map_or_else(String::new, |most| format!("at most {most}"));
    [
        (&figure.what).into(),
        Cell::styled(shown(&figure.value), shade),
        limit.into(),
    ]
}

fn shown(value: &FigureValue) -> String {
    match value {
        FigureValue::Count(count) => count.to_string(),
        FigureValue::Mean(mean) => format!("{mean:.1}"),
        FigureValue::Text(text) => text.clone(),
    }
}
