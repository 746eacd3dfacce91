//! Whether a head that reads a column's digits only moves them: how much of its result depends on each
//! digit by itself, and how much on the two together.

use ndarray::{Array2, Axis, s};
use serde::Deserialize;

use super::MapError;
use super::lab::{Lab, Which};
use super::measure::Row;
use crate::analysis::hypothesis::{Digits, Place};
use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::causal::Space;
use crate::domain::site::Site;
use crate::experiment::geometry::NormalEstimate;

/// Questions of each of the hundred pairs of digits, which differ in all other columns.
const CONTEXTS: usize = 12;

/// Values of a digit.
const VALUES: usize = 10;

/// What is reported of a head's result, as a share of all that depends on the column's digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explained {
    /// By the sum of the two digits alone.
    BySum,
    /// By the two digits together, beyond what each explains by itself: nothing where a head attends
    /// alike to all digits and so only moves them.
    Together,
}

/// Heads of layer 0 that read a column. A row for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transport {
    pub digits: Digits,
    /// Where the heads are; `n` is the column.
    pub at: Place,
    pub report: Explained,
    #[serde(default)]
    pub which: Which,
}

impl Transport {
    /// Measures a row for each head.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let shape = lab.shape();
        let mut found = Vec::new();
        if !lab.answers(Class::Add) {
            return Ok(Vec::new());
        }
        for digit in self.digits.values(&shape) {
            let Some(position) = self.at.position(digit, &shape) else {
                continue;
            };
            let prompts = prompts(lab, digit, &format!("{name}/{digit}"));
            // Of the untrained network the same heads.
            for head in lab.readers(Which::Trained, &prompts, 0..1, position, digit)? {
                let site = Site::from(head);
                let read = lab.engine_of(self.which).activations(&prompts, [site])?;
                let width = site.width(&shape);
                let values = Array2::from_shape_fn((prompts.len(), width), |(prompt, i)| {
                    f64::from(read.get(prompt, site)[i])
                });
                let estimate = self.report.of(&values);
                found.push((
                    format!("A{digit}: {}", head.name()),
                    estimate,
                    prompts.len(),
                ));
            }
        }
        let alpha = lab.options.alpha / (2 * found.len().max(1)) as f64;
        let row = |(of, estimate, samples)| Row::estimate(of, estimate, alpha, samples as u64);
        Ok(found.into_iter().map(row).collect())
    }
}

/// Additions with every pair of digits in a column: `(x · 10 + y) · CONTEXTS + context`.
fn prompts(lab: &Lab, digit: usize, name: &str) -> Vec<Prompt> {
    let mut rng = lab.stream(name);
    let space = Space::of_class(Class::Add, lab.shape().n_digits);
    let mut prompts = Vec::with_capacity(VALUES * VALUES * CONTEXTS);
    for x in 0..10 {
        for y in 0..10 {
            let cell = space.clone().with_column(digit, |column| column == (x, y));
            let cell = cell.sampler();
            prompts.extend((0..CONTEXTS).map(|_| Prompt::truth(cell.draw(&mut rng))));
        }
    }
    prompts
}

impl Explained {
    /// The share, with the standard error of its jackknife over contexts. `values` are
    /// `[cells · CONTEXTS, width]`.
    fn of(self, values: &Array2<f64>) -> NormalEstimate {
        let contexts: Vec<Array2<f64>> = (0..CONTEXTS)
            .map(|context| values.slice(s![context..; CONTEXTS, ..]).to_owned())
            .collect();
        let all: Vec<&Array2<f64>> = contexts.iter().collect();
        let value = self.share(&all);
        let without: Vec<f64> = (0..CONTEXTS)
            .map(|left_out| {
                let rest = contexts.iter().enumerate().filter(|(i, _)| *i != left_out);
                self.share(&rest.map(|(_, context)| context).collect::<Vec<_>>())
            })
            .collect();
        let mean = without.iter().sum::<f64>() / CONTEXTS as f64;
        let squares: f64 = without.iter().map(|one| (one - mean).powi(2)).sum();
        let factor = (CONTEXTS as f64 - 1.0) / CONTEXTS as f64;
        NormalEstimate {
            value,
            standard_error: (factor * squares).sqrt(),
        }
    }

    /// The share in some contexts, each `[100, width]`.
    fn share(self, contexts: &[&Array2<f64>]) -> f64 {
        let cells = |grouping: &dyn Fn(usize) -> usize| variance(contexts, grouping);
        let together = cells(&|cell| cell);
        match self {
            Explained::BySum => cells(&|cell| cell / VALUES + cell % VALUES) / together,
            Explained::Together => {
                let each = cells(&|cell| cell / VALUES) + cells(&|cell| cell % VALUES);
                1.0 - each / together
            }
        }
    }
}

/// The variance of the means of groups of cells, without what differs between contexts: products of
/// different contexts only.
fn variance(contexts: &[&Array2<f64>], group: &dyn Fn(usize) -> usize) -> f64 {
    let width = contexts[0].ncols();
    let cells = contexts[0].nrows();
    let groups = (0..cells).map(group).max().map_or(0, |most| most + 1);
    let mut sizes = vec![0.0; groups];
    (0..cells).for_each(|cell| sizes[group(cell)] += 1.0);
    let mut sum = Array2::<f64>::zeros((groups, width));
    let mut squares = vec![0.0; groups];
    for context in contexts {
        let centre = context.mean_axis(Axis(0)).expect("there are cells");
        let mut means = Array2::<f64>::zeros((groups, width));
        for cell in 0..cells {
            let mut row = means.row_mut(group(cell));
            row += &((&context.row(cell) - &centre) / sizes[group(cell)]);
        }
        for (square, row) in squares.iter_mut().zip(means.rows()) {
            *square += row.dot(&row);
        }
        sum += &means;
    }
    let count = contexts.len() as f64;
    let of_group = |number: usize| {
        let row = sum.row(number);
        sizes[number] * (row.dot(&row) - squares[number]) / (count * (count - 1.0))
    };
    (0..groups).map(of_group).sum::<f64>() / cells as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Results of a head, with noise that the contexts make.
    fn values(of: impl Fn(f64, f64) -> [f64; 3]) -> Array2<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut values = Array2::zeros((VALUES * VALUES * CONTEXTS, 3));
        for (number, mut row) in values.rows_mut().into_iter().enumerate() {
            let cell = number / CONTEXTS;
            let own = of((cell / VALUES) as f64, (cell % VALUES) as f64);
            for (value, own) in row.iter_mut().zip(own) {
                *value = own + rng.random::<f64>();
            }
        }
        values
    }

    #[test]
    fn a_head_that_moves_digits_has_no_share_of_both_together_and_one_that_multiplies_has() {
        let moves = values(|x, y| [x, y, (x - 4.5).powi(2)]);
        let together = Explained::Together.of(&moves);
        assert!(together.value.abs() < 0.01, "{together:?}");
        let multiplies = values(|x, y| [(x - 4.5) * (y - 4.5), 0.0, 0.0]);
        let together = Explained::Together.of(&multiplies);
        assert!(together.value > 0.95, "{together:?}");
    }

    #[test]
    fn the_sum_explains_all_of_a_sum_and_half_of_two_separate_digits() {
        let sums = values(|x, y| [(x + y).sqrt(), x + y, 0.0]);
        assert!((Explained::BySum.of(&sums).value - 1.0).abs() < 0.01);
        let separate = values(|x, y| [x, y, 0.0]);
        assert!((Explained::BySum.of(&separate).value - 0.5).abs() < 0.01);
    }
}
