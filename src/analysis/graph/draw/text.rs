//! Graphs as text for Graphviz and Mermaid.

use std::fmt::Write;

use super::palette::{Tone, is_dashed, stroke};
use super::{WRITES, label, standing};
use crate::analysis::graph::{Graph, Vertex};

/// The graph in Graphviz's DOT language.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph circuit {\n  rankdir=BT;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=10];\n",
    );
    for vertex in graph.edges.node_indices() {
        let weight = &graph.edges[vertex];
        let text = lines(weight, "\\n");
        let (fill, border) = Tone::of(weight).by_day();
        writeln!(
            out,
            "  v{} [label=\"{text}\", fillcolor=\"{fill}\", color=\"{border}\"];",
            vertex.index()
        )
        .expect(WRITES);
    }
    for edge in graph.edges.edge_indices() {
        let (from, to) = graph.ends(edge);
        let weight = &graph.edges[edge];
        let colour = stroke(weight.verdict()).by_day;
        let style = if is_dashed(weight) { "dashed" } else { "solid" };
        writeln!(
            out,
            "  v{} -> v{} [color=\"{colour}\", style={style}, tooltip=\"{}\"];",
            from.index(),
            to.index(),
            weight.verdict()
        )
        .expect(WRITES);
    }
    out + "}\n"
}

/// The label of a vertex, line by line.
fn lines(vertex: &Vertex, between: &str) -> String {
    let (title, nodes) = label(vertex);
    let mut lines = vec![title, nodes, standing(vertex)];
    lines.retain(|line| !line.is_empty());
    lines.join(between)
}

/// The graph in Mermaid's language.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart BT\n");
    for vertex in graph.edges.node_indices() {
        let weight = &graph.edges[vertex];
        let (index, text) = (vertex.index(), lines(weight, "<br/>"));
        let (fill, border) = Tone::of(weight).by_day();
        writeln!(out, "  v{index}[\"{text}\"]").expect(WRITES);
        writeln!(out, "  style v{index} fill:{fill},stroke:{border}").expect(WRITES);
    }
    for (number, edge) in graph.edges.edge_indices().enumerate() {
        let (from, to) = graph.ends(edge);
        let weight = &graph.edges[edge];
        let colour = stroke(weight.verdict()).by_day;
        let arrow = if is_dashed(weight) { "-.->" } else { "-->" };
        writeln!(out, "  v{} {arrow} v{}", from.index(), to.index()).expect(WRITES);
        writeln!(out, "  linkStyle {number} stroke:{colour}").expect(WRITES);
    }
    out
}
