//! The tags of 2026 on networks of which it is known what they say: one written by hand, where the MLP of
//! layer 0 writes the carry where the digit above is predicted and heads of layer 1 are idle, and the
//! bundled mixed model, whose last heads fetch the carry.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use circuitcheck::analysis::evidence_map::{
    Lab, MapOptions, MapQuantity, MapReading, MapReadings, MapTagAssay, combiners_published,
    find_tags, measure_tags,
};
use circuitcheck::domain::arithmetic::{AnswerToken, Class};
use circuitcheck::domain::node::Node;
use circuitcheck::experiment::Baseline;
use circuitcheck::inputs::claims::Tag;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::addition;
use serde_json::Value;

const OPTIONS: MapOptions = MapOptions {
    alpha: 0.01,
    seed: 1,
};

fn in_lab<T>(folder: &ModelFolder, ask: impl FnOnce(&Lab) -> T) -> T {
    let engine = Engine::new(&folder.weights);
    let baseline =
        Baseline::measure(&engine, folder.operations(), OPTIONS.alpha, OPTIONS.seed).unwrap();
    ask(&Lab::new(folder, &engine, &baseline, OPTIONS))
}

fn tag(text: &str) -> Tag {
    let (major, minor) = text.split_once(':').unwrap();
    Tag {
        major: major.into(),
        minor: minor.into(),
    }
}

/// What is measured of the quantities of tags, by tag.
fn measured(folder: &ModelFolder, tags: &[&str]) -> BTreeMap<MapQuantity, MapReadings> {
    let quantities: BTreeSet<MapQuantity> = (tags.iter())
        .map(|text| MapQuantity::of(&tag(text)).unwrap())
        .collect();
    in_lab(folder, |lab| {
        measure_tags(lab, &quantities, &mut |_, _| {}).unwrap()
    })
}

/// Whether every reading is what a tag says.
fn all_say(readings: &[MapReading], text: &str) -> bool {
    let said = MapReading::Said(text.split_once(':').unwrap().1.to_owned());
    !readings.is_empty() && readings.iter().all(|reading| *reading == said)
}

/// The MLP of the last layer where a digit is predicted.
fn combiner(folder: &ModelFolder, digit: usize) -> Node {
    let shape = folder.weights.shape();
    let position = shape.predicting(AnswerToken(digit));
    let nodes = Node::all_at(&shape, position, shape.n_layers - 1);
    nodes
        .into_iter()
        .find(|node| node.head().is_none())
        .unwrap()
}

#[test]
fn a_carry_that_the_stream_brings_is_delivered_by_it_and_by_no_head() {
    let folder = addition(4).claiming([]);
    let tags = [
        "Probe:DELIVERY.ADD=res",
        "Edge:A2.STC<-L0H2",
        "Edge:A2.STC<-L1H0",
    ];
    let found = measured(&folder, &tags);
    let delivery = &found[&MapQuantity::Delivery(Class::Add)];
    assert!(all_say(&delivery.published, tags[0]), "{delivery:?}");
    assert!(all_say(&delivery.sound, tags[0]), "{delivery:?}");
    for edge in &tags[1..] {
        let readings = &found[&MapQuantity::of(&tag(edge)).unwrap()];
        assert!(readings.published.is_empty());
        assert!(all_say(&readings.sound, "Edge:"), "{edge}: {readings:?}");
    }
}

#[test]
fn a_carry_is_read_where_the_network_first_writes_it() {
    let folder = addition(4).claiming([]);
    let shape = folder.weights.shape();
    // A head of layer 0 adds up what lies below the highest column, where the highest answer digit is predicted.
    let deferred = shape.predicting(AnswerToken(4)) - shape.second_operand(0);
    let (layer, defer) = (
        "Probe:A3.CARRYLAYER=0",
        format!("Probe:A3.CARRYDEFER={deferred}"),
    );
    let found = measured(&folder, &[layer, &defer]);
    for text in [layer, &defer] {
        let readings = &found[&MapQuantity::of(&tag(text)).unwrap()];
        assert!(all_say(&readings.published, text), "{text}: {readings:?}");
        assert!(all_say(&readings.sound, text), "{text}: {readings:?}");
    }
}

#[test]
fn edges_of_the_mixed_model_are_those_of_the_heads_that_fetch_the_carry() {
    let folder = ModelFolder::bundled();
    let node = combiner(&folder, 3);
    let tags = in_lab(&folder, |lab| {
        find_tags(lab, &[node], MapTagAssay::Sound, &mut |_, _| {}).unwrap()
    });
    let texts: Vec<String> = tags[&node].iter().map(ToString::to_string).collect();
    // One head tells the borrow of negative answers by itself; no head of an earlier layer tells any.
    let edges: Vec<&String> = texts
        .iter()
        .filter(|text| text.starts_with("Edge:"))
        .collect();
    assert_eq!(edges, ["Edge:A3.NTC<-L2H3"], "{texts:?}");
    assert!(
        texts.contains(&"Probe:DELIVERY.ADD=att".to_owned()),
        "{texts:?}"
    );
    // As published, edges are not written.
    let published = in_lab(&folder, |lab| {
        find_tags(lab, &[node], MapTagAssay::Published, &mut |_, _| {}).unwrap()
    });
    assert!(!published[&node].iter().any(|tag| tag.major == "Edge"));
    assert!(published[&node].contains(&tag("Probe:DELIVERY.ADD=att")));
}

#[test]
fn the_published_technique_tags_the_last_mlp_for_every_class_and_no_other_node() {
    let folder = ModelFolder::bundled();
    let engine = Engine::new(&folder.weights);
    let shape = folder.weights.shape();
    let tags = |node| -> Vec<String> {
        let tags = combiners_published(&engine, folder.operations(), node).unwrap();
        tags.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        tags(combiner(&folder, 2)),
        ["Algo:A2.STC", "Algo:A2.MTC", "Algo:A2.NTC"]
    );
    // Neither a head nor an MLP before the last layer.
    for node in Node::all_at(&shape, shape.predicting(AnswerToken(2)), 0) {
        assert!(tags(node).is_empty(), "{}", node.name());
    }
}

#[test]
fn a_probe_of_a_position_s_own_token_holds_as_published_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("behaviors.json");
    let model = "models/w126_add_d5_l2_h3_t15K_s372001";
    let text = r#"[{"position":7,"layer":0,"is_head":true,"num":1,"tags":
        ["Probe:A3.LINXFER=100","Probe:A3.LINXFER=40","Probe:A2.LINXFER=100","Edge:A3.STC<-L0H9","Edge:A99.STC<-L7H0",
        "Probe:A18446744073709551615.CARRYLAYER=1","Probe:X=1"]}]"#;
    std::fs::write(&path, text).unwrap();
    let named = format!("--behaviors={}", path.display());
    let arguments = [
        "verify", model, &named, "--sets", "2", "--node", "P7L0H1", "--json",
    ];
    let output = common::program().args(arguments).output().unwrap();
    let evidence: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let tags = evidence["tags"].as_array().unwrap();
    let verdicts: Vec<&str> = tags
        .iter()
        .map(|tag| tag["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(
        verdicts,
        [
            "only-as-published",
            "not-reproduced",
            "not-reproduced",
            "not-reproduced",
            "not-reproduced",
            "not-reproduced",
            "not-measured"
        ],
        "{evidence:#}"
    );
}
