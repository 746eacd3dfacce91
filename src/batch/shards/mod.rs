//! Work for more than one machine: a plan that names every question to be asked, shards of it that
//! are asked apart, and their results put together.
//!
//! Only counts, and the findings that stand first, cross a shard's border. They are the same whichever
//! machine found them and in whatever order they are put together, so one shard and four hundred give
//! the same bytes.

mod claims;
mod cost;
mod plan;
mod result;
mod store;

pub use claims::{ClaimCount, Claims, Miss};
pub use cost::cost_of_block;
pub use plan::{Location, Piece, PlanError, PlannedModel, ShardPlan};
pub use result::{Done, MergeError, Merged, ShardResult};
pub use store::{ShardStoreError, Store, indices};

use std::ops::Range;

use rayon::prelude::*;

use crate::analysis::accuracy::{Measurement, Questions};
use crate::network::engine::{Decode, Engine, EngineError};

/// A planned model, opened and seen to be the one that was planned.
pub struct Job<'a> {
    pub engine: &'a Engine,
    pub questions: &'a Questions,
    /// What is claimed of its nodes.
    pub claims: &'a Claims,
    pub decode: Decode,
    /// Most wrong answers that are kept.
    pub keep: usize,
}

impl Job<'_> {
    /// Asks the questions of some blocks, and puts the claims to the same questions.
    ///
    /// # Errors
    /// [`EngineError`], which questions and nodes of this model do not cause.
    pub fn blocks(&self, model: usize, blocks: Range<u64>) -> Result<Done, EngineError> {
        let measurement = Measurement {
            engine: self.engine,
            questions: self.questions,
            decode: self.decode,
            keep: self.keep,
        };
        let tally = measurement.blocks(blocks.clone())?;
        let claims = blocks
            .clone()
            .into_par_iter()
            .map(|block| {
                let first = self.questions.places(block).start;
                self.claims
                    .counts(self.engine, first, &self.questions.block(block))
            })
            .try_reduce(
                || self.claims.nothing(),
                |mut first, second| {
                    for (first, second) in first.iter_mut().zip(second) {
                        first.merge(second);
                    }
                    Ok(first)
                },
            )?;
        Ok(Done {
            piece: Piece {
                model,
                from: blocks.start,
                to: blocks.end,
            },
            tally,
            claims,
        })
    }
}
