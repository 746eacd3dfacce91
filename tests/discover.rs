//! The published protocol against the files that the published tool made of the bundled models.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;

use circuitcheck::analysis::published::{
    Quirk, Quirks, cluster_tag, clusterings, discover, search,
};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::inputs::claims::{Tag, TaggedNode, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::inputs::claims_diff::Difference;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use serde_json::Value;

use common::published_files;

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

fn tags(nodes: &[TaggedNode]) -> (Tags, Clusters) {
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

/// Clustering tags of a file: node and tag.
type Clusters = BTreeSet<(NodeName, String)>;

/// Behaviours from the published question set are the published ones: nodes, order and every tag but
/// those of clustering, which rest on questions that the published tool does not keep. Returns those,
/// as made and as published.
fn behaviors_are_the_published_ones(name: &str) -> (Clusters, Clusters) {
    let (folder, engine) = model(name);
    let quirks = Quirks::published();
    let found = discover(&folder, &engine, &questions(name), &quirks, 1).unwrap();
    let behaviors = found.behaviors(5, folder.operations(), &quirks);
    let published = published(&folder, false);
    let order = |nodes: &[TaggedNode]| nodes.iter().map(|n| n.node).collect::<Vec<_>>();
    assert_eq!(order(&behaviors), order(&published));
    let ((made, made_clusters), (published, published_clusters)) =
        (tags(&behaviors), tags(&published));
    let differ = differences(&made, &published);
    let shared = made_clusters.intersection(&published_clusters).count();
    println!(
        "{name}: {} nodes, {} tags besides clustering, {} of them differ {differ:#?}",
        made.len(),
        made.values().map(Vec::len).sum::<usize>(),
        differ.len()
    );
    println!(
        "{name}: clustering tags: {} published, {} made, {shared} shared",
        published_clusters.len(),
        made_clusters.len(),
    );
    (made_clusters, published_clusters)
}

/// Claims searched from the published behaviours are the published ones: nodes, order and every tag.
fn claims_are_the_published_ones(name: &str) {
    let (folder, engine) = model(name);
    let behaviors = published(&folder, false);
    let quirks = Quirks::published();
    let made = search(&engine, folder.operations(), &behaviors, &quirks).unwrap();
    let difference = Difference::between(&made, &published(&folder, true));
    assert!(difference.is_empty(), "{difference:#?}");
}

/// How far clustering tags may move. Measured over five seeds: see
/// [`clustering_tags_move_from_draw_to_draw_as_the_published_ones_do`].
struct Tolerance {
    /// Published tags that must be made again.
    shared: f64,
    /// Tags made, over those published.
    made: f64,
}

fn clusters_agree((made, published): (Clusters, Clusters), tolerance: &Tolerance) {
    let shared = made.intersection(&published).count() as f64;
    let count = published.len() as f64;
    assert!(shared >= tolerance.shared * count, "{shared} of {count}");
    assert!(made.len() as f64 <= tolerance.made * count);
}

/// Hardly any of the addition model's heads cluster clearly: two runs of the published tool shared 4
/// and 6 of 7 tags.
const FEW: Tolerance = Tolerance {
    shared: 0.4,
    made: 2.0,
};

/// Where most heads cluster clearly.
const MANY: Tolerance = Tolerance {
    shared: 0.9,
    made: 1.15,
};

#[test]
fn the_addition_models_behaviours_are_the_published_ones() {
    clusters_agree(behaviors_are_the_published_ones(ADD), &FEW);
}

#[test]
fn the_subtraction_models_behaviours_are_the_published_ones() {
    clusters_agree(behaviors_are_the_published_ones(SUB), &MANY);
}

#[test]
fn the_mixed_models_behaviours_are_the_published_ones() {
    clusters_agree(behaviors_are_the_published_ones(MIX), &MANY);
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

/// Two draws of ours differ among themselves about as much as one of them and the published file.
#[test]
fn clustering_tags_move_from_draw_to_draw_as_the_published_ones_do() {
    let (folder, engine) = model(ADD);
    let heads: Vec<Node> = published(&folder, false)
        .iter()
        .map(|tagged| tagged.node.resolve(&engine.shape()).unwrap())
        .filter(|node| node.head().is_some())
        .collect();
    let quirks = Quirks::published();
    let draw = |seed| -> Clusters {
        let found = clusterings(&folder, &engine, &heads, &quirks, seed).unwrap();
        found
            .into_iter()
            .flat_map(|found| {
                let tag = cluster_tag(found.operation, found.digit).to_string();
                let passing = heads.iter().zip(found.clusterings);
                let passing = passing.filter(|(_, clustering)| clustering.passes(&quirks));
                passing
                    .map(|(node, _)| (node.name(), tag.clone()))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let draws: Vec<Clusters> = (1..=5).map(draw).collect();
    let (_, published) = tags(&published(&folder, false));
    for made in &draws {
        let shared = made.intersection(&published).count();
        println!(
            "{} made, {shared} of {} published",
            made.len(),
            published.len()
        );
    }
    let moved = draws
        .windows(2)
        .map(|pair| pair[0].symmetric_difference(&pair[1]).count());
    assert!(moved.min().unwrap() > 0, "no draw moved a tag");
    assert_eq!(draws[0], draw(1), "the same seed gives the same tags");
}

#[test]
fn a_search_deletes_claims_as_substrings_only_by_the_quirk() {
    let (folder, engine) = model(ADD);
    let mut behaviors = published(&folder, false);
    let tag = |text: &str| text.parse::<Tag>().unwrap();
    behaviors[0].tags.push(tag("Algo:A1.STC"));
    behaviors[0].tags.push(tag("Algo:A1.ST"));
    let claims = |quirks: &Quirks| {
        let found = search(&engine, folder.operations(), &behaviors, quirks).unwrap();
        found[0].tags.clone()
    };
    // P6L0H1 is tagged A4.ST by its own test.
    assert_eq!(claims(&Quirks::published()), [tag("Algo:A4.ST")]);
    let exact = Quirks::published().without(Quirk::TagSubstring);
    assert_eq!(claims(&exact), [tag("Algo:A1.STC"), tag("Algo:A4.ST")]);
}

#[test]
fn every_published_file_is_the_same_once_read_and_written() {
    let files = published_files();
    assert_eq!(files.len(), 3);
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let nodes = read_tagged_nodes("file", &bytes).unwrap();
        let written = write_tagged_nodes(&nodes);
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(
            value(written.as_bytes()),
            value(&bytes),
            "{}",
            path.display()
        );
        let again = read_tagged_nodes("file", written.as_bytes()).unwrap();
        assert_eq!(write_tagged_nodes(&again), written);
    }
}

fn program(arguments: &[&str]) -> Output {
    common::program().args(arguments).output().unwrap()
}

#[test]
fn every_published_file_is_summarised() {
    for path in published_files() {
        let path = path.display().to_string();
        let output = program(&["show", "--features-only", &path, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{path}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!shown["nodes"].as_array().unwrap().is_empty());
        assert_eq!(shown["untestable"], Value::Array(Vec::new()), "{path}");
    }
}

#[test]
fn discover_writes_the_same_bytes_for_any_number_of_threads_and_diff_finds_nothing() {
    let folder = format!("models/{ADD}");
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).display().to_string();
    let printed: Vec<Vec<u8>> = ["1", "2"]
        .into_iter()
        .map(|threads| {
            let made = path(threads);
            let arguments = [
                "discover",
                &folder,
                "--out",
                &made,
                "--threads",
                threads,
                "--seed",
                "7",
                "--json",
            ];
            let output = program(&arguments);
            assert_eq!(output.status.code(), Some(0));
            output.stdout
        })
        .collect();
    assert_eq!(printed[0], printed[1]);
    for file in ["behaviors.json", "features.json"] {
        let (a, b) = (path(&format!("1/{file}")), path(&format!("2/{file}")));
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        let output = program(&["diff", &a, &b]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout, b"nothing differs\n");
    }
    // The published set was another one.
    let output = program(&[
        "diff",
        &format!("{folder}/behaviors.json"),
        &path("1/behaviors.json"),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let difference: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!difference["nodes"].as_array().unwrap().is_empty());
}

#[test]
fn discover_does_not_overwrite_the_files_of_the_model() {
    let folder = format!("models/{ADD}");
    let output = program(&["discover", &folder, "--out", &format!("{folder}/.")]);
    assert_eq!(output.status.code(), Some(4));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("is the model's own folder"), "{stderr}");
}

#[test]
fn diff_names_the_file_that_is_not_there() {
    let output = program(&["diff", "no/such.json", "no/other.json"]);
    assert_eq!(output.status.code(), Some(4));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: no/such.json"), "{stderr}");
}
