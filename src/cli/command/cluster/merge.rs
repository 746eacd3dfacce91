//! `circuitcheck shard merge`: the results of all shards, put together.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use circuitcheck::analysis::accuracy::{MeasuredAccuracy, QuestionSource};
use circuitcheck::batch::shards::{ClaimCount, Claims, Merged, Miss, PlannedModel, Store};
use circuitcheck::experiment::stats::{Count, Rate};
use circuitcheck::storage::{markdown_code, markdown_text, pretty_json, write_files};
use clap::Args;
use serde::Serialize;

use super::Planned;
use crate::cli::args::model::Identity;
use crate::cli::command::accuracy::ShownAccuracy;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, hold};
use crate::cli::term::table::{Side, Table};

/// Error of each interval: each is a 99 % interval on its own.
const ALPHA: f64 = 0.01;

/// Merge the results of all shards of a plan
///
/// Writes, for each model, answers.json (what `accuracy --json` prints) and claims.json, and over all
/// models certificate.md: which questions were asked of which weights, and how many were answered wrongly.
/// The files are the same bytes for any number of shards.
///
/// Refuses if a shard is missing or of another plan, or if a model or its claims are not the ones that were
/// planned.
///
/// With --json: models[], each with model, weights_sha256, questions, wrong, not_listed (wrong answers
/// that were counted and not kept), and claims[]: claim, interchange_accuracy (of pairs in which the answer is
/// predicted to change, how many gave exactly what is predicted), moved, control_pairs (of pairs in which nothing
/// is predicted to change, how many changed), ties, dropped and first_miss.
#[derive(Debug, Args)]
pub struct Merge {
    #[command(flatten)]
    planned: Planned,
    /// Folder for what comes of it
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    format: JsonArg,
}

#[derive(Serialize)]
struct Whole {
    models: Vec<WholeModel>,
}

#[derive(Serialize)]
struct WholeModel {
    #[serde(flatten)]
    identity: Identity,
    source: QuestionSource,
    questions: u64,
    wrong: u64,
    ties: u64,
    not_listed: u64,
    claims: Vec<WholeClaim>,
}

#[derive(Serialize)]
struct WholeClaim {
    claim: String,
    interchange_accuracy: Rate,
    moved: u64,
    control_pairs: Rate,
    ties: u64,
    dropped: u64,
    first_miss: Option<Miss>,
}

impl WholeClaim {
    fn new(claim: &str, count: &ClaimCount) -> Self {
        Self {
            claim: claim.to_owned(),
            interchange_accuracy: Rate::sampled(count.counterfactual, ALPHA / 2.0),
            moved: count.moved,
            control_pairs: Rate::sampled(count.control_pairs, ALPHA / 2.0),
            ties: count.ties,
            dropped: count.dropped,
            first_miss: count.first_miss,
        }
    }
}

impl WholeModel {
    fn new(planned: &PlannedModel, merged: &Merged) -> Self {
        let total = merged.tally.total();
        let claims = planned.claims.iter().zip(&merged.claims);
        Self {
            identity: Identity {
                model: planned.name.clone(),
                weights_sha256: planned.weights_sha256.clone(),
            },
            source: planned.source,
            questions: total.trials,
            wrong: total.hits,
            ties: merged.tally.ties,
            not_listed: total.hits - merged.tally.wrong.len() as u64,
            claims: claims
                .map(|(claim, count)| WholeClaim::new(claim, count))
                .collect(),
        }
    }

    /// What was asked, and what came of it, as a sentence.
    fn certificate(&self) -> String {
        let count = Count {
            hits: self.wrong,
            trials: self.questions,
        };
        let asked = match self.source {
            QuestionSource::Every { first, second } => format!(
                "All {} questions with operands in {first} and {second} were asked; {} were answered wrongly.",
                self.questions, self.wrong
            ),
            QuestionSource::Uniform { seed } => format!(
                "{} questions were drawn uniformly, with seed {seed}; answered wrongly: {}.",
                self.questions,
                Rate::sampled(count, ALPHA / 2.0).rare_text()
            ),
            QuestionSource::Enriched { seed, .. } => format!(
                "{} questions were drawn as in training, with seed {seed}; answered wrongly: {}.",
                self.questions,
                Rate::sampled(count, ALPHA / 2.0).rare_text()
            ),
        };
        let listed = match (self.wrong, self.not_listed) {
            (0, _) => String::new(),
            (_, 0) => " Each is listed in answers.json.".into(),
            (wrong, rest) => format!(" The first {} are listed in answers.json.", wrong - rest),
        };
        let ties = match self.ties {
            0 => String::new(),
            ties => format!(
                " {ties} of them are numerical ties, which another processor may answer rightly."
            ),
        };
        format!("{asked}{listed}{ties}")
    }
}

impl Whole {
    fn markdown(&self) -> String {
        let mut text = String::from("# What was asked, and what was answered\n");
        for model in &self.models {
            let Identity {
                model: name,
                weights_sha256,
            } = &model.identity;
            let _ = write!(
                text,
                "\n## {}\nWeights with SHA-256 {}, circuitcheck {}.\n\n{}\n",
                markdown_text(name),
                markdown_code(weights_sha256),
                env!("CARGO_PKG_VERSION"),
                model.certificate()
            );
            if model.claims.is_empty() {
                continue;
            }
            text += "\n| claim | as predicted | control pairs changed | first pair that is not |\n|---|---|---|---|\n";
            for claim in &model.claims {
                let miss = claim
                    .first_miss
                    .map_or_else(String::new, |miss| miss_text(&miss));
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {miss} |",
                    markdown_text(&claim.claim),
                    claim.interchange_accuracy.rare_text(),
                    claim.control_pairs.rare_text()
                );
            }
        }
        text
    }
}

fn miss_text(miss: &Miss) -> String {
    format!(
        "{} into {}: {} predicted, {} given",
        miss.source, miss.base, miss.predicted, miss.given
    )
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, model) in self.models.iter().enumerate() {
            let between = if at == 0 { "" } else { "\n" };
            writeln!(
                f,
                "{between}{}: {}",
                model.identity.model,
                model.certificate()
            )?;
            if model.claims.is_empty() {
                continue;
            }
            let mut table = Table::new([Side::Left; 3]);
            table.heading(["claim", "as predicted", "control pairs changed"]);
            for claim in &model.claims {
                table.row([
                    (&claim.claim).into(),
                    claim.interchange_accuracy.rare_text().into(),
                    claim.control_pairs.rare_text().into(),
                ]);
            }
            table.fmt(f)?;
        }
        Ok(())
    }
}

impl Merge {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let plan = self.planned.read()?;
        let _held = hold(&self.out, "merge")?;
        let merged = Store::new(&plan, &self.planned.folder()).merge()?;
        let mut models = Vec::new();
        for (planned, merged) in plan.models().iter().zip(&merged) {
            let folder = self.planned.open(&planned.location)?;
            let questions = planned.questions(&folder)?;
            planned.claims(Claims::of(&folder)?.0)?;
            let model = WholeModel::new(planned, merged);
            let measured = ShownAccuracy(MeasuredAccuracy::new(
                model.identity.clone(),
                plan.decode(),
                &questions,
                &merged.tally,
            ));
            write_files(
                &self.out.join(&planned.name),
                &[
                    ("answers.json", pretty_json(&measured)),
                    ("claims.json", pretty_json(&model.claims)),
                ],
            )?;
            models.push(model);
        }
        let whole = Whole { models };
        write_files(&self.out, &[("certificate.md", whole.markdown())])?;
        self.format.print(&whole)?;
        Ok(ExitCode::Success)
    }
}
