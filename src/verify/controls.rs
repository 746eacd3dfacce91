//! Controls of a claim: which other nodes pass the same trials, and which other variables the same
//! nodes pass.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::testable;
use crate::domain::arithmetic::AnswerToken;
use crate::domain::causal::{Family, Kind};
use crate::domain::node::{Node, NodeName};
use crate::domain::task::{Task, Variable};
use crate::domain::text::{unbounded_above, unbounded_below};
use crate::experiment::stats::{
    Bounds, Count, Errors, difference, paired_difference, rounded, rounded_option,
};
use crate::experiment::{
    AffectedTokens, Baseline, Bench, HALF, NEGLIGIBLE, NodeSet, Reference, Rules, SourceFrom,
    Terms, TrialBlock, stream,
};
use crate::network::engine::EngineError;

/// Counterfactual pairs, in total, after which decoys and wrong digits are compared with the claim's
/// own nodes. More are run only for claims whose difference is suggested but not settled. Each
/// comparison spends an equal share of the error.
pub(super) const PANELS: [usize; 5] = [32, 128, 512, 2048, 4096];

/// Control pairs that a decoy must leave unchanged to count as an additional carrier.
pub(super) const CARRIER_CONTROL_PAIRS: usize = 128;

/// Pairs for controls that are reported but decide nothing: wrong tasks, untrained weights, and the
/// base run's own activations.
pub(super) const SIDE_TRIALS: usize = 32;

/// Wrong tasks are tried on the first panel.
const _: () = assert!(PANELS[0] == SIDE_TRIALS);

/// Sets tried as decoys of a set: a panel that depends on the claim alone, not on the seed. For a
/// single node, every eligible node is a decoy.
pub(super) const DECOYS: usize = 16;

/// Seed of the panels of decoy sets.
const PANEL_SEED: u64 = 0;

/// Margin by which a claim must beat each decoy and each wrong digit, at the lower bound of the
/// difference (docs/METHOD.md, "Measures": selectivity).
pub const SELECTIVITY_MARGIN: f64 = 0.2;

/// Results of a claim's own nodes and of one decoy on the same trials.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct DecoyResult {
    /// The nodes patched instead.
    pub nodes: Vec<NodeName>,
    /// How often patching them gave the predicted answer.
    pub interchange_accuracy: Count,
    /// Lower bound of the claim's interchange accuracy minus the decoy's, on the same trials.
    #[serde(serialize_with = "rounded", deserialize_with = "unbounded_below")]
    #[schemars(with = "Option<f64>")]
    pub difference_lower: f64,
    /// Whether the decoy is an additional carrier: its interchange accuracy is at least half that
    /// of the claim's own nodes, and it leaves control trials unchanged. It is reported and not
    /// held against the claim.
    pub carries: bool,
}

/// The same nodes tried for another variable.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct ElsewhereResult {
    /// The variable tried.
    pub variable: Variable,
    /// How often patching the nodes gave the answer this variable predicts.
    pub interchange_accuracy: Count,
}

/// The controls of one claim, and the selectivity that follows from them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Controls {
    /// Trials in which patching with the base run's own activation changed anything.
    pub own_activation: Count,
    /// The claim's own interchange accuracy on the trials that decoys were tried on.
    pub interchange_accuracy: Count,
    /// Decoys, closest first.
    pub decoys: Vec<DecoyResult>,
    /// The same nodes under the same task at other digits.
    pub wrong_digits: Vec<ElsewhereResult>,
    /// The same nodes under other tasks at the same digit.
    pub wrong_tasks: Vec<ElsewhereResult>,
    /// The same trials on a network of the same shape with untrained weights.
    pub untrained: Count,
    /// Lower bound of the claim's interchange accuracy minus that of the best decoy that is not an
    /// additional carrier.
    #[serde(serialize_with = "rounded", deserialize_with = "unbounded_below")]
    #[schemars(with = "Option<f64>")]
    pub beats_decoys_by: f64,
    /// Lower bound of the claim's interchange accuracy minus that at the best wrong digit. Absent
    /// for tasks without a digit and where no other digit can be tried.
    #[serde(serialize_with = "rounded_option")]
    pub beats_wrong_digits_by: Option<f64>,
    /// Upper bound of the smallest of all these differences.
    #[serde(
        default = "unknown_above",
        serialize_with = "rounded",
        deserialize_with = "unbounded_above"
    )]
    pub beats_all_by_at_most: f64,
}

