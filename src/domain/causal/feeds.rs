//! Dependencies: which variables' values follow from which others', and which answer tokens a
//! variable can change.

use super::{Pair, classes, possible_values, predict, value, with_value};
use crate::domain::arithmetic::{Answer, AnswerToken, TokenSet};
use crate::domain::task::{Task, Variable};

/// The tokens that replacing the variable can change, in a model of `n_digits`.
pub fn affected_tokens(variable: Variable, n_digits: usize) -> TokenSet {
    let sign = TokenSet::only(AnswerToken(n_digits + 1));
    let digits = |from: usize, to: usize| -> TokenSet { (from..=to).map(AnswerToken).collect() };
    match (variable.task, variable.digit) {
        (Task::Sa | Task::Md | Task::Nd | Task::Stc | Task::Mtc | Task::Ntc, Some(k)) => {
            digits(k, k.min(n_digits))
        }
        (Task::Sc | Task::Mb | Task::Nb | Task::Ss | Task::Mz, Some(k)) => {
            digits(k + 1, (k + 1).min(n_digits))
        }
        (Task::St | Task::Sv, Some(k)) => digits(k + 1, n_digits),
        // A difference has no digit above the operands' own.
        (Task::Mt, Some(k)) => digits(k + 1, n_digits - 1).union(sign),
        (Task::Gt, _) => sign,
        (Task::Sgn, _) => digits(0, n_digits - 1),
        _ => TokenSet::all(n_digits),
    }
}

/// What a variable states about the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// The base value of a column.
    Base(usize),
    /// What a column determines by itself: a tri-case if `fine`, otherwise a carry or the order.
    Made { column: usize, fine: bool },
    /// The carry out of a column, including the effect of the columns below.
    Out(usize),
    /// The carry into a column, where it is propagated or added.
    Into { column: usize, added: bool },
    /// The operation, sign or class of the answer.
    Choice,
}

fn says(variable: Variable) -> Says {
    let Some(column) = variable.digit else {
        return Says::Choice;
    };
    match variable.task {
        Task::Sa | Task::Md | Task::Nd => Says::Base(column),
        Task::St | Task::Mt => Says::Made { column, fine: true },
        Task::Sc | Task::Mb | Task::Nb | Task::Gt => Says::Made {
            column,
            fine: false,
        },
        Task::Sv => Says::Out(column),
        Task::Ss | Task::Mz => Says::Into {
            column,
            added: false,
        },
        Task::Stc | Task::Mtc | Task::Ntc => Says::Into {
            column,
            added: true,
        },
        Task::Opr | Task::Sgn | Task::Slt => Says::Choice,
    }
}

/// Whether, by the arithmetic, the value of `to` (or what `to` is combined with) depends on that of
/// `from`. A variable feeds itself, since a node may pass it on to another.
pub fn feeds(from: Variable, to: Variable) -> bool {
    if from == to {
        return true;
    }
    let shares_a_class = classes(from.task)
        .iter()
        .any(|class| classes(to.task).contains(class));
    if !shares_a_class {
        return false;
    }
    let order_only = |variable: Variable| variable.task == Task::Gt;
    match (says(from), says(to)) {
        (Says::Base(k), Says::Into { column, added }) => added && k == column,
        (
            Says::Made { column: k, fine },
            Says::Made {
                column,
                fine: finer,
            },
        ) => k == column && fine && !finer,
        _ if order_only(from) || order_only(to) => false,
        (Says::Made { column: k, .. }, Says::Out(column)) => k <= column,
        (Says::Made { column: k, .. }, Says::Into { column, .. }) => k < column,
        // If the column does not propagate a carry, its carry out is what it generates; otherwise
        // it is its carry in.
        (Says::Out(k), Says::Made { column, fine }) => k == column && !fine,
        (Says::Out(k), Says::Out(column)) => k <= column,
        (Says::Out(k), Says::Into { column, added }) => k < column || (k == column && !added),
        (Says::Into { column: k, added }, Says::Made { column, fine }) => {
            added && k == column + 1 && !fine
        }
        (Says::Into { column: k, added }, Says::Out(column)) => k <= column + usize::from(added),
        (Says::Into { column: k, .. }, Says::Into { column, .. }) => k <= column,
        (Says::Choice, Says::Choice) => to.task == Task::Slt,
        (Says::Choice, Says::Into { added, .. }) => added,
        _ => false,
    }
}

