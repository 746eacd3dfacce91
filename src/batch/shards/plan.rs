//! The plan: which models are asked which questions, and how the work is divided into shards.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::claims::Claims;
use crate::analysis::accuracy::{BLOCK, MAX_QUESTIONS, QuestionSource, Questions, QuestionsError};
use crate::inputs::model::{ModelFolder, sha256};
use crate::network::engine::Decode;
use crate::storage::{pretty_json, read_json};

/// The format of plans; increased with every change.
const SCHEMA: &str = "circuitcheck/plan/1";

/// Most shards of a plan: more than any scheduler accepts in one array.
const MAX_SHARDS: u64 = 1_000_000;

/// The location of a planned model.
pub type Location = String;

/// All the work, and its division into shards.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShardPlan {
    schema: String,
    /// The program's version; another version may count differently.
    program: String,
    block: u64,
    decode: String,
    keep: usize,
    models: Vec<PlannedModel>,
    shards: Vec<Vec<Piece>>,
}

/// A model and the questions to ask it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModel {
    /// Its folder or address, as seen by the working machines.
    pub location: Location,
    pub name: String,
    pub weights_sha256: String,
    /// The operations it was trained for, which determine the questions.
    pub operations: String,
    /// Where the questions come from.
    pub source: QuestionSource,
    pub questions: u64,
    /// The claims tested on them.
    pub claims: Vec<String>,
}

/// A part of a shard: a half-open range of a model's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The model's index in the plan.
    pub model: usize,
    pub from: u64,
    /// One past the last block.
    pub to: u64,
}

/// Why a plan cannot be made or carried out.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Not a plan.
    #[error("{file}: not a plan: {reason}")]
    Malformed { file: String, reason: String },
    /// Made by another version.
    #[error(
        "{file}: was made by circuitcheck {found}, this is {}; plan again, or work with the version that planned",
        env!("CARGO_PKG_VERSION")
    )]
    OtherProgram { file: String, found: String },
    /// The shards do not cover each question exactly once.
    #[error("{file}: the blocks of {model} are not covered once each: {fault}")]
    Cover {
        file: String,
        model: String,
        /// A gap, an overlap, or blocks that do not exist.
        fault: String,
    },
    /// There is no model.
    #[error("there is nothing to plan: no model was named")]
    Nothing,
    /// Two models with the same name, whose results would share a folder.
    #[error("two models are called {0:?}: their results would lie in one folder")]
    SameName(String),
    /// More shards than blocks.
    #[error(
        "{shards} shards are too many: there are {blocks} blocks of {BLOCK} questions, and {MAX_SHARDS} shards at most"
    )]
    TooManyShards {
        /// The number requested.
        shards: u64,
        blocks: u64,
    },
    /// No such shard.
    #[error("there is no shard {index}: they are numbered 0 to {}", .shards - 1)]
    NoShard {
        /// The index requested.
        index: u64,
        /// Number of shards.
        shards: usize,
    },
    /// The model found is not the planned one.
    #[error("{location}: {what} changed since it was planned: {planned} then, {found} now")]
    ModelChanged {
        /// Its location.
        location: String,
        what: &'static str,
        planned: String,
        found: String,
    },
    /// The questions cannot be asked.
    #[error(transparent)]
    Questions(#[from] QuestionsError),
}

impl PlannedModel {
    /// Plans to ask a model these questions.
    pub fn new(
        location: Location,
        folder: &ModelFolder,
        questions: &Questions,
        claims: &Claims,
    ) -> Self {
        Self {
            location,
            name: folder.name.clone(),
            weights_sha256: folder.weights_sha256.clone(),
            operations: folder.operations().to_string(),
            source: questions.source(),
            questions: questions.len(),
            claims: claims.texts().to_vec(),
        }
    }

    /// Number of blocks of its questions.
    pub fn blocks(&self) -> u64 {
        self.questions.div_ceil(BLOCK)
    }