/// Older evidence does not store this bound.
fn unknown_above() -> f64 {
    f64::INFINITY
}

/// What the controls say about a claim's selectivity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selectivity {
    /// Every control is beaten by the margin.
    Shown,
    /// At least one control is not beaten: it does as well, or nearly.
    Lacking,
    /// The difference from at least one control could lie on either side of the margin.
    Open,
}

impl Controls {
    /// Whether the claim beats every control by the margin.
    pub fn selective(&self) -> bool {
        self.beats_all_by_at_least() >= SELECTIVITY_MARGIN
    }

    /// Lower bound of the claim's interchange accuracy minus that of the best control.
    pub fn beats_all_by_at_least(&self) -> f64 {
        let wrong_digits = self.beats_wrong_digits_by.unwrap_or(f64::INFINITY);
        self.beats_decoys_by.min(wrong_digits)
    }

    /// Compares the bounds with the margin.
    pub fn selectivity(&self) -> Selectivity {
        if self.selective() {
            Selectivity::Shown
        } else if self.beats_all_by_at_most < SELECTIVITY_MARGIN {
            Selectivity::Lacking
        } else {
            Selectivity::Open
        }
    }
}

/// The input to a claim's controls.
#[derive(Debug, Clone)]
pub struct Controlled {
    pub variable: Variable,
    /// The nodes the claim is about.
    pub node_set: NodeSet,
    /// The tokens it is judged on.
    pub affected_tokens: AffectedTokens,
    /// Error that the finding on these nodes may spend in each direction.
    pub alpha: f64,
    /// Whether selectivity affects the verdict. A claim that fails has nothing to compare with a
    /// control.
    pub hangs_on_selectivity: bool,
}

/// What the controls are drawn from.
pub struct Setting<'a> {
    pub bench: &'a Bench<'a>,
    /// A network of the same shape with untrained weights.
    pub untrained: &'a Bench<'a>,
    /// Nodes claimed for each variable. They are no decoys for it.
    pub claimed: &'a BTreeMap<Variable, BTreeSet<Node>>,
    pub baseline: &'a Baseline,
    pub rules: Rules,
}

/// Outcomes of one node set on a panel, one per trial: whether the answer was as predicted, or
/// `None` where the trial says nothing.
type AgreementColumn = Vec<Option<bool>>;

