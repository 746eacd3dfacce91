//! Selectivity: what a claim's nodes pass at every digit, as a matrix for each task.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::bars::count;
use super::{Section, anchor, names, sign};
use crate::experiment::stats::Count;
use crate::report::Report;
use crate::verify::evidence::{ClaimEvidence, Trials};

/// A claim with the trials it was controlled on.
type Row<'a> = (&'a ClaimEvidence, &'a Trials);

pub fn section(report: &Report) -> Option<Section> {
    let mut tasks: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for claim in &report.evidence.claims {
        if let (Some(trials), Some(_)) = (&claim.trials, claim.digit) {
            tasks.entry(&claim.task).or_default().push((claim, trials));
        }
    }
    (!tasks.is_empty()).then(|| Section {
        id: "selectivity",
        title: "Selectivity",
        about: html! {
            "Each row is a node set, tested for its task at every digit; the framed digit is the one claimed. A selective node is dark there and light elsewhere. A digit is empty where no pair of questions distinguishes it."
        },
        content: html! { div.matrices { @for (task, rows) in &tasks { (matrix(task, rows)) } } },
    })
}

fn matrix(task: &str, rows: &[Row]) -> Markup {
    let digits = rows.iter().flat_map(|(claim, trials)| {
        let others = trials.controls.wrong_digits.iter();
        others
            .filter_map(|other| other.variable.digit)
            .chain(claim.digit)
    });
    let last = digits.max().unwrap_or(0);
    let mut distinct: Vec<&Row> = Vec::new();
    for row in rows {
        // Claims of one set are one row.
        let same = |other: &&Row| (&other.0.nodes, other.0.digit) == (&row.0.nodes, row.0.digit);
        if !distinct.iter().any(same) {
            distinct.push(row);
        }
    }
    html! {
        figure {
            figcaption { b { (task) } }
            table.heat {
                thead { tr {
                    th scope="col" { "nodes" }
                    @for digit in (0..=last).rev() { th scope="col" { "A" (digit) } }
                    th scope="col" { span.visually-hidden { "verdict" } }
                } }
                tbody {
                    @for (claim, trials) in distinct {
                        tr {
                            th scope="row" { a href={ "#" (anchor(&claim.claim)) } { (names(&claim.nodes)) } }
                            @for digit in (0..=last).rev() { (cell(claim, trials, digit)) }
                            td.sign title=(claim.verdict.name()) { (sign(claim.verdict.kind())) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(claim: &ClaimEvidence, trials: &Trials, digit: usize) -> Markup {
    let own = claim.digit == Some(digit);
    let mut elsewhere = trials.controls.wrong_digits.iter();
    let found: Option<Count> = match own {
        true => Some(trials.controls.interchange_accuracy),
        false => elsewhere
            .find(|other| other.variable.digit == Some(digit))
            .map(|other| other.interchange_accuracy),
    };
    let Some(found) = found.filter(|found| found.trials > 0) else {
        return html! { td {} };
    };
    let percent = (found.share() * 100.0).round();
    let class = format!("s{}", (percent / 10.0).ceil());
    html! { td.(class).own[own] title={ (count(&found)) } { (percent) } }
}
