//! A model: opened from a folder, a file or the hub, or made of tensors; and what it is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use circuitcheck::analysis::opening::{self, News};
use circuitcheck::analysis::represents::{CarrierSearch, MAX_TRIALS, useful_nodes};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::domain::site::{Activation, Site};
use circuitcheck::domain::task::Task;
use circuitcheck::experiment::{DRAWN, Rules, draw_evenly};
use circuitcheck::inputs::model::{
    Array, HookedConfig, ModelFolder, Operations, RawFile, Weights, WeightsError,
};
use circuitcheck::network::ablation::{Ablation, AblationError, Replacement};
use circuitcheck::network::engine::{Decode, Engine, EngineError as LibraryEngineError};
use circuitcheck::report::{Attention, attention_cell, model_cell};
use circuitcheck::verify::{Decoding, Options, verify};
use numpy::{
    PyArray1, PyArray4, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::answers::Answers;
use crate::error::{NodeError, OptionError, Raise};
use crate::run::Run;
use crate::work::{Step, long};

/// Pairs or questions from which a call heeds Ctrl-C; fewer take less than a second.
const MANY: usize = 1024;

/// A model that is ready to be asked.
#[pyclass(frozen, module = "circuitcheck._native")]
pub struct Model {
    pub folder: ModelFolder,
    pub engine: Engine,
    /// How the command line names it; empty for the bundled model.
    pub place: String,
}

/// A file: where it was found or is to be shown, and its content where that is at hand.
type Given = (PathBuf, Option<Vec<u8>>);

/// What a user is told: its kind, `note` or `warning`, and the text.
type Told = (&'static str, String);

#[pymethods]
impl Model {
    /// Opens the model in a folder, in a file of weights or at an address of the hub.
    #[staticmethod]
    #[pyo3(signature = (place, operations=None, progress=None))]
    fn open(
        py: Python<'_>,
        place: PathBuf,
        operations: Option<&str>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Self, Vec<Told>)> {
        let operations = operations.map(Operations::of_list).transpose().raise()?;
        let mut told = Vec::new();
        let folder = long(py, progress, |tell| {
            opening::open(
                &place,
                operations,
                &mut |fetched| {
                    tell(Step {
                        what: fetched.file.to_owned(),
                        done: fetched.done,
                        of: fetched.of,
                    });
                },
                &mut |news| {
                    told.push(match news {
                        News::Note(text) => ("note", text),
                        News::Warning(text) => ("warning", text),
                    });
                },
            )
        })?;
        Ok((Self::new(folder, place.display().to_string()), told))
    }

    /// The model that is part of the package.
    #[staticmethod]
    fn bundled(py: Python<'_>) -> Self {
        py.detach(|| Self::new(ModelFolder::bundled(), String::new()))
    }

    /// The model that tensors are, as a TransformerLens network of this configuration (JSON of an object)
    /// holds them. Files are given as where they were found, and their bytes.
    #[staticmethod]
    #[pyo3(signature = (name, tensors, config, operations=None, features=None, behaviors=None))]
    fn of_tensors(
        py: Python<'_>,
        name: &str,
        tensors: BTreeMap<String, PyReadonlyArrayDyn<'_, f32>>,
        config: &str,
        operations: Option<&str>,
        features: Option<Given>,
        behaviors: Option<Given>,
    ) -> PyResult<(Self, Vec<Told>)> {
        let config: serde_json::Map<_, _> = serde_json::from_str(config)
            .map_err(|error| OptionError::new_err(error.to_string()))?;
        let config = HookedConfig::from(config);
        config.check().raise()?;
        let arrays = tensors.into_iter().map(|(name, tensor)| {
            let values = tensor.as_array().iter().copied().collect();
            Ok((name, Array::new(tensor.shape().to_vec(), values).raise()?))
        });
        let arrays = arrays.collect::<PyResult<BTreeMap<_, _>>>()?;
        let given = operations.map(Operations::of_list).transpose().raise()?;
        let mut told = Vec::new();
        let folder = py.detach(|| {
            let weights = Weights::from_arrays(config.tensors(arrays).raise()?);
            let weights = weights.map_err(|error: WeightsError| {
                crate::error::LoadError::new_err(format!("{name}: {error}"))
            })?;
            let asked = match given {
                Some(_) => None,
                None => opening::operations_answered(&weights),
            };
            let (text, found) = asked.unwrap_or_else(|| ("it cannot be asked".to_owned(), None));
            let operations = given.or(found).ok_or_else(|| {
                crate::error::LoadError::new_err(format!(
                    "{name}: operations unknown: {text}; give operations=\"add,sub\", or those it was trained for"
                ))
            })?;
            if given.is_none() {
                told.push(("note", format!("{name}: {text}")));
            }
            let mut folder = ModelFolder::from_weights(name, weights, operations, Vec::new());
            folder.features = features.map(read).transpose()?;
            folder.behaviors = behaviors.map(read).transpose()?;
            Ok::<_, PyErr>(folder)
        })?;
        Ok((Self::new(folder, name.to_owned()), told))
    }

    fn name(&self) -> &str {
        &self.folder.name
    }

    fn weights_sha256(&self) -> &str {
        &self.folder.weights_sha256
    }

    fn operations(&self) -> String {
        self.folder.operations().to_string()
    }

    /// The dimensions, by their names.
    fn shape(&self) -> BTreeMap<&'static str, usize> {
        let shape = self.engine.shape();
        BTreeMap::from([
            ("n_digits", shape.n_digits),
            ("n_layers", shape.n_layers),
            ("n_heads", shape.n_heads),
            ("d_model", shape.d_model),
            ("d_head", shape.d_head),
            ("d_mlp", shape.d_mlp),
            ("n_ctx", shape.n_ctx()),
            ("n_answer", shape.n_answer()),
        ])
    }

    /// Where the claims were found, and the file.
    fn features(&self) -> Option<(PathBuf, &[u8])> {
        let file = self.folder.features.as_ref()?;
        Some((file.path.clone(), &file.bytes))
    }

    fn behaviors(&self) -> Option<(PathBuf, &[u8])> {
        let file = self.folder.behaviors.as_ref()?;
        Some((file.path.clone(), &file.bytes))
    }

    /// The tensors by their names in a state dict.
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensors = PyDict::new(py);
        for (name, array) in self.folder.weights.iter() {
            let values = PyArray1::from_slice(py, array.data());
            let values: Bound<'py, PyArrayDyn<f32>> = values.reshape(array.shape().to_vec())?;
            tensors.set_item(name, values)?;
        }
        Ok(tensors)
    }

    fn ask(&self, py: Python<'_>, questions: Vec<String>, decode: &str) -> PyResult<Answers> {
        let (prompts, decode) = (self.prompts(&questions)?, decoded(decode)?);
        let clean = self.run(py, prompts.len(), || self.engine.answers(&prompts, decode))?;
        Ok(Answers {
            prompts,
            clean,
            changed: None,
        })
    }

    /// Runs base questions with the activations at nodes and other sites from source questions, pair by
    /// pair.
    fn patch(
        &self,
        py: Python<'_>,
        sources: Vec<String>,
        bases: Vec<String>,
        sites: Vec<String>,
        decode: &str,
    ) -> PyResult<Answers> {
        let (sources, decode) = (self.prompts(&sources)?, decoded(decode)?);
        let bases: Vec<Prompt> = self.questions(&bases)?;
        let sites = self.sites(&sites)?;
        let pairs: Vec<(Prompt, Prompt)> = sources.into_iter().zip(bases.iter().copied()).collect();
        let patched = self.run(py, pairs.len(), || {
            self.engine.answers_patched(&pairs, &sites, decode)
        });
        let (clean, changed) = patched?;
        Ok(Answers {
            prompts: bases,
            clean,
            changed: Some(changed),
        })
    }

    /// Runs questions with nodes and other sites ablated; without questions, those of the set that means and other
    /// questions are taken from. Without a set, one is drawn.
    #[allow(clippy::too_many_arguments)]
    fn ablate(
        &self,
        py: Python<'_>,
        sites: Vec<String>,
        by: &str,
        questions: Option<Vec<String>>,
        set: Option<Vec<String>>,
        seed: Option<u64>,
        decode: &str,
    ) -> PyResult<Answers> {
        let by: Ablation = by.parse().raise()?;
        let seed = seed.unwrap_or(Rules::default().seed);
        let (sites, decode) = (self.sites(&sites)?, decoded(decode)?);
        let set = match set {
            Some(set) => self.questions(&set)?,
            None => {
                let classes = self.folder.operations().classes();
                draw_evenly(&classes, self.engine.shape().n_digits, DRAWN, seed)
            }
        };
        let asked = questions.map(|asked| self.questions(&asked)).transpose()?;
        let prompts = asked.unwrap_or_else(|| set.clone());
        let ablated = long(py, None, |_| {
            let replacement = Replacement::new(by, &self.engine, &sites, &set)?;
            Ok::<_, AblationError>(replacement.answers(&self.engine, &prompts, decode, seed)?)
        });
        let (clean, changed) = ablated?;
        Ok(Answers {
            prompts,
            clean,
            changed: Some(changed),
        })
    }

    /// The activations at a hook point or a site, with the names of their dimensions.
    fn activations<'py>(
        &self,
        py: Python<'py>,
        place: &str,
        questions: Vec<String>,
    ) -> PyResult<(Bound<'py, PyArrayDyn<f32>>, Vec<&'static str>)> {
        let prompts = self.prompts(&questions)?;
        let place: Activation = place.trim().parse().raise()?;
        let read = long(py, None, |_| self.engine.read(place, &prompts))?;
        let values = PyArray1::from_vec(py, read.values).reshape(read.dims)?;
        Ok((values, read.names))
    }

    /// The attention weights on one question, `[n_layers, n_heads, n_ctx, n_ctx]`, and the cell of those
    /// of `nodes`.
    fn attention<'py>(
        &self,
        py: Python<'py>,
        question: &str,
        nodes: Vec<String>,
    ) -> PyResult<(Bound<'py, PyArray4<f32>>, String)> {
        let prompt = self.folder.prompt(question).raise()?;
        let nodes = self.nodes(&nodes)?;
        let digest = &self.folder.weights_sha256;
        let (weights, shown) = py
            .detach(|| {
                let weights = self.engine.mean_attention(&[prompt])?;
                let shown = Attention::on_question(&self.engine, digest, prompt, &nodes)?;
                Ok::<_, LibraryEngineError>((weights, shown))
            })
            .raise()?;
        let shape = self.engine.shape();
        let dims = [shape.n_layers, shape.n_heads, shape.n_ctx(), shape.n_ctx()];
        let weights = PyArray1::from_vec(py, weights).reshape(dims)?;
        Ok((weights, attention_cell(&shown, &self.folder)))
    }

    #[pyo3(signature = (
        features, *, tasks, nodes, threshold, alpha, max_trials, seed, decode, exit_first, progress=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn verify(
        &self,
        py: Python<'_>,
        features: Option<Given>,
        tasks: Vec<String>,
        nodes: Vec<String>,
        threshold: Option<f64>,
        alpha: Option<f64>,
        max_trials: Option<usize>,
        seed: Option<u64>,
        decode: &str,
        exit_first: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Run> {
        let features = features.map(read).transpose()?;
        let tasks = tasks.iter().map(|task| {
            let task = task.to_ascii_uppercase().parse::<Task>();
            task.map_err(|error| OptionError::new_err(error.to_string()))
        });
        let options = Options {
            rules: rules(
                threshold,
                alpha,
                max_trials,
                seed,
                Rules::default().max_trials,
            )?,
            decoding: decoding(decode)?,
            tasks: tasks.collect::<PyResult<_>>()?,
            nodes: names(&nodes)?,
            exit_first,
            ..Options::default()
        };
        let started = Instant::now();
        let evidence = long(py, progress, |tell| {
            verify(&self.folder, features.as_ref(), &options, &mut |progress| {
                tell(progress.into());
            })
        })?;
        Ok(Run {
            evidence,
            features,
            elapsed: started.elapsed(),
        })
    }

    /// What nodes represent, as JSON and as Markdown; without nodes, what every useful node and set does.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (nodes, *, threshold, alpha, max_trials, seed, progress=None))]
    fn represents(
        &self,
        py: Python<'_>,
        nodes: Vec<String>,
        threshold: Option<f64>,
        alpha: Option<f64>,
        max_trials: Option<usize>,
        seed: Option<u64>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(String, String)> {
        let nodes = self.nodes(&nodes)?;
        let rules = rules(threshold, alpha, max_trials, seed, MAX_TRIALS)?;
        let (folder, engine) = (&self.folder, &self.engine);
        let found = long(py, progress, |tell| {
            let search = CarrierSearch::new(folder, engine, rules)?;
            let mut progress = |progress: circuitcheck::verify::Progress| tell(progress.into());
            match nodes.is_empty() {
                true => search.of_all(&useful_nodes(folder, engine, rules.seed)?, &mut progress),
                false => search.of_set(&nodes, &mut progress),
            }
        })?;
        let json = serde_json::to_string(&found).expect("results have string keys");
        Ok((json, found.markdown(&folder.name)))
    }

    /// The model as a cell of a notebook.
    fn cell(&self) -> String {
        model_cell(&self.folder)
    }
}

impl Model {
    fn new(folder: ModelFolder, place: String) -> Self {
        Self {
            engine: Engine::new(&folder.weights),
            folder,
            place,
        }
    }

    /// Questions with, perhaps, the answers to be forced.
    fn prompts(&self, texts: &[String]) -> PyResult<Vec<Prompt>> {
        texts
            .iter()
            .map(|text| self.folder.prompt(text).raise())
            .collect()
    }

    /// Questions whose true answers are forced.
    fn questions(&self, texts: &[String]) -> PyResult<Vec<Prompt>> {
        let questions = texts.iter().map(|text| self.folder.question(text).raise());
        questions
            .map(|question| question.map(Prompt::truth))
            .collect()
    }

    fn nodes(&self, texts: &[String]) -> PyResult<Vec<Node>> {
        self.folder.nodes(&names(texts)?).raise()
    }

    /// Nodes and other sites.
    fn sites(&self, texts: &[String]) -> PyResult<Vec<Site>> {
        let sites = texts.iter().map(|text| text.trim().parse().raise());
        let sites: Vec<Site> = sites.collect::<PyResult<_>>()?;
        self.folder.sites(&sites).raise()
    }

    /// Runs the network; Ctrl-C is heeded where that can take long.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        count: usize,
        work: impl FnOnce() -> Result<T, LibraryEngineError> + Send,
    ) -> PyResult<T> {
        match count {
            0..MANY => py.detach(work).raise(),
            _ => long(py, None, |_| work()),
        }
    }
}

