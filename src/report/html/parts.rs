//! What other commands found and stored beside the evidence.

use maud::{Markup, html};
use serde_json::Value;

use super::{Section, command};
use crate::report::Report;

pub fn section(report: &Report) -> Section {
    Section {
        id: "more",
        title: "Properties and circuits",
        about: html! { "Results of other commands, taken in where they lie beside the evidence." },
        content: html! {
            @for part in &report.parts {
                @match &part.found {
                    None => {
                        p { "There is no " code { (part.file) } " here. This makes it:" }
                        (command(&report.part_command(part)))
                    }
                    Some((value, _)) => {
                        @if part.of_other_evidence {
                            p.notice role="note" { strong { "Note: " } (part.file) " is of other weights or verdicts than this evidence, so it is not shown." }
                        } @else {
                            @match part.file {
                                "property.json" => (properties(value)),
                                "circuit.json" => (circuit(value)),
                                _ => p { "The measured graph of " code { (part.file) } " is drawn above." },
                            }
                        }
                    }
                }
            }
        },
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn of(value: &Value) -> String {
    format!("{} of {}", text(&value["hits"]), text(&value["trials"]))
}

fn properties(value: &Value) -> Markup {
    html! {
        h3 { "Properties of the answers" }
        div.scroll tabindex="0" role="group" aria-label="Properties of the answers" {
            table.plain {
                thead { tr {
                    th scope="col" { "property" } th scope="col" { "says" } th scope="col" { "stands" }
                    th scope="col" { "failures" } th scope="col" { "simplest failing case" }
                } }
                tbody {
                    @for property in listed(&value["properties"]) {
                        @let standing = text(&property["standing"]);
                        @let example = &property["counterexamples"][0];
                        @let asked = &example["asked"][example["at_fault"].as_u64().unwrap_or(0) as usize];
                        tr {
                            th scope="row" { (text(&property["property"])) }
                            td { (text(&property["says"])) }
                            td { span.standing.(standing) { (standing.replace('_', " ")) } }
                            td.figure { @if standing != "not_asked" { (of(&property["failures"])) } }
                            td { @if !asked.is_null() { code { (text(&asked["question"])) "=" (text(&asked["answer"])) } ", truly " code { (text(&asked["truth"])) } } }
                        }
                    }
                }
            }
        }
    }
}

fn circuit(value: &Value) -> Markup {
    let percent = |count: &Value| {
        let number = |key: &str| count[key].as_f64().unwrap_or(0.0);
        match number("trials") {
            0.0 => String::new(),
            trials => format!("{:.1} %", 100.0 * number("hits") / trials),
        }
    };
    let kept = listed(&value["nodes"]).count();
    html! {
        h3 { "The circuit alone" }
        p.small {
            (kept) " of " (text(&value["available"])) " nodes at work, from " (text(&value["from"])) "; all others ablated. "
            (listed(&value["covered"]).count()) " of " (listed(&value["useful"]).count()) " useful nodes are among them."
        }
        div.scroll tabindex="0" role="group" aria-label="The circuit alone" {
            table.plain {
                thead { tr {
                    th scope="col" { "class" } th scope="col" { "others hold" } th scope="col" { "right" }
                    th scope="col" { "random sets" } th scope="col" { "best random set" }
                } }
                tbody {
                    @for score in listed(&value["scores"]) {
                        tr {
                            th scope="row" { (text(&score["class"])) }
                            td { (text(&score["ablation"])) }
                            td.figure { (percent(&score["right"])) " (" (of(&score["right"])) ")" }
                            td.figure { (percent(&score["random"])) }
                            td.figure { (percent(&score["best_random"])) }
                        }
                    }
                }
            }
        }
    }
}
