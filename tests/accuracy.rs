//! `accuracy`: what is counted, how it is stated, and that an interruption changes nothing.

mod common;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use circuitcheck::domain::arithmetic::{Operation, Prompt, Question};
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::reference::Network;
use serde_json::Value;

const SUB: &str = "models/w126_sub_d5_l2_h3_t30K_s372001";
const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";

const SUCCESS: i32 = 0;
const USAGE: i32 = 2;
const INPUT: i32 = 4;

fn program(arguments: &[&str]) -> Command {
    let mut command = common::program();
    command.arg("accuracy").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = program(arguments).arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(SUCCESS), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr
}

#[test]
fn the_wrong_answers_of_an_exhausted_space_are_those_of_the_plain_forward_pass() {
    let folder = ModelFolder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(SUB)).unwrap();
    let network = Network::load(&folder.weights).unwrap();
    let prompts: Vec<Prompt> = (0..=2)
        .flat_map(|a| (9950..=10_049).map(move |b| Question::new(a, Operation::Sub, b, 5)))
        .map(Prompt::truth)
        .collect();
    let expected: Vec<(String, String)> = prompts
        .iter()
        .zip(network.forward(&prompts, &[]).unwrap())
        .filter(|(prompt, logits)| logits.answer() != prompt.forced)
        .map(|(prompt, logits)| (prompt.question.to_string(), logits.answer().to_string()))
        .collect();
    assert!(!expected.is_empty());

    let found = json(&[SUB, "--exhaustive", "--a", "0..2", "--b", "9950..10049"]);
    let text = |wrong: &Value, key: &str| wrong[key].as_str().unwrap().to_owned();
    let wrong: Vec<(String, String)> = found["wrong_answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wrong| (text(wrong, "question"), text(wrong, "answer")))
        .collect();
    assert_eq!(wrong, expected);
    assert_eq!(found["questions"], 300);
    assert_eq!(found["wrong"], expected.len());
    // A fact, not an estimate.
    let counts = &found["classes"][0];
    for share in [&found, counts, &counts["complexities"][0]] {
        assert!(share["lower"].is_null() && share["nines_at_least"].is_null());
    }
}

