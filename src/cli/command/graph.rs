//! `graph`: which claims feed which, and which answer tokens.

use std::path::PathBuf;

use circuitcheck::analysis::graph::{
    Budget, Edge, EdgeVerdict, Flows, Graph, GraphEvidence, Route, Selector, TRIALS, Vertex,
    VertexKind, dot, html, mermaid, svg,
};
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::model::RawFile;
use circuitcheck::report::store_graph;
use clap::{Args, ValueEnum};
use petgraph::Direction;
use petgraph::graph::NodeIndex;

use crate::cli::args::alpha;
use crate::cli::args::count::{MOST_TRIALS, count_to};
use crate::cli::args::known_claims::{Known, untested};
use crate::cli::args::model::ModelArg;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::heading::Heading;
use crate::cli::term::output::{Printed, hold, write, wrote};
use crate::cli::term::progress::{phase, with_progress};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Draw which claims feed which others, and which answer tokens
///
/// A vertex is a claim with the node set it is true of, or an answer token. An edge stands where
/// information can flow from node to node and the arithmetic says that the one follows from the
/// other. With --measure every edge is tested by path patching: only what the source adds to the
/// target's input carries the value of another question, all else is held, layer norms included.
/// Beside that stands what comes through nodes of which nothing is claimed.
///
/// Verdicts are taken from --evidence or from reports/<model>/evidence.json; where there is neither,
/// the claims are verified first, which takes minutes. A claim that holds and rests on refuted ones
/// alone is shown as undermined.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck graph models/w126_add_d5_l2* --measure
  circuitcheck graph models/w126_add_d5_l2* --measure --out reports/add
  circuitcheck graph --stored reports/w126_add_d5_l2*/graph.json --format html > graph.html
  circuitcheck graph --upstream A3 --format dot | dot -Tpdf > a3.pdf
  circuitcheck graph --downstream P9L0H1
  circuitcheck graph --between A0.ST A3 --json

Verdicts of an edge: feeds; relayed (only by way of nodes that nothing is claimed of); unspecific
(control pairs move the answer as often); silent; open; untestable (there is no counterfactual pair);
unmeasured.

svg and html draw token positions as columns and layers as rows. The page of html needs nothing
beside it: drag, zoom, and click a claim to light what it rests on and what it feeds.

Keys of --json: schema, model, weights_sha256, shape, protocol, vertices[] (id, kind, and of claims
task, digit, nodes, claims, verdict, undermined, reaches_an_answer), edges[] (from, to, claimed,
direct, verdict, measured), order, undermined, unconnected, left_out.

Ends with exit code 1 if a claimed edge is unspecific or a claim is undermined.")]
pub struct GraphCommand {
    #[command(flatten)]
    model: ModelArg,
    /// Form of the graph
    #[arg(long, value_enum, default_value_t = GraphForm::Text)]
    format: GraphForm,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    known: Known,
    /// Take the claims as the folder's features.json makes them, without verdicts
    #[arg(long, conflicts_with = "evidence")]
    unverified: bool,
    /// Show this graph.json, made before, instead of making a graph
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "evidence", "unverified", "measure", "direct_only", "unclaimed"])]
    stored: Option<PathBuf>,
    /// Also write graph.json, graph.svg and graph.html to this folder
    #[arg(short, long, value_name = "DIR", conflicts_with = "part")]
    out: Option<PathBuf>,
    /// Measure every edge
    #[arg(long)]
    measure: bool,
    /// Only what a node reads from another with none between; without it, also what passes through
    /// nodes that nothing is claimed of
    #[arg(long)]
    direct_only: bool,
    /// Also show, and measure, flows that the arithmetic knows nothing of
    #[arg(long)]
    unclaimed: bool,
    /// Only what feeds this: an answer token (A3), a node (P9L0H1) or a variable (A1.ST)
    #[arg(long, value_name = "VERTEX", group = "part")]
    upstream: Option<Selector>,
    /// Only what this feeds
    #[arg(long, value_name = "VERTEX", group = "part")]
    downstream: Option<Selector>,
    /// Only what lies on paths from the first to the second
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], group = "part")]
    between: Option<Vec<Selector>>,
    /// Counterfactual trials for each edge, and as many control trials
    #[arg(long, value_name = "N", default_value_t = TRIALS, value_parser = count_to::<usize>(MOST_TRIALS), requires = "measure")]
    trials: usize,
    /// Chance of any wrong verdict on an edge
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, requires = "measure", value_parser = alpha)]
    alpha: f64,
    #[command(flatten)]
    draws: SeedArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphForm {
    Text,
    Json,
    Dot,
    Mermaid,
    Svg,
    Html,
}

