//! The top of the page: which model, what came out, and where published tests and verdicts part.

use maud::{Markup, html};

use super::bars::{Limit, bar};
use super::{badge, tone};
use crate::report::Report;
use crate::verify::evidence::Evidence;
use crate::verify::{PublishedResult, VerdictKind};

/// Published results in the order of how much they say.
const PUBLISHED: [PublishedResult; 5] = [
    PublishedResult::Strong,
    PublishedResult::Weak,
    PublishedResult::AttentionOnly,
    PublishedResult::Failed,
    PublishedResult::NoTest,
];

/// The page's head: the model and its make-up.
pub fn header(report: &Report) -> Markup {
    let inputs = &report.evidence.inputs;
    let shape = &inputs.shape;
    html! {
        header {
            p.kicker { "circuitcheck report" }
            h1 { "Claims about " span.model { (inputs.model) } }
            dl.facts {
                div { dt { "digits" } dd { (shape.n_digits) } }
                div { dt { "layers × heads" } dd { (shape.n_layers) " × " (shape.n_heads) } }
                div { dt { "width" } dd { (shape.d_model) } }
                div { dt { "trained for" } dd { (inputs.operations) } }
                div { dt { "weights" } dd { code title=(inputs.weights_sha256) { (&inputs.weights_sha256[..12.min(inputs.weights_sha256.len())]) } } }
                div { dt { "seed" } dd { (report.evidence.protocol.seed) } }
            }
        }
    }
}

fn count(evidence: &Evidence, verdicts: &[VerdictKind]) -> usize {
    let counts = verdicts
        .iter()
        .filter_map(|kind| evidence.summary.get(kind));
    counts.sum()
}

/// What came out, in a few sentences and three pictures.
pub fn summary(report: &Report) -> Markup {
    let evidence = &report.evidence;
    let total = evidence.claims.len();
    let supported = count(evidence, &[VerdictKind::Supported]);
    let together = count(evidence, &[VerdictKind::Joint, VerdictKind::Redundant]);
    let partly = count(evidence, &[VerdictKind::Partial, VerdictKind::JointInPart]);
    let refuted = count(evidence, &[VerdictKind::Refuted, VerdictKind::Unspecific]);
    let analyses = count(evidence, &[VerdictKind::Correlational]);
    let open = count(
        evidence,
        &[
            VerdictKind::NotShown,
            VerdictKind::Inconclusive,
            VerdictKind::NotTestable,
        ],
    );
    let strong = evidence.claims.iter();
    let misled = strong
        .filter(|claim| claim.published == PublishedResult::Strong && claim.verdict.refutes())
        .count();
    html! {
        section.summary aria-labelledby="summary-title" {
            h2.visually-hidden id="summary-title" { "Summary" }
            @for change in &report.changes {
                p.notice role="note" { strong { "Note: " } (change) "." }
            }
            p.lead {
                "Of " strong { (total) } (if total == 1 { " claim, " } else { " claims, " })
                strong { (supported) } " hold of the node they name, "
                strong { (together) } " only together with other nodes or once others are silenced, "
                @if partly > 0 { strong { (partly) } " in part, " }
                "and " strong { (refuted) } " do not."
                @if analyses > 0 { " Of " (analyses) " all that is true is where the node looks." }
                @if open > 0 { " " (open) " stay open." }
                @if misled > 0 {
                    " " (misled) " of those that do not hold pass their published test."
                }
            }
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
            div.columns.uneven {
                figure {
                    figcaption { "Published test against verdict" }
                    (cross(evidence))
                }
                figure {
                    figcaption { "The unpatched model" }
                    (baseline(evidence))
                }
            }
        }
    }
}

/// How often each published result came to each verdict.
fn cross(evidence: &Evidence) -> Markup {
    let present: Vec<VerdictKind> = VerdictKind::FROM_TRUE_TO_FALSE
        .into_iter()
        .filter(|kind| evidence.summary.contains_key(kind))
        .collect();
    let number = |published: PublishedResult, verdict: VerdictKind| {
        let claims = evidence.claims.iter();
        claims
            .filter(|claim| claim.published == published && claim.verdict.kind() == verdict)
            .count()
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="Published test against verdict" {
            table.cross {
                thead { tr {
                    th scope="col" { "published" }
                    @for &kind in &present {
                        th scope="col" { span.badge.(tone(kind)) { (kind) } }
                    }
                } }
                tbody {
                    @for published in PUBLISHED {
                        @if present.iter().any(|&kind| number(published, kind) > 0) {
                            tr {
                                th scope="row" { (published.name()) }
                                @for &kind in &present {
                                    @let claims = number(published, kind);
                                    td.(tone(kind)).some[claims > 0] { (claims) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn baseline(evidence: &Evidence) -> Markup {
    let gate = Limit::AtLeast(evidence.protocol.limits.baseline);
    html! {
        table.measures {
            thead.visually-hidden { tr { th { "class" } th { "bar" } th { "right" } th { "claims testable" } } }
            tbody {
                @for class in &evidence.baseline.classes {
                    tr {
                        th scope="row" { (class.class) }
                        td { (bar(&class.accuracy, gate)) }
                        td.figure { (class.accuracy) }
                        td.asked { (if class.passes { "testable" } else { "not testable" }) }
                    }
                }
            }
        }
    }
}
