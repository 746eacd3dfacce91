//! Minimal counterexamples: failing pairs are simplified for as long as they fail, one batch per
//! step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sequential::Judgment;
use super::trial::{Bench, NodeSet, SourceFrom, Terms};
use crate::domain::arithmetic::{Answer, Prompt, Question, TokenSet, power_of_ten};
use crate::domain::causal::{Kind, Pair, Stratum, predict, value};
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::network::engine::{Decode, EngineError};

/// Failing pairs shrunk in parallel; the simplest result is shown.
const SHRUNK_TOGETHER: usize = 3;

/// A pair on which a claim fails.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Counterexample {
    /// The nodes patched.
    pub nodes: Vec<NodeName>,
    /// Whether a change was predicted.
    pub kind: Kind,
    /// The question the activation came from.
    pub source: Prompt,
    /// The question it was patched into.
    pub base: Prompt,
    /// The answer the claim predicts.
    pub predicted: Answer,
    /// The model's answer.
    pub got: Answer,
    /// The tokens that are not as predicted.
    pub wrong: TokenSet,
}

impl Counterexample {
    /// The arguments of `circuitcheck patch`, after the model, that replay it: `--source … --base …
    /// --node …`, and `--free` if free-running.
    pub fn arguments(&self, decode: Decode) -> String {
        let source = if self.source.forced == Answer::of(&self.source.question) {
            self.source.question.to_string()
        } else {
            self.source.to_string()
        };
        let nodes: Vec<String> = self.nodes.iter().map(|n| format!("--node {n}")).collect();
        let free = match decode {
            Decode::Forced => "",
            Decode::Free => " --free",
        };
        format!(
            "--source {source} --base {} {}{free}",
            self.base.question,
            nodes.join(" ")
        )
    }
}

/// Size of a pair, for ordering: number of non-zero digits, then the sum of digits.
fn size(pair: &Pair) -> (u32, u32) {
    let mut size = (0, 0);
    for question in [&pair.source.question, &pair.base] {
        for k in 0..question.n_digits() {
            let (x, y) = question.column(k);
            for digit in [x, y] {
                size.0 += u32::from(digit > 0);
                size.1 += u32::from(digit);
            }
        }
    }
    size
}

/// Every question with one digit set to zero or reduced by one, simplest first.
fn simpler(question: &Question) -> Vec<Question> {
    let mut found = Vec::new();
    let n = question.n_digits();
    for to_zero in [true, false] {
        for k in 0..n {
            let (x, y) = question.column(k);
            let power = power_of_ten(k);
            for (digit, first) in [(x, true), (y, false)] {
                if digit == 0 || (!to_zero && digit == 1) {
                    continue;
                }
                let less = u128::from(if to_zero { digit } else { 1 }) * power;
                let (a, b) = match first {
                    true => (question.first() - less, question.second()),
                    false => (question.first(), question.second() - less),
                };
                found.push(Question::new(a, question.operation(), b, n));
            }
        }
    }
    found
}

/// Simpler pairs that are still of the given kind for the variable. A source that depends on the
/// base question (same operands) changes with it.
fn simpler_pairs(variable: Variable, kind: Kind, pair: &Pair) -> Vec<Pair> {
    let forced_turned = pair.source.forced != Answer::of(&pair.source.question);
    let same_operands = (pair.source.question.first(), pair.source.question.second())
        == (pair.base.first(), pair.base.second());
    let candidates: Vec<Pair> = if forced_turned {
        let turned = |base: Question| Pair {
            source: Prompt {
                question: base,
                forced: Answer::of(&base).with_sign_flipped(),
            },
            base,
        };
        simpler(&pair.base).into_iter().map(turned).collect()
    } else if same_operands && variable.digit.is_none() {
        let other = |base: Question| Pair {
            source: Prompt::truth(base.with_other_operation()),
            base,
        };
        simpler(&pair.base).into_iter().map(other).collect()
    } else {
        let sources = simpler(&pair.source.question)
            .into_iter()
            .map(|source| Pair {
                source: Prompt::truth(source),
                ..*pair
            });
        let bases = simpler(&pair.base)
            .into_iter()
            .map(|base| Pair { base, ..*pair });
        sources.chain(bases).collect()
    };
    candidates
        .into_iter()
        .filter(|candidate| {
            // Both questions must stay in the variable's domain, and the pair must stay of its
            // kind.
            let base = Prompt::truth(candidate.base);
            value(variable, &base).is_some()
                && candidate.source.question.class() == pair.source.question.class()
                && candidate.base.class() == pair.base.class()
                && predict(variable, &candidate.source, &candidate.base).is_some_and(|predicted| {
                    (predicted != base.forced) == (kind == Kind::Counterfactual)
                })
        })
        .collect()
}

