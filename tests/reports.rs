//! The reports in the repository are what the program makes of the bundled models today.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use circuitcheck::analysis::circuit::CircuitEvidence;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::report::summary_schema;
use circuitcheck::verify::evidence::{Evidence, EvidenceError, evidence_schema, schema_text};
use circuitcheck::verify::{Options, verify};
use serde_json::Value;
use tempfile::TempDir;

use common::root;

const ADD: &str = "w126_add_d5_l2_h3_t15K_s372001";
const SUB: &str = "w126_sub_d5_l2_h3_t30K_s372001";
const MIX: &str = "w126_mix_d5_l3_h4_t40K_s372001";

fn committed(model: &str, file: &str) -> String {
    let path = root().join("reports").join(model).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Verifies one model again and compares the evidence byte for byte with what is committed.
fn verifies_again(model: &str) {
    let folder = ModelFolder::open(&root().join("models").join(model)).unwrap();
    let evidence = verify(&folder, None, &Options::default(), &mut |_| {}).unwrap();
    assert!(
        evidence.to_json() == committed(model, "evidence.json"),
        "reports/{model}/evidence.json is not what verify makes: run .ci/reports"
    );
}

#[test]
fn the_addition_models_evidence_comes_out_again_byte_for_byte() {
    verifies_again(ADD);
}

#[test]
fn the_subtraction_models_evidence_comes_out_again_byte_for_byte() {
    verifies_again(SUB);
}

/// The report is made from the copy embedded in the program; this one reads the folder.
#[test]
fn the_mixed_models_evidence_comes_out_again_byte_for_byte() {
    verifies_again(MIX);
}

#[test]
fn stored_evidence_is_read_and_written_again_byte_for_byte() {
    for model in [ADD, SUB, MIX] {
        let json = committed(model, "evidence.json");
        let evidence = Evidence::from_json(json.as_bytes()).unwrap();
        assert!(evidence.to_json() == json, "{model}");
    }
}

#[test]
fn a_page_draws_the_failures_of_a_carry_by_digit_sum() {
    let json: Value = serde_json::from_str(&committed(ADD, "evidence.json")).unwrap();
    let page = committed(ADD, "report.html");
    let claims = json["claims"].as_array().unwrap();
    let claim = claims
        .iter()
        .find(|c| c["claim"] == "P13L0H2 A3.SC")
        .unwrap();
    let weakness = &claim["because"]["fails_where"][0];
    assert_eq!(weakness["feature"], "source sum of digit 3");
    let (_, figure) = page
        .split_once("<figcaption>Failures by source sum of digit 3</figcaption>")
        .unwrap();
    let (figure, _) = figure.split_once("</figure>").unwrap();
    let drawn: Vec<&str> = figure.split("<li title=\"").skip(1).collect();
    let by_value = weakness["by_value"].as_array().unwrap();
    assert_eq!(drawn.len(), by_value.len());
    assert!(by_value.len() > 15, "{by_value:?}");
    for (drawn, at) in drawn.iter().zip(by_value) {
        let (value, failures) = (at["value"].as_str().unwrap(), &at["failures"]);
        let (hits, trials) = (&failures["hits"], &failures["trials"]);
        let text = format!("{value}: {hits} of {trials} fail\"");
        assert!(drawn.starts_with(&text), "{drawn} is not {text}");
        let height = 100.0 * hits.as_f64().unwrap() / trials.as_f64().unwrap();
        assert!(drawn.contains(&format!("height:{height:.1}%")), "{drawn}");
    }
}

#[test]
fn a_page_states_how_many_nodes_each_circuit_has() {
    for model in [ADD, SUB, MIX] {
        let json = committed(model, "circuit.json");
        let stored = CircuitEvidence::from_json(json.as_bytes()).unwrap();
        let page = committed(model, "report.html");
        assert!(!stored.circuits.is_empty());
        for circuit in &stored.circuits {
            let sentence = format!(
                "{} of {} nodes kept, from {}; all others ablated. They include {} of {} useful nodes.",
                circuit.nodes.len(),
                stored.available,
                circuit.from,
                circuit.covered.len(),
                stored.useful.len()
            );
            assert!(page.contains(&sentence), "{model}: {sentence}");
            for score in &circuit.scores {
                let correct = score.right.count();
                let share = 100.0 * correct.share();
                let figure = format!("{share:.1} % ({} of {})", correct.hits, correct.trials);
                assert!(page.contains(&figure), "{model}: {figure}");
            }
        }
    }
}

fn report() -> Command {
    let mut command = Command::cargo_bin("circuitcheck").unwrap();
    command.current_dir(root()).arg("report");
    command
}

#[test]
fn every_report_in_the_repository_is_made_again_byte_for_byte() {
    let result = report().args(["--check", "--json"]).assert().code(0);
    let checked: Value = serde_json::from_slice(&result.get_output().stdout).unwrap();
    let reports = checked["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 4);
    for report in reports {
        for file in report["files"].as_array().unwrap() {
            assert_eq!(file["state"], "same", "{report}");
        }
    }
}

/// A folder with the evidence of the addition model and what lies beside it.
fn copied() -> TempDir {
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("reports").join(ADD);
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(root().join("reports").join(ADD)).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

#[test]
fn a_report_that_was_edited_does_not_pass_the_check() {
    let folder = copied();
    let edited = folder.path().join("reports").join(ADD).join("report.md");
    let text = fs::read_to_string(&edited).unwrap();
    fs::write(&edited, text.replace("not shown", "supported")).unwrap();
    fs::remove_file(edited.with_file_name("report.json")).unwrap();
    std::os::unix::fs::symlink(root().join("models"), folder.path().join("models")).unwrap();
    let result = report()
        .current_dir(folder.path())
        .arg("--check")
        .assert()
        .code(1);
    let text = String::from_utf8_lossy(&result.get_output().stdout).into_owned();
    let state = |file: &str| text.lines().find(|line| line.contains(file)).unwrap();
    assert!(state("report.md").ends_with("differs"), "{text}");
    assert!(state("report.json").ends_with("missing"), "{text}");
}

#[test]
fn a_report_made_from_evidence_of_other_files_says_so_in_every_form() {
    let folder = copied();
    let out = folder.path().join("reports").join(ADD);
    let model = folder.path().join("changed").join(ADD);
    fs::create_dir_all(&model).unwrap();
    for file in fs::read_dir(root().join("models").join(ADD)).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    let features = model.join("features.json");
    let text = fs::read_to_string(&features).unwrap();
    fs::write(&features, text + "\n").unwrap();
    report().arg(&model).arg("--out").arg(&out).assert().code(0);
    for file in ["report.html", "report.md", "report.json"] {
        let text = fs::read_to_string(out.join(file)).unwrap();
        assert!(text.contains("the claims changed: SHA-256 "), "{file}");
        assert!(!text.contains("the weights changed"), "{file}");
    }
}

#[test]
fn what_a_report_shows_and_is_missing_is_made_first() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("reports").join(ADD);
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("evidence.json"), committed(ADD, "evidence.json")).unwrap();
    // A model that publishes no behaviours, so that those are missing too; the evidence is of none.
    let model = folder.path().join(ADD);
    fs::create_dir_all(&model).unwrap();
    for file in ["model.pth", "features.json", "training_loss.json"] {
        fs::copy(root().join("models").join(ADD).join(file), model.join(file)).unwrap();
    }
    let mut evidence = Evidence::from_json(committed(ADD, "evidence.json").as_bytes()).unwrap();
    evidence.inputs.behaviors_sha256 = None;
    fs::write(out.join("evidence.json"), evidence.to_json()).unwrap();

    let made = || {
        let mut command = report();
        command.current_dir(folder.path()).arg(&model);
        command
    };
    made()
        .args(["--stored", "--out"])
        .arg(&out)
        .assert()
        .code(0);
    let bare = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(bare.contains("There is no <code>property.json</code> here."));
    assert!(!out.join("property.json").exists());

    made().assert().code(0);
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    for file in [
        "property.json",
        "graph.json",
        "circuit.json",
        "attention.json",
        "discovered/behaviors.json",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
    assert!(!html.contains("There is no <code>"));
    assert!(
        html.contains("Properties of the answers") && html.contains("its nodes were measured by")
    );
    let made_at = |file: &str| fs::metadata(out.join(file)).unwrap().modified().unwrap();
    let before = made_at("graph.json");
    made().assert().code(0);
    assert_eq!(
        made_at("graph.json"),
        before,
        "what is there is not made again"
    );
}

/// What the schema says must be in the repository, and must be what is written.
fn published(file: &str, schema: &schemars::Schema) {
    let path: PathBuf = root().join("docs").join(file);
    let there = fs::read_to_string(&path).unwrap();
    assert!(
        there == schema_text(schema),
        "{} is not the schema of what is written: `circuitcheck report --schema FILE` prints it",
        path.display()
    );
}

#[test]
fn the_published_schemas_are_those_of_what_is_written() {
    published("evidence.schema.json", &evidence_schema());
    published("report.schema.json", &summary_schema());
}

#[test]
fn the_reports_in_the_repository_follow_their_schemas_and_others_do_not() {
    for (schema, file) in [
        (evidence_schema(), "evidence.json"),
        (summary_schema(), "report.json"),
    ] {
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        for model in [ADD, SUB, MIX] {
            let mut value: Value = serde_json::from_str(&committed(model, file)).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .take(3)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{model}/{file}: {errors:?}");
            value["claims"][0]["node"] = "head 3".into();
            assert!(!validator.is_valid(&value), "{model}/{file}");
            value["claims"][0].as_object_mut().unwrap().remove("node");
            assert!(!validator.is_valid(&value), "{model}/{file}");
        }
    }
}

/// The command and the answer that each counterexample of a report names.
fn counterexamples(report: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut given = None;
    for line in report.lines() {
        if let Some(answers) = line.strip_prefix("- counterexample: expected ") {
            let (_, answer) = answers.split_once(", got ").unwrap();
            given = Some(answer.to_owned());
        } else if let Some(command) = line.trim().strip_prefix("circuitcheck ")
            && command.starts_with("patch ")
        {
            let command = command.split(' ').map(str::to_owned).collect();
            found.push((command, given.take().unwrap()));
        }
    }
    found
}

#[test]
fn every_counterexample_of_the_reports_is_what_its_command_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut replayed = 0;
    for model in [
        "w126_add_d5_l2_h3_t15K_s372001",
        "w126_sub_d5_l2_h3_t30K_s372001",
        "w126_mix_d5_l3_h4_t40K_s372001",
    ] {
        let path = root.join("reports").join(model).join("report.md");
        for (command, given) in counterexamples(&std::fs::read_to_string(path).unwrap()) {
            let run = assert_cmd::Command::cargo_bin("circuitcheck")
                .unwrap()
                .current_dir(root)
                .args(&command)
                .arg("--json")
                .assert()
                .code(0);
            let got: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
            assert_eq!(got["answer"], given.as_str(), "{}", command.join(" "));
            replayed += 1;
        }
    }
    assert!(replayed >= 8, "{replayed}");
}

/// A folder in which everything that a command names has a space in its name.
struct Spaced {
    keep: TempDir,
}

/// The folder of the report, from where commands run.
const SPACED_OUT: &str = "out of it";

impl Spaced {
    /// Claims of another file, one of them false and some of them filtered out, and small parts.
    fn new() -> Self {
        let spaced = Self {
            keep: TempDir::new().unwrap(),
        };
        let model = spaced.keep.path().join("my models").join(SUB);
        fs::create_dir_all(&model).unwrap();
        for file in [
            "model.pth",
            "features.json",
            "training_loss.json",
            "behaviors.json",
        ] {
            fs::copy(root().join("models").join(SUB).join(file), model.join(file)).unwrap();
        }
        let claims = r#"[{"position": 6, "layer": 0, "is_head": true, "num": 0, "tags": ["Algo:A3.GT"]},
            {"position": 16, "layer": 0, "is_head": true, "num": 0, "tags": ["Algo:A0.MB", "Algo:A0.MD"]}]"#;
        fs::write(spaced.keep.path().join("my claims.json"), claims).unwrap();
        let model = format!("'my models/{SUB}'");
        let claims = "--features 'my claims.json'";
        let out = format!("--out '{SPACED_OUT}'");
        let evidence = format!("--evidence '{SPACED_OUT}/evidence.json'");
        for command in [
            format!("verify {model} {claims} {out} --task MB,GT -k 'P16 or GT' --max-trials 900"),
            format!("property {model} {out} --cases 2000"),
            format!("graph {model} {out} {evidence} --measure --trials 20"),
            format!("circuit {model} {out} {evidence} --questions 20 --random-sets 2"),
            format!("report {model} {claims} {out} --format html,md,json,junit"),
        ] {
            spaced.run(&format!("circuitcheck {command}"));
        }
        spaced
    }

    fn out(&self) -> PathBuf {
        self.keep.path().join(SPACED_OUT)
    }

    /// What a command prints, entered in a shell.
    fn run(&self, command: &str) -> String {
        let program = assert_cmd::cargo::cargo_bin("circuitcheck");
        let path = std::env::var("PATH").unwrap();
        let folder = program.parent().unwrap().display().to_string();
        let run = std::process::Command::new("sh")
            .args(["-c", command])
            .env("PATH", folder + ":" + &path)
            .current_dir(self.keep.path())
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&run.stderr);
        assert!(
            matches!(run.status.code(), Some(0 | 1 | 3)),
            "{command}: {complaint}"
        );
        String::from_utf8(run.stdout).unwrap()
    }

    /// Every command that the report prints in any form.
    fn commands(&self) -> std::collections::BTreeSet<String> {
        let text = |file: &str| fs::read_to_string(self.out().join(file)).unwrap();
        let mut found = Vec::new();
        for code in text("report.html").split("<code>").skip(1) {
            let code = code.split("</code>").next().unwrap();
            found.push(
                code.replace("&quot;", "\"")
                    .replace("&#39;", "'")
                    .replace("&amp;", "&"),
            );
        }
        for file in ["report.md", "property.md"] {
            found.extend(text(file).lines().map(|line| line.trim().to_owned()));
            found.extend(text(file).split('`').map(str::to_owned));
        }
        let json: Value = serde_json::from_str(&text("report.json")).unwrap();
        found.extend(json["command"].as_str().map(str::to_owned));
        for claim in json["claims"]
            .as_array()
            .unwrap()
            .iter()
            .chain(json["parts"].as_array().unwrap())
        {
            for key in ["explain", "replay", "command"] {
                found.extend(claim[key].as_str().map(str::to_owned));
            }
        }
        found.retain(|text| text.starts_with("circuitcheck ") && !text.contains('\n'));
        found.into_iter().collect()
    }
}

