//! Graphs as text that graphviz or mermaid lay out.

use std::fmt::Write;

use super::{colours, label, standing, stroke};
use crate::graph::Graph;

/// The graph in graphviz's language.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph circuit {\n  rankdir=BT;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=10];\n",
    );
    let write = "a String takes any text";
    for vertex in graph.edges.node_indices() {
        let weight = &graph.edges[vertex];
        let (title, nodes) = label(weight);
        let (fill, border) = colours(weight);
        let lines: Vec<String> = [title, nodes, standing(weight)]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        let text = lines.join("\\n");
        writeln!(
            out,
            "  v{} [label=\"{text}\", fillcolor=\"{fill}\", color=\"{border}\"];",
            vertex.index()
        )
        .expect(write);
    }
    for edge in graph.edges.edge_indices() {
        let (from, to) = graph.edges.edge_endpoints(edge).expect("both ends");
        let weight = &graph.edges[edge];
        let (colour, dashed) = stroke(weight);
        let style = if dashed { "dashed" } else { "solid" };
        writeln!(
            out,
            "  v{} -> v{} [color=\"{colour}\", style={style}, tooltip=\"{}\"];",
            from.index(),
            to.index(),
            weight.verdict()
        )
        .expect(write);
    }
    out + "}\n"
}

/// The graph in mermaid's language.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart BT\n");
    let write = "a String takes any text";
    for vertex in graph.edges.node_indices() {
        let weight = &graph.edges[vertex];
        let (title, nodes) = label(weight);
        let (fill, border) = colours(weight);
        let lines: Vec<String> = [title, nodes, standing(weight)]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        let (index, text) = (vertex.index(), lines.join("<br/>"));
        writeln!(out, "  v{index}[\"{text}\"]").expect(write);
        writeln!(out, "  style v{index} fill:{fill},stroke:{border}").expect(write);
    }
    for (number, edge) in graph.edges.edge_indices().enumerate() {
        let (from, to) = graph.edges.edge_endpoints(edge).expect("both ends");
        let weight = &graph.edges[edge];
        let (colour, dashed) = stroke(weight);
        let arrow = if dashed { "-.->" } else { "-->" };
        writeln!(out, "  v{} {arrow} v{}", from.index(), to.index()).expect(write);
        writeln!(out, "  linkStyle {number} stroke:{colour}").expect(write);
    }
    out
}
