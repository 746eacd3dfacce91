//! The table of claims: each opens to what its verdict rests on.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::bars::{Limit, bar, count, row};
use super::terms::labelled;
use super::{Section, anchor, badge, command, names, sign, tone};
use crate::domain::arithmetic::{Answer, AnswerToken, Prompt};
use crate::domain::node::NodeName;
use crate::experiment::stats::Rate;
use crate::experiment::{Aspect, Counterexample, Measures};
use crate::report::claim_view::stratum_text;
use crate::report::{ClaimView, Report};
use crate::verify::evidence::{ClaimEvidence, Escalated, Trials};
use crate::verify::{Controls, FailuresAt, PublishedResult, Verdict, VerdictKind, Weakness};

pub fn section(report: &Report) -> Section {
    Section {
        id: "claims",
        title: "Claims",
        about: html! {
            "A claim is one tag on one node; claims that hold only for a common set share a row. What is refuted or unspecific comes first. Open a row for the evidence. Bars are exact intervals that hold for all claims at once; the tick is the limit, and an inset shows the end of the scale."
        },
        content: html! { (controls(report)) (table(report)) },
    }
}

/// What sorts and filters; shown where scripts run.
fn controls(report: &Report) -> Markup {
    let evidence = &report.evidence;
    let tasks: BTreeSet<&str> = evidence.claims.iter().map(|c| c.task.as_str()).collect();
    html! {
        form.filters role="search" aria-label="Filter claims" hidden {
            label { span { "Find" } input #find type="search" placeholder="P9L0H1, A1.ST, joint …" autocomplete="off" spellcheck="false"; }
            label { span { "Task" }
                select #task {
                    option value="" { "all" }
                    @for task in tasks { option { (task) } }
                }
            }
            label.sorting { span { "Sort by" }
                select #sort {
                    option value="5" { "refuted first" }
                    @for (column, title) in COLUMNS.iter().enumerate() { option value=(column) { (title) } }
                }
            }
            fieldset {
                legend.visually-hidden { "Verdicts shown" }
                @for kind in VerdictKind::FROM_TRUE_TO_FALSE {
                    @if let Some(number) = evidence.summary.get(&kind) {
                        button.chip.(tone(kind)) type="button" aria-pressed="false" data-verdict=(kind) {
                            span aria-hidden="true" { (sign(kind)) } " " (kind) " " b { (number) }
                        }
                    }
                }
            }
            div.row {
                output #shown aria-live="polite" {}
                button #open-all type="button" { "open all" }
                button #close-all type="button" { "close all" }
                button #clear type="reset" { "clear filters" }
            }
        }
    }
}

/// The place of a claim when sorted by what its published test gives.
fn published_rank(result: PublishedResult) -> usize {
    match result {
        PublishedResult::Strong => 0,
        PublishedResult::Weak => 1,
        PublishedResult::AttentionOnly => 2,
        PublishedResult::Failed => 3,
        PublishedResult::NoTest => 4,
    }
}

/// The smallest interchange accuracy that the verdict rests on, in thousandths; −1 where nothing was measured.
fn interchange_accuracy_rank(claim: &ClaimView) -> i64 {
    let lowest = claim.lowest_interchange_accuracy();
    lowest.map_or(-1, |rate| (rate.share() * 1000.0).round() as i64)
}

/// Claims that share a row: one, or those that hold only together, of one set.
struct ClaimRows<'a> {
    claims: Vec<ClaimView<'a>>,
}

impl<'a> ClaimRows<'a> {
    /// The rows of a table, in the order of the claims.
    fn of(claims: Vec<ClaimView<'a>>) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        for claim in claims {
            match rows.iter_mut().find(|row| row.shares(&claim)) {
                Some(row) => row.claims.push(claim),
                None => rows.push(ClaimRows {
                    claims: vec![claim],
                }),
            }
        }
        rows
    }

    fn first(&self) -> &ClaimView<'a> {
        &self.claims[0]
    }

    /// Whether a claim is of the same variable and the same set, with the same verdict.
    fn shares(&self, claim: &ClaimView) -> bool {
        let is_joint = matches!(claim.verdict, VerdictKind::Joint | VerdictKind::JointInPart);
        let first = self.first();
        is_joint
            && (first.verdict, first.tag, first.nodes) == (claim.verdict, claim.tag, claim.nodes)
    }
}

