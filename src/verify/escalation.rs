//! Escalation: a node that does not hold alone is tried with its partners, and with the other
//! carriers neutralised.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::paired_lower;
use super::sequence::{Finding, Goal, Rules, discover, judge, stream};
use super::tally::Standing;
use super::trial::{Bench, StoreFrom, Subject};
use crate::arithmetic::TokenSet;
use crate::causal::{Family, Kind, Pair, Stratum};
use crate::engine::{EngineError, Site};
use crate::node::Node;
use crate::task::Variable;

/// A set must need the node by this much, at the lower bound of the difference (docs/METHOD.md,
/// "Verdicts": joint).
const JOINT_NEED: f64 = 0.2;

/// What came of one set tried in place of a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The set, or the node with others neutralised.
    pub finding: Finding,
    /// For a set that holds: lower bound of its agreement less that of the set without the node.
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

/// Telling pairs on which sets are grown.
const GROWING_PAIRS: usize = 48;

/// Most nodes added to a set while growing it.
const MOST_ADDED: usize = 3;

/// A node joins a set where it adds this much to its score.
const WORTH_ADDING: f64 = 0.1;

/// Fresh telling pairs on which a set is compared with what is left of it without the node.
const NEED_PAIRS: usize = 1024;

/// How far patching a set moves answers as predicted: the share of tokens predicted to change that
/// did, less the share of trials that spilled.
fn scores(
    bench: &Bench,
    variable: Variable,
    pairs: &[(Stratum, Pair)],
    subjects: &[Subject],
) -> Result<Vec<f64>, EngineError> {
    let everything = TokenSet::all(bench.engine.shape().n_digits);
    let direction_only = variable.task.predicts_only_direction();
    let mut scores = vec![(0usize, 0usize, 0usize); subjects.len()];
    let mut trials = 0;
    bench.run(variable, pairs, StoreFrom::Store, subjects, |block| {
        trials += block.trials.len();
        for (score, outcomes) in scores.iter_mut().zip(&block.outcomes) {
            for (trial, outcome) in block.trials.iter().zip(outcomes) {
                let judged = outcome
                    .as_ref()
                    .and_then(|o| trial.judge(o, everything, direction_only, bench.decode));
                score.0 += judged.map_or(0, |j| j.right.len());
                score.1 += trial.predicted_change().len();
                score.2 += usize::from(judged.is_some_and(|j| j.spilled));
            }
        }
    })?;
    Ok(scores
        .into_iter()
        .map(|(right, predicted, spilled)| {
            right as f64 / predicted.max(1) as f64 - spilled as f64 / trials.max(1) as f64
        })
        .collect())
}

