//! The steps of a complete analysis of a model: what each needs, reads and writes, and how an
//! interrupted sequence of steps resumes.

mod missing;
mod record;
mod run;

pub use record::{StepRecord, StepState, forget};
pub use run::StepFailure;
pub(super) use run::discovered;

use std::path::{Path, PathBuf};

use crate::analysis::hypothesis::Hypothesis;
use crate::inputs::model::ModelFolder;
use crate::network::engine::Engine;
use crate::report::{DISCOVERED, EVIDENCE_FILE};
use crate::storage::OutputError;
use crate::verify::Progress;

/// The model that steps run on.
pub struct StepModel<'a> {
    pub folder: &'a ModelFolder,
    pub engine: &'a Engine,
    /// Its name on the command line; empty for the bundled one.
    pub shown: &'a str,
}

/// Settings shared by the steps of all models.
#[derive(Debug, Clone)]
pub struct StepSettings {
    /// Questions in the accuracy step.
    pub questions: u64,
    pub cases: usize,
    pub seed: u64,
    /// Hypotheses, each with its file.
    pub hypotheses: Vec<(PathBuf, Hypothesis)>,
}

/// A step, with everything it depends on besides the model and the files it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Verifies the claims, and writes the report.
    Verify { seed: u64 },
    /// Counts correct answers.
    Accuracy { questions: u64, seed: u64 },
    /// Tests properties of the answers.
    Property { cases: usize, seed: u64 },
    /// Describes the model from its weights by the published protocol.
    Discover { seed: u64 },
    /// Measures the dependency graph.
    Graph {
        seed: u64,
        /// Whether to write drawings too.
        drawn: bool,
    },
    /// Scores circuits.
    Circuit {
        seed: u64,
        /// Whether to include the circuit of the model's behaviours.
        behaviors: bool,
        /// Hypotheses whose circuits to include.
        hypotheses: Vec<PathBuf>,
        /// Whether to write a page about them.
        page: bool,
    },
    /// Writes the report from all stored results.
    Report,
    /// Tests a hypothesis.
    Hypothesis { file: PathBuf, seed: u64 },
}

/// Results of other steps that a report shows, if they exist.
const SHOWN_BY_REPORT: [&str; 6] = [
    EVIDENCE_FILE,
    "property.json",
    "graph.json",
    "circuit.json",
    "discovered/behaviors.json",
    "discovered/features.json",
];

impl Step {
    /// All steps of a sweep for a model, in order, without hypotheses that do not apply to it.
    pub fn all(settings: &StepSettings, model: &ModelFolder) -> Vec<Self> {
        let &StepSettings {
            questions,
            cases,
            seed,
            ..
        } = settings;
        let hypotheses: Vec<PathBuf> = (settings.hypotheses.iter())
            .filter(|(_, hypothesis)| hypothesis.check_folder(model).is_ok())
            .map(|(file, _)| file.clone())
            .collect();
        let mut steps = vec![
            Step::Verify { seed },
            Step::Accuracy { questions, seed },
            Step::Property { cases, seed },
            Step::Discover { seed },
            Step::Graph { seed, drawn: false },
            Step::Circuit {
                seed,
                behaviors: model.behaviors.is_some(),
                hypotheses: hypotheses.clone(),
                page: false,
            },
            // Rewrites the report, since the one written by verify predates the other results.
            Step::Report,
        ];
        let tests = hypotheses.into_iter();
        steps.extend(tests.map(|file| Step::Hypothesis { file, seed }));
        steps
    }

    /// The name in the summary.
    pub fn name(&self) -> String {
        match self {
            Step::Verify { .. } => "verify".into(),
            Step::Accuracy { .. } => "accuracy".into(),
            Step::Property { .. } => "property".into(),
            Step::Discover { .. } => "discover".into(),
            Step::Graph { .. } => "graph".into(),
            Step::Circuit { .. } => "circuit".into(),
            Step::Report => "report".into(),
            Step::Hypothesis { file, .. } => format!("hypothesis {}", stem(file)),
        }
    }