#[test]
fn every_command_of_a_report_reproduces_what_the_report_shows() {
    let spaced = Spaced::new();
    let bytes = |file: &str| fs::read(spaced.out().join(file)).unwrap();
    let evidence = Evidence::from_json(&bytes("evidence.json")).unwrap();
    let made: Vec<(&str, &str, Vec<u8>)> = [
        ("verify", "evidence.json"),
        ("report", "report.html"),
        ("property", "property.json"),
        ("graph", "graph.json"),
        ("circuit", "circuit.json"),
    ]
    .map(|(command, file)| (command, file, bytes(file)))
    .into();
    let mut kinds = std::collections::BTreeSet::new();
    for command in spaced.commands() {
        let kind = command.split(' ').nth(1).unwrap().to_owned();
        if command.contains(" --explain ") {
            let claim = command.split('"').nth(1).unwrap();
            let verdict = evidence
                .claims
                .iter()
                .find(|c| c.claim == claim)
                .unwrap()
                .verdict
                .kind();
            let shown = spaced.run(&command);
            assert!(
                shown.contains(&format!("### {claim}: {verdict}\n")),
                "{command}\n{shown}"
            );
            kinds.insert("explain".to_owned());
        } else if kind == "explain" {
            assert!(spaced.run(&command).starts_with("joint: "), "{command}");
        } else if kind == "patch" {
            let given = spaced.run(&format!("{command} --json"));
            let given: Value = serde_json::from_str(&given).unwrap();
            let examples = evidence
                .claims
                .iter()
                .filter_map(|c| c.verdict.counterexample());
            let got: Vec<String> = examples.map(|example| example.got.to_string()).collect();
            assert!(
                got.iter().any(|got| given["answer"] == got.as_str()),
                "{command}: {given}"
            );
            kinds.insert(kind);
        } else if kind == "ask" {
            let stored: Value = serde_json::from_slice(&bytes("property.json")).unwrap();
            let properties = stored["properties"].as_array().unwrap();
            let examples = properties
                .iter()
                .filter_map(|p| p["counterexamples"].as_array())
                .flatten();
            let asked: Vec<&Value> = examples
                .flat_map(|e| e["asked"].as_array().unwrap())
                .collect();
            let given: Value =
                serde_json::from_str(&spaced.run(&format!("{command} --json"))).unwrap();
            let answers = given["answers"].as_array().unwrap();
            assert!(!answers.is_empty());
            for answer in answers {
                let found = asked.iter().any(|asked| {
                    asked["question"] == answer["question"] && asked["answer"] == answer["answer"]
                });
                assert!(found, "{command}: {answer}");
            }
            kinds.insert(kind);
        } else {
            let (_, file, before) = made
                .iter()
                .find(|(of, ..)| *of == kind)
                .unwrap_or_else(|| panic!("{command}"));
            // Failing cases that were kept are asked again, which the first run could not.
            let _ = fs::remove_file(spaced.out().join("property-kept.txt"));
            fs::remove_file(spaced.out().join(file)).unwrap();
            spaced.run(&command);
            assert!(bytes(file) == *before, "{command}: {file} is another");
            kinds.insert(kind);
        }
    }
    let all = [
        "ask", "circuit", "explain", "graph", "patch", "property", "report", "verify",
    ];
    assert_eq!(kinds, all.map(str::to_owned).into());
}

#[test]
fn what_is_no_evidence_of_this_form_is_refused() {
    let error = |json: &str| Evidence::from_json(json.as_bytes()).unwrap_err();
    assert!(matches!(error("{"), EvidenceError::Malformed(_)));
    assert!(matches!(error("{}"), EvidenceError::Malformed(_)));
    let schema = "circuitcheck/evidence/4";
    let older = error(r#"{"schema": "circuitcheck/evidence/1"}"#).to_string();
    assert_eq!(
        older,
        format!(
            "the evidence has the format \"circuitcheck/evidence/1\"; this version reads {schema:?}"
        )
    );
    assert!(matches!(
        error(&format!(r#"{{"schema": "{schema}"}}"#)),
        EvidenceError::Malformed(_)
    ));
}
