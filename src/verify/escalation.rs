//! Escalation: a node that does not hold alone is tried with its partners, and with the other
//! carriers neutralised.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::paired;
use super::partners::{Choice, Chooser};
use crate::domain::causal::{Family, Kind};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::{Bounds, Errors};
use crate::experiment::{
    Bench, Finding, Goal, Rules, Standing, StoreFrom, Terms, TestedNodes, discover, judge, stream,
};
use crate::network::engine::EngineError;

/// A set must need the node by this much, at the lower bound of the difference (docs/METHOD.md,
/// "Verdicts": joint).
pub(super) const JOINT_NEED: f64 = 0.2;

/// What may be judged in place of one node: a set as reduced, the set as found, and the node with
/// others neutralised. The error is split over as many, however many are judged: a claim's share must
/// not hang on what other claims are tested beside it.
const MOST_TRIED: usize = 3;

/// The error that each attempt may spend of the share that a claim's sets have.
pub fn alpha_of_attempt(alpha: f64) -> f64 {
    alpha / MOST_TRIED as f64
}

/// The stream of pairs on which sets are judged.
const SETS: &str = "sets";

/// What came of one set tried in place of a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The set, or the node with others neutralised.
    pub finding: Finding,
    /// For a set that holds or may hold: lower bound of its agreement less that of the node alone and that of the
    /// set without it.
    pub need: Option<f64>,
    /// Whether the attempt holds and, for a set, needs the node.
    pub succeeds: bool,
    /// Whether that was left open: a bound lies between, of what decides whether the attempt holds
    /// or of how much it needs the node.
    pub open: bool,
}

/// Telling pairs, of streams of their own, on which a set is compared with its parts: the node alone,
/// and what is left without it. Each larger sample is for those that the one before leaves open.
const NEED_PAIRS: [usize; 4] = [256, 1024, 4096, 16_384];

/// Judges what was chosen for every failing node: a set with others, reduced to the members it needs
/// and, where that does not hold, as it was found; and the node with other carriers neutralised.
/// `failing` gives each node's place and what was found of it alone; the result is by place, what
/// decides first. The error of `rules` is shared among all that is tried for one node.
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
    let mut chosen: Vec<(usize, Node, Choice)> = Vec::new();
    for &(place, finding) in failing {
        let node = finding.subject.nodes[0];
        let choice = chooser.choose(node, finding.measures.is_inert())?;
        chosen.push((place, node, choice));
    }
    let judging = Judging {
        bench,
        variable,
        rules: rules.with_alpha(alpha_of_attempt(rules.alpha)),
    };
    let mut attempts: BTreeMap<usize, Vec<Attempt>> = BTreeMap::new();
    // Every set as reduced, then those that were not reduced or do not hold so; then single nodes.
    for round in 0..2 {
        let wanted: Vec<Wanted> = (chosen.iter())
            .filter(|(place, ..)| !succeeded(attempts.get(place)))
            .filter_map(|&(place, node, ref choice)| {
                let subject = choice.sets.get(round)?.clone();
                Some(Wanted {
                    place,
                    node,
                    subject,
                })
            })
            .collect();
        judging.judge(&wanted, &mut attempts)?;
    }
    let wanted: Vec<Wanted> = (chosen.iter())
        .filter(|(place, _, choice)| choice.exchangeable || !succeeded(attempts.get(place)))
        .filter_map(|&(place, node, ref choice)| {
            let subject = choice.neutralised.clone()?;
            Some(Wanted {
                place,
                node,
                subject,
            })
        })
        .collect();
    judging.judge(&wanted, &mut attempts)?;
    // A node whose place others can take is redundant before it is one of a set.
    for (place, _, choice) in &chosen {
        if let Some(attempts) = attempts.get_mut(place) {
            attempts.sort_by_key(|attempt| {
                choice.exchangeable && attempt.finding.subject.neutralised.is_empty()
            });
        }
    }
    Ok(attempts)
}

fn succeeded(attempts: Option<&Vec<Attempt>>) -> bool {
    attempts.is_some_and(|attempts| attempts.iter().any(|attempt| attempt.succeeds))
}

/// What to try for the node of one claim.
struct Wanted {
    place: usize,
    node: Node,
    subject: TestedNodes,
}

struct Judging<'a> {
    bench: &'a Bench<'a>,
    variable: Variable,
    rules: Rules,
}

