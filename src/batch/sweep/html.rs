//! The summary of a sweep as a self-contained page.

use std::collections::BTreeSet;
use std::fmt::Write;

use maud::{DOCTYPE, Markup, html};

use super::{ModelSummary, Summary};
use crate::report::{page_head, term, verdict_badge, verdict_tone};
use crate::verify::VerdictKind;

/// Styles of this page beyond those of reports.
const STYLE: &str = "\
.sweep { width: 100%; font-variant-numeric: tabular-nums }
.sweep th, .sweep td { border-bottom: 1px solid var(--line); padding: .45rem .9rem .45rem 0; text-align: left; vertical-align: top; font-size: .9rem }
.sweep thead th { color: var(--soft); font-size: .8rem; white-space: nowrap }
.sweep ul { list-style: none; margin: 0; padding: 0 }
.sweep ul.texts { min-width: 14rem }
.sweep .small, .sweep .badge, .sweep td { overflow-wrap: anywhere }
.sweep .model { overflow-wrap: normal; white-space: nowrap }
.sweep .small { margin: 0; white-space: nowrap }
.nowrap { white-space: nowrap }
.picture { width: 100%; font-size: .86rem } .picture th { padding: .2rem .6rem .2rem 0 } .picture thead th { color: var(--soft) }
.picture td { padding: 1px 2px; min-width: 2.4rem } .picture .stack { height: 1.5rem; margin: 0; gap: 1px } .picture .stack span { min-width: 0; border-radius: 0 }
.picture .model { white-space: nowrap; font-family: var(--mono); font-size: .8rem }
.good { color: var(--good) } .bad { color: var(--bad) }
.tasks td { white-space: nowrap }
.circuits th:nth-child(n+3), .circuits td:nth-child(n+3) { text-align: right; white-space: nowrap }
.circuits td:nth-child(2) { white-space: nowrap }
@media (max-width: 40rem) { .sweep .model, .sweep th .small { white-space: normal; overflow-wrap: anywhere } .sweep th:first-child { min-width: 9rem } }";

/// A model's folder, encoded as a link.
fn link(model: &str) -> String {
    let mut link = String::new();
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                link.push(char::from(byte));
            }
            _ => {
                let _ = write!(link, "%{byte:02X}");
            }
        }
    }
    link + "/report.html"
}

