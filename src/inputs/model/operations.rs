//! Which arithmetic operations a model was trained for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::name::NameError;
use crate::domain::arithmetic::{Class, Operation};

/// The operations a model was trained for, as names abbreviate them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operations {
    /// Addition only (`add`).
    Add,
    /// Subtraction only (`sub`).
    Sub,
    /// Addition and subtraction (`mix`).
    Mix,
    /// Multiplication only (`mul`).
    Mul,
    /// Multiplication, addition and subtraction (`mas`).
    Mas,
}

impl Operations {
    /// All of them, in the order they are declared.
    pub const ALL: [Self; 5] = [Self::Add, Self::Sub, Self::Mix, Self::Mul, Self::Mas];

    /// Whether additions were among the training questions.
    pub const fn trains_addition(self) -> bool {
        matches!(self, Self::Add | Self::Mix | Self::Mas)
    }

    /// Whether subtractions were among the training questions.
    pub const fn trains_subtraction(self) -> bool {
        matches!(self, Self::Sub | Self::Mix | Self::Mas)
    }

    /// Whether multiplications were among the training questions.
    pub const fn trains_multiplication(self) -> bool {
        matches!(self, Self::Mul | Self::Mas)
    }

    /// Whether questions of an operation were among the training questions.
    pub const fn trains(self, operation: Operation) -> bool {
        match operation {
            Operation::Add => self.trains_addition(),
            Operation::Sub => self.trains_subtraction(),
        }
    }

    /// The question classes trained. Multiplications make none: nothing is claimed of them.
    pub fn classes(self) -> Vec<Class> {
        Class::ALL
            .into_iter()
            .filter(|class| match class {
                Class::Add => self.trains_addition(),
                Class::Sub | Class::Neg => self.trains_subtraction(),
            })
            .collect()
    }

    /// Reads a list such as `add,sub`; each part may also be one of the names of [`Operations`].
    ///
    /// # Errors
    /// [`OperationsError`] where a part is no operation, or the list has no name.
    pub fn of_list(text: &str) -> Result<Self, OperationsError> {
        let parts = text
            .split(',')
            .map(|part| {
                let part = part.trim();
                let known = part.to_ascii_lowercase().parse::<Self>();
                known.map_err(|_| OperationsError::Unknown(part.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::trained(
            parts.iter().any(|part| part.trains_addition()),
            parts.iter().any(|part| part.trains_subtraction()),
            parts.iter().any(|part| part.trains_multiplication()),
        )
        .ok_or_else(|| OperationsError::Unnamed(text.to_owned()))
    }

    /// The operations with these trained; `None` for a combination that has no name.
    pub fn trained(addition: bool, subtraction: bool, multiplication: bool) -> Option<Self> {
        Self::ALL.into_iter().find(|operations| {
            operations.trains_addition() == addition
                && operations.trains_subtraction() == subtraction
                && operations.trains_multiplication() == multiplication
        })
    }
}

/// Why a text is no list of operations.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OperationsError {
    /// A part that is no operation.
    #[error("unknown operation {0:?}: expected add, sub, mul, or a list such as add,sub")]
    Unknown(String),
    /// Operations that no model is trained for together.
    #[error("no model is trained for {0:?}: expected add; sub; mul; add,sub; or add,sub,mul")]
    Unnamed(String),
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mix => "mix",
            Self::Mul => "mul",
            Self::Mas => "mas",
        })
    }
}

impl FromStr for Operations {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "add" => Ok(Self::Add),
            "sub" => Ok(Self::Sub),
            "mix" => Ok(Self::Mix),
            "mul" => Ok(Self::Mul),
            "mas" => Ok(Self::Mas),
            other => Err(NameError::Operations(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_and_is_told_by_what_it_trains() {
        for operations in Operations::ALL {
            assert_eq!(operations.to_string().parse(), Ok(operations));
            assert_eq!(
                Operations::trained(
                    operations.trains_addition(),
                    operations.trains_subtraction(),
                    operations.trains_multiplication(),
                ),
                Some(operations)
            );
        }
    }

    #[test]
    fn a_list_is_read_in_any_order_and_case() {
        for (text, operations) in [
            ("add", Operations::Add),
            ("SUB", Operations::Sub),
            ("add,sub", Operations::Mix),
            ("sub, add", Operations::Mix),
            ("mix", Operations::Mix),
            ("mul,sub,add", Operations::Mas),
        ] {
            assert_eq!(Operations::of_list(text), Ok(operations), "{text}");
        }
        assert_eq!(
            Operations::of_list("add,div").unwrap_err().to_string(),
            "unknown operation \"div\": expected add, sub, mul, or a list such as add,sub"
        );
        assert_eq!(
            Operations::of_list("add,mul").unwrap_err().to_string(),
            "no model is trained for \"add,mul\": expected add; sub; mul; add,sub; or add,sub,mul"
        );
    }

    #[test]
    fn a_combination_nobody_trained_has_no_name() {
        assert_eq!(Operations::trained(false, false, false), None);
        assert_eq!(Operations::trained(true, false, true), None);
    }
}
