//! The plan: which models are asked which questions, and how that is cut into shards.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::claims::Claims;
use crate::analysis::accuracy::{BLOCK, QuestionSource, Questions, QuestionsError};
use crate::inputs::model::{ModelFolder, sha256};
use crate::network::engine::Decode;
use crate::storage::pretty_json;

/// The form of plans. The number grows when it changes.
const SCHEMA: &str = "circuitcheck/plan/1";

/// Most shards of a plan: more than any scheduler takes in one array.
const MAX_SHARDS: u64 = 1_000_000;

/// Where a planned model is found.
pub type Location = String;

/// Everything that is to be done, and who does what.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShardPlan {
    schema: String,
    /// The program's version: another may count otherwise.
    program: String,
    block: u64,
    decode: String,
    keep: usize,
    models: Vec<PlannedModel>,
    shards: Vec<Vec<Piece>>,
}

/// A model, and what it is to be asked.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModel {
    /// Its folder or its address, as the machines that work will find it.
    pub location: Location,
    pub name: String,
    pub weights_sha256: String,
    /// What it was trained for, which decides what is asked.
    pub operations: String,
    /// Where the questions come from.
    pub source: QuestionSource,
    pub questions: u64,
    /// The claims put to them.
    pub claims: Vec<String>,
}

/// A part of a shard: the blocks of one model from one number up to, and without, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The model's place in the plan.
    pub model: usize,
    pub from: u64,
    /// The block after the last.
    pub to: u64,
}

/// Why a plan cannot be made or followed.
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
    /// The shards do not cover the questions once each.
    #[error("{file}: the blocks of {model} are not covered once each: {fault}")]
    Cover {
        file: String,
        model: String,
        /// A gap, an overlap, or blocks that there are none of.
        fault: String,
    },
    /// No model.
    #[error("there is nothing to plan: no model was named")]
    Nothing,
    /// Two models of one name, whose results would lie in one folder.
    #[error("two models are called {0:?}: their results would lie in one folder")]
    SameName(String),
    /// More shards than blocks.
    #[error(
        "{shards} shards are too many: there are {blocks} blocks of {BLOCK} questions, and {MAX_SHARDS} shards at most"
    )]
    TooManyShards {
        /// As asked for.
        shards: u64,
        blocks: u64,
    },
    /// No such shard.
    #[error("there is no shard {index}: they are numbered 0 to {}", .shards - 1)]
    NoShard {
        /// As asked for.
        index: u64,
        /// How many there are.
        shards: usize,
    },
    /// The model found is not the one that was planned.
    #[error("{location}: {what} changed since it was planned: {planned} then, {found} now")]
    ModelChanged {
        /// Where it was found.
        location: String,
        what: &'static str,
        planned: String,
        found: String,
    },
    /// Questions that cannot be asked.
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

    /// How many blocks its questions make.
    pub fn blocks(&self) -> u64 {
        self.questions.div_ceil(BLOCK)
    }

    /// The planned questions, of the model that was found where the plan says it is.
    ///
    /// # Errors
    /// [`PlanError::ModelChanged`], where it is another one.
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
        // An enriched row also hangs on the training record.
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

    /// The planned claims, of the model that was found where the plan says it is.
    ///
    /// # Errors
    /// [`PlanError::ModelChanged`], where there are others.
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
    /// Cuts the work into shards of about equal cost; `costs` are those of a block of each model.
    ///
    /// # Errors
    /// [`PlanError`], where that cannot be done.
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

    /// Reads a plan, and checks that its shards cover its questions once each. `file` names it in errors.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, PlanError> {
        let malformed = |reason: &dyn fmt::Display| PlanError::Malformed {
            file: file.into(),
            reason: reason.to_string(),
        };
        let plan: ShardPlan = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
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
        let pieces: Vec<Piece> = plan.shards.iter().flatten().copied().collect();
        if let Some(piece) = pieces.iter().find(|piece| piece.model >= plan.models.len()) {
            return Err(malformed(&format_args!(
                "there is no model {}",
                piece.model
            )));
        }
        for (at, model) in plan.models.iter().enumerate() {
            let of_model = pieces.iter().filter(|piece| piece.model == at);
            cover(model, of_model.copied().collect()).map_err(|fault| PlanError::Cover {
                file: file.into(),
                model: model.name.clone(),
                fault,
            })?;
        }
        Ok(plan)
    }

    /// The plan as it is written.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// What tells this plan from every other: its digest.
    pub fn digest(&self) -> String {
        sha256(self.to_json().as_bytes())
    }

    pub fn decode(&self) -> Decode {
        Decode::named(&self.decode).expect("plans are checked when they are read")
    }

    /// Most wrong answers that are kept of each model.
    pub fn keep(&self) -> usize {
        self.keep
    }

    pub fn models(&self) -> &[PlannedModel] {
        &self.models
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// What one shard does.
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

/// Lays all blocks in a row, each as long as it costs, and cuts the row into pieces of equal length. A
/// block belongs to the shard in which it begins.
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

/// Checks that pieces cover a model's blocks once each.
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