fn names(texts: &[String]) -> PyResult<Vec<NodeName>> {
    let names = texts
        .iter()
        .map(|text| text.trim().to_ascii_uppercase().parse());
    let names = names.collect::<Result<_, circuitcheck::domain::node::NodeError>>();
    names.map_err(|error| NodeError::new_err(error.to_string()))
}

fn read((path, content): Given) -> PyResult<RawFile> {
    match content {
        Some(bytes) => Ok(RawFile::made(&path, bytes)),
        None => RawFile::read(&path).raise(),
    }
}

/// Rules, the usual ones where nothing else is given.
pub fn rules(
    threshold: Option<f64>,
    alpha: Option<f64>,
    max_trials: Option<usize>,
    seed: Option<u64>,
    usual_trials: usize,
) -> PyResult<Rules> {
    let usual = Rules::default();
    let rules = Rules {
        threshold: threshold.unwrap_or(usual.threshold),
        alpha: alpha.unwrap_or(usual.alpha),
        max_trials: max_trials.unwrap_or(usual_trials),
        seed: seed.unwrap_or(usual.seed),
    };
    rules.check().raise()?;
    Ok(rules)
}

fn decoded(name: &str) -> PyResult<Decode> {
    let known = || OptionError::new_err(format!("no decoding {name:?}: expected forced or free"));
    Decode::named(name).ok_or_else(known)
}

fn decoding(name: &str) -> PyResult<Decoding> {
    let mut known = Decoding::ALL.into_iter();
    known
        .find(|decoding| decoding.name() == name)
        .ok_or_else(|| {
            OptionError::new_err(format!(
                "no decoding {name:?}: expected forced, free or both"
            ))
        })
}
