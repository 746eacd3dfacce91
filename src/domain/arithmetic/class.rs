//! Question classes and the complexity classes within them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Question;
use crate::domain::text::text_form;

/// ADD, SUB (a subtraction whose answer is not negative) or NEG (one whose answer is).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Add,
    /// Subtraction, answer ≥ 0.
    Sub,
    /// Subtraction, answer < 0.
    Neg,
}

impl Class {
    /// Every class, in the order reports list them.
    pub const ALL: [Class; 3] = [Class::Add, Class::Sub, Class::Neg];

    /// The grades of its complexity classes, easiest first.
    pub fn grades(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Class::Add => 0..=5,
            Class::Sub => 0..=4,
            Class::Neg => 1..=4,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Add => "ADD",
            Class::Sub => "SUB",
            Class::Neg => "NEG",
        })
    }
}

/// Text that does not name a class.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no class of questions; the classes are ADD, SUB and NEG")]
pub struct UnknownClass(String);

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Class::ALL
            .into_iter()
            .find(|class| class.to_string() == text)
            .ok_or_else(|| UnknownClass(text.into()))
    }
}

text_form!(Class);

/// The published complexity of a question: `S0`–`S5`, `M0`–`M4`, `N1`–`N4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Complexity {
    /// The question's class, which gives the letter.
    pub class: Class,
    /// The grade; the highest of each class includes all longer chains.
    pub grade: u8,
}

impl fmt::Display for Complexity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.class {
            Class::Add => 'S',
            Class::Sub => 'M',
            Class::Neg => 'N',
        };
        write!(f, "{letter}{}", self.grade)
    }
}

/// Text that does not name a complexity class.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no complexity class, such as S0, M3 or N1")]
pub struct UnknownComplexity(String);

impl FromStr for Complexity {
    type Err = UnknownComplexity;

    fn from_str(text: &str) -> Result<Self, UnknownComplexity> {
        Class::ALL
            .into_iter()
            .flat_map(|class| class.grades().map(move |grade| Complexity { class, grade }))
            .find(|complexity| complexity.to_string() == text)
            .ok_or_else(|| UnknownComplexity(text.into()))
    }
}

text_form!(Complexity);

/// The complexity class of a question.
pub fn complexity(question: &Question) -> Complexity {
    let class = question.class();
    let n = question.n_digits();
    // Where a carry (borrow) starts, and which columns would propagate one. The published grades of
    // NEG questions use b_k = [Dk < D'k] on the operands as written, not swapped: only then do the
    // grades of the curated pairs match the published question sets.
    let starts = |k: usize| {
        let (x, y) = question.column(k);
        match class {
            Class::Add => x + y >= 10,
            Class::Sub | Class::Neg => x < y,
        }
    };
    // For NEG, zero differences above the highest non-zero digit do not count.
    let top = match class {
        Class::Neg => (0..n)
            .rev()
            .find(|&k| question.column(k) != (0, 0))
            .map_or(0, |k| k + 1),
        Class::Add | Class::Sub => n,
    };
    let passes = |k: usize| {
        let (x, y) = question.column(k);
        match class {
            Class::Add => x + y == 9,
            Class::Sub | Class::Neg => k < top && x == y,
        }
    };
    let longest = (0..n)
        .filter(|&k| starts(k))
        .map(|k| (k + 1..n).take_while(|&above| passes(above)).count())
        .max();
    let grade = match (class, longest) {
        (Class::Add | Class::Sub, None) => 0,
        (Class::Neg, None) => 1,
        (Class::Add, Some(nines)) => (1 + nines).min(5) as u8,
        (Class::Sub | Class::Neg, Some(zeros)) => (1 + zeros).min(4) as u8,
    };
    Complexity { class, grade }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_complexity_class_reads_back_and_no_other_text_names_one() {
        let mut read = 0;
        for letter in "SMNX".chars() {
            for grade in 0..8 {
                if let Ok(complexity) = format!("{letter}{grade}").parse::<Complexity>() {
                    assert_eq!(complexity.to_string(), format!("{letter}{grade}"));
                    read += 1;
                }
            }
        }
        assert_eq!(read, 6 + 5 + 4);
        for text in ["", "S", "S01", "s0", "M4+", "é0"] {
            assert!(text.parse::<Complexity>().is_err(), "{text}");
        }
    }
}
