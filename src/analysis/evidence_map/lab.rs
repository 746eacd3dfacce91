//! A model with what its claims are measured against: its own right answers, and an untrained
//! network of the same shape.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::patching::heads;
use crate::analysis::hypothesis::Layer;

use crate::domain::arithmetic::{AnswerToken, Class, Prompt, Question};
use crate::domain::causal::{Pair, Space};
use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::site::{Hook, Point};
use crate::experiment::{Baseline, stream};
use crate::inputs::claims::{Claim, claims_of, read_tagged_nodes};
use crate::inputs::model::{ModelFolder, Weights};
use crate::network::engine::{Engine, EngineError, Site};
use crate::network::logits::AnswerLogits;

/// Seed of the untrained network's weights.
const TWIN_SEED: u64 = 0x7717;

/// Questions of a [reference set](Lab::reference).
const REFERENCE: usize = 256;

/// Least attention to a column's digits, both together, of a head that reads it, as published.
const READS_COLUMN: f32 = 0.3;

/// Which network is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    #[default]
    Trained,
    /// A network of the same shape with untrained weights. What holds of it says nothing of
    /// training.
    Untrained,
}

/// What is read of a layer, in TransformerLens' terms without the `hook_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    ResidPre,
    ResidMid,
    ResidPost,
    /// What the MLP reads: `ln2.hook_normalized`.
    Ln2,
    /// The MLP's hidden layer before the ReLU.
    Pre,
    MlpOut,
    /// All heads side by side.
    Z,
}

impl At {
    /// The hook point.
    pub const fn point(self) -> Point {
        match self {
            At::ResidPre => Point::ResidPre,
            At::ResidMid => Point::ResidMid,
            At::ResidPost => Point::ResidPost,
            At::Ln2 => Point::Ln2,
            At::Pre => Point::Pre,
            At::MlpOut => Point::MlpOut,
            At::Z => Point::Z,
        }
    }
}

/// A hook of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct HookAt {
    pub at: At,
    pub layer: Layer,
}

/// The setting of all measurements on a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MapOptions {
    /// Error of all intervals of one measurement.
    pub alpha: f64,
    pub seed: u64,
}

/// A model under measurement.
pub struct Lab<'a> {
    pub folder: &'a ModelFolder,
    pub engine: &'a Engine,
    pub baseline: &'a Baseline,
    pub options: MapOptions,
    twin: (Weights, Engine),
    /// The nodes with claims or behaviours, if any file lists them.
    listed: Vec<(NodeName, Vec<Claim>)>,
}

impl<'a> Lab<'a> {
    /// Makes the untrained network, and reads the lists of nodes that lie in the folder.
    pub fn new(
        folder: &'a ModelFolder,
        engine: &'a Engine,
        baseline: &'a Baseline,
        options: MapOptions,
    ) -> Self {
        let weights = Weights::random(engine.shape(), TWIN_SEED);
        let mut listed: BTreeMap<NodeName, Vec<Claim>> = BTreeMap::new();
        for file in [&folder.behaviors, &folder.features].into_iter().flatten() {
            // A file that cannot be read lists nothing; `verify` says what is wrong with it.
            let nodes = read_tagged_nodes("", &file.bytes).unwrap_or_default();
            for node in &nodes {
                listed.entry(node.node).or_default();
            }
            for claim in claims_of(&nodes) {
                listed.entry(claim.node).or_default().push(claim);
            }
        }
        Lab {
            folder,
            engine,
            baseline,
            options,
            twin: (weights.clone(), Engine::new(&weights)),
            listed: listed.into_iter().collect(),
        }
    }

    pub fn shape(&self) -> Shape {
        self.engine.shape()
    }

    pub fn last_layer(&self) -> usize {
        self.shape().n_layers - 1
    }

    pub fn engine_of(&self, which: Which) -> &Engine {
        match which {
            Which::Trained => self.engine,
            Which::Untrained => &self.twin.1,
        }
    }

    pub fn weights_of(&self, which: Which) -> &Weights {
        match which {
            Which::Trained => &self.folder.weights,
            Which::Untrained => &self.twin.0,
        }
    }

    /// The random stream of a named part of a measurement.
    pub fn stream(&self, name: &str) -> ChaCha8Rng {
        stream(self.options.seed, &format!("evidence/{name}"))
    }

    /// Questions of a class that means and resampled values are taken from.
    pub fn reference(&self, class: Class) -> Vec<Prompt> {
        let mut rng = self.stream(&format!("reference/{class}"));
        let sampler = Space::of_class(class, self.shape().n_digits).sampler();
        let drawn = (0..REFERENCE).map(|_| Prompt::truth(sampler.draw(&mut rng)));
        drawn.collect()
    }

    /// Whether the model answers questions of a class well enough to be asked about.
    pub fn answers(&self, class: Class) -> bool {
        self.baseline.passing().any(|passing| passing == class)
    }

