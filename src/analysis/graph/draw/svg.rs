//! A graph as an SVG image: columns are token positions, rows are layers from the bottom up, and
//! the answer tokens are at the top, each above the position that predicts it. A node set has a box at
//! its last node and a small one at each of the others. Lines run between the boxes: from a box into
//! the gutter beside it, up, along the channel below the target's row, and up again to the target.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
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
const COLUMN_GAP: usize = 64;
const ROW_GAP: usize = 64;
/// Height of a row without a box.
const EMPTY_ROW: usize = 16;
/// Height of the text above the columns.
const HEAD_HEIGHT: usize = 48;
/// Least distance of a line from the boxes that it passes.
const CLEARANCE: usize = 12;
/// Radius of a line's corners.
const CORNER: usize = 6;
/// Length of an arrowhead.
const ARROW: usize = 7;
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
fn cell(kind: &VertexKind, shape: &Shape) -> (usize, usize) {
    match kind {
        VertexKind::Token(token) => (2 * shape.n_layers, shape.predicting(*token)),
        VertexKind::Claim { nodes, .. } => nodes
            .iter()
            .map(|node| (node.depth(), node.position()))
            .max()
            .expect("a claim is of a node"),
    }
}

/// The nodes of a vertex that are elsewhere than its box, by cell.
fn members(kind: &VertexKind, shape: &Shape) -> BTreeMap<(usize, usize), Vec<String>> {
    let mut elsewhere: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    if let VertexKind::Claim { nodes, .. } = kind {
        for node in nodes {
            let at = (node.depth(), node.position());
            if at != cell(kind, shape) {
                elsewhere.entry(at).or_default().push(node.to_string());
            }
        }
    }
    elsewhere
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
    layout.write_members(&mut out);
    layout.write_edges(&mut out);
    layout.write_boxes(&mut out);
    out + "</svg>\n"
}

/// The gutters that the line of an edge runs in, and the row below which it crosses columns, if it
/// does. Gutter 0 is left of the first column, gutter 1 right of it.
struct Course {
    leaving: usize,
    entering: usize,
    below: Option<usize>,
}

/// Boxes in rows and columns, and the lanes of the lines between them.
struct GraphLayout<'a> {
    graph: &'a Graph,
    placed: BTreeMap<NodeIndex, Placed>,
    /// Nodes of sets that are elsewhere than the set's box.
    members: Vec<(NodeIndex, Placed)>,
    /// Positions that have a column.
    columns: Vec<usize>,
    /// Top and height of each row, by its number.
    rows: BTreeMap<usize, (usize, usize)>,
    /// The vertices whose lines leave into a gutter, or enter from it.
    gutters: BTreeMap<usize, BTreeSet<(NodeIndex, Direction)>>,
    /// The vertices whose lines run below a row.
    channels: BTreeMap<usize, BTreeSet<NodeIndex>>,
    width: usize,
    height: usize,
}

fn left_of(column: usize) -> usize {
    MARGIN_LEFT + column * (BOX_WIDTH + COLUMN_GAP)
}

/// The place of one of several lanes in a space of this width.
fn lane<T: Ord>(lanes: &BTreeSet<T>, wanted: &T, width: usize) -> usize {
    let place = lanes.iter().take_while(|lane| *lane < wanted).count();
    CLEARANCE + (width - 2 * CLEARANCE) * (2 * place + 1) / (2 * lanes.len().max(1))
}

/// What is drawn in a cell: a vertex, or nodes of a set whose box is elsewhere.
enum Drawn {
    Vertex(NodeIndex),
    Member(NodeIndex, Vec<String>),
}

impl Drawn {
    fn lines(&self, graph: &Graph) -> Vec<String> {
        match self {
            Drawn::Vertex(vertex) => lines_of(graph, *vertex),
            Drawn::Member(_, names) => {
                let lines = names.chunks(NAMES_PER_LINE);
                lines.map(|part| part.join(" ")).collect()
            }
        }
    }

    fn height(&self, graph: &Graph) -> usize {
        self.lines(graph).len() * LINE_HEIGHT + 2 * PADDING
    }
}