impl Setting<'_> {
    /// The controls of every claim in `claims`, in order. Claims that share a panel of trials share
    /// its runs. Decoys and wrong digits are tried only for claims whose verdict depends on them.
    ///
    /// `progress` is given the panels of the first size that are done, and how many there are.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn run(
        &self,
        claims: &[Controlled],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Controls>, EngineError> {
        let mut asked: Vec<Asked> = (claims.iter())
            .map(|claim| Asked {
                claim,
                decoys: self.decoys(claim),
                controls: Controls::default(),
                leaves_control_pairs_alone: BTreeMap::new(),
            })
            .collect();
        let mut panels = Panels::default();
        let [first, larger @ ..] = PANELS;
        let mut all: Vec<&mut Asked> = asked.iter_mut().collect();
        self.try_panel(&mut panels, &mut all, first, progress)?;
        self.try_aside(&mut all, &panels)?;
        self.compare(&mut all, &panels)?;
        for size in larger {
            let is_open = |asked: &&mut Asked| {
                asked.claim.hangs_on_selectivity
                    && asked.controls.selectivity() == Selectivity::Open
            };
            let mut open: Vec<&mut Asked> = asked.iter_mut().filter(is_open).collect();
            self.try_panel(&mut panels, &mut open, size, &mut |_, _| {})?;
            self.compare(&mut open, &panels)?;
        }
        Ok(asked.into_iter().map(|asked| asked.controls).collect())
    }

    /// The controls that are tried once, whatever the size of the panels, and decide nothing.
    fn try_aside(&self, asked: &mut [&mut Asked], panels: &Panels) -> Result<(), EngineError> {
        for (variable, asked) in by_variable(asked) {
            let own_activation = self.own_activation(variable, &asked)?;
            let untrained = self.untrained(variable, &asked)?;
            for (asked, (own_activation, untrained)) in asked
                .into_iter()
                .zip(own_activation.into_iter().zip(untrained))
            {
                let wrong_tasks = self.wrong_tasks(variable);
                let everything = self.everything();
                asked.controls.own_activation = own_activation;
                asked.controls.untrained = untrained;
                asked.controls.wrong_tasks =
                    self.tried_elsewhere(panels, asked.claim, wrong_tasks, &everything);
            }
        }
        Ok(())
    }

    /// Continues the panels of the claims up to a size.
    fn try_panel(
        &self,
        panels: &mut Panels,
        asked: &mut [&mut Asked],
        size: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), EngineError> {
        for asked in asked {
            let Asked { claim, decoys, .. } = &**asked;
            panels.ask(claim.variable, &claim.node_set, &claim.affected_tokens);
            for decoy in decoys {
                panels.ask(claim.variable, decoy, &claim.affected_tokens);
            }
            for variable in self.wrong_digits(claim) {
                panels.ask(variable, &claim.node_set, &elsewhere(claim));
            }
            if size == SIDE_TRIALS {
                for variable in self.wrong_tasks(claim.variable) {
                    panels.ask(variable, &claim.node_set, &self.everything());
                }
            }
        }
        panels.run(self, size, progress)
    }

    fn everything(&self) -> AffectedTokens {
        AffectedTokens::everything(self.bench.engine.shape().n_digits)
    }

    /// Compares claims with their decoys and with themselves at other digits, on all pairs so far.
    fn compare(&self, asked: &mut [&mut Asked], panels: &Panels) -> Result<(), EngineError> {
        for (variable, mut asked) in by_variable(asked) {
            self.find_carriers(variable, &mut asked, panels)?;
            for asked in asked {
                self.compare_one(asked, panels);
            }
        }
        Ok(())
    }

    fn compare_one(&self, asked: &mut Asked, panels: &Panels) {
        let claim = asked.claim;
        let own = panels.get(claim.variable, &claim.node_set, &claim.affected_tokens);
        let interchange_accuracy = count(own);
        let errors = self.errors(asked);
        let wrong_digits = self.wrong_digits(claim);
        let wrong_digits = self.tried_elsewhere(panels, claim, wrong_digits, &elsewhere(claim));
        let by_digit: Vec<Bounds> = wrong_digits
            .iter()
            .map(|wrong| difference(interchange_accuracy, wrong.interchange_accuracy, errors))
            .collect();
        let by_decoys = try_decoys(asked, panels, errors);
        let lowest = |bounds: &[Bounds], bound: fn(&Bounds) -> f64, start: f64| {
            bounds.iter().map(bound).fold(start, f64::min)
        };
        let most = lowest(
            &by_decoys,
            |by| by.upper,
            interchange_accuracy.upper(errors.upper),
        );
        let controls = &mut asked.controls;
        controls.interchange_accuracy = interchange_accuracy;
        controls.wrong_digits = wrong_digits;
        controls.beats_decoys_by = (controls.decoys.iter())
            .filter(|decoy| !decoy.carries)
            .map(|decoy| decoy.difference_lower)
            .fold(interchange_accuracy.lower(errors.lower), f64::min);
        controls.beats_wrong_digits_by = by_digit.iter().map(|by| by.lower).min_by(f64::total_cmp);
        controls.beats_all_by_at_most = lowest(&by_digit, |by| by.upper, most);
    }

    /// The error of a comparison of a claim with one control.
    fn errors(&self, asked: &Asked) -> Errors {
        let alpha = asked.claim.alpha / PANELS.len() as f64;
        // Every control must be beaten; a single one that is not is enough against the claim.
        let decoys = asked.decoys.len() + asked.controls.decoys.len();
        let controls = decoys + self.wrong_digits(asked.claim).len();
        Errors {
            lower: alpha,
            upper: alpha / controls.max(1) as f64,
        }
    }

    /// For decoys that may be additional carriers of a variable: whether they leave control pairs
    /// unchanged.
    fn find_carriers(
        &self,
        variable: Variable,
        asked: &mut [&mut Asked],
        panels: &Panels,
    ) -> Result<(), EngineError> {
        let mut unknown: BTreeSet<NodeSet> = BTreeSet::new();
        for asked in &*asked {
            let errors = self.errors(asked);
            let may_carry = (asked.decoys.iter())
                .filter(|decoy| compared(asked.claim, decoy, panels, errors).may_carry)
                .filter(|decoy| !asked.leaves_control_pairs_alone.contains_key(*decoy));
            unknown.extend(may_carry.cloned());
        }
        let unknown: Vec<NodeSet> = unknown.into_iter().collect();
        let found = self.leave_control_pairs_alone(variable, &unknown)?;
        for asked in asked {
            let found = unknown.iter().cloned().zip(found.iter().copied());
            asked.leaves_control_pairs_alone.extend(found);
        }
        Ok(())
    }

    /// The results of a claim's nodes for other variables, on all pairs of their panels so far.
    fn tried_elsewhere(
        &self,
        panels: &Panels,
        claim: &Controlled,
        variables: Vec<Variable>,
        affected_tokens: &AffectedTokens,
    ) -> Vec<ElsewhereResult> {
        let of = |variable| ElsewhereResult {
            variable,
            interchange_accuracy: count(panels.get(variable, &claim.node_set, affected_tokens)),
        };
        let results = variables.into_iter().map(of);
        results
            .filter(|result| result.interchange_accuracy.trials > 0)
            .collect()
    }

    /// For a single node: every node of its kind that is not claimed for the variable, lies at or
    /// before the position that predicts the last affected token, and is not fed by the node (what
    /// it feeds gets its value from it). For a set: sets of such nodes of the same kinds, up to
    /// [`DECOYS`].
    fn decoys(&self, claim: &Controlled) -> Vec<NodeSet> {
        if !claim.hangs_on_selectivity {
            return Vec::new();
        }
        let shape = self.bench.engine.shape();
        let lowest = claim
            .affected_tokens
            .tokens()
            .iter()
            .last()
            .unwrap_or(AnswerToken(0));
        let last_position = shape.predicting(lowest);
        let taken = self.claimed.get(&claim.variable);
        let nodes = &claim.node_set.nodes;
        let free = |node: &Node| {
            node.position() <= last_position
                && !taken.is_some_and(|taken| taken.contains(node))
                && !nodes.iter().any(|own| own == node || own.can_feed(node))
        };
        let pool: Vec<Node> = Node::all(&shape).into_iter().filter(free).collect();
        let like = |chosen: Vec<Node>| {
            let held = claim.node_set.mean_ablated.iter().copied();
            NodeSet::of(chosen).with_mean_ablated(held)
        };
        if let ([node], true) = (&nodes[..], claim.node_set.mean_ablated.is_empty()) {
            let same_kind = pool.iter().filter(|other| other.same_kind(node));
            return same_kind.map(|&other| NodeSet::of([other])).collect();
        }
        let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
        let name = format!("{}/decoys/{}", claim.variable, names.join("+"));
        let mut rng = stream(PANEL_SEED, &name);
        let mut found: Vec<NodeSet> = Vec::new();
        // More attempts than decoys wanted, since small models have few distinct sets to draw.
        for _ in 0..4 * DECOYS {
            if found.len() >= DECOYS {
                break;
            }
            let mut shuffled = pool.clone();
            shuffled.shuffle(&mut rng);
            let mut chosen: Vec<Node> = Vec::new();
            for node in nodes {
                let next = shuffled
                    .iter()
                    .find(|other| other.same_kind(node) && !chosen.contains(other));
                chosen.extend(next);
            }
            let decoy = like(chosen);
            if decoy.nodes.len() == nodes.len() && !found.contains(&decoy) {
                found.push(decoy);
            }
        }
        found
    }

    /// For each node set, whether it leaves control pairs unchanged.
    fn leave_control_pairs_alone(
        &self,
        variable: Variable,
        node_sets: &[NodeSet],
    ) -> Result<Vec<bool>, EngineError> {
        if node_sets.is_empty() {
            return Ok(Vec::new());
        }
        let trials = self.side_pairs(variable, Kind::Control, CARRIER_CONTROL_PAIRS);
        let mut changed = vec![Count::default(); node_sets.len()];
        (self.bench).run(variable, &trials, SourceFrom::Source, node_sets, |block| {
            count_changed(&block, &mut changed);
        })?;
        Ok((changed.iter())
            .map(|changed| changed.share() <= NEGLIGIBLE)
            .collect())
    }

    fn side_pairs(
        &self,
        variable: Variable,
        kind: Kind,
        trials: usize,
    ) -> Vec<(crate::domain::causal::Stratum, crate::domain::causal::Pair)> {
        let n_digits = self.bench.engine.shape().n_digits;
        let family = Family::new(variable, kind, n_digits);
        let name = kind.stream_name();
        let mut rng = stream(self.rules.seed, &format!("{variable}/{name}/controls"));
        family.draws().take(trials, &mut rng)
    }

    /// How often patching each claim's nodes with their own activations changes an answer.
    fn own_activation(
        &self,
        variable: Variable,
        asked: &[&mut Asked],
    ) -> Result<Vec<Count>, EngineError> {
        let pairs = self.side_pairs(variable, Kind::Counterfactual, SIDE_TRIALS);
        let mut changed = vec![Count::default(); asked.len()];
        let node_sets = without_ablation(asked);
        (self.bench).run(variable, &pairs, SourceFrom::Base, &node_sets, |block| {
            count_changed(&block, &mut changed);
        })?;
        Ok(changed)
    }

    /// How often each claim's nodes of the untrained network give the answer predicted.
    fn untrained(
        &self,
        variable: Variable,
        asked: &[&mut Asked],
    ) -> Result<Vec<Count>, EngineError> {
        debug_assert_eq!(self.untrained.reference, Reference::Own);
        let pairs = self.side_pairs(variable, Kind::Counterfactual, SIDE_TRIALS);
        let terms: Vec<Terms> = (asked.iter())
            .map(|asked| Terms::new(variable, asked.claim.affected_tokens.clone()))
            .collect();
        let mut agreed = vec![Count::default(); asked.len()];
        let node_sets = without_ablation(asked);
        (self.untrained).run(variable, &pairs, SourceFrom::Source, &node_sets, |block| {
            for ((agreed, terms), outcomes) in agreed.iter_mut().zip(&terms).zip(&block.outcomes) {
                for (trial, outcome) in block.trials.iter().zip(outcomes) {
                    let agrees = outcome
                        .as_ref()
                        .and_then(|o| trial.interchange_accuracy(o, terms));
                    agrees.into_iter().for_each(|agrees| agreed.add(agrees));
                }
            }
        })?;
        Ok(agreed)
    }

    fn testable(&self, variable: Variable) -> bool {
        let n_digits = self.bench.engine.shape().n_digits;
        testable(variable, n_digits, self.baseline).is_ok()
    }

    fn wrong_digits(&self, claim: &Controlled) -> Vec<Variable> {
        let n_digits = self.bench.engine.shape().n_digits;
        let variable = claim.variable;
        let Some(own) = variable.digit.filter(|_| claim.hangs_on_selectivity) else {
            return Vec::new();
        };
        (0..=n_digits)
            .filter(|&digit| digit != own)
            .map(|digit| Variable {
                digit: Some(digit),
                ..variable
            })
            .filter(|&variable| self.testable(variable))
            .collect()
    }

    fn wrong_tasks(&self, variable: Variable) -> Vec<Variable> {
        Task::all()
            .filter(|&task| task != variable.task && task.takes_digit() == variable.digit.is_some())
            .map(|task| Variable { task, ..variable })
            .filter(|&variable| self.testable(variable))
            .collect()
    }
}

