//! Escalation: a node that does not hold alone is tried with its partners, and with the other
//! carriers neutralised.

use std::collections::{BTreeMap, BTreeSet};

use super::choice::Chooser;
use super::controls::paired_lower;
use super::sequence::{Finding, Goal, Rules, discover, judge, stream};
use super::tally::Standing;
use super::trial::{Bench, StoreFrom, Subject};
use crate::causal::{Family, Kind};
use crate::engine::EngineError;
use crate::node::Node;
use crate::task::Variable;

/// A set must need the node by this much, at the lower bound of the difference (docs/METHOD.md,
/// "Verdicts": joint).
const JOINT_NEED: f64 = 0.2;

/// The stream of pairs on which sets are judged.
const SETS: &str = "sets";

/// What came of one set tried in place of a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The set, or the node with others neutralised.
    pub finding: Finding,
    /// For a set that holds: lower bound of its agreement less that of the node alone and that of the
    /// set without it.
    pub need: Option<f64>,
    /// Whether the attempt holds, and (for a set) needs the node, which the rest of it does not.
    pub succeeds: bool,
}

/// Fresh telling pairs on which a set is compared with its parts: the node alone, and what is left
/// without it.
const NEED_PAIRS: usize = 1024;

/// Judges what was chosen for every failing node: a set with others, and the node with other carriers
/// neutralised. `failing` gives each node's place and what was found of it alone; the result is by
/// place, what decides first. The error of `rules` is shared among all that is tried for one node.
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
    let mut chooser = Chooser::new(bench, variable, claimed, rules);
    let mut wanted: Vec<Wanted> = Vec::new();
    for &(place, finding) in failing {
        let node = finding.subject.nodes[0];
        let choice = chooser.choose(node, finding.measures.is_inert())?;
        // A node whose place others can take is redundant before it is one of a set.
        let subjects: Vec<Subject> = if choice.exchangeable {
            choice.neutralised.into_iter().chain(choice.sets).collect()
        } else {
            choice.sets.into_iter().chain(choice.neutralised).collect()
        };
        wanted.extend(subjects.into_iter().map(|subject| Wanted {
            place,
            node,
            subject,
        }));
    }
    judged(bench, variable, &wanted, rules)
}

/// One set to try for the node of one claim.
struct Wanted {
    place: usize,
    node: Node,
    subject: Subject,
}

impl Wanted {
    /// The set without the node; `None` where it is the node alone that is patched.
    fn rest(&self) -> Option<Subject> {
        let set = self.subject.neutralised.is_empty();
        let others = self.subject.nodes.iter().copied();
        set.then(|| Subject::of(others.filter(|&other| other != self.node)))
    }
}

/// Judges everything wanted on the same fresh pairs.
fn judged(
    bench: &Bench,
    variable: Variable,
    wanted: &[Wanted],
    rules: Rules,
) -> Result<BTreeMap<usize, Vec<Attempt>>, EngineError> {
    let of_place = |place| wanted.iter().filter(|w| w.place == place).count();
    let most = wanted.iter().map(|w| of_place(w.place)).max().unwrap_or(0);
    if most == 0 {
        return Ok(BTreeMap::new());
    }
    let rules = Rules {
        alpha: rules.alpha / most as f64,
        ..rules
    };
    let subjects: BTreeSet<Subject> = wanted
        .iter()
        .flat_map(|w| [Some(w.subject.clone()), w.rest()])
        .flatten()
        .collect();
    let subjects: Vec<Subject> = subjects.into_iter().collect();
    let reaches = discover(bench, variable, &subjects, rules, SETS)?;
    let findings = judge(
        bench,
        variable,
        subjects.clone(),
        &reaches,
        Goal::Holds,
        rules,
        SETS,
    )?;
    let finding_of = |subject: &Subject| {
        let at = subjects
            .binary_search(subject)
            .expect("every subject wanted was judged");
        &findings[at]
    };
    let mut attempts: BTreeMap<usize, Vec<Attempt>> = BTreeMap::new();
    for wanted in wanted {
        let finding = finding_of(&wanted.subject).clone();
        let holds = finding.standing == Standing::Holds;
        let (need, succeeds) = match wanted.rest() {
            Some(rest) if holds && !finding_of(&rest).holds() => {
                let need = joint_need(bench, variable, &finding, wanted.node, &rest, rules)?;
                (Some(need), need >= JOINT_NEED)
            }
            Some(_) => (None, false),
            None => (None, holds),
        };
        attempts.entry(wanted.place).or_default().push(Attempt {
            finding,
            need,
            succeeds,
        });
    }
    Ok(attempts)
}

/// The lower bound of how much more often a set agrees than the node alone, and than what is left of
/// the set without it: the smaller of the two. Both must be large, so neither bound needs a share of
/// the error of its own.
fn joint_need(
    bench: &Bench,
    variable: Variable,
    set: &Finding,
    node: Node,
    rest: &Subject,
    rules: Rules,
) -> Result<f64, EngineError> {
    let family = Family::new(variable, Kind::Telling, bench.engine.shape().n_digits);
    let mut rng = stream(rules.seed, &format!("{variable}/telling/need"));
    let pairs = family.draws().take(NEED_PAIRS, &mut rng);
    let direction_only = variable.task.predicts_only_direction();
    let subjects = [set.subject.clone(), rest.clone(), Subject::of([node])];
    let mut agreed: [Vec<Option<bool>>; 3] = Default::default();
    bench.run(variable, &pairs, StoreFrom::Store, &subjects, |block| {
        for (agreed, outcomes) in agreed.iter_mut().zip(&block.outcomes) {
            agreed.extend(block.trials.iter().zip(outcomes).map(|(trial, outcome)| {
                let judged =
                    trial.judge(outcome.as_ref()?, set.reach, direction_only, bench.decode);
                judged.map(|j| j.agrees)
            }));
        }
    })?;
    let [set, parts @ ..] = agreed;
    Ok(parts
        .iter()
        .map(|part| paired_lower(&set, part, rules.alpha))
        .fold(f64::INFINITY, f64::min))
}