/// The height of boxes on top of each other.
fn stack_height(cell: &[Drawn], graph: &Graph) -> usize {
    let boxes: usize = cell.iter().map(|drawn| drawn.height(graph) + GAP).sum();
    boxes.saturating_sub(GAP)
}

impl<'a> GraphLayout<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut layout = GraphLayout {
            graph,
            placed: BTreeMap::new(),
            members: Vec::new(),
            columns: Vec::new(),
            rows: BTreeMap::new(),
            gutters: BTreeMap::new(),
            channels: BTreeMap::new(),
            width: 0,
            height: 0,
        };
        layout.place();
        layout.assign_lanes();
        layout
    }

    /// Gives every box its place.
    fn place(&mut self) {
        let (graph, shape) = (self.graph, &self.graph.shape);
        let mut cells: BTreeMap<(usize, usize), Vec<Drawn>> = BTreeMap::new();
        let mut vertices: Vec<NodeIndex> = graph.edges.node_indices().collect();
        // Connected vertices go above others, next to where their lines lead.
        vertices.sort_by_key(|&vertex| (!graph.edges[vertex].reaches_an_answer, vertex));
        for &vertex in &vertices {
            let at = cell(&graph.edges[vertex].kind, shape);
            cells.entry(at).or_default().push(Drawn::Vertex(vertex));
        }
        for &vertex in &vertices {
            for (at, names) in members(&graph.edges[vertex].kind, shape) {
                let here = cells.entry(at).or_default();
                here.push(Drawn::Member(vertex, names));
            }
        }
        let columns: BTreeSet<usize> = cells.keys().map(|&(_, position)| position).collect();
        self.columns = columns.into_iter().collect();
        // Every layer has its rows, whether anything is claimed about it or not.
        let rows = 0..=2 * shape.n_layers;
        let mut heights: BTreeMap<usize, usize> = rows.map(|row| (row, EMPTY_ROW)).collect();
        for (&(row, _), cell) in &cells {
            let height = heights.entry(row).or_default();
            *height = (*height).max(stack_height(cell, graph));
        }
        let mut y = MARGIN + LEGEND_HEIGHT + HEAD_HEIGHT;
        for (&row, &height) in heights.iter().rev() {
            self.rows.insert(row, (y, height));
            y += height + ROW_GAP;
        }
        self.height = y - ROW_GAP + MARGIN;
        self.width = left_of(self.columns.len()).max(legend_width(graph)) + MARGIN;
        for ((row, position), cell) in &cells {
            let (top, height) = self.rows[row];
            let mut y = top + (height - stack_height(cell, graph)) / 2;
            let x = left_of(self.column_of(*position));
            for drawn in cell {
                let place = Placed {
                    x,
                    y,
                    height: drawn.height(graph),
                    lines: drawn.lines(graph),
                };
                y += place.height + GAP;
                match drawn {
                    Drawn::Vertex(vertex) => {
                        self.placed.insert(*vertex, place);
                    }
                    Drawn::Member(vertex, _) => self.members.push((*vertex, place)),
                }
            }
        }
    }

    /// Gives the lines of every vertex lanes of their own.
    fn assign_lanes(&mut self) {
        for edge in self.graph.edges.edge_indices() {
            let (from, to) = self.graph.ends(edge);
            let course = self.course(edge);
            let leaving = self.gutters.entry(course.leaving).or_default();
            leaving.insert((from, Direction::Outgoing));
            if let Some(row) = course.below {
                self.channels.entry(row).or_default().insert(from);
                if !self.is_answer(to) {
                    let entering = self.gutters.entry(course.entering).or_default();
                    entering.insert((to, Direction::Incoming));
                }
            }
        }
    }

    fn column_of(&self, position: usize) -> usize {
        let column = self.columns.binary_search(&position);
        column.expect("every position has a column")
    }

    /// Row and column of a vertex.
    fn at(&self, vertex: NodeIndex) -> (usize, usize) {
        let (row, position) = cell(&self.graph.edges[vertex].kind, &self.graph.shape);
        (row, self.column_of(position))
    }

    fn course(&self, edge: EdgeIndex) -> Course {
        let (from, to) = self.graph.ends(edge);
        let ((_, source), (row, target)) = (self.at(from), self.at(to));
        // A set's box is at its last node, which may be right of what it feeds.
        let (leaving, entering) = match source.cmp(&target) {
            Ordering::Less => (source + 1, target),
            Ordering::Equal => (source + 1, target + 1),
            Ordering::Greater => (source, target + 1),
        };
        let crosses = leaving != entering || self.is_answer(to);
        Course {
            leaving,
            entering,
            below: crosses.then_some(row),
        }
    }

    /// Where the lines of a vertex run in a gutter.
    fn gutter_x(&self, gutter: usize, vertex: NodeIndex, end: Direction) -> usize {
        let left = left_of(gutter) - COLUMN_GAP;
        left + lane(&self.gutters[&gutter], &(vertex, end), COLUMN_GAP)
    }

    /// Where the lines of a vertex run below a row.
    fn channel_y(&self, row: usize, vertex: NodeIndex) -> usize {
        let (top, height) = self.rows[&row];
        top + height + lane(&self.channels[&row], &vertex, ROW_GAP)
    }

    /// The corners of an edge's line, from its source to its target.
    fn corners(&self, edge: EdgeIndex) -> Vec<(usize, usize)> {
        let (from, to) = self.graph.ends(edge);
        let (source, target) = (&self.placed[&from], &self.placed[&to]);
        let course = self.course(edge);
        // The side of a box that faces a gutter.
        let side = |place: &Placed, gutter: usize| match left_of(gutter) > place.x {
            true => place.x + BOX_WIDTH,
            false => place.x,
        };
        let y = source.y + source.height / 2;
        let gutter = self.gutter_x(course.leaving, from, Direction::Outgoing);
        let mut corners = vec![(side(source, course.leaving), y), (gutter, y)];
        let mut entering = gutter;
        if let Some(row) = course.below {
            let channel = self.channel_y(row, from);
            entering = match self.is_answer(to) {
                true => target.x + BOX_WIDTH / 2,
                false => self.gutter_x(course.entering, to, Direction::Incoming),
            };
            corners.extend([(gutter, channel), (entering, channel)]);
        }
        if self.is_answer(to) {
            corners.push((entering, target.y + target.height));
        } else {
            let y = target.y + target.height / 2;
            corners.extend([(entering, y), (side(target, course.entering), y)]);
        }
        corners
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

    /// Above each column: its position, the token it reads, and the one it predicts.
    fn write_columns(&self, out: &mut String) {
        let shape = &self.graph.shape;
        for (column, &position) in self.columns.iter().enumerate() {
            let mut lines = vec![
                format!("P{position}"),
                format!("reads {}", position_name(position, shape)),
            ];
            if let PromptPart::Answer(token) = shape.part_at(position + 1) {
                lines.push(format!("predicts {token}"));
            }
            for (i, line) in lines.iter().enumerate() {
                writeln!(
                    out,
                    "<text class=\"place\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{line}</text>",
                    left_of(column) + BOX_WIDTH / 2,
                    MARGIN + LEGEND_HEIGHT + LINE_HEIGHT * i,
                )
                .expect(WRITES);
            }
        }
    }

    /// The nodes of sets that are elsewhere than the set's box, each joined to it.
    fn write_members(&self, out: &mut String) {
        for (vertex, place) in &self.members {
            let set = &self.placed[vertex];
            let (x, y) = (place.x + BOX_WIDTH / 2, place.y + place.height / 2);
            let (set_x, set_y) = (set.x + BOX_WIDTH / 2, set.y + set.height / 2);
            writeln!(
                out,
                "<line class=\"member\" x1=\"{x}\" y1=\"{y}\" x2=\"{set_x}\" y2=\"{set_y}\"/>"
            )
            .expect(WRITES);
        }
        for (vertex, place) in &self.members {
            let weight = &self.graph.edges[*vertex];
            write!(
                out,
                "<g class=\"member {}\"><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{}\" rx=\"4\"/>",
                Tone::of(weight).class(),
                escaped(&name_of(weight)),
                place.x,
                place.y,
                place.height
            )
            .expect(WRITES);
            write_lines(out, place);
            writeln!(out, "</g>").expect(WRITES);
        }
    }

    fn is_answer(&self, vertex: NodeIndex) -> bool {
        matches!(self.graph.edges[vertex].kind, VertexKind::Token(_))
    }

    fn write_edges(&self, out: &mut String) {
        // Edges that propagate verdicts are drawn last, on top.
        let mut edges: Vec<_> = self.graph.edges.edge_indices().collect();
        edges.sort_by_key(|&edge| (self.graph.edges[edge].stands(), edge));
        for edge in edges {
            let (from, to) = self.graph.ends(edge);
            let weight = &self.graph.edges[edge];
            let corners = self.corners(edge);
            let dashed = if is_dashed(weight) { " dashed" } else { "" };
            let stands = if weight.stands() { " stands" } else { "" };
            writeln!(
                out,
                "<g class=\"edge {}{dashed}{stands}\" data-from=\"{}\" data-to=\"{}\"><title>{}</title><path d=\"{}\"/><polygon class=\"head\" points=\"{}\"/></g>",
                weight.verdict(),
                from.index(),
                to.index(),
                escaped(&told(self.graph, edge)),
                path(&corners),
                arrowhead(&corners)
            )
            .expect(WRITES);
        }
    }

    fn write_boxes(&self, out: &mut String) {
        for (vertex, place) in &self.placed {
            let weight = &self.graph.edges[*vertex];
            let Placed { x, y, height, .. } = place;
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
            write_lines(out, place);
            writeln!(out, "</g>").expect(WRITES);
        }
    }
}

