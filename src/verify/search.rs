//! The search for sets: which nodes, of any layer and position, represent a variable together with
//! a node that does not represent it alone.
//!
//! Sets are chosen on separate pairs by how far patching moves logits. The pairs are the same for
//! every seed: a chosen set is only a candidate, which is then judged on fresh pairs.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;

use super::effect::{Effect, read};
use crate::domain;
use crate::domain::arithmetic::{Answer, AnswerToken, Prompt};
use crate::domain::causal::{Family, Kind, Pair, Stratum, predict};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::Count;
use crate::experiment::{AffectedTokens, Bench, NodeSet, Prepared, SourceFrom, Terms, stream};
use crate::network::engine::{EngineError, Site};

/// How hard to search for sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchEffort {
    /// Seed of the pairs that sets are chosen on.
    seed: u64,
    /// Alike pairs: counterfactual pairs whose source differs from the base only in the variable,
    /// where arithmetic allows, so that a larger set transfers nothing else…
    alike: usize,
    /// …free counterfactual pairs, to check whether a set holds, and control pairs, which a set
    /// that holds must not change.
    free: usize,
    control_pairs: usize,
    /// Alike and control pairs on which the whole pool is screened.
    screen: (usize, usize),
    /// Best-screened nodes that are tried on the whole sample.
    shortlist: usize,
    /// Consecutive candidates that fail to help a set that has grown before the pool is screened
    /// again…
    in_vain: usize,
    /// …in at most this many rounds.
    rounds: usize,
    /// Most tokens for which a set is grown.
    targets: usize,
    /// Restarts per token, each growing the node together with randomly drawn nodes.
    restarts: usize,
}

impl SearchEffort {
    /// Used for verdicts.
    pub const USUAL: Self = SearchEffort {
        seed: 0,
        alike: 128,
        free: 192,
        control_pairs: 96,
        screen: (16, 8),
        shortlist: 8,
        in_vain: 1,
        rounds: 6,
        targets: 2,
        restarts: 0,
    };

    /// Used to check whether the usual search misses sets; takes minutes per claim.
    pub const HARD: Self = SearchEffort {
        seed: 1,
        alike: 512,
        free: 1024,
        control_pairs: 512,
        screen: (64, 32),
        shortlist: 24,
        in_vain: 8,
        rounds: 8,
        targets: 4,
        restarts: 6,
    };
}

/// Memory for the base runs of the whole sample, which every set is measured on.
const HELD_BYTES: usize = 144 << 20;

/// Nodes drawn at random for a restart.
const RANDOM_PARTNERS: usize = 2;

/// Most carriers that are mean-ablated, added one at a time, beside an inert node.
const MOST_HELD: usize = 3;

/// A node that improves no other node's score by more than this, and itself moves tokens no
/// further, belongs to no set.
const NO_PART: f64 = 0.05;

/// A set seems to need a node if its rate on the sample drops by this much without it. This is the
/// margin of a joint claim, which is then judged on other pairs.
const NEEDED: f64 = 0.2;

/// The candidates found for one node.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Sets with the node, each to be judged; those that seem to hold and need it come first.
    pub sets: Vec<NodeSet>,
    /// Whether the node is inert and the first set also holds with another node in its place.
    pub exchangeable: bool,
    /// The node with the mean-ablated carriers under which it does best.
    pub mean_ablated: Option<NodeSet>,
}

/// The origin of a set.
enum Try {
    /// Suggested by claims.
    Start(NodeSet),
    /// Contains the node, grown for one token from nodes beside it or from any.
    Grow {
        from: NodeSet,
        near: bool,
        target: AnswerToken,
    },
}

/// Some pairs of a sample.
struct SampleBlock {
    use_of: SampleUse,
    trials: SampleTrials,
}

/// What the pairs of a block are for ([`SearchEffort`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SampleUse {
    Alike,
    Free,
    Control,
}

/// The pairs of a block, run already or not.
enum SampleTrials {
    Held(Box<Prepared>),
    Drawn(Vec<(Stratum, Pair)>),
}

