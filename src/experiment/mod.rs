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
pub use sequential::{FIRST_LOOK, Finding, Goal, Judgment, Rules, Sampling, judge, looks};
pub use shrink::{Counterexample, counterexample};
pub use tally::{
    AfterSign, Aspect, HALF, Measures, NEGLIGIBLE, SignReading, Standing, Telling, TokenOutcome,
    TokenRate, TrialTally, Watched,
};
pub use trial::{
    Bench, Judged, Outcome, Reach, Reference, StoreFrom, TIE_MARGIN, Terms, TestedNodes, Trial,
    TrialBlock, default_block,
};
