//! `circuit`: how well a set of nodes does alone, and what of it is needed.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::circuit::{
    Circuit, CircuitEvidence, Comparing, ENOUGH, MOST_ADDED, NamedCircuit, QUESTIONS, RANDOM_SETS,
};
use circuitcheck::domain::node::NodeName;
use circuitcheck::experiment::Rules;
use circuitcheck::experiment::stats::Count;
use circuitcheck::report::{failing_tokens, percent, store_circuits, test_sentences};
use circuitcheck::verify::Conclusion;
use clap::Args;
use serde::Serialize;

use super::tagged_file::read_tagged_file;
use super::test::test_file;
use crate::cli::args::alpha;
use crate::cli::args::count::{MOST_OF_CLASS, MOST_SETS, count_to};
use crate::cli::args::known_claims::Known;
use crate::cli::args::model::{Model, ModelArg};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, hold, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Nodes of the minimality list that the text shows.
const SHOWN: usize = 10;

/// Measure accuracy with only the given nodes intact
///
/// The nodes are those a hypothesis comes to, those of a file, or those of the model's
/// behaviors.json, each a circuit of its own where several are given; without any of these, or with
/// --claims beside them, those that claims are made of. All others hold their mean over questions of the same class, or their
/// value in another question of it. As many random heads and MLPs stand beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck circuit models/w126_add_d5_l2* --behaviors
  circuitcheck circuit models/w126_add_d5_l2* --hypothesis hypotheses/own_addition.toml --minimality
  circuitcheck circuit models/w126_add_d5_l2* --behaviors --hypothesis hypotheses/addition.toml --out reports/add
  circuitcheck circuit --behaviors --grow --json
  circuitcheck circuit models/w126_add_d5_l1* --claims --behaviors --tests

The file of --nodes is a features.json or behaviors.json, or has a node name a line.

Keys of --json: schema, model, weights_sha256, shape, questions, random_sets, alpha, until, seed,
available, useful, and circuits[], each with from, nodes, scores[] (class, ablation, right, wrong by
token, random, best_random), covered, explained, minimality[], grown[], pruned, tests (classes[]:
class, ranked_on, judged_on, faithfulness, scrubbing, hypotheses; minimality), and tested (the
hypothesis, clause by clause).")]
pub struct CircuitCommand {
    #[command(flatten)]
    model: ModelArg,
    /// Keep the nodes that this hypothesis comes to; may be given more than once
    #[arg(long, value_name = "FILE")]
    hypothesis: Vec<PathBuf>,
    /// Keep the nodes of this file; may be given more than once
    #[arg(long, value_name = "FILE")]
    nodes: Vec<PathBuf>,
    /// Keep the nodes of the model's behaviors.json, or of FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    behaviors: Option<Option<PathBuf>>,
    /// Keep the nodes that claims are made of, beside other circuits
    #[arg(long)]
    claims: bool,
    #[command(flatten)]
    known: Known,
    /// Rightly answered questions of each class
    #[arg(long, alias = "questions", value_name = "N", default_value_t = QUESTIONS, value_parser = count_to::<usize>(MOST_OF_CLASS), allow_negative_numbers = true)]
    count: usize,
    /// Random sets of as many heads and MLPs to compare with
    #[arg(long, value_name = "N", default_value_t = RANDOM_SETS, value_parser = count_to::<usize>(MOST_SETS))]
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
    /// Also make the tests that the literature makes of circuits: faithfulness, causal scrubbing, and the
    /// hypotheses of equivalence, independence and minimality, on questions of their own
    #[arg(long)]
    tests: bool,
    /// Share of questions that is enough
    #[arg(long, value_name = "SHARE", default_value_t = ENOUGH)]
    until: f64,
    /// Most nodes to add
    #[arg(long, value_name = "N", default_value_t = MOST_ADDED, value_parser = count_to::<usize>(MOST_SETS))]
    most: usize,
    /// Chance of any wrong interval of a circuit's scores. The tests have their own (docs/METHOD.md)
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = alpha)]
    alpha: f64,
    #[command(flatten)]
    draws: SeedArg,
    /// Also write circuit.json and circuit.md to this folder
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

