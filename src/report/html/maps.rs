//! The maps of a model: token positions across, layers and heads down, one for each kind of fact.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::places::place;
use super::{Links, Section, names, sign, tone};
use crate::domain::node::{Component, NodeName};
use crate::domain::shape::Shape;
use crate::inputs::claims::{Tag, TaggedNode};
use crate::report::Report;
use crate::verify::evidence::ClaimEvidence;

/// Measures of a map, in units of its drawing.
const CELL_WIDTH: usize = 46;
const LINE: usize = 10;
const CELL_PAD: usize = 10;
const LEFT: usize = 58;
const TOP: usize = 34;

/// Lines of text in a cell at most.
const MOST_LINES: usize = 3;

/// Characters of one line that fit a cell.
const LINE_CHARS: usize = 8;

/// What a map shows in one cell.
struct MapCell {
    /// Classes of the strips it is divided into: verdicts, or one shade.
    tones: Vec<String>,
    lines: Vec<String>,
    words: String,
}

/// A map: its name, what it shows, and its cells.
struct Map {
    id: &'static str,
    title: &'static str,
    about: &'static str,
    cells: BTreeMap<NodeName, MapCell>,
}

pub fn section(report: &Report) -> Section {
    let maps = maps(report);
    let shape = &report.evidence.inputs.shape;
    Section {
        id: "maps",
        title: "Maps",
        about: html! {
            "Token positions across, layers and heads down. Click a cell to go to the first claim of its node."
            @if report.behaviors.is_empty() {
                " The model has no behaviors.json, so only claims are drawn. This measures one: " code { (report.discover_command()) }
            } @else if !report.publishes_behaviors {
                " The model publishes no behaviors.json; its nodes were measured by " code { (report.discover_command()) } "."
            }
        },
        content: html! {
            div.tabs {
                @for (i, map) in maps.iter().enumerate() {
                    input type="radio" name="map" id={ "map-" (map.id) } checked[i == 0];
                    label for={ "map-" (map.id) } { (map.title) }
                }
                @for map in &maps {
                    figure.map data-map=(map.id) {
                        figcaption { b { (map.title) } ": " (map.about) }
                        div.scroll tabindex="0" role="group" aria-label={ "Map of " (map.title) } { (draw(map, shape, report, Links::OnPage)) }
                    }
                }
            }
            (in_words(&maps))
        },
    }
}

/// One map by its name, such as `verdicts`; the error is the names of those there are.
pub fn map(report: &Report, id: &str) -> Result<Markup, Vec<&'static str>> {
    let maps = maps(report);
    let shape = &report.evidence.inputs.shape;
    match maps.iter().find(|map| map.id == id) {
        Some(map) => Ok(html! {
            figure {
                figcaption { b { (map.title) } ": " (map.about) }
                div.scroll { (draw(map, shape, report, Links::Nowhere)) }
            }
        }),
        None => Err(maps.iter().map(|map| map.id).collect()),
    }
}

/// The maps of which anything is known.
fn maps(report: &Report) -> Vec<Map> {
    let behaviors = &report.behaviors;
    let mut maps = vec![verdicts(report), tasks(report)];
    let tagged =
        |id, title, about, of: fn(&[&str], &Shape) -> MapCell, wanted: fn(&Tag) -> bool| Map {
            id,
            title,
            about,
            cells: cells(behaviors, &report.evidence.inputs.shape, wanted, of),
        };
    maps.push(tagged(
        "fail",
        "fail %",
        "share of questions answered wrongly when the node is mean-ablated, as published",
        fail,
        |tag| tag.major == "Fail%",
    ));
    maps.push(tagged(
        "impact",
        "answer impact",
        "the answer tokens that go wrong when the node is mean-ablated",
        impact,
        |tag| tag.major == "Impact",
    ));
    maps.push(tagged(
        "attention",
        "attention",
        "the positions that the head attends to most",
        attention,
        |tag| tag.major == "Attn",
    ));
    maps.push(tagged(
        "complexity",
        "complexity",
        "the complexity classes of the questions that go wrong",
        complexity,
        |tag| tag.major.starts_with("Math.") && !tag.minor.contains('.'),
    ));
    maps.retain(|map| !map.cells.is_empty());
    maps
}