impl GraphCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let out = self.out.as_deref();
        let _held = out.map(|out| hold(out, "graph")).transpose()?;
        let whole = match &self.stored {
            Some(path) => {
                let read = GraphEvidence::from_json(&RawFile::read(path)?.bytes);
                read.map_err(|error| CliError::input(path.display(), error))?
            }
            None => self.make()?,
        };
        let model = whole.model.clone();
        let found = GraphEvidence {
            graph: self.part(&model, whole.graph)?,
            ..whole
        };
        let graph = &found.graph;
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = out.map(|out| store_graph(out, &found)).transpose();
        match if self.json {
            GraphForm::Json
        } else {
            self.format
        } {
            GraphForm::Text => print_text(&self.heading(&found), graph)?,
            GraphForm::Dot => write(dot(graph))?,
            GraphForm::Mermaid => write(mermaid(graph))?,
            GraphForm::Svg => write(svg(graph))?,
            GraphForm::Html => write(html(graph, &found.title()))?,
            GraphForm::Json => write(found.to_json())?,
        };
        stored?;
        if let Some(out) = &self.out {
            wrote("graph.json, graph.svg and graph.html", out);
        }
        Ok(graph.conclusion().into())
    }

    fn heading(&self, found: &GraphEvidence) -> Heading {
        let heading = match self.stored {
            Some(_) => Heading::new(&found.model, None),
            None => self.model.heading(&found.model),
        };
        match &found.graph.protocol {
            Some(protocol) => heading
                .seed(protocol.seed)
                .and(format_args!("{} trials for each edge", protocol.trials)),
            None => heading.and("not measured"),
        }
    }

    /// A graph of the model's claims, measured if that was asked for.
    fn make(&self) -> Result<GraphEvidence, CliError> {
        let model = self.model.open()?;
        let shape = model.engine.shape();
        let known = if self.unverified {
            untested(&model)?
        } else {
            self.known.claims(&model)?
        };
        let flows = Flows {
            unclaimed: self.unclaimed,
            relayed: !self.direct_only,
        };
        let mut graph = Graph::new(known, shape, flows);
        if self.measure {
            let budget = Budget {
                trials: self.trials,
                alpha: self.alpha,
                seed: self.draws.seed,
                relayed: !self.direct_only,
            };
            with_progress(|progress| {
                let mut edges = phase("measuring edges", progress);
                graph.measure(&model.engine, budget, &mut edges)
            })?;
        }
        for claim in &graph.left_out {
            warn(format_args!(
                "no vertex for {claim}: the model has no such node, task or digit"
            ));
        }
        Ok(GraphEvidence::of(&model.folder, graph))
    }

    fn part(&self, model: &str, graph: Graph) -> Result<Graph, CliError> {
        let select = |selector: Selector| -> Result<Vec<NodeIndex>, CliError> {
            let found = graph.select(selector);
            found.map_err(|error| CliError::input(model, error))
        };
        let keep = if let Some(selector) = self.upstream {
            graph.reachable(&select(selector)?, Direction::Incoming)
        } else if let Some(selector) = self.downstream {
            graph.reachable(&select(selector)?, Direction::Outgoing)
        } else if let Some([from, to]) = self.between.as_deref() {
            graph.between(&select(*from)?, &select(*to)?)
        } else {
            return Ok(graph);
        };
        Ok(graph.part(&keep))
    }
}

fn route_text(route: &Route) -> String {
    format!(
        "{}/{} [{:.3}, {:.3}] against {}/{}",
        route.effect.hits,
        route.effect.trials,
        route.effect.lower,
        route.effect.upper,
        route.null.hits,
        route.null.trials
    )
}

fn print_text(heading: &Heading, graph: &Graph) -> Result<Printed, CliError> {
    let measured = graph.protocol.is_some();
    let mut table = Table::new([Side::Left; 5]);
    if measured {
        table.heading(["from", "to", "verdict", "direct", "relayed"]);
    } else {
        table.heading(["from", "to", "verdict", "flow"]);
    }
    // In the order of computation, so that a row only speaks of what stands above it.
    let order = graph.order();
    for &from in &order {
        let mut fed: Vec<(&VertexKind, &Edge)> = graph
            .edges
            .neighbors(from)
            .map(|to| {
                let edge = graph
                    .edges
                    .find_edge(from, to)
                    .expect("neighbours share an edge");
                (&graph.edges[to].kind, &graph.edges[edge])
            })
            .collect();
        fed.sort_by_key(|(to, _)| *to);
        for (to, edge) in fed {
            let mut row: Vec<Cell> = vec![
                graph.edges[from].kind.to_string().into(),
                to.to_string().into(),
                Cell::styled(edge.verdict(), edge_style(edge)),
            ];
            match &edge.measured {
                Some(found) => {
                    row.push(found.direct.as_ref().map_or("-".into(), route_text).into());
                    row.push(found.relayed.as_ref().map_or("-".into(), route_text).into());
                }
                None => row.push(if edge.direct { "direct" } else { "relayed" }.into()),
            }
            table.row(row);
        }
    }
    let names = |vertices: Vec<&Vertex>| {
        let names: Vec<String> = vertices.iter().map(|v| v.kind.to_string()).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let claims = graph
        .edges
        .node_weights()
        .filter(|vertex| vertex.is_claim())
        .count();
    write(format_args!(
        "{heading}\n{table}\n{claims} claims, {} edges\nundermined: {}\nno path to an answer: {}\n",
        graph.edges.edge_count(),
        names(graph.undermined().collect()),
        names(graph.unconnected().collect()),
    ))
}

fn edge_style(edge: &Edge) -> anstyle::Style {
    match edge.verdict() {
        EdgeVerdict::Feeds | EdgeVerdict::Relayed => style::RIGHT,
        EdgeVerdict::Unspecific => style::WRONG,
        EdgeVerdict::Open => style::WARNING,
        _ => style::PLAIN,
    }
}
