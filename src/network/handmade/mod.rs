//! Handmade networks, whose circuits are known because their weights are written by hand: the
//! ground truth for verdicts.
//!
//! [`addition()`] takes any number of digits up to [`MOST_DIGITS`]. The [`planted`] networks have two digits, and each represents a variable in a way that is easily misjudged. Every network answers every question of its operation correctly; each module has a table of what its nodes represent.

mod addition;
mod cross_layer;
mod fed_decoy;
mod half_moved;
mod scattered;
mod sheet;
mod subtraction;
mod two_digits;

use std::collections::{BTreeMap, BTreeSet};

pub use self::addition::addition;
use self::sheet::{Entry, Head, Sheet};
pub use self::subtraction::DigitsFollow;
use crate::domain::arithmetic::AnswerToken;
use crate::domain::causal::classes;
use crate::domain::node::{Component, Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::inputs::claims::{Claim, write_claims};
use crate::inputs::model::{ModelFolder, Operations, Weights};

/// Minimum lead of the right token over every other, on every question that [`addition()`] answers.
pub const MARGIN: f32 = 1.2;

/// Minimum lead of the right token over every other in the planted networks.
pub const PLANTED_MARGIN: f32 = 0.24;

/// The lead of the right digit there, up to rounding. Logits scale with the lead, so the rounding
/// errors of longer paths stay far below the tolerated difference between two forward passes.
const PLANTED_LEAD: f32 = 0.25;

/// Most digits an operand of [`addition()`] may have: with each additional digit, differences
/// between sums of lower columns shrink to a tenth, and float32 beside a large constant resolves a
/// hundredth.
pub const MOST_DIGITS: usize = 4;

/// How a node represents a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carries {
    Alone,
    /// Together with others, as listed in [`Handmade::sets`].
    Jointly,
    /// As other nodes do too, so that it alone decides nothing.
    Redundantly,
}

/// A network with the ground truth about it.
#[derive(Debug, Clone)]
pub struct Handmade {
    pub weights: Weights,
    /// The operations whose questions it answers.
    pub operations: Operations,
    /// Every true claim, by node and variable.
    pub true_claims: BTreeMap<(NodeName, Variable), Carries>,
    /// Claims that have no right verdict: neither true nor false.
    pub nearly_true: BTreeSet<(NodeName, Variable)>,
    /// The sets that represent a variable and need each of their nodes.
    pub sets: Vec<JointSet>,
}

/// Nodes that represent a variable together: patching one node of each slot always moves some token
/// that does not always move with fewer.
///
/// A slot has several nodes if one reads what another writes, so that either can be patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JointSet {
    pub variable: Variable,
    pub slots: Vec<Vec<NodeName>>,
}

impl JointSet {
    fn new(variable: &str, slots: &[&[&str]]) -> Self {
        let slot = |names: &&[&str]| names.iter().map(|name| node(name)).collect();
        JointSet {
            variable: parsed(variable),
            slots: slots.iter().map(slot).collect(),
        }
    }

    /// Each minimal set of nodes, one of each slot.
    pub fn minimal_sets(&self) -> Vec<BTreeSet<NodeName>> {
        let no_slot = vec![BTreeSet::new()];
        self.slots.iter().fold(no_slot, |sets, slot| {
            let with_one = |set: &BTreeSet<NodeName>| -> Vec<BTreeSet<NodeName>> {
                let with = |&node| set.iter().copied().chain([node]).collect();
                slot.iter().map(with).collect()
            };
            sets.iter().flat_map(with_one).collect()
        })
    }
}

/// A network that represents a variable in a way that is easily misjudged.
#[derive(Debug, Clone)]
pub struct Planted {
    pub name: &'static str,
    pub handmade: Handmade,
    /// Claims that are true for some tokens, with a token that moves only in part of the pairs.
    pub in_part: Vec<((NodeName, Variable), AnswerToken)>,
    /// What the digits follow when the sign flips, in a network that subtracts.
    pub digits: Option<DigitsFollow>,
}

impl Planted {
    fn new(name: &'static str, handmade: Handmade) -> Self {
        Planted {
            name,
            handmade,
            in_part: Vec::new(),
            digits: None,
        }
    }
}

/// The planted networks, each of two digits.
pub fn planted() -> Vec<Planted> {
    vec![
        Planted::new("cross-layer", cross_layer::network()),
        Planted::new("scattered", scattered::network()),
        half_moved::network(),
        Planted::new("fed-decoy", fed_decoy::network()),
        subtraction::network("internal-order", DigitsFollow::InternalOrder),
        subtraction::network("sign-token", DigitsFollow::SignToken),
    ]
}

/// Positions in a question and its answer.
#[derive(Clone, Copy)]
struct Places(Shape);

impl Places {
    /// The positions of a planted network.
    fn planted(n_layers: usize) -> Self {
        /// Heads per layer.
        const HEADS: usize = 4;
        Places(sheet::shape(2, n_layers, HEADS, Entry::ADDED))
    }

    fn n_digits(self) -> usize {
        self.0.n_digits
    }

    fn first(self, k: usize) -> usize {
        self.0.first_operand(k)
    }

    fn second(self, k: usize) -> usize {
        self.0.second_operand(k)
    }

