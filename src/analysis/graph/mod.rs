//! The dependency graph of claims and answer tokens.
//!
//! A vertex is an answer token, or a claim's variable with the node set it holds for. There is an
//! edge where information can flow between two vertices and, by the arithmetic, one depends on the
//! other. On request, edges where information can only flow are included as unclaimed.

mod claims;
mod draw;
mod measure;
mod query;
mod stored;

pub use claims::{KnownClaim, KnownClaims, OtherWeights, UNTESTED};
pub use draw::{SCRIPT, dot, figure, html, mermaid, svg};
pub use measure::{Budget, EdgeVerdict, GraphProtocol, MeasuredEdge, Route, TRIALS};
pub use query::{Selector, SelectorError};
pub use stored::{GraphError, GraphEvidence, SCHEMA};

use std::collections::BTreeMap;
use std::fmt;

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};

use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{affected_tokens, feeds};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::task::Variable;
use crate::verify::{Conclusion, VerdictKind};

/// What a vertex represents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VertexKind {
    /// A variable and the nodes that represent it.
    Claim {
        variable: Variable,
        nodes: Vec<Node>,
    },
    Token(AnswerToken),
}

impl fmt::Display for VertexKind {
    /// Writes `A1.ST P9L0H2+P11L0H1`, or `A3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VertexKind::Token(token) => token.fmt(f),
            VertexKind::Claim { variable, nodes } => {
                let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
                write!(f, "{variable} {}", names.join("+"))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Vertex {
    pub kind: VertexKind,
    /// The claims it stands for; empty for an answer token.
    pub claims: Vec<String>,
    /// Their verdict; `None` for an answer token and for untested claims.
    pub verdict: Option<VerdictKind>,
    /// Whether the claim holds but depends only on claims that are refuted or undermined.
    pub undermined: bool,
    /// Whether there is a path to an answer token.
    pub reaches_an_answer: bool,
}

impl Vertex {
    /// Whether it is a claim rather than an answer token.
    pub fn is_claim(&self) -> bool {
        matches!(self.kind, VertexKind::Claim { .. })
    }

    /// Whether it is a claim whose verdict says that it holds.
    pub fn holds(&self) -> bool {
        self.verdict.is_some_and(VerdictKind::holds)
    }
}

/// An edge: one vertex feeds another.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Whether the dependency follows from the arithmetic.
    pub claimed: bool,
    /// Whether a node of the source writes what a node of the target reads, with no node between.
    /// Otherwise information can only pass through nodes without claims.
    pub direct: bool,
    /// The measurements, if any were made.
    pub measured: Option<MeasuredEdge>,
}

impl Edge {
    /// The verdict on the edge.
    pub fn verdict(&self) -> EdgeVerdict {
        self.measured
            .as_ref()
            .map_or(EdgeVerdict::Unmeasured, MeasuredEdge::verdict)
    }