/// Searches the sets of one variable.
pub struct Search<'a> {
    bench: &'a Bench<'a>,
    variable: Variable,
    claimed: &'a BTreeSet<Node>,
    effort: SearchEffort,
    alike: Vec<(Stratum, Pair)>,
    control_pairs: Vec<(Stratum, Pair)>,
    /// All pairs together, on which sets are measured again and again.
    whole: Vec<SampleBlock>,
    /// Nodes that read the variable on alike pairs and can affect an answer token.
    pool: Vec<Node>,
    /// Effects on the whole sample.
    known: BTreeMap<NodeSet, Effect>,
    /// Effects of each node of the pool alone, on the screening pairs of each token.
    alone: BTreeMap<AnswerToken, Vec<Effect>>,
    /// Minimal sets that seem to hold.
    found: Vec<NodeSet>,
}

impl<'a> Search<'a> {
    /// A search on the pairs of one variable.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for pairs drawn for this network.
    pub fn new(
        bench: &'a Bench<'a>,
        variable: Variable,
        claimed: &'a BTreeSet<Node>,
        effort: SearchEffort,
    ) -> Result<Self, EngineError> {
        let n_digits = bench.engine.shape().n_digits;
        let draw = |kind, name, count| {
            let family = Family::new(variable, kind, n_digits);
            let mut rng = stream(effort.seed, &format!("{variable}/{name}/search"));
            family.draws().take(count, &mut rng)
        };
        let alike = draw(Kind::Counterfactual, "alike", effort.alike);
        let alike = (alike.into_iter())
            .map(|(stratum, pair)| (stratum, domain::causal::alike(variable, &pair)))
            .collect();
        let mut search = Search {
            bench,
            variable,
            claimed,
            effort,
            alike,
            control_pairs: draw(Kind::Control, "placebo", effort.control_pairs),
            whole: Vec::new(),
            pool: Vec::new(),
            known: BTreeMap::new(),
            alone: BTreeMap::new(),
            found: Vec::new(),
        };
        search.pool = search.readers()?;
        let free = draw(Kind::Counterfactual, "telling", effort.free);
        search.whole = search.held(&free)?;
        Ok(search)
    }

    /// The whole sample, with the base runs of as many pairs as may be held in memory.
    fn held(&self, free: &[(Stratum, Pair)]) -> Result<Vec<SampleBlock>, EngineError> {
        let mut room = self.bench.engine.questions_in(HELD_BYTES);
        let mut blocks = Vec::new();
        for (use_of, pairs) in [
            (SampleUse::Alike, &*self.alike),
            (SampleUse::Free, free),
            (SampleUse::Control, &*self.control_pairs),
        ] {
            for pairs in pairs.chunks(self.bench.block) {
                let trials = match room.checked_sub(pairs.len()) {
                    Some(left) => {
                        room = left;
                        SampleTrials::Held(Box::new(self.prepared(pairs)?))
                    }
                    None => SampleTrials::Drawn(pairs.to_vec()),
                };
                blocks.push(SampleBlock { use_of, trials });
            }
        }
        Ok(blocks)
    }

    fn prepared(&self, pairs: &[(Stratum, Pair)]) -> Result<Prepared, EngineError> {
        (self.bench).prepare(self.variable, pairs, SourceFrom::Source)
    }

    /// The nodes that can affect an answer token and whose activation differs between source and
    /// base of alike pairs. No other node represents any of the variable.
    fn readers(&self) -> Result<Vec<Node>, EngineError> {
        let engine = self.bench.engine;
        let shape = engine.shape();
        let nodes: Vec<Node> = Node::all(&shape)
            .into_iter()
            .filter(|&node| Site::from(node).reaches_an_answer(&shape))
            .collect();
        let pairs = &self.alike[..self.alike.len().min(2 * self.effort.screen.0)];
        let sources: Vec<_> = pairs.iter().map(|(_, pair)| pair.source).collect();
        let bases: Vec<_> = (pairs.iter())
            .map(|(_, pair)| Prompt::truth(pair.base))
            .collect();
        let sites = || nodes.iter().map(|&node| Site::from(node));
        let (source, base) = (
            engine.activations(&sources, sites())?,
            engine.activations(&bases, sites())?,
        );
        let reads = |node: &Node| {
            (0..pairs.len())
                .any(|i| source.get(i, Site::from(*node)) != base.get(i, Site::from(*node)))
        };
        Ok(nodes.iter().copied().filter(reads).collect())
    }

