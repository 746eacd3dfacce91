//! Measures edges by path patching, with counterfactual pairs and control pairs.

use std::collections::BTreeSet;
use std::fmt;

use petgraph::graph::{EdgeIndex, NodeIndex};
use serde::{Deserialize, Serialize};

use super::{Graph, VertexKind, reach_of};
use crate::domain::arithmetic::{Answer, Prompt, TokenSet};
use crate::domain::causal::{Family, Kind, Pair, predict, responds, value};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::{Count, Rate};
use crate::experiment::{NEGLIGIBLE, TIE_MARGIN, stream};
use crate::network::engine::{
    Activations, Decode, Engine, EngineError, Intervention, PathPatch, Scale, Site, Source, Target,
};
use crate::network::logits::AnswerLogits;

/// Pairs drawn for each pair wanted before the search for suitable ones ends: enough for a
/// condition that one pair in fifty meets, such as a cascade through one given column.
const DRAWS_PER_PAIR: usize = 50;

/// Trials per edge: an effect that never occurs is then known to be negligible, at the error that a
/// graph of several hundred edges leaves for each.
pub const TRIALS: usize = 256;

/// The trials and error to spend on measuring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Counterfactual trials per edge, and as many control trials.
    pub trials: usize,
    /// Error of the whole graph.
    pub alpha: f64,
    pub seed: u64,
    /// Whether to measure routes through nodes without claims too.
    pub relayed: bool,
}

/// The rules by which a graph was measured.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct GraphProtocol {
    /// Counterfactual trials per edge, and as many control trials.
    pub trials: usize,
    /// Error of the whole graph: all measurements, both directions.
    pub alpha: f64,
    pub seed: u64,
    /// Measurements that share the error.
    pub measurements: usize,
}

/// One route from a vertex to another.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub struct Route {
    /// Counterfactual trials that changed a token the source should change.
    pub effect: Rate,
    /// Counterfactual trials that changed such a token as predicted, and no other token.
    pub interchange_accuracy: Count,
    /// Control trials that changed a token that both ends can change.
    pub null: Rate,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct MeasuredEdge {
    /// The source's own contribution to what the target reads, with everything else frozen,
    /// including layer norms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Route>,
    /// Counterfactual trials with an effect when the layer norm's scale is recomputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfrozen: Option<Count>,
    /// The same through any nodes without claims, with the nodes of all other vertices frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<Route>,
}

/// The verdict on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeVerdict {
    /// The source's own contribution changes the target's answer, more often than in control pairs.
    Feeds,
    /// The source has no direct effect, but one through nodes without claims.
    Relayed,
    /// The answer changes, but as often in control pairs.
    Unspecific,
    /// The effect is negligible.
    Silent,
    /// The trials did not decide.
    Open,
    /// There are no counterfactual pairs for it.
    Untestable,
    /// Not measured.
    Unmeasured,
}

impl fmt::Display for EdgeVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            EdgeVerdict::Feeds => "feeds",
            EdgeVerdict::Relayed => "relayed",
            EdgeVerdict::Unspecific => "unspecific",
            EdgeVerdict::Silent => "silent",
            EdgeVerdict::Open => "open",
            EdgeVerdict::Untestable => "untestable",
            EdgeVerdict::Unmeasured => "unmeasured",
        })
    }
}

impl Route {
    /// The verdict from this route alone.
    fn verdict(&self) -> EdgeVerdict {
        if self.effect.trials == 0 {
            EdgeVerdict::Untestable
        } else if self.effect.upper <= NEGLIGIBLE {
            EdgeVerdict::Silent
        } else if self.effect.lower > NEGLIGIBLE && self.effect.lower > self.null.upper {
            EdgeVerdict::Feeds
        } else if self.effect.lower > NEGLIGIBLE && self.null.lower > NEGLIGIBLE {
            EdgeVerdict::Unspecific
        } else {
            EdgeVerdict::Open
        }
    }
}