    /// The planned questions for the model found at its location.
    ///
    /// # Errors
    /// [`PlanError::ModelChanged`] if it is a different model.
    pub fn questions(&self, folder: &ModelFolder) -> Result<Questions, PlanError> {
        let changed = |what, planned: &str, found: &str| PlanError::ModelChanged {
            location: self.location.clone(),
            what,
            planned: planned.to_owned(),
            found: found.to_owned(),
        };
        let operations = folder.operations().to_string();
        for (what, planned, found) in [
            ("the model's name", &self.name, &folder.name),
            (
                "the digest of the weights",
                &self.weights_sha256,
                &folder.weights_sha256,
            ),
            (
                "what the model was trained for",
                &self.operations,
                &operations,
            ),
        ] {
            if planned != found {
                return Err(changed(what, planned, found));
            }
        }
        let questions = match self.source {
            QuestionSource::Uniform { seed } => Questions::uniform(folder, self.questions, seed)?,
            QuestionSource::Enriched { seed, .. } => {
                Questions::enriched(folder, self.questions, seed)?
            }
            QuestionSource::Every { first, second } => Questions::every(folder, first, second)?,
        };
        // An enriched sequence also depends on the training record.
        let text = |source: QuestionSource| {
            serde_json::to_string(&source).expect("a source has string keys")
        };
        if questions.source() != self.source {
            let (planned, found) = (text(self.source), text(questions.source()));
            return Err(changed("what the questions are drawn by", &planned, &found));
        }
        if questions.len() != self.questions {
            let (planned, found) = (self.questions.to_string(), questions.len().to_string());
            return Err(changed("the number of questions", &planned, &found));
        }
        Ok(questions)
    }

    /// The planned claims of the model found at its location.
    ///
    /// # Errors
    /// [`PlanError::ModelChanged`] if the claims differ.
    pub fn claims(&self, found: Claims) -> Result<Claims, PlanError> {
        if self.claims.is_empty() {
            return Ok(Claims::default());
        }
        if found.texts() == self.claims {
            return Ok(found);
        }
        let shown = |texts: &[String]| {
            format!(
                "{} claims, {}",
                texts.len(),
                sha256(texts.join("\n").as_bytes())
            )
        };
        Err(PlanError::ModelChanged {
            location: self.location.clone(),
            what: "features.json",
            planned: shown(&self.claims),
            found: shown(found.texts()),
        })
    }
}

impl ShardPlan {
    /// Divides the work into shards of about equal cost; `costs` are the costs of a block of each
    /// model.
    ///
    /// # Errors
    /// [`PlanError`] if that is not possible.
    pub fn new(
        models: Vec<PlannedModel>,
        costs: &[u64],
        decode: Decode,
        keep: usize,
        shards: u64,
    ) -> Result<Self, PlanError> {
        if models.is_empty() {
            return Err(PlanError::Nothing);
        }
        let mut names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(PlanError::SameName(pair[0].to_owned()));
        }
        let blocks = models.iter().map(PlannedModel::blocks).sum();
        if shards > blocks || shards > MAX_SHARDS {
            return Err(PlanError::TooManyShards { shards, blocks });
        }
        Ok(Self {
            schema: SCHEMA.into(),
            program: env!("CARGO_PKG_VERSION").into(),
            block: BLOCK,
            decode: decode.name().into(),
            keep,
            shards: cut(&models, costs, shards),
            models,
        })
    }

    /// Reads a plan, and checks that its shards cover each question exactly once. `file` names it
    /// in errors.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, PlanError> {
        let malformed = |reason: &dyn fmt::Display| PlanError::Malformed {
            file: file.into(),
            reason: reason.to_string(),
        };
        let plan: ShardPlan = read_json(bytes).map_err(|error| malformed(&error))?;
        if plan.schema != SCHEMA {
            return Err(malformed(&format_args!(
                "schema {:?}, expected {SCHEMA:?}",
                plan.schema
            )));
        }
        if plan.program != env!("CARGO_PKG_VERSION") {
            let found = plan.program;
            return Err(PlanError::OtherProgram {
                file: file.into(),
                found,
            });
        }
        if plan.block != BLOCK {
            return Err(malformed(&format_args!(
                "blocks of {} questions, expected {BLOCK}",
                plan.block
            )));
        }
        if Decode::named(&plan.decode).is_none() {
            return Err(malformed(&format_args!("decode {:?}", plan.decode)));
        }
        if plan.models.is_empty() {
            return Err(malformed(&"it has no models"));
        }
        if plan.shards.is_empty() {
            return Err(malformed(&"it has no shards"));
        }
        let mut pieces: Vec<Vec<Piece>> = vec![Vec::new(); plan.models.len()];
        for &piece in plan.shards.iter().flatten() {
            match pieces.get_mut(piece.model) {
                Some(of_model) => of_model.push(piece),
                None => {
                    return Err(malformed(&format_args!(
                        "there is no model {}",
                        piece.model
                    )));
                }
            }
        }
        for (model, pieces) in plan.models.iter().zip(pieces) {
            if model.questions > MAX_QUESTIONS {
                return Err(malformed(&format_args!(
                    "{} questions, more than the {MAX_QUESTIONS} that can be asked",
                    model.questions
                )));
            }
            cover(model, pieces).map_err(|fault| PlanError::Cover {
                file: file.into(),
                model: model.name.clone(),
                fault,
            })?;
        }
        Ok(plan)
    }

    /// The plan as JSON.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// The digest that identifies this plan.
    pub fn digest(&self) -> String {
        sha256(self.to_json().as_bytes())
    }

    pub fn decode(&self) -> Decode {
        Decode::named(&self.decode).expect("plans are checked when they are read")
    }

    /// Most wrong answers that are kept per model.
    pub fn keep(&self) -> usize {
        self.keep
    }

    pub fn models(&self) -> &[PlannedModel] {
        &self.models
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The pieces of one shard.
    ///
    /// # Errors
    /// [`PlanError::NoShard`].
    pub fn shard(&self, index: u64) -> Result<&[Piece], PlanError> {
        let at = usize::try_from(index).ok();
        let shard = at.and_then(|at| self.shards.get(at));
        shard.map(Vec::as_slice).ok_or(PlanError::NoShard {
            index,
            shards: self.shards.len(),
        })
    }
}