/// The best of `starts`, with up to [`MOST_ADDED`] nodes of the same kind and layer added that help
/// most, one at a time; `None` where no node helps.
fn grown(
    bench: &Bench,
    variable: Variable,
    node: Node,
    starts: &[Subject],
    seed: u64,
) -> Result<Option<Subject>, EngineError> {
    let shape = bench.engine.shape();
    let family = Family::new(variable, Kind::Telling, shape.n_digits);
    let mut rng = stream(seed, &format!("{variable}/telling/growing"));
    let pairs = family.draws().take(GROWING_PAIRS, &mut rng);
    let best_of = |subjects: &[Subject]| -> Result<Option<(Subject, f64)>, EngineError> {
        let scores = scores(bench, variable, &pairs, subjects)?;
        let best =
            (0..subjects.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        Ok(best.map(|i| (subjects[i].clone(), scores[i])))
    };
    let Some((mut set, mut score)) = best_of(starts)? else {
        return Ok(None);
    };
    let mut added = 0;
    while added < MOST_ADDED {
        let wider: Vec<Subject> = Node::all(&shape)
            .into_iter()
            .filter(|other| other.same_kind(&node) && other.layer() == node.layer())
            .filter(|other| !set.nodes.contains(other))
            .filter(|&other| Site::from(other).reaches_an_answer(&shape))
            .map(|other| Subject::of(set.nodes.iter().copied().chain([other])))
            .collect();
        match best_of(&wider)? {
            Some((best, higher)) if higher >= score + WORTH_ADDING => {
                (set, score) = (best, higher);
                added += 1;
            }
            _ => break,
        }
    }
    Ok((added > 0).then_some(set))
}

/// The error left for each of `count` attempts of one round: the partner sets share one half of a
/// claim's error, the grown set has the other.
fn share(rules: Rules, count: usize) -> Rules {
    Rules {
        alpha: rules.alpha / 2.0 / count as f64,
        ..rules
    }
}

/// Tries every failing node's partner sets and neutralised others, and where none holds a set grown
/// from the best of them. `failing` gives each node's place and what was found of it alone; the
/// result is by place. The error of `rules` is shared among all that is tried for one node.
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
    let mut wanted: Vec<Wanted> = Vec::new();
    for &(place, finding) in failing {
        let node = finding.subject.nodes[0];
        for set in partner_sets(bench, node, claimed) {
            if finding.measures.is_inert() {
                let others = set.nodes.iter().copied().filter(|&other| other != node);
                let subject = Subject::of([node]).with_neutralised(others);
                wanted.push(Wanted {
                    place,
                    node,
                    subject,
                });
            }
            wanted.push(Wanted {
                place,
                node,
                subject: set,
            });
        }
    }
    let mut attempts = round(bench, variable, &wanted, rules, "partners")?;

    let mut more = Vec::new();
    for &(place, finding) in failing {
        if attempts
            .get(&place)
            .is_some_and(|tried| tried.iter().any(|attempt| attempt.succeeds))
        {
            continue;
        }
        let node = finding.subject.nodes[0];
        let mut starts = partner_sets(bench, node, claimed);
        starts.push(Subject::of([node]));
        if let Some(subject) = grown(bench, variable, node, &starts, rules.seed)? {
            more.push(Wanted {
                place,
                node,
                subject,
            });
        }
    }
    for (place, grown) in round(bench, variable, &more, rules, "grown")? {
        attempts.entry(place).or_default().extend(grown);
    }
    // A set that holds comes before a node that holds with others neutralised.
    for attempts in attempts.values_mut() {
        attempts.sort_by_key(|attempt| !attempt.finding.subject.neutralised.is_empty());
    }
    Ok(attempts)
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
fn round(
    bench: &Bench,
    variable: Variable,
    wanted: &[Wanted],
    rules: Rules,
    name: &str,
) -> Result<BTreeMap<usize, Vec<Attempt>>, EngineError> {
    let of_place = |place| wanted.iter().filter(|w| w.place == place).count();
    let most = wanted.iter().map(|w| of_place(w.place)).max().unwrap_or(0);
    if most == 0 {
        return Ok(BTreeMap::new());
    }
    let rules = share(rules, most);
    let subjects: BTreeSet<Subject> = wanted
        .iter()
        .flat_map(|w| [Some(w.subject.clone()), w.rest()])
        .flatten()
        .collect();
    let subjects: Vec<Subject> = subjects.into_iter().collect();
    let reaches = discover(bench, variable, &subjects, rules, name)?;
    let findings = judge(
        bench,
        variable,
        subjects.clone(),
        &reaches,
        Goal::Holds,
        rules,
        name,
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
                let need = joint_need(bench, variable, &finding, &rest, rules)?;
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

/// The lower bound of how much more often a set agrees than what is left of it without the node.
fn joint_need(
    bench: &Bench,
    variable: Variable,
    set: &Finding,
    rest: &Subject,
    rules: Rules,
) -> Result<f64, EngineError> {
    let family = Family::new(variable, Kind::Telling, bench.engine.shape().n_digits);
    let mut rng = stream(rules.seed, &format!("{variable}/telling/need"));
    let pairs = family.draws().take(NEED_PAIRS, &mut rng);
    let direction_only = variable.task.predicts_only_direction();
    let subjects = [set.subject.clone(), rest.clone()];
    let mut agreed: [Vec<Option<bool>>; 2] = Default::default();
    bench.run(variable, &pairs, StoreFrom::Store, &subjects, |block| {
        for (agreed, outcomes) in agreed.iter_mut().zip(&block.outcomes) {
            agreed.extend(block.trials.iter().zip(outcomes).map(|(trial, outcome)| {
                let judged =
                    trial.judge(outcome.as_ref()?, set.reach, direction_only, bench.decode);
                judged.map(|j| j.agrees)
            }));
        }
    })?;
    Ok(paired_lower(&agreed[0], &agreed[1], rules.alpha))
}
