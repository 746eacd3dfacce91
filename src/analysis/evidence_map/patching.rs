//! Interchanges at the place where a digit is predicted: what is exchanged, between which questions,
//! and what is read.

use std::fmt;

use serde::Deserialize;

use super::lab::{Lab, Which};
use super::measure::Row;
use crate::analysis::hypothesis::Digits;
use crate::domain::arithmetic::{Answer, AnswerToken, Class, Prompt};
use crate::domain::causal::{Coupling, Kind, Pair, Stimulus, StimulusName, predict};
use crate::domain::node::{Node, NodeName};
use crate::domain::site::{Hook, Point};
use crate::domain::task::{Task, Variable};
use crate::experiment::stats::Count;
use crate::network::engine::{
    Decode, Engine, EngineError, Intervention, PathPatch, Run, Scale, Site, Source, Target,
};
use crate::network::logits::AnswerLogits;

/// Pairs of one row: enough for a lower bound above 0.9 where all pairs agree.
const PAIRS: usize = 128;

/// Pairs on which a node is found. The rows are measured on others.
const SEARCH_PAIRS: usize = 48;

/// Least attention to a column's digits, both together, of a head that reads it, as published.
const READS_COLUMN: f32 = 0.3;

/// What is exchanged at the position that predicts the digit read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchanged {
    /// All heads of the last layer.
    Consumers,
    /// The head of the last layer that carries most.
    Consumer,
    /// The head of any layer that carries most, of those that attend to the column's digits.
    Reader,
    /// The MLP of any layer that carries most.
    Mlp,
    /// The MLP of the last layer.
    Combiner,
    /// What enters the last layer; its heads attend anew.
    Residual,
    /// What enters the last layer; its heads are held.
    ResidualAlone,
    /// All that the token's logits are computed from, so that the source's token always follows.
    Everything,
}

/// What is read of the patched answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// The digit that receives the carry becomes the predicted one.
    Predicted,
    /// That digit changes.
    Changed,
    /// The digit of the column itself changes.
    ChangedBelow,
}

/// An interchange experiment, with one row for each class, column and depth.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interchange {
    pub stimulus: StimulusName,
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    /// The columns whose carry out is exchanged.
    pub digits: Digits,
    /// How many columns below these it is decided; by default as the stimulus implies.
    pub depths: Option<Digits>,
    pub kind: Kind,
    #[serde(default)]
    pub redrawn: bool,
    pub exchange: Exchanged,
    /// Whether only the last layer's MLP reads the change, with the scale of its layer norm frozen.
    #[serde(default)]
    pub edge: bool,
    #[serde(default = "predicted")]
    pub read: Read,
    #[serde(default)]
    pub which: Which,
    #[serde(default = "pairs")]
    pub pairs: usize,
}

pub(super) fn additions() -> Vec<Class> {
    vec![Class::Add]
}

const fn predicted() -> Read {
    Read::Predicted
}

const fn pairs() -> usize {
    PAIRS
}

/// The stimuli of a measurement: those of the classes that the model answers and can have.
pub(super) fn stimuli(
    lab: &Lab,
    name: StimulusName,
    classes: &[Class],
    digits: &Digits,
    depths: Option<&Digits>,
) -> Vec<Stimulus> {
    let shape = lab.shape();
    let mut all = Vec::new();
    for &class in classes.iter().filter(|&&class| lab.answers(class)) {
        for digit in digits.values(&shape) {
            let stimulus = Stimulus::new(name, class, digit);
            match depths {
                None => all.push(stimulus),
                Some(depths) => all.extend(
                    (depths.values(&shape))
                        .filter(|&depth| depth <= digit)
                        .map(|depth| stimulus.with_depth(depth)),
                ),
            }
        }
    }
    all
}

/// The name of a stimulus in rows: `ADD A3, depth 2`.
pub(super) fn label(stimulus: &Stimulus) -> String {
    let depth = match stimulus.name {
        StimulusName::Four | StimulusName::Random => String::new(),
        _ => format!(", depth {}", stimulus.depth),
    };
    format!("{} {}{depth}", stimulus.class, stimulus.reads())
}

/// The variable that the digit above a stimulus' column combines: the carry or borrow into it.
pub(super) fn carry_variable(stimulus: &Stimulus) -> Variable {
    let task = match stimulus.class {
        Class::Add => Task::Stc,
        Class::Sub => Task::Mtc,
        Class::Neg => Task::Ntc,
    };
    Variable {
        task,
        digit: Some(stimulus.reads().0),
    }
}

