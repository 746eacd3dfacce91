//! Cases: the numbers that one clause of a property is tried on, their simplicity, and the steps to
//! simpler ones.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::domain::arithmetic::power_of_ten;

/// A variable: its letter, and the digits allowed at each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseVariable {
    pub name: char,
    /// The lowest and highest digit at each place, units first; one range per digit of the
    /// variable.
    pub ranges: Vec<(u8, u8)>,
}

impl CaseVariable {
    /// A variable of `width` digits, any digit at each place.
    pub fn of_width(name: char, width: usize) -> Self {
        CaseVariable {
            name,
            ranges: vec![(0, 9); width],
        }
    }

    /// Number of digits.
    pub fn width(&self) -> usize {
        self.ranges.len()
    }

    fn admits(&self, number: u128) -> bool {
        number < power_of_ten(self.width())
            && self
                .ranges
                .iter()
                .enumerate()
                .all(|(place, &(low, high))| (low..=high).contains(&digit(number, place)))
    }
}

/// The digit of a number at a place, units at 0.
pub fn digit(number: u128, place: usize) -> u8 {
    (number / power_of_ten(place) % 10) as u8
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// Which of the property's clauses it is tried on.
    pub clause: usize,
    /// The numbers of the clause's variables, in order.
    pub numbers: Vec<u128>,
}

/// The simplicity of a case, least is simplest: first the number of digits above their minimum,
/// then the sum of digits, then the numbers, first variable first.
pub type Simplicity = (u32, u32, Vec<u128>);

/// One step to a simpler case. Steps are indexed so that a search can take them in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// Sets a digit to its minimum.
    Lowest { variable: usize, place: usize },
    /// Moves a digit halfway to its minimum.
    Half { variable: usize, place: usize },
    /// Reduces a digit by one.
    Less { variable: usize, place: usize },
    /// Moves one, or as much as fits, from a digit of a variable to that of a later variable at the
    /// same place, keeping their sum.
    Pass {
        from: usize,
        to: usize,
        place: usize,
        all: bool,
    },
}

/// All moves for some variables: from the highest place down, the largest steps first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves(Vec<Move>);

impl Moves {
    /// The moves for cases with these variables.
    pub fn new(variables: &[CaseVariable]) -> Self {
        let places = |variable: usize| (0..variables[variable].width()).rev();
        let digits = || {
            (0..variables.len())
                .flat_map(move |variable| places(variable).map(move |p| (variable, p)))
        };
        let lowest = digits().map(|(variable, place)| Move::Lowest { variable, place });
        let half = digits().map(|(variable, place)| Move::Half { variable, place });
        let less = digits().map(|(variable, place)| Move::Less { variable, place });
        let pass = |all| {
            digits().flat_map(move |(from, place)| {
                (from + 1..variables.len())
                    .filter(move |&to| place < variables[to].width())
                    .map(move |to| Move::Pass {
                        from,
                        to,
                        place,
                        all,
                    })
            })
        };
        let moves = lowest.chain(half).chain(less);
        Moves(moves.chain(pass(true)).chain(pass(false)).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no moves.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the same move may apply repeatedly: it is one of several small steps.
    pub fn repeats(&self, index: usize) -> bool {
        matches!(
            self.0[index],
            Move::Less { .. } | Move::Pass { all: false, .. }
        )
    }

    /// The case after a move; `None` if it is no simpler, or outside the ranges.
    pub fn apply(&self, index: usize, case: &Case, variables: &[CaseVariable]) -> Option<Case> {
        let mut next = case.clone();
        let low = |variable: usize, place: usize| variables[variable].ranges[place].0;
        let mut lower = |variable: usize, place: usize, to: u8| {
            let from = digit(case.numbers[variable], place);
            next.numbers[variable] -= u128::from(from.checked_sub(to)?) * power_of_ten(place);
            Some(())
        };
        match self.0[index] {
            Move::Lowest { variable, place } => lower(variable, place, low(variable, place))?,
            Move::Half { variable, place } => {
                let (low, from) = (low(variable, place), digit(case.numbers[variable], place));
                lower(variable, place, low + from.checked_sub(low)? / 2)?;
            }
            Move::Less { variable, place } => {
                lower(
                    variable,
                    place,
                    digit(case.numbers[variable], place).checked_sub(1)?,
                )?;
            }
            Move::Pass {
                from,
                to,
                place,
                all,
            } => {
                let own = digit(case.numbers[from], place);
                let other = digit(case.numbers[to], place);
                let room = variables[to].ranges[place].1.checked_sub(other)?;
                let fits = own.checked_sub(low(from, place))?.min(room);
                let passed = if all { fits } else { fits.min(1) };
                lower(from, place, own - passed)?;
                next.numbers[to] += u128::from(passed) * power_of_ten(place);
            }
        }
        let within = next.within(variables);
        (within && next.simplicity(variables) < case.simplicity(variables)).then_some(next)
    }
}

impl Case {
    /// Whether every number is within its variable's ranges.
    pub fn within(&self, variables: &[CaseVariable]) -> bool {
        self.numbers.len() == variables.len()
            && self
                .numbers
                .iter()
                .zip(variables)
                .all(|(&number, variable)| variable.admits(number))
    }

    pub fn simplicity(&self, variables: &[CaseVariable]) -> Simplicity {
        let (mut raised, mut sum) = (0, 0);
        for (&number, variable) in self.numbers.iter().zip(variables) {
            for (place, &(low, _)) in variable.ranges.iter().enumerate() {
                let above = digit(number, place) - low;
                raised += u32::from(above > 0);
                sum += u32::from(above);
            }
        }
        (raised, sum, self.numbers.clone())
    }

    /// Its numbers by name, as text: `a=04000 b=03999`.
    pub fn text(&self, variables: &[CaseVariable]) -> Assignments {
        Assignments(
            self.numbers
                .iter()
                .zip(variables)
                .map(|(&number, variable)| (variable.name, number, variable.width()))
                .collect(),
        )
    }
}

/// Numbers with their names and widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignments(Vec<(char, u128, usize)>);

impl fmt::Display for Assignments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(name, number, width)) in self.0.iter().enumerate() {
            let gap = if i > 0 { " " } else { "" };
            write!(f, "{gap}{name}={number:0width$}")?;
        }
        Ok(())
    }
}

impl Serialize for Assignments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
