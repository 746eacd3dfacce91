//! What a measurement finds, and the rule that decides it.

use serde::{Deserialize, Serialize};

use crate::experiment::codes::Recalls;
use crate::experiment::geometry::NormalEstimate;
use crate::experiment::stats::{Bounds, Count, rounded};

/// One figure of a measurement, with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What it is of: a digit, a depth, the nodes found.
    pub of: String,
    #[serde(serialize_with = "rounded")]
    pub value: f64,
    #[serde(serialize_with = "rounded")]
    pub lower: f64,
    #[serde(serialize_with = "rounded")]
    pub upper: f64,
    /// Questions, or pairs.
    pub samples: u64,
    /// The p-value under permutation, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

impl Row {
    fn new(of: impl Into<String>, value: f64, bounds: Bounds, samples: u64) -> Self {
        Row {
            of: of.into(),
            value,
            lower: bounds.lower,
            upper: bounds.upper,
            samples,
            p: None,
        }
    }

    /// A share with exact bounds, each wrong with probability at most `alpha`.
    pub fn count(of: impl Into<String>, count: Count, alpha: f64) -> Self {
        Self::new(of, count.share(), count.bounds(alpha), count.trials)
    }

    /// A balanced accuracy with exact bounds.
    pub fn recalls(of: impl Into<String>, recalls: &Recalls, alpha: f64) -> Self {
        let bounds = recalls.bounds(alpha);
        Self::new(of, recalls.balanced(), bounds, recalls.samples())
    }

    /// An estimate with normal bounds.
    pub fn estimate(
        of: impl Into<String>,
        estimate: NormalEstimate,
        alpha: f64,
        samples: u64,
    ) -> Self {
        Self::new(of, estimate.value, estimate.bounds(alpha), samples)
    }

    /// A value with bounds found otherwise.
    pub fn bounded(of: impl Into<String>, value: f64, bounds: Bounds, samples: u64) -> Self {
        Self::new(of, value, bounds, samples)
    }

    /// A value that is computed from the weights and has no sampling error.
    pub fn exact(of: impl Into<String>, value: f64) -> Self {
        let bounds = Bounds {
            lower: value,
            upper: value,
        };
        Self::new(of, value, bounds, 0)
    }

    pub fn with_p(mut self, p: f64) -> Self {
        self.p = Some(p);
        self
    }
}

/// In how many rows the rule must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum In {
    #[default]
    All,
    /// In more than half of them.
    Most,
    Some,
}

/// What is expected of the rows. Without a limit, they are only shown.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The permutation's p-value must be at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_at_most: Option<f64>,
    #[serde(default, rename = "in")]
    pub within: In,
}

/// How a rule is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By the values alone, as published.
    Values,
    /// By their bounds: what they leave open is open.
    Bounds,
}

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    Fails,
    /// The interval lies on both sides of the limit.
    Open,
    Holds,
}

impl Settled {
    /// What holds of all: the worst.
    pub fn of_all(all: impl IntoIterator<Item = Settled>) -> Option<Settled> {
        all.into_iter().min()
    }
}

impl Expect {
    /// Whether anything is asked.
    pub const fn asks(&self) -> bool {
        self.at_least.is_some() || self.at_most.is_some() || self.p_at_most.is_some()
    }

    fn row(&self, row: &Row, by: By) -> Settled {
        let (lower, upper) = match by {
            By::Values => (row.value, row.value),
            By::Bounds => (row.lower, row.upper),
        };
        let limits = [
            self.at_least.map(|limit| (lower >= limit, upper < limit)),
            self.at_most.map(|limit| (upper <= limit, lower > limit)),
            self.p_at_most.map(|limit| {
                let holds = row.p.is_some_and(|p| p <= limit);
                (holds, !holds)
            }),
        ];
        let standings = limits.into_iter().flatten().map(|limit| match limit {
            (true, _) => Settled::Holds,
            (_, true) => Settled::Fails,
            _ => Settled::Open,
        });
        Settled::of_all(standings).unwrap_or(Settled::Holds)
    }