/// The columns of the table that sort it.
const COLUMNS: [&str; 5] = [
    "node",
    "claim",
    "published",
    "verdict",
    "interchange accuracy",
];

fn table(report: &Report) -> Markup {
    let rows = ClaimRows::of(report.claims());
    let mut tags: Vec<&str> = rows.iter().map(|row| row.first().tag).collect();
    tags.sort();
    tags.dedup();
    // What does not hold comes first.
    let mut order: Vec<(usize, &ClaimRows)> = rows.iter().enumerate().collect();
    order.sort_by_key(|(index, row)| (!row.first().verdict.refutes(), *index));
    let mut seen = BTreeSet::new();
    html! {
        table.claims {
            thead { tr {
                @for (column, title) in COLUMNS.iter().enumerate() {
                    th scope="col" { button type="button" data-column=(column) { (title) } }
                }
                th scope="col" { "why" }
            } }
            @for (place, (index, row)) in order.into_iter().enumerate() {
                @let tag_rank = tags.binary_search(&row.first().tag).unwrap_or(0);
                (claim_row(report, row, [index, tag_rank, place], &mut seen))
            }
        }
    }
}

/// A row with what it opens to. `ranks` are its places by node, by claim, and in the order of the page;
/// `seen` are the nodes that have an anchor.
fn claim_row(
    report: &Report,
    row: &ClaimRows,
    [node_rank, tag_rank, place]: [usize; 3],
    seen: &mut BTreeSet<NodeName>,
) -> Markup {
    let claim = row.first();
    let verdict = claim.verdict;
    let threshold = report.evidence.protocol.threshold;
    let kinds = VerdictKind::FROM_TRUE_TO_FALSE.iter();
    let rank = kinds.take_while(|kind| **kind != verdict).count();
    let mut published: Vec<&str> = row
        .claims
        .iter()
        .map(|claim| claim.published.name())
        .collect();
    published.dedup();
    let more_id = format!("{}-more", anchor(claim.claim));
    html! {
        tbody data-verdict=(verdict) data-task=(claim.task) data-claims=(row.claims.len())
            data-keys={ (node_rank) "," (tag_rank) "," (published_rank(claim.published)) "," (rank) "," (interchange_accuracy_rank(claim)) "," (place) } {
            tr.claim {
                th scope="row" {
                    button.toggle type="button" aria-expanded="true" aria-controls=(more_id) {
                        @for claim in &row.claims {
                            span.anchor id=(anchor(claim.claim)) {
                                span id=[seen.insert(claim.node).then(|| claim.node.to_string())] { (claim.node) }
                            }
                            " "
                        }
                    }
                }
                td.tag { (labelled(claim.tag, claim.task)) }
                td { (published.join(", ")) }
                td { (badge(verdict)) }
                td.accuracy { (interchange_accuracy(claim, threshold)) }
                td.note { (claim.note) }
            }
            tr.more id=(more_id) { td colspan="6" {
                @for claim in &row.claims {
                    @if row.claims.len() > 1 { h3 { (claim.claim) } }
                    (more(report, claim))
                }
            } }
        }
    }
}

fn interchange_accuracy(claim: &ClaimView, threshold: f64) -> Markup {
    let direction_only = direction_only(claim);
    html! {
        @if let Some(measures) = claim.measures {
            @for (aspect, rate) in &measures.interchange_accuracy {
                @let limit = if direction_only { Limit::None } else { Limit::AtLeast(threshold) };
                (bar(rate, limit))
                span.figure {
                    @if measures.interchange_accuracy.len() > 1 { (aspect_name(*aspect)) " " }
                    (rate)
                }
            }
        }
    }
}

