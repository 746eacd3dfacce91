//! What to try in place of a node that does not hold alone: a set with other nodes, and carriers to
//! neutralise. Both are picked on a sample of pairs of their own, and judged on others (escalation).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::arithmetic::{AnswerToken, TokenSet};
use crate::domain::causal::{Family, Kind, Pair, Quantity, Stratum};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::Count;
use crate::experiment::{
    Bench, Outcome, Rules, StoreFrom, Terms, TestedNodes, Trial, reach_of, stream,
};
use crate::network::engine::{EngineError, Site};

/// Telling pairs of the sample on which sets are picked…
const TELLING: usize = 48;

/// …and placebo pairs, which no set that holds may change.
const PLACEBO: usize = 16;

/// Telling and placebo pairs, the first of the sample, on which nodes to add are screened…
const SCREEN: (usize, usize) = (8, 2);

/// …and how many are then compared on the whole sample.
const SHORTLIST: usize = 4;

/// Most nodes added to a set while growing it.
const MOST_ADDED: usize = 3;

/// A node joins a set where it adds this much to its score.
const WORTH_ADDING: f64 = 0.1;

/// A set loses members for as long as that costs no more than this, all together.
const SLACK: f64 = 0.05;

/// What does worse than this on the sample is not judged.
const HOPELESS: f64 = 0.25;

/// A set that does this well on the sample is taken apart, to name only the members it needs.
const PROMISING: f64 = 0.8;

/// How well a subject does on a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score {
    /// Share of the tokens predicted to change that did as predicted (of trials as predicted, for
    /// tasks that predict only a direction), less the shares of telling trials that spilled and of
    /// placebo trials that changed: what growing follows.
    moved: f64,
    /// Share of trials that agree on the tokens the subject reaches, less the same placebo share.
    agrees: f64,
}

impl Score {
    fn at_least(self, other: Score, slack: f64) -> bool {
        self.moved >= other.moved - slack && self.agrees >= other.agrees - slack
    }
}

/// What was picked for one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Sets with the node, the one with fewer members first: the best one found, and what it is
    /// without the members it does not need.
    pub sets: Vec<TestedNodes>,
    /// Whether the node is inert and the first set does about as well with another node in its place,
    /// or with none.
    pub exchangeable: bool,
    /// The node with the carriers neutralised beside which it does best.
    pub neutralised: Option<TestedNodes>,
}

/// Picks sets for the nodes claimed for one variable.
pub struct Chooser<'a> {
    bench: &'a Bench<'a>,
    variable: Variable,
    claimed: &'a BTreeSet<Node>,
    telling: Vec<(Stratum, Pair)>,
    placebo: Vec<(Stratum, Pair)>,
    /// Scores on the whole sample.
    known: BTreeMap<TestedNodes, Score>,
}

impl<'a> Chooser<'a> {
    pub fn new(
        bench: &'a Bench<'a>,
        variable: Variable,
        claimed: &'a BTreeSet<Node>,
        rules: Rules,
    ) -> Self {
        let draw = |kind, name, count| {
            let family = Family::new(variable, kind, bench.engine.shape().n_digits);
            let mut rng = stream(rules.seed, &format!("{variable}/{name}/choosing"));
            family.draws().take(count, &mut rng)
        };
        Chooser {
            bench,
            variable,
            claimed,
            telling: draw(Kind::Telling, "telling", TELLING),
            placebo: draw(Kind::Placebo, "placebo", PLACEBO),
            known: BTreeMap::new(),
        }
    }

