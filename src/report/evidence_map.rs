//! The claim–evidence map of 2026 as Markdown and as a page.

use std::fmt::Write;

use maud::{DOCTYPE, Markup, html};

use super::html::cell_styled;
use super::page_head;
use crate::analysis::evidence_map::{
    ClaimResult, MapMeasured, MapVerdict, ModelMap, Part, Row, Settled,
};
use crate::storage::{markdown_code, markdown_text};

/// Writing into a String cannot fail.
const WRITES: &str = "a String takes any text";

/// Styles of this page beyond those of reports.
const STYLE: &str = "\
.map { width: 100%; font-variant-numeric: tabular-nums }
.map th, .map td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; font-size: .9rem }
.map thead th { color: var(--soft); font-size: .8rem; white-space: nowrap }
.map td.figure { white-space: nowrap }
h2, h3 { overflow-wrap: anywhere }
.map th[scope=row] { min-width: 11rem }
.map thead th.model { white-space: normal; min-width: 7rem }
.map .model { font-family: var(--mono); font-size: .8rem; overflow-wrap: anywhere }
.interval { width: 9rem; height: .8rem }
.interval .track { fill: var(--line) } .interval .range { fill: var(--soft) } .interval .value { fill: currentColor } .interval .limit { fill: var(--bad) }
.good { color: var(--good) } .bad { color: var(--bad) } .soft { color: var(--soft) }";

/// The verdicts of all claims on all models as a table, in Markdown.
fn overview(text: &mut String, maps: &[ModelMap]) -> std::fmt::Result {
    write!(text, "| claim |")?;
    for map in maps {
        write!(text, " {} |", markdown_text(&map.identity.model))?;
    }
    writeln!(text, "\n|---|{}", "---|".repeat(maps.len()))?;
    for number in 0..maps.first().map_or(0, |map| map.claims.len()) {
        let claim = &maps[0].claims[number].claim;
        write!(text, "| {}: {} |", claim.id, markdown_text(&claim.says))?;
        for map in maps {
            write!(text, " {} |", map.claims[number].verdict)?;
        }
        writeln!(text)?;
    }
    writeln!(text)
}

/// A figure with its interval: `0.98 [0.94, 1.00], n = 128`.
pub fn figure(row: &Row) -> String {
    let mut text = match row.samples {
        0 => format!("{:.3}", row.value),
        samples => format!(
            "{:.3} [{:.3}, {:.3}], n = {samples}",
            row.value, row.lower, row.upper
        ),
    };
    if let Some(p) = row.p {
        let _ = write!(text, ", p = {p:.4}");
    }
    text
}

/// What a measurement comes to, in a word.
fn outcome(measured: &MapMeasured) -> &'static str {
    measured.settled.map_or("–", Settled::name)
}

/// The map of some models, all of them with the same claims, as Markdown.
pub fn evidence_markdown(maps: &[ModelMap]) -> String {
    let mut text = String::new();
    write_markdown(&mut text, maps).expect(WRITES);
    text
}

fn write_markdown(text: &mut String, maps: &[ModelMap]) -> std::fmt::Result {
    overview(text, maps)?;
    for map in maps {
        let classes: Vec<String> = map.classes.iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "## {}\n\nWeights SHA-256 {}; classes {}; seed {}. With probability at least 1 − {}, all intervals of a measurement hold.\n",
            markdown_text(&map.identity.model),
            markdown_code(&map.identity.weights_sha256),
            classes.join(", "),
            map.options.seed,
            map.options.alpha,
        )?;
        let all: u64 = map.claims.iter().map(|claim| claim.questions).sum();
        for result in &map.claims {
            write_claim(text, result, all)?;
        }
    }
    Ok(())
}

