//! The strict protocol: no quirks, and only claims that the method supports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use thiserror::Error;

use crate::carries::{self, Carriers};
use crate::domain::arithmetic::Prompt;
use crate::domain::causal::Quantity;
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::inputs::claims::{Tag, TaggedNode, claims_of, write_claims, write_tagged_nodes};
use crate::inputs::model::{ModelFolder, RawFile};
use crate::network::engine::{Engine, EngineError};
use crate::verify::evidence::Evidence;
use crate::verify::{Options, Progress, Verdict, VerifyError, verify};

use super::quirk::Quirks;
use super::search::search;
use super::{Discovered, discover};

/// A model described by the strict protocol, beside the published one on the same set.
#[derive(Debug, Clone)]
pub struct Strict {
    /// What was found without quirks.
    pub found: Discovered,
    /// Its behaviours file.
    pub behaviors: Vec<TaggedNode>,
    /// The claims that the method supports.
    pub features: Vec<TaggedNode>,
    /// What the useful nodes, and sets of them inside one layer, carry.
    pub carriers: Carriers,
    /// Claims that these make, all of which were put to the method.
    pub candidates: usize,
    /// What the method found of them; `None` where there are none.
    pub evidence: Option<Evidence>,
    /// The published protocol's claims against those its own tests give without quirks.
    pub by_quirks: Changes,
    /// Those against the claims that the method supports.
    pub by_method: Changes,
}

/// Why a model could not be described.
#[derive(Debug, Error)]
pub enum StrictError {
    /// A run went wrong.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The candidates could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// How one list of claims became another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Claims in both.
    pub kept: usize,
    /// Claims new in the second, as `P9L0H1 A2.ST`.
    pub gained: Vec<String>,
    /// Claims that the second lacks.
    pub lost: Vec<String>,
    /// Variables that both claim, of none of the same nodes.
    pub moved: Vec<Moved>,
}

/// A variable that is claimed of other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The variable.
    pub variable: Variable,
    /// The nodes it was claimed of.
    pub from: Vec<NodeName>,
    /// The nodes it is claimed of.
    pub to: Vec<NodeName>,
}

impl Changes {
    /// What changed from one claims file to another; tags that claim no known task are passed over.
    pub fn between(before: &[TaggedNode], after: &[TaggedNode]) -> Self {
        let (before, after) = (by_variable(before), by_variable(after));
        let variables: BTreeSet<Variable> = before.keys().chain(after.keys()).copied().collect();
        let mut changes = Changes::default();
        let none = BTreeSet::new();
        for variable in variables {
            let from = before.get(&variable).unwrap_or(&none);
            let to = after.get(&variable).unwrap_or(&none);
            let kept = from.intersection(to).count();
            changes.kept += kept;
            if kept == 0 && !from.is_empty() && !to.is_empty() {
                changes.moved.push(Moved {
                    variable,
                    from: from.iter().copied().collect(),
                    to: to.iter().copied().collect(),
                });
                continue;
            }
            let named = |node: &NodeName| format!("{node} {variable}");
            changes.gained.extend(to.difference(from).map(named));
            changes.lost.extend(from.difference(to).map(named));
        }
        changes
    }
}

fn by_variable(nodes: &[TaggedNode]) -> BTreeMap<Variable, BTreeSet<NodeName>> {
    let mut found: BTreeMap<Variable, BTreeSet<NodeName>> = BTreeMap::new();
    for claim in claims_of(nodes) {
        if let Ok(variable) = claim.variable {
            found.entry(variable).or_default().insert(claim.node);
        }
    }
    found
}