/// The text of a box.
fn write_lines(out: &mut String, place: &Placed) {
    for (i, line) in place.lines.iter().enumerate() {
        let class = if i == 0 { " class=\"title\"" } else { "" };
        write!(
            out,
            "<text{class} x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            place.x + BOX_WIDTH / 2,
            place.y + PADDING + LINE_HEIGHT * i + 9,
            escaped(line)
        )
        .expect(WRITES);
    }
}

/// A point some way along a horizontal or vertical line.
fn along(from: (usize, usize), to: (usize, usize), way: usize) -> (usize, usize) {
    let step = |from: usize, to: usize| {
        let step = from.abs_diff(to).min(way);
        if to < from { from - step } else { from + step }
    };
    (step(from.0, to.0), step(from.1, to.1))
}

/// A line with rounded corners.
fn path(corners: &[(usize, usize)]) -> String {
    let (first, last) = (corners[0], corners[corners.len() - 1]);
    let mut path = format!("M{} {}", first.0, first.1);
    for near in corners.windows(3) {
        let corner = near[1];
        let half =
            |other: (usize, usize)| (other.0.abs_diff(corner.0) + other.1.abs_diff(corner.1)) / 2;
        let radius = CORNER.min(half(near[0])).min(half(near[2]));
        let (x1, y1) = along(corner, near[0], radius);
        let (x2, y2) = along(corner, near[2], radius);
        path += &format!("L{x1} {y1}Q{} {} {x2} {y2}", corner.0, corner.1);
    }
    path + &format!("L{} {}", last.0, last.1)
}

/// The corners of the arrowhead at the end of a line.
fn arrowhead(corners: &[(usize, usize)]) -> String {
    let (end_x, end_y) = corners[corners.len() - 1];
    let (x, y) = along((end_x, end_y), corners[corners.len() - 2], ARROW);
    let half = ARROW / 2;
    match y == end_y {
        true => format!("{end_x},{end_y} {x},{} {x},{}", y - half, y + half),
        false => format!("{end_x},{end_y} {},{y} {},{y}", x - half, x + half),
    }
}

fn name_of(vertex: &Vertex) -> String {
    let mut text = vertex.kind.to_string();
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