impl Judging<'_> {
    /// Judges everything wanted on the same fresh pairs, and adds it to `attempts`.
    fn judge(
        &self,
        wanted: &[Wanted],
        attempts: &mut BTreeMap<usize, Vec<Attempt>>,
    ) -> Result<(), EngineError> {
        let subjects: BTreeSet<TestedNodes> = wanted.iter().map(|w| w.subject.clone()).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let Self {
            bench,
            variable,
            rules,
        } = *self;
        let subjects: Vec<TestedNodes> = subjects.into_iter().collect();
        let reaches = discover(bench, variable, &subjects, rules, SETS)?;
        let goal = Goal::Holds;
        let findings = judge(
            bench,
            variable,
            subjects.clone(),
            &reaches,
            goal,
            rules,
            SETS,
        )?;
        let finding_of = |subject: &TestedNodes| {
            let at = subjects
                .binary_search(subject)
                .expect("every subject wanted was judged");
            &findings[at]
        };
        let holds = |wanted: &Wanted| finding_of(&wanted.subject).standing == Standing::Holds;
        let direction_only = variable.task.predicts_only_direction();
        let may_hold = |wanted: &Wanted| {
            let finding = finding_of(&wanted.subject);
            let measures = &finding.measures;
            finding.standing == Standing::Open && measures.may_hold(rules.threshold, direction_only)
        };
        // A set that may hold is left open no longer where it is known not to need the node.
        let compared = |wanted: &Wanted| {
            wanted.subject.neutralised.is_empty() && (holds(wanted) || may_hold(wanted))
        };
        let sets: Vec<(&Finding, Node)> = wanted
            .iter()
            .filter(|&wanted| compared(wanted))
            .map(|wanted| (finding_of(&wanted.subject), wanted.node))
            .collect();
        let mut needs = self.joint_needs(&sets)?.into_iter();
        for wanted in wanted {
            let need = compared(wanted).then(|| needs.next()).flatten();
            let holds = holds(wanted);
            let is_needed = need.is_none_or(|need| need.lower >= JOINT_NEED);
            let may_be_needed = need.is_none_or(|need| need.upper >= JOINT_NEED);
            let succeeds = holds && is_needed;
            attempts.entry(wanted.place).or_default().push(Attempt {
                finding: finding_of(&wanted.subject).clone(),
                need: need.map(|need| need.lower),
                succeeds,
                open: !succeeds && (holds || may_hold(wanted)) && may_be_needed,
            });
        }
        Ok(())
    }

    /// For each set with one of its nodes, bounds of how much more often the set agrees than the node
    /// alone, and than what is left of it without the node: the smaller of the two. For a need both
    /// must be large, so neither lower bound needs a share of the error of its own; against it one is
    /// enough, so the upper bounds share it. Where both are large, neither part can hold: a set agrees
    /// in all trials at most.
    fn joint_needs(&self, sets: &[(&Finding, Node)]) -> Result<Vec<Bounds>, EngineError> {
        let unknown = Bounds {
            lower: f64::NEG_INFINITY,
            upper: f64::INFINITY,
        };
        let mut needs = vec![unknown; sets.len()];
        for pairs in NEED_PAIRS {
            let open: Vec<usize> = (0..sets.len()).filter(|&i| is_open(needs[i])).collect();
            let asked: Vec<(&Finding, Node)> = open.iter().map(|&i| sets[i]).collect();
            for (i, need) in open.into_iter().zip(self.needs_on(pairs, &asked)?) {
                needs[i] = need;
            }
        }
        Ok(needs)
    }

    fn needs_on(
        &self,
        pairs: usize,
        sets: &[(&Finding, Node)],
    ) -> Result<Vec<Bounds>, EngineError> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        let Self {
            bench,
            variable,
            rules,
        } = *self;
        let family = Family::new(variable, Kind::Telling, bench.engine.shape().n_digits);
        let mut rng = stream(rules.seed, &format!("{variable}/telling/need/{pairs}"));
        let pairs = family.draws().take(pairs, &mut rng);
        let alpha = rules.alpha / NEED_PAIRS.len() as f64;
        let parts = |&(set, node): &(&Finding, Node)| {
            let others = set.subject.nodes.iter().copied();
            let rest = TestedNodes::of(others.filter(|&other| other != node));
            [set.subject.clone(), rest, TestedNodes::of([node])]
        };
        let subjects: BTreeSet<TestedNodes> = sets.iter().flat_map(parts).collect();
        let subjects: Vec<TestedNodes> = subjects.into_iter().collect();
        let at: Vec<[usize; 3]> = sets
            .iter()
            .map(|set| {
                parts(set).map(|part| {
                    let found = subjects.binary_search(&part);
                    found.expect("every part is among the subjects")
                })
            })
            .collect();
        // Agreement is judged on the tokens that the whole set reaches.
        let mut agreed: Vec<[Vec<Option<bool>>; 3]> = vec![Default::default(); sets.len()];
        bench.run(variable, &pairs, StoreFrom::Store, &subjects, |block| {
            for ((agreed, at), (set, _)) in agreed.iter_mut().zip(&at).zip(sets) {
                let terms = Terms::new(variable, set.reach, bench.decode);
                for (agreed, &subject) in agreed.iter_mut().zip(at) {
                    let outcomes = block.trials.iter().zip(&block.outcomes[subject]);
                    agreed.extend(
                        outcomes.map(|(trial, outcome)| trial.agreement(outcome.as_ref()?, terms)),
                    );
                }
            }
        })?;
        Ok(agreed
            .iter()
            .map(|[set, parts @ ..]| {
                let errors = Errors {
                    lower: alpha,
                    upper: alpha / parts.len() as f64,
                };
                let needs = parts.each_ref().map(|part| paired(set, part, errors));
                let least = |bound: fn(&Bounds) -> f64| {
                    needs.iter().map(bound).fold(f64::INFINITY, f64::min)
                };
                Bounds {
                    lower: least(|need| need.lower),
                    upper: least(|need| need.upper),
                }
            })
            .collect())
    }
}

/// Whether it was left open that a set needs a node.
fn is_open(need: Bounds) -> bool {
    need.lower < JOINT_NEED && need.upper >= JOINT_NEED
}