fn write_claim(text: &mut String, result: &ClaimResult, all: u64) -> std::fmt::Result {
    let claim = &result.claim;
    writeln!(text, "### {}: {}\n", claim.id, result.verdict)?;
    writeln!(text, "{}\n", markdown_text(&claim.says))?;
    for published in &claim.published {
        let models = markdown_text(&published.models);
        writeln!(
            text,
            "- Published on {models}: {}.",
            markdown_text(&published.found)
        )?;
    }
    for (title, said) in notes(result) {
        writeln!(text, "- {title}: {}", markdown_text(said))?;
    }
    if result.questions > 0 {
        let share = 100.0 * result.questions as f64 / all.max(1) as f64;
        writeln!(
            text,
            "- Cost: {} questions, {share:.0} % of the map's.",
            result.questions
        )?;
    }
    if result
        .measured
        .iter()
        .all(|measured| measured.rows.is_empty())
    {
        return writeln!(text);
    }
    writeln!(
        text,
        "\n| part | measured | expected | outcome | of | figure |\n|---|---|---|---|---|---|"
    )?;
    for measured in &result.measured {
        for (number, row) in measured.rows.iter().enumerate() {
            let first = |text: &str| {
                if number == 0 {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                first(measured.part.name()),
                first(&markdown_text(&measured.says)),
                first(&measured.expect.says()),
                first(outcome(measured)),
                markdown_text(&row.of),
                figure(row),
            )?;
        }
    }
    writeln!(text)
}

/// What is to be said of a claim, each with its title.
fn notes(result: &ClaimResult) -> Vec<(&'static str, &str)> {
    let claim = &result.claim;
    [
        ("Nodes", claim.roles.as_str()),
        ("Cannot fail as published", &claim.cannot_fail),
        ("Sound test", &claim.sound),
        ("Reason", &result.reason),
    ]
    .into_iter()
    .filter(|(_, said)| !said.is_empty())
    .collect()
}

/// The map of some models, all of them with the same claims, as a page.
pub fn evidence_page(maps: &[ModelMap]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (page_head("Published claims of 2026, measured", STYLE))
            body {
                header {
                    p.kicker { "circuitcheck evidence" }
                    h1 { "Published claims of 2026" }
                    p.lead { "Each measured as published and by a test that can fail, with intervals and controls." }
                }
                main {
                    section.summary aria-labelledby="overview" {
                        h2 #overview { "Verdicts" }
                        (overview_table(maps))
                    }
                    @for (number, map) in maps.iter().enumerate() {
                        section aria-labelledby={ "model-" (number) } {
                            h2 id={ "model-" (number) } { (map.identity.model) }
                            p.about { "Seed " (map.options.seed) ". With probability at least 1 − " (map.options.alpha) ", all intervals of a measurement hold." }
                            @for result in &map.claims { (claim(result, number)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn tone(verdict: MapVerdict) -> &'static str {
    match verdict {
        MapVerdict::Reproduced => "good",
        MapVerdict::ControlFails | MapVerdict::NotReproduced => "bad",
        MapVerdict::CannotFail | MapVerdict::Open | MapVerdict::NotApplicable => "soft",
    }
}

fn overview_table(maps: &[ModelMap]) -> Markup {
    let claims = maps.first().map_or(&[][..], |map| &map.claims);
    html! {
        div.scroll tabindex="0" role="group" aria-label="Verdicts by claim and model" {
            table.map {
                thead { tr {
                    th scope="col" { "claim" }
                    @for map in maps { th.model scope="col" { (map.identity.model) } }
                } }
                tbody {
                    @for (number, first) in claims.iter().enumerate() {
                        tr {
                            th scope="row" { (first.claim.id) ": " (first.claim.says) }
                            @for (model, map) in maps.iter().enumerate() {
                                @let result = &map.claims[number];
                                td { a.(tone(result.verdict)) href={ "#" (result.claim.id) "-" (model) } { (result.verdict) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The map of one model as a cell of a notebook.
pub fn evidence_cell(map: &ModelMap) -> String {
    let content = html! {
        p.kicker { "circuitcheck evidence, seed " (map.options.seed) }
        h3 { "Published claims of 2026 on " span.model { (map.identity.model) } }
        @for result in &map.claims { h3 { (verdict(result)) } (measured(result)) }
        p.small { "With probability at least 1 − " (map.options.alpha) ", all intervals of a measurement hold." }
    };
    cell_styled(content, STYLE)
}

fn claim(result: &ClaimResult, model: usize) -> Markup {
    html! {
        h3 id={ (result.claim.id) "-" (model) } { (verdict(result)) }
        (measured(result))
    }
}

fn verdict(result: &ClaimResult) -> Markup {
    html! { (result.claim.id) ": " span.(tone(result.verdict)) { (result.verdict) } }
}

/// What a claim says and what was measured.
fn measured(result: &ClaimResult) -> Markup {
    let claim = &result.claim;
    html! {
        p { (claim.says) }
        ul {
            @for published in &claim.published { li { "Published on " (published.models) ": " (published.found) "." } }
            @for (title, said) in notes(result) { li { (title) ": " (said) } }
        }
        @if result.measured.iter().any(|measured| !measured.rows.is_empty()) {
            div.scroll tabindex="0" role="group" aria-label={ "Measurements of " (claim.id) } {
                table.map {
                    thead { tr { @for title in ["part", "measured", "expected", "outcome", "of", "", "figure"] { th scope="col" { (title) } } } }
                    tbody {
                        @for measured in &result.measured {
                            @for (number, row) in measured.rows.iter().enumerate() {
                                tr {
                                    @if number == 0 {
                                        td rowspan=(measured.rows.len()) { (measured.part.name()) }
                                        td rowspan=(measured.rows.len()) { (measured.says) }
                                        td rowspan=(measured.rows.len()) { (measured.expect.says()) }
                                        td rowspan=(measured.rows.len()) { (outcome(measured)) }
                                    }
                                    td { (row.of) }
                                    td { (interval(row, measured)) }
                                    td.figure { (figure(row)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A figure's interval on a scale from 0 to 1, with the limit it is held against; nothing where it
/// lies outside. The text beside it says the same.
fn interval(row: &Row, measured: &MapMeasured) -> Markup {
    let inside = 0.0..=1.0;
    if row.samples == 0 || !inside.contains(&row.value) {
        return html! {};
    }
    let at = |value: f64| (value.clamp(0.0, 1.0) * 100.0).round();
    let limit = measured.expect.at_least.or(measured.expect.at_most);
    html! {
        svg.interval viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track y="4" width="100" height="2" {}
            rect.range x=(at(row.lower)) y="3" width=((at(row.upper) - at(row.lower)).max(0.8)) height="4" {}
            rect.value x=((at(row.value) - 0.6).max(0.0)) width="1.2" height="10" {}
            @if let Some(limit) = limit { rect.limit x=(at(limit)) width="0.5" height="10" {} }
        }
    }
}

/// The verdicts of one model, in short: how many claims have each.
pub fn evidence_counts(map: &ModelMap) -> String {
    let counted = MapVerdict::ALL.into_iter().filter_map(|verdict| {
        let count = map
            .claims
            .iter()
            .filter(|claim| claim.verdict == verdict)
            .count();
        (count > 0).then(|| format!("{count} {verdict}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}

/// The parts that decide, in the order of the columns of a table.
pub const DECIDING_PARTS: [Part; 2] = [Part::Sound, Part::Control];
