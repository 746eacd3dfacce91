//! How a batch is cut into slices, one thread's work each.

use rayon::prelude::*;

use crate::domain::arithmetic::{Prompt, Token};

/// Slices for each thread, where there is work enough: threads that are done early take what is left.
const SLICES_PER_THREAD: usize = 4;

/// The fewest items in a slice, unless there are no more: fewer are more rows to a matrix than work.
const FEWEST: usize = 16;

/// The most items in a slice: their activations stay in the cache that cores share.
const MOST: usize = 96;

/// How many of `count` items go into each slice. No result hangs on it.
pub(super) fn slice_length(count: usize) -> usize {
    let slices = SLICES_PER_THREAD * rayon::current_num_threads();
    count.div_ceil(slices).clamp(FEWEST, MOST)
}

/// Prompts in the order of their tokens, so that those that begin alike stand together.
pub(super) struct Sorted {
    n_ctx: usize,
    /// Which prompt stands at each place.
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

    /// One value for each prompt, from the order of the slices to that in which prompts were given.
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

    /// Which prompt stands at each place.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}
