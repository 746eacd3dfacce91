//! What a node carries: every quantity of a catalogue is put to it by interchange, and those that
//! pass are told apart.

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

/// Counterfactual pairs on which a quantity is screened, for each stratum up to [`SCREENED_STRATA`]…
const SCREEN: usize = 16;

/// …of which more would cost more than they tell.
const SCREENED_STRATA: usize = 3;

/// A quantity is judged where at least this share of screening trials moved some token as predicted.
/// One that is carried moves nearly all of them.
const SCREENED_IN: f64 = 0.3;

/// Trials below which a token's share says nothing.
const FEWEST: u64 = 4;

/// Parts of which at least this share moves as predicted are tried together, where none holds alone.
const PART_OF_TWO: f64 = 0.5;

/// Most parts of which pairs are tried together.
const MOST_PARTS: usize = 4;

/// Counterfactual trials after which the sampling of one quantity at one node set ends, unless another
/// budget is asked for.
pub const MAX_TRIALS: usize = 2048;

/// A quantity judged at a node set, on fresh trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantityScore {
    pub quantity: Quantity,
    /// The tokens it was judged on: those that the nodes reach.
    pub affected_tokens: TokenSet,
    /// Whether interchange accuracy reaches the threshold and nothing else moves.
    pub holds: bool,
    /// Interchange accuracy on counterfactual trials, control-pair rate on the others, with intervals.
    pub measures: Measures,
}

impl QuantityScore {
    /// The lowest share of interchange accuracy of any aspect (of effect, for what predicts only a direction),
    /// less that of control trials that changed: what scores are ranked by.
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
    /// The largest share of any token's trials that moved it as predicted.
    pub moved: f64,
}

/// A quantity that is carried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carried {
    pub quantity: Quantity,
    /// Quantities that also hold, and of which no pair of questions shows the difference here.
    pub same_here: Vec<Quantity>,
    /// Quantities that also hold, but less often right where their predictions differ.
    pub contains: Vec<Quantity>,
}

/// What a node set carries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carrier {
    pub nodes: Vec<NodeName>,
    /// What they carry: nothing of the catalogue, one quantity for a class, or more.
    pub carries: Vec<Carried>,
    /// Of the quantities they could carry, those that were judged, the best first.
    pub scores: Vec<QuantityScore>,
    /// The others, those that moved most first.
    pub screened_out: Vec<ScreenedOut>,
}

impl Carrier {
    /// Whether none of the catalogue is carried.
    pub fn is_none(&self) -> bool {
        self.carries.is_empty()
    }

    /// Whether two quantities or more are carried on the questions of one class.
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
    /// The classes that the model answers well enough.
    pub classes: Vec<Class>,
    pub catalogue: usize,
    pub sets: usize,
    pub options: Rules,
    /// The node sets: those asked for; or every useful node, and the sets inside one layer that carry
    /// what none of their parts does.
    pub carriers: Vec<Carrier>,
}

/// A model whose nodes are asked what they carry.
pub struct CarrierSearch<'a> {
    engine: &'a Engine,
    options: Rules,
    classes: Vec<Class>,
    catalogue: Vec<Quantity>,
    no_means: Activations,
}

/// The nodes without which some question of a set goes wrong: the set is drawn as the published ones
/// were, the means are taken of each layer.
///
/// # Errors
/// [`EngineError`], which questions drawn for this model do not cause.
pub fn useful_nodes(
    folder: &ModelFolder,
    engine: &Engine,
    seed: u64,
) -> Result<Vec<Node>, EngineError> {
    let set = draw_set(folder, &mut stream(seed, "question set"));
    let found = useful(engine, &set, &Quirks::none())?;
    Ok(found.nodes.into_iter().map(|useful| useful.node).collect())
}

/// What screening saw: by quantity and node set, the largest share of any token's trials that moved it
/// as predicted.
type Screened = BTreeMap<(usize, usize), f64>;

impl<'a> CarrierSearch<'a> {
    /// Measures which classes the model answers well enough to be asked about.
    ///
    /// # Errors
    /// [`EngineError`], which questions drawn for this model do not cause.
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

    /// The classes that the model answers well enough.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// What one node set carries.
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

    /// What every one of these nodes carries, and every set of them inside one layer.
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
        // Sets across positions are proposed by what single nodes move in part; the error they may
        // spend is laid aside for as many as there can be.
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

    /// Error that each quantity at each of `sets` node sets may spend in each direction; as many
    /// again may be tried two at a time.
    fn rules(&self, sets: usize) -> Rules {
        let tried = sets.max(1) * (self.catalogue.len() + MOST_PARTS * self.classes.len()).max(1);
        self.options
            .with_alpha(self.options.alpha / (2 * tried) as f64)
    }

    /// Tries everything that could be carried on a few pairs.
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

    /// Judges what was screened in, and tells apart what holds.
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

    /// Pairs of parts to try together, for a node set that carries nothing on the questions of a
    /// class though it moves several parts as predicted.
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
                // Two parts of one column are its whole, or one of them the other's.
                let others = parts[i + 1..].iter().map(|&(_, other)| other);
                let others = others.filter(|other| other.digit != first.digit);
                found.extend(others.map(|other| Quantity::Both(first, other)));
            }
        }
        found
    }
}

/// The largest share of any token's trials that moved it as predicted; of trials that agree, for what
/// predicts only a direction.
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
