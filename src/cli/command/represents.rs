//! `represents`: which variables nodes represent.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::represents::{
    CarrierSearch, Carriers, MAX_TRIALS, QuantityScore, nodes_text, useful_nodes,
};
use circuitcheck::experiment::Rules;
use circuitcheck::network::engine::Decode;
use circuitcheck::storage::{pretty_json, write_files};
use clap::Args;
use serde::Serialize;

use crate::cli::args::count::{MOST_TRIALS, count_to};
use crate::cli::args::model::{Identity, ModelArg};
use crate::cli::args::names::NodesArg;
use crate::cli::args::seed::SeedArg;
use crate::cli::args::{alpha, share};
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, hold, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Runners-up that are listed for a node set asked for by name.
const LISTED: usize = 8;

/// Search which variables a node represents
///
/// Tries every variable of a catalogue: the digits of each column, their sum and difference, base
/// values, carries, borrows, tri-cases, resolved carries, operator, sign. The activation of the nodes in
/// one question is patched into another, and the answer is compared with what arithmetic gives when
/// that variable alone is replaced. Variables that hold are separated by pairs of questions on which
/// their predictions differ. Several nodes are patched together.
///
/// Without --node, tries every useful node and every set of heads inside one layer that may represent
/// a variable together, and writes the table to reports/<model>/ as represents.json and represents.md.
#[derive(Debug, Args)]
#[command(name = "represents")]
#[command(after_help = "\
Examples:
  circuitcheck represents --node P17L0H1
  circuitcheck represents models/w126_add_d5_l2* --node P8L0H2,P9L0H1
  circuitcheck represents models/w126_add_d5_l2* --out found")]
#[command(after_long_help = "\
Examples:
  circuitcheck represents --node P17L0H1
  circuitcheck represents models/w126_add_d5_l2* --node P8L0H2,P9L0H1
  circuitcheck represents models/w126_add_d5_l2* --out found

Keys of --json:
  model, weights_sha256  which model: its name, and the digest of its weights
  classes     the classes it answers well enough to be asked about
  catalogue   variables tried; sets: node sets tried
  options     threshold, alpha, max_trials, seed
  carriers    for each node set: nodes; carries (quantity, same_here: what also holds and cannot be
              told from it, contains: what also holds and is right less often); scores
              (quantity, affected_tokens, holds, measures), the best first; screened_out (quantity, moved)")]
pub struct RepresentsCommand {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    chosen: NodesArg,
    /// Interchange accuracy to reach, at the lower bound of its interval
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().threshold, value_parser = share)]
    threshold: f64,
    /// Error of everything tried, together
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = alpha)]
    alpha: f64,
    /// Trials after which the sampling of one variable at one node set ends
    #[arg(long, value_name = "N", default_value_t = MAX_TRIALS, value_parser = count_to::<usize>(MOST_TRIALS))]
    max_trials: usize,
    #[command(flatten)]
    draws: SeedArg,
    /// Folder for the table; without it, reports/<model>/, and none where --node is given
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

impl RepresentsCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let nodes = model.nodes(&self.chosen.nodes)?;
        let beside = match &self.out {
            Some(out) => out.clone(),
            None => Path::new("reports").join(&model.folder.name),
        };
        let writes = self.out.is_some() || nodes.is_empty();
        let _held = writes.then(|| hold(&beside, "represents")).transpose()?;
        let options = Rules {
            threshold: self.threshold,
            alpha: self.alpha,
            max_trials: self.max_trials,
            seed: self.draws.seed,
        };
        let search = CarrierSearch::new(&model.folder, &model.engine, options)?;
        if search.classes().is_empty() {
            warn("the unpatched model fails the baseline in every class, so no node is tried");
            return Ok(ExitCode::Baseline);
        }
        let found = if nodes.is_empty() {
            let useful = useful_nodes(&model.folder, &model.engine, self.draws.seed)?;
            with_progress(|progress| search.of_all(&useful, progress))
        } else {
            with_progress(|progress| search.of_set(&nodes, progress))
        };
        let shown = ShownCarriers {
            identity: model.identity(),
            named: !nodes.is_empty(),
            found: found?,
        };
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = if writes {
            let markdown = shown.found.markdown(&model.folder.name);
            let files = [
                ("represents.json", pretty_json(&shown)),
                ("represents.md", markdown),
            ];
            write_files(&beside, &files)
        } else {
            Ok(())
        };
        let heading = model.heading().seed(self.draws.seed);
        let heading = heading.decode(Decode::Forced);
        self.format.print_under(&heading, &shown)?;
        stored?;
        if writes {
            wrote("represents.json and represents.md", &beside);
        }
        Ok(ExitCode::Success)
    }
}

#[derive(Debug, Serialize)]
struct ShownCarriers {
    #[serde(flatten)]
    identity: Identity,
    #[serde(skip)]
    named: bool,
    #[serde(flatten)]
    found: Carriers,
}

impl fmt::Display for ShownCarriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left; 6]);
        table.heading([
            "nodes",
            "represents",
            "IIA",
            "control pairs",
            "best of the others",
        ]);
        for carrier in &self.found.carriers {
            let (interchange_accuracy, control_pairs) = carrier
                .deciding()
                .map(QuantityScore::text)
                .unwrap_or_default();
            let shade = match carrier.is_none() {
                true => style::PLAIN,
                false => style::RIGHT,
            };
            table.row([
                nodes_text(&carrier.nodes).into(),
                Cell::styled(carrier.carried_text(), shade),
                interchange_accuracy.into(),
                control_pairs.into(),
                carrier.others_text().into(),
            ]);
        }
        write!(f, "{table}")?;
        if !self.named {
            return writeln!(f, "\n{}", self.found.summary());
        }
        for carrier in &self.found.carriers {
            if !carrier.same_text().is_empty() {
                writeln!(
                    f,
                    "cannot be distinguished from it here: {}",
                    carrier.same_text()
                )?;
            }
            let mut scores = Table::new([Side::Left; 5]);
            scores.heading(["variable", "holds", "IIA", "control pairs"]);
            for score in carrier.scores.iter().take(LISTED) {
                let (interchange_accuracy, control_pairs) = score.text();
                let holds = match score.holds {
                    true => Cell::styled("yes", style::RIGHT),
                    false => Cell::from("no"),
                };
                scores.row([
                    score.quantity.into(),
                    holds,
                    interchange_accuracy.into(),
                    control_pairs.into(),
                ]);
            }
            write!(f, "\n{scores}")?;
            writeln!(
                f,
                "{} variables could be represented here, {} moved enough to be judged",
                carrier.scores.len() + carrier.screened_out.len(),
                carrier.scores.len()
            )?;
        }
        Ok(())
    }
}
