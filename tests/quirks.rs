//! The tables of reports/QUIRKS.md are what the program makes of the bundled models today.

use std::path::Path;

use circuitcheck::analysis::published::effects;
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use circuitcheck::report::effects_markdown;

/// The seed of the tables in the report.
const SEED: u64 = 372_001;

fn regenerates(model: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = ModelFolder::open(&root.join("models").join(model)).unwrap();
    let engine = Engine::new(&folder.weights);
    let set = root
        .join("tests/reference")
        .join(model)
        .join("questions.json");
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(set).unwrap()).unwrap();
    let set: Vec<Prompt> = texts.iter().map(|t| Prompt::parse(t, 5).unwrap()).collect();
    let table = effects_markdown(&effects(&folder, &engine, &set, SEED).unwrap());
    let report = std::fs::read_to_string(root.join("reports/QUIRKS.md")).unwrap();
    let (_, section) = report.split_once(&format!("## {model}\n")).unwrap();
    assert!(
        section.trim_start().starts_with(&table),
        "reports/QUIRKS.md is not what `quirks` makes of {model}:\n{table}"
    );
}

#[test]
fn the_addition_models_quirks_regenerate() {
    regenerates("w126_add_d5_l2_h3_t15K_s372001");
}

#[test]
fn the_subtraction_models_quirks_regenerate() {
    regenerates("w126_sub_d5_l2_h3_t30K_s372001");
}

#[test]
fn the_mixed_models_quirks_regenerate() {
    regenerates("w126_mix_d5_l3_h4_t40K_s372001");
}
