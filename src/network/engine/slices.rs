//! Cuts a batch into slices, each processed by one thread.

use rayon::prelude::*;

use crate::domain::arithmetic::{Prompt, Token};

/// Slices per thread, if there is enough work: threads that finish early take the rest.
const SLICES_PER_THREAD: usize = 4;

/// Fewest items per slice, if there are enough: with fewer, the overhead per row of a matrix
/// dominates.
const FEWEST: usize = 16;

/// Most items per slice: their activations stay in the cache shared by the cores.
const MOST: usize = 96;

/// Number of items per slice for `count` items. Does not affect results.
pub(super) fn slice_length(count: usize) -> usize {
    let slices = SLICES_PER_THREAD * rayon::current_num_threads();
    count.div_ceil(slices).clamp(FEWEST, MOST)
}

/// Prompts sorted by their tokens, so that those with a common prefix are adjacent.
pub(super) struct Sorted {
    n_ctx: usize,
    /// The index of the prompt at each place.
    order: Vec<usize>,
    /// The tokens in that order, `[prompts, n_ctx]`.
    tokens: Vec<Token>,
}

impl Sorted {
    pub fn new(prompts: &[Prompt], n_ctx: usize) -> Self {
        let given: Vec<Token> = prompts.iter().flat_map(Prompt::tokens).collect();
        let tokens_of = |prompt: usize| &given[prompt * n_ctx..][..n_ctx];
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.par_sort_by_key(|&prompt| tokens_of(prompt));
        let tokens = order.iter().flat_map(|&p| tokens_of(p)).copied().collect();
        Sorted {
            n_ctx,
            order,
            tokens,
        }
    }

    /// The tokens of each slice, `[items, n_ctx]`.
    pub fn slices(&self) -> impl IndexedParallelIterator<Item = &[Token]> {
        self.tokens
            .par_chunks(slice_length(self.order.len()) * self.n_ctx)
    }

    /// One value for each prompt, reordered from slice order to the original order of prompts.
    pub fn in_order_given<T>(&self, values: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut given: Vec<Option<T>> = Vec::new();
        given.resize_with(self.order.len(), || None);
        for (&prompt, value) in self.order.iter().zip(values) {
            given[prompt] = Some(value);
        }
        given
            .into_iter()
            .map(|value| value.expect("every prompt is in a slice"))
            .collect()
    }

    /// The index of the prompt at each place.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}
