//! Which claims are tested, and why the others are not.

use std::collections::{BTreeMap, BTreeSet};

use super::options::Options;
use super::verdict::Untestable;
use crate::domain::causal::{Family, Kind, classes};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::{Baseline, GATE};
use crate::inputs::claims::Claim;
use crate::network::engine::Engine;

/// A claim that can be tested.
#[derive(Debug, Clone)]
pub struct Testable {
    /// Its index among the selected claims.
    pub index: usize,
    pub node: Node,
    pub variable: Variable,
}

/// Which claims are tested, and why the others are not.
pub struct Plan {
    /// The claims selected by the filters, in the file's order.
    pub selected: Vec<Claim>,
    /// Why a selected claim cannot be tested, by its index.
    pub untestable: BTreeMap<usize, Untestable>,
    pub testable: Vec<Testable>,
    /// Testable claims in the whole file, selected or not.
    pub testable_in_file: usize,
    /// Nodes claimed for each variable in the whole file.
    pub claimed: BTreeMap<Variable, BTreeSet<Node>>,
}

impl Plan {
    pub fn new(all: &[Claim], engine: &Engine, baseline: &Baseline, options: &Options) -> Self {
        let mut plan = Plan {
            selected: Vec::new(),
            untestable: BTreeMap::new(),
            testable: Vec::new(),
            testable_in_file: 0,
            claimed: BTreeMap::new(),
        };
        for claim in all {
            let checked = check(claim, engine, baseline);
            let index = plan.selected.len();
            if let Ok((node, variable)) = &checked {
                plan.testable_in_file += 1;
                plan.claimed.entry(*variable).or_default().insert(*node);
            }
            if !options.selects(claim) {
                continue;
            }
            plan.selected.push(claim.clone());
            match checked {
                Ok((node, variable)) => plan.testable.push(Testable {
                    index,
                    node,
                    variable,
                }),
                Err(reason) => {
                    plan.untestable.insert(index, reason);
                }
            }
        }
        plan
    }

    /// The testable claims, by variable.
    pub fn by_variable(&self) -> BTreeMap<Variable, Vec<&Testable>> {
        let mut grouped: BTreeMap<Variable, Vec<&Testable>> = BTreeMap::new();
        for claim in &self.testable {
            grouped.entry(claim.variable).or_default().push(claim);
        }
        grouped
    }
}

/// The node and variable of a claim, or why it cannot be tested.
fn check(
    claim: &Claim,
    engine: &Engine,
    baseline: &Baseline,
) -> Result<(Node, Variable), Untestable> {
    let shape = engine.shape();
    let variable = claim.variable.clone().map_err(Untestable::Tag)?;
    let node = claim.node.resolve(&shape).map_err(Untestable::Node)?;
    testable(variable, shape.n_digits, baseline)?;
    Ok((node, variable))
}

/// Whether trials can say anything about a variable, given this model's baseline.
///
/// # Errors
/// [`Untestable`] where they cannot.
pub fn testable(
    variable: Variable,
    n_digits: usize,
    baseline: &Baseline,
) -> Result<(), Untestable> {
    if !variable.fits(n_digits) {
        return Err(Untestable::Digit { variable, n_digits });
    }
    for &class in classes(variable.task) {
        let Some(accuracy) = baseline.of(class) else {
            return Err(Untestable::Untrained { variable, class });
        };
        if !accuracy.passes {
            return Err(Untestable::Inaccurate {
                class,
                accuracy: accuracy.accuracy,
                gate: GATE,
            });
        }
    }
    if Family::new(variable, Kind::Counterfactual, n_digits).is_empty() {
        return Err(Untestable::NoPairs { variable });
    }
    Ok(())
}