#[test]
fn wrong_answers_past_the_cap_are_counted_and_said_to_be() {
    let corner = [SUB, "--exhaustive", "--a", "0..2", "--b", "9950..10049"];
    let all = json(&corner)["wrong"].as_u64().unwrap();
    let capped = json(&[&corner[..], &["--keep", "1"]].concat());
    assert_eq!(capped["wrong_answers"].as_array().unwrap().len(), 1);
    assert_eq!(capped["not_kept"], all - 1);
    let text = run(&[&corner[..], &["--keep", "1"]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    let said = format!("and {} that were only counted", all - 1);
    assert!(
        text.contains(&said) && text.contains("all there are"),
        "{text}"
    );
}

#[test]
fn a_sample_states_intervals_and_is_the_same_for_any_number_of_threads() {
    let sample = [ADD, "--count", "2500", "--enriched", "--seed", "5"];
    let one = json(&[&sample[..], &["--threads", "1"]].concat());
    let three = json(&[&sample[..], &["--threads", "3"]].concat());
    assert_eq!(one, three);
    assert_eq!(one["questions"], 2500);
    assert_eq!(one["source"]["drawn"], "enriched");
    let bound = |key: &str| one[key].as_f64().unwrap();
    assert!(bound("lower") < bound("accuracy") && bound("accuracy") <= bound("upper"));
    let parts = one["classes"][0]["complexities"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|p| p["questions"].as_u64().unwrap()).sum();
    assert_eq!(sum, 2500);
    let other = json(&[ADD, "--count", "2500", "--enriched", "--seed", "6"]);
    assert_ne!(one["classes"], other["classes"]);
}

#[test]
fn a_row_of_questions_that_becomes_longer_goes_on_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sub.json");
    let file = file.to_str().unwrap();
    let straight = json(&[SUB, "--count", "5500"]);
    json(&[SUB, "--count", "3000", "--resume", file]);
    let output = run(&[SUB, "--count", "5500", "--resume", file, "--json"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("3000 of 5500 questions were asked before"),
        "{stderr}"
    );
    let longer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(longer, straight);
    // Done, it is only read; and what it holds is no part of fewer questions.
    assert_eq!(json(&[SUB, "--count", "5500", "--resume", file]), straight);
    let error = refusal(INPUT, &[SUB, "--count", "5000", "--resume", file]);
    assert!(error.contains("contains 5500 questions"), "{error}");
    let error = refusal(INPUT, &[SUB, "--count", "6000", "--resume", file]);
    assert!(error.contains("not a valid part of the 6000"), "{error}");
}

/// A measurement of hours that has saved in `path` at least once.
fn long_measurement(path: &Path) -> Child {
    let file = path.to_str().unwrap();
    let child = program(&[SUB, "--count", "100000000", "--resume", file])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing saved");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn a_measurement_that_is_killed_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub.json");
    let file = path.to_str().unwrap();
    let mut child = long_measurement(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    let saved: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let count = (saved["done"].as_u64().unwrap() + 1000).to_string();
    let resumed = json(&[SUB, "--count", &count, "--resume", file]);
    assert_eq!(resumed, json(&[SUB, "--count", &count]));
}

#[test]
fn two_measurements_do_not_save_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub.json");
    let file = path.to_str().unwrap();
    let mut first = long_measurement(&path);
    let refused = refusal(INPUT, &[SUB, "--count", "1000", "--resume", file]);
    let holder = format!(
        "in use by another circuitcheck accuracy: process {}",
        first.id()
    );
    assert!(refused.contains(&holder), "{refused}");
    first.kill().unwrap();
    first.wait().unwrap();
    json(&[SUB, "--count", "100000", "--resume", file]);
}

#[test]
fn the_file_of_another_measurement_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub.json");
    let file = path.to_str().unwrap();
    json(&[SUB, "--count", "1000", "--resume", file]);
    let before = std::fs::read(&path).unwrap();
    for (others, key) in [
        (vec![ADD, "--count", "1000"], "operations"),
        (vec![SUB, "--count", "1000", "--seed", "2"], "source"),
        (
            vec![SUB, "--count", "1000", "--decode", "free-running"],
            "decode",
        ),
        (vec![SUB, "--count", "1000", "--keep", "3"], "keep"),
    ] {
        let error = refusal(INPUT, &[&others[..], &["--resume", file]].concat());
        assert!(error.contains(&format!("({key}: ")), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, &before[..before.len() / 2]).unwrap();
    let error = refusal(INPUT, &[SUB, "--count", "1000", "--resume", file]);
    assert!(error.contains("sub.json"), "{error}");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for arguments in [
        &["--exhaustive", "--count", "5"][..],
        &["--exhaustive", "--enriched"],
        &["--a", "0..9"],
        &["--exhaustive", "--a", "9..0"],
        &["--count", "0"],
    ] {
        refusal(USAGE, arguments);
    }
    let error = refusal(INPUT, &["--exhaustive", "--b", "0..100000"]);
    assert!(
        error.contains("more digits than the model's operands (5)"),
        "{error}"
    );
    let error = refusal(
        INPUT,
        &["--count", "1000", "--resume", "Cargo.toml/deep/file.json"],
    );
    assert!(error.contains("Cargo.toml"), "{error}");
}

#[test]
fn a_finished_measurement_leaves_only_its_lock_behind() {
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(ADD);
    let output = program(&[model.to_str().unwrap(), "--count", "2000"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(SUCCESS));
    let reports = folder
        .path()
        .join("reports")
        .join(model.file_name().unwrap());
    for file in std::fs::read_dir(reports).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(path.extension().unwrap(), "lock", "{}", path.display());
    }
}
