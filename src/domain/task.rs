//! Tasks: what a claim says a node computes.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::text::{deserialize_from_text, text_form};

/// A task of the published vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Base add: (Dn + D′n) mod 10.
    Sa,
    /// Make carry: Dn + D′n ≥ 10.
    Sc,
    /// Sum nine: the carry through a column that sums to nine.
    Ss,
    /// Tri-case of a sum: ≤ 8, 9, ≥ 10.
    St,
    /// The resolved carry out of a column.
    Sv,
    /// Base difference, answer ≥ 0: (Dn − D′n) mod 10.
    Md,
    /// Borrow, answer ≥ 0: Dn < D′n.
    Mb,
    /// Zero difference: the borrow through a column of equal digits.
    Mz,
    /// Tri-case of a difference: its sign.
    Mt,
    /// Greater: Dn > D′n, which helps to determine the sign.
    Gt,
    /// Base difference, answer < 0: (D′n − Dn) mod 10.
    Nd,
    /// Borrow, answer < 0: D′n < Dn.
    Nb,
    /// The operator of the question.
    Opr,
    /// The sign of the answer.
    Sgn,
    /// Selects between the ADD, SUB and NEG results.
    Slt,
    /// Combines the carry into An in additions.
    Stc,
    /// Combines the borrow into An if the answer is ≥ 0.
    Mtc,
    /// Combines the borrow into An if the answer is < 0.
    Ntc,
}

/// A task name that is not in the vocabulary.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown task {0:?}")]
pub struct UnknownTask(pub String);

const NAMES: [(Task, &str); 18] = [
    (Task::Sa, "SA"),
    (Task::Sc, "SC"),
    (Task::Ss, "SS"),
    (Task::St, "ST"),
    (Task::Sv, "SV"),
    (Task::Md, "MD"),
    (Task::Mb, "MB"),
    (Task::Mz, "MZ"),
    (Task::Mt, "MT"),
    (Task::Gt, "GT"),
    (Task::Nd, "ND"),
    (Task::Nb, "NB"),
    (Task::Opr, "OPR"),
    (Task::Sgn, "SGN"),
    (Task::Slt, "SLT"),
    (Task::Stc, "STC"),
    (Task::Mtc, "MTC"),
    (Task::Ntc, "NTC"),
];

impl Task {
    /// Every task, in the order of the published table.
    pub fn all() -> impl Iterator<Item = Task> {
        NAMES.iter().map(|&(task, _)| task)
    }

    /// The name as published, e.g. `ST`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether a claim of this task names a digit.
    pub fn takes_digit(self) -> bool {
        !matches!(self, Task::Opr | Task::Sgn | Task::Slt)
    }

    /// Its variables for these digits: a single one if the task takes no digit.
    pub fn variables(self, digits: Range<usize>) -> impl Iterator<Item = Variable> {
        let digits = match self.takes_digit() {
            true => digits.map(Some).collect(),
            false => vec![None],
        };
        digits
            .into_iter()
            .map(move |digit| Variable { task: self, digit })
    }

    /// Whether only the direction of an answer's change is predicted, not that it changes.
    pub fn predicts_only_direction(self) -> bool {
        !self.takes_digit()
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(text: &str) -> Result<Self, UnknownTask> {
        NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|&(task, _)| task)
            .ok_or_else(|| UnknownTask(text.into()))
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The variable a claim is about: a task, with a digit if the task takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    pub task: Task,
    /// The digit, for tasks that [take one](Task::takes_digit).
    pub digit: Option<usize>,
}

impl Variable {
    /// Whether a model of `n_digits` has its digit. An answer has one digit more than an operand.
    pub fn fits(self, n_digits: usize) -> bool {
        self.digit.is_none_or(|digit| digit <= n_digits)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digit {
            Some(digit) => write!(f, "A{digit}.{}", self.task),
            None => self.task.fmt(f),
        }
    }
}

/// Text that does not name a variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no variable, such as A3.ST or OPR")]
pub struct UnknownVariable(String);

impl FromStr for Variable {
    type Err = UnknownVariable;

    fn from_str(text: &str) -> Result<Self, UnknownVariable> {
        let unknown = || UnknownVariable(text.into());
        let (digit, task) = match text.split_once('.') {
            Some((digit, task)) => {
                let digit = digit.strip_prefix('A').and_then(|digit| digit.parse().ok());
                (Some(digit.ok_or_else(unknown)?), task)
            }
            None => (None, text),
        };
        let task: Task = task.parse().map_err(|_| unknown())?;
        (task.takes_digit() == digit.is_some())
            .then_some(Variable { task, digit })
            .ok_or_else(unknown)
    }
}

text_form!(Variable);
deserialize_from_text!(Task);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_read_back_from_its_name() {
        for task in Task::all() {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        assert_eq!("XX".parse::<Task>(), Err(UnknownTask("XX".into())));
    }
}