fn direction_only(claim: &ClaimView) -> bool {
    let task = claim.task.parse::<crate::domain::task::Task>();
    task.is_ok_and(|task| task.predicts_only_direction())
}

fn aspect_name(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Digits => "digits",
        Aspect::Sign => "sign",
        Aspect::Operation => "operation",
    }
}

/// What a row opens to.
fn more(report: &Report, claim: &ClaimView) -> Markup {
    html! {
        div.sheet {
            (grounds(report, claim))
            p.links {
                @if let Some(vertex) = vertex(report, claim) { a.to-graph href="#graph" data-find=(vertex) { "in the graph" } }
                a href={ "#map-" (claim.node) } { "on the maps" }
                a href={ "#attention-" (claim.node) } { "attention" }
            }
        }
    }
}

/// A claim by itself: what it says, what came out, and what that rests on.
pub fn alone(report: &Report, claim: &ClaimView) -> Markup {
    let threshold = report.evidence.protocol.threshold;
    html! {
        h3 { (claim.node) " " (labelled(claim.tag, claim.task)) " " (badge(claim.verdict)) }
        div.accuracy { (interchange_accuracy(claim, threshold)) }
        p.note { (claim.note) }
        details {
            summary { "what this rests on" }
            (grounds(report, claim))
        }
    }
}

/// What the verdict on a claim rests on.
fn grounds(report: &Report, claim: &ClaimView) -> Markup {
    html! {
        @if let Some(trials) = &claim.evidence.trials {
            div.columns {
                div {
                    (measures("The node alone", &trials.alone, report, claim))
                    @if let Verdict::Joint(joint) | Verdict::JointInPart(joint) = &claim.evidence.verdict {
                        (measures(&format!("{} together", names(&joint.set)), &joint.measures, report, claim))
                        p.small { "The set needs this node: without it, interchange accuracy falls by at least " (format!("{:.2}", joint.need)) "." }
                        @if !joint.helping.is_empty() {
                            p.small { (names(&joint.helping)) " helps, but the set does not need it." }
                        }
                        @for set in &joint.also {
                            p.small { "The same holds for " (names(set)) "." }
                        }
                    }
                    @if let Verdict::Redundant { mean_ablated, measures: silenced } = &claim.evidence.verdict {
                        (measures(&format!("With {} mean-ablated", names(mean_ablated)), silenced, report, claim))
                    }
                    (tokens(trials, claim))
                }
                div {
                    (selectivity(report, &trials.controls))
                    (others(trials))
                    (attempts(trials))
                }
            }
            (failures(claim.fails_where))
        } @else {
            p { "Not tested: " (claim.note) "." }
        }
        @if let Some(order) = claim.evidence.trials.as_ref().and_then(|trials| trials.free_order) {
            p.small { "In these trials the model is given the sign; " (order) "." }
        }
        @if let Some(free) = &claim.evidence.free_running {
            p.small { "Free-running: " (badge(free.verdict.kind())) " " (free.verdict.note()) }
        }
        (published(claim.evidence))
        @if let Some(example) = claim.counterexample { (counterexample(example, claim.replay.as_deref())) }
        h4 { "All measurements" }
        (command(&report.explain_command(claim.claim)))
    }
}

/// The vertex of the graph that stands for a claim, by its name.
fn vertex(report: &Report, claim: &ClaimView) -> Option<String> {
    let mut vertices = report.graph.edges.node_weights();
    let vertex = vertices.find(|vertex| vertex.claims.iter().any(|name| name == claim.claim));
    vertex.map(|vertex| vertex.kind.to_string())
}