    /// The heads of some layers at a position that give a column's two digits, together, this much of
    /// their mean attention or more.
    ///
    /// # Errors
    /// As [`Lab::answered`].
    pub fn readers(
        &self,
        which: Which,
        prompts: &[Prompt],
        layers: Range<usize>,
        position: usize,
        digit: usize,
    ) -> Result<Vec<Node>, EngineError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let shape = self.shape();
        let heads: Vec<Node> = layers
            .flat_map(|layer| heads(self, layer, position))
            .collect();
        let engine = self.engine_of(which);
        let pattern = engine.mean_activations(prompts, heads.iter().map(pattern_of))?;
        let column = [shape.first_operand(digit), shape.second_operand(digit)];
        let reads = |head: &Node| {
            let pattern = pattern.get(0, pattern_of(head));
            column.iter().map(|&key| pattern[key]).sum::<f32>() >= READS_COLUMN
        };
        Ok(heads.into_iter().filter(reads).collect())
    }

    /// The nodes that the folder's files list, without those that the model does not have.
    pub fn listed_nodes(&self) -> Vec<Node> {
        let shape = self.shape();
        let names = self.listed.iter().map(|(name, _)| name);
        names.filter_map(|name| name.resolve(&shape).ok()).collect()
    }

    /// The nodes that the folder's files claim something of.
    pub fn claimed_nodes(&self, wanted: impl Fn(&Claim) -> bool) -> Vec<Node> {
        let shape = self.shape();
        (self.listed.iter())
            .filter(|(_, claims)| claims.iter().any(&wanted))
            .filter_map(|(name, _)| name.resolve(&shape).ok())
            .collect()
    }

    /// The pairs of which the network answers both questions rightly at a token. The untrained
    /// network answers none, and keeps all.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn answered(
        &self,
        which: Which,
        token: AnswerToken,
        pairs: Vec<Pair>,
    ) -> Result<Vec<Pair>, EngineError> {
        if which == Which::Untrained {
            return Ok(pairs);
        }
        let prompts: Vec<Prompt> = (pairs.iter())
            .flat_map(|pair| [pair.source, Prompt::truth(pair.base)])
            .collect();
        let right = self.right(token, &prompts)?;
        let both = right.chunks(2).map(|both| both == [true, true]);
        Ok(pairs
            .into_iter()
            .zip(both)
            .filter_map(|(pair, both)| both.then_some(pair))
            .collect())
    }

    /// The questions that the network answers rightly at a token; all of them if untrained.
    ///
    /// # Errors
    /// As [`Lab::answered`].
    pub fn answered_questions(
        &self,
        which: Which,
        token: AnswerToken,
        questions: Vec<Question>,
    ) -> Result<Vec<Question>, EngineError> {
        if which == Which::Untrained {
            return Ok(questions);
        }
        let prompts: Vec<Prompt> = questions.iter().map(|&q| Prompt::truth(q)).collect();
        let right = self.right(token, &prompts)?;
        Ok(questions
            .into_iter()
            .zip(right)
            .filter_map(|(question, right)| right.then_some(question))
            .collect())
    }

    fn right(&self, token: AnswerToken, prompts: &[Prompt]) -> Result<Vec<bool>, EngineError> {
        let logits = self.engine.logits(prompts)?;
        let right = |(logits, prompt): (&AnswerLogits, &Prompt)| {
            logits.answer().get(token) == prompt.forced.get(token)
        };
        Ok(logits.iter().zip(prompts).map(right).collect())
    }

    /// The activation of each prompt at a hook, `[prompts, width]`; the heads of a layer side by side.
    ///
    /// # Errors
    /// As [`Lab::answered`].
    pub fn read(
        &self,
        which: Which,
        prompts: &[Prompt],
        hook: HookAt,
        position: usize,
    ) -> Result<Array2<f64>, EngineError> {
        let shape = self.shape();
        let (point, layer) = (hook.at.point(), hook.layer.number(&shape));
        let hook = Hook::of(point, layer);
        let sites: Vec<Site> = match point.is_of_head() {
            true => (0..shape.n_heads)
                .map(|head| Site::of_head(position, hook, head))
                .collect(),
            false => vec![Site::at(position, hook)],
        };
        beside(self.engine_of(which), prompts, &sites)
    }
}

/// A head's attention weights.
pub(super) fn pattern_of(head: &Node) -> Site {
    let number = head.head().expect("only heads attend");
    let pattern = Hook::of(Point::Pattern, head.layer());
    Site::of_head(head.position(), pattern, number)
}

/// The activations of prompts at some sites, side by side, `[prompts, widths together]`.
fn beside(engine: &Engine, prompts: &[Prompt], sites: &[Site]) -> Result<Array2<f64>, EngineError> {
    let read = engine.activations(prompts, sites.iter().copied())?;
    let values: Vec<f64> = (0..prompts.len())
        .flat_map(|prompt| sites.iter().map(move |&site| (prompt, site)))
        .flat_map(|(prompt, site)| read.get(prompt, site).iter().map(|&value| f64::from(value)))
        .collect();
    let width = values.len() / prompts.len().max(1);
    Ok(Array2::from_shape_vec((prompts.len(), width), values).expect("rows of equal width"))
}

/// A tensor as a matrix of `rows`.
pub(super) fn matrix(weights: &Weights, name: &str, rows: usize) -> Array2<f64> {
    let data = weights.array(name).data();
    let view = ArrayView2::from_shape((rows, data.len() / rows), data);
    view.expect("as many values as the shape has")
        .mapv(f64::from)
}

pub(super) fn vector(weights: &Weights, name: &str) -> Array1<f64> {
    ArrayView1::from(weights.array(name).data()).mapv(f64::from)
}
