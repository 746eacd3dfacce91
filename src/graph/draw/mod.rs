//! Graphs drawn: for graphviz, for mermaid, and as an image of its own.

mod svg;
mod text;

pub use svg::svg;
pub use text::{dot, mermaid};

use super::{Edge, EdgeVerdict, Stands, Subject, Vertex};
use crate::node::Node;

/// The colour of a vertex: fill and border.
fn colours(vertex: &Vertex) -> (&'static str, &'static str) {
    let Some(stands) = vertex.stands else {
        return ("#eef2f7", "#64748b");
    };
    if vertex.undermined {
        return ("#fff3d6", "#c2410c");
    }
    match stands {
        Stands::Supported | Stands::Joint | Stands::Redundant => ("#e3f4e6", "#2e7d43"),
        Stands::Partial | Stands::Inconclusive | Stands::Correlational => ("#fff8e1", "#b7791f"),
        Stands::Unspecific | Stands::Refuted => ("#fde7e7", "#b42323"),
        Stands::NotTestable | Stands::Untested => ("#ffffff", "#94a3b8"),
    }
}

/// The colour of an edge, and whether it is dashed.
fn stroke(edge: &Edge) -> (&'static str, bool) {
    match edge.verdict() {
        EdgeVerdict::Feeds => ("#2e7d43", false),
        EdgeVerdict::Relayed => ("#2563eb", true),
        EdgeVerdict::Unspecific => ("#b42323", false),
        EdgeVerdict::Open => ("#b7791f", true),
        EdgeVerdict::Silent | EdgeVerdict::Untestable => ("#cbd5e1", true),
        EdgeVerdict::Unmeasured => ("#94a3b8", !edge.claimed),
    }
}

/// What is written in a vertex: its variable or token, then its nodes and verdict.
fn label(vertex: &Vertex) -> (String, String) {
    match &vertex.subject {
        Subject::Token(token) => (token.to_string(), String::new()),
        Subject::Claim { variable, nodes } => {
            let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
            (variable.to_string(), names.join(" "))
        }
    }
}

/// How the claim stands, in words.
fn standing(vertex: &Vertex) -> String {
    let stands = vertex.stands.map_or("", Stands::name);
    if vertex.undermined {
        format!("{stands}, undermined")
    } else {
        stands.to_owned()
    }
}
