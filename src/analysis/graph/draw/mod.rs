//! Drawings of graphs: for Graphviz, for Mermaid, as an SVG image, and as an interactive page.

mod page;
mod palette;
mod svg;
mod text;

pub use page::{SCRIPT, figure, html};
pub use svg::svg;
pub use text::{dot, mermaid};

use super::{Graph, Route, UNTESTED, Vertex, VertexKind};
use crate::domain::node::Node;
use crate::verify::VerdictKind;

/// Writing to a String cannot fail.
const WRITES: &str = "a String takes any text";

/// The label of a vertex: its variable or token, then its nodes.
fn label(vertex: &Vertex) -> (String, String) {
    match &vertex.kind {
        VertexKind::Token(token) => (token.to_string(), String::new()),
        VertexKind::Claim { variable, nodes } => {
            let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
            (variable.to_string(), names.join(" "))
        }
    }
}

/// The claim's status in words; empty for an answer token.
fn standing(vertex: &Vertex) -> String {
    let verdict = vertex.verdict.map_or(UNTESTED, VerdictKind::name);
    match (vertex.is_claim(), vertex.undermined) {
        (false, _) => String::new(),
        (true, false) => verdict.to_owned(),
        (true, true) => format!("{verdict}, undermined"),
    }
}

/// An edge in words, with its measurements.
fn told(graph: &Graph, edge: petgraph::graph::EdgeIndex) -> String {
    let (from, to) = graph.ends(edge);
    let weight = &graph.edges[edge];
    let mut text = format!(
        "{} → {}: {}",
        graph.edges[from].kind,
        graph.edges[to].kind,
        weight.verdict()
    );
    let route = |name: &str, route: &Route| {
        format!(
            "; {name} {}/{}, control pairs {}/{}",
            route.effect.hits, route.effect.trials, route.null.hits, route.null.trials
        )
    };
    if let Some(measured) = &weight.measured {
        text += &measured
            .direct
            .map_or(String::new(), |r| route("direct", &r));
        text += &measured
            .relayed
            .map_or(String::new(), |r| route("relayed", &r));
    }
    if !weight.claimed {
        text += "; not claimed";
    }
    text
}

/// Text escaped for use between tags and in attributes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
