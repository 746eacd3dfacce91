//! Terms of the glossary on the page: as tooltips, and as a list.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::Section;
use crate::report::{GlossaryEntry, Report, define};
use crate::verify::VerdictKind;

/// Measures and controls that every report names.
const MEASURES: [&str; 6] = [
    "interchange accuracy",
    "effect",
    "off-target effect",
    "control pair",
    "decoy",
    "mean-ablated",
];

/// A term with its definition as a tooltip.
pub fn term(name: &str) -> Markup {
    labelled(name, name)
}

/// A text with the definition of a term as a tooltip.
pub fn labelled(text: &str, name: &str) -> Markup {
    html! {
        @match define(name) {
            Some(entry) => abbr title=(entry.text.replace('`', "")) { (text) },
            None => (text),
        }
    }
}

/// The terms that this report uses, folded.
pub fn section(report: &Report) -> Section {
    let claims = &report.evidence.claims;
    let tasks: BTreeSet<&str> = claims.iter().map(|claim| claim.task.as_str()).collect();
    let verdicts = VerdictKind::FROM_TRUE_TO_FALSE.into_iter();
    let verdicts = verdicts.filter(|kind| report.evidence.summary.contains_key(kind));
    let general = verdicts.map(VerdictKind::name).chain(MEASURES);
    let entries: Vec<&GlossaryEntry> = (tasks.into_iter().filter_map(define))
        .chain(general.filter_map(define))
        .collect();
    Section {
        id: "glossary",
        title: "Glossary",
        about: html! {
            "The tasks, verdicts and measures of this report. " "To print an entry: " code { "circuitcheck explain joint" }
        },
        content: html! {
            details.in-words {
                summary { (entries.len()) " terms" }
                dl.glossary {
                    @for entry in entries {
                        div { dt { (entry.names[0]) } dd { (inline(entry.text)) } }
                    }
                }
            }
        },
    }
}

/// Text of which what stands between backticks is code.
fn inline(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}
