//! Rates as bars: the share, its interval, and the limit it is held against.

use maud::{Markup, html};

use super::terms::labelled;
use crate::experiment::stats::{Count, Rate};

/// What a rate is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It must reach this.
    AtLeast(f64),
    /// It must stay under this.
    AtMost(f64),
    /// Nothing is asked of it.
    None,
}

/// Shares in which intervals cluster, so that a bar of them has an inset.
const INSETS: [(f64, f64); 2] = [(0.9, 1.0), (0.0, 0.1)];

/// A bar with the interval of a rate, and an inset where it lies at one end of the scale. The text
/// beside it says the same, so readers of screens skip it.
pub fn bar(rate: &Rate, limit: Limit) -> Markup {
    let mut insets = INSETS.into_iter();
    let inset = insets.find(|&(from, to)| from <= rate.lower && rate.upper <= to);
    html! {
        span.bars aria-hidden="true" {
            (scaled(rate, limit, (0.0, 1.0)))
            @if let Some((from, to)) = inset {
                span.inset { (scaled(rate, limit, (from, to))) span.from { (from) } span.to { (to) } }
            }
        }
    }
}

/// The interval of a rate, with the limit, on a scale from one share to another.
fn scaled(rate: &Rate, limit: Limit, (from, to): (f64, f64)) -> Markup {
    let at = |share: f64| (((share - from) / (to - from)) * 1000.0).round() / 10.0;
    let (lower, share, upper) = (at(rate.lower), at(rate.share()), at(rate.upper));
    let (line, class) = match limit {
        Limit::AtLeast(limit) if rate.lower >= limit => (Some(limit), "good"),
        Limit::AtLeast(limit) if rate.upper < limit => (Some(limit), "bad"),
        Limit::AtMost(limit) if rate.upper <= limit => (Some(limit), "good"),
        Limit::AtMost(limit) if rate.lower > limit => (Some(limit), "bad"),
        Limit::AtLeast(limit) | Limit::AtMost(limit) => (Some(limit), "open"),
        Limit::None => (None, "plain"),
    };
    let line = line.filter(|limit| (from..=to).contains(limit));
    html! {
        svg.bar.(class) viewBox="0 0 100 10" preserveAspectRatio="none" {
            rect.track y="3" width="100" height="4" {}
            rect.range x=(lower) y="2" width=((upper - lower).max(0.8)) height="6" {}
            rect.share x=((share - 0.6).clamp(0.0, 98.8)) width="1.2" height="10" {}
            @if let Some(limit) = line {
                rect.limit x=((at(limit) - 0.25).clamp(0.0, 99.5)) width="0.5" height="10" {}
            }
        }
    }
}

/// A row of a table of measures.
pub fn row(name: &str, rate: &Rate, limit: Limit) -> Markup {
    let asked = match limit {
        Limit::AtLeast(limit) => format!("≥ {limit}"),
        Limit::AtMost(limit) => format!("≤ {limit}"),
        Limit::None => String::new(),
    };
    html! {
        tr {
            th scope="row" { (labelled(name, name.split(", ").next().unwrap_or(name))) }
            td { (bar(rate, limit)) }
            td.figure { (rate) }
            td.asked { (asked) }
        }
    }
}

/// `3 of 64`.
pub fn count(count: &Count) -> String {
    format!("{} of {}", count.hits, count.trials)
}