    fn operator(self) -> usize {
        self.0.operator()
    }

    fn sign(self) -> usize {
        self.0.sign()
    }

    fn equals(self) -> usize {
        self.0.first_answer_position()
    }

    /// The position whose logits predict answer digit `k`.
    fn predicting(self, k: usize) -> usize {
        self.0.predicting(AnswerToken(k))
    }

    /// Both digits of column `k`, each with this weight.
    fn column(self, k: usize, weight: f32) -> Vec<(usize, f32)> {
        vec![(self.first(k), weight), (self.second(k), weight)]
    }

    /// All columns below `top`: the highest with weight 1, each other with a tenth of the weight of
    /// the one above.
    fn columns_below(self, top: usize) -> Vec<(usize, f32)> {
        let weight = |k: usize| 0.1f32.powi((top - 1 - k) as i32);
        (0..top).flat_map(|k| self.column(k, weight(k))).collect()
    }

    /// A head that sums digits: for each reading position, the positions it reads with their
    /// weights.
    fn summing(
        self,
        layer: usize,
        number: usize,
        writes: Entry,
        reads: impl IntoIterator<Item = (usize, Vec<(usize, f32)>)>,
    ) -> Head {
        Head {
            layer,
            number,
            from: Entry::Digit,
            writes,
            negated: false,
            rest: self.operator(),
            reads: reads.into_iter().collect(),
        }
    }

    fn head(self, k: usize, number: usize) -> NodeName {
        NodeName {
            position: self.predicting(k),
            layer: 0,
            component: Component::Head(number),
        }
    }

    fn mlp(self, k: usize, layer: usize) -> NodeName {
        NodeName {
            position: self.predicting(k),
            layer,
            component: Component::Mlp(0),
        }
    }
}

fn variable(task: Task, digit: usize) -> Variable {
    Variable {
        task,
        digit: Some(digit),
    }
}

/// A node by its name in files.
fn node(name: &str) -> NodeName {
    name.parse().expect("the name of a node")
}

/// A variable as written in files, such as `A0.SC`.
fn parsed(variable: &str) -> Variable {
    let claim = Claim::parse(node("P0L0H0"), variable);
    claim.variable.expect("a task with its digit")
}

/// Nodes with variables, by their names in files.
type Table = [Row];
type Row = (&'static str, &'static [&'static str]);

fn claims(table: &Table) -> impl Iterator<Item = (NodeName, Variable)> {
    let of_node = |&(name, variables): &Row| {
        (variables.iter()).map(move |variable| (node(name), parsed(variable)))
    };
    table.iter().flat_map(of_node)
}

impl Handmade {
    /// A network, given tables of what its nodes represent alone and of what they nearly represent.
    fn new(
        sheet: Sheet,
        operations: Operations,
        alone: &Table,
        sets: Vec<JointSet>,
        nearly_true: &Table,
    ) -> Self {
        let mut true_claims: BTreeMap<_, _> =
            claims(alone).map(|claim| (claim, Carries::Alone)).collect();
        for set in &sets {
            for &node in set.slots.iter().flatten() {
                let claim = (node, set.variable);
                true_claims.entry(claim).or_insert(Carries::Jointly);
            }
        }
        Handmade {
            weights: sheet.finish(),
            operations,
            true_claims,
            nearly_true: claims(nearly_true).collect(),
            sets,
        }
    }

    /// False claims: every other task and digit on each node of a true claim, and each true claim
    /// on idle nodes where the same digit is predicted, and on one in the question.
    pub fn false_claims(&self) -> BTreeSet<(NodeName, Variable)> {
        let shape = self.weights.shape();
        let n_digits = shape.n_digits;
        let used: BTreeSet<NodeName> = self.true_claims.keys().map(|(node, _)| *node).collect();
        let answered = self.operations.classes();
        let is_answered = |task: &Task| classes(*task).iter().all(|class| answered.contains(class));
        let variables: Vec<Variable> = Task::all()
            .filter(|task| task.takes_digit() && is_answered(task))
            .flat_map(|task| task.variables(0..n_digits + 1))
            .collect();
        let elsewhere = used
            .iter()
            .flat_map(|&node| variables.iter().map(move |&variable| (node, variable)));
        let places = Places(shape);
        let idle: Vec<NodeName> = Node::all(&shape)
            .into_iter()
            .map(|node| node.name())
            .filter(|node| !used.contains(node))
            .collect();
        let on_idle = self.true_claims.keys().flat_map(|&(node, variable)| {
            let near = move |other: &&NodeName| {
                other.position == node.position || other.position == places.second(0)
            };
            idle.iter()
                .filter(near)
                .filter(move |other| other.same_kind(node))
                .map(move |&other| (other, variable))
        });
        elsewhere
            .chain(on_idle)
            .filter(|claim| {
                !self.true_claims.contains_key(claim) && !self.nearly_true.contains(claim)
            })
            .collect()
    }

    /// The network as a model whose claims file makes these claims.
    pub fn claiming<'a>(
        &self,
        claims: impl IntoIterator<Item = &'a (NodeName, Variable)>,
    ) -> ModelFolder {
        ModelFolder::from_weights(
            "handmade",
            self.weights.clone(),
            self.operations,
            write_claims(claims).into_bytes(),
        )
    }
}
