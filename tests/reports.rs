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
