//! The published protocol against the files that the published tool made of the bundled models.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use circuitcheck::arithmetic::Prompt;
use circuitcheck::claims::{TaggedNode, read_tagged_nodes};
use circuitcheck::discover::{Discovered, Quirks, discover, search};
use circuitcheck::engine::Engine;
use circuitcheck::model::ModelFolder;
use circuitcheck::node::NodeName;

const ADD: &str = "w126_add_d5_l2_h3_t15K_s372001";
const SUB: &str = "w126_sub_d5_l2_h3_t30K_s372001";
const MIX: &str = "w126_mix_d5_l3_h4_t40K_s372001";

fn model(name: &str) -> (ModelFolder, Engine) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("models")
        .join(name);
    let folder = ModelFolder::open(&folder).unwrap();
    let engine = Engine::new(&folder.weights);
    (folder, engine)
}

/// The question set from which the published tool made a model's files.
fn questions(name: &str) -> Vec<Prompt> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
        .join("questions.json");
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    texts
        .iter()
        .map(|text| Prompt::parse(text, 5).unwrap())
        .collect()
}

fn published(folder: &ModelFolder, features: bool) -> Vec<TaggedNode> {
    let file = if features {
        &folder.features
    } else {
        &folder.behaviors
    };
    read_tagged_nodes("published", &file.as_ref().unwrap().bytes).unwrap()
}

/// Tags of each node, in order, those of tri-case clustering apart.
type Tags = BTreeMap<NodeName, Vec<String>>;

fn tags(nodes: &[TaggedNode]) -> (Tags, BTreeSet<(NodeName, String)>) {
    let mut plain = Tags::new();
    let mut clusters = BTreeSet::new();
    for tagged in nodes {
        let list = plain.entry(tagged.node).or_default();
        for tag in tagged.tags.iter().map(ToString::to_string) {
            if tag.starts_with("Math.") && tag.ends_with('P') {
                clusters.insert((tagged.node, tag));
            } else {
                list.push(tag);
            }
        }
    }
    (plain, clusters)
}

fn percents(tags: &[String]) -> Vec<Option<(String, i64)>> {
    tags.iter()
        .map(|tag| {
            let text = tag.strip_prefix("Fail%:").map(|percent| ("Fail%", percent));
            let text = text.or_else(|| tag.split_once('=').filter(|_| tag.starts_with("Attn:")));
            text.map(|(what, percent)| (what.to_owned(), percent.parse().unwrap()))
        })
        .collect()
}

/// The tags that differ, each with the node and both spellings. Fails where more than a percent
/// differs, or that by more than one.
fn differences(made: &Tags, published: &Tags) -> Vec<String> {
    let nodes = |tags: &Tags| tags.keys().copied().collect::<Vec<_>>();
    assert_eq!(nodes(made), nodes(published));
    let mut found = Vec::new();
    for (node, published) in published {
        let made = &made[node];
        if made == published {
            continue;
        }
        found.push(format!("{node}: {published:?} published, {made:?} made"));
        assert_eq!(made.len(), published.len(), "{found:?}");
        for (a, b) in percents(made).into_iter().zip(percents(published)) {
            if let (Some((a, x)), Some((b, y))) = (a, b) {
                assert!(a == b && (x - y).abs() <= 1, "{found:?}");
            }
        }
        let rest = |tags: &[String]| -> Vec<String> {
            let kept = tags.iter().zip(percents(tags)).filter(|(_, p)| p.is_none());
            kept.map(|(tag, _)| tag.clone()).collect()
        };
        assert_eq!(rest(made), rest(published), "{node}");
    }
    found
}

fn made(name: &str, seed: u64) -> (Discovered, Vec<TaggedNode>, ModelFolder) {
    let (folder, engine) = model(name);
    let quirks = Quirks::published();
    let found = discover(&folder, &engine, &questions(name), &quirks, seed).unwrap();
    let behaviors = found.behaviors(5, folder.operations(), &quirks);
    (found, behaviors, folder)
}

/// Behaviours from the published question set, the published clustering tags apart: nodes, order and
/// every tag.
fn behaviors_are_the_published_ones(
    name: &str,
) -> (BTreeSet<(NodeName, String)>, BTreeSet<(NodeName, String)>) {
    let (_, behaviors, folder) = made(name, 1);
    let published = published(&folder, false);
    let order = |nodes: &[TaggedNode]| nodes.iter().map(|n| n.node).collect::<Vec<_>>();
    assert_eq!(order(&behaviors), order(&published));
    let ((made, made_clusters), (published, published_clusters)) =
        (tags(&behaviors), tags(&published));
    let differ = differences(&made, &published);
    println!(
        "{name}: {} nodes, {} differ: {differ:#?}",
        made.len(),
        differ.len()
    );
    println!(
        "clustering tags: {} published, {} made, {} shared",
        published_clusters.len(),
        made_clusters.len(),
        made_clusters.intersection(&published_clusters).count()
    );
    (made_clusters, published_clusters)
}

/// Claims searched from the published behaviours: nodes, order and every tag.
fn claims_are_the_published_ones(name: &str) {
    let (folder, engine) = model(name);
    let quirks = Quirks::published();
    let behaviors = published(&folder, false);
    let made = search(&engine, folder.operations(), &behaviors, &quirks).unwrap();
    let (made, published) = (made, published(&folder, true));
    for (made, published) in made.iter().zip(&published) {
        if made != published {
            println!("{made:?}\n{published:?}");
        }
    }
    assert!(made == published);
}

#[test]
fn the_addition_models_behaviours_are_the_published_ones() {
    behaviors_are_the_published_ones(ADD);
}

#[test]
fn the_subtraction_models_behaviours_are_the_published_ones() {
    behaviors_are_the_published_ones(SUB);
}

#[test]
fn the_mixed_models_behaviours_are_the_published_ones() {
    behaviors_are_the_published_ones(MIX);
}

#[test]
fn the_addition_models_claims_are_the_published_ones() {
    claims_are_the_published_ones(ADD);
}

#[test]
fn the_subtraction_models_claims_are_the_published_ones() {
    claims_are_the_published_ones(SUB);
}

#[test]
fn the_mixed_models_claims_are_the_published_ones() {
    claims_are_the_published_ones(MIX);
}
