//! Groups of questions: a whole class, drawn uniformly, and kinds of question that models tend to
//! fail on.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt};
use thiserror::Error;

use crate::domain::arithmetic::{Class, Complexity, Operation, Question, complexity, power_of_ten};
use crate::domain::causal::{Sampler, Space};
use crate::domain::text::text_form;

/// The kind of question in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Every question of a class.
    Uniform(Class),
    /// Questions of one complexity class.
    Grade(Complexity),
    /// A carry (borrow) generated in column `from` and propagated through exactly `length` more
    /// columns.
    Chain {
        class: Class,
        from: usize,
        length: usize,
    },
    /// The lowest `columns` columns all sum to nine (ADD) or hold equal digits.
    Even { class: Class, columns: usize },
    /// Both operands are equal.
    EqualOperands(Class),
    /// Operands of random lengths, with leading zeros.
    LeadingZeros(Class),
    /// Operands that differ by one.
    ApartByOne(Class),
    /// 9…9 + 1, 10…0 − 1, 1 − 10…0.
    Nines(Class),
    /// Numbers drawn uniformly from a user's ranges.
    Ranges,
    /// Numbers whose digits are at the ends of those ranges, equal, or sum to nine.
    RangeEdges,
    /// Cases that failed in an earlier run.
    Kept,
}

impl Group {
    /// Whether a failure rate is meaningful for the group: all questions of a class, or of a user's
    /// ranges.
    pub fn is_uniform(self) -> bool {
        matches!(self, Group::Uniform(_) | Group::Ranges)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = |class: &Class| match class {
            Class::Add => "carry",
            Class::Sub | Class::Neg => "borrow",
        };
        match self {
            Group::Uniform(class) => write!(f, "{class}, uniform"),
            Group::Grade(grade) => write!(f, "{grade}"),
            Group::Chain {
                class,
                from,
                length,
            } => write!(
                f,
                "{class}, {} out of digit {from} through {length} more",
                passed(class)
            ),
            Group::Even { class, columns } => match class {
                Class::Add => write!(f, "{class}, the lowest {columns} sums nine"),
                Class::Sub | Class::Neg => {
                    write!(f, "{class}, the lowest {columns} differences zero")
                }
            },
            Group::EqualOperands(class) => write!(f, "{class}, equal operands"),
            Group::LeadingZeros(class) => write!(f, "{class}, leading zeros"),
            Group::ApartByOne(class) => write!(f, "{class}, operands apart by one"),
            Group::Nines(Class::Add) => f.write_str("ADD, nines and one"),
            Group::Nines(class) => write!(f, "{class}, a power of ten and one"),
            Group::Ranges => f.write_str("its ranges, uniform"),
            Group::RangeEdges => f.write_str("edges of its ranges"),
            Group::Kept => f.write_str("kept from an earlier run"),
        }
    }
}

/// Text that does not name a group.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown group of questions {0:?}")]
pub struct UnknownGroup(String);

impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, UnknownGroup> {
        let unknown = || UnknownGroup(text.into());
        let whole = [Group::Ranges, Group::RangeEdges, Group::Kept];
        let of_class = Class::ALL.into_iter().flat_map(|class| {
            [
                Group::Uniform(class),
                Group::EqualOperands(class),
                Group::LeadingZeros(class),
                Group::ApartByOne(class),
                Group::Nines(class),
            ]
        });
        let mut named = whole.into_iter().chain(of_class);
        if let Some(group) = named.find(|group| group.to_string() == text) {
            return Ok(group);
        }
        let Some((class, rest)) = text.split_once(", ") else {
            return text.parse().map(Group::Grade).map_err(|_| unknown());
        };
        let class: Class = class.parse().map_err(|_| unknown())?;
        // The numbers in the text; its words are checked by formatting the result again.
        let mut numbers = rest
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok());
        let group = match (numbers.next(), numbers.next()) {
            (Some(from), Some(length)) => Group::Chain {
                class,
                from,
                length,
            },
            (Some(columns), None) => Group::Even { class, columns },
            _ => return Err(unknown()),
        };
        match group.to_string() == text {
            true => Ok(group),
            false => Err(unknown()),
        }
    }
}

text_form!(Group);

/// How questions of a group are drawn.
#[derive(Debug, Clone)]
enum SourceKind {
    /// Drawn from one of these sets, each equally often.
    Spaces(Vec<Sampler>),
    LeadingZeros,
    ApartByOne,
    Nines,
}

/// A group to draw from.
#[derive(Debug, Clone)]
pub struct GroupSource {
    group: Group,
    class: Class,
    n_digits: usize,
    source: SourceKind,
}

/// Draws after which a group counts as (nearly) empty.
const MOST_TRIES: usize = 1000;

impl GroupSource {
    pub fn group(&self) -> Group {
        self.group
    }