/// What is exchanged in a row, once nodes were found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Nodes(Vec<Node>),
    /// Only what the last layer's MLP reads of these.
    Edge(Vec<Node>),
    Residual {
        alone: bool,
    },
    Everything,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |nodes: &[Node]| {
            let names: Vec<String> = Node::names(nodes).iter().map(NodeName::to_string).collect();
            names.join(" ")
        };
        match self {
            Act::Nodes(nodes) => f.write_str(&names(nodes)),
            Act::Edge(nodes) => write!(f, "{} to the MLP", names(nodes)),
            Act::Residual { alone: true } => f.write_str("residual, heads held"),
            Act::Residual { alone: false } => f.write_str("residual"),
            Act::Everything => f.write_str("everything"),
        }
    }
}

/// The heads of a layer at a position.
pub(super) fn heads(lab: &Lab, layer: usize, position: usize) -> Vec<Node> {
    let all = Node::all_at(&lab.shape(), position, layer).into_iter();
    all.filter(|node| node.head().is_some()).collect()
}

/// The MLP of a layer at a position.
pub(super) fn mlp(lab: &Lab, layer: usize, position: usize) -> Node {
    let mut all = Node::all_at(&lab.shape(), position, layer).into_iter();
    all.find(|node| node.head().is_none())
        .expect("every layer has an MLP")
}

impl Interchange {
    /// Measures every row; each bound is wrong with probability at most an even share of the error.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, EngineError> {
        let mut counts = Vec::new();
        for stimulus in stimuli(
            lab,
            self.stimulus,
            &self.classes,
            &self.digits,
            self.depths.as_ref(),
        ) {
            let Some(act) = self.act(lab, &stimulus)? else {
                continue;
            };
            let label = label(&stimulus);
            let mut rng = lab.stream(&format!("{name}/{label}"));
            let pairs = self.draw(lab, &stimulus, self.kind, self.pairs, &mut rng);
            let count = self.count(lab, &stimulus, &act, &pairs)?;
            if count.trials == 0 {
                continue;
            }
            counts.push((format!("{label}: {act}"), count));
        }
        let alpha = lab.options.alpha / (2 * counts.len().max(1)) as f64;
        let row = |(of, count)| Row::count(of, count, alpha);
        Ok(counts.into_iter().map(row).collect())
    }

    fn draw(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        kind: Kind,
        count: usize,
        rng: &mut rand_chacha::ChaCha8Rng,
    ) -> Vec<Pair> {
        let coupling = match self.redrawn {
            true => Coupling::Redrawn,
            false => Coupling::Twin,
        };
        stimulus.pairs(kind, coupling, lab.shape().n_digits, count, rng)
    }

    /// What a row exchanges; `None` where the model has no such node.
    fn act(&self, lab: &Lab, stimulus: &Stimulus) -> Result<Option<Act>, EngineError> {
        let position = lab.shape().predicting(stimulus.reads());
        let last = lab.last_layer();
        let of_nodes = |nodes: Vec<Node>| match self.edge {
            true => Act::Edge(nodes),
            false => Act::Nodes(nodes),
        };
        let candidates: Vec<Node> = match self.exchange {
            Exchanged::Consumers => return Ok(Some(of_nodes(heads(lab, last, position)))),
            Exchanged::Combiner => return Ok(Some(Act::Nodes(vec![mlp(lab, last, position)]))),
            Exchanged::Residual => return Ok(Some(Act::Residual { alone: false })),
            Exchanged::ResidualAlone => return Ok(Some(Act::Residual { alone: true })),
            Exchanged::Everything => return Ok(Some(Act::Everything)),
            Exchanged::Consumer => heads(lab, last, position),
            Exchanged::Mlp => (0..=last).map(|layer| mlp(lab, layer, position)).collect(),
            Exchanged::Reader => self.readers(lab, stimulus, position)?,
        };
        self.found(
            lab,
            stimulus,
            candidates.into_iter().map(|node| of_nodes(vec![node])),
        )
    }

    /// The candidate that gives the predicted digit most often, on pairs of its own.
    fn found(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        candidates: impl Iterator<Item = Act>,
    ) -> Result<Option<Act>, EngineError> {
        // The stream does not name the measurement, so that a control finds the same node.
        let mut rng = lab.stream(&format!("search/{:?}/{}", self.exchange, label(stimulus)));
        let pairs = self.draw(lab, stimulus, Kind::Counterfactual, SEARCH_PAIRS, &mut rng);
        let predicting = Interchange {
            read: Read::Predicted,
            ..self.clone()
        };
        let mut best: Option<(u64, Act)> = None;
        for act in candidates {
            let hits = predicting.count(lab, stimulus, &act, &pairs)?.hits;
            if best.as_ref().is_none_or(|(most, _)| hits > *most) {
                best = Some((hits, act));
            }
        }
        Ok(best.map(|(_, act)| act))
    }

    /// The heads at a position that attend to the digits of the stimulus' column.
    fn readers(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        position: usize,
    ) -> Result<Vec<Node>, EngineError> {
        let shape = lab.shape();
        let mut rng = lab.stream(&format!("attention/{}", label(stimulus)));
        let drawn = self.draw(lab, stimulus, Kind::Counterfactual, SEARCH_PAIRS, &mut rng);
        let prompts: Vec<Prompt> = drawn.iter().map(|pair| Prompt::truth(pair.base)).collect();
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let pattern = lab.engine_of(self.which).mean_attention(&prompts)?;
        let weight = |head: &Node, source: usize| {
            let number = head.head().expect("a head");
            let row = (head.layer() * shape.n_heads + number) * shape.n_ctx() + position;
            pattern[row * shape.n_ctx() + source]
        };
        let digit = stimulus.digit;
        let reads = |head: &Node| {
            let column = [shape.first_operand(digit), shape.second_operand(digit)];
            column
                .map(|source| weight(head, source))
                .iter()
                .sum::<f32>()
                >= READS_COLUMN
        };
        let layers = 0..shape.n_layers;
        let all = layers.flat_map(|layer| heads(lab, layer, position));
        Ok(all.filter(reads).collect())
    }

    /// Counts the pairs of which the network answers both questions rightly; the untrained network,
    /// which answers none, is counted on all.
    fn count(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        act: &Act,
        pairs: &[Pair],
    ) -> Result<Count, EngineError> {
        let engine = lab.engine_of(self.which);
        let token = stimulus.reads();
        let bases: Vec<Prompt> = pairs.iter().map(|pair| Prompt::truth(pair.base)).collect();
        let sources: Vec<Prompt> = pairs.iter().map(|pair| pair.source).collect();
        let run = engine.run(&bases)?;
        let asked = engine.logits(&sources)?;
        let patched = exchange(engine, lab, &run, &sources, act, token)?;
        let is_right = |logits: &AnswerLogits, prompt: &Prompt| {
            self.which == Which::Untrained || logits.answer().get(token) == prompt.forced.get(token)
        };
        let variable = carry_variable(stimulus);
        let mut count = Count::default();
        for (number, pair) in pairs.iter().enumerate() {
            let clean = &run.logits()[number];
            if is_right(clean, &bases[number]) && is_right(&asked[number], &pair.source) {
                let predicted = predict(variable, &pair.source, &pair.base)
                    .expect("source and base are of one class");
                count.add(self.read.hits(token, &predicted, clean, &patched[number]));
            }
        }
        Ok(count)
    }
}

