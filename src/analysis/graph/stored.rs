//! Stored graphs: writing and reading.

use std::collections::BTreeMap;

use petgraph::algo::is_cyclic_directed;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Edge, EdgeVerdict, Graph, GraphProtocol, MeasuredEdge, UNTESTED, Vertex, VertexKind};
use crate::domain::arithmetic::AnswerToken;
use crate::domain::node::{Node, NodeError, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::inputs::model::ModelFolder;
use crate::storage::{pretty_json, read_stored};
use crate::verify::VerdictKind;

/// The name and version of the format of a stored graph.
pub const SCHEMA: &str = "circuitcheck/graph/3";

/// A graph and the model it belongs to. The same model, verdicts and seed give the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct GraphEvidence {
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    pub graph: Graph,
}

/// Errors in a stored graph.
#[derive(Debug, Error)]
pub enum GraphError {
    /// Not JSON, or JSON of another format.
    #[error("not a dependency graph: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A graph of another version of the format.
    #[error("the graph has the format {found:?}; this version reads {SCHEMA:?}")]
    Schema {
        /// The format it names.
        found: String,
    },
}

impl GraphEvidence {
    /// A graph of the claims of a model.
    pub fn of(folder: &ModelFolder, graph: Graph) -> Self {
        Self {
            model: folder.name.clone(),
            weights_sha256: folder.weights_sha256.clone(),
            graph,
        }
    }

    /// The title of drawings of it.
    pub fn title(&self) -> String {
        format!("Dependency graph of {}", self.model)
    }

    /// The graph as stored: JSON with two spaces of indent and a final line feed.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// Reads a stored graph. Written again it gives the same bytes.
    ///
    /// # Errors
    /// [`GraphError`] where it has another format, or contradicts itself.
    pub fn from_json(json: &[u8]) -> Result<Self, GraphError> {
        read_stored(json, SCHEMA, |found| GraphError::Schema { found })
    }
}