impl Summary {
    /// The content of `summary.html`.
    pub fn to_html(&self) -> String {
        let count = self.models.len();
        let noun = if count == 1 { "model" } else { "models" };
        let title = format!("{count} {noun}");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (page_head(&format!("What holds of {title}"), STYLE))
                body {
                    header {
                        p.kicker { "circuitcheck sweep" }
                        h1 { (title) }
                        p.lead { (self.lead()) }
                    }
                    main {
                        @if !self.tasks().is_empty() { (self.picture()) }
                        section.summary aria-labelledby="models" {
                            h2 #models { "Models" }
                            p.about { "Each name links to the report of the model." }
                            (self.models_table())
                        }
                        @if !self.tasks().is_empty() {
                            section aria-labelledby="tasks" {
                                h2 #tasks { "Tasks" }
                                p.about {
                                    "Claims that hold, of all claims of the task. Point at a cell to see which \
                                     they are; summary.json lists them too."
                                }
                                (self.tasks_table())
                            }
                        }
                        @if self.models.iter().any(|model| !model.sufficiency.is_empty()) {
                            section aria-labelledby="alone" {
                                h2 #alone { "Circuits alone" }
                                p.about {
                                    "Questions still answered correctly when all other nodes are ablated: set to \
                                     their mean, or to their value in another question (resample)."
                                }
                                (self.circuits_table())
                            }
                        }
                        @if !self.is_complete() {
                            section aria-labelledby="failures" {
                                h2 #failures { "Without a result" }
                                (self.failures())
                            }
                        }
                    }
                }
            }
        };
        page.into_string() + "\n"
    }

    fn lead(&self) -> String {
        let held = self.models.iter().map(ModelSummary::held);
        let (hold, claims) = held.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let mut lead = format!("{hold} of {claims} claims hold.");
        let unopened = self.models.iter().filter(|model| !model.is_open()).count();
        if unopened > 0 {
            let _ = write!(lead, " {unopened} could not be opened.");
        }
        lead
    }

    /// Models down, tasks across; each cell is divided by the verdicts of its claims.
    fn picture(&self) -> Markup {
        let tasks = self.tasks();
        let counts = self.models.iter().flat_map(|model| model.tasks.values());
        let present: BTreeSet<VerdictKind> = counts
            .flat_map(|task| task.verdicts.keys().copied())
            .collect();
        html! {
            section.summary aria-labelledby="verdicts" {
                h2 #verdicts { "Verdicts" }
                p.about { "Each cell shows the claims of a task in a model, divided by verdict." }
                ul.legend {
                    @for verdict in VerdictKind::FROM_TRUE_TO_FALSE {
                        @if present.contains(&verdict) { li { (verdict_badge(verdict)) } }
                    }
                }
                div.scroll tabindex="0" role="group" aria-label="Verdicts by model and task" {
                    table.picture {
                        thead { tr {
                            th scope="col" { "model" }
                            @for task in &tasks { th scope="col" { (term(task)) } }
                        } }
                        tbody {
                            @for model in self.models.iter().filter(|model| model.has_claims()) {
                                tr {
                                    th.model scope="row" { a href=(link(&model.model)) { (model.model) } }
                                    @for task in &tasks { td { (model.verdict_bar(task)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn models_table(&self) -> Markup {
        html! {
            div.scroll tabindex="0" {
                table.sweep {
                    thead {
                        tr {
                            @for head in ["model", "accuracy", "claims that hold", "verdicts", "hypotheses"] {
                                th scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for model in &self.models { (model.row()) }
                    }
                }
            }
        }
    }

    fn tasks_table(&self) -> Markup {
        let tasks = self.tasks();
        html! {
            div.scroll tabindex="0" {
                table.sweep.tasks {
                    thead {
                        tr {
                            th scope="col" { "model" }
                            @for task in &tasks { th scope="col" { (term(task)) } }
                        }
                    }
                    tbody {
                        @for model in self.models.iter().filter(|model| model.is_open()) {
                            tr {
                                th.model scope="row" { (model.model) }
                                @for task in &tasks { (model.task_cell(task)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn circuits_table(&self) -> Markup {
        let (columns, circuits) = self.circuits();
        html! {
            div.scroll tabindex="0" {
                table.sweep.circuits {
                    thead {
                        tr {
                            th scope="col" { "model" }
                            th scope="col" { "nodes of" }
                            th scope="col" { "nodes" }
                            @for column in &columns { th scope="col" { (column) } }
                        }
                    }
                    tbody {
                        @for (i, circuit) in circuits.iter().enumerate() {
                            tr {
                                th.model scope="row" {
                                    @if i == 0 || circuits[i - 1].model != circuit.model { (circuit.model) }
                                }
                                td { (circuit.circuit) }
                                td { (circuit.nodes) }
                                @for share in &circuit.shares {
                                    td { @if let Some(share) = share { (share) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn failures(&self) -> Markup {
        html! {
            ul {
                @for model in &self.models {
                    @if let Some(error) = &model.error {
                        li { span.model { (model.location) } ": " (error) }
                    }
                    @for step in model.without_result() {
                        li {
                            span.model { (model.model) } ", " (step.step)
                            @for line in &step.messages { p.small { (line) } }
                        }
                    }
                }
            }
        }
    }
}

impl ModelSummary {
    fn row(&self) -> Markup {
        if let Some(error) = &self.error {
            return html! {
                tr { th.model scope="row" { (self.location) } td.bad colspan="4" { (error) } }
            };
        }
        let (hold, claims) = self.held();
        html! {
            tr {
                th scope="row" {
                    @if self.has_claims() {
                        a.model href=(link(&self.model)) { (self.model) }
                    } @else {
                        span.model { (self.model) }
                    }
                    p.small { (self.operations) ", " (self.shape_text()) }
                }
                td { (self.accuracy_text()) p.small { (self.accuracy_count()) } }
                td { @if self.has_claims() { (hold) " of " (claims) } @else { "–" } }
                td {
                    ul {
                        @for verdict in VerdictKind::FROM_TRUE_TO_FALSE {
                            @if let Some(count) = self.verdicts.get(verdict.name()) {
                                li.nowrap { (count) " " (verdict_badge(verdict)) }
                            }
                        }
                    }
                }
                td {
                    ul.texts {
                        @for found in &self.hypotheses {
                            li {
                                (found.name) ": "
                                @if found.holds { span.good { "holds" } } @else { span.bad { "does not hold" } }
                                ", " (found.met) " of " (found.of)
                            }
                        }
                    }
                    @if self.hypotheses.is_empty() { "–" }
                }
            }
        }
    }

    /// The claims of a task, divided by verdict.
    fn verdict_bar(&self, task: &str) -> Markup {
        let Some(found) = self.tasks.get(task) else {
            return html! {};
        };
        let counts: Vec<(VerdictKind, usize)> = VerdictKind::FROM_TRUE_TO_FALSE
            .into_iter()
            .filter_map(|verdict| Some((verdict, *found.verdicts.get(&verdict)?)))
            .collect();
        let words: Vec<String> = (counts.iter())
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        let words = format!("{task}: {}", words.join(", "));
        html! {
            div.stack role="img" aria-label=(words) title=(words) {
                @for (verdict, count) in counts {
                    span.(verdict_tone(verdict)) style={ "flex-grow:" (count) } { (count) }
                }
            }
        }
    }

    fn task_cell(&self, task: &str) -> Markup {
        let Some(found) = self.tasks.get(task) else {
            return html! { td {} };
        };
        let class = match found.hold.len() {
            all if all == found.claims => "good",
            0 => "bad",
            _ => "",
        };
        html! { td class=(class) title=(found.hold.join(", ")) { (self.task_text(task)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelSummary;
    use super::*;

    #[test]
    fn what_a_model_is_called_is_text_and_no_part_of_the_page() {
        let summary = Summary {
            models: vec![ModelSummary::unopened("<script>", "\"no' & no")],
        };
        let page = summary.to_html();
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;no' &amp; no"));
    }

    #[test]
    fn a_link_leads_to_the_folder_whatever_it_is_called() {
        assert_eq!(link("w8_add s=1"), "w8_add%20s%3D1/report.html");
    }
}
