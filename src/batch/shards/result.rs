//! The results of shards, and how they are merged.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::claims::ClaimCount;
use super::plan::{Piece, ShardPlan};
use crate::analysis::accuracy::{AccuracyTally, BLOCK};
use crate::storage::read_json;

/// The format of results; increased with every change.
const SCHEMA: &str = "circuitcheck/shard/2";

/// The results of a shard, or of its first blocks.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShardResult {
    schema: String,
    /// The digest of the plan.
    plan: String,
    shard: u64,
    done: Vec<Done>,
}

/// The results of some blocks of one model.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    pub piece: Piece,
    pub tally: AccuracyTally,
    /// The claims, in the order of the plan.
    pub claims: Vec<ClaimCount>,
}

/// The results of all questions of one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    pub tally: AccuracyTally,
    /// The claims, in the order of the plan.
    pub claims: Vec<ClaimCount>,
}

/// Why a result does not belong to this plan, or results are incomplete.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// Not a result.
    #[error("not the result of a shard: {0}")]
    Malformed(String),
    /// A result of another plan.
    #[error(
        "is of another plan: {found} there, {plan} here; name the plan it was made by, or another folder"
    )]
    OtherPlan {
        /// The digest of its plan.
        found: String,
        /// The digest of this one.
        plan: String,
    },
    /// A result of another shard than its file name says.
    #[error("is of shard {found}, not of {shard}")]
    OtherShard {
        /// The shard it belongs to.
        found: u64,
        /// The shard in its file name.
        shard: u64,
    },
    /// Other blocks than those planned.
    #[error("holds other blocks than those planned for shard {shard}: {fault}")]
    OtherBlocks {
        shard: u64,
        /// The difference.
        fault: String,
    },
}

impl Done {
    /// Appends the following blocks.
    fn append(&mut self, next: Self, keep: usize) {
        self.piece.to = next.piece.to;
        self.tally.merge(next.tally, keep);
        for (claim, next) in self.claims.iter_mut().zip(next.claims) {
            claim.merge(next);
        }
    }
}

impl ShardResult {
    pub fn nothing(plan: &ShardPlan, shard: u64) -> Self {
        Self {
            schema: SCHEMA.into(),
            plan: plan.digest(),
            shard,
            done: Vec::new(),
        }
    }

    /// The planned work that is not done yet.
    pub fn remaining(&self, pieces: &[Piece]) -> Vec<Piece> {
        let mut rest = pieces.to_vec();
        for (done, piece) in self.done.iter().zip(&mut rest) {
            piece.from = done.piece.to;
        }
        rest.retain(|piece| piece.from < piece.to);
        rest
    }

    /// Adds the results of the next blocks; at most `keep` wrong answers are kept.
    pub fn add(&mut self, next: Done, keep: usize) {
        match self.done.last_mut() {
            Some(last)
                if last.piece.model == next.piece.model && last.piece.to == next.piece.from =>
            {
                last.append(next, keep);
            }
            _ => self.done.push(next),
        }
    }

    /// The result as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a result has string keys") + "\n"
    }

    /// Reads the results of a shard of a plan, complete or of its first blocks.
    ///
    /// # Errors
    /// [`MergeError`] if it is anything else.
    pub fn read(
        plan: &ShardPlan,
        digest: &str,
        shard: u64,
        bytes: &[u8],
    ) -> Result<Self, MergeError> {
        let result: Self =
            read_json(bytes).map_err(|error| MergeError::Malformed(error.to_string()))?;
        if result.schema != SCHEMA {
            let reason = format!("schema {:?}, expected {SCHEMA:?}", result.schema);
            return Err(MergeError::Malformed(reason));
        }
        if result.plan != digest {
            return Err(MergeError::OtherPlan {
                found: result.plan,
                plan: digest.to_owned(),
            });
        }
        if result.shard != shard {
            let found = result.shard;
            return Err(MergeError::OtherShard { found, shard });
        }
        let pieces = plan
            .shard(shard)
            .map_err(|error| MergeError::Malformed(error.to_string()))?;
        let fault = |fault| MergeError::OtherBlocks { shard, fault };
        result.check(plan, pieces).map_err(fault)?;
        Ok(result)
    }

    fn check(&self, plan: &ShardPlan, pieces: &[Piece]) -> Result<(), String> {
        if self.done.len() > pieces.len() {
            return Err(format!("{} pieces, not {}", self.done.len(), pieces.len()));
        }
        for (at, (done, piece)) in self.done.iter().zip(pieces).enumerate() {
            let Piece { model, from, to } = done.piece;
            let is_last = at + 1 == self.done.len();
            let fits = if is_last {
                to <= piece.to
            } else {
                to == piece.to
            };
            if model != piece.model || from != piece.from || !fits || from >= to {
                return Err(format!(
                    "blocks {from} to {to} of model {model}, not {} to {} of model {}",
                    piece.from, piece.to, piece.model
                ));
            }
            let planned = &plan.models()[model];
            let places = places(from..to, planned.questions);
            let counted = done.tally.total().trials;
            if counted != places.end - places.start {
                return Err(format!(
                    "{counted} questions counted in blocks {from} to {to}, where there are {}",
                    places.end - places.start
                ));
            }
            if done.claims.len() != planned.claims.len() {
                return Err(format!(
                    "{} claims, not {}",
                    done.claims.len(),
                    planned.claims.len()
                ));
            }
            if let Some(claim) = done.claims.iter().position(|claim| !claim.is_of(counted)) {
                return Err(format!(
                    "claim {claim} counts more than its {counted} pairs of questions"
                ));
            }
            if let Some(wrong) = (done.tally.wrong.iter()).find(|w| !places.contains(&w.place)) {
                return Err(format!("a wrong answer at place {}", wrong.place));
            }
        }
        Ok(())
    }

    /// Adds the result to those of other shards, one for each model of the plan.
    pub fn add_to(self, merged: &mut [Merged], keep: usize) {
        for done in self.done {
            let all = &mut merged[done.piece.model];
            all.tally.merge(done.tally, keep);
            if all.claims.is_empty() {
                all.claims = done.claims;
            } else {
                for (claim, done) in all.claims.iter_mut().zip(done.claims) {
                    claim.merge(done);
                }
            }
        }
    }
}

/// The indices of the questions in some blocks, given the total number of questions.
fn places(blocks: Range<u64>, questions: u64) -> Range<u64> {
    (blocks.start * BLOCK).min(questions)..(blocks.end * BLOCK).min(questions)
}