    /// Candidates to judge for `node`, which does not hold alone. If it is inert, this includes
    /// carriers to mean-ablate.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn choose(&mut self, node: Node, inert: bool) -> Result<Choice, EngineError> {
        let starts = self.starts(node);
        // A claim about attention that does not hold is decided by its attention.
        let inert = inert && !self.variable.task.predicts_only_direction();
        let mean_ablated = if inert {
            self.mean_ablated(node, &starts)?
        } else {
            None
        };
        let mut sets = self.sets_with(node, &starts)?;
        let mut seen = BTreeSet::new();
        sets.retain(|set| set.nodes.len() > 1 && seen.insert(set.clone()));
        let exchangeable = match sets.first() {
            Some(set) if inert => self.exchangeable(node, set, &starts)?,
            _ => false,
        };
        Ok(Choice {
            sets,
            exchangeable,
            mean_ablated,
        })
    }

    /// Whether a set that seems to hold also does so with another of the nodes in `starts` in the
    /// node's place.
    fn exchangeable(
        &mut self,
        node: Node,
        set: &NodeSet,
        starts: &[NodeSet],
    ) -> Result<bool, EngineError> {
        if !self.effect(set)?.holds() {
            return Ok(false);
        }
        let rest = without(set, node);
        let others: BTreeSet<Node> = starts.iter().flat_map(|s| &s.nodes).copied().collect();
        for &other in others.iter().filter(|other| !set.nodes.contains(other)) {
            let exchanged = NodeSet::of(rest.nodes.iter().copied().chain([other]));
            if self.effect(&exchanged)?.holds() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sets with the node to judge. One that seems to hold and clearly needs the node is enough;
    /// otherwise one that holds without needing it, and the best that does not hold.
    fn sets_with(&mut self, node: Node, starts: &[NodeSet]) -> Result<Vec<NodeSet>, EngineError> {
        let mut unneeding = None;
        for set in self.found.clone() {
            if set.nodes.contains(&node) {
                if self.needs(&set, node)? {
                    return Ok(vec![set]);
                }
                unneeding.get_or_insert(set);
            } else if let Some(exchanged) = self.exchanged(node, &set)? {
                // The node may replace a member of a set that was found for another node.
                self.found.push(exchanged.clone());
                return Ok(vec![exchanged]);
            }
        }
        // Distant nodes say nothing about a claim on attention.
        let targets = match self.variable.task.predicts_only_direction() {
            true => Vec::new(),
            false => self.targets(node)?,
        };
        let starts = starts.iter().filter(|start| start.nodes.len() > 1);
        let grow = [true, false].into_iter().flat_map(|near| {
            let from = NodeSet::of([node]);
            targets.iter().map(move |&target| Try::Grow {
                from: from.clone(),
                near,
                target,
            })
        });
        let restarts = self.restarts(node, &targets);
        let mut best: Option<(f64, NodeSet)> = None;
        for attempt in starts.cloned().map(Try::Start).chain(grow).chain(restarts) {
            let set = match attempt {
                Try::Start(start) => start,
                Try::Grow { from, near, target } => self.grown(node, from, target, near)?,
            };
            let effect = self.effect(&set)?;
            if effect.holds() {
                let minimal = self.minimal(node, &set)?;
                if minimal.nodes.len() > 1 && self.needs(&minimal, node)? {
                    self.found.push(minimal.clone());
                    return Ok(vec![minimal]);
                }
                unneeding.get_or_insert(minimal);
            }
            let closeness = effect.closeness();
            if best.as_ref().is_none_or(|(least, _)| closeness > *least) {
                best = Some((closeness, set));
            }
        }
        Ok(unneeding
            .into_iter()
            .chain(best.map(|(_, set)| set))
            .collect())
    }

    /// The node with others drawn at random, for each token.
    fn restarts(&self, node: Node, targets: &[AnswerToken]) -> Vec<Try> {
        let shape = self.bench.engine.shape();
        let name = format!("{}/{node}/restarts", self.variable);
        let mut rng = stream(self.effort.seed, &name);
        let mut tries = Vec::new();
        for &target in targets {
            let reaching: Vec<Node> = (self.pool.iter().copied())
                .filter(|other| *other != node && other.can_feed_token(target, &shape))
                .collect();
            for _ in 0..self.effort.restarts {
                let drawn = reaching.sample(&mut rng, RANDOM_PARTNERS);
                tries.push(Try::Grow {
                    from: NodeSet::of(drawn.copied().chain([node])),
                    near: false,
                    target,
                });
            }
        }
        tries
    }

    /// Whether a set that seems to hold does so clearly less often without the node.
    fn needs(&mut self, set: &NodeSet, node: Node) -> Result<bool, EngineError> {
        let whole = self.effect(set)?;
        let rest = self.effect(&without(set, node))?;
        let cells = whole.holds_on();
        let share = |effect: &Effect| {
            let shares = cells.iter().filter_map(|cell| effect.right.get(cell));
            let directed = effect.directed.values();
            shares
                .chain(directed)
                .map(Count::share)
                .fold((0.0, 0), |(sum, n), share| (sum + share, n + 1))
        };
        let mean = |(sum, count): (f64, u32)| sum / f64::from(count.max(1));
        Ok(mean(share(&whole)) - mean(share(&rest)) >= NEEDED)
    }

    /// The sets that claims suggest for a node, smallest first: heads of its layer and position
    /// claimed for the same variable, all heads there, nodes claimed for it at the position, and
    /// nodes claimed for it anywhere.
    fn starts(&self, node: Node) -> Vec<NodeSet> {
        let beside = |other: &Node| {
            (other.layer(), other.position()) == (node.layer(), node.position())
                && other.same_kind(&node)
        };
        let all = Node::all(&self.bench.engine.shape());
        let claimed = || self.claimed.iter().copied();
        let mut sets: Vec<Vec<Node>> = vec![claimed().filter(beside).collect()];
        // For a claim about attention, only the heads that share it.
        if !self.variable.task.predicts_only_direction() {
            sets.push(all.into_iter().filter(beside).collect());
            let here = claimed().filter(|other| other.position() == node.position());
            sets.push(here.collect());
            sets.push(claimed().collect());
        }
        let mut starts = vec![NodeSet::of([node])];
        for set in sets {
            let node_set = NodeSet::of(set.into_iter().chain([node]));
            if !starts.contains(&node_set) {
                starts.push(node_set);
            }
        }
        starts.sort_by_key(|node_set| node_set.nodes.len());
        starts
    }

    /// A set that holds with the node but not without it: `set` with the node in place of one
    /// member, reduced to the members then needed.
    fn exchanged(&mut self, node: Node, set: &NodeSet) -> Result<Option<NodeSet>, EngineError> {
        for &member in &set.nodes {
            let rest = without(set, member);
            let with_node = NodeSet::of(rest.nodes.iter().copied().chain([node]));
            if !self.effect(&rest)?.holds() && self.effect(&with_node)?.holds() {
                let minimal = self.minimal(node, &with_node)?;
                if self.needs(&minimal, node)? {
                    return Ok(Some(minimal));
                }
            }
        }
        Ok(None)
    }

    /// The smallest subset that still holds and contains the node, found by delta debugging: remove
    /// halves of the other members, then quarters, down to single ones.
    fn minimal(&mut self, node: Node, set: &NodeSet) -> Result<NodeSet, EngineError> {
        // Members to remove first: those that no claim names, and those far from the node.
        let mut others: Vec<Node> = set.nodes.iter().copied().filter(|&n| n != node).collect();
        others.sort_by_key(|other| {
            let beside = (other.layer(), other.position()) == (node.layer(), node.position());
            (self.claimed.contains(other), beside, *other)
        });
        let with_node = |others: &[Node]| NodeSet::of(others.iter().copied().chain([node]));
        let mut parts = 2;
        while !others.is_empty() {
            let length = others.len().div_ceil(parts);
            let mut fewer = None;
            for first in (0..others.len()).step_by(length) {
                let part = first..(first + length).min(others.len());
                let left: Vec<Node> = (others.iter().enumerate())
                    .filter(|(i, _)| !part.contains(i))
                    .map(|(_, &other)| other)
                    .collect();
                if self.effect(&with_node(&left))?.holds() {
                    fewer = Some(left);
                    break;
                }
            }
            match fewer {
                Some(left) => {
                    others = left;
                    parts = parts.saturating_sub(1).max(2);
                }
                None if length == 1 => break,
                None => parts = (2 * parts).min(others.len()),
            }
        }
        Ok(with_node(&others))
    }

    /// The tokens to grow a set for: those that the node, alone or with another, moves furthest.
    fn targets(&mut self, node: Node) -> Result<Vec<AnswerToken>, EngineError> {
        let shape = self.bench.engine.shape();
        let effect = self.effect(&NodeSet::of([node]))?;
        let told: BTreeSet<AnswerToken> = effect.gains.iter().map(|(_, t, _)| *t).collect();
        let mut tokens: Vec<(f64, AnswerToken)> = (told.into_iter())
            .filter(|&token| node.can_feed_token(token, &shape))
            .map(|token| (effect.gain(token), token))
            .collect();
        tokens.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        tokens.truncate(self.effort.targets);
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    /// Adds nodes that each clearly help to move the target, until the set seems to hold or no node
    /// helps. Candidates are those of the node's layer that it does not feed (`near`), or any.
    fn grown(
        &mut self,
        node: Node,
        mut set: NodeSet,
        target: AnswerToken,
        near: bool,
    ) -> Result<NodeSet, EngineError> {
        for round in 0..self.effort.rounds {
            let beside = near.then_some(node);
            let candidates = self.screened(&set, target, round == 0, beside)?;
            if candidates.is_empty() {
                break;
            }
            let (before, mut in_vain) = (set.nodes.len(), 0);
            for candidate in candidates {
                // Once a set has grown, screening again shows better what it lacks.
                if set.nodes.len() > before && in_vain >= self.effort.in_vain {
                    break;
                }
                let wider = NodeSet::of(set.nodes.iter().copied().chain([candidate]));
                let effect = self.effect(&wider)?;
                if effect.is_better(&self.effect(&set)?, target) {
                    set = wider;
                    in_vain = 0;
                    if effect.holds() {
                        return Ok(set);
                    }
                } else {
                    in_vain += 1;
                }
            }
            if set.nodes.len() == before {
                break;
            }
        }
        Ok(set)
    }

    /// The nodes that help a set most on a few pairs, best first. In the first round, empty if the
    /// node adds nothing to what any other node moves.
    fn screened(
        &mut self,
        set: &NodeSet,
        target: AnswerToken,
        first: bool,
        beside: Option<Node>,
    ) -> Result<Vec<Node>, EngineError> {
        let shape = self.bench.engine.shape();
        let alone = self.alone(target)?;
        let candidates: Vec<usize> = (0..self.pool.len())
            .filter(|&i| !set.nodes.contains(&self.pool[i]))
            .filter(|&i| self.pool[i].can_feed_token(target, &shape))
            .filter(|&i| beside.is_none_or(|node| stands_beside(&node, &self.pool[i])))
            // A node that holds alone makes any set with it non-minimal.
            .filter(|&i| !alone[i].holds())
            .collect();
        let wider: Vec<NodeSet> = (candidates.iter())
            .map(|&i| NodeSet::of(set.nodes.iter().copied().chain([self.pool[i]])))
            .collect();
        let node_sets: Vec<NodeSet> = wider.iter().cloned().chain([set.clone()]).collect();
        let pairs = if first {
            self.counterfactual(target)
        } else {
            self.missed(set, target)?
        };
        let mut effects = self.screen(&node_sets, &pairs)?;
        let own = effects
            .pop()
            .expect("the set itself was screened")
            .score(target);
        let mut ranked: Vec<(f64, f64, Node)> = (candidates.iter().zip(&effects))
            .map(|(&i, effect)| {
                let score = effect.score(target);
                (score - own, score - alone[i].score(target), self.pool[i])
            })
            .collect();
        let takes_part = |(_, adds, _): &(f64, f64, Node)| adds.abs() > NO_PART;
        if first && own.abs() <= NO_PART && !ranked.iter().any(takes_part) {
            return Ok(Vec::new());
        }
        ranked.retain(|(helps, ..)| *helps > 0.0);
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        ranked.truncate(self.effort.shortlist);
        Ok(ranked.into_iter().map(|(.., node)| node).collect())
    }

    /// Each node of the pool alone, on the screening pairs of a token.
    fn alone(&mut self, target: AnswerToken) -> Result<Vec<Effect>, EngineError> {
        if !self.alone.contains_key(&target) {
            let singles: Vec<NodeSet> = self.pool.iter().map(|&node| NodeSet::of([node])).collect();
            let effects = self.screen(&singles, &self.counterfactual(target))?;
            self.alone.insert(target, effects);
        }
        Ok(self.alone[&target].clone())
    }

    /// The first alike pairs that predict a change of a token.
    fn counterfactual(&self, target: AnswerToken) -> Vec<(Stratum, Pair)> {
        let tells = |(_, pair): &&(Stratum, Pair)| {
            let told = predict(self.variable, &pair.source, &pair.base);
            let truth = Answer::of(&pair.base);
            told.is_some_and(|told| told.changed_from(&truth).contains(target))
        };
        let counterfactual = self.alike.iter().filter(tells);
        counterfactual.take(self.effort.screen.0).copied().collect()
    }

    /// Pairs on which a set does not move the token as predicted, which show what it lacks; filled
    /// up with others where they are few.
    fn missed(
        &mut self,
        set: &NodeSet,
        target: AnswerToken,
    ) -> Result<Vec<(Stratum, Pair)>, EngineError> {
        let effect = self.effect(set)?;
        let missed = (effect.moves.iter())
            .filter(|m| m.predicted.contains(target) && !m.right.contains(target))
            .map(|m| (m.stratum, m.pair));
        let pairs = missed.chain(self.counterfactual(target));
        Ok(pairs.take(self.effort.screen.0).collect())
    }

    fn screen(
        &self,
        node_sets: &[NodeSet],
        pairs: &[(Stratum, Pair)],
    ) -> Result<Vec<Effect>, EngineError> {
        let control_pairs =
            &self.control_pairs[..self.effort.screen.1.min(self.control_pairs.len())];
        let mut blocks = [
            (SampleUse::Alike, pairs),
            (SampleUse::Control, control_pairs),
        ]
        .map(|(use_of, pairs)| SampleBlock {
            use_of,
            trials: SampleTrials::Drawn(pairs.to_vec()),
        });
        self.measure(&mut blocks, node_sets)
    }

    /// The effect of one node set on the whole sample.
    fn effect(&mut self, node_set: &NodeSet) -> Result<Effect, EngineError> {
        if !self.known.contains_key(node_set) {
            let node_sets = std::slice::from_ref(node_set);
            let mut whole = std::mem::take(&mut self.whole);
            let measured = self.measure(&mut whole, node_sets);
            self.whole = whole;
            let mut effects = measured?;
            self.known
                .extend(effects.pop().map(|effect| (node_set.clone(), effect)));
        }
        Ok(self.known[node_set].clone())
    }

    fn measure(
        &self,
        blocks: &mut [SampleBlock],
        node_sets: &[NodeSet],
    ) -> Result<Vec<Effect>, EngineError> {
        let mut effects = vec![Effect::default(); node_sets.len()];
        let everything = AffectedTokens::everything(self.bench.engine.shape().n_digits);
        let terms = Terms::new(self.variable, everything);
        for SampleBlock { use_of, trials } in blocks {
            let mut drawn;
            let prepared = match trials {
                SampleTrials::Held(prepared) => prepared,
                SampleTrials::Drawn(pairs) => {
                    drawn = self.prepared(pairs)?;
                    &mut drawn
                }
            };
            let kind = match use_of {
                SampleUse::Alike | SampleUse::Free => Kind::Counterfactual,
                SampleUse::Control => Kind::Control,
            };
            let is_alike = *use_of == SampleUse::Alike;
            let readings = self.bench.patch(prepared, node_sets, &read)?;
            for (effect, readings) in effects.iter_mut().zip(&readings) {
                for (trial, reading) in prepared.trials.iter().zip(readings) {
                    let Some(reading) = reading else { continue };
                    effect.add(trial, reading, kind, is_alike, &terms);
                }
            }
        }
        Ok(effects)
    }

    /// The node with other carriers mean-ablated: either those of the start set that does best, or
    /// carriers added one at a time as long as they help. A carrier that the node feeds is
    /// excluded: part of its value comes from the node, so mean-ablating it would cut the node off.
    fn mean_ablated(
        &mut self,
        node: Node,
        starts: &[NodeSet],
    ) -> Result<Option<NodeSet>, EngineError> {
        let mut pool: BTreeSet<Node> = BTreeSet::new();
        let mut node_sets: Vec<NodeSet> = Vec::new();
        for start in starts {
            let others: Vec<Node> = (start.nodes.iter().copied())
                .filter(|&other| other != node && !node.can_feed(&other))
                .collect();
            pool.extend(&others);
            let node_set = NodeSet::of([node]).with_mean_ablated(others);
            if !node_set.mean_ablated.is_empty() && !node_sets.contains(&node_set) {
                node_sets.push(node_set);
            }
        }
        let mut best: Option<(f64, NodeSet)> = None;
        for node_set in node_sets {
            let closeness = self.effect(&node_set)?.closeness();
            if best.as_ref().is_none_or(|(least, _)| closeness > *least) {
                best = Some((closeness, node_set));
            }
        }
        // Mean-ablating too many nodes breaks most base answers; a set built up from nothing may do
        // better.
        let mut grown = NodeSet::of([node]);
        let mut least = self.effect(&grown)?.closeness();
        for _ in 0..MOST_HELD {
            let mut next: Option<(f64, NodeSet)> = None;
            for &other in pool
                .iter()
                .filter(|other| !grown.mean_ablated.contains(other))
            {
                let held = grown.mean_ablated.iter().copied().chain([other]);
                let wider = NodeSet::of([node]).with_mean_ablated(held);
                let closeness = self.effect(&wider)?.closeness();
                if next.as_ref().is_none_or(|(most, _)| closeness > *most) {
                    next = Some((closeness, wider));
                }
            }
            match next {
                Some((closeness, wider)) if closeness > least + NO_PART => {
                    (least, grown) = (closeness, wider);
                }
                _ => break,
            }
        }
        if !grown.mean_ablated.is_empty()
            && best
                .as_ref()
                .is_none_or(|(closeness, _)| least > *closeness)
        {
            best = Some((least, grown));
        }
        let Some((closeness, mut node_set)) = best.filter(|(closeness, _)| *closeness > 0.0) else {
            return Ok(None);
        };
        for other in node_set.mean_ablated.clone() {
            let held = (node_set.mean_ablated.iter().copied()).filter(|&held| held != other);
            let fewer = NodeSet::of([node]).with_mean_ablated(held);
            if !fewer.mean_ablated.is_empty()
                && self.effect(&fewer)?.closeness() >= closeness - NO_PART
            {
                node_set = fewer;
            }
        }
        Ok(Some(node_set))
    }
}

/// Whether a node works in parallel with another: in the same layer, and not fed by it.
fn stands_beside(node: &Node, other: &Node) -> bool {
    other.layer() == node.layer() && !node.can_feed(other)
}

/// A set without one of its nodes.
pub fn without(set: &NodeSet, node: Node) -> NodeSet {
    NodeSet::of(set.nodes.iter().copied().filter(|&other| other != node))
}