impl CircuitCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let out = self.out.as_deref();
        let _held = out.map(|out| hold(out, "circuit")).transpose()?;
        let model = self.model.open()?;
        let named = self.named(&model)?;
        let evidence = with_progress(|progress| {
            let comparing = self.comparing();
            comparing.compare(&model.folder, &model.engine, named, progress)
        })?;
        let Some(evidence) = evidence else {
            warn("the unpatched model fails the baseline in every class, so no circuit is scored");
            return Ok(Conclusion::Baseline.into());
        };
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = out.map(|out| store_circuits(out, &evidence)).transpose();
        let heading = model.heading().seed(self.draws.seed);
        let heading = heading.and(format_args!("{} questions of each class", self.count));
        self.format
            .print_under(&heading, &ShownCircuits(&evidence))?;
        stored?;
        if let Some(out) = &self.out {
            wrote("circuit.json and circuit.md", out);
        }
        Ok(ExitCode::Success)
    }

    fn comparing(&self) -> Comparing {
        Comparing {
            questions: self.count,
            random_sets: self.random_sets,
            minimality: self.minimality,
            grow: self.grow,
            prune: self.prune,
            tests: self.tests,
            until: self.until,
            most: self.most,
            alpha: self.alpha,
            seed: self.draws.seed,
        }
    }

    fn named(&self, model: &Model) -> Result<Vec<NamedCircuit>, CliError> {
        let folder = &model.folder;
        let mut all = Vec::new();
        let named =
            self.behaviors.is_some() || !self.nodes.is_empty() || !self.hypothesis.is_empty();
        if self.claims || !named {
            all.push(NamedCircuit::claimed(folder)?);
        }
        match &self.behaviors {
            Some(None) => all.push(NamedCircuit::behaving(folder)?),
            Some(Some(path)) => all.push(listed(model, path)?),
            None => {}
        }
        for path in &self.nodes {
            all.push(listed(model, path)?);
        }
        for path in &self.hypothesis {
            let tested = test_file(model, path, &self.known, self.alpha, self.draws.seed)?;
            all.push(NamedCircuit::of(path, tested));
        }
        Ok(all)
    }
}

/// The circuit of the nodes that a file lists.
fn listed(model: &Model, path: &Path) -> Result<NamedCircuit, CliError> {
    let file = read_tagged_file(path)?;
    Ok(NamedCircuit::listed(&file, &model.engine.shape())?)
}

#[derive(Serialize)]
#[serde(transparent)]
struct ShownCircuits<'a>(&'a CircuitEvidence);

impl fmt::Display for ShownCircuits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, circuit) in self.0.circuits.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write_circuit(f, self.0, circuit)?;
        }
        Ok(())
    }
}

fn write_circuit(
    f: &mut fmt::Formatter<'_>,
    evidence: &CircuitEvidence,
    circuit: &Circuit,
) -> fmt::Result {
    let (heads, mlps) = circuit.make_up();
    writeln!(
        f,
        "{} of {} nodes kept ({heads} heads, {mlps} MLPs), from {}\n",
        circuit.nodes.len(),
        evidence.available,
        circuit.from
    )?;
    write_scores(f, circuit)?;
    let missing: Vec<String> = evidence
        .useful
        .difference(&circuit.covered)
        .map(NodeName::to_string)
        .collect();
    writeln!(
        f,
        "\ncoverage: {} of {} useful nodes{}{}",
        circuit.covered.len(),
        evidence.useful.len(),
        match &circuit.explained {
            Some(explained) => format!(", {} of them explained by a clause", explained.len()),
            None => String::new(),
        },
        match missing.is_empty() {
            true => String::new(),
            false => format!("; not among them {}", missing.join(" ")),
        }
    )?;
    if !circuit.minimality.is_empty() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Right]);
        table.heading(["left out", "right", "lost"]);
        for found in circuit.minimality.iter().take(SHOWN) {
            table.row([
                found.node.into(),
                percent(&found.right).into(),
                format!("{:.1} %", 100.0 * found.loss).into(),
            ]);
        }
        let idle = circuit.minimality.iter().filter(|m| m.loss <= 0.0).count();
        writeln!(
            f,
            "\n{table}{idle} of {} are not missed alone",
            circuit.minimality.len()
        )?;
    }
    if !circuit.grown.is_empty() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Right]);
        table.heading(["added", "right", "at random"]);
        for added in &circuit.grown {
            table.row([
                Cell::styled(added.node, style::PLAIN),
                percent(&added.right).into(),
                percent(&added.random).into(),
            ]);
        }
        write!(f, "\n{table}")?;
    }
    if let Some(pruned) = &circuit.pruned {
        let names: Vec<String> = pruned.nodes.iter().map(NodeName::to_string).collect();
        writeln!(
            f,
            "\n{} nodes suffice for {}: {}",
            pruned.nodes.len(),
            percent(&pruned.right),
            names.join(" ")
        )?;
    }
    let sentences = test_sentences(circuit, evidence.alpha);
    if !sentences.is_empty() {
        writeln!(f, "\n{}", sentences.join("\n"))?;
    }
    Ok(())
}

fn write_scores(f: &mut fmt::Formatter<'_>, circuit: &Circuit) -> fmt::Result {
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
    for score in &circuit.scores {
        let count = Count {
            hits: score.right.hits,
            trials: score.right.trials,
        };
        table.row([
            score.class.into(),
            score.ablation.into(),
            percent(&count).into(),
            format!("[{:.3}, {:.3}]", score.right.lower, score.right.upper).into(),
            percent(&score.random).into(),
            percent(&score.best_random).into(),
            failing_tokens(score).into(),
        ]);
    }
    write!(f, "{table}")
}
