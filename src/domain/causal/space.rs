//! Sets of questions defined by the digits allowed in each column, counted and sampled uniformly.
//!
//! A column is the pair (Dk, D′k). The columns below `k` together have one of three states: below,
//! at or above the all-nines sum (additions), or first operand below, equal to or above the second
//! (subtractions). The state is the tri-case of the highest column below `k` that is not `Equal`,
//! so carries, borrows and the class of a subtraction are conditions on states. Counting ways from
//! the units up makes every draw uniform over the set, without rejection.

use std::cmp::Ordering;

use rand::{Rng, RngExt};

use super::tri_case;
use crate::domain::arithmetic::{Class, Operation, Question, power_of_ten};

/// The three states, in the order of their bits and counts.
const STATES: [Ordering; 3] = [Ordering::Less, Ordering::Equal, Ordering::Greater];

fn index(state: Ordering) -> usize {
    (state as i8 + 1) as usize
}

/// A set of questions of one operation.
#[derive(Debug, Clone)]
pub struct Space {
    operation: Operation,
    /// Pairs allowed in column `k`: bit `10 * Dk + D'k`. Length `n_digits`.
    columns: Vec<u128>,
    /// States allowed for the columns below `k`, one bit each. Length `n_digits + 1`.
    states: Vec<u8>,
}

/// Every pair of digits.
const ALL_PAIRS: u128 = (1 << 100) - 1;

fn pairs_where(keep: impl Fn((u8, u8)) -> bool) -> u128 {
    (0..100u8)
        .filter(|&pair| keep((pair / 10, pair % 10)))
        .fold(0, |mask, pair| mask | 1 << pair)
}

impl Space {
    /// Every question of an operation.
    pub fn of_operation(operation: Operation, n_digits: usize) -> Self {
        Space {
            operation,
            columns: vec![ALL_PAIRS; n_digits],
            states: vec![0b111; n_digits + 1],
        }
    }

    /// Every question of a class.
    pub fn of_class(class: Class, n_digits: usize) -> Self {
        match class {
            Class::Add => Self::of_operation(Operation::Add, n_digits),
            Class::Sub => Self::of_operation(Operation::Sub, n_digits)
                .with_state(n_digits, |state| state != Ordering::Less),
            Class::Neg => Self::of_operation(Operation::Sub, n_digits)
                .with_state(n_digits, |state| state == Ordering::Less),
        }
    }

    /// Restricts column `k` to digits (Dk, D′k) that satisfy `keep`.
    pub fn with_column(mut self, k: usize, keep: impl Fn((u8, u8)) -> bool) -> Self {
        self.columns[k] &= pairs_where(keep);
        self
    }

    /// Restricts column `k` to tri-cases that satisfy `keep`.
    pub fn with_tri_case(self, k: usize, keep: impl Fn(Ordering) -> bool) -> Self {
        let operation = self.operation;
        self.with_column(k, |column| keep(tri_case(column, operation)))
    }

    /// Restricts the columns below `k` to states that satisfy `keep`.
    pub fn with_state(mut self, k: usize, keep: impl Fn(Ordering) -> bool) -> Self {
        for state in STATES {
            if !keep(state) {
                self.states[k] &= !(1 << index(state));
            }
        }
        self
    }

    /// Digits in each operand.
    pub fn n_digits(&self) -> usize {
        self.columns.len()
    }

    /// Pairs allowed in column `k` with tri-case `tri`.
    fn pairs(&self, k: usize, tri: Ordering) -> u128 {
        self.columns[k] & pairs_where(|column| tri_case(column, self.operation) == tri)
    }

    /// For every `k` and state, the number of ways to fill the columns below `k` that give this
    /// state: `[n_digits + 1][3]`. Exact up to 2^53, then to 16 digits.
    fn ways(&self) -> Vec<[f64; 3]> {
        let allowed = |k: usize, state: Ordering| f64::from(self.states[k] >> index(state) & 1);
        let mut ways = vec![[0.0, allowed(0, Ordering::Equal), 0.0]];
        for k in 0..self.n_digits() {
            let below = ways[k];
            let any: f64 = below.iter().sum();
            ways.push(STATES.map(|state| {
                let makes = match state {
                    Ordering::Equal => 0.0,
                    _ => f64::from(self.pairs(k, state).count_ones()) * any,
                };
                let passes =
                    f64::from(self.pairs(k, Ordering::Equal).count_ones()) * below[index(state)];
                allowed(k + 1, state) * (makes + passes)
            }));
        }
        ways
    }

    /// Number of questions in the set; exact up to 2^53.
    pub fn len(&self) -> f64 {
        self.ways()[self.n_digits()].iter().sum()
    }

    /// A sampler with precomputed counts.
    pub fn sampler(&self) -> Sampler {
        let pairs = (0..self.n_digits())
            .map(|k| STATES.map(|tri| list(self.pairs(k, tri))))
            .collect();
        Sampler {
            operation: self.operation,
            ways: self.ways(),
            pairs,
        }
    }

    /// Every question of the set, in a fixed order.
    pub fn enumerate(&self) -> Vec<Question> {
        let sampler = self.sampler();
        let mut found = Vec::new();
        let n = self.n_digits();
        for state in STATES {
            if sampler.ways[n][index(state)] > 0.0 {
                sampler.descend(n, state, (0, 0), &mut found);
            }
        }
        found
    }
}