    /// The equivalent command, without its model. Fingerprints include it, so a record is valid for
    /// as long as the command means the same.
    fn command(&self, folder: &Path) -> Vec<String> {
        let at = |name: &str| folder.join(name).display().to_string();
        let evidence = || ["--evidence".to_owned(), at(EVIDENCE_FILE)];
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(|&w| w.into()).collect() };
        match self {
            Step::Verify { seed } => {
                words(&["verify", "--seed", &seed.to_string(), "--out", &at("")])
            }
            Step::Accuracy { questions, seed } => {
                let (questions, seed) = (questions.to_string(), seed.to_string());
                let draws = ["--questions", &questions, "--seed", &seed];
                words(&[&["accuracy"], &draws[..], &["--json"]].concat())
            }
            Step::Property { cases, seed } => {
                let (cases, seed) = (cases.to_string(), seed.to_string());
                let draws = ["--cases", &cases, "--seed", &seed];
                words(&[&["property"], &draws[..], &["--out", &at("")]].concat())
            }
            Step::Discover { seed } => {
                let seed = seed.to_string();
                words(&["discover", "--seed", &seed, "--out", &at(DISCOVERED)])
            }
            Step::Graph { seed, .. } => {
                let mut command =
                    words(&["graph", "--measure", "--seed", &seed.to_string(), "--json"]);
                command.extend(evidence());
                command
            }
            Step::Circuit {
                seed,
                behaviors,
                hypotheses,
                ..
            } => {
                let mut command =
                    words(&["circuit", "--claims", "--seed", &seed.to_string(), "--json"]);
                command.extend(evidence());
                command.extend(behaviors.then(|| "--behaviors".into()));
                for file in hypotheses {
                    command.extend(["--hypothesis".into(), file.display().to_string()]);
                }
                command
            }
            Step::Report => words(&["report", "--stored", "--out", &at("")]),
            Step::Hypothesis { file, seed } => {
                let (file, seed) = (file.display().to_string(), seed.to_string());
                let mut command =
                    words(&["test", "--hypothesis", &file, "--seed", &seed, "--json"]);
                command.extend(evidence());
                command
            }
        }
    }

    /// The file that must exist for the step to have a result; a model that fails the baseline
    /// leaves none.
    fn result(&self) -> Option<String> {
        match self {
            Step::Verify { .. } => Some(EVIDENCE_FILE.into()),
            Step::Accuracy { .. } => Some("accuracy.json".into()),
            Step::Graph { .. } => Some("graph.json".into()),
            Step::Circuit { .. } => Some("circuit.json".into()),
            Step::Hypothesis { file, .. } => Some(format!("hypothesis-{}.json", stem(file))),
            Step::Property { .. } | Step::Discover { .. } | Step::Report => None,
        }
    }

    /// Files whose content the step depends on.
    fn reads(&self, folder: &Path) -> Vec<PathBuf> {
        let evidence = folder.join(EVIDENCE_FILE);
        match self {
            Step::Verify { .. }
            | Step::Accuracy { .. }
            | Step::Property { .. }
            | Step::Discover { .. } => Vec::new(),
            Step::Graph { .. } => vec![evidence],
            Step::Circuit { hypotheses, .. } => {
                let mut reads = vec![evidence];
                reads.extend_from_slice(hypotheses);
                reads
            }
            Step::Report => SHOWN_BY_REPORT.map(|name| folder.join(name)).into(),
            Step::Hypothesis { file, .. } => vec![evidence, file.clone()],
        }
    }

    /// Whether it needs the result of the verification.
    fn needs_evidence(&self) -> bool {
        matches!(
            self,
            Step::Graph { .. } | Step::Circuit { .. } | Step::Report | Step::Hypothesis { .. }
        )
    }
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Runs all steps of a sweep for a model with results in `folder`, except those already done.
/// Reports each step as it ends, and whether it was run now.
///
/// # Errors
/// [`OutputError`] if the record of a step cannot be written.
pub fn run_steps(
    settings: &StepSettings,
    model: &StepModel,
    folder: &Path,
    tell: &mut dyn FnMut(&StepRecord, bool),
) -> Result<Vec<StepRecord>, OutputError> {
    let mut records = Vec::new();
    for step in Step::all(settings, model.folder) {
        let (record, done_now) = step.resume(model, folder, &records)?;
        tell(&record, done_now);
        records.push(record);
    }
    Ok(records)
}

/// Ignores a step's progress.
fn unseen(_: Progress) {}