/// Describes a model by the strict protocol over a question set.
///
/// # Errors
/// [`StrictError`] where a question does not fit the model, or a verification could not be made.
pub fn strict(
    folder: &ModelFolder,
    engine: &Engine,
    set: &[Prompt],
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Strict, StrictError> {
    let (n_digits, operations) = (engine.shape().n_digits, folder.operations());
    let mut phase = |done| {
        progress(Progress {
            phase: "behaviours",
            done,
            of: 2,
        });
    };
    let describe = |quirks: &Quirks| -> Result<_, EngineError> {
        let found = discover(folder, engine, set, quirks, options.seed)?;
        let behaviors = found.behaviors(n_digits, operations, quirks);
        let claims = search(engine, operations, &behaviors, quirks)?;
        Ok((found, behaviors, claims))
    };
    phase(0);
    let (_, _, published) = describe(&Quirks::published())?;
    phase(1);
    let quirks = Quirks::none();
    let (found, behaviors, tested) = describe(&quirks)?;
    phase(2);
    let search = carries::Search::new(
        folder,
        engine,
        carries::Options {
            threshold: options.threshold,
            alpha: options.alpha,
            seed: options.seed,
            ..carries::Options::default()
        },
    )?;
    let nodes: Vec<Node> = found.nodes.iter().map(|useful| useful.node).collect();
    let carriers = search.of_all(&nodes, progress)?;
    let candidates = claims_made(&carriers);
    let evidence = if candidates.is_empty() {
        None
    } else {
        // The attention that claims about attention are held to is that found here.
        let mut folder = folder.clone();
        let bytes = write_tagged_nodes(&behaviors).into_bytes();
        folder.behaviors = Some(RawFile::made(Path::new("behaviors found"), bytes));
        let claims = RawFile::made(
            Path::new("candidate claims"),
            write_claims(&candidates).into_bytes(),
        );
        Some(verify(&folder, Some(&claims), options, progress)?)
    };
    let features = supported(&behaviors, evidence.as_ref());
    Ok(Strict {
        by_quirks: Changes::between(&published, &tested),
        by_method: Changes::between(&tested, &features),
        candidates: candidates.len(),
        carriers,
        found,
        behaviors,
        features,
        evidence,
    })
}

/// The claims that carriers make: of every node of a set, the tasks' variables that it carries, also
/// those that cannot be told there from what it is said to carry.
fn claims_made(carriers: &Carriers) -> BTreeSet<(NodeName, Variable)> {
    let mut claims = BTreeSet::new();
    for carrier in &carriers.carriers {
        for carried in &carrier.carries {
            let quantities = std::iter::once(&carried.quantity).chain(&carried.same_here);
            let variables = quantities.filter_map(|quantity| match quantity {
                Quantity::Task(variable) => Some(*variable),
                Quantity::Column(_) | Quantity::Both(..) => None,
            });
            for variable in variables {
                claims.extend(carrier.nodes.iter().map(|&node| (node, variable)));
            }
        }
    }
    claims
}

/// The behaviours' nodes with the claims that hold: of single nodes, also once other carriers are
/// neutralised, and of sets inside one layer, every member of which is tagged.
fn supported(behaviors: &[TaggedNode], evidence: Option<&Evidence>) -> Vec<TaggedNode> {
    let mut tags: BTreeMap<NodeName, Vec<Tag>> = behaviors
        .iter()
        .map(|tagged| (tagged.node, Vec::new()))
        .collect();
    for claim in evidence.iter().flat_map(|evidence| &evidence.claims) {
        let holders: &[NodeName] = match &claim.verdict {
            Verdict::Supported | Verdict::Redundant { .. } => std::slice::from_ref(&claim.node),
            Verdict::Joint { .. } => &claim.nodes,
            _ => continue,
        };
        if holders.iter().any(|node| node.layer != holders[0].layer) {
            continue;
        }
        let minor = match claim.claim.split_once(' ') {
            Some((_, minor)) => minor,
            None => continue,
        };
        for &node in holders {
            let tag = Tag {
                major: "Algo".into(),
                minor: minor.into(),
            };
            let tags = tags.entry(node).or_default();
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags.into_iter()
        .map(|(node, tags)| TaggedNode {
            node,
            tags,
            extra: serde_json::Map::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::claims::read_tagged_nodes;

    fn claims(list: &[(&str, &str)]) -> Vec<TaggedNode> {
        let claims: Vec<(NodeName, Variable)> = list
            .iter()
            .map(|(node, variable)| {
                let claim = crate::inputs::claims::Claim::parse(node.parse().unwrap(), variable);
                (claim.node, claim.variable.unwrap())
            })
            .collect();
        read_tagged_nodes("claims", write_claims(&claims).as_bytes()).unwrap()
    }

    #[test]
    fn claims_are_kept_gained_lost_or_moved() {
        let before = claims(&[
            ("P9L0H1", "A2.ST"),
            ("P9L0H2", "A1.ST"),
            ("P15L0H1", "A2.SA"),
            ("P16L0H1", "A1.SA"),
        ]);
        let after = claims(&[
            ("P9L0H1", "A2.ST"),
            ("P8L0H2", "A2.ST"),
            ("P11L0H1", "A1.ST"),
            ("P16L0H1", "A1.SA"),
            ("P17L0H1", "A0.SA"),
        ]);
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.kept, 2);
        assert_eq!(changes.gained, ["P17L0H1 A0.SA", "P8L0H2 A2.ST"]);
        assert_eq!(changes.lost, ["P15L0H1 A2.SA"]);
        let [moved] = &changes.moved[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(moved.variable.to_string(), "A1.ST");
        assert_eq!(moved.from, ["P9L0H2".parse().unwrap()]);
        assert_eq!(moved.to, ["P11L0H1".parse().unwrap()]);
    }
}