fn measures(title: &str, measures: &Measures, report: &Report, claim: &ClaimView) -> Markup {
    let protocol = &report.evidence.protocol;
    let deciding = Limit::AtLeast(protocol.threshold);
    let (interchange_accuracy, effect) = match direction_only(claim) {
        true => (Limit::None, deciding),
        false => (deciding, Limit::None),
    };
    let clean = Limit::AtMost(protocol.limits.negligible);
    let several = measures.interchange_accuracy.len() > 1;
    let name = |measure: &str, aspect: Aspect| match several {
        true => format!("{measure}, {}", aspect_name(aspect)),
        false => measure.to_owned(),
    };
    html! {
        table.measures {
            caption { (title) }
            tbody {
                @for (aspect, rate) in &measures.interchange_accuracy { (row(&name("interchange accuracy", *aspect), rate, interchange_accuracy)) }
                @for (aspect, rate) in &measures.effect { (row(&name("effect", *aspect), rate, effect)) }
                @for (aspect, rate) in &measures.off_target { (row(&name("off-target effect", *aspect), rate, clean)) }
                (row("control pairs changed", &measures.control_pairs, clean))
            }
        }
        @if let Some(after) = &measures.after_sign {
            p.small { (after) "." }
        }
        @if measures.ties > 0 || measures.unstable > 0 {
            p.small {
                (measures.ties) " trials set aside as numerical ties"
                @if measures.unstable > 0 { ", " (measures.unstable) " because mean-ablating alone changed the answer" }
                "."
            }
        }
    }
}

fn tokens(trials: &Trials, claim: &ClaimView) -> Markup {
    let measures = claim.measures.unwrap_or(&trials.alone);
    html! {
        h4 { "Answer tokens changed as predicted" }
        p.small {
            "Judged on " (trials.affected_tokens) "."
            @for unreached in &trials.unreached {
                " Does not affect " (unreached.token)
                @if !unreached.reached_by.is_empty() { ", which " (unreached.reached_by.join(" and ")) " changes" }
                "."
            }
        }
        ul.counts {
            @for cell in &measures.tokens {
                li {
                    b { (cell.token) } " " (stratum_text(cell.stratum)) " "
                    span.figure { (count(&cell.moved.count())) } " " (cell.outcome.name())
                    @if cell.astray > 0 { ", elsewhere in " (cell.astray) }
                }
            }
        }
    }
}

/// Decoys, other digits and other tasks.
fn selectivity(report: &Report, controls: &Controls) -> Markup {
    let margin = report.evidence.protocol.limits.selectivity_margin;
    let by = |by: f64| match by.is_finite() {
        true => format!("{by:.2}"),
        false => "nothing measured".into(),
    };
    html! {
        h4 { "Controls" }
        ul.plain {
            // A claim that fails has no decoys to beat.
            @if !controls.decoys.is_empty() {
                li { "Exceeds the best decoy by at least " b { (by(controls.beats_decoys_by)) } " (" (margin) " required), over " (controls.interchange_accuracy.trials) " trials, of which it passes " (controls.interchange_accuracy.hits) "." }
            }
            @if let Some(digits) = controls.beats_wrong_digits_by {
                li { "Beats itself at every other digit by at least " b { (by(digits)) } "." }
            }
            @for decoy in controls.decoys.iter().filter(|decoy| decoy.carries) {
                li { "Additional carrier: " (names(&decoy.nodes)) ", " (count(&decoy.interchange_accuracy)) "." }
            }
            li { "Its own activation changes " (count(&controls.own_activation)) "; untrained weights pass " (count(&controls.untrained)) "." }
        }
        @for (title, elsewhere) in [("Other digits", &controls.wrong_digits), ("Other tasks", &controls.wrong_tasks)] {
            @if !elsewhere.is_empty() {
                p.small { (title) ":" }
                ul.counts {
                    @for result in elsewhere { li { b { (result.variable) } " " span.figure { (count(&result.interchange_accuracy)) } } }
                }
            }
        }
        @if !controls.decoys.is_empty() {
            details {
                summary { (controls.decoys.len()) " decoys, the closest first" }
                ul.counts {
                    @for decoy in &controls.decoys {
                        li { b { (names(&decoy.nodes)) } " " span.figure { (count(&decoy.interchange_accuracy)) } }
                    }
                }
            }
        }
    }
}

fn others(trials: &Trials) -> Markup {
    let necessity = &trials.necessity;
    html! {
        h4 { "Necessity" }
        p.small {
            "Mean-ablated, " (count(&necessity.needing)) " questions that need the variable are still answered correctly"
            @if necessity.not_needing.trials > 0 { ", and " (count(&necessity.not_needing)) " others" }
            "."
        }
    }
}

