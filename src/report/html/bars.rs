//! Rates as bars: the share, its interval, and the limit it is held against.

use maud::{Markup, html};

use crate::experiment::stats::{Count, Rate};

/// What a rate is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It must reach this.
    AtLeast(f64),
    /// It must stay under this.
    AtMost(f64),
    /// Nothing hangs on it.
    None,
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

/// A bar with the interval of a rate. The text beside it says the same, so readers of screens skip it.
pub fn bar(rate: &Rate, limit: Limit) -> Markup {
    let (lower, share, upper) = (
        percent(rate.lower),
        percent(rate.share()),
        percent(rate.upper),
    );
    let (at, class) = match limit {
        Limit::AtLeast(limit) if rate.lower >= limit => (Some(limit), "good"),
        Limit::AtLeast(limit) if rate.upper < limit => (Some(limit), "bad"),
        Limit::AtMost(limit) if rate.upper <= limit => (Some(limit), "good"),
        Limit::AtMost(limit) if rate.lower > limit => (Some(limit), "bad"),
        Limit::AtLeast(limit) | Limit::AtMost(limit) => (Some(limit), "open"),
        Limit::None => (None, "plain"),
    };
    html! {
        svg.bar.(class) viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track y="3" width="100" height="4" {}
            rect.range x=(lower) y="2" width=((upper - lower).max(0.8)) height="6" {}
            rect.share x=((share - 0.6).clamp(0.0, 98.8)) width="1.2" height="10" {}
            @if let Some(limit) = at {
                rect.limit x=(percent(limit) - 0.25) width="0.5" height="10" {}
            }
        }
    }
}

/// A row of a table of measures.
pub fn row(name: &str, rate: &Rate, limit: Limit) -> Markup {
    let asked = match limit {
        Limit::AtLeast(limit) => format!("≥ {limit} asked"),
        Limit::AtMost(limit) => format!("≤ {limit} asked"),
        Limit::None => String::new(),
    };
    html! {
        tr {
            th scope="row" { (name) }
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
