//! Escalation: a node that does not hold alone is tried in sets with other nodes, and with the
//! other carriers mean-ablated.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::paired;
use super::cost::Meter;
use super::search::{Choice, Search, SearchEffort, without};
use crate::domain::causal::{Family, Kind, Pair, Stratum};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::{Bounds, Count, Errors};
use crate::experiment::{
    Bench, Finding, Goal, HALF, NodeSet, Rules, SourceFrom, Standing, Terms, judge, stream,
};
use crate::network::engine::EngineError;

/// Margin by which a set must need the node: at the lower bound of the difference it is joint
/// (docs/METHOD.md, "Verdicts"); below the margin at the upper bound, the set does not need the
/// node.
pub(super) const JOINT_NEED: f64 = 0.2;

/// Most attempts judged for one node: three sets, the node with others mean-ablated, and the best
/// of the sets on fresh pairs. The error is always split into this many parts, so that a claim's
/// share does not depend on which other claims are tested.
const MOST_TRIED: usize = 5;

/// Most sets judged for one node, in sequence.
const MOST_SETS: usize = 3;

/// The error that each attempt may spend, out of the share reserved for a claim's sets.
pub fn alpha_of_attempt(alpha: f64) -> f64 {
    alpha / MOST_TRIED as f64
}

/// The stream of pairs on which sets are judged.
const SETS: &str = "sets";

/// The stream of pairs on which the best set is tested for holding in part.
const PARTS: &str = "parts";

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It holds and, if it is a set, needs the node.
    Holds,
    /// The set holds in part, and needs the node.
    HoldsInPart,
    /// The set holds, does not need the node, and holds without it.
    HoldsWithout,
    /// The bounds leave open whether it holds or how much it needs the node.
    Open,
    Fails,
}

/// The result of trying one set in place of a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The finding on the set, or on the node with others mean-ablated.
    pub finding: Finding,
    /// For a set that holds, holds in part or may hold: how much its interchange accuracy exceeds
    /// that of the set without the node.
    pub need: Option<Bounds>,
    /// How much such a set needs each of its members.
    by_member: Vec<(Node, Bounds)>,
    pub outcome: AttemptOutcome,
}

impl Attempt {
    /// Members that the set is known to need.
    pub fn needed(&self) -> Vec<Node> {
        self.members(|by| by.lower >= JOINT_NEED)
    }

    /// Members that are known to help the set without being needed.
    pub fn helping(&self) -> Vec<Node> {
        self.members(|by| by.upper < JOINT_NEED)
    }

    fn members(&self, keep: impl Fn(Bounds) -> bool) -> Vec<Node> {
        let members = self.by_member.iter().filter(|(_, by)| keep(*by));
        members.map(|(node, _)| *node).collect()
    }
}

/// Counterfactual pairs, in total, after which a set is compared with the set minus one member.
/// More are run only where the need is still open. Each comparison spends an equal share of the
/// error…
const NEED_PAIRS: [usize; 7] = [256, 512, 1024, 2048, 4096, 16_384, 65_536];

/// …and members that the claim is not about are compared only this often.
const OF_OTHERS: usize = 1;