impl MeasuredEdge {
    /// The verdict from both routes together.
    pub fn verdict(&self) -> EdgeVerdict {
        let direct = self.direct.map(|route| route.verdict());
        let relayed = self.relayed.map(|route| route.verdict());
        match (direct, relayed) {
            (Some(EdgeVerdict::Feeds), _) => EdgeVerdict::Feeds,
            (_, Some(EdgeVerdict::Feeds)) => EdgeVerdict::Relayed,
            (Some(EdgeVerdict::Silent) | None, Some(other)) => other,
            (Some(direct), _) => direct,
            (None, None) => EdgeVerdict::Unmeasured,
        }
    }
}

/// The measurement of one edge.
struct Link<'a> {
    variable: Variable,
    sources: &'a [Node],
    target: &'a VertexKind,
    /// Tokens that the target can change.
    tokens: TokenSet,
    claimed: bool,
    /// Nodes of all other vertices.
    others: Vec<Node>,
}

impl Link<'_> {
    /// Whether a path from source to target would show in this pair.
    fn tells(&self, pair: &Pair) -> bool {
        match self.target {
            VertexKind::Claim { variable, .. } if self.claimed => {
                responds(self.variable, *variable, pair)
            }
            _ => !self.expected(pair).is_empty(),
        }
    }

    /// The target's tokens that the pair's prediction changes.
    fn expected(&self, pair: &Pair) -> TokenSet {
        let predicted = predict(self.variable, &pair.source, &pair.base);
        let changed = predicted.map(|p| p.changed_from(&Answer::of(&pair.base)));
        changed.unwrap_or_default().intersection(self.tokens)
    }

    /// Whether the base question is in the target's domain.
    fn in_domain(&self, pair: &Pair) -> bool {
        match self.target {
            VertexKind::Token(_) => true,
            VertexKind::Claim { variable, .. } => {
                value(*variable, &Prompt::truth(pair.base)).is_some()
            }
        }
    }

    fn pairs(&self, kind: Kind, n_digits: usize, count: usize, seed: u64) -> Vec<Pair> {
        let family = Family::new(self.variable, kind, n_digits);
        let name = kind.stream_name();
        let target = self.target;
        let mut rng = stream(seed, &format!("{}/{name}/edge/{target}", self.variable));
        let fits = |pair: &Pair| match kind {
            Kind::Counterfactual => self.tells(pair),
            Kind::Control => self.in_domain(pair),
        };
        let mut draws = family.draws();
        let mut pairs = Vec::new();
        let mut left = count * DRAWS_PER_PAIR;
        while pairs.len() < count && left > 0 {
            let drawn = draws.take(count.min(left), &mut rng);
            if drawn.is_empty() {
                break;
            }
            left -= drawn.len();
            pairs.extend(drawn.into_iter().map(|(_, pair)| pair).filter(fits));
        }
        pairs.truncate(count);
        pairs
    }
}

/// One pair whose base question is answered correctly, by its index in the base run.
struct PathTrial {
    question: usize,
    pair: Pair,
}

#[derive(Debug, Clone, Copy, Default)]
struct EdgeTally {
    effect: Count,
    interchange_accuracy: Count,
}

impl EdgeTally {
    fn route(self, null: Count, alpha: f64) -> Route {
        Route {
            effect: Rate::sampled(self.effect, alpha).as_written(),
            interchange_accuracy: self.interchange_accuracy,
            null: Rate::sampled(null, alpha).as_written(),
        }
    }
}

impl Graph {
    /// Measures every edge. `progress` receives the number of edges done and the total.
    ///
    /// # Errors
    /// [`EngineError`] where a patch was not applied.
    pub fn measure(
        &mut self,
        engine: &Engine,
        budget: Budget,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), EngineError> {
        let ways = |graph: &Graph, edge: EdgeIndex| {
            usize::from(graph.edges[edge].direct) + usize::from(budget.relayed)
        };
        let edges: Vec<EdgeIndex> = self.edges.edge_indices().collect();
        let measurements: usize = edges.iter().map(|&edge| ways(self, edge)).sum();
        let alpha = budget.alpha / (2 * measurements.max(1)) as f64;
        for (done, &edge) in edges.iter().enumerate() {
            progress(done, edges.len());
            let (from, to) = self.ends(edge);
            let measured = self.measure_edge(engine, edge, (from, to), alpha, budget)?;
            self.edges[edge].measured = Some(measured);
        }
        self.protocol = Some(GraphProtocol {
            trials: budget.trials,
            alpha: budget.alpha,
            seed: budget.seed,
            measurements,
        });
        self.settle();
        Ok(())
    }

