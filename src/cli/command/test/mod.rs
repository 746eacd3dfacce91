//! `test`: a hypothesis about a whole algorithm, clause by clause, or one experiment.

mod experiment;

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::hypothesis::{
    ClauseResult, Hypothesis, TestedHypothesis, test_hypothesis,
};
use circuitcheck::experiment::Rules;
use circuitcheck::report::clause_verdict;
use clap::Args;
use clap::error::ErrorKind;
use serde::Serialize;

use crate::cli::args::alpha;
use crate::cli::args::known_claims::Known;
use crate::cli::args::model::{Identity, Model, OperationsArg};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::usage_error;

/// Test a hypothesis about a whole algorithm, or one experiment
///
/// An experiment says which pairs of questions are drawn, what is done where, what is read, which controls
/// there are and which rule decides (docs/EXPERIMENTS.md). A hypothesis is tested clause by clause.
///
/// Existence and order are settled by the verdicts of the model's own claims; interventions are
/// tried on fresh pairs; what feeds what is measured by path patching. A clause is met if it is met
/// for every digit it runs over. Grammar: hypotheses/README.md.
#[derive(Debug, Args)]
#[command(override_usage = "circuitcheck test [OPTIONS] [DIR] <HYPOTHESIS>")]
#[command(after_help = "\
Examples:
  circuitcheck test models/w126_add_d5_l2* hypotheses/addition.toml
  circuitcheck test hypotheses/mixed.toml --json
  circuitcheck test models/w126_add_d5_l2* hypotheses/experiments/carry_head.toml

Keys of --json for an experiment: model, weights_sha256, experiment (as in the file), sentence, seed,
measured and controls[] (condition, figure with bounds, dropped), verdict; for a hypothesis: model,
weights_sha256, hypothesis, holds, clauses[] (kind, says, optional, applies,
met, cases[] with n, met, nodes, note), explained (the nodes that meet a clause), circuit (these and
those it keeps).

Ends with exit code 1 if a clause that is required is not met, or an experiment does not show what it
says, and with 3 if its bounds do not decide.")]
pub struct Test {
    /// The model, then the hypothesis; without DIR, the current folder's model or the bundled one
    #[arg(value_names = ["DIR", "HYPOTHESIS"], num_args = 0..=2, required_unless_present = "hypothesis")]
    arguments: Vec<PathBuf>,
    /// The hypothesis
    #[arg(long, value_name = "FILE", hide = true)]
    hypothesis: Option<PathBuf>,
    #[command(flatten)]
    operations: OperationsArg,
    #[command(flatten)]
    known: Known,
    /// Chance of any wrong verdict of a hypothesis, shared by the claims that are tried and, once more, by
    /// the edges; without it, 0.01. An experiment's is in its file
    #[arg(long, value_name = "SHARE", value_parser = alpha)]
    alpha: Option<f64>,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: JsonArg,
}

impl Test {
    /// The model's folder, if one is given, and the hypothesis.
    fn split(&self) -> Result<(Option<&Path>, &Path), CliError> {
        match (&self.arguments[..], &self.hypothesis) {
            ([], Some(file)) => Ok((None, file)),
            ([dir], Some(file)) | ([dir, file], None) => Ok((Some(dir), file)),
            ([file], None) => Ok((None, file)),
            _ => Err(usage_error(
                "test",
                ErrorKind::TooManyValues,
                "expected a model and one hypothesis: circuitcheck test [DIR] HYPOTHESIS.toml\n",
            )),
        }
    }

    pub fn run(&self) -> Result<ExitCode, CliError> {
        let (dir, hypothesis) = self.split()?;
        let model = Model::open(dir, self.operations)?;
        if let Some(described) = experiment::read(hypothesis)? {
            self.check_experiment()?;
            let seed = self.draws.seed;
            let shown = experiment::test(&model, hypothesis, &described, seed)?;
            let heading = model.heading().seed(seed);
            self.format.print_under(&heading, &shown)?;
            return Ok(shown.exit_code());
        }
        let alpha = self.alpha.unwrap_or(Rules::default().alpha);
        let tested = test_file(&model, hypothesis, &self.known, alpha, self.draws.seed)?;
        let conclusion = tested.conclusion();
        let heading = model
            .heading()
            .and(tested.hypothesis.as_str())
            .seed(self.draws.seed);
        self.format.print_under(
            &heading,
            &ShownTest {
                identity: model.identity(),
                tested,
            },
        )?;
        Ok(conclusion.into())
    }
}

impl Test {
    /// An experiment rests on no evidence, and its own rule has its error.
    fn check_experiment(&self) -> Result<(), CliError> {
        let given = [
            ("--alpha", self.alpha.is_some()),
            ("--evidence", self.known.is_given()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(usage_error(
                "test",
                ErrorKind::ArgumentConflict,
                format_args!("{option} is for hypotheses: an experiment's rule is in its file"),
            )),
        }
    }
}

/// Tests the hypothesis of a file on a model.
///
/// # Errors
/// If the file is wrong, or about another model.
pub fn test_file(
    model: &Model,
    path: &Path,
    known: &Known,
    alpha: f64,
    seed: u64,
) -> Result<TestedHypothesis, CliError> {
    let hypothesis = Hypothesis::open(path)?;
    hypothesis.check_folder(&model.folder)?;
    let known = known.claims(model)?;
    let file = path.display().to_string();
    let named = (file.as_str(), &hypothesis);
    let tested = test_hypothesis(&model.folder, &model.engine, named, &known, alpha, seed)?;
    Ok(tested)
}

#[derive(Serialize)]
struct ShownTest {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    tested: TestedHypothesis,
}

/// What became of a clause, in its colour.
fn verdict(clause: &ClauseResult) -> Cell {
    let shade = match (clause.applies, clause.met, clause.optional) {
        (false, ..) => style::PLAIN,
        (_, true, _) => style::RIGHT,
        (_, false, true) => style::WARNING,
        (_, false, false) => style::WRONG,
    };
    Cell::styled(clause_verdict(clause), shade)
}

impl fmt::Display for ShownTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tested = &self.tested;
        for clause in &tested.clauses {
            let mut table = Table::new([Side::Left; 3]);
            table.row([
                verdict(clause),
                Cell::styled(clause.kind.name(), style::TITLE),
                clause.says.clone().into(),
            ]);
            table.fmt(f)?;
            let mut cases = Table::new([Side::Left; 3]).indented();
            for case in &clause.cases {
                cases.row([
                    case.n.map_or(String::new(), |n| format!("n={n}")).into(),
                    if case.met {
                        Cell::styled("met", style::RIGHT)
                    } else {
                        Cell::styled("not met", style::WRONG)
                    },
                    case.note.clone().into(),
                ]);
            }
            cases.fmt(f)?;
        }
        let (met, all) = (
            tested.clauses.iter().filter(|clause| clause.met).count(),
            tested
                .clauses
                .iter()
                .filter(|clause| clause.applies)
                .count(),
        );
        writeln!(
            f,
            "\n{}: {met} of {all} clauses met; it {}; {} nodes",
            tested.hypothesis,
            if tested.holds {
                "holds"
            } else {
                "does not hold"
            },
            tested.circuit.len()
        )
    }
}
