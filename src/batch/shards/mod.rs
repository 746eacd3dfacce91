//! Work for more than one machine: a plan that names every question, shards that are run
//! separately, and their merged results.
//!
//! Only counts and first findings are merged. They do not depend on which machine produced them or
//! on the order of merging, so one shard and four hundred give the same bytes.

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

/// A planned model, opened and verified to be the planned one.
pub struct Job<'a> {
    pub engine: &'a Engine,
    pub questions: &'a Questions,
    /// The claims about its nodes.
    pub claims: &'a Claims,
    pub decode: Decode,
    /// Most wrong answers that are kept.
    pub keep: usize,
}

impl Job<'_> {
    /// Asks the questions of some blocks, and tests the claims on the same questions.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions and nodes of this model.
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