/// Lays out all blocks in sequence, each with a length equal to its cost, and cuts the sequence
/// into shards of equal length. A block belongs to the shard in which it starts.
fn cut(models: &[PlannedModel], costs: &[u64], shards: u64) -> Vec<Vec<Piece>> {
    assert_eq!(models.len(), costs.len(), "one cost for each model");
    let row: u128 = models
        .iter()
        .zip(costs)
        .map(|(model, &cost)| u128::from(model.blocks()) * u128::from(cost.max(1)))
        .sum();
    let end_of = |shard: u64| row * u128::from(shard) / u128::from(shards);
    let shard = |index: u64| {
        let (start, end) = (end_of(index), end_of(index + 1));
        let mut begins = 0u128;
        let mut pieces = Vec::new();
        for (model, (planned, &cost)) in models.iter().zip(costs).enumerate() {
            let (blocks, cost) = (u128::from(planned.blocks()), u128::from(cost.max(1)));
            let first_from = |place: u128| place.saturating_sub(begins).div_ceil(cost).min(blocks);
            let (from, to) = (first_from(start) as u64, first_from(end) as u64);
            if from < to {
                pieces.push(Piece { model, from, to });
            }
            begins += blocks * cost;
        }
        pieces
    };
    (0..shards).map(shard).collect()
}

/// Checks that pieces cover each block of a model exactly once.
fn cover(model: &PlannedModel, mut pieces: Vec<Piece>) -> Result<(), String> {
    pieces.sort();
    let mut next = 0;
    for piece in pieces {
        let Piece { from, to, .. } = piece;
        if from >= to {
            return Err(format!("{from} to {to} is no range"));
        }
        match from.cmp(&next) {
            std::cmp::Ordering::Less => return Err(format!("block {from} is in two shards")),
            std::cmp::Ordering::Greater => {
                return Err(format!("blocks {next} to {} are in no shard", from - 1));
            }
            std::cmp::Ordering::Equal => next = to,
        }
    }
    let blocks = model.blocks();
    if next == blocks {
        Ok(())
    } else if next < blocks {
        Err(format!("blocks {next} to {} are in no shard", blocks - 1))
    } else {
        Err(format!("there is no block {}, only {blocks}", next - 1))
    }
}
