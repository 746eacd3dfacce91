//! What any test is made of: pairs of questions and their runs, counts and exact bounds, sampling that
//! may stop early, named streams of random numbers, and failing pairs made simple.

mod baseline;
mod rng;
mod sequential;
mod shrink;
pub mod stats;
mod tally;
mod trial;

pub use baseline::{BASELINE_QUESTIONS, Baseline, ClassAccuracy, GATE};
pub use rng::stream;
pub use sequential::{
    DISCOVERY_PER_STRATUM, FIRST_LOOK, Finding, Goal, Judgment, Rules, Sampling, discover, judge,
    looks, reach_of,
};
pub use shrink::{Counterexample, counterexample};
pub use tally::{Aspect, HALF, Measures, NEGLIGIBLE, Standing, StratumTally, Telling, TrialTally};
pub use trial::{
    Bench, Judged, Outcome, Reference, StoreFrom, TIE_MARGIN, Terms, TestedNodes, Trial,
    TrialBlock, default_block,
};
