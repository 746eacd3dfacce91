//! A graph as an SVG image: columns are token positions, rows are layers from the bottom up, and
//! the answer tokens are at the top, each above the position that predicts it. Lines leave a box on
//! the side facing their target and enter on the near side, or from below for an answer token;
//! within a column they run around the boxes on the right.

use std::collections::BTreeMap;
use std::fmt::Write;

use petgraph::Direction;
use petgraph::graph::{EdgeIndex, NodeIndex};

use super::palette::{Tone, VERDICTS, is_dashed, stroke, style};
use super::{WRITES, escaped, label, standing, told};
use crate::analysis::graph::{Graph, Vertex, VertexKind};
use crate::domain::position::PromptPart;
use crate::domain::shape::Shape;

const BOX_WIDTH: usize = 118;
const LINE_HEIGHT: usize = 12;
const PADDING: usize = 6;
const GAP: usize = 10;
const COLUMN_GAP: usize = 44;
const ROW_GAP: usize = 46;
const MARGIN_LEFT: usize = 84;
const MARGIN: usize = 24;
const LEGEND_HEIGHT: usize = 46;
/// Width reserved in the legend for one character.
const LEGEND_CHARACTER: usize = 6;
/// Node names per line of a box.
const NAMES_PER_LINE: usize = 2;

struct Placed {
    x: usize,
    y: usize,
    height: usize,
    lines: Vec<String>,
}

