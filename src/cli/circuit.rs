//! `circuit`: how well a set of nodes does alone, and what of it is needed.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::circuit::{
    Added, Minimality, NodeSet, Pruned, Score, Scoring, Workbench, grow, minimality, prune,
};
use circuitcheck::claims::{claims_of, read_tagged_nodes};
use circuitcheck::model::RawFile;
use circuitcheck::node::{Node, NodeName};
use circuitcheck::stats::Count;
use circuitcheck::verify::{Baseline, Options};
use clap::Args;
use serde::Serialize;

use super::error::{CliError, warn};
use super::exit_code::ExitCode;
use super::known::{Known, progress_bar};
use super::model::{Identity, Model};
use super::output::Format;
use super::style;
use super::table::{Cell, Side, Table};
use super::test::test_file;

/// Questions of each class.
const QUESTIONS: usize = 300;

/// Random sets that a circuit is compared with.
const RANDOM_SETS: usize = 20;

/// Share of questions that growing and pruning hold to.
const ENOUGH: f64 = 0.99;

/// Most nodes added by growing.
const MOST_ADDED: usize = 40;

/// Nodes of the minimality list that the text shows.
const SHOWN: usize = 10;

/// Keeps some nodes at work, ablates all others, and asks
///
/// The nodes are those a hypothesis comes to, those of a file, or those of the model's
/// behaviors.json; without any of these, those that claims are made of. All others hold their mean
/// over questions of the same class, or their value in another question of it. As many random heads
/// and MLPs stand beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck circuit models/add --behaviors
  circuitcheck circuit models/add --hypothesis hypotheses/own_addition.toml --minimality
  circuitcheck circuit --behaviors --grow --json

The file of --nodes is a features.json or behaviors.json, or has a node name a line.

Keys of --json: model, weights_sha256, from, nodes, questions, scores[] (class, ablation, right,
wrong by token, random, best_random), useful, covered, minimality[], grown[], pruned.")]
pub struct CircuitCommand {
    /// The model's folder or file of weights; without it, the bundled mixed model
    dir: Option<PathBuf>,
    /// Keep the nodes that this hypothesis comes to
    #[arg(long, value_name = "FILE", group = "nodes_from")]
    hypothesis: Option<PathBuf>,
    /// Keep the nodes of this file
    #[arg(long, value_name = "FILE", group = "nodes_from")]
    nodes: Option<PathBuf>,
    /// Keep the nodes of the model's behaviors.json
    #[arg(long, group = "nodes_from")]
    behaviors: bool,
    #[command(flatten)]
    known: Known,
    /// Rightly answered questions of each class
    #[arg(long, value_name = "N", default_value_t = QUESTIONS)]
    questions: usize,
    /// Random sets of as many heads and MLPs to compare with
    #[arg(long, value_name = "N", default_value_t = RANDOM_SETS)]
    random_sets: usize,
    /// Also leave out each node in turn
    #[arg(long)]
    minimality: bool,
    /// Also add the nodes that help most, until enough questions are right
    #[arg(long)]
    grow: bool,
    /// Also leave out what is not needed, once enough questions are right (after growing, if asked)
    #[arg(long)]
    prune: bool,
    /// Share of questions that is enough
    #[arg(long, value_name = "SHARE", default_value_t = ENOUGH)]
    until: f64,
    /// Most nodes to add
    #[arg(long, value_name = "N", default_value_t = MOST_ADDED)]
    most: usize,
    /// Chance of any wrong interval
    #[arg(long, value_name = "SHARE", default_value_t = Options::default().alpha)]
    alpha: f64,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    #[command(flatten)]
    format: Format,
}

impl CircuitCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = Model::open(self.dir.as_deref())?;
        let (from, named) = self.named(&model)?;
        let operations = model.folder.operations();
        let baseline = Baseline::measure(&model.engine, operations, self.alpha, self.seed)?;
        if baseline.classes.iter().all(|class| !class.passes) {
            warn("the unpatched model fails the baseline in every class, so no circuit is scored");
            return Ok(ExitCode::Baseline);
        }
        let bench = Workbench::new(&model.engine, &baseline, self.questions)?;
        let keep: NodeSet = named.intersection(bench.nodes()).copied().collect();
        let bar = progress_bar("scoring");
        let scoring = Scoring {
            random_sets: self.random_sets,
            alpha: self.alpha,
            seed: self.seed,
        };
        let scores = bench.score(&keep, scoring, &mut |done, of| {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let useful = bench.useful()?;
        let covered = useful.intersection(&keep).copied().collect();
        let without = match self.minimality {
            true => minimality(&bench, &keep)?,
            false => Vec::new(),
        };
        let grown = match self.grow {
            true => {
                let bar = progress_bar("growing");
                bar.set_length(self.most as u64);
                let found = grow(&bench, &keep, self.until, self.most, self.seed, &mut |_| {
                    bar.inc(1);
                })?;
                bar.finish_and_clear();
                found
            }
            false => Vec::new(),
        };
        let whole: NodeSet = keep
            .iter()
            .copied()
            .chain(grown.iter().map(|added| added.node))
            .collect();
        let pruned = match self.prune {
            true => Some(prune(&bench, &whole, self.until, &mut |_| {})?),
            false => None,
        };
        self.format.print(&Shown {
            identity: model.identity(),
            from,
            named: named.len(),
            available: bench.nodes().len(),
            nodes: keep,
            questions: self.questions,
            scores,
            useful,
            covered,
            minimality: without,
            grown,
            pruned,
        })?;
        Ok(ExitCode::Success)
    }

    /// Where the nodes are from, and which.
    fn named(&self, model: &Model) -> Result<(String, NodeSet), CliError> {
        if let Some(path) = &self.hypothesis {
            let tested = test_file(model, path, &self.known, self.alpha, self.seed)?;
            return Ok((tested.hypothesis, tested.circuit));
        }
        let folder = &model.folder;
        if let Some(path) = &self.nodes {
            let nodes = named_in(model, path, &RawFile::read(path)?.bytes)?;
            return Ok((path.display().to_string(), nodes));
        }
        if self.behaviors {
            let file = folder
                .behaviors
                .as_ref()
                .ok_or_else(|| CliError::input(&folder.name, "there is no behaviors.json"))?;
            let nodes = named_in(model, &file.path, &file.bytes)?;
            return Ok(("behaviors.json".into(), nodes));
        }
        let file = folder.features.as_ref().ok_or_else(|| {
            CliError::input(
                &folder.name,
                "there is no features.json, so nothing is claimed",
            )
        })?;
        // The file also lists nodes that nothing is claimed of.
        let shown = file.path.display().to_string();
        let claims = claims_of(&read_tagged_nodes(&shown, &file.bytes)?);
        let names: Vec<NodeName> = claims.iter().map(|claim| claim.node).collect();
        let nodes = model.nodes(&names)?.into_iter().collect();
        Ok(("features.json".into(), nodes))
    }
}

