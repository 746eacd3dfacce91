//! Parts of the page as cells of a notebook: each complete in itself, in light and dark, and without
//! effect on what stands around it.

use std::collections::BTreeSet;

use maud::{Markup, PreEscaped, html};
use thiserror::Error;

use super::{Links, STYLE, attention, claims, maps, overview};
use crate::analysis::graph::{Graph, svg};
use crate::domain::plain::one_line;
use crate::experiment::assay::{ExperimentResult, ExperimentVerdict};
use crate::inputs::claims::{claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;
use crate::report::{Attention, Report};

/// What a cell stands in.
const FRAME: &str = ".circuitcheck { background: var(--sheet); color: var(--ink); font: 14px/1.5 system-ui, -apple-system, \"Segoe UI\", Roboto, sans-serif; border: 1px solid var(--line); border-radius: 6px; padding: .7rem 1rem; max-width: 76rem; overflow: hidden }
.circuitcheck .kicker { margin: 0 0 .3rem } .circuitcheck .lead { font-size: 1rem; margin: 0 0 .7rem } .circuitcheck h3 { margin: 0 0 .4rem } .circuitcheck p.small { margin: .3rem 0 0 } .circuitcheck .accuracy { max-width: 26rem } .circuitcheck .scroll svg.grid { width: auto }
.circuitcheck :is(tr, th, td):nth-child(n):nth-child(n) { text-align: inherit; background-color: transparent } .circuitcheck table { margin: 0; table-layout: auto } .circuitcheck .facts :is(dt, dd) { float: none; width: auto; padding: 0 }
";

/// What notebooks set where they are light, and where they are dark: JupyterLab and what nbconvert makes
/// of a notebook, VS Code, Colab.
const THEMES: [&str; 2] = [
    "[data-jp-theme-light=true], .vscode-light, html[theme=light]",
    "[data-jp-theme-light=false], .vscode-dark, html[theme=dark]",
];

/// Why there is no such cell.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CellError {
    #[error("no claim reads {wanted:?}: claims read like {:?}", .known.first().map_or("", String::as_str))]
    Claim { wanted: String, known: Vec<String> },
    #[error("there is no map {wanted:?}: the model has {}", .known.join(", "))]
    Map {
        wanted: String,
        known: Vec<&'static str>,
    },
}

/// A model: what it is, and what is claimed of it.
pub fn model_cell(folder: &ModelFolder) -> String {
    let claims = folder.features.as_ref().map(|file| {
        let shown = file.path.display().to_string();
        read_tagged_nodes(&shown, &file.bytes).map_or(0, |nodes| claims_of(&nodes).len())
    });
    let operations = folder.operations().to_string();
    cell(html! {
        p.kicker { "circuitcheck model" }
        h3 { span.model { (folder.name) } }
        dl.facts {
            (overview::facts(&folder.weights.shape(), &operations, &folder.weights_sha256))
            div { dt { "claims" } dd { @match claims { Some(claims) => (claims), None => "none published" } } }
        }
    })
}

/// A verification: what came out, and where the whole page is, if it is written.
pub fn run_cell(report: &Report, page: Option<&str>) -> String {
    let evidence = &report.evidence;
    let digest = &report.evidence_sha256;
    cell(html! {
        p.kicker { "circuitcheck verify, seed " (evidence.protocol.seed) }
        h3 { "Claims about " span.model { (evidence.inputs.model) } }
        (overview::outcome(evidence))
        p.small {
            "evidence " code title=(digest) { (digest.get(..12).unwrap_or(digest)) }
            @if let Some(page) = page { ", " a href=(page) { "the whole report" } }
        }
    })
}

/// One claim: measures, controls, counterexample.
///
/// # Errors
/// [`CellError::Claim`] where no claim is called so.
pub fn claim_cell(report: &Report, wanted: &str) -> Result<String, CellError> {
    let views = report.claims();
    match views.iter().find(|claim| claim.claim == wanted) {
        Some(claim) => Ok(cell(claims::alone(report, claim))),
        None => Err(CellError::Claim {
            wanted: wanted.to_owned(),
            known: views.iter().map(|claim| claim.claim.to_owned()).collect(),
        }),
    }
}

/// A map of the model, such as `verdicts`: token positions across, layers and heads down.
///
/// # Errors
/// [`CellError::Map`] where nothing is known for a map of this name.
pub fn map_cell(report: &Report, wanted: &str) -> Result<String, CellError> {
    let map = maps::map(report, wanted).map_err(|known| CellError::Map {
        wanted: wanted.to_owned(),
        known,
    })?;
    Ok(cell(map))
}

/// The attention of heads.
pub fn attention_cell(attention: &Attention, folder: &ModelFolder) -> String {
    cell(attention::table(
        attention,
        &folder.weights.shape(),
        Links::Nowhere,
    ))
}

