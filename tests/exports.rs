//! The forms of a report that other programs read, and the comparison of two.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use circuitcheck::batch::sweep::Summary;
use circuitcheck::report::{Report, claim_rows, claims_table, measures_table, trials_table};
use circuitcheck::storage::parquet::{ParquetTable, columns_markdown};
use parquet::record::Field;
use quick_junit::TestCaseStatus;
use serde_json::Value;
use tempfile::TempDir;

use common::{root, rows};

const ADD: &str = "w126_add_d5_l2_h3_t15K_s372001";
const SUB: &str = "w126_sub_d5_l2_h3_t30K_s372001";

fn program(command: &str) -> Command {
    let mut program = Command::cargo_bin("circuitcheck").unwrap();
    program.current_dir(root()).arg(command);
    program
}

fn stored(model: &str) -> PathBuf {
    root().join("reports").join(model)
}

fn evidence(model: &str) -> Value {
    serde_json::from_slice(&fs::read(stored(model).join("evidence.json")).unwrap()).unwrap()
}

#[test]
fn junit_has_a_test_for_each_claim_and_a_failure_for_each_refuted_one() {
    let out = TempDir::new().unwrap();
    program("report")
        .arg(format!("models/{ADD}"))
        .args(["--format", "junit", "--out"])
        .arg(out.path())
        .assert()
        .code(0);
    let xml = fs::read_to_string(out.path().join("junit.xml")).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    let mut statuses: BTreeMap<String, &str> = BTreeMap::new();
    for case in read.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        let status = match &case.status {
            TestCaseStatus::Success { .. } => "passes",
            TestCaseStatus::NonSuccess { .. } => "fails",
            TestCaseStatus::Skipped { .. } => "skipped",
        };
        statuses.insert(case.name.as_str().to_owned(), status);
    }
    let evidence = evidence(ADD);
    let claims = evidence["claims"].as_array().unwrap();
    assert_eq!(statuses.len(), claims.len());
    for claim in claims {
        let expected = match claim["verdict"].as_str().unwrap() {
            "refuted" | "unspecific" => "fails",
            "inconclusive" | "not shown" | "not testable" => "skipped",
            _ => "passes",
        };
        assert_eq!(
            statuses[claim["claim"].as_str().unwrap()],
            expected,
            "{claim}"
        );
    }
    assert!(
        xml.contains("circuitcheck patch models/"),
        "a failure carries its replay"
    );
}

fn text(field: &Field) -> &str {
    match field {
        Field::Str(text) => text,
        other => panic!("{other} is no text"),
    }
}

#[test]
fn parquet_tables_hold_what_the_evidence_counts_and_its_trials() {
    let out = TempDir::new().unwrap();
    program("report")
        .arg(format!("models/{SUB}"))
        .args(["--format", "parquet", "--out"])
        .arg(out.path())
        .assert()
        .code(0);
    let evidence = evidence(SUB);
    let claims = rows(&out.path().join("claims.parquet"));
    let measures = rows(&out.path().join("measures.parquet"));
    let trials = rows(&out.path().join("trials.parquet"));
    let listed = evidence["claims"].as_array().unwrap();
    assert_eq!(claims.len(), listed.len());
    let mut compared = 0;
    for (row, claim) in claims.iter().zip(listed) {
        let name = claim["claim"].as_str().unwrap();
        assert_eq!(text(&row["claim"]), name);
        assert_eq!(text(&row["verdict"]), claim["verdict"].as_str().unwrap());
        // Of a claim whose trials all were kept, they come to its count.
        let interchange_accuracy = &claim["trials"]["alone"]["interchange_accuracy"];
        let Some(rates) = interchange_accuracy
            .as_object()
            .filter(|rates| rates.len() == 1)
        else {
            continue;
        };
        let rate = rates.values().next().unwrap();
        let of_claim = |row: &&BTreeMap<String, Field>| text(&row["claim"]) == name;
        let counted = measures.iter().filter(of_claim).find(|row| {
            text(&row["node_set"]) == "alone" && text(&row["measure"]) == "interchange_accuracy"
        });
        let counted = counted.unwrap();
        assert_eq!(counted["hits"], Field::Long(rate["hits"].as_i64().unwrap()));
        assert_eq!(
            counted["lower"],
            Field::Double(rate["lower"].as_f64().unwrap())
        );
        let counterfactual: Vec<_> = trials
            .iter()
            .filter(of_claim)
            .filter(|row| text(&row["kind"]) == "counterfactual")
            .collect();
        if counterfactual.len() as u64 == rate["trials"].as_u64().unwrap() {
            let agreeing = counterfactual
                .iter()
                .filter(|row| row["agrees"] == Field::Bool(true));
            assert_eq!(
                agreeing.count() as u64,
                rate["hits"].as_u64().unwrap(),
                "{name}"
            );
            compared += 1;
        }
    }
    assert!(compared > listed.len() / 2, "{compared} claims compared");
}

