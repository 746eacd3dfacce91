//! A graph as an image: columns are token positions, rows are layers from the bottom up, and the
//! answer tokens stand on top, each over the position that predicts it.

use std::collections::BTreeMap;
use std::fmt::Write;

use petgraph::graph::NodeIndex;

use super::{colours, label, standing, stroke};
use crate::graph::{EdgeVerdict, Graph, Subject, depth};
use crate::shape::Shape;

/// Measures in pixels.
const BOX_WIDTH: usize = 118;
const LINE_HEIGHT: usize = 12;
const PADDING: usize = 6;
const GAP: usize = 10;
const COLUMN_GAP: usize = 26;
const ROW_GAP: usize = 54;
const MARGIN_LEFT: usize = 86;
const MARGIN: usize = 24;
const LEGEND_HEIGHT: usize = 44;
/// Node names in one line of a box.
const NAMES_PER_LINE: usize = 2;

/// One laid-out vertex.
struct Placed {
    x: usize,
    y: usize,
    height: usize,
    lines: Vec<String>,
}

/// Where a vertex belongs: its row (twice the layer, one more for an MLP; answers above all) and its
/// token position.
fn cell(subject: &Subject, shape: &Shape) -> (usize, usize) {
    match subject {
        Subject::Token(token) => (2 * shape.n_layers, shape.n_ctx() - 2 - token.0),
        Subject::Claim { nodes, .. } => nodes
            .iter()
            .map(|node| (depth(node), node.position()))
            .max()
            .expect("a claim is of a node"),
    }
}

fn lines_of(graph: &Graph, vertex: NodeIndex) -> Vec<String> {
    let weight = &graph.edges[vertex];
    let (title, nodes) = label(weight);
    let names: Vec<&str> = nodes.split_whitespace().collect();
    let mut lines = vec![title];
    lines.extend(names.chunks(NAMES_PER_LINE).map(|part| part.join(" ")));
    lines.extend(Some(standing(weight)).filter(|text| !text.is_empty()));
    lines
}

fn height_of(lines: usize) -> usize {
    lines * LINE_HEIGHT + 2 * PADDING
}

/// What the token at a position is.
fn position_name(position: usize, shape: &Shape) -> String {
    let n = shape.n_digits;
    if position < n {
        format!("D{}", n - 1 - position)
    } else if position == n {
        "op".into()
    } else if position <= 2 * n {
        format!("D'{}", 2 * n - position)
    } else if position == shape.first_answer_position() {
        "=".into()
    } else {
        format!("A{}", shape.n_ctx() - 1 - position)
    }
}

/// The image, complete in itself.
pub fn svg(graph: &Graph) -> String {
    let shape = &graph.shape;
    let mut cells: BTreeMap<(usize, usize), Vec<NodeIndex>> = BTreeMap::new();
    for vertex in graph.edges.node_indices() {
        let at = cell(&graph.edges[vertex].subject, shape);
        cells.entry(at).or_default().push(vertex);
    }
    let mut columns: Vec<usize> = cells.keys().map(|&(_, position)| position).collect();
    columns.sort();
    columns.dedup();
    let column_of = |position: usize| {
        columns
            .binary_search(&position)
            .expect("every position has a column")
    };
    let heights: BTreeMap<NodeIndex, usize> = graph
        .edges
        .node_indices()
        .map(|vertex| (vertex, height_of(lines_of(graph, vertex).len())))
        .collect();
    let mut row_heights: BTreeMap<usize, usize> = BTreeMap::new();
    for (&(row, _), vertices) in &cells {
        let stack: usize = vertices.iter().map(|v| heights[v] + GAP).sum();
        let height = row_heights.entry(row).or_default();
        *height = (*height).max(stack.saturating_sub(GAP));
    }
    let mut row_tops = BTreeMap::new();
    let mut y = MARGIN + LEGEND_HEIGHT;
    for (&row, &height) in row_heights.iter().rev() {
        row_tops.insert(row, y);
        y += height + ROW_GAP;
    }
    let bottom = y - ROW_GAP.min(y) + MARGIN;
    let width = MARGIN_LEFT + columns.len() * (BOX_WIDTH + COLUMN_GAP) + MARGIN;
    let height = bottom + 2 * MARGIN;

    let mut placed: BTreeMap<NodeIndex, Placed> = BTreeMap::new();
    for (&(row, position), vertices) in &cells {
        let stack: usize = vertices.iter().map(|v| heights[v] + GAP).sum();
        let mut y = row_tops[&row] + (row_heights[&row] - (stack - GAP)) / 2;
        for &vertex in vertices {
            placed.insert(
                vertex,
                Placed {
                    x: MARGIN_LEFT + column_of(position) * (BOX_WIDTH + COLUMN_GAP),
                    y,
                    height: heights[&vertex],
                    lines: lines_of(graph, vertex),
                },
            );
            y += heights[&vertex] + GAP;
        }
    }

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    write_legend(&mut out);
    write_rows(&mut out, shape, &row_tops, &row_heights, width);
    write_columns(&mut out, shape, &columns, bottom);
    write_edges(&mut out, graph, &placed);
    write_boxes(&mut out, graph, &placed);
    out + "</svg>\n"
}

const WRITES: &str = "a String takes any text";

