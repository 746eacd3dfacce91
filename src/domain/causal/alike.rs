//! Alike pairs: pairs that differ in one variable and, where the arithmetic allows, in nothing
//! else.

use super::pairs::Pair;
use super::{base_value, predict, tri_case};
use crate::domain::arithmetic::{Prompt, Question, power_of_ten};
use crate::domain::task::{Task, Variable};

/// The pair with a source question as close to the base question as possible that gives the same
/// prediction. For a carry or borrow into a column, only the columns below it differ. Otherwise
/// only one column differs, keeping its base value or tri-case if only the other is relevant. Pairs
/// for a variable without a digit are already alike.
pub fn alike(variable: Variable, pair: &Pair) -> Pair {
    let Some(k) = variable.digit else {
        return *pair;
    };
    let (source, base) = (&pair.source.question, &pair.base);
    let n_digits = base.n_digits();
    let predicted = predict(variable, &pair.source, base);
    let told_alike = |question: &Question| {
        let prompt = Prompt::truth(*question);
        predicted.is_some() && predict(variable, &prompt, base) == predicted
    };
    let candidates: Vec<Question> = match variable.task {
        Task::Ss | Task::Mz | Task::Stc | Task::Mtc | Task::Ntc => {
            vec![with_columns_below(base, source, k)]
        }
        Task::Sv => vec![with_columns_below(base, source, k + 1)],
        _ if k < n_digits => (0..100)
            .map(|column| with_column(base, k, (column / 10, column % 10)))
            .collect(),
        _ => Vec::new(),
    };
    let differs = |question: &Question| {
        let (own, other) = (base.column(k), question.column(k));
        let class = base.class();
        (
            question.class() != class,
            base_value(own, class) != base_value(other, class),
            tri_case(own, base.operation()) != tri_case(other, base.operation()),
        )
    };
    let count = |question: &Question| {
        let (class, base, tri) = differs(question);
        u8::from(class) + u8::from(base) + u8::from(tri)
    };
    let fitting: Vec<Question> = candidates.into_iter().filter(told_alike).collect();
    let Some(least) = fitting.iter().map(count).min() else {
        return *pair;
    };
    let closest: Vec<Question> = fitting.into_iter().filter(|q| count(q) == least).collect();
    // The choice depends only on the pair, so a pair always gets the same source.
    let turn = (source.first() + 7 * source.second() + 3 * base.first()) % closest.len() as u128;
    Pair {
        source: Prompt::truth(closest[turn as usize]),
        base: *base,
    }
}

/// The question with column `k` replaced.
fn with_column(question: &Question, k: usize, (x, y): (u8, u8)) -> Question {
    let power = power_of_ten(k);
    let (own_x, own_y) = question.column(k);
    let replaced = |operand: u128, own: u8, digit: u8| {
        operand - u128::from(own) * power + u128::from(digit) * power
    };
    Question::new(
        replaced(question.first(), own_x, x),
        question.operation(),
        replaced(question.second(), own_y, y),
        question.n_digits(),
    )
}

/// The question with the columns below `k` taken from another.
fn with_columns_below(question: &Question, other: &Question, k: usize) -> Question {
    let power = power_of_ten(k);
    let replaced = |operand: u128, other: u128| operand - operand % power + other % power;
    Question::new(
        replaced(question.first(), other.first()),
        question.operation(),
        replaced(question.second(), other.second()),
        question.n_digits(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::causal::{Family, Kind};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn an_alike_pair_predicts_the_same_and_keeps_what_is_not_at_stake() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for task in Task::all().filter(|task| task.takes_digit()) {
            let variable = Variable {
                task,
                digit: Some(2),
            };
            for kind in [Kind::Counterfactual, Kind::Control] {
                let family = Family::new(variable, kind, 4);
                let mut kept = 0;
                let pairs = family.draws().take(100, &mut rng);
                for (_, pair) in &pairs {
                    let made = alike(variable, pair);
                    assert_eq!(
                        predict(variable, &made.source, &made.base),
                        predict(variable, &pair.source, &pair.base),
                        "{variable} {pair:?}"
                    );
                    let alike_at = |k: usize| made.source.question.column(k) == made.base.column(k);
                    let others: &[usize] = match task {
                        Task::Ss | Task::Mz | Task::Stc | Task::Mtc | Task::Ntc => &[2, 3],
                        Task::Sv => &[3],
                        _ => &[0, 1, 3],
                    };
                    kept += usize::from(others.iter().all(|&k| alike_at(k)));
                }
                // If no question that differs in one column is in the variable's domain, the pair
                // is unchanged.
                assert!(10 * kept >= 8 * pairs.len(), "{variable} {kind:?}: {kept}");
            }
        }
    }

    #[test]
    fn a_carry_changes_and_the_base_value_stays() {
        let variable = Variable {
            task: Task::Sc,
            digit: Some(1),
        };
        let family = Family::new(variable, Kind::Counterfactual, 3);
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for (_, pair) in family.draws().take(100, &mut rng) {
            let made = alike(variable, &pair);
            let sum = |(x, y): (u8, u8)| (x + y) % 10;
            let (own, stored) = (pair.base.column(1), made.source.question.column(1));
            assert_eq!(sum(own), sum(stored), "{pair:?} {made:?}");
        }
    }
}