/// Judges the choices made for every node that does not hold alone: sets with others, until one
/// holds; and the node with other carriers mean-ablated. `failing` gives each node's index and its
/// finding alone. The result lists the attempts by index, the deciding one first. The error of
/// `rules` is shared among all attempts for one node.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn attempts(
    bench: &Bench,
    variable: Variable,
    failing: &[(usize, &Finding)],
    claimed: &BTreeSet<Node>,
    effort: SearchEffort,
    rules: Rules,
    meter: &mut Meter,
) -> Result<BTreeMap<usize, Vec<Attempt>>, EngineError> {
    if failing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut search = Search::new(bench, variable, claimed, effort)?;
    let mut chosen: Vec<(usize, Node, Choice)> = Vec::new();
    for &(place, finding) in failing {
        let node = finding.node_set.nodes[0];
        let choice = search.choose(node, finding.measures.is_inert())?;
        chosen.push((place, node, choice));
    }
    meter.charge("search for sets");
    let judging = Judging {
        bench,
        variable,
        rules: rules.with_alpha(alpha_of_attempt(rules.alpha)),
    };
    let mut attempts: BTreeMap<usize, Vec<Attempt>> = BTreeMap::new();
    for round in 0..MOST_SETS {
        let wanted: Vec<Wanted> = (chosen.iter())
            .filter(|(place, ..)| !succeeded(attempts.get(place)))
            .filter_map(|&(place, node, ref choice)| {
                let node_set = choice.sets.get(round)?.clone();
                Some(Wanted {
                    place,
                    node,
                    node_set,
                })
            })
            .collect();
        judging.judge(&wanted, Goal::Holds, SETS, &mut attempts, meter)?;
    }
    let wanted: Vec<Wanted> = (chosen.iter())
        .filter(|(place, _, choice)| choice.exchangeable || !succeeded(attempts.get(place)))
        .filter_map(|&(place, node, ref choice)| {
            let node_set = choice.mean_ablated.clone()?;
            Some(Wanted {
                place,
                node,
                node_set,
            })
        })
        .collect();
    judging.judge(&wanted, Goal::Holds, SETS, &mut attempts, meter)?;
    // Where no set holds, the best may hold in part. This is tested on fresh pairs, since sampling
    // on the first ones stopped when the set was known not to hold.
    let wanted: Vec<Wanted> = (chosen.iter())
        .filter(|(place, ..)| !succeeded(attempts.get(place)))
        .filter_map(|&(place, node, _)| {
            let node_set = best_in_part(attempts.get(&place)?, variable)?
                .finding
                .node_set
                .clone();
            Some(Wanted {
                place,
                node,
                node_set,
            })
        })
        .collect();
    judging.judge(&wanted, Goal::Standing, PARTS, &mut attempts, meter)?;
    share(&chosen, &mut attempts);
    // A node that others can replace counts as redundant, not as part of a set.
    for (place, _, choice) in &chosen {
        if let Some(attempts) = attempts.get_mut(place) {
            attempts.sort_by_key(|attempt| {
                choice.exchangeable && attempt.finding.node_set.mean_ablated.is_empty()
            });
        }
    }
    Ok(attempts)
}

/// The set that may hold in part: among those not known to have side effects, the one whose best
/// token most often moves as predicted, in at least half of the trials.
fn best_in_part(attempts: &[Attempt], variable: Variable) -> Option<&Attempt> {
    let direction_only = variable.task.predicts_only_direction();
    let share = |attempt: &Attempt| {
        let best = attempt.finding.measures.best(direction_only);
        best.map_or(0.0, |rate| rate.share())
    };
    (attempts.iter())
        .filter(|attempt| attempt.finding.node_set.mean_ablated.is_empty())
        .filter(|attempt| attempt.outcome == AttemptOutcome::Fails && !attempt.finding.holds())
        .filter(|attempt| !attempt.finding.measures.dirty() && share(attempt) >= HALF)
        .max_by(|a, b| share(a).total_cmp(&share(b)))
}

/// Gives every node the sets found for other claims of the variable that hold and need it: each
/// claim lists all minimal sets found for its variable.
fn share(chosen: &[(usize, Node, Choice)], attempts: &mut BTreeMap<usize, Vec<Attempt>>) {
    let sets: BTreeMap<NodeSet, Attempt> = (attempts.values().flatten())
        .filter(|attempt| attempt.outcome == AttemptOutcome::Holds)
        .filter(|attempt| attempt.finding.node_set.mean_ablated.is_empty())
        .map(|attempt| (attempt.finding.node_set.clone(), attempt.clone()))
        .collect();
    for &(place, node, _) in chosen {
        let own = attempts.entry(place).or_default();
        for (node_set, set) in &sets {
            let tried = |attempt: &Attempt| attempt.finding.node_set == *node_set;
            let of_node = set.by_member.iter().find(|(member, _)| *member == node);
            let needs_it = of_node.filter(|(_, by)| by.lower >= JOINT_NEED);
            if let Some((_, by)) = needs_it
                && !own.iter().any(tried)
            {
                own.push(Attempt {
                    need: Some(*by),
                    ..set.clone()
                });
            }
        }
    }
}

fn succeeded(attempts: Option<&Vec<Attempt>>) -> bool {
    let holds = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Holds;
    attempts.is_some_and(|attempts| attempts.iter().any(holds))
}

/// What to try for the node of one claim.
struct Wanted {
    place: usize,
    node: Node,
    node_set: NodeSet,
}

struct Judging<'a> {
    bench: &'a Bench<'a>,
    variable: Variable,
    rules: Rules,
}