fn cells(
    behaviors: &[TaggedNode],
    shape: &Shape,
    wanted: fn(&Tag) -> bool,
    of: fn(&[&str], &Shape) -> MapCell,
) -> BTreeMap<NodeName, MapCell> {
    let mut cells = BTreeMap::new();
    for tagged in behaviors {
        let minors: Vec<&str> = tagged
            .tags
            .iter()
            .filter(|tag| wanted(tag))
            .map(|tag| tag.minor.as_str())
            .collect();
        if !minors.is_empty() {
            cells.insert(tagged.node, of(&minors, shape));
        }
    }
    cells
}

/// One of ten shades, for a share in percent.
fn shade(percent: f64) -> Vec<String> {
    let step = (percent / 10.0).ceil().clamp(1.0, 10.0);
    vec![format!("s{step}")]
}

fn fail(minors: &[&str], _: &Shape) -> MapCell {
    let percent: f64 = minors[0].parse().unwrap_or(0.0);
    MapCell {
        tones: shade(percent),
        lines: vec![format!("{}%", minors[0])],
        words: format!("{} % fail", minors[0]),
    }
}

fn impact(minors: &[&str], shape: &Shape) -> MapCell {
    let tokens = minors[0].len().saturating_sub(1);
    MapCell {
        tones: shade(100.0 * tokens as f64 / shape.n_answer() as f64),
        lines: vec![minors[0].to_owned()],
        words: format!("impact {}", minors[0]),
    }
}

fn attention(minors: &[&str], shape: &Shape) -> MapCell {
    let sources: Vec<(String, &str)> = minors
        .iter()
        .filter_map(|minor| {
            let (position, percent) = minor.strip_prefix('P')?.split_once('=')?;
            Some((place(position.parse().ok()?, shape), percent))
        })
        .collect();
    let most = sources
        .iter()
        .filter_map(|(_, percent)| percent.parse().ok());
    let words: Vec<String> = (sources.iter())
        .map(|(place, percent)| format!("{place} {percent} %"))
        .collect();
    MapCell {
        tones: shade(most.fold(0.0, f64::max)),
        lines: sources
            .iter()
            .take(2)
            .map(|(place, percent)| format!("{place} {percent}"))
            .collect(),
        words: words.join(", "),
    }
}

fn complexity(minors: &[&str], _: &Shape) -> MapCell {
    let classes: usize = minors.iter().map(|minor| minor.len() - 1).sum();
    MapCell {
        tones: shade(classes as f64 * 8.0),
        lines: minors.iter().map(ToString::to_string).collect(),
        words: minors.join(", "),
    }
}

/// The claims made of each node.
fn by_node(report: &Report) -> BTreeMap<NodeName, Vec<&ClaimEvidence>> {
    let mut nodes: BTreeMap<NodeName, Vec<&ClaimEvidence>> = BTreeMap::new();
    for claim in &report.evidence.claims {
        nodes.entry(claim.node).or_default().push(claim);
    }
    nodes
}

fn claimed(
    report: &Report,
    line: impl Fn(&ClaimEvidence) -> String,
) -> BTreeMap<NodeName, MapCell> {
    by_node(report)
        .into_iter()
        .map(|(node, claims)| {
            let words: Vec<String> = claims
                .iter()
                .map(|claim| format!("{} {}", claim.tag(), claim.verdict))
                .collect();
            let cell = MapCell {
                tones: claims.iter().map(|c| tone(c.verdict.kind())).collect(),
                lines: claims.iter().map(|claim| line(claim)).collect(),
                words: words.join(", "),
            };
            (node, cell)
        })
        .collect()
}

fn verdicts(report: &Report) -> Map {
    let mut cells = claimed(report, |claim| sign(claim.verdict.kind()).to_owned());
    for cell in cells.values_mut() {
        // Signs are short: one line of them says all.
        cell.lines = vec![cell.lines.join(" ")];
    }
    Map {
        id: "verdicts",
        title: "verdicts",
        about: "one strip for each claim of the node",
        cells,
    }
}

fn tasks(report: &Report) -> Map {
    Map {
        id: "tasks",
        title: "tasks",
        about: "what the node is claimed to compute",
        cells: claimed(report, |claim| claim.tag().to_owned()),
    }
}

/// The rows of a map, from the first layer down: heads, then the MLP.
fn rows(shape: &Shape) -> Vec<(usize, Component)> {
    (0..shape.n_layers)
        .flat_map(|layer| {
            let heads = (0..shape.n_heads).map(Component::Head);
            heads
                .chain([Component::Mlp(0)])
                .map(move |part| (layer, part))
        })
        .collect()
}

