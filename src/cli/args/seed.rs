//! The seed of what is drawn. The same seed gives the same draws on every machine.

use circuitcheck::experiment::Rules;
use clap::Args;

/// The seed of a command, with the same default in all.
#[derive(Debug, Clone, Copy, Args)]
pub struct SeedArg {
    /// Seed of every random draw
    #[arg(
        long,
        value_name = "N",
        default_value_t = Rules::default().seed,
        value_parser = seed,
        allow_negative_numbers = true
    )]
    pub seed: u64,
}

fn seed(text: &str) -> Result<u64, String> {
    let allowed = || format!("expected a whole number from 0 to {}", u64::MAX);
    text.replace('_', "").parse().map_err(|_| allowed())
}