impl Judging<'_> {
    /// Judges everything wanted on the same fresh pairs of a stream, and adds the results to
    /// `attempts`.
    fn judge(
        &self,
        wanted: &[Wanted],
        goal: Goal,
        name: &str,
        attempts: &mut BTreeMap<usize, Vec<Attempt>>,
        meter: &mut Meter,
    ) -> Result<(), EngineError> {
        let node_sets: BTreeSet<NodeSet> = wanted.iter().map(|w| w.node_set.clone()).collect();
        if node_sets.is_empty() {
            return Ok(());
        }
        let node_sets: Vec<NodeSet> = node_sets.into_iter().collect();
        let findings = judge(
            self.bench,
            self.variable,
            node_sets.clone(),
            goal,
            self.rules,
            name,
        )?;
        let finding_of = |node_set: &NodeSet| {
            let at = node_sets.binary_search(node_set);
            &findings[at.expect("every node set wanted was judged")]
        };
        let direction_only = self.variable.task.predicts_only_direction();
        let may_hold = |finding: &Finding| match finding.standing {
            Standing::Holds | Standing::HoldsInPart => true,
            Standing::Open => {
                let measures = &finding.measures;
                measures.may_hold(self.rules.threshold, direction_only)
            }
            _ => false,
        };
        // A set that may hold is no longer open once it is known not to need the node.
        let compared = |wanted: &Wanted| {
            wanted.node_set.mean_ablated.is_empty() && may_hold(finding_of(&wanted.node_set))
        };
        let sets: Vec<(&Finding, Node)> = wanted
            .iter()
            .filter(|&wanted| compared(wanted))
            .map(|wanted| (finding_of(&wanted.node_set), wanted.node))
            .collect();
        meter.charge("sets");
        let mut needs = self.needs(&sets)?.into_iter();
        meter.charge("need of members");
        for wanted in wanted {
            let finding = finding_of(&wanted.node_set);
            let needs = compared(wanted).then(|| needs.next()).flatten();
            let need = needs.as_ref().map(|needs| needs.of_node);
            let holds_without = needs.as_ref().is_some_and(|needs| needs.holds_without);
            let is_needed = need.is_none_or(|need| need.lower >= JOINT_NEED);
            let is_not_needed = need.is_some_and(|need| need.upper < JOINT_NEED);
            let outcome = match finding.standing {
                Standing::Holds if is_needed => AttemptOutcome::Holds,
                Standing::Holds if is_not_needed && holds_without => AttemptOutcome::HoldsWithout,
                Standing::HoldsInPart if is_needed && need.is_some() => AttemptOutcome::HoldsInPart,
                Standing::Holds | Standing::HoldsInPart if !is_not_needed && need.is_some() => {
                    AttemptOutcome::Open
                }
                Standing::Open if may_hold(finding) && !is_not_needed => AttemptOutcome::Open,
                _ => AttemptOutcome::Fails,
            };
            let by_member = needs.map(|needs| needs.by_member).unwrap_or_default();
            attempts.entry(wanted.place).or_default().push(Attempt {
                finding: finding.clone(),
                need,
                by_member,
                outcome,
            });
        }
        Ok(())
    }

    /// For each set and one of its nodes: bounds of how much the set's interchange accuracy exceeds
    /// that of the set without the node. If the difference is large, the rest of the set cannot
    /// hold, since no set exceeds 100 %. Other members are compared on fewer pairs.
    fn needs(&self, sets: &[(&Finding, Node)]) -> Result<Vec<Needs>, EngineError> {
        let mut compared: Vec<Compared> = (sets.iter())
            .map(|&(set, _)| {
                let members = set.node_set.nodes.iter();
                let part = |&member: &Node| Part {
                    without: member,
                    node_set: without(&set.node_set, member),
                    by: UNKNOWN,
                    open: true,
                    agreed: Vec::new(),
                    holds: false,
                };
                Compared {
                    set,
                    agreed: Vec::new(),
                    parts: members.map(part).collect(),
                }
            })
            .collect();
        let Self {
            bench, variable, ..
        } = *self;
        let n_digits = bench.engine.shape().n_digits;
        let family = Family::new(variable, Kind::Counterfactual, n_digits);
        let mut rng = stream(self.rules.seed, &format!("{variable}/telling/need"));
        let mut draws = family.draws();
        let mut drawn = 0;
        for (comparison, total) in NEED_PAIRS.into_iter().enumerate() {
            let mut open: Vec<&mut Compared> = Vec::new();
            for ((_, node), compared) in sets.iter().zip(&mut compared) {
                for part in &mut compared.parts {
                    let asked = part.without == *node || comparison < OF_OTHERS;
                    part.open = asked && is_open(part.by);
                }
                if compared.parts.iter().any(|part| part.open) {
                    open.push(compared);
                }
            }
            if open.is_empty() {
                break;
            }
            let pairs = draws.take(total - drawn, &mut rng);
            drawn = total;
            self.compare(&pairs, open)?;
        }
        let needs = sets.iter().zip(compared).map(|((_, node), compared)| {
            let parts = compared.parts;
            let own = parts.iter().find(|part| part.without == *node);
            let own = own.expect("the node is a member");
            Needs {
                of_node: own.by,
                holds_without: own.holds,
                by_member: (parts.iter()).map(|part| (part.without, part.by)).collect(),
            }
        });
        Ok(needs.collect())
    }

    /// Runs further pairs for the subsets whose need is open, and compares sets with them on all
    /// pairs so far, on the tokens that the whole set is judged on.
    fn compare(
        &self,
        pairs: &[(Stratum, Pair)],
        mut compared: Vec<&mut Compared>,
    ) -> Result<(), EngineError> {
        let Self {
            bench,
            variable,
            rules,
        } = *self;
        let node_sets: BTreeSet<NodeSet> = (compared.iter())
            .flat_map(|compared| {
                let open = compared.parts.iter().filter(|part| part.open);
                let parts = open.map(|part| part.node_set.clone());
                parts.chain([compared.set.node_set.clone()])
            })
            .collect();
        let node_sets: Vec<NodeSet> = node_sets.into_iter().collect();
        let at = |node_set: &NodeSet| {
            let found = node_sets.binary_search(node_set);
            found.expect("every subset is among the node sets")
        };
        bench.run(variable, pairs, SourceFrom::Source, &node_sets, |block| {
            for compared in &mut compared {
                let terms = Terms::new(variable, compared.set.affected_tokens.clone());
                let agreed = |node_set: &NodeSet| {
                    let outcomes = block.trials.iter().zip(&block.outcomes[at(node_set)]);
                    outcomes
                        .map(|(trial, outcome)| {
                            trial.interchange_accuracy(outcome.as_ref()?, &terms)
                        })
                        .collect::<Vec<_>>()
                };
                compared.agreed.extend(agreed(&compared.set.node_set));
                for part in compared.parts.iter_mut().filter(|part| part.open) {
                    part.agreed.extend(agreed(&part.node_set));
                }
            }
        })?;
        let alpha = rules.alpha / NEED_PAIRS.len() as f64;
        for Compared { agreed, parts, .. } in compared {
            for part in parts.iter_mut().filter(|part| part.open) {
                part.by = paired(agreed, &part.agreed, Errors::even(alpha));
                let mut holding = Count::default();
                part.agreed
                    .iter()
                    .flatten()
                    .for_each(|&hit| holding.add(hit));
                part.holds = holding.lower(alpha) >= rules.threshold;
            }
        }
        Ok(())
    }
}

/// A set under comparison with subsets of it.
struct Compared<'f> {
    set: &'f Finding,
    /// For each pair so far: whether the set's trial was as predicted.
    agreed: Vec<Option<bool>>,
    parts: Vec<Part>,
}

/// A subset that a set is compared with.
struct Part {
    /// The member left out.
    without: Node,
    node_set: NodeSet,
    /// How much the set's interchange accuracy exceeds the subset's.
    by: Bounds,
    /// Whether more pairs are run for it.
    open: bool,
    /// For each pair so far: whether the subset's trial was as predicted.
    agreed: Vec<Option<bool>>,
    /// Whether the subset reaches the threshold itself.
    holds: bool,
}

const UNKNOWN: Bounds = Bounds {
    lower: f64::NEG_INFINITY,
    upper: f64::INFINITY,
};

/// How much a set needs its members.
struct Needs {
    of_node: Bounds,
    /// Whether the set without the node reaches the threshold.
    holds_without: bool,
    by_member: Vec<(Node, Bounds)>,
}

/// Whether the bounds leave open if a set needs a node.
fn is_open(need: Bounds) -> bool {
    need.lower < JOINT_NEED && need.upper >= JOINT_NEED
}