    /// Whether the edge propagates verdicts: it was measured to feed, or is claimed and not
    /// measured.
    pub fn stands(&self) -> bool {
        match self.verdict() {
            EdgeVerdict::Feeds | EdgeVerdict::Relayed => true,
            EdgeVerdict::Unmeasured => self.claimed,
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Graph {
    pub shape: Shape,
    pub edges: DiGraph<Vertex, Edge>,
    /// Claims that cannot become a vertex.
    pub left_out: Vec<String>,
    /// How the edges were measured, if they were.
    pub protocol: Option<GraphProtocol>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flows {
    /// Whether to include edges that do not follow from the arithmetic.
    pub unclaimed: bool,
    /// Whether to include edges that only nodes without claims could transmit.
    pub relayed: bool,
}

/// The tokens that a vertex's value can change.
fn reach_of(kind: &VertexKind, shape: &Shape) -> TokenSet {
    match kind {
        VertexKind::Token(token) => TokenSet::only(*token),
        VertexKind::Claim { variable, .. } => affected_tokens(*variable, shape.n_digits),
    }
}

/// The edge from one vertex to another, if information can flow.
fn edge(from: &VertexKind, to: &VertexKind, shape: &Shape, flows: Flows) -> Option<Edge> {
    let VertexKind::Claim {
        variable,
        nodes: sources,
    } = from
    else {
        return None;
    };
    let (direct, possible, claimed) = match to {
        VertexKind::Token(token) => (
            sources
                .iter()
                .any(|node| node.writes_to_token(shape) == Some(*token)),
            sources
                .iter()
                .any(|node| node.can_feed_token(*token, shape)),
            affected_tokens(*variable, shape.n_digits).contains(*token),
        ),
        VertexKind::Claim {
            variable: fed,
            nodes: targets,
        } => {
            // Sets that span layers could feed each other. Edges lead from the set that is complete
            // first, so there are no cycles.
            let last = |nodes: &[Node]| nodes.iter().map(Node::depth).max();
            if last(sources) >= last(targets) || sources.iter().any(|node| targets.contains(node)) {
                return None;
            }
            let any = |flows: fn(&Node, &Node) -> bool| {
                sources
                    .iter()
                    .any(|from| targets.iter().any(|to| flows(from, to)))
            };
            (
                any(Node::writes_to),
                any(Node::can_feed),
                feeds(*variable, *fed),
            )
        }
    };
    let overlaps = !reach_of(from, shape)
        .intersection(reach_of(to, shape))
        .is_empty();
    let wanted = (claimed || flows.unclaimed) && (direct || (possible && flows.relayed));
    // Unless both can change a common token, no pair of questions shows the edge.
    (wanted && overlaps).then_some(Edge {
        claimed,
        direct,
        measured: None,
    })
}

/// The more favourable of two verdicts on claims of the same nodes.
fn best(one: Option<VerdictKind>, other: Option<VerdictKind>) -> Option<VerdictKind> {
    let place = |kind: &VerdictKind| {
        VerdictKind::FROM_TRUE_TO_FALSE
            .iter()
            .position(|k| k == kind)
    };
    one.into_iter().chain(other).min_by_key(place)
}

impl Graph {
    /// The graph of these claims, with all edges unmeasured.
    pub fn new(known: KnownClaims, shape: Shape, flows: Flows) -> Self {
        type NamesWithVerdict = (Vec<String>, Option<VerdictKind>);
        let mut claims: BTreeMap<VertexKind, NamesWithVerdict> = BTreeMap::new();
        for claim in known.claims {
            let kind = VertexKind::Claim {
                variable: claim.variable,
                nodes: claim.nodes,
            };
            let (names, verdict) = claims
                .entry(kind)
                .or_insert_with(|| (Vec::new(), claim.verdict));
            names.push(claim.claim);
            *verdict = best(*verdict, claim.verdict);
        }
        let mut edges = DiGraph::new();
        let vertex = |kind, claims, verdict| Vertex {
            kind,
            claims,
            verdict,
            undermined: false,
            reaches_an_answer: false,
        };
        for (kind, (names, verdict)) in claims {
            edges.add_node(vertex(kind, names, verdict));
        }
        for token in TokenSet::all(shape.n_digits).iter() {
            edges.add_node(vertex(VertexKind::Token(token), Vec::new(), None));
        }
        let all: Vec<NodeIndex> = edges.node_indices().collect();
        for &from in &all {
            for &to in &all {
                if let Some(edge) = edge(&edges[from].kind, &edges[to].kind, &shape, flows) {
                    edges.add_edge(from, to, edge);
                }
            }
        }
        let mut graph = Graph {
            shape,
            edges,
            left_out: known.left_out,
            protocol: None,
        };
        graph.settle();
        graph
    }

    /// Removes the edges that `keep` rejects, so that they are not measured and take no share of
    /// the error.
    pub fn keep_edges(&mut self, keep: impl Fn(&Vertex, &Vertex) -> bool) {
        self.edges.retain_edges(|edges, edge| {
            let (from, to) = edges.edge_endpoints(edge).expect("every edge has two ends");
            keep(&edges[from], &edges[to])
        });
        self.settle();
    }

    /// The vertices in topological order.
    ///
    /// # Panics
    /// If there is a cycle, which would be a bug: a feed-forward network cannot have one.
    pub fn order(&self) -> Vec<NodeIndex> {
        toposort(&self.edges, None).expect("edges lead to later vertices")
    }

    /// The source and target of an edge.
    ///
    /// # Panics
    /// If the edge belongs to another graph.
    pub fn ends(&self, edge: EdgeIndex) -> (NodeIndex, NodeIndex) {
        let ends = self.edges.edge_endpoints(edge);
        ends.expect("every edge has two ends")
    }

    /// Propagates verdicts along the edges that feed (see [`Edge::stands`]).
    fn settle(&mut self) {
        let order = self.order();
        for &vertex in &order {
            let supports: Vec<NodeIndex> = self.feeding(vertex);
            let holds = self.edges[vertex].holds();
            let sound = |support: &NodeIndex| {
                let support = &self.edges[*support];
                !support.undermined && !support.verdict.is_some_and(VerdictKind::refutes)
            };
            self.edges[vertex].undermined =
                holds && !supports.is_empty() && !supports.iter().any(sound);
        }
        for &vertex in order.iter().rev() {
            let reaches = match self.edges[vertex].kind {
                VertexKind::Token(_) => true,
                VertexKind::Claim { .. } => self
                    .fed_by(vertex)
                    .iter()
                    .any(|&fed| self.edges[fed].reaches_an_answer),
            };
            self.edges[vertex].reaches_an_answer = reaches;
        }
    }

    /// The vertices that feed this one, by edges that propagate verdicts.
    pub fn feeding(&self, vertex: NodeIndex) -> Vec<NodeIndex> {
        self.beside(vertex, petgraph::Incoming)
    }

    /// The vertices that this one feeds, by edges that propagate verdicts.
    pub fn fed_by(&self, vertex: NodeIndex) -> Vec<NodeIndex> {
        self.beside(vertex, petgraph::Outgoing)
    }

    fn beside(&self, vertex: NodeIndex, direction: petgraph::Direction) -> Vec<NodeIndex> {
        use petgraph::visit::EdgeRef;
        let mut beside: Vec<NodeIndex> = self
            .edges
            .edges_directed(vertex, direction)
            .filter(|edge| edge.weight().stands())
            .map(|edge| match direction {
                petgraph::Incoming => edge.source(),
                petgraph::Outgoing => edge.target(),
            })
            .collect();
        beside.sort();
        beside
    }

    /// The conclusion from edges and claims: refuted by a claimed edge that is unspecific, or by an
    /// undermined claim.
    pub fn conclusion(&self) -> Conclusion {
        let mut edges = self.edges.edge_weights();
        let refuted =
            edges.any(|edge| edge.claimed && matches!(edge.verdict(), EdgeVerdict::Unspecific));
        if refuted || self.undermined().next().is_some() {
            Conclusion::Refuted
        } else {
            Conclusion::Sound
        }
    }

    /// Claims that hold but depend only on refuted or undermined ones.
    pub fn undermined(&self) -> impl Iterator<Item = &Vertex> {
        self.edges.node_weights().filter(|vertex| vertex.undermined)
    }

    /// Claims without a path to an answer token.
    pub fn unconnected(&self) -> impl Iterator<Item = &Vertex> {
        self.edges
            .node_weights()
            .filter(|vertex| !vertex.reaches_an_answer)
    }
}
