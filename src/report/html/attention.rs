//! Where claimed heads look, by class of question.

use maud::{Markup, html};

use super::places::place;
use super::{Links, Section};
use crate::domain::shape::Shape;
use crate::report::{Attention, HeadAttention, Report};

pub fn section(report: &Report) -> Option<Section> {
    let attention = report.attention.as_ref()?;
    let shape = &report.evidence.inputs.shape;
    let questions: Vec<String> = attention
        .questions
        .iter()
        .map(|(class, number)| format!("{number} {class}"))
        .collect();
    Some(Section {
        id: "attention",
        title: "Attention",
        about: html! {
            "Mean attention of every claimed head from its own position, in percent, over " (questions.join(", ")) " questions that the model answers correctly. Cells below one percent are empty."
        },
        content: table(attention, shape, Links::OnPage),
    })
}

pub(super) fn table(attention: &Attention, shape: &Shape, links: Links) -> Markup {
    let columns = shape.n_ctx() - 1;
    html! {
        div.scroll.tall tabindex="0" role="group" aria-label="Attention of claimed heads" {
            table.heat.attention {
                thead { tr {
                    th scope="col" { "head" }
                    th scope="col" { "class" }
                    @for position in 0..columns { th scope="col" title={ "P" (position) } { (place(position, shape)) } }
                } }
                @for head in &attention.heads { (one(head, columns, links)) }
            }
        }
    }
}

fn one(head: &HeadAttention, columns: usize, links: Links) -> Markup {
    html! {
        tbody id=[(links == Links::OnPage).then(|| format!("attention-{}", head.node))] {
            @for (i, (class, percents)) in head.percents.iter().enumerate() {
                tr {
                    @if i == 0 { th scope="rowgroup" rowspan=(head.percents.len()) {
                        @match links {
                            Links::OnPage => a href={ "#" (head.node) } { (head.node) },
                            Links::Nowhere => (head.node),
                        }
                    } }
                    th scope="row" { (class) }
                    @for percent in percents.iter().take(columns) {
                        @match percent {
                            0 => td {},
                            _ => td.{ "s" (percent.div_ceil(10)) } { (percent) },
                        }
                    }
                }
            }
        }
    }
}