impl Read {
    fn hits(
        self,
        token: AnswerToken,
        predicted: &Answer,
        clean: &AnswerLogits,
        patched: &AnswerLogits,
    ) -> bool {
        let (clean, patched) = (clean.answer(), patched.answer());
        let changed = |token: AnswerToken| clean.get(token) != patched.get(token);
        match self {
            Read::Predicted => changed(token) && patched.get(token) == predicted.get(token),
            Read::Changed => changed(token),
            Read::ChangedBelow => token.0 > 0 && changed(AnswerToken(token.0 - 1)),
        }
    }
}

/// Runs the questions of `run` with what `act` exchanges taken from `sources`, one for each.
pub(super) fn exchange(
    engine: &Engine,
    lab: &Lab,
    run: &Run,
    sources: &[Prompt],
    act: &Act,
    token: AnswerToken,
) -> Result<Vec<AnswerLogits>, EngineError> {
    let (position, last) = (lab.shape().predicting(token), lab.last_layer());
    let sites = match act {
        Act::Nodes(nodes) | Act::Edge(nodes) => nodes.iter().map(|&node| node.into()).collect(),
        Act::Residual { .. } => vec![Site::at(position, Hook::of(Point::ResidPre, last))],
        Act::Everything => vec![Site::resid_post(position, last)],
    };
    let stored = engine.activations(sources, sites.iter().copied())?;
    if let Act::Edge(nodes) = act {
        let target = Target::Nodes(vec![mlp(lab, last, position)]);
        let jobs: Vec<(usize, PathPatch)> = (0..sources.len())
            .map(|pair| {
                let values = nodes
                    .iter()
                    .map(|&node| (node, stored.get(pair, node.into())));
                (pair, PathPatch::new(values, target.clone(), Scale::Frozen))
            })
            .collect();
        return engine.patch_paths(run, &jobs);
    }
    let held = match act {
        Act::Residual { alone: true } => heads(lab, last, position),
        _ => Vec::new(),
    };
    let own = engine.activations(run.prompts(), held.iter().map(|&node| node.into()))?;
    let jobs: Vec<(usize, Intervention)> = (0..sources.len())
        .map(|pair| {
            let stored = sites
                .iter()
                .map(|&site| stored.overwrite(pair, site, Source::Stored));
            let own = held
                .iter()
                .map(|&node| own.overwrite(pair, node, Source::Own));
            (pair, Intervention::new(stored.chain(own)))
        })
        .collect();
    engine.intervene(run, &jobs, Decode::Forced)
}