/// The stored format. Lists derived from the rest (`order`, `undermined`, `unconnected`) are for
/// readers of the file and are not read back.
#[derive(Serialize, Deserialize)]
struct Wire {
    schema: String,
    model: String,
    weights_sha256: String,
    shape: Shape,
    protocol: Option<GraphProtocol>,
    vertices: Vec<WireVertex>,
    edges: Vec<WireEdge>,
    #[serde(skip_deserializing)]
    order: Vec<String>,
    #[serde(skip_deserializing)]
    undermined: Vec<String>,
    #[serde(skip_deserializing)]
    unconnected: Vec<String>,
    left_out: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WireVertex {
    id: String,
    #[serde(flatten)]
    kind: WireKind,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum WireKind {
    Answer {
        token: AnswerToken,
    },
    Claim {
        task: Task,
        digit: Option<usize>,
        nodes: Vec<NodeName>,
        claims: Vec<String>,
        #[serde(with = "verdict_or_untested")]
        verdict: Option<VerdictKind>,
        undermined: bool,
        reaches_an_answer: bool,
    },
}

/// A verdict by its name, or [`UNTESTED`].
mod verdict_or_untested {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{UNTESTED, VerdictKind};

    pub fn serialize<S: Serializer>(
        verdict: &Option<VerdictKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(verdict.map_or(UNTESTED, VerdictKind::name))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<VerdictKind>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            UNTESTED => Ok(None),
            name => name.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireEdge {
    from: String,
    to: String,
    claimed: bool,
    direct: bool,
    verdict: EdgeVerdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measured: Option<MeasuredEdge>,
}

/// How a stored graph contradicts itself or its model.
#[derive(Debug, Error)]
enum Contradiction {
    #[error("vertex {id:?}: {source}")]
    Node { id: String, source: NodeError },
    #[error("vertex {id:?} is about digit {digit}, but the model has {n_digits} digits")]
    Digit {
        id: String,
        digit: usize,
        n_digits: usize,
    },
    #[error("vertex {id:?} has the contents of {found:?}")]
    Name { id: String, found: String },
    #[error("vertex {0:?} has no node")]
    NoNode(String),
    #[error("duplicate vertex {0:?}")]
    Twice(String),
    #[error("an edge refers to {0:?}, which is not a vertex")]
    NoVertex(String),
    #[error("an edge leaves the answer token {0}")]
    FromToken(String),
    #[error(
        "the edge from {from:?} to {to:?} is marked {written}, but its measurements give {measured}"
    )]
    Verdict {
        from: String,
        to: String,
        written: EdgeVerdict,
        measured: EdgeVerdict,
    },
    #[error("the edges form a cycle")]
    Cycle,
}

impl From<GraphEvidence> for Wire {
    fn from(evidence: GraphEvidence) -> Self {
        let GraphEvidence {
            model,
            weights_sha256,
            graph,
        } = evidence;
        let name = |vertex: NodeIndex| graph.edges[vertex].kind.to_string();
        let names = |vertices: Vec<&Vertex>| vertices.iter().map(|v| v.kind.to_string()).collect();
        let edges = graph.edges.edge_indices().map(|index| {
            let (from, to) = graph.ends(index);
            let edge = &graph.edges[index];
            WireEdge {
                from: name(from),
                to: name(to),
                claimed: edge.claimed,
                direct: edge.direct,
                verdict: edge.verdict(),
                measured: edge.measured.clone(),
            }
        });
        Wire {
            schema: SCHEMA.into(),
            model,
            weights_sha256,
            shape: graph.shape,
            protocol: graph.protocol.clone(),
            vertices: graph.edges.node_weights().map(WireVertex::of).collect(),
            edges: edges.collect(),
            order: graph.order().into_iter().map(name).collect(),
            undermined: names(graph.undermined().collect()),
            unconnected: names(graph.unconnected().collect()),
            left_out: graph.left_out,
        }
    }
}

impl TryFrom<Wire> for GraphEvidence {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        wire.evidence().map_err(|error| error.to_string())
    }
}

impl Wire {
    fn evidence(self) -> Result<GraphEvidence, Contradiction> {
        let mut edges = DiGraph::new();
        let mut by_id: BTreeMap<String, NodeIndex> = BTreeMap::new();
        for vertex in self.vertices {
            let id = vertex.id.clone();
            let index = edges.add_node(vertex.vertex(&self.shape)?);
            if by_id.insert(id.clone(), index).is_some() {
                return Err(Contradiction::Twice(id));
            }
        }
        let find = |id: &String| {
            let found = by_id.get(id).copied();
            found.ok_or_else(|| Contradiction::NoVertex(id.clone()))
        };
        for wire in self.edges {
            let (from, to) = (find(&wire.from)?, find(&wire.to)?);
            if matches!(edges[from].kind, VertexKind::Token(_)) {
                return Err(Contradiction::FromToken(wire.from));
            }
            let edge = Edge {
                claimed: wire.claimed,
                direct: wire.direct,
                measured: wire.measured,
            };
            if edge.verdict() != wire.verdict {
                return Err(Contradiction::Verdict {
                    from: wire.from,
                    to: wire.to,
                    written: wire.verdict,
                    measured: edge.verdict(),
                });
            }
            edges.add_edge(from, to, edge);
        }
        if is_cyclic_directed(&edges) {
            return Err(Contradiction::Cycle);
        }
        Ok(GraphEvidence {
            model: self.model,
            weights_sha256: self.weights_sha256,
            graph: Graph {
                shape: self.shape,
                edges,
                left_out: self.left_out,
                protocol: self.protocol,
            },
        })
    }
}

impl WireVertex {
    fn of(vertex: &Vertex) -> Self {
        WireVertex {
            id: vertex.kind.to_string(),
            kind: match &vertex.kind {
                VertexKind::Token(token) => WireKind::Answer { token: *token },
                VertexKind::Claim { variable, nodes } => WireKind::Claim {
                    task: variable.task,
                    digit: variable.digit,
                    nodes: Node::names(nodes),
                    claims: vertex.claims.clone(),
                    verdict: vertex.verdict,
                    undermined: vertex.undermined,
                    reaches_an_answer: vertex.reaches_an_answer,
                },
            },
        }
    }

    fn vertex(self, shape: &Shape) -> Result<Vertex, Contradiction> {
        let id = self.id;
        let digit_is_there = |digit: usize, most: usize| match digit <= most {
            true => Ok(()),
            false => Err(Contradiction::Digit {
                id: id.clone(),
                digit,
                n_digits: shape.n_digits,
            }),
        };
        let vertex = match self.kind {
            WireKind::Answer { token } => {
                digit_is_there(token.0, shape.n_digits + 1)?;
                Vertex {
                    kind: VertexKind::Token(token),
                    claims: Vec::new(),
                    verdict: None,
                    undermined: false,
                    reaches_an_answer: true,
                }
            }
            WireKind::Claim {
                task,
                digit,
                nodes,
                claims,
                verdict,
                undermined,
                reaches_an_answer,
            } => {
                digit_is_there(digit.unwrap_or(0), shape.n_digits)?;
                if nodes.is_empty() {
                    return Err(Contradiction::NoNode(id));
                }
                let nodes = nodes.iter().map(|name| name.resolve(shape));
                let nodes: Result<Vec<Node>, NodeError> = nodes.collect();
                let nodes = nodes.map_err(|source| Contradiction::Node {
                    id: id.clone(),
                    source,
                })?;
                Vertex {
                    kind: VertexKind::Claim {
                        variable: Variable { task, digit },
                        nodes,
                    },
                    claims,
                    verdict,
                    undermined,
                    reaches_an_answer,
                }
            }
        };
        match vertex.kind.to_string() {
            found if found == id => Ok(vertex),
            found => Err(Contradiction::Name { id, found }),
        }
    }
}
