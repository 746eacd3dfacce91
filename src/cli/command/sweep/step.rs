//! The steps of a sweep: each is a command of this program, run by itself, so that whatever becomes of it
//! stops nothing else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use circuitcheck::batch::sweep::{StepRecord, StepState};
use circuitcheck::inputs::model::{ModelFolder, sha256};
use circuitcheck::storage::{OutputError, pretty_json, write_files};

use crate::cli::term::exit_code::ExitCode;

/// Lines of a failed step's messages that its record keeps.
const LINES_KEPT: usize = 5;

/// A command, and what it leaves.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, by which it is known in the summary.
    pub name: String,
    /// What the program is asked, the model's place aside.
    arguments: Vec<String>,
    /// The file its standard output becomes, if that is its result.
    stdout: Option<String>,
    /// Files it hangs on, whose content is part of what it was.
    reads: Vec<PathBuf>,
    /// Files of an earlier run that it would go on from: a step begun anew starts without them, so that
    /// one that was interrupted gives what one that was not gives.
    starts_without: Vec<&'static str>,
    /// The step of which it needs the result.
    needs: Option<&'static str>,
}

/// What is the same for all models.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Questions of the accuracy step.
    pub questions: u64,
    /// Cases of each property.
    pub cases: usize,
    /// Seed of every draw.
    pub seed: u64,
}

/// The name of the first step, whose result later ones read.
const VERIFY: &str = "verify";

/// What a report shows of other steps, if it is there.
const SHOWN_BY_REPORT: [&str; 6] = [
    "evidence.json",
    "property.json",
    "graph.json",
    "circuit.json",
    "discovered/behaviors.json",
    "discovered/features.json",
];

impl Step {
    /// All steps for a model whose results are to lie in `folder`. `hypotheses` are those that are about it.
    pub fn all(
        settings: &Settings,
        model: &ModelFolder,
        folder: &Path,
        hypotheses: &[PathBuf],
    ) -> Vec<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let seed = settings.seed.to_string();
        let evidence = folder.join("evidence.json");
        let step = |name: &str, arguments: &[&str], stdout: Option<&str>| Self {
            name: name.to_owned(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            stdout: stdout.map(str::to_owned),
            reads: Vec::new(),
            starts_without: Vec::new(),
            needs: None,
        };
        let on_evidence = |mut step: Self| {
            step.arguments
                .extend(["--evidence".to_owned(), at("evidence.json")]);
            step.reads.push(evidence.clone());
            step.needs = Some(VERIFY);
            step
        };
        let (questions, cases) = (settings.questions.to_string(), settings.cases.to_string());
        let mut steps = vec![
            step(VERIFY, &["verify", "--seed", &seed, "--out", &at("")], None),
            step(
                "accuracy",
                &[
                    "accuracy",
                    "--questions",
                    &questions,
                    "--seed",
                    &seed,
                    "--json",
                ],
                Some("accuracy.json"),
            ),
            step(
                "property",
                &[
                    "property",
                    "--cases",
                    &cases,
                    "--seed",
                    &seed,
                    "--out",
                    &at(""),
                ],
                None,
            ),
            step(
                "discover",
                &["discover", "--seed", &seed, "--out", &at("discovered")],
                None,
            ),
            on_evidence(step(
                "graph",
                &["graph", "--measure", "--seed", &seed, "--json"],
                Some("graph.json"),
            )),
        ];
        let mut circuit = on_evidence(step(
            "circuit",
            &["circuit", "--claims", "--seed", &seed, "--json"],
            Some("circuit.json"),
        ));
        if model.behaviors.is_some() {
            circuit.arguments.push("--behaviors".into());
        }
        for file in hypotheses {
            let shown = file.display().to_string();
            circuit.arguments.extend(["--hypothesis".into(), shown]);
            circuit.reads.push(file.clone());
        }
        steps.push(circuit);
        for step in steps.iter_mut().filter(|step| step.name == "property") {
            step.starts_without.push("property-kept.txt");
        }
        // The page of all this: that of verify was made before the rest was there.
        let mut report = step("report", &["report", "--stored", "--out", &at("")], None);
        report.needs = Some(VERIFY);
        for name in SHOWN_BY_REPORT {
            report.reads.push(folder.join(name));
        }
        steps.push(report);
        for file in hypotheses {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let shown = file.display().to_string();
            let mut test = on_evidence(step(
                &format!("hypothesis {stem}"),
                &["test", "--hypothesis", &shown, "--seed", &seed, "--json"],
                Some(&format!("hypothesis-{stem}.json")),
            ));
            test.reads.push(file.clone());
            steps.push(test);
        }
        steps
    }

