//! The strict protocol: no quirks, and only claims that the method supports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thiserror::Error;

use super::evidence_map::combined_by;
use super::represents::{self, Carriers};
use crate::domain::arithmetic::Prompt;
use crate::domain::causal::Quantity;
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::experiment::Rules;
use crate::inputs::claims::{Tag, TaggedNode, write_claims, write_tagged_nodes};
use crate::inputs::model::{ModelFolder, RawFile};
use crate::network::engine::{Engine, EngineError};
use crate::verify::evidence::Evidence;
use crate::verify::{Options, Progress, Verdict, VerifyError, verify};

use super::published::{Changes, Description, Discovered, Quirks, describe};

/// A model described by the strict protocol, and compared with the published one on the same
/// question set.
#[derive(Debug, Clone)]
pub struct Strict {
    /// The description without quirks.
    pub found: Discovered,
    pub behaviors: Vec<TaggedNode>,
    /// The claims that the method supports.
    pub features: Vec<TaggedNode>,
    /// The variables that useful nodes, and sets of them within one layer, represent.
    pub carriers: Carriers,
    /// Claims that follow from these, all of which were verified.
    pub candidates: usize,
    /// The verdicts on them; `None` if there are none.
    pub evidence: Option<Evidence>,
    /// The published protocol's claims, compared with those its own tests give without quirks.
    pub by_quirks: Changes,
    /// The latter, compared with the claims that the method supports.
    pub by_method: Changes,
}

/// Why a model could not be described.
#[derive(Debug, Error)]
pub enum StrictError {
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The candidates could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Describes a model by the strict protocol over a question set. With `combiners`, STC and its kin are among
/// the candidates, of the last MLP of each position where a digit is predicted.
///
/// # Errors
/// [`StrictError`] where a question does not fit the model, or the candidates cannot be verified.
pub fn strict(
    folder: &ModelFolder,
    engine: &Engine,
    set: &[Prompt],
    options: &Options,
    combiners: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Strict, StrictError> {
    let mut phase = |done| {
        progress(Progress {
            phase: "behaviours",
            done,
            of: 2,
        });
    };
    let describe = |quirks| describe(folder, engine, set, &quirks, options.rules.seed, None);
    phase(0);
    let published = describe(Quirks::published())?.features;
    phase(1);
    let Description {
        found,
        behaviors,
        features: tested,
    } = describe(Quirks::none())?;
    phase(2);
    let rules = Rules {
        max_trials: represents::MAX_TRIALS,
        ..options.rules
    };
    let search = represents::CarrierSearch::new(folder, engine, rules)?;
    let nodes: Vec<Node> = found.nodes.iter().map(|useful| useful.node).collect();
    let carriers = search.of_all(&nodes, progress)?;
    let mut candidates = claims_made(&carriers);
    if combiners {
        let shape = engine.shape();
        candidates.extend(nodes.iter().flat_map(|&node| {
            let combined = combined_by(&shape, folder.operations(), node).into_iter();
            combined.map(move |(_, variable)| (node.name(), variable))
        }));
    }
    let evidence = if candidates.is_empty() {
        None
    } else {
        // Claims about attention are checked against the attention found here.
        let mut folder = folder.clone();
        let bytes = write_tagged_nodes(&behaviors).into_bytes();
        folder.behaviors = Some(RawFile::made(Path::new("discovered behaviors"), bytes));
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

/// The claims that follow from `carriers`: for every node of a set, the task variables that it
/// represents, including those that cannot be distinguished from them there.
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

/// The behaviours' nodes with the claims that hold: of single nodes, also with other carriers
/// mean-ablated, and of sets within one layer, where every member is tagged.
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
        let Some((_, minor)) = claim.claim.split_once(' ') else {
            continue;
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
