//! The report as one page for a browser: complete in itself, nothing fetched.

mod attention;
mod bars;
mod cell;
mod claims;
mod curve;
mod flow;
mod maps;
mod overview;
mod parts;
mod places;
mod published;
mod selectivity;
mod terms;
mod trail;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use cell::cell_styled;
pub use cell::{
    CellError, attention_cell, claim_cell, experiment_cell, graph_cell, map_cell, model_cell,
    run_cell,
};
pub use terms::term;

use super::Report;
use crate::analysis::graph::SCRIPT as GRAPH_SCRIPT;
use crate::domain::node::NodeName;
use crate::verify::VerdictKind;

/// The colours of pages and pictures, light and dark, and the classes of [`tone`].
pub const PALETTE: &str = include_str!("palette.css");

const STYLE: &str = concat!(include_str!("palette.css"), include_str!("page.css"));
const SCRIPT: &str = include_str!("page.js");

/// Whether names of nodes and claims are links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// To what the page has of them.
    OnPage,
    /// There is nothing that they could lead to.
    Nowhere,
}

/// A section of the page: its anchor, its title, what it is about in a sentence, and its content.
struct Section {
    id: &'static str,
    title: &'static str,
    about: Markup,
    content: Markup,
}

pub fn page(report: &Report) -> String {
    let sections: Vec<Section> = [
        Some(maps::section(report)),
        Some(claims::section(report)),
        Some(published::section(report)),
        selectivity::section(report),
        attention::section(report),
        Some(flow::section(report)),
        curve::section(report),
        Some(parts::section(report)),
        Some(trail::section(report)),
        Some(terms::section(report)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let model = &report.evidence.inputs.model;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("Claims about {model}"), ""))
            body {
                a.skip href="#claims" { "Skip to the claims" }
                (overview::header(report))
                nav aria-label="Sections" {
                    @for section in &sections {
                        a href={ "#" (section.id) } { (section.title) }
                    }
                    button.theme type="button" hidden { "dark" }
                }
                main {
                    (overview::summary(report))
                    @for Section { id, title, about, content } in &sections {
                        section id=(id) aria-labelledby={ (id) "-title" } {
                            h2 id={ (id) "-title" } { (title) }
                            p.about { (about) }
                            (content)
                        }
                    }
                }
                script { (PreEscaped(GRAPH_SCRIPT)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// The head of a page; `style` is what it has beyond the style of all pages.
pub fn head(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="generator" content="circuitcheck";
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(style)) }
        }
    }
}

/// The anchor of a claim, by its name.
fn anchor(claim: &str) -> String {
    claim.replace(' ', "-")
}

/// The class that colours what has a verdict.
pub fn tone(verdict: VerdictKind) -> String {
    format!("v-{}", verdict.name().replace(' ', "-"))
}

/// A sign that shows a verdict without colour.
fn sign(verdict: VerdictKind) -> &'static str {
    match verdict {
        VerdictKind::Supported => "✓",
        VerdictKind::Joint => "∪",
        VerdictKind::JointInPart => "⊎",
        VerdictKind::NotShown => "○",
        VerdictKind::Redundant => "⇄",
        VerdictKind::Partial => "◐",
        VerdictKind::Correlational => "∼",
        VerdictKind::Inconclusive => "?",
        VerdictKind::Unspecific => "≉",
        VerdictKind::Refuted => "✕",
        VerdictKind::NotTestable => "–",
    }
}

/// A verdict as readers see it.
pub fn badge(verdict: VerdictKind) -> Markup {
    html! {
        span.badge.(tone(verdict)) { span aria-hidden="true" { (sign(verdict)) } " " (term(verdict.name())) }
    }
}

/// Names of nodes, one after the other.
fn names(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    names.join(" ")
}

/// A command to be copied.
fn command(text: &str) -> Markup {
    html! {
        div.command { code { (text) } button.copy type="button" hidden { "copy" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_a_place_and_a_sign_of_its_own() {
        let mut order = VerdictKind::FROM_TRUE_TO_FALSE.to_vec();
        order.sort();
        assert_eq!(order, VerdictKind::ALL);
        let mut signs: Vec<&str> = VerdictKind::FROM_TRUE_TO_FALSE
            .into_iter()
            .map(sign)
            .collect();
        signs.sort();
        signs.dedup();
        assert_eq!(signs.len(), VerdictKind::FROM_TRUE_TO_FALSE.len());
    }
}
