//! Corrupted claims: a published claim with its digit, node or task exchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand::seq::SliceRandom;
use serde::Serialize;

use crate::domain::arithmetic::AnswerToken;
use crate::domain::causal::{Family, Kind, is_defined, predict};
use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::experiment::stream;
use crate::inputs::claims::{ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;

/// Counterfactual pairs used to find the tokens a variable changes: the rarest kind of pair is
/// about one in a dozen.
const REACH_PAIRS: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Corruption {
    Digit,
    /// Another head of the same layer and position.
    Head,
    Position,
    Task,
    /// The MLP of the same layer and position, instead of the head.
    Mlp,
}

impl Corruption {
    pub const ALL: [Self; 5] = [
        Self::Digit,
        Self::Head,
        Self::Position,
        Self::Task,
        Self::Mlp,
    ];
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Corruption::Digit => "another digit",
            Corruption::Head => "another head",
            Corruption::Position => "another position",
            Corruption::Task => "another task",
            Corruption::Mlp => "an MLP for a head",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Corrupted {
    pub kind: Corruption,
    pub from: (NodeName, Variable),
    /// The corrupted claim.
    pub claim: (NodeName, Variable),
    /// Whether no network of this shape could make it true: the node comes before the digits
    /// claimed, or after every token they change. Other corrupted claims may happen to be true.
    pub impossible: bool,
}

/// Up to `most` corruptions of each kind of a model's claims, chosen by `seed`. None equals a claim
/// of the file, and the model can be tested for the task of each.
///
/// # Errors
/// [`ClaimsError`] where the claims file cannot be read.
pub fn corruptions(
    folder: &ModelFolder,
    most: usize,
    seed: u64,
) -> Result<Vec<Corrupted>, ClaimsError> {
    let shape = folder.weights.shape();
    let published = published_claims(folder)?;
    let variables = testable_variables(folder);
    let mut taken: BTreeSet<(NodeName, Variable)> = published.iter().copied().collect();
    let mut found = Vec::new();
    for kind in Corruption::ALL {
        let mut possible: Vec<_> = published
            .iter()
            .flat_map(|&from| {
                let claims = changed(from, kind, &shape, variables.keys());
                claims.into_iter().map(move |claim| (from, claim))
            })
            .collect();
        possible.shuffle(&mut stream(seed, &format!("selfcheck/corruption/{kind}")));
        let fresh = possible
            .into_iter()
            .filter(|(_, claim)| taken.insert(*claim))
            .take(most);
        found.extend(fresh.map(|(from, claim)| Corrupted {
            kind,
            from,
            claim,
            impossible: impossible(claim, &shape, variables[&claim.1]),
        }));
    }
    Ok(found)
}

/// The claims of a model's own file that name an existing node and a known task.
///
/// # Errors
/// [`ClaimsError`] where the claims file cannot be read.
pub(super) fn published_claims(
    folder: &ModelFolder,
) -> Result<Vec<(NodeName, Variable)>, ClaimsError> {
    let Some(file) = &folder.features else {
        return Ok(Vec::new());
    };
    let tagged = read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?;
    let shape = folder.weights.shape();
    Ok(claims_of(&tagged)
        .into_iter()
        .filter_map(|claim| Some((claim.node, claim.variable.ok()?)))
        .filter(|(node, _)| node.resolve(&shape).is_ok())
        .collect())
}

/// Every variable the model can be tested for, with the lowest token it changes.
fn testable_variables(folder: &ModelFolder) -> BTreeMap<Variable, AnswerToken> {
    let trained = folder.operations().classes();
    let n_digits = folder.weights.shape().n_digits;
    let variables = Task::all().flat_map(|task| task.variables(0..n_digits + 1));
    variables
        .filter(|&variable| is_defined(variable, &trained, n_digits))
        .filter_map(|variable| Some((variable, lowest_changed(variable, n_digits)?)))
        .collect()
}

fn lowest_changed(variable: Variable, n_digits: usize) -> Option<AnswerToken> {
    let family = Family::new(variable, Kind::Counterfactual, n_digits);
    let mut rng = stream(0, &format!("selfcheck/reach/{variable}"));
    let pairs = family.draws().take(REACH_PAIRS, &mut rng);
    let lowest = |(_, pair): &(_, crate::domain::causal::Pair)| {
        let predicted = predict(variable, &pair.source, &pair.base)?;
        let truth = crate::domain::arithmetic::Answer::of(&pair.base);
        predicted.changed_from(&truth).iter().min()
    };
    pairs.iter().filter_map(lowest).min()
}

fn changed<'a>(
    (node, variable): (NodeName, Variable),
    kind: Corruption,
    shape: &Shape,
    testable: impl Iterator<Item = &'a Variable>,
) -> Vec<(NodeName, Variable)> {
    let nodes = |wanted: &dyn Fn(NodeName) -> bool| {
        Node::all(shape)
            .into_iter()
            .map(|other| other.name())
            .filter(|&other| other != node && wanted(other))
            .map(|other| (other, variable))
            .collect()
    };
    let beside = |other: NodeName| (other.layer, other.position) == (node.layer, node.position);
    let variables = |wanted: &dyn Fn(Variable) -> bool| {
        testable
            .filter(|&&other| wanted(other))
            .map(|&other| (node, other))
            .collect()
    };
    match kind {
        Corruption::Digit => {
            variables(&|other| other.task == variable.task && other.digit != variable.digit)
        }
        Corruption::Task => {
            variables(&|other| other.task != variable.task && other.digit == variable.digit)
        }
        Corruption::Head if node.is_head() => nodes(&|other| other.is_head() && beside(other)),
        Corruption::Mlp if node.is_head() => nodes(&|other| !other.is_head() && beside(other)),
        Corruption::Position => {
            nodes(&|other| (other.layer, other.component) == (node.layer, node.component))
        }
        Corruption::Head | Corruption::Mlp => Vec::new(),
    }
}

/// Whether the node comes before all inputs of the variable, or after all tokens that it changes.
fn impossible((node, variable): (NodeName, Variable), shape: &Shape, lowest: AnswerToken) -> bool {
    let first_seen = match variable {
        // No digit to the left of the first operand's digit k determines a variable of digit k.
        Variable {
            digit: Some(digit), ..
        } => shape.n_digits.saturating_sub(digit + 1),
        Variable {
            task: Task::Sgn, ..
        } => shape.sign(),
        Variable { .. } => shape.operator(),
    };
    node.position < first_seen || node.position > shape.predicting(lowest)
}