    /// What to try for `node`. Carriers to neutralise are looked for where the node is inert.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn choose(&mut self, node: Node, inert: bool) -> Result<Choice, EngineError> {
        let starts = self.starts(node);
        let sets = self.partners(node, &starts)?;
        let scores = self.scores(&sets)?;
        let best = (0..sets.len())
            .max_by(|&a, &b| {
                let by_score = scores[a].moved.total_cmp(&scores[b].moved);
                by_score.then(b.cmp(&a))
            })
            .expect("the node alone is a start");
        let (mut set, mut score) = (sets[best].clone(), scores[best]);
        if score.agrees < 1.0 - SLACK {
            (set, score) = self.grown(node, set, score)?;
        }
        let mut sets = Vec::new();
        if set.nodes.len() > 1 && score.agrees >= HOPELESS {
            if score.agrees >= PROMISING {
                let fewer = self.reduced(node, &set, score)?;
                if fewer != set && fewer.nodes.len() > 1 {
                    sets.push(fewer);
                }
            }
            sets.push(set);
        }
        let exchangeable = match sets.first() {
            Some(set) if inert => self.exchangeable(node, set, score, &starts)?,
            _ => false,
        };
        let neutralised = if inert {
            self.neutralised(node, &starts)?
        } else {
            None
        };
        Ok(Choice {
            sets,
            exchangeable,
            neutralised,
        })
    }

    /// The node alone, and with its partners, the smallest set first: the heads of its layer and
    /// position claimed for the same variable, all heads there, the nodes claimed for it at the
    /// position, and those claimed for it anywhere.
    fn starts(&self, node: Node) -> Vec<TestedNodes> {
        let beside = |other: &Node| {
            (other.layer(), other.position()) == (node.layer(), node.position())
                && other.same_kind(&node)
        };
        let all = Node::all(&self.bench.engine.shape());
        let claimed = || self.claimed.iter().copied();
        let sets: [Vec<Node>; 4] = [
            claimed().filter(beside).collect(),
            all.into_iter().filter(beside).collect(),
            claimed()
                .filter(|other| other.position() == node.position())
                .collect(),
            claimed().collect(),
        ];
        let mut starts = vec![TestedNodes::of([node])];
        for set in sets {
            let subject = TestedNodes::of(set.into_iter().chain([node]));
            if !starts.contains(&subject) {
                starts.push(subject);
            }
        }
        starts.sort_by_key(|subject| subject.nodes.len());
        starts
    }

    /// Whether a set does about as well without the node, or with another of the nodes in `starts` in
    /// its place.
    fn exchangeable(
        &mut self,
        node: Node,
        set: &TestedNodes,
        score: Score,
        starts: &[TestedNodes],
    ) -> Result<bool, EngineError> {
        let rest = without(set, node);
        let pool: BTreeSet<Node> = starts.iter().flat_map(|s| &s.nodes).copied().collect();
        let others = pool.iter().filter(|other| !set.nodes.contains(other));
        let exchanged =
            others.map(|&other| TestedNodes::of(rest.nodes.iter().copied().chain([other])));
        let best = self.best([rest.clone()].into_iter().chain(exchanged).collect())?;
        Ok(best.is_some_and(|(_, other)| other.at_least(score, WORTH_ADDING)))
    }

    /// A set with up to [`MOST_ADDED`] nodes of the node's kind and layer added, each the one that
    /// helps most. One that does well alone is no partner: with it, a set needs none of the others.
    fn grown(
        &mut self,
        node: Node,
        mut set: TestedNodes,
        mut score: Score,
    ) -> Result<(TestedNodes, Score), EngineError> {
        let shape = self.bench.engine.shape();
        let mut pool: Vec<Node> = Node::all(&shape)
            .into_iter()
            .filter(|other| other.same_kind(&node) && other.layer() == node.layer())
            .filter(|&other| Site::from(other).reaches_an_answer(&shape))
            .filter(|other| !set.nodes.contains(other))
            .collect();
        let mut added = 0;
        while added < MOST_ADDED {
            let wider = pool.iter();
            let wider =
                wider.map(|&other| TestedNodes::of(set.nodes.iter().copied().chain([other])));
            let Some((best, higher)) = self.best(wider.collect())? else {
                break;
            };
            if higher.moved < score.moved + WORTH_ADDING {
                break;
            }
            let is_new = |other: &Node| best.nodes.contains(other);
            let at = pool.iter().position(is_new);
            let other = pool.remove(at.expect("a wider set has one of the pool"));
            if self.carries_alone(other)? {
                continue;
            }
            (set, score) = (best, higher);
            added += 1;
        }
        Ok((set, score))
    }

    /// Whether a node does so well alone that no set with it can need another.
    fn carries_alone(&mut self, node: Node) -> Result<bool, EngineError> {
        let score = self.scores(&[TestedNodes::of([node])])?[0];
        Ok(score.moved.min(score.agrees) >= 1.0 - SLACK)
    }

    /// The starts without the partners that do well alone.
    fn partners(
        &mut self,
        node: Node,
        starts: &[TestedNodes],
    ) -> Result<Vec<TestedNodes>, EngineError> {
        let others: BTreeSet<Node> = (starts.iter().flat_map(|start| &start.nodes))
            .filter(|&&other| other != node)
            .copied()
            .collect();
        // All at once: the unpatched runs are the same for each.
        let singles: Vec<TestedNodes> = others
            .iter()
            .map(|&other| TestedNodes::of([other]))
            .collect();
        self.scores(&singles)?;
        let mut alone = BTreeSet::new();
        for other in others {
            if self.carries_alone(other)? {
                alone.insert(other);
            }
        }
        let mut sets: Vec<TestedNodes> = Vec::new();
        for start in starts {
            let set = TestedNodes::of(start.nodes.iter().copied().filter(|n| !alone.contains(n)));
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        sets.sort_by_key(|set| set.nodes.len());
        Ok(sets)
    }

    /// The best of many, after a screening on few pairs.
    fn best(
        &mut self,
        subjects: Vec<TestedNodes>,
    ) -> Result<Option<(TestedNodes, Score)>, EngineError> {
        let (telling, placebo) = (
            &self.telling[..SCREEN.0.min(self.telling.len())],
            &self.placebo[..SCREEN.1.min(self.placebo.len())],
        );
        let screened = self.measure(telling, placebo, &subjects)?;
        let mut ranked: Vec<(TestedNodes, Score)> = subjects.into_iter().zip(screened).collect();
        ranked.sort_by(|(a, x), (b, y)| y.moved.total_cmp(&x.moved).then(a.cmp(b)));
        ranked.truncate(SHORTLIST);
        let short: Vec<TestedNodes> = ranked.into_iter().map(|(subject, _)| subject).collect();
        let scores = self.scores(&short)?;
        Ok(short
            .into_iter()
            .zip(scores)
            .max_by(|(a, x), (b, y)| x.moved.total_cmp(&y.moved).then(b.cmp(a))))
    }

    /// A set without the members that it does about as well without, the least expected first.
    fn reduced(
        &mut self,
        node: Node,
        set: &TestedNodes,
        score: Score,
    ) -> Result<TestedNodes, EngineError> {
        let mut members: Vec<Node> = set.nodes.iter().copied().filter(|&n| n != node).collect();
        members.sort_by_key(|other| {
            let beside = (other.layer(), other.position()) == (node.layer(), node.position());
            (self.claimed.contains(other), beside, *other)
        });
        let mut left = set.clone();
        for member in members {
            let fewer = TestedNodes {
                nodes: without(&left, member).nodes,
                ..left.clone()
            };
            if self.scores(std::slice::from_ref(&fewer))?[0].at_least(score, SLACK) {
                left = fewer;
            }
        }
        Ok(left)
    }

    /// The node with other carriers neutralised: those of the start that does best so, and as many
    /// more as help. A carrier that the node feeds is not another one: its value is partly the
    /// node's own, so holding it would cut the node off.
    fn neutralised(
        &mut self,
        node: Node,
        starts: &[TestedNodes],
    ) -> Result<Option<TestedNodes>, EngineError> {
        let others = |set: &TestedNodes| -> Vec<Node> {
            let others = set.nodes.iter().copied();
            others
                .filter(|&other| other != node && !node.can_feed(&other))
                .collect()
        };
        let mut subjects: Vec<TestedNodes> = Vec::new();
        for start in starts {
            let subject = TestedNodes::of([node]).with_neutralised(others(start));
            if !subject.neutralised.is_empty() && !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        let pool: BTreeSet<Node> = starts.iter().flat_map(others).collect();
        let scores = self.scores(&subjects)?;
        // Of equals `max_by` keeps the last: in reverse, the smallest.
        let best = subjects
            .into_iter()
            .zip(scores)
            .rev()
            .max_by(|(_, x), (_, y)| x.moved.total_cmp(&y.moved));
        let Some((mut subject, mut score)) = best else {
            return Ok(None);
        };
        // Where too much is held, most clean answers break: a set built up from nothing may do better.
        let mut grown = (
            TestedNodes::of([node]),
            self.scores(&[TestedNodes::of([node])])?[0],
        );
        for _ in 0..MOST_ADDED {
            let wider = (pool.iter())
                .filter(|other| !grown.0.neutralised.contains(other))
                .map(|&other| {
                    let held = grown.0.neutralised.iter().copied().chain([other]);
                    TestedNodes::of([node]).with_neutralised(held)
                })
                .collect();
            match self.best(wider)? {
                Some((best, higher)) if higher.moved > grown.1.moved => grown = (best, higher),
                _ => break,
            }
        }
        if grown.1.moved > score.moved {
            (subject, score) = grown;
        }
        if score.agrees < HOPELESS {
            return Ok(None);
        }
        if score.agrees >= PROMISING {
            for other in subject.neutralised.clone() {
                let held = (subject.neutralised.iter().copied()).filter(|&held| held != other);
                let fewer = TestedNodes::of([node]).with_neutralised(held);
                if !fewer.neutralised.is_empty()
                    && self.scores(std::slice::from_ref(&fewer))?[0].at_least(score, SLACK)
                {
                    subject = fewer;
                }
            }
        }
        Ok(Some(subject))
    }

    /// Scores on the whole sample.
    fn scores(&mut self, subjects: &[TestedNodes]) -> Result<Vec<Score>, EngineError> {
        let unknown: BTreeSet<TestedNodes> = subjects
            .iter()
            .filter(|subject| !self.known.contains_key(subject))
            .cloned()
            .collect();
        let unknown: Vec<TestedNodes> = unknown.into_iter().collect();
        let scores = self.measure(&self.telling, &self.placebo, &unknown)?;
        self.known.extend(unknown.into_iter().zip(scores));
        Ok(subjects.iter().map(|subject| self.known[subject]).collect())
    }

    fn measure(
        &self,
        telling: &[(Stratum, Pair)],
        placebo: &[(Stratum, Pair)],
        subjects: &[TestedNodes],
    ) -> Result<Vec<Score>, EngineError> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let store = StoreFrom::Store;
        let mut counted: Vec<Counted> = vec![Counted::default(); subjects.len()];
        (self.bench).run(self.variable, telling, store, subjects, |block| {
            for (counted, outcomes) in counted.iter_mut().zip(&block.outcomes) {
                let trials = block.trials.iter().copied();
                counted.telling.extend(trials.zip(outcomes.iter().copied()));
            }
        })?;
        (self.bench).run(self.variable, placebo, store, subjects, |block| {
            for (counted, outcomes) in counted.iter_mut().zip(&block.outcomes) {
                for (trial, outcome) in block.trials.iter().zip(outcomes) {
                    let changed = outcome.is_some_and(|o| o.answer != trial.reference);
                    counted.placebo.add(changed);
                }
            }
        })?;
        Ok(counted.iter().map(|c| c.score(self)).collect())
    }
}

