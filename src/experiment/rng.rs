//! Named random streams, the source of every draw.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A generator for one named stream. Streams of different names are independent, and no stream
/// depends on which others were drawn from.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Sha256::digest(format!("{seed}/{name}")).into())
}
