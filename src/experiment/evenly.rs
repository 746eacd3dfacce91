//! Questions drawn from classes, as many from each.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::causal::Space;

/// Questions of a set that is drawn to take means and other values from: as many as the published
/// behaviours rest on, mostly.
pub const DRAWN: usize = 512;

/// Draws `count` questions, uniformly from each of `classes` and as many from each, as far as that
/// comes out even.
pub fn draw_evenly(classes: &[Class], n_digits: usize, count: usize, seed: u64) -> Vec<Prompt> {
    let spaces: Vec<Space> = classes
        .iter()
        .map(|&class| Space::of_class(class, n_digits))
        .collect();
    let samplers: Vec<_> = spaces.iter().map(Space::sampler).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    samplers
        .iter()
        .cycle()
        .take(count)
        .map(|sampler| Prompt::truth(sampler.draw(&mut rng)))
        .collect()
}