fn list(mask: u128) -> Vec<(u8, u8)> {
    (0..100u8)
        .filter(|&pair| mask >> pair & 1 == 1)
        .map(|pair| (pair / 10, pair % 10))
        .collect()
}

/// Draws questions of a [`Space`].
#[derive(Debug, Clone)]
pub struct Sampler {
    operation: Operation,
    ways: Vec<[f64; 3]>,
    /// Pairs allowed, by column and tri-case.
    pairs: Vec<[Vec<(u8, u8)>; 3]>,
}

impl Sampler {
    /// Draws one question, uniformly over the set.
    ///
    /// # Panics
    /// If the set is empty.
    pub fn draw(&self, rng: &mut impl Rng) -> Question {
        let n = self.pairs.len();
        let mut state = STATES[weighted(rng, &self.ways[n])];
        let (mut first, mut second) = (0, 0);
        for k in (0..n).rev() {
            // The column either produces the state, whatever is below, or propagates it.
            let makes = match state {
                Ordering::Equal => 0.0,
                _ => self.pairs[k][index(state)].len() as f64 * self.ways[k].iter().sum::<f64>(),
            };
            let passes =
                self.pairs[k][index(Ordering::Equal)].len() as f64 * self.ways[k][index(state)];
            let tri = if weighted(rng, &[makes, passes]) == 0 {
                let tri = state;
                state = STATES[weighted(rng, &self.ways[k])];
                tri
            } else {
                Ordering::Equal
            };
            let pairs = &self.pairs[k][index(tri)];
            let (x, y) = pairs[rng.random_range(0..pairs.len())];
            first += u128::from(x) * power_of_ten(k);
            second += u128::from(y) * power_of_ten(k);
        }
        Question::new(first, self.operation, second, n)
    }

    /// Adds to `found` every way to fill the columns below `k` that gives `state`, below the digits
    /// in `above`.
    fn descend(&self, k: usize, state: Ordering, above: (u128, u128), found: &mut Vec<Question>) {
        if k == 0 {
            let n = self.pairs.len();
            found.push(Question::new(above.0, self.operation, above.1, n));
            return;
        }
        for tri in STATES {
            for &(x, y) in &self.pairs[k - 1][index(tri)] {
                let power = power_of_ten(k - 1);
                let operands = (
                    above.0 + u128::from(x) * power,
                    above.1 + u128::from(y) * power,
                );
                for below in STATES {
                    let comes_to = if tri == Ordering::Equal { below } else { tri };
                    if comes_to == state && self.ways[k - 1][index(below)] > 0.0 {
                        self.descend(k - 1, below, operands, found);
                    }
                }
            }
        }
    }
}

/// Draws an index with probability proportional to its weight.
///
/// # Panics
/// If no weight is positive.
pub(super) fn weighted(rng: &mut impl Rng, weights: &[f64]) -> usize {
    let total: f64 = weights.iter().sum();
    assert!(total > 0.0, "nothing to draw from");
    let mut left = rng.random::<f64>() * total;
    let mut last = 0;
    for (i, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            if left < weight {
                return i;
            }
            left -= weight;
            last = i;
        }
    }
    // Rounding can leave a small remainder past the last weight.
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    fn all(operation: Operation) -> impl Iterator<Item = Question> {
        (0..100u128).flat_map(move |a| (0..100).map(move |b| Question::new(a, operation, b, 2)))
    }

    #[test]
    fn a_space_holds_exactly_the_questions_that_satisfy_its_conditions() {
        for class in Class::ALL {
            let space = Space::of_class(class, 2)
                .with_column(1, |(x, _)| x != 3)
                .with_state(1, |state| state != Ordering::Equal);
            let operation = space.operation;
            let mut expected: Vec<Question> = all(operation)
                .filter(|q| q.class() == class && q.column(1).0 != 3)
                .filter(|q| tri_case(q.column(0), operation) != Ordering::Equal)
                .collect();
            let mut found = space.enumerate();
            expected.sort();
            found.sort();
            assert_eq!(found, expected);
            assert_eq!(space.len(), expected.len() as f64);
        }
    }

    #[test]
    fn draws_are_uniform_over_the_space() {
        let space = Space::of_class(Class::Neg, 1).with_column(0, |(x, _)| x > 4);
        let sampler = space.sampler();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts: BTreeMap<Question, usize> = BTreeMap::new();
        let draws = 10_000;
        for _ in 0..draws {
            *counts.entry(sampler.draw(&mut rng)).or_default() += 1;
        }
        // 5<6..9, 6<7..9, 7<8..9, 8<9: ten questions, each drawn about 1000 times, within 5 sigma.
        assert_eq!(counts.len(), 10);
        let sigma = (draws as f64 * 0.1 * 0.9).sqrt();
        for (question, count) in counts {
            assert!(
                (count as f64 - 1000.0).abs() < 5.0 * sigma,
                "{question}: {count}"
            );
        }
    }

    #[test]
    fn an_impossible_space_is_empty() {
        // A borrow out of the top column and an answer that is not negative exclude each other.
        let space = Space::of_class(Class::Sub, 3).with_tri_case(2, |tri| tri == Ordering::Less);
        assert_eq!(space.len(), 0.0);
        assert!(space.enumerate().is_empty());
    }
}