/// What fits into a cell: the first lines, the last of them a count of those left out.
fn fitting(lines: &[String]) -> Vec<String> {
    let short = |line: &String| match line.chars().count() > LINE_CHARS {
        true => line.chars().take(LINE_CHARS - 1).chain(['…']).collect(),
        false => line.clone(),
    };
    if lines.len() <= MOST_LINES {
        return lines.iter().map(short).collect();
    }
    let more = format!("+{}", lines.len() - (MOST_LINES - 1));
    let first = lines.iter().take(MOST_LINES - 1).map(short);
    first.chain([more]).collect()
}

fn draw(map: &Map, shape: &Shape, report: &Report, links: Links) -> Markup {
    let rows = rows(shape);
    let claimed = by_node(report);
    let lines = map.cells.values().map(|cell| cell.lines.len());
    let lines = lines.max().unwrap_or(1).min(MOST_LINES);
    let cell_height = LINE * lines + CELL_PAD;
    let columns = shape.n_ctx() - 1;
    let (width, height) = (LEFT + columns * CELL_WIDTH, TOP + rows.len() * cell_height);
    let grid_width = columns * CELL_WIDTH;
    html! {
        svg.grid width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="group" aria-label={ "Map of " (map.title) ": " (map.about) } {
            @for position in 0..columns {
                @let x = LEFT + position * CELL_WIDTH + CELL_WIDTH / 2;
                text.place x=(x) y="12" { (place(position, shape)) }
                text.position x=(x) y="25" { "P" (position) }
            }
            @for (row, (layer, part)) in rows.iter().enumerate() {
                @let y = TOP + row * cell_height;
                @let is_first = row % (shape.n_heads + 1) == 0;
                rect.band.odd[row % 2 == 1] x=(LEFT) y=(y) width=(grid_width) height=(cell_height) {}
                @if is_first { line.layer x1="0" x2=(width) y1=(y) y2=(y) {} }
                text.row x=(LEFT - 8) y=(y + cell_height / 2 + 3) {
                    "L" (layer) (match part { Component::Head(head) => format!("H{head}"), Component::Mlp(_) => " MLP".into() })
                }
            }
            @for (node, cell) in &map.cells {
                @if let Some(row) = rows.iter().position(|&row| row == (node.layer, node.component)) {
                    @let (x, y) = (LEFT + node.position * CELL_WIDTH, TOP + row * cell_height);
                    @let drawn = one(node, cell, x, y, cell_height);
                    @match links == Links::OnPage && claimed.contains_key(node) {
                        true => a href={ "#" (node) } aria-label={ (node) ": " (cell.words) } { (drawn) },
                        false => g role="img" aria-label={ (node) ": " (cell.words) } { (drawn) },
                    }
                }
            }
        }
    }
}

fn one(node: &NodeName, cell: &MapCell, x: usize, y: usize, height: usize) -> Markup {
    let strips = cell.tones.len().max(1);
    let width = CELL_WIDTH - 2;
    let lines = fitting(&cell.lines);
    let first =
        y as f64 + height as f64 / 2.0 - (lines.len() as f64 - 1.0) * LINE as f64 / 2.0 + 3.0;
    let at = |strip: usize| x + 1 + strip * width / strips;
    html! {
        title { (node) ": " (cell.words) }
        @for (strip, tone) in cell.tones.iter().enumerate() {
            rect.(tone) x=(at(strip)) y=(y + 1) width=(at(strip + 1) - at(strip)) height=(height - 2) {}
        }
        @for (i, line) in lines.iter().enumerate() {
            text x=(x + CELL_WIDTH / 2) y=(first + (i * LINE) as f64) { (line) }
        }
    }
}

/// The maps as one table, for readers who do not see them.
fn in_words(maps: &[Map]) -> Markup {
    let mut nodes: Vec<NodeName> = maps
        .iter()
        .flat_map(|map| map.cells.keys().copied())
        .collect();
    nodes.sort();
    nodes.dedup();
    html! {
        details.in-words {
            summary { "The maps as a table of " (nodes.len()) " nodes" }
            div.scroll tabindex="0" role="group" aria-label="The maps as a table" {
                table.plain {
                    thead { tr {
                        th scope="col" { "node" }
                        @for map in maps { @if map.id != "tasks" { th scope="col" { (map.title) } } }
                    } }
                    tbody {
                        @for node in &nodes {
                            tr id={ "map-" (node) } {
                                th scope="row" { (names(std::slice::from_ref(node))) }
                                @for map in maps { @if map.id != "tasks" {
                                    td { @if let Some(cell) = map.cells.get(node) { (cell.words) } }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}