/// Whether replacing `from` by its value on the pair's source changes `to` on the base question:
/// among the tokens that `to` can change, the answer changes as it would with another value of
/// `to`. A base value that is combined with a carry changes the result whatever the carry.
pub fn responds(from: Variable, to: Variable, pair: &Pair) -> bool {
    let base = &pair.base;
    let tokens = affected_tokens(to, base.n_digits());
    let Some(predicted) = predict(from, &pair.source, base) else {
        return false;
    };
    let truth = Answer::of(base);
    let moved = predicted.changed_from(&truth).intersection(tokens);
    if moved.is_empty() || value(to, &(*base).into()).is_none() {
        return false;
    }
    if matches!(
        (says(from), says(to)),
        (Says::Base(_) | Says::Choice, Says::Into { .. })
    ) {
        return true;
    }
    possible_values(to.task).into_iter().any(|value| {
        let other = with_value(to, value, base);
        other
            .changed_from(&predicted)
            .intersection(tokens)
            .is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::causal::{Family, Kind};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn variable(task: Task, digit: usize) -> Variable {
        Variable {
            task,
            digit: Some(digit),
        }
    }

    #[test]
    fn counterfactual_pairs_change_affected_tokens_and_no_others() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for task in Task::all() {
            for digit in 0..=3 {
                let variable = Variable {
                    task,
                    digit: task.takes_digit().then_some(digit),
                };
                let family = Family::new(variable, Kind::Counterfactual, 3);
                let mut seen = TokenSet::EMPTY;
                for (_, pair) in family.draws().take(400, &mut rng) {
                    let predicted = predict(variable, &pair.source, &pair.base).unwrap();
                    seen = seen.union(predicted.changed_from(&Answer::of(&pair.base)));
                }
                let affected_tokens = affected_tokens(variable, 3);
                assert!(
                    seen.difference(affected_tokens).is_empty(),
                    "{variable}: {seen}"
                );
                assert!(
                    seen.is_empty() || seen == affected_tokens,
                    "{variable}: {seen} of {affected_tokens}"
                );
            }
        }
    }

    #[test]
    fn carries_feed_upwards_and_bases_only_their_own_digit() {
        let [sa, sc, st, sv, ss, stc] =
            [Task::Sa, Task::Sc, Task::St, Task::Sv, Task::Ss, Task::Stc];
        for (from, to) in [
            ((sa, 2), (stc, 2)),
            ((sc, 1), (stc, 2)),
            ((st, 0), (stc, 2)),
            ((st, 1), (sv, 1)),
            ((st, 1), (sc, 1)),
            ((sv, 0), (ss, 1)),
            ((ss, 1), (stc, 2)),
            ((sv, 1), (stc, 2)),
            ((stc, 2), (sv, 1)),
        ] {
            assert!(feeds(variable(from.0, from.1), variable(to.0, to.1)));
        }
        for (from, to) in [
            ((sa, 2), (stc, 3)),
            ((sa, 2), (st, 2)),
            ((sc, 2), (stc, 2)),
            ((st, 2), (stc, 1)),
            ((stc, 2), (sa, 2)),
            ((sc, 1), (st, 1)),
            ((ss, 2), (stc, 1)),
            ((ss, 1), (sv, 0)),
            ((sc, 1), (ss, 1)),
        ] {
            assert!(!feeds(variable(from.0, from.1), variable(to.0, to.1)));
        }
        assert!(!feeds(variable(Task::St, 1), variable(Task::Mtc, 2)));
    }

    #[test]
    fn every_claimed_dependence_that_reaches_the_same_token_has_a_pair_that_shows_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let tasks = [Task::Sa, Task::Sc, Task::St, Task::Sv, Task::Ss, Task::Stc];
        let all = tasks
            .iter()
            .flat_map(|&task| (0..=3).map(move |k| variable(task, k)));
        for from in all.clone() {
            for to in all.clone() {
                let overlap = affected_tokens(from, 3).intersection(affected_tokens(to, 3));
                let family = Family::new(from, Kind::Counterfactual, 3);
                let empty =
                    family.is_empty() || Family::new(to, Kind::Counterfactual, 3).is_empty();
                if empty || overlap.is_empty() || !feeds(from, to) {
                    continue;
                }
                let pairs = family.draws().take(600, &mut rng);
                let shown = pairs.iter().any(|(_, pair)| responds(from, to, pair));
                assert!(shown, "{from} to {to}");
            }
        }
    }
}
