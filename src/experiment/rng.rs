//! Named streams of random numbers, from which everything that is drawn is drawn.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A generator for one named stream of draws: streams of different names are independent, and none
/// depends on which others were drawn.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Sha256::digest(format!("{seed}/{name}")).into())
}