/// The simplest counterexample found by shrinking a node set's failing trials; `None` if none of
/// the kept trials failed.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn counterexample(
    bench: &Bench,
    variable: Variable,
    node_set: &NodeSet,
    terms: &Terms,
    kept: &[Judgment],
) -> Result<Option<Counterexample>, EngineError> {
    // A failed prediction says more than a changed control pair, so control pairs are used only
    // where no prediction failed.
    let failing = |kind: Kind| {
        let mut failing: Vec<&Judgment> = kept
            .iter()
            .filter(|j| j.kind == kind && !j.agrees)
            .collect();
        failing.sort_by_key(|j| size(&j.trial.pair));
        failing.truncate(SHRUNK_TOGETHER);
        failing
    };
    let (kind, seeds) = [Kind::Counterfactual, Kind::Control]
        .into_iter()
        .map(|kind| (kind, failing(kind)))
        .find(|(_, seeds)| !seeds.is_empty())
        .unwrap_or((Kind::Counterfactual, Vec::new()));
    let mut best: Vec<Judgment> = seeds.into_iter().copied().collect();
    let mut growing: Vec<bool> = vec![true; best.len()];
    while growing.contains(&true) {
        let next = simpler_failures(bench, variable, node_set, terms, &best, &growing)?;
        for (i, next) in next.into_iter().enumerate() {
            growing[i] = next.is_some();
            if let Some(next) = next {
                best[i] = next;
            }
        }
    }
    best.sort_by_key(|j| (size(&j.trial.pair), j.trial.pair));
    Ok(best.first().map(|judgment| {
        let trial = &judgment.trial;
        Counterexample {
            nodes: Node::names(&node_set.nodes),
            kind,
            source: trial.pair.source,
            base: Prompt::truth(trial.pair.base),
            predicted: trial.predicted,
            got: judgment.outcome.answer,
            wrong: trial.predicted.changed_from(&judgment.outcome.answer),
        }
    }))
}

/// For each failing trial still being shrunk, the simplest of its simpler pairs that also fails.
fn simpler_failures(
    bench: &Bench,
    variable: Variable,
    node_set: &NodeSet,
    terms: &Terms,
    failing: &[Judgment],
    shrinking: &[bool],
) -> Result<Vec<Option<Judgment>>, EngineError> {
    // One batch holds the candidates of every pair still being shrunk.
    let mut batch: Vec<(Stratum, Pair)> = Vec::new();
    let mut owner = Vec::new();
    for (i, judgment) in failing.iter().enumerate().filter(|(i, _)| shrinking[*i]) {
        for pair in simpler_pairs(variable, judgment.kind, &judgment.trial.pair) {
            batch.push((judgment.trial.stratum, pair));
            owner.push((i, pair));
        }
    }
    let mut next: Vec<Option<Judgment>> = vec![None; failing.len()];
    let node_sets = std::slice::from_ref(node_set);
    bench.run(variable, &batch, SourceFrom::Source, node_sets, |block| {
        for (trial, outcome) in block.trials.iter().zip(&block.outcomes[0]) {
            let Some(outcome) = outcome else { continue };
            let judged = trial.judge(outcome, terms);
            if judged.agrees || !(judged.in_reach || judged.off_target) {
                continue;
            }
            for &(i, pair) in owner.iter().filter(|(_, pair)| *pair == trial.pair) {
                if next[i].is_none_or(|n| size(&pair) < size(&n.trial.pair)) {
                    next[i] = Some(Judgment {
                        kind: failing[i].kind,
                        trial: *trial,
                        outcome: *outcome,
                        in_reach: judged.in_reach,
                        agrees: false,
                    });
                }
            }
        }
    })?;
    Ok(next)
}
