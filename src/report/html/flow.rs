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
        title: "What feeds what",
        about: html! {
            "Claims and answer tokens, each above what it rests on. "
            @if measured {
                "Every flow was measured by path patching."
            } @else {
                "Flows are those that the arithmetic knows and the network can carry, directly or by way of others; none is measured here. This measures them: " code { (report.graph_command()) }
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
        let names: Vec<String> = vertices.iter().map(|v| v.node_set.to_string()).collect();
        match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        }
    };
    html! {
        p.small { "Undermined, that is, held up by refuted claims alone: " (listed(graph.undermined().collect())) "." }
        p.small { "With no path to an answer: " (listed(graph.unconnected().collect())) "." }
        details.in-words {
            summary { "The graph as a list of " (graph.edges.edge_count()) " flows" }
            ul.counts {
                @for vertex in graph.order() {
                    @let feeding: Vec<String> = graph.feeding(vertex).iter().map(|&from| graph.edges[from].node_set.to_string()).collect();
                    @if !feeding.is_empty() {
                        li { b { (graph.edges[vertex].node_set) } " is fed by " (feeding.join(", ")) }
                    }
                }
            }
        }
    }
}
