//! The dependency graph, and what it says in words.

use maud::{Markup, PreEscaped, html};

use super::Section;
use crate::analysis::graph::{Graph, Vertex, figure};
use crate::report::Report;

pub fn section(report: &Report) -> Section {
    let graph = &report.graph;
    let measured = graph.protocol.is_some();
    Section {
        id: "graph",
        title: "Dependency graph",
        about: html! {
            "Claims and answer tokens; an arrow leads from a claim to what depends on it. "
            @if measured {
                "Every edge was measured by path patching."
            } @else {
                "Edges are those that arithmetic implies and the network can implement; none is measured here. To measure them: " code { (report.graph_command()) }
            }
        },
        content: html! {
            (PreEscaped(figure(graph)))
            (in_words(graph))
        },
    }
}

/// The graph as lists, for readers who do not see it.
fn in_words(graph: &Graph) -> Markup {
    let listed = |vertices: Vec<&Vertex>| -> String {
        let names: Vec<String> = vertices.iter().map(|v| v.kind.to_string()).collect();
        match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        }
    };
    html! {
        p.small { "Undermined (all claims it depends on are refuted): " (listed(graph.undermined().collect())) "." }
        p.small { "Without a path to an answer: " (listed(graph.unconnected().collect())) "." }
        details.in-words {
            summary { "The graph as a list of " (graph.edges.edge_count()) " edges" }
            ul.counts {
                @for vertex in graph.order() {
                    @let feeding: Vec<String> = graph.feeding(vertex).iter().map(|&from| graph.edges[from].kind.to_string()).collect();
                    @if !feeding.is_empty() {
                        li { b { (graph.edges[vertex].kind) } " depends on " (feeding.join(", ")) }
                    }
                }
            }
        }
    }
}