fn write_legend(out: &mut String) {
    let samples = [
        ("feeds", "#2e7d43", ""),
        ("relayed by unclaimed nodes", "#2563eb", "5 3"),
        ("unspecific", "#b42323", ""),
        ("open", "#b7791f", "5 3"),
        ("silent", "#cbd5e1", "5 3"),
        ("not measured", "#94a3b8", ""),
    ];
    let mut x = MARGIN;
    for (name, colour, dash) in samples {
        writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{MARGIN}\" x2=\"{}\" y2=\"{MARGIN}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
            x + 24,
            x + 30,
            MARGIN + 4
        )
        .expect(WRITES);
        x += 52 + 6 * name.len();
    }
}

fn write_rows(
    out: &mut String,
    shape: &Shape,
    tops: &BTreeMap<usize, usize>,
    heights: &BTreeMap<usize, usize>,
    width: usize,
) {
    for (row, top) in tops {
        let name = match row {
            row if *row == 2 * shape.n_layers => "answer".to_owned(),
            row if row % 2 == 1 => format!("L{} MLP", row / 2),
            row => format!("L{} heads", row / 2),
        };
        let pad = GAP / 2;
        writeln!(
            out,
            "<rect x=\"{MARGIN_LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#f8fafc\"/><text x=\"{MARGIN}\" y=\"{}\" fill=\"#475569\">{name}</text>",
            top - pad,
            width - MARGIN_LEFT - MARGIN / 2,
            heights[row] + 2 * pad,
            top + heights[row] / 2 + 4
        )
        .expect(WRITES);
    }
}

fn write_columns(out: &mut String, shape: &Shape, columns: &[usize], bottom: usize) {
    for (column, &position) in columns.iter().enumerate() {
        let x = MARGIN_LEFT + column * (BOX_WIDTH + COLUMN_GAP) + BOX_WIDTH / 2;
        writeln!(
            out,
            "<text x=\"{x}\" y=\"{bottom}\" text-anchor=\"middle\" fill=\"#475569\">P{position} {}</text>",
            position_name(position, shape)
        )
        .expect(WRITES);
    }
}

fn write_edges(out: &mut String, graph: &Graph, placed: &BTreeMap<NodeIndex, Placed>) {
    // What carries verdicts is drawn last, so that it lies on top.
    let mut edges: Vec<_> = graph.edges.edge_indices().collect();
    edges.sort_by_key(|&edge| (graph.edges[edge].stands(), edge));
    for edge in edges {
        let (from, to) = graph.edges.edge_endpoints(edge).expect("both ends");
        let weight = &graph.edges[edge];
        let (colour, dashed) = stroke(weight);
        let (source, target) = (&placed[&from], &placed[&to]);
        // Ends are spread along the target's lower side, in the order of their sources.
        let mut sources: Vec<NodeIndex> = graph
            .edges
            .neighbors_directed(to, petgraph::Incoming)
            .collect();
        sources.sort_by_key(|vertex| (placed[vertex].x, placed[vertex].y));
        let place = sources
            .iter()
            .position(|&vertex| vertex == from)
            .unwrap_or(0);
        let x2 = target.x + BOX_WIDTH * (place + 1) / (sources.len() + 1);
        let y2 = target.y + target.height;
        // In its own column a line leaves sideways, so that it does not run behind other boxes.
        let aside = source.x == target.x;
        let (x1, y1) = if aside {
            (source.x + BOX_WIDTH, source.y + source.height / 2)
        } else {
            (source.x + BOX_WIDTH / 2, source.y)
        };
        let bend = (y1.abs_diff(y2) / 2).max(ROW_GAP / 2);
        let (bend_x, bend_y) = if aside {
            (x1 + COLUMN_GAP, y1.saturating_sub(bend / 2))
        } else {
            (x1, y1.saturating_sub(bend))
        };
        let dash = if dashed { "5 3" } else { "" };
        let (thickness, opacity) = match weight.verdict() {
            EdgeVerdict::Feeds | EdgeVerdict::Relayed | EdgeVerdict::Unspecific => ("1.6", "1"),
            EdgeVerdict::Silent | EdgeVerdict::Untestable => ("0.7", "0.6"),
            _ => ("0.9", "0.9"),
        };
        writeln!(
            out,
            "<path d=\"M{x1} {y1} C{bend_x} {bend_y} {x2} {} {x2} {y2}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thickness}\" stroke-opacity=\"{opacity}\" stroke-dasharray=\"{dash}\"><title>{} → {}: {}</title></path><circle cx=\"{x2}\" cy=\"{y2}\" r=\"1.8\" fill=\"{colour}\"/>",
            y2 + bend,
            graph.edges[from].subject,
            graph.edges[to].subject,
            weight.verdict()
        )
        .expect(WRITES);
    }
}

fn write_boxes(out: &mut String, graph: &Graph, placed: &BTreeMap<NodeIndex, Placed>) {
    for (&vertex, place) in placed {
        let (fill, border) = colours(&graph.edges[vertex]);
        let Placed {
            x,
            y,
            height,
            lines,
        } = place;
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{height}\" rx=\"4\" fill=\"{fill}\" stroke=\"{border}\"/>"
        )
        .expect(WRITES);
        for (i, line) in lines.iter().enumerate() {
            let weight = if i == 0 { "bold" } else { "normal" };
            writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"{weight}\">{line}</text>",
                x + BOX_WIDTH / 2,
                y + PADDING + LINE_HEIGHT * i + 9
            )
            .expect(WRITES);
        }
    }
}