    /// Whether the rows are as expected; `None` if nothing is asked. Without a row it is open.
    pub fn judge(&self, rows: &[Row], by: By) -> Option<Settled> {
        if !self.asks() {
            return None;
        }
        if rows.is_empty() {
            return Some(Settled::Open);
        }
        let standings: Vec<Settled> = rows.iter().map(|row| self.row(row, by)).collect();
        let count = |wanted: Settled| standings.iter().filter(|&&s| s == wanted).count();
        let (holds, fails, all) = (count(Settled::Holds), count(Settled::Fails), rows.len());
        let (enough, too_many) = match self.within {
            In::All => (holds == all, fails > 0),
            In::Most => (2 * holds > all, 2 * fails >= all),
            In::Some => (holds > 0, fails == all),
        };
        Some(match (enough, too_many) {
            (true, _) => Settled::Holds,
            (_, true) => Settled::Fails,
            _ => Settled::Open,
        })
    }

    /// The rule in words.
    pub fn says(&self) -> String {
        let limits = [
            self.at_least.map(|limit| format!("at least {limit}")),
            self.at_most.map(|limit| format!("at most {limit}")),
            self.p_at_most.map(|limit| format!("p at most {limit}")),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        let within = match self.within {
            In::All => "in every row",
            In::Most => "in more than half of the rows",
            In::Some => "in some row",
        };
        match limits.is_empty() {
            true => "shown only".to_owned(),
            false => format!("{} {within}", limits.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(hits: &[u64]) -> Vec<Row> {
        let row = |&hits: &u64| Row::count("", Count { hits, trials: 100 }, 0.005);
        hits.iter().map(row).collect()
    }

    fn expect(at_least: f64, within: In) -> Expect {
        Expect {
            at_least: Some(at_least),
            within,
            ..Expect::default()
        }
    }

    #[test]
    fn rows_are_judged_by_their_bounds_and_published_figures_by_their_values() {
        let rule = expect(0.8, In::All);
        assert_eq!(rule.judge(&rows(&[100]), By::Bounds), Some(Settled::Holds));
        assert_eq!(rule.judge(&rows(&[82]), By::Bounds), Some(Settled::Open));
        assert_eq!(rule.judge(&rows(&[82]), By::Values), Some(Settled::Holds));
        assert_eq!(rule.judge(&rows(&[10]), By::Bounds), Some(Settled::Fails));
        assert_eq!(
            rule.judge(&rows(&[100, 10]), By::Bounds),
            Some(Settled::Fails)
        );
    }

    #[test]
    fn a_rule_may_ask_for_most_rows_or_some() {
        let half = rows(&[100, 0]);
        assert_eq!(
            expect(0.8, In::Most).judge(&half, By::Bounds),
            Some(Settled::Fails)
        );
        assert_eq!(
            expect(0.8, In::Some).judge(&half, By::Bounds),
            Some(Settled::Holds)
        );
        let most = rows(&[100, 100, 0]);
        assert_eq!(
            expect(0.8, In::Most).judge(&most, By::Bounds),
            Some(Settled::Holds)
        );
        let open = rows(&[82, 0]);
        assert_eq!(
            expect(0.8, In::Some).judge(&open, By::Bounds),
            Some(Settled::Open)
        );
    }

    #[test]
    fn an_upper_limit_is_held_against_the_upper_bound() {
        let rule = Expect {
            at_most: Some(0.05),
            ..Expect::default()
        };
        assert_eq!(rule.judge(&rows(&[0]), By::Bounds), Some(Settled::Open));
        let none = vec![Row::count(
            "",
            Count {
                hits: 0,
                trials: 200,
            },
            0.005,
        )];
        assert_eq!(rule.judge(&none, By::Bounds), Some(Settled::Holds));
        assert_eq!(rule.judge(&rows(&[50]), By::Bounds), Some(Settled::Fails));
    }

    #[test]
    fn no_rows_leave_it_open_and_without_a_limit_nothing_is_said() {
        for within in [In::All, In::Most, In::Some] {
            let judged = expect(0.8, within).judge(&[], By::Bounds);
            assert_eq!(judged, Some(Settled::Open));
        }
        assert_eq!(Expect::default().judge(&rows(&[1]), By::Bounds), None);
    }
}
