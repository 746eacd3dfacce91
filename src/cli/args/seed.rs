//! Seeds of what is drawn. The same seed gives the same draws on every machine.

use circuitcheck::analysis::published::SET_SEED;
use circuitcheck::experiment::Rules;
use clap::Args;

/// The seed of a test.
#[derive(Debug, Clone, Copy, Args)]
pub struct SeedArg {
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = Rules::default().seed)]
    pub seed: u64,
}

/// The seed of a question set, and of what is drawn beside it.
#[derive(Debug, Clone, Copy, Args)]
pub struct SetSeedArg {
    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = SET_SEED)]
    pub seed: u64,
}

/// The seed of [`super::questions::AskedArgs`].
#[derive(Debug, Clone, Copy, Args)]
pub struct AskedSeedArg {
    /// Seed of random questions
    #[arg(long, value_name = "N", default_value_t = SET_SEED, conflicts_with = "exhaustive")]
    pub seed: u64,
}
