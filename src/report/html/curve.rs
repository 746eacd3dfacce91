//! The loss over training, on a logarithmic scale.

use maud::{Markup, html};

use super::Section;
use crate::report::Report;

/// Columns the batches are gathered into.
const COLUMNS: usize = 360;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const BOTTOM: f64 = 40.0;
const MARGIN: f64 = 12.0;

/// Batches named in the text that stands for the picture.
const NAMED: usize = 8;

/// Losses of a run of batches.
struct PixelColumn {
    lowest: f64,
    median: f64,
    highest: f64,
}

pub fn section(report: &Report) -> Option<Section> {
    // A batch whose loss is no number, or has no logarithm, is a gap.
    let losses: Vec<Option<f64>> = report
        .losses
        .iter()
        .map(|&loss| Some(f64::from(loss)).filter(|loss| loss.is_finite() && *loss > 0.0))
        .collect();
    (losses.iter().flatten().count() > 1).then(|| Section {
        id: "training",
        title: "Training",
        about: html! {
            "The loss of " (losses.len()) " training batches, as published with the model, on a logarithmic scale. The line is the median of every " (losses.len().div_ceil(COLUMNS)) " batches, the band their range."
        },
        content: html! { (draw(&losses)) (in_words(&losses)) },
    })
}

/// The columns; `None` where no batch has a loss.
fn columns(losses: &[Option<f64>]) -> Vec<Option<PixelColumn>> {
    let size = losses.len().div_ceil(COLUMNS);
    losses
        .chunks(size)
        .map(|chunk| {
            let mut sorted: Vec<f64> = chunk.iter().flatten().copied().collect();
            sorted.sort_by(f64::total_cmp);
            Some(PixelColumn {
                lowest: *sorted.first()?,
                median: sorted[sorted.len() / 2],
                highest: *sorted.last()?,
            })
        })
        .collect()
}

/// A loss as readers write it: `2.7`, `0.0031`, `4e-7`.
fn loss_text(loss: f64) -> String {
    match loss {
        loss if loss >= 1.0 => format!("{loss:.1}"),
        loss if loss >= 0.001 => format!("{loss:.4}"),
        loss => format!("{loss:.0e}"),
    }
}

fn draw(losses: &[Option<f64>]) -> Markup {
    let columns = columns(losses);
    let drawn = || columns.iter().flatten();
    let lowest = drawn().map(|c| c.lowest).fold(f64::MAX, f64::min);
    let highest = drawn().map(|c| c.highest).fold(0.0, f64::max);
    let (bottom, top) = (lowest.log10().floor(), highest.log10().ceil());
    let x = |column: f64| LEFT + (WIDTH - LEFT - MARGIN) * column / (columns.len() - 1) as f64;
    let y = |loss: f64| {
        let share = (loss.log10() - bottom) / (top - bottom).max(1.0);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - MARGIN) * share
    };
    let point = |i: usize, loss: f64| format!("{:.1} {:.1}", x(i as f64), y(loss));
    let numbered: Vec<(usize, &Option<PixelColumn>)> = columns.iter().enumerate().collect();
    let (mut band, mut median) = (String::new(), String::new());
    for part in numbered.chunk_by(|one, next| one.1.is_some() == next.1.is_some()) {
        let line = |of: fn(&PixelColumn) -> f64| -> Vec<String> {
            let points = part
                .iter()
                .filter_map(|&(i, column)| Some((i, column.as_ref()?)));
            points.map(|(i, column)| point(i, of(column))).collect()
        };
        let (upper, mut lower) = (line(|c| c.highest), line(|c| c.lowest));
        if !upper.is_empty() {
            lower.reverse();
            band += &format!("M{}L{}Z", upper.join("L"), lower.join("L"));
            median += &format!("M{}", line(|c| c.median).join("L"));
        }
    }
    let ends = losses
        .iter()
        .flatten()
        .next()
        .zip(losses.iter().flatten().next_back());
    let (first, last) = ends.expect("some batch has a loss");
    let decades: Vec<i32> = (bottom as i32..=top as i32).collect();
    let quarter = |i: usize| losses.len() * i / 4;
    html! {
        div.scroll tabindex="0" role="group" aria-label="Loss over training" {
            svg.curve viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ "Training loss falls from " (loss_text(*first)) " to " (loss_text(*last)) " over " (losses.len()) " batches; the table below gives values between." } {
                @for decade in &decades {
                    @let at = y(10f64.powi(*decade));
                    line.rule x1=(LEFT) x2=(WIDTH - MARGIN) y1=(format!("{at:.1}")) y2=(format!("{at:.1}")) {}
                    text.axis.end x=(LEFT - 8.0) y=(format!("{:.1}", at + 4.0)) { "1e" (decade) }
                }
                @for i in 0..=4 {
                    @let at = x((columns.len() - 1) as f64 * i as f64 / 4.0);
                    text.axis.(if i == 4 { "end" } else { "middle" }) x=(format!("{at:.1}")) y=(HEIGHT - BOTTOM + 18.0) { (quarter(i)) }
                }
                text.axis.middle x=(WIDTH / 2.0) y=(HEIGHT - 4.0) { "batch" }
                path.band d=(band) {}
                path.median d=(median) {}
            }
        }
    }
}

fn in_words(losses: &[Option<f64>]) -> Markup {
    html! {
        details.in-words {
            summary { "The curve as a table" }
            table.plain {
                thead { tr { th scope="col" { "batch" } th scope="col" { "loss" } } }
                tbody {
                    @for i in 0..=NAMED {
                        @let batch = (losses.len() - 1) * i / NAMED;
                        tr { th scope="row" { (batch) } td { (losses[batch].map_or_else(|| "–".to_owned(), loss_text)) } }
                    }
                }
            }
        }
    }
}
