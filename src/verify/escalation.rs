//! Escalation: a node that does not hold alone is tried with its partners, and with the other
//! carriers neutralised.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::paired_lower;
use super::sequence::{Finding, Rules, discover, judge};
use super::tally::Standing;
use super::trial::{Bench, Subject};
use crate::engine::EngineError;
use crate::node::Node;
use crate::task::Variable;

/// A set must need the node by this much, at the lower bound of the difference (METHOD.md,
/// "Verdicts": joint).
const JOINT_NEED: f64 = 0.2;

/// What came of one set tried in place of a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The set, or the node with others neutralised.
    pub finding: Finding,
    /// For a set: lower bound of its agreement less that of the set without the node.
    pub need: Option<f64>,
    /// Whether the attempt holds, and (for a set) needs the node, which the rest of it does not.
    pub succeeds: bool,
}

/// The sets to try for a node, the smallest first: with the heads of its layer and position claimed
/// for the same variable, with all heads of its layer and position, with all nodes claimed for the
/// variable at its position, and with all claimed for it anywhere.
fn partner_sets(bench: &Bench, node: Node, claimed: &BTreeSet<Node>) -> Vec<Subject> {
    let beside =
        |other: &Node| (other.layer(), other.position()) == (node.layer(), node.position());
    let all = Node::all(&bench.engine.shape());
    let sets: [Vec<Node>; 4] = [
        claimed.iter().copied().filter(beside).collect(),
        all.iter()
            .copied()
            .filter(|other| beside(other) && other.same_kind(&node))
            .collect(),
        claimed
            .iter()
            .copied()
            .filter(|other| other.position() == node.position())
            .collect(),
        claimed.iter().copied().collect(),
    ];
    let mut found: Vec<Subject> = Vec::new();
    for set in sets {
        let subject = Subject::of(set.into_iter().chain([node]));
        if subject.nodes.len() > 1 && !found.contains(&subject) {
            found.push(subject);
        }
    }
    found.sort_by_key(|subject| subject.nodes.len());
    found
}

/// Tries every failing node's partner sets and neutralised others, all on the same fresh pairs.
/// `failing` gives each node's place and what was found of it alone; the result is by place. The
/// error of `rules` is shared among all that is tried for one node.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn attempts(
    bench: &Bench,
    variable: Variable,
    failing: &[(usize, &Finding)],
    claimed: &BTreeSet<Node>,
    rules: Rules,
) -> Result<BTreeMap<usize, Vec<Attempt>>, EngineError> {
    let mut wanted: Vec<(usize, Node, Subject)> = Vec::new();
    for &(place, finding) in failing {
        let node = finding.subject.nodes[0];
        for set in partner_sets(bench, node, claimed) {
            if finding.measures.is_inert() {
                let others = set.nodes.iter().copied().filter(|&other| other != node);
                let redundant = Subject::of([node]).with_neutralised(others);
                wanted.push((place, node, redundant));
            }
            wanted.push((place, node, set));
        }
    }
    let most = failing
        .iter()
        .map(|(place, _)| wanted.iter().filter(|(p, ..)| p == place).count())
        .max()
        .unwrap_or(0);
    if most == 0 {
        return Ok(BTreeMap::new());
    }
    let rest = |node: Node, subject: &Subject| {
        Subject::of(subject.nodes.iter().copied().filter(|&n| n != node))
    };
    let mut subjects: BTreeSet<Subject> = BTreeSet::new();
    for (_, node, subject) in &wanted {
        subjects.insert(subject.clone());
        if subject.neutralised.is_empty() {
            subjects.insert(rest(*node, subject));
        }
    }
    let subjects: Vec<Subject> = subjects.into_iter().collect();
    let rules = Rules {
        alpha: rules.alpha / most as f64,
        ..rules
    };
    let reaches = discover(bench, variable, &subjects, rules, "sets")?;
    let findings = judge(bench, variable, subjects.clone(), &reaches, rules, "sets")?;
    let finding_of = |subject: &Subject| {
        let at = subjects
            .binary_search(subject)
            .expect("every subject wanted was judged");
        &findings[at]
    };
    let mut attempts: BTreeMap<usize, Vec<Attempt>> = BTreeMap::new();
    for (place, node, subject) in wanted {
        let finding = finding_of(&subject).clone();
        let holds = finding.standing == Standing::Holds;
        let (need, succeeds) = if subject.neutralised.is_empty() {
            let rest = finding_of(&rest(node, &subject));
            let need = paired_lower(&finding.agreed, &rest.agreed, rules.alpha);
            let rest_holds = matches!(
                rest.standing,
                Standing::Holds | Standing::HoldsUnspecifically
            );
            (Some(need), holds && !rest_holds && need >= JOINT_NEED)
        } else {
            (None, holds)
        };
        attempts.entry(place).or_default().push(Attempt {
            finding,
            need,
            succeeds,
        });
    }
    // A set that holds comes before a node that holds with others neutralised.
    for attempts in attempts.values_mut() {
        attempts.sort_by_key(|attempt| attempt.need.is_none());
    }
    Ok(attempts)
}
