//! The building blocks of every test: pairs of questions and their runs, counts and exact bounds,
//! sequential sampling, named random streams, the shrinking of failing pairs, and what linear
//! read-outs and distances say of activations.

mod act;
pub mod assay;
mod baseline;
pub mod codes;
mod evenly;
pub mod geometry;
pub mod resampling;
mod rng;
mod sequential;
mod shrink;
pub mod stats;
mod tally;
mod trial;

pub use act::{Act, ActError, Acted, Asked, Basis, Change, Place, Stage, differences};
pub use baseline::{BASELINE_QUESTIONS, Baseline, ClassAccuracy, GATE};
pub use evenly::{DRAWN, draw_evenly};
pub use rng::stream;
pub use sequential::{
    ALPHA, FIRST_ANALYSIS, Finding, Goal, Judgment, MOST_TRIALS, Rules, RulesError, Sampling,
    analyses, check_alpha, judge,
};
pub use shrink::{Counterexample, counterexample};
pub use tally::{
    AfterSign, Aspect, AspectCounts, HALF, Measures, NEGLIGIBLE, SignReading, Standing,
    TokenOutcome, TokenRate, TrialTally, Watched,
};
pub use trial::{
    AffectedTokens, Bench, Judged, NodeSet, Outcome, Prepared, Reference, SourceFrom, TIE_MARGIN,
    Terms, Trial, TrialBlock, default_block,
};
