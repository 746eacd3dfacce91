//! Scores circuits of one model: where their nodes come from, and which measurements are made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thiserror::Error;

use super::{
    Circuit, CircuitEvidence, CircuitTests, Claimed, ENOUGH, MOST_ADDED, NodeSet, QUESTIONS,
    RANDOM_SETS, SCHEMA, Scoring, TestBench, Workbench, grow, minimality, prune,
};
use crate::analysis::hypothesis::TestedHypothesis;
use crate::domain::node::{Node, NodeError, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::Variable;
use crate::experiment::{Baseline, Rules};
use crate::inputs::claims::{ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::{ModelFolder, RawFile};
use crate::network::engine::{Engine, EngineError};
use crate::verify::Progress;

/// The nodes of a circuit, and their origin.
#[derive(Debug, Clone)]
pub struct NamedCircuit {
    /// A hypothesis, or a file.
    pub from: String,
    pub nodes: BTreeSet<NodeName>,
    /// The variables claimed of each node, if the nodes come from claims. A claim that cannot be read
    /// names none.
    pub claimed: Option<BTreeMap<NodeName, BTreeSet<Variable>>>,
    /// The results of the hypothesis, if the nodes come from one.
    pub tested: Option<TestedHypothesis>,
}

/// Why the nodes of a circuit cannot be determined.
#[derive(Debug, Error)]
pub enum NamedCircuitError {
    /// The model has no claims.
    #[error("{model}: no features.json, so there are no claims")]
    NoFeatures { model: String },
    /// The model has no behaviours.
    #[error("{model}: no behaviors.json")]
    NoBehaviors { model: String },
    /// A file of tagged nodes is invalid.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// A file of node names is not text.
    #[error("{file}: {source}")]
    NotText {
        file: String,
        /// The decoding error.
        source: std::str::Utf8Error,
    },
    /// A line is not a node name, or names a node that the model does not have.
    #[error("{place}: {source}")]
    Node {
        /// The file, with the line if known.
        place: String,
        source: NodeError,
    },
}

impl NamedCircuit {
    /// The nodes that the model's claims are about. The claims file also lists nodes without
    /// claims.
    ///
    /// # Errors
    /// [`NamedCircuitError`].
    pub fn claimed(folder: &ModelFolder) -> Result<Self, NamedCircuitError> {
        let features = folder.features.as_ref();
        let file = features.ok_or_else(|| NamedCircuitError::NoFeatures {
            model: folder.name.clone(),
        })?;
        let shown = file.path.display().to_string();
        let claims = claims_of(&read_tagged_nodes(&shown, &file.bytes)?);
        let names = claims.iter().map(|claim| claim.node);
        let mut claimed: BTreeMap<NodeName, BTreeSet<Variable>> = BTreeMap::new();
        for claim in &claims {
            if let Ok(variable) = claim.variable {
                claimed.entry(claim.node).or_default().insert(variable);
            }
        }
        Ok(Self {
            from: "features.json".into(),
            nodes: resolved(names, &folder.weights.shape(), &shown)?,
            claimed: Some(claimed),
            tested: None,
        })
    }

    /// The nodes of the model's behaviours.
    ///
    /// # Errors
    /// [`NamedCircuitError`].
    pub fn behaving(folder: &ModelFolder) -> Result<Self, NamedCircuitError> {
        let behaviors = folder.behaviors.as_ref();
        let file = behaviors.ok_or_else(|| NamedCircuitError::NoBehaviors {
            model: folder.name.clone(),
        })?;
        let mut named = Self::listed(file, &folder.weights.shape())?;
        named.from = "behaviors.json".into();
        Ok(named)
    }

    /// The nodes a file names: tagged nodes as JSON, or one name per line.
    ///
    /// # Errors
    /// [`NamedCircuitError`].
    pub fn listed(file: &RawFile, shape: &Shape) -> Result<Self, NamedCircuitError> {
        let shown = file.path.display().to_string();
        let names: Vec<NodeName> = if file.bytes.trim_ascii_start().starts_with(b"[") {
            let nodes = read_tagged_nodes(&shown, &file.bytes)?;
            nodes.into_iter().map(|tagged| tagged.node).collect()
        } else {
            let text = std::str::from_utf8(&file.bytes);
            let text = text.map_err(|source| NamedCircuitError::NotText {
                file: shown.clone(),
                source,
            })?;
            (text.lines().enumerate())
                .filter(|(_, line)| !line.trim().is_empty())
                .map(|(i, line)| {
                    let name = line.trim().parse();
                    name.map_err(|source| NamedCircuitError::Node {
                        place: format!("{shown}: line {}", i + 1),
                        source,
                    })
                })
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            nodes: resolved(names, shape, &shown)?,
            from: shown,
            claimed: None,
            tested: None,
        })
    }

    /// The circuit of the hypothesis in a file.
    pub fn of(path: &Path, tested: TestedHypothesis) -> Self {
        Self {
            from: path.display().to_string(),
            nodes: tested.circuit.clone(),
            claimed: None,
            tested: Some(tested),
        }
    }
}

/// Resolves the names, if the model has all these nodes.
fn resolved(
    names: impl IntoIterator<Item = NodeName>,
    shape: &Shape,
    file: &str,
) -> Result<BTreeSet<NodeName>, NamedCircuitError> {
    let of_model = |name: NodeName| match name.resolve(shape) {
        Ok(node) => Ok(node.name()),
        Err(source) => Err(NamedCircuitError::Node {
            place: file.to_owned(),
            source,
        }),
    };
    names.into_iter().map(of_model).collect()
}

/// The measurements to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparing {
    /// Most correctly answered questions of each class.
    pub questions: usize,
    /// Random sets that each score is compared with.
    pub random_sets: usize,
    /// Whether each node is left out in turn.
    pub minimality: bool,
    /// Whether to add the most helpful nodes until enough questions are answered correctly.
    pub grow: bool,
    /// Whether to leave out nodes that are not needed.
    pub prune: bool,
    /// Whether to make the tests of the literature.
    pub tests: bool,
    /// Share of correctly answered questions that is enough.
    pub until: f64,
    pub most: usize,
    /// Probability of any wrong interval.
    pub alpha: f64,
    pub seed: u64,
}

