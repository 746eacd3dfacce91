//! The jobs as circuitcheck does them.

use std::cell::RefCell;
use std::collections::HashSet;

use circuitcheck::domain::arithmetic::{AnswerToken, Prompt, Question};
use circuitcheck::domain::node::Node;
use circuitcheck::experiment::{default_block, stream};
use circuitcheck::inputs::model::Weights;
use circuitcheck::network::engine::{Activations, Decode, Engine, Intervention, Site, Source};
use circuitcheck::network::gradient::Differentiable;
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::training::AdamW;
use rand::RngExt;

use crate::peer::{Task, nodes};
use crate::{Subject, Turn, timed};

/// Seed of everything drawn.
const SEED: u64 = 1;

/// Distinct questions, uniformly drawn, with their true answers.
pub fn questions(node_set: &Subject, count: usize) -> Vec<Prompt> {
    let n_digits = node_set.folder.weights.shape().n_digits;
    let mut rng = stream(SEED, "benchmark");
    let limit = 10u128.pow(n_digits as u32);
    let mut seen = HashSet::new();
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count {
        let operation = node_set.operations[rng.random_range(0..node_set.operations.len())];
        let (first, second) = (rng.random_range(0..limit), rng.random_range(0..limit));
        if seen.insert((first, operation, second)) {
            let question = Question::new(first, operation, second, n_digits);
            drawn.push(Prompt::truth(question));
        }
    }
    drawn
}

/// The predicted answer tokens.
fn tokens(logits: &AnswerLogits) -> impl Iterator<Item = u8> {
    let places = (0..logits.rows().len()).rev().map(AnswerToken);
    let answer = logits.answer();
    places.map(move |place| answer.get(place))
}

/// How many tokens differ, of how many.
fn differing(ours: impl Iterator<Item = u8>, theirs: &[u8]) -> (usize, usize) {
    let mut ours = ours;
    let different = theirs.iter().filter(|&&t| ours.next() != Some(t)).count();
    (different, theirs.len())
}

/// The answers to many questions.
pub struct Forward {
    engine: Engine,
    prompts: Vec<Prompt>,
    logits: RefCell<Vec<AnswerLogits>>,
}

impl Forward {
    pub fn new(node_set: &Subject, count: usize) -> Self {
        Forward {
            engine: Engine::new(&node_set.folder.weights),
            prompts: questions(node_set, count),
            logits: RefCell::default(),
        }
    }

    pub fn task(&self, node_set: &Subject, count: usize) -> Task {
        Task::new(node_set, count).with_prompts("questions", &self.prompts[..count])
    }

    pub fn run(&self) -> Turn {
        timed(self.prompts.len(), || {
            *self.logits.borrow_mut() = self.engine.logits(&self.prompts).unwrap();
        })
    }

    pub fn same(&self, theirs: &[u8]) -> (usize, usize) {
        differing(self.logits.borrow().iter().flat_map(tokens), theirs)
    }
}

/// Every node in turn replaced by its mean.
pub struct Ablation {
    engine: Engine,
    prompts: Vec<Prompt>,
    nodes: Vec<Node>,
    means: Activations,
    logits: RefCell<Vec<Vec<AnswerLogits>>>,
}

impl Ablation {
    pub fn new(node_set: &Subject, count: usize) -> Self {
        let engine = Engine::new(&node_set.folder.weights);
        let prompts = questions(node_set, count);
        let nodes = Node::all(&engine.shape());
        let sites = nodes.iter().map(|&node| Site::from(node));
        let means = engine.mean_activations(&prompts, sites).unwrap();
        Ablation {
            engine,
            prompts,
            nodes,
            means,
            logits: RefCell::default(),
        }
    }

    /// So many of the nodes, far from each other.
    fn sample(&self, count: usize) -> impl Iterator<Item = usize> {
        let apart = self.nodes.len() / count;
        (0..count).map(move |i| i * apart + apart / 2)
    }

    pub fn task(&self, node_set: &Subject, count: usize) -> Task {
        let sample: Vec<Node> = self.sample(count).map(|i| self.nodes[i]).collect();
        Task::new(node_set, count)
            .with("nodes", nodes(&sample))
            .with_prompts("questions", &self.prompts)
    }

    /// All nodes. The means are given, as they are to the peer.
    pub fn run(&self) -> Turn {
        timed(self.nodes.len(), || {
            let run = self.engine.run(&self.prompts).unwrap();
            let without = |&node: &Node| {
                let jobs: Vec<(usize, Intervention)> = (0..self.prompts.len())
                    .map(|question| {
                        let mean = self.means.overwrite(0, node, Source::Mean);
                        (question, Intervention::new([mean]))
                    })
                    .collect();
                self.engine.intervene(&run, &jobs, Decode::Forced).unwrap()
            };
            *self.logits.borrow_mut() = self.nodes.iter().map(without).collect();
        })
    }

