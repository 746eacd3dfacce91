//! `represents`: which variables nodes are found to represent.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use circuitcheck::analysis::represents::{CarrierSearch, Carriers, MAX_TRIALS, nodes_text};
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use serde_json::Value;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";

fn program(arguments: &[&str]) -> Output {
    let mut command = common::program();
    command.arg("represents").args(arguments).output().unwrap()
}

struct Model {
    folder: ModelFolder,
    engine: Engine,
}

impl Model {
    fn new(folder: ModelFolder) -> Self {
        let engine = Engine::new(&folder.weights);
        Model { folder, engine }
    }

    fn nodes(&self, names: &[&str]) -> Vec<Node> {
        names
            .iter()
            .map(|name| {
                let name: NodeName = name.parse().unwrap();
                name.resolve(&self.engine.shape()).unwrap()
            })
            .collect()
    }

    fn of_set(&self, names: &[&str]) -> Carriers {
        let search = CarrierSearch::new(
            &self.folder,
            &self.engine,
            Rules {
                max_trials: MAX_TRIALS,
                ..Rules::default()
            },
        )
        .unwrap();
        search.of_set(&self.nodes(names), &mut |_| {}).unwrap()
    }

    /// What the nodes carry together, as text.
    fn carried(&self, names: &[&str]) -> String {
        self.of_set(names).carriers[0].carried_text()
    }
}

#[test]
fn the_heads_claimed_as_base_difference_and_sum_of_digit_0_carry_its_two_digits() {
    let mixed = Model::new(ModelFolder::bundled());
    for (node, carried) in [
        ("P17L0H3", "D0 (ADD, SUB, NEG)"),
        ("P17L0H1", "D'0 (ADD, SUB, NEG)"),
        ("P15L0H3", "D2 (ADD, SUB, NEG)"),
        ("P15L0H1", "D'2 (ADD, SUB, NEG)"),
    ] {
        assert_eq!(mixed.carried(&[node]), carried, "{node}");
    }
    // None of the claimed variables comes near.
    let found = mixed.of_set(&["P17L0H1"]);
    let screened_out = &found.carriers[0].screened_out;
    for claimed in ["A0.SA", "A0.MD", "A0.ND"] {
        let out = screened_out
            .iter()
            .find(|out| out.quantity.to_string() == claimed);
        assert!(out.unwrap().moved < 0.3, "{claimed}: {screened_out:?}");
    }
    // Together they carry the base values, which nothing here tells from the digits' whole.
    assert_eq!(
        mixed.carried(&["P17L0H1", "P17L0H3"]),
        "A0.SA, A0.MD, A0.ND"
    );
}

#[test]
fn a_head_that_computes_a_base_sum_is_told_from_its_digits() {
    let addition = Model::new(ModelFolder::open(Path::new(ADD)).unwrap());
    let found = addition.of_set(&["P17L0H1"]);
    assert_eq!(found.carriers[0].carried_text(), "A0.SA");
    assert!(!found.carriers[0].is_several());
    let score = &found.carriers[0].scores[0];
    assert!(score.holds && score.measures.control_pairs.hits == 0);
    // A carry of two heads: neither carries it alone.
    assert_eq!(addition.carried(&["P8L0H2", "P9L0H1"]), "A2.ST");
    for node in ["P8L0H2", "P9L0H1"] {
        assert!(!addition.carried(&[node]).contains("A2.ST"));
    }
}

#[test]
fn heads_of_two_digits_carry_two_things() {
    let addition = Model::new(ModelFolder::open(Path::new(ADD)).unwrap());
    let found = addition.of_set(&["P17L0H1", "P16L0H1"]);
    let carrier = &found.carriers[0];
    assert_eq!(carrier.carried_text(), "base 0 and base 1 (ADD)");
    assert!(carrier.is_several());
    // Neither base value alone: what the other head moves is no part of it.
    let alone = |score: &&circuitcheck::analysis::represents::QuantityScore| {
        score.quantity.to_string() == "A0.SA"
    };
    assert!(!carrier.scores.iter().find(alone).unwrap().holds);
}

#[test]
fn a_node_that_does_nothing_carries_none_of_these() {
    let addition = Model::new(ModelFolder::open(Path::new(ADD)).unwrap());
    let found = addition.of_set(&["P17L0H0"]);
    assert!(
        found.carriers[0].is_none(),
        "{}",
        found.carriers[0].carried_text()
    );
    assert!(found.carriers[0].screened_out.len() > 3);
}

#[test]
fn every_useful_node_is_asked_and_sets_say_more_than_their_parts() {
    let addition = Model::new(ModelFolder::open(Path::new(ADD)).unwrap());
    let search = CarrierSearch::new(
        &addition.folder,
        &addition.engine,
        Rules {
            max_trials: MAX_TRIALS,
            ..Rules::default()
        },
    )
    .unwrap();
    let nodes = addition.nodes(&[
        "P8L0H2", "P9L0H1", "P9L0H2", "P11L0H1", "P11L0H2", "P17L0H1", "P17L1M0",
    ]);
    let found = search.of_all(&nodes, &mut |_| {}).unwrap();
    let carried: BTreeMap<String, String> = found
        .carriers
        .iter()
        .map(|carrier| (nodes_text(&carrier.nodes), carrier.carried_text()))
        .collect();
    for node in &nodes {
        assert!(carried.contains_key(&node.to_string()), "{carried:?}");
    }
    assert_eq!(carried["P17L0H1"], "A0.SA");
    let pair = carried.get("P8L0H2 P9L0H1").map(String::as_str);
    assert_eq!(pair, Some("A2.ST"), "{carried:?}");
}

#[test]
fn the_command_names_what_is_carried_in_text_and_json() {
    let output = program(&[ADD, "--node", "P17L0H1", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["carriers"][0]["carries"][0]["quantity"], "A0.SA");
    assert!(found["catalogue"].as_u64().unwrap() > 30);
    let text = program(&[ADD, "--node", "P17L0H1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("P17L0H1  A0.SA"), "{text}");
    assert!(
        text.contains("cannot be distinguished from it here"),
        "{text}"
    );
    let error = program(&[ADD, "--node", "P99L0H1"]);
    assert_eq!(error.status.code(), Some(4));
    assert_eq!(program(&["--alpha", "2"]).status.code(), Some(2));
}
