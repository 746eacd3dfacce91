//! How much the published protocol's figures change when one of its quirks is removed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::arithmetic::Prompt;
use crate::domain::node::{Node, NodeName};
use crate::inputs::claims::TaggedNode;
use crate::inputs::model::ModelFolder;
use crate::network::engine::{Engine, EngineError};

use super::changes::Changes;
use super::quirk::{Quirk, Quirks};
use super::search::search;
use super::{Clustered, Discovered, clusterings, useful};

/// The changes when one quirk is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuirkEffect {
    pub quirk: Quirk,
    pub nodes_gained: usize,
    /// Nodes that are no longer useful.
    pub nodes_lost: usize,
    /// Nodes useful with and without it whose Fail% changes.
    pub fail_moved: usize,
    /// The largest of those changes, in percentage points.
    pub fail_most: u64,
    /// Of the same nodes, those whose impact changes.
    pub impact_moved: usize,
    /// Of the same nodes, those with a changed complexity tag.
    pub math_moved: usize,
    /// Clustering tags gained on the same nodes.
    pub clusters_gained: usize,
    /// Clustering tags lost on the same nodes.
    pub clusters_lost: usize,
    /// Changes to the claims that the search finds.
    pub claims: Changes,
}

/// The effect of removing each quirk, keeping all others, on one question set. Clustering uses the
/// single draw given by `seed`.
///
/// # Errors
/// As [`crate::analysis::published::discover`].
pub fn effects(
    folder: &ModelFolder,
    engine: &Engine,
    set: &[Prompt],
    seed: u64,
) -> Result<Vec<QuirkEffect>, EngineError> {
    let published = Quirks::published();
    let own_layer = published.clone().without(Quirk::FirstLayerMeans);
    let unblurred = published.clone().without(Quirk::BlurredCases);
    let with = useful(engine, set, &published)?;
    let without = useful(engine, set, &own_layer)?;
    let mut heads: Vec<Node> = [with.heads(), without.heads()].concat();
    heads.sort();
    heads.dedup();
    let drawn = |quirks: &Quirks| clusterings(folder, engine, &heads, quirks, seed);
    let (blurred, sharp) = (drawn(&published)?, drawn(&unblurred)?);
    let describe = |found: &Discovered, clustered: &[Clustered], quirks: &Quirks| {
        let mut found = found.clone();
        found.cluster(&heads, clustered, quirks);
        let operations = folder.operations();
        let behaviors = found.behaviors(engine.shape().n_digits, operations, quirks);
        let claims = search(engine, operations, &behaviors, quirks)?;
        Ok::<_, EngineError>((behaviors, claims))
    };
    let before = describe(&with, &blurred, &published)?;
    Quirk::all()
        .map(|quirk| {
            let quirks = published.clone().without(quirk);
            let found = match quirk {
                Quirk::FirstLayerMeans => &without,
                _ => &with,
            };
            let clustered = match quirk {
                Quirk::BlurredCases => &sharp,
                _ => &blurred,
            };
            let after = describe(found, clustered, &quirks)?;
            Ok(compare(quirk, &before, &after))
        })
        .collect()
}

type Described = (Vec<TaggedNode>, Vec<TaggedNode>);

fn compare(quirk: Quirk, before: &Described, after: &Described) -> QuirkEffect {
    let by_name = |nodes: &[TaggedNode]| -> BTreeMap<NodeName, TaggedNode> {
        nodes.iter().map(|n| (n.node, n.clone())).collect()
    };
    let (first, second) = (by_name(&before.0), by_name(&after.0));
    let missing = |from: &BTreeMap<NodeName, _>, to: &BTreeMap<NodeName, TaggedNode>| {
        from.keys().filter(|node| !to.contains_key(node)).count()
    };
    let mut effect = QuirkEffect {
        quirk,
        nodes_gained: missing(&second, &first),
        nodes_lost: missing(&first, &second),
        fail_moved: 0,
        fail_most: 0,
        impact_moved: 0,
        math_moved: 0,
        clusters_gained: 0,
        clusters_lost: 0,
        claims: Changes::between(&before.1, &after.1),
    };
    for (node, first) in &first {
        let Some(second) = second.get(node) else {
            continue;
        };
        let moved = fail_percent(first).abs_diff(fail_percent(second));
        effect.fail_moved += usize::from(moved > 0);
        effect.fail_most = effect.fail_most.max(moved);
        let of = |tagged: &TaggedNode, keep: fn(&str, &str) -> bool| -> Vec<String> {
            let tags = tagged.tags.iter();
            tags.filter(|tag| keep(&tag.major, &tag.minor))
                .map(ToString::to_string)
                .collect()
        };
        let differ =
            |keep: fn(&str, &str) -> bool| usize::from(of(first, keep) != of(second, keep));
        effect.impact_moved += differ(|major, _| major == "Impact");
        effect.math_moved +=
            differ(|major, minor| major.starts_with("Math") && !minor.contains('.'));
        let is_cluster =
            |major: &str, minor: &str| major.starts_with("Math") && minor.contains('.');
        let (old, new) = (of(first, is_cluster), of(second, is_cluster));
        effect.clusters_gained += new.iter().filter(|tag| !old.contains(tag)).count();
        effect.clusters_lost += old.iter().filter(|tag| !new.contains(tag)).count();
    }
    effect
}

fn fail_percent(tagged: &TaggedNode) -> u64 {
    let tag = tagged.tags.iter().find(|tag| tag.major == "Fail%");
    tag.and_then(|tag| tag.minor.parse().ok())
        .expect("every useful node has a percent")
}
