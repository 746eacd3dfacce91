//! `coverage`: what hurts and is not claimed.

mod common;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";

fn program(arguments: &[&str]) -> Output {
    let mut command = common::program();
    command.arg("coverage").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = program(&[arguments, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The hurt of one node, if its ablation hurts.
fn of<'a>(found: &'a Value, node: &str) -> Option<&'a Value> {
    let hurts = found["hurts"].as_array().unwrap();
    hurts.iter().find(|hurt| hurt["nodes"][0] == node)
}

#[test]
fn a_claim_explains_the_tokens_it_can_change_and_no_others() {
    let found = json(&[ADD, "--questions", "128"]);
    // The base sum of digit 0 is claimed of this head, and nothing else hurts without it.
    let claimed = of(&found, "P17L0H1").unwrap();
    assert_eq!(claimed["claims"], serde_json::json!(["A0.SA"]));
    assert_eq!(claimed["harms"][0]["tokens"], serde_json::json!(["A0"]));
    assert_eq!(claimed["unexplained"], serde_json::json!([]));
    // The MLPs add it up; no claim speaks of them.
    let mlp = of(&found, "P17L1M0").unwrap();
    assert_eq!(mlp["claims"], serde_json::json!([]));
    assert_eq!(mlp["unexplained"], serde_json::json!(["A0"]));
    assert!(found["unclaimed"].as_u64().unwrap() > 0);
    let load_bearing = found["load_bearing"].as_u64().unwrap();
    assert!(load_bearing > found["unclaimed"].as_u64().unwrap());
}

#[test]
fn without_its_claim_a_load_bearing_node_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("features.json");
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join(ADD);
    let text = std::fs::read_to_string(published.join("features.json")).unwrap();
    assert!(text.contains("Algo:A0.SA"));
    std::fs::write(&file, text.replace("Algo:A0.SA", "Algo:A1.SA")).unwrap();
    let file = file.to_str().unwrap();
    let found = json(&[ADD, "--questions", "128", "--features", file]);
    let node = of(&found, "P17L0H1").unwrap();
    assert_eq!(node["unexplained"], serde_json::json!(["A0"]));
    assert!(found["claimed_for_other"].as_u64().unwrap() > 0);
    let text = program(&[ADD, "--questions", "128", "--features", file]);
    let text = String::from_utf8(text.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("P17L0H1 "));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("ADD") && line.ends_with("A0           A1.SA"),
        "{line}"
    );
    assert!(text.contains("nodes are load-bearing"), "{text}");
}