/// Claims by variable, in order.
fn by_variable<'a, 'c>(
    asked: &'a mut [&mut Asked<'c>],
) -> BTreeMap<Variable, Vec<&'a mut Asked<'c>>> {
    let mut by_variable: BTreeMap<Variable, Vec<&mut Asked>> = BTreeMap::new();
    for asked in asked {
        let of = by_variable.entry(asked.claim.variable).or_default();
        of.push(asked);
    }
    by_variable
}

/// The claims' nodes, where nothing else is patched, so that mean-ablated nodes play no part.
fn without_ablation(asked: &[&mut Asked]) -> Vec<NodeSet> {
    (asked.iter())
        .map(|asked| NodeSet::of(asked.claim.node_set.nodes.iter().copied()))
        .collect()
}

/// Counts, for each node set, the trials of a block whose answer changed.
fn count_changed(block: &TrialBlock, changed: &mut [Count]) {
    for (changed, outcomes) in changed.iter_mut().zip(&block.outcomes) {
        for (trial, outcome) in block.trials.iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                changed.add(outcome.answer != trial.reference);
            }
        }
    }
}

/// A decoy compared with a claim's nodes.
struct Compared {
    interchange_accuracy: Count,
    /// Margin of the claim's nodes over the decoy.
    by: Bounds,
    /// Whether the decoy may be an additional carrier: not clearly beaten, and possibly as predicted
    /// half as often as the claim's own nodes.
    may_carry: bool,
    /// Whether it is known to be as predicted that often.
    as_often: bool,
}