    fn measure_edge(
        &self,
        engine: &Engine,
        edge: EdgeIndex,
        (from, to): (NodeIndex, NodeIndex),
        alpha: f64,
        budget: Budget,
    ) -> Result<MeasuredEdge, EngineError> {
        let VertexKind::Claim {
            variable,
            nodes: sources,
        } = &self.edges[from].kind
        else {
            unreachable!("no edge leaves an answer token");
        };
        let target = &self.edges[to].kind;
        let link = Link {
            variable: *variable,
            sources,
            target,
            tokens: reach_of(target, &self.shape),
            claimed: self.edges[edge].claimed,
            others: self.other_nodes(from, to),
        };
        let direct = self.edges[edge].direct;
        let ways = [
            direct.then_some(Way::Direct(Scale::Frozen)),
            direct.then_some(Way::Direct(Scale::Running)),
            budget.relayed.then_some(Way::Relayed),
        ];
        let [frozen, running, relayed] = ways;
        let mut tallies = [EdgeTally::default(); 3];
        let mut nulls = [Count::default(); 3];
        for kind in [Kind::Counterfactual, Kind::Control] {
            let pairs = link.pairs(kind, self.shape.n_digits, budget.trials, budget.seed);
            let block = crate::experiment::default_block(engine);
            for pairs in pairs.chunks(block) {
                let bench = PathBench::new(engine, &link, pairs)?;
                for (i, way) in ways.into_iter().enumerate() {
                    let Some(way) = way else { continue };
                    // The unfrozen result is only reported beside the frozen one; it decides
                    // nothing.
                    if kind == Kind::Control && way == Way::Direct(Scale::Running) {
                        continue;
                    }
                    bench.count(way, kind, &mut tallies[i], &mut nulls[i])?;
                }
            }
        }
        Ok(MeasuredEdge {
            direct: frozen.map(|_| tallies[0].route(nulls[0], alpha)),
            unfrozen: running.map(|_| tallies[1].effect),
            relayed: relayed.map(|_| tallies[2].route(nulls[2], alpha)),
        })
    }

    /// The nodes of all vertices other than the two ends.
    fn other_nodes(&self, from: NodeIndex, to: NodeIndex) -> Vec<Node> {
        let nodes_of = |vertex: NodeIndex| match &self.edges[vertex].kind {
            VertexKind::Claim { nodes, .. } => nodes.as_slice(),
            VertexKind::Token(_) => &[],
        };
        let all: BTreeSet<Node> = self
            .edges
            .node_indices()
            .flat_map(nodes_of)
            .copied()
            .collect();
        all.into_iter()
            .filter(|node| !nodes_of(from).contains(node) && !nodes_of(to).contains(node))
            .collect()
    }
}

/// The route by which source activations reach the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct(Scale),
    Relayed,
}

/// Pairs of one link, with everything needed to patch them.
struct PathBench<'a> {
    engine: &'a Engine,
    link: &'a Link<'a>,
    run: crate::network::engine::Run,
    trials: Vec<PathTrial>,
    stored: Activations,
    /// Base values of the other vertices' nodes, by question.
    base: Activations,
}

impl<'a> PathBench<'a> {
    fn new(engine: &'a Engine, link: &'a Link, pairs: &[Pair]) -> Result<Self, EngineError> {
        let bases: Vec<Prompt> = pairs.iter().map(|p| Prompt::truth(p.base)).collect();
        let run = engine.run(&bases)?;
        let trials: Vec<PathTrial> = pairs
            .iter()
            .enumerate()
            .filter(|(question, _)| run.logits()[*question].answer() == bases[*question].forced)
            .map(|(question, &pair)| PathTrial { question, pair })
            .collect();
        let sources: Vec<Prompt> = trials.iter().map(|trial| trial.pair.source).collect();
        let sites = |nodes: &[Node]| nodes.iter().map(|&n| Site::from(n)).collect::<Vec<_>>();
        Ok(PathBench {
            stored: engine.activations(&sources, sites(link.sources))?,
            base: engine.activations(&bases, sites(&link.others))?,
            engine,
            link,
            run,
            trials,
        })
    }