    /// Draws a question of the group; `None` if a thousand draws found none.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<Question> {
        (0..MOST_TRIES)
            .map(|_| self.try_draw(rng))
            .find(|question| self.holds(question))
    }

    fn holds(&self, question: &Question) -> bool {
        question.class() == self.class
            && match self.group {
                Group::Grade(grade) => complexity(question) == grade,
                _ => true,
            }
    }

    fn try_draw(&self, rng: &mut impl Rng) -> Question {
        let n = self.n_digits;
        let operation = match self.class {
            Class::Add => Operation::Add,
            Class::Sub | Class::Neg => Operation::Sub,
        };
        let question = |first, second| Question::new(first, operation, second, n);
        match &self.source {
            SourceKind::Spaces(samplers) => samplers[rng.random_range(0..samplers.len())].draw(rng),
            SourceKind::LeadingZeros => {
                let mut operand = || {
                    let length = rng.random_range(0..=n);
                    rng.random_range(0..power_of_ten(length))
                };
                question(operand(), operand())
            }
            SourceKind::ApartByOne => {
                let less = rng.random_range(0..power_of_ten(n) - 1);
                match self.class {
                    Class::Neg => question(less, less + 1),
                    Class::Add | Class::Sub => question(less + 1, less),
                }
            }
            SourceKind::Nines => {
                let lowest = rng.random_range(0..n);
                let unit = power_of_ten(lowest);
                match self.class {
                    Class::Add => {
                        let nines = power_of_ten(rng.random_range(lowest + 1..=n)) - unit;
                        match rng.random() {
                            true => question(nines, unit),
                            false => question(unit, nines),
                        }
                    }
                    Class::Sub => question(power_of_ten(rng.random_range(lowest..n)), unit),
                    Class::Neg => question(unit, power_of_ten(rng.random_range(lowest..n))),
                }
            }
        }
    }
}

/// Questions in which `starts` is the tri-case of column `from`, and at least the next `length`
/// columns are even.
fn chain(class: Class, starts: Ordering, from: usize, length: usize, n: usize) -> Space {
    let start = Space::of_class(class, n).with_tri_case(from, |tri| tri == starts);
    (from + 1..=from + length).fold(start, |space, column| {
        space.with_tri_case(column, |tri| tri == Ordering::Equal)
    })
}

/// Sets that together contain all questions of a complexity class, and some of harder classes.
fn grade_spaces(grade: Complexity, n: usize) -> Vec<Space> {
    let class = grade.class;
    // As in the published complexity classes: a borrow starts where the first digit is smaller,
    // also in NEG (see `arithmetic::complexity`).
    let starts = match class {
        Class::Add => Ordering::Greater,
        Class::Sub | Class::Neg => Ordering::Less,
    };
    let Some(passed) = usize::from(grade.grade).checked_sub(1) else {
        let none = (0..n).fold(Space::of_class(class, n), |space, k| {
            space.with_tri_case(k, |tri| tri != starts)
        });
        return vec![none];
    };
    (0..n.saturating_sub(passed))
        .map(|from| chain(class, starts, from, passed, n))
        .collect()
}

/// The tri-case that actually starts a carry or borrow.
fn makes(class: Class) -> Ordering {
    match class {
        Class::Add | Class::Neg => Ordering::Greater,
        Class::Sub => Ordering::Less,
    }
}

/// All groups of questions of a class, the uniform one first, without groups that have no question
/// of this size.
pub fn groups(class: Class, n_digits: usize) -> Vec<GroupSource> {
    let n = n_digits;
    let mut found: Vec<(Group, SourceKind)> = Vec::new();
    let mut spaces = |group: Group, spaces: Vec<Space>| {
        let samplers: Vec<Sampler> = spaces
            .iter()
            .filter(|space| space.len() > 0.0)
            .map(Space::sampler)
            .collect();
        if !samplers.is_empty() {
            found.push((group, SourceKind::Spaces(samplers)));
        }
    };
    spaces(Group::Uniform(class), vec![Space::of_class(class, n)]);
    for grade in class.grades() {
        let grade = Complexity { class, grade };
        spaces(Group::Grade(grade), grade_spaces(grade, n));
    }
    for from in 0..n {
        for length in 0..n - from {
            let group = Group::Chain {
                class,
                from,
                length,
            };
            let mut space = chain(class, makes(class), from, length, n);
            if from + length + 1 < n {
                space = space.with_tri_case(from + length + 1, |tri| tri != Ordering::Equal);
            }
            spaces(group, vec![space]);
        }
    }
    for columns in 1..=n {
        let even = (0..columns).fold(Space::of_class(class, n), |space, k| {
            space.with_tri_case(k, |tri| tri == Ordering::Equal)
        });
        spaces(Group::Even { class, columns }, vec![even]);
    }
    if class != Class::Neg {
        let equal = (0..n).fold(Space::of_class(class, n), |space, k| {
            space.with_column(k, |(x, y)| x == y)
        });
        spaces(Group::EqualOperands(class), vec![equal]);
    }
    found.push((Group::LeadingZeros(class), SourceKind::LeadingZeros));
    found.push((Group::ApartByOne(class), SourceKind::ApartByOne));
    found.push((Group::Nines(class), SourceKind::Nines));
    found
        .into_iter()
        .map(|(group, source)| GroupSource {
            group,
            class,
            n_digits: n,
            source,
        })
        .collect()
}