    pub fn same(&self, theirs: &[u8]) -> (usize, usize) {
        let logits = self.logits.borrow();
        let n_answer = self.engine.shape().n_answer();
        let count = theirs.len() / (self.prompts.len() * n_answer);
        let ours = self
            .sample(count)
            .flat_map(|node| logits[node].iter().flat_map(tokens));
        differing(ours, theirs)
    }
}

/// Questions that are patched from others, each at a node of its own.
pub struct Patches {
    engine: Engine,
    sources: Vec<Prompt>,
    bases: Vec<Prompt>,
    nodes: Vec<Node>,
    logits: RefCell<Vec<AnswerLogits>>,
}

impl Patches {
    pub fn new(node_set: &Subject, count: usize) -> Self {
        let engine = Engine::new(&node_set.folder.weights);
        let shape = engine.shape();
        let mut sources = questions(node_set, 2 * count);
        let bases = sources.split_off(count);
        // Nodes from which nothing reaches an answer would be too easy.
        let mut live = Node::all(&shape);
        live.retain(|&node| Site::from(node).reaches_an_answer(&shape));
        let mut rng = stream(SEED, "benchmark/nodes");
        let nodes = (0..count)
            .map(|_| live[rng.random_range(0..live.len())])
            .collect();
        Patches {
            engine,
            sources,
            bases,
            nodes,
            logits: RefCell::default(),
        }
    }

    pub fn task(&self, node_set: &Subject, count: usize) -> Task {
        Task::new(node_set, count)
            .with("nodes", nodes(&self.nodes[..count]))
            .with_prompts("sources", &self.sources[..count])
            .with_prompts("bases", &self.bases[..count])
    }

    /// All triples, those of a node together, in blocks of the size that trials take.
    pub fn run(&self) -> Turn {
        timed(self.nodes.len(), || {
            let mut order: Vec<usize> = (0..self.nodes.len()).collect();
            order.sort_by_key(|&triple| self.nodes[triple]);
            let n_answer = self.engine.shape().n_answer();
            let mut all = vec![AnswerLogits::zeros(n_answer); order.len()];
            for block in order.chunks(default_block(&self.engine)) {
                let of = |prompts: &[Prompt], triples: &[usize]| -> Vec<Prompt> {
                    triples.iter().map(|&triple| prompts[triple]).collect()
                };
                let run = self.engine.run(&of(&self.bases, block)).unwrap();
                let stored: Vec<(Node, usize, Activations)> = block
                    .chunk_by(|&a, &b| self.nodes[a] == self.nodes[b])
                    .map(|triples| {
                        let node = self.nodes[triples[0]];
                        let sources = of(&self.sources, triples);
                        let stored = self.engine.activations(&sources, [node.into()]);
                        (node, triples.len(), stored.unwrap())
                    })
                    .collect();
                let jobs: Vec<(usize, Intervention)> = stored
                    .iter()
                    .flat_map(|(node, count, stored)| {
                        (0..*count).map(move |i| {
                            Intervention::new([stored.overwrite(i, *node, Source::Stored)])
                        })
                    })
                    .enumerate()
                    .collect();
                let logits = self.engine.intervene(&run, &jobs, Decode::Forced).unwrap();
                for (&triple, logits) in block.iter().zip(logits) {
                    all[triple] = logits;
                }
            }
            *self.logits.borrow_mut() = all;
        })
    }

    pub fn same(&self, theirs: &[u8]) -> (usize, usize) {
        differing(self.logits.borrow().iter().flat_map(tokens), theirs)
    }
}

/// Questions in a batch of a training.
const BATCH: usize = 64;

/// Batches to train on.
pub struct Steps {
    /// What the steps so far have led to. PyTorch's side goes on from turn to turn, too.
    state: RefCell<Option<(Weights, AdamW)>>,
    prompts: Vec<Prompt>,
}

impl Steps {
    pub fn new(node_set: &Subject, count: usize) -> Self {
        let weights = node_set.folder.weights.clone();
        let optimiser = AdamW::new(&weights);
        Steps {
            state: RefCell::new(Some((weights, optimiser))),
            prompts: questions(node_set, count * BATCH),
        }
    }

    pub fn task(&self, node_set: &Subject) -> Task {
        Task::new(node_set, self.prompts.len() / BATCH)
            .with("batch", BATCH.into())
            .with_prompts("questions", &self.prompts)
    }

    /// A step on each batch: gradient and optimiser.
    pub fn run(&self) -> Turn {
        timed(self.prompts.len() / BATCH, || {
            let state = self.state.take();
            let (mut weights, mut optimiser) = state.expect("the last turn has put it back");
            for batch in self.prompts.chunks(BATCH) {
                let descent = Differentiable::new(&weights).descent(batch).unwrap();
                let moved = optimiser.step(weights, &descent.gradient, 1e-4, 0.1);
                weights = moved.unwrap();
            }
            self.state.replace(Some((weights, optimiser)));
        })
    }
}