fn compared(claim: &Controlled, decoy: &NodeSet, panels: &Panels, errors: Errors) -> Compared {
    let own = panels.get(claim.variable, &claim.node_set, &claim.affected_tokens);
    let theirs = panels.get(claim.variable, decoy, &claim.affected_tokens);
    let enough = HALF * count(own).share();
    let interchange_accuracy = count(theirs);
    let by = paired(own, theirs, errors);
    Compared {
        interchange_accuracy,
        by,
        may_carry: by.lower < SELECTIVITY_MARGIN
            && interchange_accuracy.upper(errors.upper) >= enough,
        as_often: interchange_accuracy.lower(errors.lower) >= enough,
    }
}

/// Compares a claim with its decoys; those that are clearly beaten are not tried again. Returns the
/// margin over each decoy tried that is no additional carrier.
fn try_decoys(asked: &mut Asked, panels: &Panels, errors: Errors) -> Vec<Bounds> {
    let mut bounds = Vec::new();
    let mut left = Vec::new();
    let asked_again: BTreeSet<Vec<NodeName>> = asked
        .decoys
        .iter()
        .map(|decoy| Node::names(&decoy.nodes))
        .collect();
    (asked.controls.decoys).retain(|decoy| !asked_again.contains(&decoy.nodes));
    for decoy in std::mem::take(&mut asked.decoys) {
        let found = compared(asked.claim, &decoy, panels, errors);
        let may_carry = found.may_carry && asked.leaves_control_pairs_alone[&decoy];
        let carries = may_carry && found.as_often;
        // If it is open whether a decoy is an additional carrier, what it says about the claim is
        // open too.
        if !may_carry {
            bounds.push(found.by);
        }
        asked.controls.decoys.push(DecoyResult {
            nodes: Node::names(&decoy.nodes),
            interchange_accuracy: found.interchange_accuracy,
            difference_lower: found.by.lower,
            carries,
        });
        if found.by.lower < SELECTIVITY_MARGIN && !carries {
            left.push(decoy);
        }
    }
    asked.decoys = left;
    asked.controls.decoys.sort_by(|a, b| {
        (a.difference_lower.total_cmp(&b.difference_lower)).then(a.nodes.cmp(&b.nodes))
    });
    bounds
}