/// A graph, which has its own styles.
pub fn graph_cell(graph: &Graph, title: &str) -> String {
    cell(html! {
        p.kicker { (one_line(title)) }
        div.scroll { (PreEscaped(svg(graph))) }
    })
}

/// An experiment: what was read, under which controls, and what follows.
pub fn experiment_cell(result: &ExperimentResult, model: &str) -> String {
    let tone = match result.verdict {
        ExperimentVerdict::Shown => "v-supported",
        ExperimentVerdict::Open => "v-inconclusive",
        ExperimentVerdict::NotShown | ExperimentVerdict::ControlFails => "v-refuted",
    };
    cell(html! {
        p.kicker { "circuitcheck experiment, seed " (result.seed) }
        h3 { (one_line(&result.experiment.says)) ": " span.badge.(tone) { (result.verdict.name()) } }
        p { (one_line(&result.sentence)) }
        div.scroll { table.plain {
            thead { tr { @for title in ["condition", "read", "pairs left out"] { th scope="col" { (title) } } } }
            tbody { @for measured in std::iter::once(&result.measured).chain(&result.controls) {
                tr {
                    td { (one_line(&measured.condition)) }
                    td.figure { (measured.figure) }
                    td { (measured.dropped) }
                }
            } }
        } }
        p.small { "of " span.model { (one_line(model)) } }
    })
}

/// A cell with the rules of the page that it needs.
fn cell(content: Markup) -> String {
    cell_styled(content, "")
}

/// A cell with the rules that it needs of the page and of `sheet`.
pub(in crate::report) fn cell_styled(content: Markup, sheet: &str) -> String {
    let content = content.into_string();
    format!(
        "<div class=\"circuitcheck\"><style>\n{}</style>{content}</div>",
        style(&content, sheet)
    )
}

/// The rules of the page and of `further` that can apply to `content`, each for cells alone.
fn style(content: &str, further: &str) -> String {
    let sheet = rules(STYLE);
    let body_of = |wanted: &str, of: &[(&str, &str)]| -> String {
        let found = of.iter().find(|(selector, _)| *selector == wanted);
        found.map_or_else(String::new, |(_, body)| (*body).to_owned())
    };
    let light = body_of(":root", &sheet);
    let dark_sheet = body_of("@media (prefers-color-scheme: dark)", &sheet);
    let dark = body_of(":root", &rules(&dark_sheet));
    let [in_light, in_dark] = THEMES;
    let mut style = format!(
        ".circuitcheck {{{light}}}\n@media (prefers-color-scheme: dark) {{ .circuitcheck {{{dark}}} }}\n\
         :is({in_light}) .circuitcheck {{{light}}}\n:is({in_dark}) .circuitcheck {{{dark}}}\n"
    );
    let there = words_of(content);
    for (selectors, body) in sheet.into_iter().chain(rules(further)) {
        let kept: Vec<String> = split_selectors(selectors)
            .filter(|selector| applies(selector, &there))
            .map(|selector| format!(".circuitcheck {selector}"))
            .collect();
        if !kept.is_empty() {
            style += &format!("{} {{{body}}}\n", kept.join(", "));
        }
    }
    style + FRAME
}

/// Rules of a stylesheet, or of a block of one: selectors and declarations.
fn rules(sheet: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = sheet.trim();
    while let Some(comment) = rest.strip_prefix("/*") {
        rest = comment.split_once("*/").map_or("", |(_, rest)| rest.trim());
    }
    while let Some(open) = rest.find('{') {
        let mut depth = 0;
        let end = rest[open..].find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let Some(end) = end.map(|end| open + end) else {
            break;
        };
        found.push((rest[..open].trim(), rest[open + 1..end].trim_matches('\n')));
        rest = rest[end + 1..].trim();
        while let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest.trim());
        }
    }
    found
}

/// The selectors of a rule; commas in parentheses separate none.
fn split_selectors(selectors: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let parts = selectors.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.map(str::trim)
}

/// Elements, and classes with a full stop before them, in markup.
fn words_of(content: &str) -> BTreeSet<String> {
    let tags = content.split('<').filter_map(|tag| tag.split_once('>'));
    let mut words = BTreeSet::new();
    for (tag, _) in tags {
        let name = tag.split_whitespace().next().unwrap_or_default();
        words.insert(name.to_owned());
        if let Some((_, classes)) = tag.split_once("class=\"") {
            let classes = classes.split('"').next().unwrap_or_default();
            words.extend(classes.split_whitespace().map(|class| format!(".{class}")));
        }
    }
    words
}

