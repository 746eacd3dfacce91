//! Published tests against verdicts, and how well the unpatched model answers.

use maud::{Markup, html};

use super::bars::{Limit, bar};
use super::terms::term;
use super::{Section, tone};
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

pub fn section(report: &Report) -> Section {
    let evidence = &report.evidence;
    Section {
        id: "published",
        title: "Published tests",
        about: html! {
            "How each published test, which rests on one or two pairs of questions, compares with the verdict; and how often the unpatched model answers correctly."
        },
        content: html! {
            div.columns.uneven {
                figure { figcaption { "Published test and verdict" } (cross(evidence)) }
                figure { figcaption { "The unpatched model" } (baseline(evidence)) }
            }
        },
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
                        th scope="col" { span.badge.(tone(kind)) { (term(kind.name())) } }
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
                        th scope="row" { (term(&class.class.to_string())) }
                        td { (bar(&class.accuracy, gate)) }
                        td.figure { (class.accuracy) }
                        td.asked { (if class.passes { "testable" } else { "not testable" }) }
                    }
                }
            }
        }
    }
}
