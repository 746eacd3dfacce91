//! The top of the page: which model, and what came out.

use maud::{Markup, html};

use super::{badge, tone};
use crate::domain::shape::Shape;
use crate::report::Report;
use crate::verify::evidence::Evidence;
use crate::verify::{PublishedResult, VerdictKind};

/// The page's head: the model and its make-up.
pub fn header(report: &Report) -> Markup {
    let inputs = &report.evidence.inputs;
    html! {
        header {
            p.kicker { "circuitcheck report" }
            h1 { "Claims about " span.model { (inputs.model) } }
            dl.facts {
                (facts(&inputs.shape, &inputs.operations, &inputs.weights_sha256))
                div { dt { "seed" } dd { (report.evidence.protocol.seed) } }
            }
        }
    }
}

/// What a model is, as items of a list.
pub fn facts(shape: &Shape, operations: &str, weights_sha256: &str) -> Markup {
    html! {
        div { dt { "digits" } dd { (shape.n_digits) } }
        div { dt { "layers × heads" } dd { (shape.n_layers) " × " (shape.n_heads) } }
        div { dt { "width" } dd { (shape.d_model) } }
        div { dt { "trained on" } dd { (operations) } }
        div { dt { "weights" } dd { code title=(weights_sha256) { (&weights_sha256[..12.min(weights_sha256.len())]) } } }
    }
}

/// What is said of claims with these verdicts, after their number: of one, and of several.
const OUTCOMES: [(&[VerdictKind], [&str; 2]); 9] = {
    use VerdictKind as V;
    [
        (
            &[V::Supported],
            ["holds for its node alone", "hold for their node alone"],
        ),
        (
            &[V::Joint],
            [
                "holds only for a set of nodes",
                "hold only for a set of nodes",
            ],
        ),
        (
            &[V::Redundant],
            [
                "holds once other carriers are mean-ablated",
                "hold once other carriers are mean-ablated",
            ],
        ),
        (
            &[V::Partial, V::JointInPart],
            ["holds in part", "hold in part"],
        ),
        (
            &[V::Correlational],
            ["is true of attention only", "are true of attention only"],
        ),
        (
            &[V::NotShown, V::Inconclusive],
            ["is undecided", "are undecided"],
        ),
        (&[V::Unspecific], ["is unspecific", "are unspecific"]),
        (&[V::Refuted], ["is refuted", "are refuted"]),
        (&[V::NotTestable], ["cannot be tested", "cannot be tested"]),
    ]
};

fn count(evidence: &Evidence, verdicts: &[VerdictKind]) -> usize {
    let counts = verdicts
        .iter()
        .filter_map(|kind| evidence.summary.get(kind));
    counts.sum()
}

/// What came out, in one sentence; a second where a published test passes what does not hold.
fn verdict(evidence: &Evidence) -> Markup {
    let total = evidence.claims.len();
    let mut outcomes: Vec<(usize, &str)> = (OUTCOMES.iter())
        .map(
            |(verdicts, [one, several])| match count(evidence, verdicts) {
                1 => (1, *one),
                many => (many, *several),
            },
        )
        .filter(|&(number, _)| number > 0)
        .collect();
    let failing = [VerdictKind::Refuted, VerdictKind::Unspecific];
    if count(evidence, &failing) == 0 {
        outcomes.push((0, "is refuted"));
    }
    let last = outcomes.len() - 1;
    let strong = evidence.claims.iter();
    let misled = strong
        .filter(|claim| claim.published == PublishedResult::Strong && claim.verdict.refutes())
        .count();
    html! {
        p.lead {
            "Of " strong { (total) } (if total == 1 { " claim, " } else { " claims, " })
            @for (i, (number, said)) in outcomes.iter().enumerate() {
                @if i > 0 { (if i == last { " and " } else { ", " }) }
                strong { @if *number == 0 { "none" } @else { (number) } } " " (said)
            }
            "."
            @match misled {
                0 => {},
                1 => " One that is refuted or unspecific passes its published test.",
                _ => { " " (misled) " that are refuted or unspecific pass their published test." },
            }
        }
    }
}

/// What came out: a sentence, and how many claims have each verdict.
pub fn summary(report: &Report) -> Markup {
    let evidence = &report.evidence;
    html! {
        section.summary aria-labelledby="summary-title" {
            h2.visually-hidden id="summary-title" { "Summary" }
            @for change in &report.changes {
                p.notice role="note" { strong { "Note: " } (change) "." }
            }
            (outcome(evidence))
        }
    }
}

/// A sentence, and how many claims have each verdict.
pub fn outcome(evidence: &Evidence) -> Markup {
    html! {
        (verdict(evidence))
        div.stack role="img" aria-label={ "Verdicts: " (crate::report::summary_line(evidence)) } {
            @for kind in VerdictKind::FROM_TRUE_TO_FALSE {
                @if let Some(number) = evidence.summary.get(&kind) {
                    span.(tone(kind)) style={ "flex-grow:" (number) } title={ (number) " " (kind) } { (number) }
                }
            }
        }
        ul.legend {
            @for kind in VerdictKind::FROM_TRUE_TO_FALSE {
                @if let Some(number) = evidence.summary.get(&kind) {
                    li { (badge(kind)) " " (number) }
                }
            }
        }
    }
}
