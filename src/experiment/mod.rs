//! What any test is made of: pairs of questions and their runs, counts and exact bounds, sampling that
//! may stop early, named streams of random numbers, and failing pairs made simple.

mod baseline;
mod sequential;
mod shrink;
pub mod stats;
mod tally;
mod trial;

pub use baseline::{BASELINE_QUESTIONS, Baseline, ClassAccuracy, GATE, trained_classes};
pub use sequential::{
    DISCOVERY_PER_STRATUM, FIRST_LOOK, Finding, Goal, Judgment, Rules, Sampling, discover, judge,
    looks, reach_of, stream,
};
pub use shrink::{Counterexample, counterexample};
pub use tally::{
    Aspect, HALF, Measures, NEGLIGIBLE, Standing, StratumTally, Tally, Telling, Terms,
};
pub use trial::{
    Bench, Block, Judged, Outcome, Reference, StoreFrom, Subject, TIE_MARGIN, Trial, default_block,
};
