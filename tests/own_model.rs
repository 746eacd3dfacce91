//! A model of one's own: weights with nothing beside them, as the command line opens them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001/model.pth";
const SUB: &str = "models/w126_sub_d5_l2_h3_t30K_s372001/model.pth";
const MIX: &str = "models/w126_mix_d5_l3_h4_t40K_s372001/model.pth";

/// A folder `mine` with nothing but these weights in it.
fn mine(weights: &str) -> (TempDir, PathBuf) {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join("mine");
    fs::create_dir(&folder).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(weights);
    fs::copy(from, folder.join("model.pth")).unwrap();
    (keep, folder)
}

/// The exit code, stdout and stderr of a command about this model.
fn run(command: &str, model: &Path, rest: &[&str]) -> (i32, String, String) {
    let output = common::program()
        .arg(command)
        .arg(model)
        .args(rest)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_operations_of_bare_weights_are_found_by_asking_and_said_so() {
    for (weights, operations, answered) in [
        (ADD, "add", "256 of 256 additions and 0 of 256 subtractions"),
        (SUB, "sub", "0 of 256 additions and 256 of 256 subtractions"),
        (
            MIX,
            "mix",
            "256 of 256 additions and 256 of 256 subtractions",
        ),
    ] {
        let (_keep, folder) = mine(weights);
        let (code, stdout, stderr) = run("show", &folder, &["--json"]);
        assert_eq!(code, 0, "{stderr}");
        let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(shown["operations"], operations);
        assert_eq!(
            stderr,
            format!(
                "note: {}: taken as trained for \"{operations}\": {answered} answered correctly (at least 50% needed)\n",
                folder.display()
            )
        );
    }
}

#[test]
fn operations_given_are_not_asked_for() {
    let (_keep, folder) = mine(ADD);
    let question = "12345+67890";
    let (code, stdout, stderr) = run("ask", &folder, &["--operations", "add", question]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("+080235"), "{stdout}");
    let (code, _, stderr) = run("ask", &folder, &["--operations", "sub", question]);
    assert_eq!(code, 4);
    assert!(stderr.contains("trained for \"sub\" alone"), "{stderr}");
    let (code, _, stderr) = run("show", &folder, &["--operations", "div"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains(
            "unknown operation \"div\": expected add, sub, mul, or a list such as add,sub"
        ),
        "{stderr}"
    );
}

#[test]
fn a_model_that_can_do_neither_operation_is_refused_with_the_option_to_give() {
    let (_keep, folder) = mine(ADD);
    let shape = circuitcheck::inputs::model::ModelFolder::bundled()
        .weights
        .shape();
    let weights = circuitcheck::inputs::model::Weights::random(shape, 1);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, array)| {
            let bytes = array.data().iter().flat_map(|x| x.to_le_bytes());
            (name.to_owned(), array.shape().to_vec(), bytes.collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    let file = folder.join("untrained.safetensors");
    fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    let (code, _, stderr) = run("show", &file, &[]);
    assert_eq!(code, 4);
    assert_eq!(
        stderr.replace(&file.display().to_string(), "FILE"),
        "note: FILE: trained for neither: 0 of 256 additions and 0 of 256 subtractions answered correctly (at least 50% needed)\n\
         error: FILE: operations unknown: neither the name \"untrained\" nor Config.perc_add and perc_sub in training_loss.json give them\n\
         hint: give the operations the model was trained for, such as --operations add,sub\n"
    );
}
