//! Which variables imply others: replacing the one does exactly what replacing the other does,
//! wherever the other is asked about.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::pairs::{Family, Kind};
use super::{is_defined, predict};
use crate::domain::arithmetic::Class;
use crate::domain::task::Variable;

/// Pairs of each kind that are compared. Variables that differ at all differ in a tenth of them: the
/// rarest difference is a sum of nine in one more column.
const PAIRS: usize = 2048;

/// Whether `one` implies `other` in questions of `n_digits`: in every pair of questions drawn for
/// `other`, counterfactual or control, replacing `one` predicts the same answer. So what is true of
/// a node as `one` is true of it as `other`. The tri-case of the top column implies the carry it
/// makes; that of a lower column does not, since it also goes through nines above.
pub fn implies(one: Variable, other: Variable, n_digits: usize) -> bool {
    if !is_defined(one, &Class::ALL, n_digits) || !is_defined(other, &Class::ALL, n_digits) {
        return false;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut compared = 0;
    for kind in [Kind::Counterfactual, Kind::Control] {
        let family = Family::new(other, kind, n_digits);
        for (_, pair) in family.draws().take(PAIRS, &mut rng) {
            compared += 1;
            let predicted = predict(other, &pair.source, &pair.base);
            if predicted.is_none() || predict(one, &pair.source, &pair.base) != predicted {
                return false;
            }
        }
    }
    compared > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;

    fn variable(text: &str) -> Variable {
        text.parse().unwrap()
    }

    #[test]
    fn the_tri_case_of_the_top_column_alone_implies_its_carry() {
        for n_digits in [2, 5, 8] {
            for digit in 0..n_digits {
                let of = |task| Variable {
                    task,
                    digit: Some(digit),
                };
                let is_top = digit + 1 == n_digits;
                assert_eq!(
                    implies(of(Task::St), of(Task::Sc), n_digits),
                    is_top,
                    "{digit}"
                );
                assert!(!implies(of(Task::Sc), of(Task::St), n_digits));
                assert!(implies(of(Task::St), of(Task::St), n_digits));
            }
        }
    }

    #[test]
    fn other_columns_and_tasks_imply_nothing() {
        for (one, other) in [("A1.ST", "A2.SC"), ("A1.SA", "A1.SC"), ("A1.MT", "A1.ST")] {
            assert!(!implies(variable(one), variable(other), 3), "{one} {other}");
        }
    }
}
