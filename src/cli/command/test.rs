//! `test`: a hypothesis about a whole algorithm, clause by clause.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::graph::Budget;
use circuitcheck::analysis::hypothesis::{ClauseResult, Hypothesis, TestedHypothesis, Tester};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::Node;
use circuitcheck::experiment::{Baseline, Rules};
use circuitcheck::inputs::model::RawFile;
use circuitcheck::network::engine::Site;
use circuitcheck::report::clause_verdict;
use circuitcheck::verify::Options;
use clap::Args;
use serde::Serialize;

use crate::cli::args::known_claims::Known;
use crate::cli::args::model::{Identity, Model, ModelArg};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::Format;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Trials of each edge that a clause asks for.
const EDGE_TRIALS: usize = 256;

/// Questions of each class that means are taken over.
const MEAN_QUESTIONS: usize = 512;

/// Tests a hypothesis about a whole algorithm, clause by clause
///
/// Existence and order are settled by the verdicts of the model's own claims; interventions are
/// tried on fresh pairs; what feeds what is measured by path patching. A clause is met if it is met
/// for every digit it runs over. Grammar: hypotheses/README.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck test models/add --hypothesis hypotheses/addition.toml
  circuitcheck test --hypothesis hypotheses/mixed.toml --json

Keys of --json: model, weights_sha256, hypothesis, holds, clauses[] (kind, says, optional, applies,
met, cases[] with n, met, nodes, note), explained (the nodes that meet a clause), circuit (these and
those it keeps).

Ends with exit code 1 if a clause that is required is not met.")]
pub struct Test {
    #[command(flatten)]
    model: ModelArg,
    /// The hypothesis
    #[arg(long, value_name = "FILE")]
    hypothesis: PathBuf,
    #[command(flatten)]
    known: Known,
    /// Chance of any wrong verdict, shared by the claims that are tried and, once more, by the edges
    #[arg(long, value_name = "SHARE", default_value_t = Options::default().alpha)]
    alpha: f64,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: Format,
}

impl Test {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let tested = test_file(
            &model,
            &self.hypothesis,
            &self.known,
            self.alpha,
            self.draws.seed,
        )?;
        let holds = tested.holds;
        self.format.print(&Shown {
            identity: model.identity(),
            tested,
        })?;
        Ok(if holds {
            ExitCode::Success
        } else {
            ExitCode::Refuted
        })
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
    let file = path.display().to_string();
    let text = String::from_utf8(RawFile::read(path)?.bytes)
        .map_err(|error| CliError::input(&file, error))?;
    let hypothesis = Hypothesis::read(&file, &text)?;
    let engine = &model.engine;
    let shape = engine.shape();
    let operations = model.folder.operations();
    hypothesis.check_model(&model.folder.name, operations, &shape)?;
    let known = known.claims(model)?;
    let baseline = Baseline::measure(engine, operations, alpha, seed)?;
    let questions: Vec<Prompt> = baseline
        .right
        .values()
        .flat_map(|right| right.iter().take(MEAN_QUESTIONS))
        .map(|&question| Prompt::truth(question))
        .collect();
    let sites = Node::all(&shape).into_iter().map(Site::from);
    let means = engine.mean_activations(&questions, sites)?;
    let tester = Tester {
        engine,
        operations,
        known: &known,
        baseline: &baseline,
        means: &means,
        budget: Budget {
            trials: EDGE_TRIALS,
            alpha,
            seed,
            relayed: true,
        },
        rules: Rules {
            threshold: Options::default().threshold,
            alpha,
            max_trials: Options::default().max_trials,
            seed,
        },
    };
    Ok(tester.test(&file, &hypothesis)?)
}

#[derive(Serialize)]
struct Shown {
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

impl fmt::Display for Shown {
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