fn attempts(trials: &Trials) -> Markup {
    let described = |tried: &Escalated| {
        let rates: Vec<String> = tried
            .measures
            .interchange_accuracy
            .values()
            .map(Rate::to_string)
            .collect();
        rates.join(", ")
    };
    html! {
        @if !trials.escalation.is_empty() {
            h4 { "Other sets that were tested" }
            ul.plain {
                @for tried in &trials.escalation {
                    li {
                        (names(&tried.nodes))
                        @if !tried.mean_ablated.is_empty() { " with " (names(&tried.mean_ablated)) " mean-ablated" }
                        ": " span.figure { (described(tried)) }
                        @if let Some(need) = tried.need.filter(|need| need.lower.is_finite()) {
                            ", needs the node by " (format!("{:.2} to {:.2}", need.lower, need.upper))
                        }
                    }
                }
            }
        }
    }
}

fn failures(fails_where: &[Weakness]) -> Markup {
    html! {
        @if !fails_where.is_empty() {
            h4 { "Where it fails" }
            @for weakness in fails_where {
                table.measures.failures {
                    caption { "Share of trials that fail, by " (weakness.feature) }
                    tbody {
                        (row(&weakness.values.join(", "), &weakness.within, Limit::None))
                        (row("all others", &weakness.elsewhere, Limit::None))
                    }
                }
                (by_value(weakness))
            }
        }
    }
}

/// The share of trials that fail at each value of a number, as columns.
fn by_value(weakness: &Weakness) -> Markup {
    let is_number = |at: &FailuresAt| at.value.parse::<i32>().is_ok();
    html! {
        @if weakness.by_value.len() > 2 && weakness.by_value.iter().all(is_number) {
            figure.by-value {
                figcaption { "Failures by " (weakness.feature) }
                ul {
                    @for FailuresAt { value, failures } in &weakness.by_value {
                        li title={ (value) ": " (count(failures)) " fail" } {
                            span.height { span.column style={ "height:" (format!("{:.1}", 100.0 * failures.share())) "%" } {} }
                            span.visually-hidden { (count(failures)) " fail at " }
                            span.value.figure { (value) }
                        }
                    }
                }
            }
        }
    }
}

fn published(claim: &ClaimEvidence) -> Markup {
    html! {
        @if let Some(test) = &claim.published_test {
            h4 { "Published test: " (test.result.name()) }
            ul.counts {
                @for trial in &test.answers {
                    li { (names(&test.nodes)) ": " code { (prompt(&trial.source)) } " into " code { (prompt(&trial.base)) } " gives " code { (trial.got) } }
                }
            }
        }
    }
}

/// A question; where another answer than the true one is read, with that answer.
fn prompt(prompt: &Prompt) -> String {
    match prompt.forced == Answer::of(&prompt.question) {
        true => prompt.question.to_string(),
        false => prompt.to_string(),
    }
}

/// The simplest failing pair, its wrong tokens marked, with the command that replays it.
fn counterexample(example: &Counterexample, replay: Option<&str>) -> Markup {
    let tokens = |answer: &Answer| -> Markup {
        let text = answer.to_string();
        let last = text.chars().count().saturating_sub(1);
        html! {
            @for (i, character) in text.chars().enumerate() {
                @if example.wrong.contains(AnswerToken(last - i)) { mark { (character) } } @else { (character) }
            }
        }
    };
    html! {
        h4 { "Simplest counterexample" }
        dl.example {
            div { dt { "source" } dd { code { (prompt(&example.source)) } } }
            div { dt { "base" } dd { code { (prompt(&example.base)) } } }
            div { dt { "node" } dd { code { (names(&example.nodes)) } } }
            div { dt { "predicted" } dd { code { (tokens(&example.predicted)) } } }
            div { dt { "given" } dd { code { (tokens(&example.got)) } } }
        }
        @if let Some(replay) = replay { (command(replay)) }
    }
}