fn count(column: &AgreementColumn) -> Count {
    let mut count = Count::default();
    column
        .iter()
        .flatten()
        .for_each(|&agrees| count.add(agrees));
    count
}

/// Bounds of the difference in interchange accuracy of two node sets over the trials that count for
/// both; infinite where there are none.
pub fn paired(first: &[Option<bool>], second: &[Option<bool>], errors: Errors) -> Bounds {
    let pairs = || {
        first
            .iter()
            .zip(second)
            .filter_map(|(a, b)| Some(((*a)?, (*b)?)))
    };
    let first_only = pairs().filter(|&(a, b)| a && !b).count() as u64;
    let second_only = pairs().filter(|&(a, b)| b && !a).count() as u64;
    match pairs().count() as u64 {
        0 => Bounds {
            lower: f64::NEG_INFINITY,
            upper: f64::INFINITY,
        },
        trials => paired_difference(first_only, second_only, trials, errors),
    }
}

/// A claim with its controls so far.
struct Asked<'a> {
    claim: &'a Controlled,
    /// The decoys to try on the next panel.
    decoys: Vec<NodeSet>,
    /// The result of each decoy is of the last panel it was tried on.
    controls: Controls,
    /// Of decoys that may be additional carriers: whether they leave control pairs unchanged.
    leaves_control_pairs_alone: BTreeMap<NodeSet, bool>,
}