impl Default for Comparing {
    fn default() -> Self {
        let Rules { alpha, seed, .. } = Rules::default();
        Self {
            questions: QUESTIONS,
            random_sets: RANDOM_SETS,
            minimality: false,
            grow: false,
            prune: false,
            tests: false,
            until: ENOUGH,
            most: MOST_ADDED,
            alpha,
            seed,
        }
    }
}

impl Comparing {
    /// Scores circuits. There are no results for a model that fails the baseline in every class.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for circuits of this model.
    pub fn compare(
        &self,
        folder: &ModelFolder,
        engine: &Engine,
        circuits: Vec<NamedCircuit>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<CircuitEvidence>, EngineError> {
        let baseline = Baseline::measure(engine, folder.operations(), self.alpha, self.seed)?;
        if baseline.passing().next().is_none() {
            return Ok(None);
        }
        let bench = Workbench::new(engine, &baseline, self.questions)?;
        let useful: BTreeSet<NodeName> = bench.useful()?.iter().map(Node::name).collect();
        let tests = match self.tests {
            // One half ranks nodes, the other judges.
            true => Some(TestBench::new(
                engine,
                &baseline,
                self.questions.saturating_mul(2),
            )?),
            false => None,
        };
        let mut scored = Vec::new();
        for named in circuits {
            let mut circuit = self.circuit(&bench, &named, &useful, progress)?;
            if let Some(tests) = &tests {
                circuit.tests = Some(self.tests_of(tests, &named, progress)?);
            }
            scored.push(circuit);
        }
        Ok(Some(CircuitEvidence {
            schema: SCHEMA.into(),
            model: folder.name.clone(),
            weights_sha256: folder.weights_sha256.clone(),
            shape: engine.shape(),
            questions: self.questions,
            random_sets: self.random_sets,
            alpha: self.alpha,
            until: self.until,
            seed: self.seed,
            available: bench.nodes().len(),
            useful,
            circuits: scored,
        }))
    }

    const fn scoring(&self) -> Scoring {
        Scoring {
            random_sets: self.random_sets,
            alpha: self.alpha,
            seed: self.seed,
        }
    }

    /// Scores one circuit and makes the other requested measurements.
    fn circuit(
        &self,
        bench: &Workbench,
        named: &NamedCircuit,
        useful: &BTreeSet<NodeName>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Circuit, EngineError> {
        let keep = bench.named(&named.nodes);
        let mut show = |phase: &'static str, done, of| progress(Progress { phase, done, of });
        let scores = bench.score(&keep, self.scoring(), &mut |done, of| {
            show("scoring", done, of)
        })?;
        let without = match self.minimality {
            true => minimality(bench, &keep, &mut |done, of| show("leaving out", done, of))?,
            false => Vec::new(),
        };
        let grown = match self.grow {
            true => {
                let mut added = 0;
                grow(bench, &keep, self.until, self.most, self.seed, &mut |_| {
                    added += 1;
                    show("growing", added, self.most);
                })?
            }
            false => Vec::new(),
        };
        let whole: NodeSet = &keep | &bench.named(grown.iter().map(|added| &added.node));
        let pruned = match self.prune {
            true => prune(bench, &whole, self.until, &mut |done, of| {
                show("pruning", done, of)
            })?,
            false => None,
        };
        let nodes: BTreeSet<NodeName> = keep.iter().map(Node::name).collect();
        let tested = named.tested.as_ref();
        Ok(Circuit {
            from: named.from.clone(),
            scores,
            covered: useful & &nodes,
            explained: tested.map(|tested| useful & &tested.explained),
            nodes,
            minimality: without,
            grown,
            pruned,
            tests: None,
            tested: named.tested.clone(),
        })
    }

    /// Puts one circuit to the tests of the literature.
    fn tests_of(
        &self,
        bench: &TestBench,
        named: &NamedCircuit,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<CircuitTests, EngineError> {
        let keep = bench.judging.named(&named.nodes);
        let claimed: Option<Claimed> = named.claimed.as_ref().map(|claimed| {
            let of = |node: &Node| Some((*node, claimed.get(&node.name())?.clone()));
            keep.iter().filter_map(of).collect()
        });
        bench.test(&keep, claimed.as_ref(), self.scoring(), &mut |done, of| {
            progress(Progress {
                phase: "testing",
                done,
                of,
            });
        })
    }
}
