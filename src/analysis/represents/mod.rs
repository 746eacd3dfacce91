//! What a node represents: every quantity of a catalogue is tried by interchange interventions, and
//! those that hold are distinguished from each other.

mod apart;
mod catalogue;
mod sets;
mod table;

pub use catalogue::{as_part, catalogue, could_carry, rank};
pub use table::nodes_text;

use std::collections::BTreeMap;

use serde::Serialize;

use super::published::{Quirks, draw_set, useful};
use crate::domain::arithmetic::{Class, TokenSet};
use crate::domain::causal::{Family, Kind, Quantity};
use crate::domain::node::{Node, NodeName};
use crate::experiment::{
    AffectedTokens, Baseline, Bench, Goal, Measures, NodeSet, Reference, Rules, SourceFrom,
    Standing, Terms, TrialTally, default_block, judge, stream,
};
use crate::inputs::model::ModelFolder;
use crate::network::engine::{Activations, Decode, Engine, EngineError};
use crate::verify::Progress;

/// Counterfactual pairs on which a quantity is screened, for each stratum up to
/// [`SCREENED_STRATA`]…
const SCREEN: usize = 16;

/// …since more strata would cost more than they show.
const SCREENED_STRATA: usize = 3;

/// A quantity is judged only if at least this share of screening trials moved some token as
/// predicted. A represented quantity moves nearly all.
const SCREENED_IN: f64 = 0.3;

/// Fewest trials for a token's share to count.
const FEWEST: u64 = 4;

/// Column parts of which at least this share moves as predicted are tried in pairs, if none holds
/// alone.
const PART_OF_TWO: f64 = 0.5;

/// Most parts that are combined into pairs.
const MOST_PARTS: usize = 4;

/// Default budget of counterfactual trials for one quantity and node set.
pub const MAX_TRIALS: usize = 2048;

/// A quantity judged for a node set, on fresh trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantityScore {
    pub quantity: Quantity,
    /// The affected tokens it was judged on.
    pub affected_tokens: TokenSet,
    /// Whether interchange accuracy reaches the threshold and there are no side effects.
    pub holds: bool,
    /// Interchange accuracy on counterfactual trials and changes on control trials, with intervals.
    pub measures: Measures,
}

impl QuantityScore {
    /// The score for ranking: the lowest interchange accuracy of any aspect (of effect, for a
    /// quantity that predicts only a direction), minus the share of control trials that changed.
    pub fn share(&self) -> f64 {
        let direction_only = self.quantity.predicts_only_direction();
        let shares = self.measures.deciding(direction_only).into_iter();
        let lowest = shares.map(|rate| rate.share()).fold(1.0, f64::min);
        lowest - self.measures.control_pairs.share()
    }
}

/// A quantity that moved too little on the screening pairs to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScreenedOut {
    pub quantity: Quantity,
    /// The largest share, over tokens, of trials that moved the token as predicted.
    pub moved: f64,
}

/// A quantity that a node set represents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carried {
    pub quantity: Quantity,
    /// Quantities that also hold and cannot be distinguished from it at these nodes by any pair of
    /// questions.
    pub same_here: Vec<Quantity>,
    /// Quantities that also hold, but are right less often where their predictions differ.
    pub contains: Vec<Quantity>,
}

/// What a node set represents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carrier {
    pub nodes: Vec<NodeName>,
    /// The quantities represented: none of the catalogue, one per class, or more.
    pub carries: Vec<Carried>,
    /// Quantities that were judged, best first.
    pub scores: Vec<QuantityScore>,
    /// Quantities that were screened out, those with the largest shares first.
    pub screened_out: Vec<ScreenedOut>,
}

impl Carrier {
    /// Whether no quantity of the catalogue is represented.
    pub fn is_none(&self) -> bool {
        self.carries.is_empty()
    }

