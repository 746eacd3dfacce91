//! The reports in the repository are what the program makes of the bundled models today.

use std::path::Path;

use circuitcheck::evidence::{Evidence, EvidenceError};
use circuitcheck::model::ModelFolder;
use circuitcheck::report::markdown;
use circuitcheck::verify::{Options, verify};

/// Regenerates one model's report and compares it byte for byte with the one committed.
fn regenerates(model: &str, shown: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = ModelFolder::open(&root.join("models").join(model)).unwrap();
    let evidence = verify(&folder, None, &Options::default(), &mut |_| {}).unwrap();
    let json = evidence.to_json();
    assert!(Evidence::from_json(json.as_bytes()).unwrap().to_json() == json);
    let committed = |file: &str| {
        let path = root.join("reports").join(model).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    assert!(
        json == committed("evidence.json"),
        "reports/{model}/evidence.json is not what verify makes: run the commands in CONTRIBUTING.md"
    );
    assert!(
        markdown(&evidence, shown) == committed("report.md"),
        "reports/{model}/report.md is not what verify makes: run the commands in CONTRIBUTING.md"
    );
}

#[test]
fn the_addition_models_report_regenerates_byte_for_byte() {
    let model = "w126_add_d5_l2_h3_t15K_s372001";
    regenerates(model, &format!("models/{model}"));
}

#[test]
fn the_subtraction_models_report_regenerates_byte_for_byte() {
    let model = "w126_sub_d5_l2_h3_t30K_s372001";
    regenerates(model, &format!("models/{model}"));
}

/// The report is made from the copy embedded in the program; this one reads the folder.
#[test]
fn the_mixed_models_report_regenerates_byte_for_byte() {
    regenerates("w126_mix_d5_l3_h4_t40K_s372001", "");
}

/// The command and the answer that each counterexample of a report names.
fn counterexamples(report: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut given = None;
    for line in report.lines() {
        if let Some(answers) = line.strip_prefix("- counterexample: ") {
            let (_, answer) = answers.split_once(" predicted, ").unwrap();
            given = answer.strip_suffix(" given").map(str::to_owned);
        } else if let Some(command) = line.trim().strip_prefix("circuitcheck ") {
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
    assert!(replayed > 20, "{replayed}");
}

#[test]
fn what_is_no_evidence_of_this_form_is_refused() {
    let error = |json: &str| Evidence::from_json(json.as_bytes()).unwrap_err();
    assert!(matches!(error("{"), EvidenceError::Malformed(_)));
    assert!(matches!(error("{}"), EvidenceError::Malformed(_)));
    let schema = "circuitcheck/evidence/1";
    let older = error(r#"{"schema": "circuitcheck/evidence/0"}"#).to_string();
    assert_eq!(
        older,
        format!(
            "the evidence is of the form \"circuitcheck/evidence/0\", this program reads {schema:?}"
        )
    );
    assert!(matches!(
        error(&format!(r#"{{"schema": "{schema}"}}"#)),
        EvidenceError::Malformed(_)
    ));
}