    /// What tells this step, on this model and with these files, from every other.
    fn fingerprint(&self, model: &ModelFolder) -> String {
        let mut text = format!(
            "circuitcheck {}\n{}\n{:?}\n",
            env!("CARGO_PKG_VERSION"),
            model.weights_sha256,
            self.arguments
        );
        for file in [&model.features, &model.behaviors].into_iter().flatten() {
            text += &file.sha256;
            text.push('\n');
        }
        for file in &self.reads {
            // One that is not there counts too: a step that needs it fails, and says so.
            text += &fs::read(file).map_or_else(|_| "none".into(), |bytes| sha256(&bytes));
            text.push('\n');
        }
        sha256(text.as_bytes())
    }

    fn record_name(&self) -> String {
        record_name(&self.name)
    }

    /// What became of it before, unless that was a failure, its result is gone or something it hangs on
    /// changed.
    fn before(&self, folder: &Path, fingerprint: &str) -> Option<StepRecord> {
        let record = fs::read(folder.join(self.record_name())).ok()?;
        let record: StepRecord = serde_json::from_slice(&record).ok()?;
        // A model that cannot be measured leaves no file.
        let is_there = match &self.stdout {
            Some(name) => {
                record.exit == Some(ExitCode::Baseline as i32) || folder.join(name).exists()
            }
            None => self.name != VERIFY || folder.join("evidence.json").exists(),
        };
        let stands = record.fingerprint == fingerprint && record.state != StepState::Failed;
        (stands && is_there).then_some(record)
    }

    /// Runs the step, unless it was done before. `done` are the steps of this model so far. The step
    /// inherits `held`, so that a step outliving a sweep that was killed goes on holding its lock.
    ///
    /// # Errors
    /// [`OutputError`], where what became of it cannot be written.
    pub fn run(
        &self,
        location: &str,
        model: &ModelFolder,
        folder: &Path,
        done: &[StepRecord],
        held: &File,
    ) -> Result<(StepRecord, bool), OutputError> {
        let fingerprint = self.fingerprint(model);
        if let Some(record) = self.before(folder, &fingerprint) {
            return Ok((record, false));
        }
        let record = |state, exit, messages| StepRecord {
            step: self.name.clone(),
            fingerprint: fingerprint.clone(),
            state,
            exit,
            messages,
        };
        let needed = self
            .needs
            .and_then(|name| done.iter().find(|step| step.step == name));
        if let Some(needed) = needed.filter(|needed| needed.state != StepState::Done) {
            let message = format!("needs the result of {}, which has none", needed.step);
            let record = record(StepState::Skipped, None, vec![message]);
            return Ok((record, false));
        }
        let started = Instant::now();
        for file in &self.starts_without {
            remove(&folder.join(file))?;
        }
        let threads = rayon::current_num_threads();
        let output = std::env::current_exe().and_then(|program| {
            // No step reads its standard input.
            let inherited = held.try_clone()?;
            Command::new(program)
                .arg(&self.arguments[0])
                .arg(location)
                .args(&self.arguments[1..])
                .args(["--threads", &threads.to_string()])
                .stdin(inherited)
                .output()
        });
        let record = match output {
            Err(error) => record(StepState::Failed, None, vec![error.to_string()]),
            Ok(output) => {
                let messages = String::from_utf8_lossy(&output.stderr);
                let kept: Vec<String> = messages.lines().map(str::to_owned).collect();
                let kept = kept[kept.len().saturating_sub(LINES_KEPT)..].to_vec();
                let exit = output.status.code();
                // What stands in the way of a result fails this step; the record tells.
                let written = match (&self.stdout, exit.is_some_and(ExitCode::is_a_result)) {
                    (_, false) => Err(kept),
                    (None, true) => Ok(()),
                    // A model that cannot be measured leaves no file: an empty one would be a broken one.
                    (Some(name), true) if output.stdout.is_empty() => {
                        remove(&folder.join(name)).map_err(|error| vec![error.to_string()])
                    }
                    (Some(name), true) => {
                        let text = String::from_utf8_lossy(&output.stdout).into_owned();
                        write_files(folder, &[(name, text)])
                            .map_err(|error| vec![error.to_string()])
                    }
                };
                let (state, messages) = match (written, exit) {
                    (Ok(()), _) => (StepState::Done, Vec::new()),
                    (Err(said), Some(_)) => (StepState::Failed, said),
                    (Err(said), None) => (
                        StepState::Failed,
                        [vec![output.status.to_string()], said].concat(),
                    ),
                };
                record(state, exit, messages)
            }
        };
        let text = pretty_json(&record);
        let seconds = format!("{:.1}\n", started.elapsed().as_secs_f64());
        let name = self.record_name();
        let timed = name.replace(".json", ".seconds");
        write_files(folder, &[(&timed, seconds), (&name, text)])?;
        Ok((record, true))
    }
}

/// The file that tells what became of a step.
fn record_name(step: &str) -> String {
    format!("step-{}.json", step.replace(' ', "-"))
}

/// Has a step done anew by the next sweep, whatever became of it.
///
/// # Errors
/// [`OutputError`], where its record cannot be removed.
pub fn forget(folder: &Path, step: &str) -> Result<(), OutputError> {
    remove(&folder.join(record_name(step)))
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => Err(OutputError {
            path: path.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}