/// The affected tokens of the claim's nodes for another variable, in every group of pairs.
fn elsewhere(claim: &Controlled) -> AffectedTokens {
    AffectedTokens::Tokens(claim.affected_tokens.tokens())
}

/// Outcomes on growing panels of pairs, one panel a variable, whose runs all claims share.
#[derive(Default)]
struct Panels {
    of: BTreeMap<Variable, Panel>,
}

#[derive(Default)]
struct Panel {
    /// Pairs run so far.
    drawn: usize,
    columns: BTreeMap<(NodeSet, AffectedTokens), AgreementColumn>,
    /// The columns to continue on the next pairs.
    asked: BTreeSet<(NodeSet, AffectedTokens)>,
}

impl Panels {
    fn ask(&mut self, variable: Variable, node_set: &NodeSet, affected_tokens: &AffectedTokens) {
        let panel = self.of.entry(variable).or_default();
        (panel.asked).insert((node_set.clone(), affected_tokens.clone()));
    }

    fn get(
        &self,
        variable: Variable,
        node_set: &NodeSet,
        affected_tokens: &AffectedTokens,
    ) -> &AgreementColumn {
        &self.of[&variable].columns[&(node_set.clone(), affected_tokens.clone())]
    }

    /// Continues every column that is asked for, up to `size` pairs.
    fn run(
        &mut self,
        setting: &Setting,
        size: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), EngineError> {
        let of = self.of.len();
        for (done, (&variable, panel)) in self.of.iter_mut().enumerate() {
            progress(done, of);
            let asked = std::mem::take(&mut panel.asked);
            if asked.is_empty() {
                continue;
            }
            let pairs = setting.side_pairs(variable, Kind::Counterfactual, size);
            let pairs = &pairs[panel.drawn.min(pairs.len())..];
            panel.drawn = size;
            let mut node_sets: Vec<NodeSet> = asked.iter().map(|(s, _)| s.clone()).collect();
            node_sets.dedup();
            setting
                .bench
                .run(variable, pairs, SourceFrom::Source, &node_sets, |block| {
                    for (node_set, affected_tokens) in &asked {
                        let at = node_sets
                            .binary_search(node_set)
                            .expect("the node set of every column is run");
                        let terms = Terms::new(variable, affected_tokens.clone());
                        let outcomes = block.trials.iter().zip(&block.outcomes[at]);
                        let key = (node_set.clone(), affected_tokens.clone());
                        let column = panel.columns.entry(key).or_default();
                        column.extend(outcomes.map(|(trial, outcome)| {
                            trial.interchange_accuracy(outcome.as_ref()?, &terms)
                        }));
                    }
                })?;
            for key in asked {
                panel.columns.entry(key).or_default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(first: usize, second: usize, trials: usize) -> [AgreementColumn; 2] {
        [first, second].map(|hits| (0..trials).map(|i| Some(i < hits)).collect())
    }

    fn controls(by: Bounds) -> Controls {
        Controls {
            own_activation: Count::default(),
            interchange_accuracy: Count::default(),
            decoys: Vec::new(),
            wrong_digits: Vec::new(),
            wrong_tasks: Vec::new(),
            untrained: Count::default(),
            beats_decoys_by: by.lower,
            beats_wrong_digits_by: None,
            beats_all_by_at_most: by.upper,
        }
    }

    #[test]
    fn selectivity_is_shown_lacking_or_open() {
        let of = |first, second, trials| {
            let [first, second] = columns(first, second, trials);
            controls(paired(&first, &second, Errors::even(0.001))).selectivity()
        };
        assert_eq!(of(64, 0, 64), Selectivity::Shown);
        assert_eq!(of(1000, 950, 1000), Selectivity::Lacking);
        assert_eq!(of(64, 50, 64), Selectivity::Open);
        assert_eq!(of(0, 0, 0), Selectivity::Open);
    }

    #[test]
    fn the_bounds_of_a_difference_hold_it() {
        let [first, second] = columns(180, 90, 200);
        let by = paired(&first, &second, Errors::even(0.001));
        assert!(by.lower < 0.45 && 0.45 < by.upper, "{by:?}");
        let swapped = paired(&second, &first, Errors::even(0.001));
        assert!((swapped.lower + by.upper).abs() < 1e-12);
    }
}