#[test]
fn evidence_of_which_the_counts_were_edited_gives_no_trials() {
    let out = TempDir::new().unwrap();
    let text = fs::read_to_string(stored(ADD).join("evidence.json")).unwrap();
    // The first rate of 46 is that of a token which the first claim's node alone moves.
    let first = r#"{"hits": 46, "trials": 256"#;
    let edited = text.replacen(first, &first.replace("46", "47"), 1);
    assert_ne!(text, edited, "the evidence does not read as expected");
    fs::write(out.path().join("evidence.json"), edited).unwrap();
    let result = program("report")
        .arg(format!("models/{ADD}"))
        .args(["--format", "parquet", "--out"])
        .arg(out.path())
        .assert()
        .code(4);
    let error = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(
        error.contains("P6L0H1 A4.ST: rerun trials differ from the evidence"),
        "{error}"
    );
}

#[test]
fn the_columns_of_the_parquet_tables_are_documented() {
    let report = Report::read(&stored(ADD), None, "").unwrap().unwrap();
    let tables = [
        claims_table(&claim_rows(&report.evidence)),
        measures_table(&report),
        trials_table(&[]),
    ];
    let sweep = Summary::default().tables();
    let [models, _, others @ ..] = sweep;
    let of_sweeps: Vec<ParquetTable> = [models].into_iter().chain(others).collect();
    let page = fs::read_to_string(root().join("docs/PARQUET.md")).unwrap();
    for tables in [&tables[..], &of_sweeps] {
        let said = columns_markdown(tables);
        assert!(page.contains(&said), "docs/PARQUET.md lacks:\n{said}");
    }
    let documented = page.matches("\n### ").count();
    assert_eq!(documented, tables.len() + of_sweeps.len());
}

fn compare(first: &Path, second: &Path) -> (String, Value, i32) {
    let run = |json: &[&str]| {
        let result = program("compare")
            .arg(first)
            .arg(second)
            .args(json)
            .assert();
        let output = result.get_output();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            output.status.code().unwrap(),
        )
    };
    let (text, code) = run(&[]);
    let (json, again) = run(&["--json"]);
    assert_eq!(code, again);
    (text, serde_json::from_str(&json).unwrap(), code)
}

#[test]
fn a_run_compared_with_itself_has_not_changed() {
    let (text, json, code) = compare(&stored(ADD), &stored(ADD).join("evidence.json"));
    assert_eq!(code, 0);
    assert!(text.contains("none of 16 claims changed"), "{text}");
    assert_eq!(json["terms"], Value::Array(Vec::new()));
}

#[test]
fn flips_rates_apart_and_claims_that_came_or_went_are_told() {
    let folder = TempDir::new().unwrap();
    let mut changed = evidence(ADD);
    changed["protocol"]["seed"] = 2.into();
    let claims = changed["claims"].as_array_mut().unwrap();
    let gone = claims.pop().unwrap()["claim"].as_str().unwrap().to_owned();
    let supported = claims
        .iter_mut()
        .find(|claim| claim["verdict"] == "supported")
        .unwrap();
    let name = supported["claim"].as_str().unwrap().to_owned();
    supported["verdict"] = "inconclusive".into();
    supported["because"] = serde_json::json!({"open": "edited"});
    supported["trials"]["alone"]["control_pairs"] = serde_json::json!({
        "hits": 200, "trials": 256, "exhaustive": false, "lower": 0.7, "upper": 0.85
    });
    let path = folder.path().join("evidence.json");
    fs::write(&path, changed.to_string()).unwrap();
    let (text, json, code) = compare(&stored(ADD), &path);
    assert_eq!(code, 1);
    assert_eq!(json["terms"][0]["term"], "seed");
    assert_eq!(json["flipped"][0]["claim"], name.as_str());
    assert_eq!(
        (&json["flipped"][0]["first"], &json["flipped"][0]["second"]),
        (&"supported".into(), &"inconclusive".into())
    );
    assert_eq!(json["apart"][0]["measure"], "control pairs");
    assert_eq!(json["gone"][0], gone.as_str());
    assert!(
        text.contains(&format!("only in the first: {gone}")),
        "{text}"
    );
    let (_, turned, _) = compare(&path, &stored(ADD));
    assert_eq!(turned["new"][0], gone.as_str());
}

#[test]
fn two_models_are_compared_role_by_role() {
    let (text, json, code) = compare(&stored(ADD), &stored(SUB));
    assert_eq!(code, 0);
    let roles = json["roles"].as_array().unwrap();
    let role = |name: &str| roles.iter().find(|role| role["variable"] == name).unwrap();
    assert_eq!(role("A0.SA")["second"], Value::Array(Vec::new()));
    assert_eq!(role("A0.SA")["first"][0]["nodes"][0], "P17L0H1");
    assert_eq!(role("A0.MD")["first"], Value::Array(Vec::new()));
    assert!(text.contains("A0.MD"), "{text}");
    // A set is one player, though each of its nodes is claimed.
    assert_eq!(role("A2.ST")["first"].as_array().unwrap().len(), 1);
}

#[test]
fn what_holds_no_evidence_is_refused_with_its_name() {
    let result = program("compare")
        .arg("models")
        .arg("reports")
        .assert()
        .code(4);
    let error = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(error.contains("models/evidence.json"), "{error}");
}