/// The nodes a file names: tagged nodes as JSON, or a name a line.
fn named_in(model: &Model, path: &Path, bytes: &[u8]) -> Result<NodeSet, CliError> {
    let shown = path.display().to_string();
    let names: Vec<NodeName> = if bytes.trim_ascii_start().starts_with(b"[") {
        let nodes = read_tagged_nodes(&shown, bytes)?;
        nodes.into_iter().map(|tagged| tagged.node).collect()
    } else {
        let text = std::str::from_utf8(bytes).map_err(|error| CliError::input(&shown, error))?;
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(i, line)| {
                line.trim().parse().map_err(|error| {
                    CliError::input(format_args!("{shown}: line {}", i + 1), error)
                })
            })
            .collect::<Result<_, _>>()?
    };
    Ok(model.nodes(&names)?.into_iter().collect())
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    identity: Identity,
    from: String,
    /// Nodes named, with those that reach no answer.
    named: usize,
    /// Nodes that reach an answer.
    available: usize,
    nodes: NodeSet,
    questions: usize,
    scores: Vec<Score>,
    useful: NodeSet,
    covered: BTreeSet<Node>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    minimality: Vec<Minimality>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grown: Vec<Added>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<Pruned>,
}

fn percent(count: &Count) -> String {
    format!("{:.1} %", 100.0 * count.share())
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self.nodes.iter().filter(|n| n.head().is_some()).count();
        writeln!(
            f,
            "{} of {} nodes kept ({heads} heads, {} MLPs), from {}\n",
            self.nodes.len(),
            self.available,
            self.nodes.len() - heads,
            self.from
        )?;
        let mut table = Table::new([
            Side::Left,
            Side::Left,
            Side::Right,
            Side::Left,
            Side::Right,
            Side::Right,
            Side::Left,
        ]);
        table.heading([
            "class",
            "others",
            "right",
            "interval",
            "random",
            "best random",
            "tokens that fail",
        ]);
        for score in &self.scores {
            let count = Count {
                hits: score.right.hits,
                trials: score.right.trials,
            };
            let wrong: Vec<String> = score
                .wrong
                .iter()
                .rev()
                .map(|(token, count)| format!("{token} {count}"))
                .collect();
            table.row([
                score.class.into(),
                score.ablation.into(),
                percent(&count).into(),
                format!("[{:.3}, {:.3}]", score.right.lower, score.right.upper).into(),
                percent(&score.random).into(),
                percent(&score.best_random).into(),
                wrong.join(", ").into(),
            ]);
        }
        table.fmt(f)?;
        let missing: Vec<String> = self
            .useful
            .iter()
            .filter(|node| !self.covered.contains(*node))
            .map(Node::to_string)
            .collect();
        writeln!(
            f,
            "\ncoverage: {} of {} useful nodes{}",
            self.covered.len(),
            self.useful.len(),
            if missing.is_empty() {
                String::new()
            } else {
                format!("; not among them {}", missing.join(" "))
            }
        )?;
        if !self.minimality.is_empty() {
            let mut table = Table::new([Side::Left, Side::Right, Side::Right]);
            table.heading(["left out", "right", "lost"]);
            for found in self.minimality.iter().take(SHOWN) {
                table.row([
                    found.node.into(),
                    percent(&found.right).into(),
                    format!("{:.1} %", 100.0 * found.loss).into(),
                ]);
            }
            let idle = self.minimality.iter().filter(|m| m.loss <= 0.0).count();
            write!(f, "\n{table}")?;
            writeln!(
                f,
                "{idle} of {} are not missed alone",
                self.minimality.len()
            )?;
        }
        if !self.grown.is_empty() {
            let mut table = Table::new([Side::Left, Side::Right, Side::Right]);
            table.heading(["added", "right", "at random"]);
            for added in &self.grown {
                table.row([
                    Cell::styled(added.node, style::PLAIN),
                    percent(&added.right).into(),
                    percent(&added.random).into(),
                ]);
            }
            write!(f, "\n{table}")?;
        }
        if let Some(pruned) = &self.pruned {
            let names: Vec<String> = pruned.nodes.iter().map(Node::to_string).collect();
            writeln!(
                f,
                "\n{} nodes suffice for {}: {}",
                pruned.nodes.len(),
                percent(&pruned.right),
                names.join(" ")
            )?;
        }
        Ok(())
    }
}
