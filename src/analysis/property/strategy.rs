//! Strategies: draw the cases of a property, half of them uniformly and half from groups that
//! models tend to fail on.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::strategy::{NewTree, Strategy};
use proptest::test_runner::{Reason, TestRng, TestRunner};
use rand::RngExt;

use super::case::{Case, CaseVariable, digit};
use super::group::{Group, GroupSource, groups};
use super::tree::CaseTree;
use super::{Drawing, Property};
use crate::domain::arithmetic::{Class, Operation, Question, power_of_ten};

/// Share of cases drawn uniformly: failure rates are computed from these.
const UNIFORM_SHARE: f64 = 0.5;

/// Draws after which a property counts as having (nearly) no cases.
const MOST_TRIES: usize = 1000;

/// Draws the cases of one property.
#[derive(Debug, Clone)]
pub struct CaseStrategy {
    property: Arc<Property>,
    /// For each class, the clauses that a question of it may be used for, and its groups of
    /// questions; empty if the property's numbers are drawn from a user's ranges.
    classes: Vec<(Vec<usize>, Arc<Vec<GroupSource>>)>,
}

/// The groups of every class, built once for all properties of a model.
#[derive(Debug, Clone)]
pub struct Groups(BTreeMap<Class, Arc<Vec<GroupSource>>>);

impl Groups {
    /// The groups of questions of this size.
    pub fn new(n_digits: usize) -> Self {
        let of = |class| (class, Arc::new(groups(class, n_digits)));
        Groups(Class::ALL.into_iter().map(of).collect())
    }
}

fn classes(operation: Operation) -> &'static [Class] {
    match operation {
        Operation::Add => &[Class::Add],
        Operation::Sub => &[Class::Sub, Class::Neg],
    }
}

impl CaseStrategy {
    pub fn new(property: Arc<Property>, groups: &Groups) -> Self {
        let mut clauses: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
        if property.drawing != Drawing::Ranges {
            for (index, clause) in property.clauses.iter().enumerate() {
                let (ask, _) = clause.asks()[0];
                for &class in classes(ask.operation) {
                    clauses.entry(class).or_default().push(index);
                }
            }
        }
        CaseStrategy {
            property,
            classes: clauses
                .into_iter()
                .map(|(class, clauses)| (clauses, Arc::clone(&groups.0[&class])))
                .collect(),
        }
    }

    /// Every group that cases are drawn from.
    pub fn groups(&self) -> Vec<Group> {
        if self.property.drawing == Drawing::Ranges {
            return vec![Group::Ranges, Group::RangeEdges];
        }
        self.classes
            .iter()
            .flat_map(|(_, groups)| groups.iter().map(GroupSource::group))
            .collect()
    }

    fn try_draw(&self, rng: &mut TestRng) -> Option<(Group, Case)> {
        let uniform = rng.random_bool(UNIFORM_SHARE);
        if self.property.drawing == Drawing::Ranges {
            let clause = rng.random_range(0..self.property.clauses.len());
            let variables = self.property.clauses[clause].variables();
            let (group, numbers) = match uniform {
                true => (Group::Ranges, in_ranges(variables, rng)),
                false => (Group::RangeEdges, at_edges(variables, rng)),
            };
            return Some((group, Case { clause, numbers }));
        }
        let (clauses, groups) = &self.classes[rng.random_range(0..self.classes.len())];
        // The uniform group comes first.
        let source = match uniform {
            true => &groups[0],
            false => &groups[rng.random_range(1..groups.len())],
        };
        let clause = clauses[rng.random_range(0..clauses.len())];
        let question = source.draw(rng)?;
        let (a, b) = (question.first(), question.second());
        let numbers = match self.property.drawing {
            Drawing::Operands => vec![a, b],
            Drawing::First => vec![a],
            Drawing::Split => {
                let below = self.property.clauses[clause].variables()[2].width();
                let power = power_of_ten(below);
                // The other low digits come from another question, of the same kind or of any kind.
                let other: Question = if rng.random() { source } else { &groups[0] }.draw(rng)?;
                let (c, d) = (other.first() % power, other.second() % power);
                vec![a / power, b / power, a % power, b % power, c, d]
            }
            Drawing::Ranges => unreachable!("ranges are drawn from above"),
        };
        Some((source.group(), Case { clause, numbers }))
    }
}

fn in_ranges(variables: &[CaseVariable], rng: &mut TestRng) -> Vec<u128> {
    let number = |variable: &CaseVariable| {
        let places = variable.ranges.iter().enumerate();
        places
            .map(|(place, &(low, high))| {
                u128::from(rng.random_range(low..=high)) * power_of_ten(place)
            })
            .sum()
    };
    variables.iter().map(number).collect()
}

/// Each digit is its minimum, its maximum, equal to an earlier variable's digit, that digit's
/// complement to nine, or random.
fn at_edges(variables: &[CaseVariable], rng: &mut TestRng) -> Vec<u128> {
    let mut numbers: Vec<u128> = Vec::new();
    for variable in variables {
        let mut number = 0;
        for (place, &(low, high)) in variable.ranges.iter().enumerate() {
            let earlier = match numbers.len() {
                0 => 0,
                count => digit(numbers[rng.random_range(0..count)], place),
            };
            let wanted = match rng.random_range(0..5) {
                0 => low,
                1 => high,
                2 => earlier,
                3 => 9 - earlier,
                _ => rng.random_range(low..=high),
            };
            number += u128::from(wanted.clamp(low, high)) * power_of_ten(place);
        }
        numbers.push(number);
    }
    numbers
}

impl Strategy for CaseStrategy {
    type Tree = CaseTree;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let rng = runner.rng();
        (0..MOST_TRIES)
            .filter_map(|_| self.try_draw(rng))
            .find(|(_, case)| self.property.clauses[case.clause].admits(case))
            .map(|(group, case)| CaseTree::new(Arc::clone(&self.property), group, case))
            .ok_or_else(|| {
                Reason::from(format!(
                    "{}: none of {MOST_TRIES} drawn cases gives questions that the model accepts",
                    self.property.name
                ))
            })
    }
}
