//! Runs each step: calls the library and writes the result.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use thiserror::Error;

use super::record::remove;
use super::{Step, StepModel};
use crate::analysis::accuracy::{
    AccuracyNews, MeasuredAccuracy, Measurement, Questions, SaveFile, Work,
};
use crate::analysis::circuit::{Comparing, NamedCircuit};
use crate::analysis::graph::{Budget, Flows, Graph, GraphEvidence, KnownClaims, TRIALS};
use crate::analysis::hypothesis::{Hypothesis, TestedHypothesis, test_hypothesis};
use crate::analysis::property::{Kept, PropertyOptions, check, read_own};
use crate::analysis::published::{Quirks, describe, draw_set};
use crate::experiment::{Rules, stream};
use crate::inputs::claims::write_tagged_nodes;
use crate::inputs::model::{Identity, RawFile};
use crate::network::engine::Decode;
use crate::report::{
    DISCOVERED, EVIDENCE_FILE, Format, store_attention, store_circuits, store_evidence,
    store_graph, store_properties, store_report, stored_report,
};
use crate::storage::lock::Lock;
use crate::storage::{check_writable, pretty_json, write_files};
use crate::verify::evidence::Evidence;
use crate::verify::{Conclusion, Options, Progress, verify};

/// Wrong answers kept by the accuracy step.
const WRONG_KEPT: usize = 1000;

/// The exit code of a command that cannot read or write something.
const UNREADABLE: i32 = 4;