    fn count(
        &self,
        way: Way,
        kind: Kind,
        tally: &mut EdgeTally,
        null: &mut Count,
    ) -> Result<(), EngineError> {
        let logits = match way {
            Way::Direct(scale) => self.direct(scale)?,
            Way::Relayed => self.relayed()?,
        };
        for (trial, logits) in self.trials.iter().zip(&logits) {
            let truth = Answer::of(&trial.pair.base);
            let answer = logits.answer();
            let changed = answer.changed_from(&truth).intersection(self.link.tokens);
            let sure = changed
                .iter()
                .any(|place| logits.margin(place) >= TIE_MARGIN);
            // A change within rounding error is ignored.
            if !changed.is_empty() && !sure {
                continue;
            }
            match kind {
                Kind::Control => null.add(!changed.is_empty()),
                Kind::Counterfactual => {
                    let expected = self.link.expected(&trial.pair);
                    let effect = changed.intersection(expected);
                    tally.effect.add(!effect.is_empty());
                    let predicted =
                        predict(self.link.variable, &trial.pair.source, &trial.pair.base)
                            .expect("pairs are drawn inside the variable's domain");
                    let right = effect
                        .iter()
                        .all(|place| answer.get(place) == predicted.get(place));
                    tally
                        .interchange_accuracy
                        .add(!effect.is_empty() && right && changed == effect);
                }
            }
        }
        Ok(())
    }

    fn stored_values(&self, trial: usize) -> impl Iterator<Item = (Node, &[f32])> {
        let nodes = self.link.sources.iter();
        nodes.map(move |&node| (node, self.stored.get(trial, node.into())))
    }

    fn direct(&self, scale: Scale) -> Result<Vec<AnswerLogits>, EngineError> {
        let target = || match self.link.target {
            VertexKind::Token(token) => Target::Answer(TokenSet::only(*token)),
            VertexKind::Claim { nodes, .. } => Target::Nodes(nodes.clone()),
        };
        let jobs: Vec<(usize, PathPatch)> = self
            .trials
            .iter()
            .enumerate()
            .map(|(i, trial)| {
                let patch = PathPatch::new(self.stored_values(i), target(), scale);
                (trial.question, patch)
            })
            .collect();
        self.engine.patch_paths(&self.run, &jobs)
    }

    fn relayed(&self) -> Result<Vec<AnswerLogits>, EngineError> {
        let shown = |i: usize, trial: &PathTrial| {
            let stored = self.link.sources.iter();
            let stored = stored.map(move |&node| self.stored.overwrite(i, node, Source::Stored));
            let others = self.link.others.iter();
            let frozen = others
                .map(|&node| self.base.overwrite(trial.question, node, Source::Own))
                .collect::<Vec<_>>();
            Intervention::new(stored.chain(frozen))
        };
        let patches: Vec<Intervention> = self
            .trials
            .iter()
            .enumerate()
            .map(|(i, trial)| shown(i, trial))
            .collect();
        let question_of = |trial: usize| self.trials[trial].question;
        let VertexKind::Claim { nodes, .. } = self.link.target else {
            let jobs: Vec<(usize, Intervention)> = patches
                .into_iter()
                .enumerate()
                .map(|(i, patch)| (question_of(i), patch))
                .collect();
            return self.engine.intervene(&self.run, &jobs, Decode::Forced);
        };
        let prompts: Vec<Prompt> = self
            .trials
            .iter()
            .map(|trial| self.run.prompts()[trial.question])
            .collect();
        let sites = nodes.iter().map(|&node| Site::from(node));
        let seen = self.engine.activations_under(&prompts, &patches, sites)?;
        let jobs: Vec<(usize, Intervention)> = (0..prompts.len())
            .map(|i| {
                let overwrites = nodes
                    .iter()
                    .map(|&node| seen.overwrite(i, node, Source::Stored));
                (question_of(i), Intervention::new(overwrites))
            })
            .collect();
        self.engine.intervene(&self.run, &jobs, Decode::Forced)
    }
}