    /// Whether two or more quantities are represented on the questions of one class.
    pub fn is_several(&self) -> bool {
        let of = |class: Class| {
            let carried = self.carries.iter().map(|carried| carried.quantity);
            let about = carried.filter(|quantity| quantity.classes().contains(&class));
            about
                .map(|quantity| match quantity {
                    Quantity::Both(..) => 2,
                    _ => 1,
                })
                .sum::<usize>()
        };
        Class::ALL.into_iter().any(|class| of(class) > 1)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carriers {
    /// The classes that the model answers accurately enough.
    pub classes: Vec<Class>,
    pub catalogue: usize,
    pub sets: usize,
    pub options: Rules,
    /// The node sets: those requested; otherwise every useful node, and the sets within one layer
    /// that represent something no subset does.
    pub carriers: Vec<Carrier>,
}

/// The search for what a model's nodes represent.
pub struct CarrierSearch<'a> {
    engine: &'a Engine,
    options: Rules,
    classes: Vec<Class>,
    catalogue: Vec<Quantity>,
    no_means: Activations,
}

/// The useful nodes: those whose mean ablation makes some question fail. The question set is drawn
/// as for the published files, with means taken per layer.
///
/// # Errors
/// [`EngineError`], which does not occur for questions drawn for this model.
pub fn useful_nodes(
    folder: &ModelFolder,
    engine: &Engine,
    seed: u64,
) -> Result<Vec<Node>, EngineError> {
    let set = draw_set(folder, &mut stream(seed, "question set"));
    let found = useful(engine, &set, &Quirks::none())?;
    Ok(found.nodes.into_iter().map(|useful| useful.node).collect())
}

/// Screening results by quantity and node set: the largest share, over tokens, of trials that moved
/// the token as predicted.
type Screened = BTreeMap<(usize, usize), f64>;

impl<'a> CarrierSearch<'a> {
    /// Measures which classes the model answers accurately enough.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn new(
        folder: &ModelFolder,
        engine: &'a Engine,
        options: Rules,
    ) -> Result<Self, EngineError> {
        let baseline = Baseline::measure(engine, folder.operations(), options.alpha, options.seed)?;
        let classes: Vec<Class> = baseline.passing().collect();
        Ok(CarrierSearch {
            engine,
            options,
            catalogue: catalogue(&classes, engine.shape().n_digits),
            classes,
            no_means: engine.activations(&[], [])?,
        })
    }

    /// The classes that the model answers accurately enough.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// What one node set represents.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn of_set(
        &self,
        nodes: &[Node],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Carriers, EngineError> {
        let node_sets = [NodeSet::of(nodes.iter().copied())];
        let carriers = self.carriers(&node_sets, 1, progress)?;
        Ok(self.found(1, carriers))
    }