/// The cell of a vertex: its row (twice the layer, plus one for an MLP; answers above all) and its
/// token position.
fn cell(node_set: &VertexKind, shape: &Shape) -> (usize, usize) {
    match node_set {
        VertexKind::Token(token) => (2 * shape.n_layers, shape.predicting(*token)),
        VertexKind::Claim { nodes, .. } => nodes
            .iter()
            .map(|node| (node.depth(), node.position()))
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

/// The name of the token at a position.
fn position_name(position: usize, shape: &Shape) -> String {
    match shape.part_at(position) {
        PromptPart::First(k) => format!("D{k}"),
        PromptPart::Operator => "operator".into(),
        PromptPart::Second(k) => format!("D'{k}"),
        PromptPart::Equals => "=".into(),
        PromptPart::Answer(token) => token.to_string(),
    }
}

/// The image, self-contained. It follows the viewer's light or dark mode and can be embedded in any
/// HTML page: it has no ids, and its styles affect nothing outside it. With [`super::SCRIPT`],
/// inside a [`super::figure`], it can be panned and zoomed.
pub fn svg(graph: &Graph) -> String {
    let layout = GraphLayout::new(graph);
    let (width, height) = (layout.width, layout.height);
    let mut out = format!(
        "<svg class=\"circuit-graph\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Dependency graph: {} vertices, {} edges\">\n<style>\n{}</style>\n",
        graph.edges.node_count(),
        graph.edges.edge_count(),
        style()
    );
    write_legend(&mut out, graph);
    layout.write_rows(&mut out);
    layout.write_columns(&mut out);
    layout.write_edges(&mut out);
    layout.write_boxes(&mut out);
    out + "</svg>\n"
}

/// Boxes in rows and columns.
struct GraphLayout<'a> {
    graph: &'a Graph,
    placed: BTreeMap<NodeIndex, Placed>,
    /// Positions that have a column.
    columns: Vec<usize>,
    /// Top and height of each row, by its number.
    rows: BTreeMap<usize, (usize, usize)>,
    /// Where the column names are written.
    bottom: usize,
    width: usize,
    height: usize,
}

fn left_of(column: usize) -> usize {
    MARGIN_LEFT + column * (BOX_WIDTH + COLUMN_GAP)
}

impl<'a> GraphLayout<'a> {
    fn new(graph: &'a Graph) -> Self {
        let shape = &graph.shape;
        let mut cells: BTreeMap<(usize, usize), Vec<NodeIndex>> = BTreeMap::new();
        for vertex in graph.edges.node_indices() {
            let at = cell(&graph.edges[vertex].node_set, shape);
            cells.entry(at).or_default().push(vertex);
        }
        for vertices in cells.values_mut() {
            // Connected boxes go above unconnected ones, closer to the targets of their lines.
            vertices.sort_by_key(|&v| (!graph.edges[v].reaches_an_answer, v));
        }
        let mut columns: Vec<usize> = cells.keys().map(|&(_, position)| position).collect();
        columns.sort();
        columns.dedup();
        let height_of =
            |vertex: &NodeIndex| lines_of(graph, *vertex).len() * LINE_HEIGHT + 2 * PADDING;
        let stack_of = |vertices: &[NodeIndex]| {
            let boxes: usize = vertices.iter().map(|v| height_of(v) + GAP).sum();
            boxes.saturating_sub(GAP)
        };
        let mut heights: BTreeMap<usize, usize> = BTreeMap::new();
        for (&(row, _), vertices) in &cells {
            let height = heights.entry(row).or_default();
            *height = (*height).max(stack_of(vertices));
        }
        let mut rows = BTreeMap::new();
        let mut y = MARGIN + LEGEND_HEIGHT;
        for (&row, &height) in heights.iter().rev() {
            rows.insert(row, (y, height));
            y += height + ROW_GAP;
        }
        let bottom = y - ROW_GAP.min(y) + MARGIN;
        let mut placed = BTreeMap::new();
        for ((row, position), vertices) in &cells {
            let (top, height) = rows[row];
            let mut y = top + (height - stack_of(vertices)) / 2;
            let column = columns.binary_search(position);
            let x = left_of(column.expect("every position has a column"));
            for vertex in vertices {
                let place = Placed {
                    x,
                    y,
                    height: height_of(vertex),
                    lines: lines_of(graph, *vertex),
                };
                y += place.height + GAP;
                placed.insert(*vertex, place);
            }
        }
        GraphLayout {
            graph,
            placed,
            rows,
            bottom,
            width: left_of(columns.len()).max(legend_width(graph)) + MARGIN,
            height: bottom + 2 * MARGIN,
            columns,
        }
    }

    fn write_rows(&self, out: &mut String) {
        for (&row, &(top, height)) in &self.rows {
            let name = match row {
                row if row == 2 * self.graph.shape.n_layers => "answer".to_owned(),
                row if row % 2 == 1 => format!("L{} MLP", row / 2),
                row => format!("L{} heads", row / 2),
            };
            let pad = GAP;
            writeln!(
                out,
                "<rect class=\"band\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/><text class=\"place\" x=\"{MARGIN}\" y=\"{}\">{name}</text>",
                MARGIN_LEFT - pad,
                top - pad,
                self.width - MARGIN_LEFT + pad - MARGIN,
                height + 2 * pad,
                top + height / 2 + 4
            )
            .expect(WRITES);
        }
    }

    fn write_columns(&self, out: &mut String) {
        for (column, &position) in self.columns.iter().enumerate() {
            let x = left_of(column) + BOX_WIDTH / 2;
            writeln!(
                out,
                "<text class=\"place\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">P{position}, {}</text>",
                self.bottom,
                position_name(position, &self.graph.shape)
            )
            .expect(WRITES);
        }
    }

    /// Whether both ends of an edge are in one column, so that the line runs around the boxes.
    fn is_aside(&self, edge: EdgeIndex) -> bool {
        let (from, to) = self.graph.ends(edge);
        self.placed[&from].x == self.placed[&to].x
    }

    /// The index of an edge among the lines at one side of a box, and their number.
    fn port(&self, edge: EdgeIndex, end: Direction) -> (usize, usize) {
        let (from, to) = self.graph.ends(edge);
        let here = match end {
            Direction::Outgoing => from,
            Direction::Incoming => to,
        };
        let far_end = |edge: EdgeIndex| {
            let (from, to) = self.graph.ends(edge);
            let far = &self.placed[if from == here { &to } else { &from }];
            (far.y, far.x)
        };
        let mut lines: Vec<EdgeIndex> = self
            .graph
            .edges
            .edges_directed(here, end)
            .map(|edge| petgraph::visit::EdgeRef::id(&edge))
            .filter(|&line| {
                end == Direction::Outgoing || self.is_aside(line) == self.is_aside(edge)
            })
            .collect();
        // From below, lines enter from left to right; at a side, from top to bottom.
        let from_below = end == Direction::Incoming && self.is_answer(here) && !self.is_aside(edge);
        match from_below {
            true => lines.sort_by_key(|&line| {
                let (y, x) = far_end(line);
                (x, y, line)
            }),
            false => lines.sort_by_key(|&line| (far_end(line), line)),
        }
        let place = lines.iter().position(|&line| line == edge);
        (place.expect("an edge is at both its ends"), lines.len())
    }

    fn is_answer(&self, vertex: NodeIndex) -> bool {
        matches!(self.graph.edges[vertex].node_set, VertexKind::Token(_))
    }

    /// The path of an edge, and its end point.
    fn path(&self, edge: EdgeIndex) -> (String, (usize, usize)) {
        let (from, to) = self.graph.ends(edge);
        let (source, target) = (&self.placed[&from], &self.placed[&to]);
        let along = |length: usize, (place, of): (usize, usize)| length * (place + 1) / (of + 1);
        let y1 = source.y + along(source.height, self.port(edge, Direction::Outgoing));
        let (place, of) = self.port(edge, Direction::Incoming);
        if self.is_aside(edge) {
            // Loops are nested: the nearest box's loop bends least and ends lowest.
            let x = source.x + BOX_WIDTH;
            let y2 = target.y + along(target.height, (of - 1 - place, of));
            let bend = x + COLUMN_GAP / 2 + along(COLUMN_GAP / 2, (place, of));
            let path = format!("M{x} {y1} C{bend} {y1} {bend} {y2} {x} {y2}");
            return (path, (x, y2));
        }
        // A set is placed at its last node, which may be to the right of its target.
        let rightwards = source.x < target.x;
        let (x1, x2) = match rightwards {
            true => (source.x + BOX_WIDTH, target.x),
            false => (source.x, target.x + BOX_WIDTH),
        };
        let bend = (x1.abs_diff(x2) / 2).max(COLUMN_GAP);
        let towards = |x: usize, right: bool| match right {
            true => x + bend,
            false => x.saturating_sub(bend),
        };
        if self.is_answer(to) {
            let (x2, y2) = (
                target.x + along(BOX_WIDTH, (place, of)),
                target.y + target.height,
            );
            let below = y2 + (y1.max(y2) - y2) * 2 / 3;
            let bend = towards(x1, rightwards);
            let path = format!("M{x1} {y1} C{bend} {y1} {x2} {below} {x2} {y2}");
            return (path, (x2, y2));
        }
        let y2 = target.y + along(target.height, (place, of));
        let (leave, enter) = (towards(x1, rightwards), towards(x2, !rightwards));
        let path = format!("M{x1} {y1} C{leave} {y1} {enter} {y2} {x2} {y2}");
        (path, (x2, y2))
    }

    fn write_edges(&self, out: &mut String) {
        // Edges that propagate verdicts are drawn last, on top.
        let mut edges: Vec<_> = self.graph.edges.edge_indices().collect();
        edges.sort_by_key(|&edge| (self.graph.edges[edge].stands(), edge));
        for edge in edges {
            let (from, to) = self.graph.ends(edge);
            let weight = &self.graph.edges[edge];
            let (path, (x, y)) = self.path(edge);
            let dashed = if is_dashed(weight) { " dashed" } else { "" };
            let stands = if weight.stands() { " stands" } else { "" };
            writeln!(
                out,
                "<g class=\"edge {}{dashed}{stands}\" data-from=\"{}\" data-to=\"{}\"><title>{}</title><path d=\"{path}\"/><circle cx=\"{x}\" cy=\"{y}\" r=\"1.5\"/></g>",
                weight.verdict(),
                from.index(),
                to.index(),
                escaped(&told(self.graph, edge))
            )
            .expect(WRITES);
        }
    }

    fn write_boxes(&self, out: &mut String) {
        for (vertex, place) in &self.placed {
            let weight = &self.graph.edges[*vertex];
            let Placed {
                x,
                y,
                height,
                lines,
            } = place;
            let faint = if weight.reaches_an_answer {
                ""
            } else {
                " faint"
            };
            write!(
                out,
                "<g class=\"vertex {}{faint}\" data-vertex=\"{}\" tabindex=\"0\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{height}\" rx=\"4\"/>",
                Tone::of(weight).class(),
                vertex.index(),
                escaped(&name_of(weight))
            )
            .expect(WRITES);
            for (i, line) in lines.iter().enumerate() {
                let class = if i == 0 { " class=\"title\"" } else { "" };
                write!(
                    out,
                    "<text{class} x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    x + BOX_WIDTH / 2,
                    y + PADDING + LINE_HEIGHT * i + 9,
                    escaped(line)
                )
                .expect(WRITES);
            }
            writeln!(out, "</g>").expect(WRITES);
        }
    }
}

fn name_of(vertex: &Vertex) -> String {
    let mut text = vertex.node_set.to_string();
    if vertex.is_claim() {
        text += &format!(": {}", standing(vertex));
    }
    if !vertex.reaches_an_answer {
        text += "; no path to an answer";
    }
    text
}

/// The entries of the legend: colours of boxes and of lines that occur, with their counts.
fn legend(graph: &Graph) -> [Vec<(String, String)>; 2] {
    let mut tones: BTreeMap<Tone, usize> = BTreeMap::new();
    for vertex in graph.edges.node_weights() {
        *tones.entry(Tone::of(vertex)).or_default() += 1;
    }
    let mut boxes: Vec<(String, String)> = tones
        .into_iter()
        .map(|(tone, count)| {
            (
                tone.class().to_owned(),
                format!("{} {count}", tone.meaning()),
            )
        })
        .collect();
    let apart = graph.unconnected().count();
    if apart > 0 {
        let class = format!("{} faint", Tone::Untested.class());
        boxes.push((class, format!("faint: no path to an answer {apart}")));
    }
    let lines = VERDICTS.into_iter().filter_map(|verdict| {
        let all = graph.edges.edge_weights();
        let count = all.filter(|edge| edge.verdict() == verdict).count();
        let dashed = if stroke(verdict).dashed {
            " dashed"
        } else {
            ""
        };
        (count > 0).then(|| (format!("{verdict}{dashed}"), format!("{verdict} {count}")))
    });
    [boxes, lines.collect()]
}

fn entry_width(name: &str) -> usize {
    48 + LEGEND_CHARACTER * name.chars().count()
}

fn legend_width(graph: &Graph) -> usize {
    let width = |entries: &Vec<(String, String)>| -> usize {
        entries.iter().map(|(_, name)| entry_width(name)).sum()
    };
    MARGIN + legend(graph).iter().map(width).max().unwrap_or(0)
}

fn write_legend(out: &mut String, graph: &Graph) {
    for (row, entries) in legend(graph).into_iter().enumerate() {
        let mut x = MARGIN;
        let y = MARGIN + 20 * row;
        for (class, name) in entries {
            let sample = match row {
                0 => format!(
                    "<g class=\"legend {class}\"><rect x=\"{x}\" y=\"{}\" width=\"24\" height=\"12\" rx=\"3\"/></g>",
                    y - 9
                ),
                _ => format!(
                    "<g class=\"legend {class}\"><line x1=\"{x}\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\"/></g>",
                    y - 3,
                    x + 24
                ),
            };
            writeln!(
                out,
                "{sample}<text class=\"place\" x=\"{}\" y=\"{y}\">{name}</text>",
                x + 30
            )
            .expect(WRITES);
            x += entry_width(&name);
        }
    }
}
