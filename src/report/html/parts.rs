//! What other commands found and stored beside the evidence.

use maud::{Markup, html};

use super::bars::count;
use super::{Section, command};
use crate::analysis::circuit::{Circuit, CircuitEvidence};
use crate::analysis::property::evidence::{PropertyEvidence, PropertyResult, PropertyStanding};
use crate::experiment::stats::Count;
use crate::report::{PartContent, Report, percent, test_sentences};

pub fn section(report: &Report) -> Section {
    Section {
        id: "more",
        title: "Properties and circuits",
        about: html! { "Results of other commands, where they are stored beside the evidence." },
        content: html! {
            @for part in &report.parts {
                @let file = part.kind.file();
                @match &part.found {
                    None => {
                        p { "There is no " code { (file) } " here. To measure it:" }
                        (command(&report.part_command(part)))
                    }
                    Some(_) if part.of_other_evidence => {
                        p.notice role="note" { strong { "Note: " } (file) " belongs to other weights or verdicts than this evidence and is not shown." }
                    }
                    Some(found) => {
                        @match &found.content {
                            PartContent::Property(evidence) => (properties(evidence)),
                            PartContent::Graph => p { "The measured graph of " code { (file) } " is drawn above, under " a href="#graph" { "Dependency graph" } "." },
                            PartContent::Circuit(evidence) => (circuits(evidence)),
                        }
                    }
                }
            }
        },
    }
}

fn properties(evidence: &PropertyEvidence) -> Markup {
    html! {
        h3 { "Properties of the answers" }
        div.scroll tabindex="0" role="group" aria-label="Properties of the answers" {
            table.plain {
                thead { tr {
                    th scope="col" { "property" } th scope="col" { "meaning" } th scope="col" { "result" }
                    th scope="col" { "failures" } th scope="col" { "simplest failing case" }
                } }
                tbody { @for property in &evidence.properties { (property_row(property)) } }
            }
        }
    }
}

fn property_row(property: &PropertyResult) -> Markup {
    let standing = property.standing.name();
    html! {
        tr {
            th scope="row" { (property.property) }
            td { (property.says) }
            td { span.standing.(standing.replace(' ', "_")) { (standing) } }
            td.figure { @if property.standing != PropertyStanding::NotAsked { (count(&property.failures)) } }
            td {
                @if let Some(example) = property.counterexamples.first() {
                    @let asked = example.question();
                    code { (asked.question) "=" (asked.answer) } ", expected " code { (asked.truth) }
                }
            }
        }
    }
}

/// A share, or nothing where nothing was asked.
fn share(count: &Count) -> String {
    match count.trials {
        0 => String::new(),
        _ => percent(count),
    }
}

fn circuits(evidence: &CircuitEvidence) -> Markup {
    html! {
        h3 { "The circuit alone" }
        @for circuit in &evidence.circuits {
            @let covered = evidence.coverage(&circuit.covered);
            p.small {
                (circuit.nodes.len()) " of " (evidence.available) " nodes kept, from " (circuit.from) "; all others ablated. "
                "They include " (count(&covered)) " useful nodes."
            }
            (scores(circuit))
            @let sentences = test_sentences(circuit, evidence.alpha);
            @if !sentences.is_empty() {
                ul.small { @for sentence in sentences { li { (sentence) } } }
            }
        }
    }
}

fn scores(circuit: &Circuit) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label={ "The circuit alone, from " (circuit.from) } {
            table.plain {
                thead { tr {
                    th scope="col" { "class" } th scope="col" { "others set to" } th scope="col" { "correct" }
                    th scope="col" { "random sets" } th scope="col" { "best random set" }
                } }
                tbody {
                    @for score in &circuit.scores {
                        @let right = score.right.count();
                        tr {
                            th scope="row" { (score.class) }
                            td { (score.ablation) }
                            td.figure { (share(&right)) " (" (count(&right)) ")" }
                            td.figure { (share(&score.random)) }
                            td.figure { (share(&score.best_random)) }
                        }
                    }
                }
            }
        }
    }
}