/// A set without one of its nodes, whatever it neutralises.
fn without(set: &TestedNodes, node: Node) -> TestedNodes {
    TestedNodes::of(set.nodes.iter().copied().filter(|&other| other != node))
}

/// A subject's outcomes on a sample.
#[derive(Debug, Clone, Default)]
struct Counted {
    telling: Vec<(Trial, Option<Outcome>)>,
    placebo: Count,
}

impl Counted {
    fn score(&self, chooser: &Chooser) -> Score {
        let everything = TokenSet::all(chooser.bench.engine.shape().n_digits);
        let terms = Terms::new(chooser.variable, everything, chooser.bench.decode);
        let (mut moved, mut spilled) = (Count::default(), Count::default());
        let mut tokens: BTreeMap<AnswerToken, Count> = BTreeMap::new();
        for (trial, outcome) in &self.telling {
            let judged = outcome.and_then(|o| trial.judge(&o, terms));
            let right = judged.map_or(TokenSet::EMPTY, |judged| judged.right);
            spilled.add(judged.is_some_and(|judged| judged.spilled));
            for place in trial.predicted_change().iter() {
                tokens.entry(place).or_default().add(right.contains(place));
            }
            if terms.direction_only {
                moved.add(judged.is_some_and(|judged| judged.agrees));
            } else {
                for place in trial.predicted_change().iter() {
                    moved.add(right.contains(place));
                }
            }
        }
        let reach = if Quantity::from(chooser.variable).reaches_several() {
            reach_of(&tokens, everything)
        } else {
            everything
        };
        let mut agrees = Count::default();
        for (trial, outcome) in &self.telling {
            let agreed = outcome.and_then(|o| trial.agreement(&o, terms.on(reach)));
            if let Some(agreed) = agreed {
                agrees.add(agreed);
            }
        }
        let share = |count: Count| match count.trials {
            0 => 0.0,
            _ => count.share(),
        };
        Score {
            moved: share(moved) - share(spilled) - share(self.placebo),
            agrees: share(agrees) - share(self.placebo),
        }
    }
}