/// Whether everything that a selector names is there: elements and classes. What scripts and the page
/// alone have is not: states of inputs, anchors, identifiers.
fn applies(selector: &str, there: &BTreeSet<String>) -> bool {
    let is_of_page = [":root", "@", "#", "body", "html", "main", "nav"];
    if is_of_page.iter().any(|start| selector.starts_with(start)) || selector.contains(":target") {
        return false;
    }
    let plain = selector.split(['[', ':']).next().unwrap_or_default();
    let compounds = plain
        .split([' ', '>', '+', '~'])
        .filter(|part| !part.is_empty());
    compounds
        .flat_map(names_in)
        .all(|name| name == "*" || there.contains(&name))
}

/// The names in a compound selector: of `svg.bar`, `svg` and `.bar`.
fn names_in(compound: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (i, part) in compound.split('.').enumerate() {
        match i {
            0 if part.is_empty() => {}
            0 => names.push(part.to_owned()),
            _ => names.push(format!(".{part}")),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::node::NodeName;
    use crate::network::engine::Engine;
    use crate::verify::{Options, verify};

    #[test]
    fn a_stylesheet_is_read_as_rules_with_blocks_whole() {
        let sheet = "/* c */ a, .b:is(x, y) { color: red }\n/* d */\n@media (x) { a { b: c } } d{}";
        assert_eq!(
            rules(sheet),
            [
                ("a, .b:is(x, y)", " color: red "),
                ("@media (x)", " a { b: c } "),
                ("d", "")
            ]
        );
        let parts: Vec<&str> = split_selectors("a, .b:is(x, y)").collect();
        assert_eq!(parts, ["a", ".b:is(x, y)"]);
    }

    #[test]
    fn a_cell_has_the_rules_of_its_classes_and_no_others() {
        let style = style(
            "<span class=\"badge v-joint\"><b>x</b></span><svg class=bar></svg>",
            "",
        );
        assert!(style.contains(".circuitcheck .badge {"), "{style}");
        assert!(style.contains(".circuitcheck .v-joint {"), "{style}");
        for absent in [
            ".stack",
            ".claims",
            ".v-refuted",
            "@media (max",
            "body",
            ":root",
        ] {
            assert!(!style.contains(absent), "{absent} in {style}");
        }
        // Every rule is for cells alone.
        let outer = rules(&style)
            .into_iter()
            .map(|(selector, _)| selector.to_owned());
        for selector in outer.filter(|selector| !selector.starts_with('@')) {
            let mut parts = split_selectors(&selector);
            assert!(
                parts.all(|part| part.contains(".circuitcheck")),
                "{selector}"
            );
        }
    }

    #[test]
    fn every_cell_is_complete_and_leads_nowhere_else() {
        let folder = Path::new("models/w126_add_d5_l2_h3_t15K_s372001");
        let folder = ModelFolder::open(folder).unwrap();
        let engine = Engine::new(&folder.weights);
        let node: NodeName = "P17L0H1".parse().unwrap();
        let options = Options {
            nodes: vec![node],
            ..Options::default()
        };
        let evidence = verify(&folder, None, &options, &mut |_| {}).unwrap();
        let report = Report::of(evidence, Some(&folder), "").unwrap();
        let claim = report.claims()[0].claim.to_owned();
        let nodes = folder.nodes(&[node]).unwrap();
        let prompt = folder.prompt("12345+67890").unwrap();
        let attention =
            Attention::on_question(&engine, &folder.weights_sha256, prompt, &nodes).unwrap();
        let cells = [
            (model_cell(&folder), "trained on"),
            (
                run_cell(&report, Some("reports/x/report.html")),
                "supported",
            ),
            (claim_cell(&report, &claim).unwrap(), "Controls"),
            (map_cell(&report, "verdicts").unwrap(), "Map of verdicts"),
            (attention_cell(&attention, &folder), "P17L0H1"),
            (graph_cell(&report.graph, "Graph"), "circuit-graph"),
        ];
        for (cell, says) in cells {
            assert!(cell.contains(says), "{says}: {cell}");
            for foreign in [
                "<script",
                "http://www.example",
                "url(",
                "href=\"#",
                " id=\"",
            ] {
                assert!(!cell.contains(foreign), "{foreign}: {cell}");
            }
            assert_eq!(cell.matches("<div").count(), cell.matches("</div>").count());
            assert!(cell.len() < 64 << 10, "{}", cell.len());
        }
        let wrong = map_cell(&report, "nothing").unwrap_err().to_string();
        assert!(
            wrong.starts_with("there is no map \"nothing\": the model has verdicts, tasks"),
            "{wrong}"
        );
        let wrong = claim_cell(&report, "P1L0H0 A1.SA").unwrap_err().to_string();
        assert!(wrong.contains("P17L0H1"), "{wrong}");
    }
}