    /// What each of these nodes represents, and each set of them within one layer.
    ///
    /// # Errors
    /// As [`CarrierSearch::of_set`].
    pub fn of_all(
        &self,
        nodes: &[Node],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Carriers, EngineError> {
        let mut node_sets: Vec<NodeSet> = nodes.iter().map(|&node| NodeSet::of([node])).collect();
        node_sets.extend(sets::beside_each_other(nodes));
        // Which sets across positions are tried depends on what single nodes move, so error is
        // reserved for the largest possible number of them.
        let across = sets::most_across(nodes);
        let sets = node_sets.len() + across;
        let screened = self.screen(&node_sets, progress)?;
        let mut carriers = self.judged(&node_sets, &screened, sets, progress)?;
        let proposed = sets::across(&self.catalogue, &node_sets, &carriers, &screened, across);
        carriers.extend(self.carriers(&proposed, sets, progress)?);
        let kept = sets::that_add_something(carriers);
        Ok(self.found(sets, kept))
    }

    fn found(&self, sets: usize, carriers: Vec<Carrier>) -> Carriers {
        Carriers {
            classes: self.classes.clone(),
            catalogue: self.catalogue.len(),
            sets,
            options: self.options,
            carriers,
        }
    }

    fn carriers(
        &self,
        node_sets: &[NodeSet],
        sets: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Carrier>, EngineError> {
        let screened = self.screen(node_sets, progress)?;
        self.judged(node_sets, &screened, sets, progress)
    }

    fn bench(&self) -> Bench<'_> {
        Bench {
            engine: self.engine,
            means: &self.no_means,
            decode: Decode::Forced,
            reference: Reference::Truth,
            block: default_block(self.engine),
        }
    }

    /// Rules with the error that each quantity may spend at each of `sets` node sets, in each
    /// direction; the same number again may be tried in pairs.
    fn rules(&self, sets: usize) -> Rules {
        let tried = sets.max(1) * (self.catalogue.len() + MOST_PARTS * self.classes.len()).max(1);
        self.options
            .with_alpha(self.options.alpha / (2 * tried) as f64)
    }

    /// Tries every quantity that the nodes could represent on a few pairs.
    fn screen(
        &self,
        node_sets: &[NodeSet],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Screened, EngineError> {
        let shape = self.engine.shape();
        let mut screened = Screened::new();
        for (i, &quantity) in self.catalogue.iter().enumerate() {
            progress(Progress {
                phase: "screening",
                done: i,
                of: self.catalogue.len(),
            });
            let able: Vec<usize> = (0..node_sets.len())
                .filter(|&node_set| could_carry(&node_sets[node_set].nodes, quantity, &shape))
                .collect();
            if able.is_empty() {
                continue;
            }
            let family = Family::new(quantity, Kind::Counterfactual, shape.n_digits);
            let mut rng = stream(self.options.seed, &format!("{quantity}/telling/screen"));
            let strata = family.strata().len().min(SCREENED_STRATA);
            let pairs = family.draws().take(SCREEN * strata, &mut rng);
            let tried: Vec<NodeSet> = able.iter().map(|&s| node_sets[s].clone()).collect();
            let terms = Terms::new(quantity, AffectedTokens::everything(shape.n_digits));
            let mut tallies = vec![TrialTally::default(); able.len()];
            let source = SourceFrom::Source;
            (self.bench()).run(quantity, &pairs, source, &tried, |block| {
                for (tally, outcomes) in tallies.iter_mut().zip(&block.outcomes) {
                    for (trial, outcome) in block.trials.iter().zip(outcomes) {
                        tally.add(Kind::Counterfactual, trial, outcome.as_ref(), &terms);
                    }
                }
            })?;
            for (node_set, tally) in able.into_iter().zip(tallies) {
                screened.insert((i, node_set), moved(&tally, &terms));
            }
        }
        Ok(screened)
    }

    /// Judges what passed screening, and distinguishes the quantities that hold.
    fn judged(
        &self,
        node_sets: &[NodeSet],
        screened: &Screened,
        sets: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Carrier>, EngineError> {
        let rules = self.rules(sets);
        let mut scores: Vec<Vec<QuantityScore>> = vec![Vec::new(); node_sets.len()];
        let mut wanted: BTreeMap<Quantity, Vec<usize>> = BTreeMap::new();
        for (&(quantity, node_set), &share) in screened {
            if share >= SCREENED_IN {
                let quantity = self.catalogue[quantity];
                wanted.entry(quantity).or_default().push(node_set);
            }
        }
        self.judge(node_sets, wanted, rules, &mut scores, progress)?;
        let mut pairs: BTreeMap<Quantity, Vec<usize>> = BTreeMap::new();
        for (node_set, scores) in scores.iter().enumerate() {
            for both in self.two_at_once(node_set, scores, screened) {
                pairs.entry(both).or_default().push(node_set);
            }
        }
        self.judge(node_sets, pairs, rules, &mut scores, progress)?;
        let mut screened_out: Vec<Vec<ScreenedOut>> = vec![Vec::new(); node_sets.len()];
        for (&(quantity, node_set), &moved) in screened {
            if moved < SCREENED_IN {
                let quantity = self.catalogue[quantity];
                screened_out[node_set].push(ScreenedOut { quantity, moved });
            }
        }
        let mut carriers = Vec::new();
        for ((node_set, mut scores), mut screened_out) in
            node_sets.iter().zip(scores).zip(screened_out)
        {
            screened_out.sort_by(|a, b| b.moved.total_cmp(&a.moved));
            scores.sort_by(|a, b| {
                let by_share = b.share().total_cmp(&a.share());
                let by_standing = b.holds.cmp(&a.holds);
                by_standing.then(by_share).then(a.quantity.cmp(&b.quantity))
            });
            let held: Vec<&QuantityScore> = scores.iter().filter(|score| score.holds).collect();
            carriers.push(Carrier {
                nodes: Node::names(&node_set.nodes),
                carries: self.told_apart(node_set, &held)?,
                scores,
                screened_out,
            });
        }
        Ok(carriers)
    }

    fn judge(
        &self,
        node_sets: &[NodeSet],
        wanted: BTreeMap<Quantity, Vec<usize>>,
        rules: Rules,
        scores: &mut [Vec<QuantityScore>],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), EngineError> {
        let of = wanted.len();
        let bench = self.bench();
        for (done, (quantity, able)) in wanted.into_iter().enumerate() {
            progress(Progress {
                phase: "judging",
                done,
                of,
            });
            let tried: Vec<NodeSet> = able.iter().map(|&s| node_sets[s].clone()).collect();
            let name = "carries";
            let goal = Goal::Holds;
            let findings = judge(&bench, quantity, tried, goal, rules, name)?;
            for (node_set, finding) in able.into_iter().zip(findings) {
                scores[node_set].push(QuantityScore {
                    quantity,
                    affected_tokens: finding.reached(),
                    holds: finding.standing == Standing::Holds,
                    measures: finding.measures,
                });
            }
        }
        Ok(())
    }

    /// Pairs of column parts to try together, for a node set that represents nothing on the
    /// questions of a class but moves several parts as predicted.
    fn two_at_once(
        &self,
        node_set: usize,
        scores: &[QuantityScore],
        screened: &Screened,
    ) -> Vec<Quantity> {
        let mut found = Vec::new();
        for &class in &self.classes {
            let about = |score: &&QuantityScore| score.quantity.classes().contains(&class);
            if scores.iter().filter(about).any(|score| score.holds) {
                continue;
            }
            let mut parts: Vec<(f64, crate::domain::causal::ColumnQuantity)> =
                (self.catalogue.iter())
                    .enumerate()
                    .filter_map(|(i, &quantity)| {
                        let share = *screened.get(&(i, node_set))?;
                        (share >= PART_OF_TWO).then_some((share, as_part(quantity, class)?))
                    })
                    .collect();
            parts.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            parts.truncate(MOST_PARTS);
            for (i, &(_, first)) in parts.iter().enumerate() {
                // Two parts of one column make up the whole, or one contains the other.
                let others = parts[i + 1..].iter().map(|&(_, other)| other);
                let others = others.filter(|other| other.digit != first.digit);
                found.extend(others.map(|other| Quantity::Both(first, other)));
            }
        }
        found
    }
}

/// The largest share, over tokens, of trials that moved the token as predicted; for a quantity that
/// predicts only a direction, the share of trials as predicted.
fn moved(tally: &TrialTally, terms: &Terms) -> f64 {
    if terms.direction_only {
        let shares = tally
            .counterfactual
            .values()
            .map(|counterfactual| counterfactual.effect.share());
        return shares.fold(0.0, f64::max);
    }
    let tokens = tally.by_token();
    let seen = tokens.values().filter(|count| count.trials >= FEWEST);
    seen.map(|count| count.share()).fold(0.0, f64::max)
}
