//! Where a claim fails: the simplest descriptions of trials on which it fails more often than
//! elsewhere.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{DiscreteCDF, Hypergeometric};

use crate::domain::arithmetic::{Class, Question};
use crate::domain::causal::{Kind, Stratum};
use crate::domain::task::Variable;
use crate::experiment::Judgment;
use crate::experiment::stats::{Count, Rate};

/// A group of trials that fails more often than the rest.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Weakness {
    /// What the trials have in common, e.g. `source sum of digit 2`.
    pub feature: String,
    /// The values at which it fails more often.
    pub values: Vec<String>,
    /// Failures where the feature has one of the values, on trials not used to find it.
    pub within: Rate,
    /// Failures elsewhere, on the same trials.
    pub elsewhere: Rate,
    /// The same trials by each value of the feature.
    pub by_value: Vec<FailuresAt>,
}

/// Failures of the trials at one value of a feature.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct FailuresAt {
    pub value: String,
    pub failures: Count,
}

/// Most weaknesses listed for a claim.
const MOST_NAMED: usize = 3;

/// The features of a trial with their values, simplest first.
fn features(variable: Variable, judgment: &Judgment) -> Vec<(String, String)> {
    let pair = &judgment.trial.pair;
    let (source, base) = (&pair.source.question, &pair.base);
    let mut found = Vec::new();
    let mut add = |feature: String, value: String| found.push((feature, value));
    if let Some(digit) = variable.digit {
        let columns = [Some(digit), digit.checked_sub(1), Some(digit + 1)];
        for column in columns.into_iter().flatten() {
            for (which, question) in [("source", source), ("base", base)] {
                let (word, value) = column_result(question, column);
                add(format!("{which} {word} of digit {column}"), value);
            }
        }
        add(
            "carry-in of the base question".into(),
            carry_in(base, digit).into(),
        );
        add(
            "carry-in of the source question".into(),
            carry_in(source, digit).into(),
        );
    }
    if let Stratum::Depth(depth) = judgment.trial.stratum {
        add("cascade depth".into(), depth.to_string());
    }
    add(
        "class of the base question".into(),
        base.class().to_string(),
    );
    add(
        "class of the source question".into(),
        source.class().to_string(),
    );
    add(
        "leading zeros of the base question".into(),
        leading_zeros(base).to_string(),
    );
    found
}

fn column_result(question: &Question, k: usize) -> (&'static str, String) {
    let (x, y) = question.column(k);
    match question.class() {
        Class::Add => ("sum", (x + y).to_string()),
        Class::Sub | Class::Neg => ("difference", (i16::from(x) - i16::from(y)).to_string()),
    }
}

fn carry_in(question: &Question, k: usize) -> &'static str {
    let below = crate::domain::arithmetic::power_of_ten(k);
    let (x, y) = (question.first() % below, question.second() % below);
    let carries = match question.class() {
        Class::Add => x + y >= below,
        Class::Sub => x < y,
        Class::Neg => y < x,
    };
    if carries { "yes" } else { "no" }
}

fn leading_zeros(question: &Question) -> usize {
    (0..question.n_digits())
        .rev()
        .take_while(|&k| question.column(k) == (0, 0))
        .count()
}

/// Lists the groups of counterfactual trials on which a claim fails significantly more often than
/// on the rest. Groups are selected on every other trial by Fisher's exact test, with its level
/// shared over all groups; their rates come from the remaining trials, which took no part in the
/// selection.
pub fn weaknesses(variable: Variable, kept: &[Judgment], alpha: f64) -> Vec<Weakness> {
    let counterfactual: Vec<&Judgment> = kept
        .iter()
        .filter(|j| j.kind == Kind::Counterfactual && j.in_reach)
        .collect();
    let (choosing, stating): (Vec<_>, Vec<_>) = counterfactual
        .iter()
        .enumerate()
        .partition(|(i, _)| i % 2 == 0);
    let choosing: Vec<&Judgment> = choosing.into_iter().map(|(_, j)| *j).collect();
    let stating: Vec<&Judgment> = stating.into_iter().map(|(_, j)| *j).collect();

    // Failures by feature and value, features in order of first appearance: the simplest first.
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, BTreeMap<String, Count>> = BTreeMap::new();
    let mut all = Count::default();
    for judgment in &choosing {
        all.add(!judgment.agrees);
        for (feature, value) in features(variable, judgment) {
            if !groups.contains_key(&feature) {
                order.push(feature.clone());
            }
            let group = groups.entry(feature).or_default();
            group.entry(value).or_default().add(!judgment.agrees);
        }
    }
    let tests: usize = groups.values().map(BTreeMap::len).sum();
    if all.hits == 0 || all.hits == all.trials || tests == 0 {
        return Vec::new();
    }
    let level = alpha / tests as f64;
    let mut found = Vec::new();
    for feature in order {
        let mut values: Vec<String> = groups[&feature]
            .iter()
            .filter(|(_, group)| group.share() > all.share() && excess_p(**group, all) < level)
            .map(|(value, _)| value.clone())
            .collect();
        values.sort_by_key(|value| in_order(value));
        if values.is_empty() || values.len() == groups[&feature].len() {
            continue;
        }
        let (mut within, mut elsewhere) = (Count::default(), Count::default());
        let mut by_value: BTreeMap<String, Count> = BTreeMap::new();
        for judgment in &stating {
            let value = (features(variable, judgment).into_iter())
                .find_map(|(name, value)| (name == feature).then_some(value));
            let inside = value.as_ref().is_some_and(|value| values.contains(value));
            if inside { &mut within } else { &mut elsewhere }.add(!judgment.agrees);
            if let Some(value) = value {
                by_value.entry(value).or_default().add(!judgment.agrees);
            }
        }
        let mut by_value: Vec<FailuresAt> = (by_value.into_iter())
            .map(|(value, failures)| FailuresAt { value, failures })
            .collect();
        by_value.sort_by_key(|at| in_order(&at.value));
        found.push(Weakness {
            feature,
            values,
            within: Rate::sampled(within, alpha),
            elsewhere: Rate::sampled(elsewhere, alpha),
            by_value,
        });
    }
    // The best description leaves the fewest failures outside it.
    found.sort_by(|a, b| a.elsewhere.share().total_cmp(&b.elsewhere.share()));
    found.truncate(MOST_NAMED);
    found
}

/// The order of values: numbers by size, words alphabetically.
fn in_order(value: &str) -> (Option<i32>, String) {
    (value.parse().ok(), value.to_owned())
}

/// Fisher's exact test, one-sided: the probability of at least as many failures in the group if
/// failures were spread at random (R. A. Fisher, Statistical Methods for Research Workers, section
/// 21.02).
fn excess_p(group: Count, all: Count) -> f64 {
    if group.hits == 0 {
        return 1.0;
    }
    Hypergeometric::new(all.trials, all.hits, group.trials)
        .expect("a group is part of all trials")
        .sf(group.hits - 1)
}
