//! `coverage`: load-bearing nodes that no claim explains.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::analysis::coverage::{Coverage, CoverageOptions, Harm, Hurt, coverage};
use circuitcheck::analysis::represents::nodes_text;
use circuitcheck::experiment::{Baseline, Rules};
use circuitcheck::inputs::claims::{Claim, claims_of, read_tagged_nodes};
use clap::Args;
use serde::Serialize;

use super::tagged_file::read_tagged_file;
use crate::cli::args::alpha;
use crate::cli::args::count::{MOST_OF_CLASS, count_to};
use crate::cli::args::model::{Identity, Model, ModelArg};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Rightly answered questions of each class: a token must go wrong in about one in ten of them to hurt
/// for sure, with all nodes' error shared.
const QUESTIONS: usize = 256;

/// List load-bearing nodes that no claim explains
///
/// Every node, and every set of unclaimed nodes of one position, of one layer, of both, and all of
/// them, is put at its mean, and at its value in another question. What goes wrong, by class and
/// answer token, is held against the claims of features.json: a claim explains the tokens that its
/// variable can change on the questions of its classes.
#[derive(Debug, Args)]
#[command(name = "coverage")]
#[command(after_help = "\
Examples:
  circuitcheck coverage
  circuitcheck coverage models/w126_add_d5_l2* --features found/features.json --count 512")]
#[command(after_long_help = "\
Examples:
  circuitcheck coverage
  circuitcheck coverage models/w126_add_d5_l2* --features found/features.json --count 512

Keys of --json:
  model, weights_sha256  which model: its name, and the digest of its weights
  options     questions of each class, alpha, seed; asked: how many there were of each class
  nodes       nodes that can affect an answer; load_bearing: those whose ablation hurts; unclaimed:
              those of them without a claim; claimed_for_other: those with claims, but not about
              every class and token that hurts
  hurts       for each node and class: nodes, class, claims; harms (ablation, wrong: a rate with its
              interval, tokens that hurt); unexplained: tokens that hurt and that no claim on the
              node about this class can change
  sets        the same for sets of unclaimed nodes that hurt tokens which none of their members
              hurts alone")]
pub struct CoverageCommand {
    #[command(flatten)]
    model: ModelArg,
    /// Take the claims from this file, not from the folder's features.json
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Rightly answered questions of each class
    #[arg(long, alias = "questions", value_name = "N", default_value_t = QUESTIONS, value_parser = count_to::<usize>(MOST_OF_CLASS), allow_negative_numbers = true)]
    count: usize,
    /// Chance of any wrong interval
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = alpha)]
    alpha: f64,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: JsonArg,
}

impl CoverageCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let claims = self.claims(&model)?;
        let options = CoverageOptions {
            questions: self.count,
            alpha: self.alpha,
            seed: self.draws.seed,
        };
        let operations = model.folder.operations();
        let baseline = Baseline::measure(&model.engine, operations, self.alpha, self.draws.seed)?;
        if baseline.passing().next().is_none() {
            warn("the unpatched model fails the baseline in every class, so nothing is ablated");
            return Ok(ExitCode::Baseline);
        }
        let found = with_progress(|progress| {
            coverage(&model.engine, &baseline, &claims, &options, progress)
        });
        let heading = model.heading().and(format_args!("{} claims", claims.len()));
        let heading = heading
            .seed(self.draws.seed)
            .and(format_args!("{} questions of each class", self.count));
        self.format.print_under(
            &heading,
            &ShownCoverage {
                identity: model.identity(),
                options,
                coverage: found?,
            },
        )?;
        Ok(ExitCode::Success)
    }

    /// The claims there are: none where there is no file of them.
    fn claims(&self, model: &Model) -> Result<Vec<Claim>, CliError> {
        let file = match &self.features {
            Some(path) => Some(read_tagged_file(path)?),
            None => model.folder.features.clone(),
        };
        let Some(file) = file else {
            warn("there is no features.json: nothing is claimed");
            return Ok(Vec::new());
        };
        let shown = file.path.display().to_string();
        let nodes = read_tagged_nodes(&shown, &file.bytes)?;
        let shape = model.engine.shape();
        for tagged in &nodes {
            let resolved = tagged.node.resolve(&shape);
            resolved.map_err(|error| CliError::input(&shown, error))?;
        }
        Ok(claims_of(&nodes))
    }
}

#[derive(Debug, Serialize)]
struct ShownCoverage {
    #[serde(flatten)]
    identity: Identity,
    options: CoverageOptions,
    #[serde(flatten)]
    coverage: Coverage,
}

impl fmt::Display for ShownCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coverage = &self.coverage;
        let table = |hurts: &mut dyn Iterator<Item = &Hurt>| {
            let mut table = Table::new([Side::Left; 6]);
            table.heading([
                "nodes",
                "class",
                "mean",
                "resample",
                "unexplained",
                "claims",
            ]);
            let mut rows = 0;
            for hurt in hurts {
                let [mean, resample] = &hurt.harms[..] else {
                    unreachable!("every node is ablated in both ways");
                };
                table.row([
                    nodes_text(&hurt.nodes).into(),
                    hurt.class.into(),
                    percent(mean).into(),
                    percent(resample).into(),
                    Cell::styled(hurt.unexplained, style::WRONG),
                    hurt.claims.join(" ").into(),
                ]);
                rows += 1;
            }
            (table, rows)
        };
        let unexplained = |hurt: &&Hurt| !hurt.unexplained.is_empty();
        let (singles, rows) = table(&mut coverage.hurts.iter().filter(unexplained));
        if rows > 0 {
            writeln!(f, "{singles}")?;
        }
        let (sets, rows) = table(&mut coverage.sets.iter());
        if rows > 0 {
            writeln!(f, "unclaimed, and harmless one by one:\n{sets}")?;
        }
        writeln!(
            f,
            "{} of {} nodes are load-bearing: {} carry no claim, {} carry claims that are not about all that hurts",
            coverage.load_bearing, coverage.nodes, coverage.unclaimed, coverage.claimed_for_other,
        )
    }
}

fn percent(harm: &Harm) -> String {
    format!("{:.1} %", 100.0 * harm.wrong.share())
}