/// Why a step has no result.
#[derive(Debug, Error)]
pub enum StepFailure {
    /// Something could not be read, made or written. Only the text is kept.
    #[error(transparent)]
    Error(#[from] Box<dyn Error>),
    /// It panicked.
    #[error("panicked: {0}")]
    Panic(String),
}

impl StepFailure {
    /// The exit code that the equivalent command would have returned.
    pub(super) const fn exit(&self) -> Option<i32> {
        match self {
            Self::Error(_) => Some(UNREADABLE),
            Self::Panic(_) => None,
        }
    }
}

/// A hypothesis's result on a model, as printed by `test --json`.
#[derive(Serialize)]
struct TestedOnModel {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    tested: TestedHypothesis,
}

impl Step {
    /// Runs the step and writes its result to `folder`, locked against other processes.
    ///
    /// # Errors
    /// [`StepFailure`]: an error ends only this step.
    pub fn run(
        &self,
        model: &StepModel,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Conclusion, StepFailure> {
        // A panic in one step must not end a sweep of many hours. State it left half-changed is
        // discarded: the step owns everything it changes except files, which are written
        // atomically.
        let ended = catch_unwind(AssertUnwindSafe(|| self.attempt(model, folder, progress)));
        match ended {
            Ok(ended) => Ok(ended?),
            Err(panic) => {
                let text = (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .or_else(|| panic.downcast_ref::<String>().cloned());
                Err(StepFailure::Panic(text.unwrap_or_default()))
            }
        }
    }

    fn attempt(
        &self,
        model: &StepModel,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Conclusion, Box<dyn Error>> {
        let _held = self.hold(folder)?;
        match self {
            Step::Verify { seed } => verified(model, folder, *seed, progress),
            Step::Accuracy { questions, seed } => {
                let (json, saved) = accuracy(model, folder, *questions, *seed, progress)?;
                self.write(folder, &json)?;
                saved.result_is_kept()?;
                Ok(Conclusion::Sound)
            }
            Step::Property { cases, seed } => properties(model, folder, *cases, *seed, progress),
            Step::Discover { seed } => discovered(model, &folder.join(DISCOVERED), *seed),
            Step::Graph { seed, drawn } => {
                let evidence = graph(model, folder, *seed, progress)?;
                match drawn {
                    true => store_graph(folder, &evidence)?,
                    false => self.write(folder, &evidence.to_json())?,
                }
                Ok(evidence.graph.conclusion())
            }
            Step::Circuit {
                seed,
                behaviors,
                hypotheses,
                page,
            } => {
                let mut circuits = vec![NamedCircuit::claimed(model.folder)?];
                if *behaviors {
                    circuits.push(NamedCircuit::behaving(model.folder)?);
                }
                for file in hypotheses {
                    let tested = tested(model, folder, file, *seed)?;
                    circuits.push(NamedCircuit::of(file, tested));
                }
                let comparing = Comparing {
                    seed: *seed,
                    ..Comparing::default()
                };
                let found = comparing.compare(model.folder, model.engine, circuits, progress)?;
                let Some(evidence) = found else {
                    // A model that fails the baseline leaves no file: an empty one would be
                    // invalid.
                    if let Some(name) = self.result() {
                        remove(&folder.join(name))?;
                    }
                    return Ok(Conclusion::Baseline);
                };
                match page {
                    true => store_circuits(folder, &evidence)?,
                    false => self.write(folder, &evidence.to_json())?,
                }
                Ok(Conclusion::Sound)
            }
            Step::Report => {
                let report = stored_report(folder, Some(model.folder), model.shown)?;
                store_report(&report, folder, &Format::ALL)?;
                Ok(Conclusion::Sound)
            }
            Step::Hypothesis { file, seed } => {
                let tested = tested(model, folder, file, *seed)?;
                let conclusion = tested.conclusion();
                let found = TestedOnModel {
                    identity: model.folder.identity(),
                    tested,
                };
                self.write(folder, &pretty_json(&found))?;
                Ok(conclusion)
            }
        }
    }

    /// Locks the folder against other processes running the same step.
    fn hold(&self, folder: &Path) -> Result<Option<Lock>, Box<dyn Error>> {
        let (command, folder) = match self {
            Step::Verify { .. } => ("verify", folder.to_owned()),
            Step::Property { .. } => ("property", folder.to_owned()),
            Step::Discover { .. } => ("discover", folder.join(DISCOVERED)),
            Step::Graph { drawn: true, .. } => ("graph", folder.to_owned()),
            Step::Circuit { page: true, .. } => ("circuit", folder.to_owned()),
            Step::Report => ("report", folder.to_owned()),
            _ => return Ok(None),
        };
        check_writable(&folder)?;
        match Lock::take(&folder.join(format!(".{command}.lock"))) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => Err(format!("{}: {error}", folder.display()).into()),
        }
    }

    /// Writes the step's only file.
    fn write(&self, folder: &Path, json: &str) -> Result<(), Box<dyn Error>> {
        let name = self.result().expect("a step that writes one file has it");
        Ok(write_files(folder, &[(&name, json)])?)
    }
}

fn verified(
    model: &StepModel,
    folder: &Path,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Conclusion, Box<dyn Error>> {
    let options = Options {
        rules: Rules {
            seed,
            ..Rules::default()
        },
        ..Options::default()
    };
    let started = Instant::now();
    let evidence = verify(model.folder, None, &options, progress)?;
    store_evidence(folder, model.engine, &evidence, started.elapsed())?;
    store_attention(folder, model.folder, model.engine)?;
    let report = stored_report(folder, Some(model.folder), model.shown)?;
    store_report(&report, folder, &Format::ALL)?;
    Ok(evidence.conclusion())
}

/// What was measured, as JSON, and the file in `folder` from which it could be resumed.
fn accuracy(
    model: &StepModel,
    folder: &Path,
    questions: u64,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(String, SaveFile), Box<dyn Error>> {
    let questions = Questions::uniform(model.folder, questions, seed)?;
    let decode = Decode::Forced;
    let work = Work::new(model.folder, &questions, decode, WRONG_KEPT);
    let mut tell = |news: AccuracyNews| {
        if let AccuracyNews::Asked(asked) = news {
            progress(asked);
        }
    };
    let file = SaveFile::new(None, folder, &work, &questions, &mut tell)?;
    let measurement = Measurement {
        engine: model.engine,
        questions: &questions,
        decode,
        keep: WRONG_KEPT,
    };
    let saved = file.measure(&measurement, &work, &mut tell)?;
    let identity = model.folder.identity();
    let measured = MeasuredAccuracy::new(identity, decode, &questions, saved.tally());
    Ok((pretty_json(&measured), file))
}

fn properties(
    model: &StepModel,
    folder: &Path,
    cases: usize,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Conclusion, Box<dyn Error>> {
    let options = PropertyOptions {
        cases,
        seed,
        ..PropertyOptions::default()
    };
    let own = read_own(None, model.engine.shape().n_digits)?;
    let mut kept = Kept::read(folder)?;
    let evidence = check(model.folder, own, &mut kept, &options, progress)?;
    store_properties(folder, &evidence, &kept, model.shown)?;
    Ok(evidence.conclusion())
}

/// Writes behaviors.json and features.json by the published protocol.
pub(in crate::batch) fn discovered(
    model: &StepModel,
    out: &Path,
    seed: u64,
) -> Result<Conclusion, Box<dyn Error>> {
    let set = draw_set(model.folder, &mut stream(seed, "question set"));
    let quirks = Quirks::published();
    let made = describe(model.folder, model.engine, &set, &quirks, seed, None)?;
    let files = [
        ("behaviors.json", write_tagged_nodes(&made.behaviors) + "\n"),
        ("features.json", write_tagged_nodes(&made.features) + "\n"),
    ];
    write_files(out, &files)?;
    Ok(Conclusion::Sound)
}

fn graph(
    model: &StepModel,
    folder: &Path,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<GraphEvidence, Box<dyn Error>> {
    let flows = Flows {
        unclaimed: false,
        relayed: true,
    };
    let mut graph = Graph::new(known(model, folder)?, model.engine.shape(), flows);
    let budget = Budget {
        trials: TRIALS,
        alpha: Rules::default().alpha,
        seed,
        relayed: true,
    };
    graph.measure(model.engine, budget, &mut |done, of| {
        progress(Progress {
            phase: "measuring edges",
            done,
            of,
        });
    })?;
    Ok(GraphEvidence::of(model.folder, graph))
}

fn tested(
    model: &StepModel,
    folder: &Path,
    file: &Path,
    seed: u64,
) -> Result<TestedHypothesis, Box<dyn Error>> {
    let hypothesis = Hypothesis::open(file)?;
    hypothesis.check_folder(model.folder)?;
    let known = known(model, folder)?;
    let name = file.display().to_string();
    let named = (name.as_str(), &hypothesis);
    let alpha = Rules::default().alpha;
    let (files, engine) = (model.folder, model.engine);
    Ok(test_hypothesis(files, engine, named, &known, alpha, seed)?)
}

/// The claims with the verdicts from the verification.
fn known(model: &StepModel, folder: &Path) -> Result<KnownClaims, Box<dyn Error>> {
    let evidence = Evidence::from_json(&RawFile::read(&folder.join(EVIDENCE_FILE))?.bytes)?;
    let (weights, shape) = (&model.folder.weights_sha256, model.engine.shape());
    Ok(KnownClaims::about(&evidence, weights, &shape)?)
}
