//! A model of one's own: weights with nothing beside them, as the command line opens them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use circuitcheck::domain::arithmetic::{Prompt, Question};
use circuitcheck::inputs::model::{Array, ModelFolder, Weights, read_pth};
use circuitcheck::network::engine::Engine;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

type Arrays = BTreeMap<String, Array>;

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

/// The tensors of a file of weights.
fn arrays(weights: &str) -> Arrays {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(weights);
    read_pth(&fs::read(file).unwrap()).unwrap()
}

/// A file `mine.safetensors` of these tensors, with elements of this type as `bytes` writes them.
fn save(arrays: &Arrays, dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) -> (TempDir, PathBuf) {
    let tensors: Vec<(&String, &[usize], Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| {
            let bytes = array.data().iter().flat_map(|&element| bytes(element));
            (name, array.shape(), bytes.collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        (name.as_str(), view)
    });
    let keep = tempfile::tempdir().unwrap();
    let file = keep.path().join("mine.safetensors");
    fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    (keep, file)
}

fn save_as_float32(arrays: &Arrays) -> (TempDir, PathBuf) {
    save(arrays, Dtype::F32, |element| element.to_le_bytes().to_vec())
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
        let shown: Value = serde_json::from_str(&stdout).unwrap();
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
    let output = common::program()
        .args(["show", "--operations", "add"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no model is named"));
}

#[test]
fn a_model_that_can_do_neither_operation_is_refused_with_the_option_to_give() {
    let untrained = Weights::random(ModelFolder::bundled().weights.shape(), 1);
    let (_keep, file) = save_as_float32(&untrained.into());
    let (code, _, stderr) = run("show", &file, &[]);
    assert_eq!(code, 4);
    assert_eq!(
        stderr.replace(&file.display().to_string(), "FILE"),
        "note: FILE: trained for neither: 0 of 256 additions and 0 of 256 subtractions answered correctly (at least 50% needed)\n\
         error: FILE: operations unknown: neither the name \"mine\" nor Config.perc_add and perc_sub in training_loss.json give them\n\
         hint: give the operations the model was trained for, such as --operations add,sub\n"
    );
}

#[test]
fn wrapped_names_and_every_float_type_answer_as_the_original() {
    let wrapped: Arrays = arrays(ADD)
        .into_iter()
        .map(|(name, array)| (format!("module._orig_mod.{name}"), array))
        .collect();
    for (_keep, file) in [
        save_as_float32(&wrapped),
        save(&wrapped, Dtype::F64, |x| {
            f64::from(x).to_le_bytes().to_vec()
        }),
        save(&wrapped, Dtype::F16, |x| {
            half::f16::from_f32(x).to_le_bytes().to_vec()
        }),
        save(&wrapped, Dtype::BF16, |x| {
            half::bf16::from_f32(x).to_le_bytes().to_vec()
        }),
    ] {
        let rest = ["--operations", "add", "99999+00001"];
        let (code, stdout, stderr) = run("ask", &file, &rest);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.contains("+100000"), "{stdout}");
    }
}

/// The vector times the rows of a matrix `[.., rows, columns]`, in place.
fn scale_rows(matrix: &Array, by: &Array) -> Array {
    let [.., rows, columns] = *matrix.shape() else {
        panic!("a matrix")
    };
    let data = matrix.data().iter().enumerate();
    let scaled = data
        .map(|(i, x)| x * by.data()[i / columns % rows])
        .collect();
    Array::new(matrix.shape().to_vec(), scaled).unwrap()
}

/// The bias plus the vector times a matrix `[.., rows, columns]`.
fn add_product(bias: &Array, vector: &Array, matrix: &Array) -> Array {
    let [.., rows, columns] = *matrix.shape() else {
        panic!("a matrix")
    };
    let mut sums: Vec<f64> = bias.data().iter().map(|&x| x.into()).collect();
    for (i, &x) in matrix.data().iter().enumerate() {
        let (head, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
        sums[head * columns + column] += f64::from(x) * f64::from(vector.data()[row]);
    }
    let data = sums.into_iter().map(|x| x as f32).collect();
    Array::new(bias.shape().to_vec(), data).unwrap()
}

/// The layer norms' weights moved into the layers that read them, as TransformerLens' `fold_ln`.
fn fold_layer_norms(arrays: &mut Arrays, n_layers: usize) {
    let mut fold = |norm: &str, readers: &[(String, String)]| {
        let (w, b) = [".w", ".b"]
            .map(|part| arrays.remove(&format!("{norm}{part}")).unwrap())
            .into();
        for (matrix, bias) in readers {
            let sum = add_product(&arrays[bias], &b, &arrays[matrix]);
            arrays.insert(bias.clone(), sum);
            let scaled = scale_rows(&arrays[matrix], &w);
            arrays.insert(matrix.clone(), scaled);
        }
    };
    for layer in 0..n_layers {
        let block = format!("blocks.{layer}");
        let name = |part: &str| format!("{block}.{part}");
        let attention =
            ["Q", "K", "V"].map(|x| (name(&format!("attn.W_{x}")), name(&format!("attn.b_{x}"))));
        fold(&name("ln1"), &attention);
        fold(&name("ln2"), &[(name("mlp.W_in"), name("mlp.b_in"))]);
    }
    fold(
        "ln_final",
        &[("unembed.W_U".to_owned(), "unembed.b_U".to_owned())],
    );
}

#[test]
fn folded_layer_norms_give_the_logits_of_the_original() {
    let original = arrays(MIX);
    let mut folded = original.clone();
    fold_layer_norms(&mut folded, 3);
    assert_eq!(folded.len() + 14, original.len());
    let engine = |arrays| Engine::new(&Weights::from_arrays(arrays).unwrap());
    let prompts: Vec<Prompt> = ["12345+67890", "99999+00001", "54321-12345", "12345-54321"]
        .map(|text| Prompt::truth(Question::parse(text, 5).unwrap()))
        .into();
    let (first, second) = (engine(original), engine(folded.clone()));
    let (first, second) = (
        first.logits(&prompts).unwrap(),
        second.logits(&prompts).unwrap(),
    );
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.answer(), second.answer());
        for (first, second) in first
            .rows()
            .iter()
            .flatten()
            .zip(second.rows().iter().flatten())
        {
            assert!((first - second).abs() < 1e-3, "{first} {second}");
        }
    }

    let (_keep, file) = save_as_float32(&folded);
    let (code, stdout, stderr) = run("ask", &file, &["--operations", "mix", "12345-54321"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("-041976"), "{stdout}");
    assert_eq!(
        stderr,
        format!(
            "note: {}: no LayerNorm weights: read as folded (TransformerLens' fold_ln, LNPre)\n",
            file.display()
        )
    );
}

#[test]
fn what_does_not_load_is_refused_with_what_to_run_in_python() {
    let refusal = |arrays: &Arrays| {
        let (_keep, file) = save_as_float32(arrays);
        let (code, _, stderr) = run("show", &file, &[]);
        assert_eq!(code, 4);
        stderr
    };
    let foreign = [("wte.weight".to_owned(), arrays(ADD)["embed.W_E"].clone())];
    let stderr = refusal(&foreign.into());
    assert!(stderr.contains("tensor `embed.W_E` is missing"), "{stderr}");
    assert!(
        stderr.contains("hint: expected the state dict of a TransformerLens HookedTransformer"),
        "{stderr}"
    );
    let mut short = arrays(ADD);
    let width = short["embed.W_E"].shape()[1];
    let data = short["embed.W_E"].data()[..12 * width].to_vec();
    short.insert(
        "embed.W_E".to_owned(),
        Array::new(vec![12, width], data).unwrap(),
    );
    let stderr = refusal(&short);
    assert!(stderr.contains("d_vocab is 12"), "{stderr}");
    assert!(
        stderr.contains("hint: the tokens are 0 to 9, then + - = * \\"),
        "{stderr}"
    );

    let (_keep, folder) = mine(ADD);
    fs::write(folder.join("model.pth"), b"\x80\x02}q\0.").unwrap();
    let (code, _, stderr) = run("show", &folder, &[]);
    assert_eq!(code, 4);
    assert!(stderr.contains("torch.save(torch.load("), "{stderr}");
}

/// The claims of the bundled addition model as an older version wrote them.
fn older_claims() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(ADD)
        .with_file_name("features.json");
    let mut text = fs::read_to_string(file).unwrap();
    for digit in 0..=6 {
        for (present, older) in [("SA", "BA"), ("SC", "MC"), ("SS", "US")] {
            text = text.replace(
                &format!("Algo:A{digit}.{present}\""),
                &format!("Algorithm:A{digit}.{older}\""),
            );
        }
        text = text.replace(
            &format!("Algo:A{digit}.ST\""),
            &format!("Algorithm:D{digit}.TC\""),
        );
    }
    assert!(!text.contains("Algo:"), "{text}");
    text
}

#[test]
fn claims_in_an_older_dialect_are_the_same_claims_with_a_note() {
    let (_keep, folder) = mine(ADD);
    let (present, older) = (folder.join("present.json"), folder.join("features.json"));
    let published = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(ADD)
        .with_file_name("features.json");
    fs::copy(published, &present).unwrap();
    fs::write(&older, older_claims()).unwrap();
    let claims = |file: &Path| {
        let rest = [
            "--operations",
            "add",
            "--json",
            "--features",
            file.to_str().unwrap(),
        ];
        let (code, stdout, _) = run("show", &folder, &rest);
        assert_eq!(code, 0);
        let shown: Value = serde_json::from_str(&stdout).unwrap();
        assert!(
            shown["claims"]
                .as_object()
                .is_some_and(|claims| claims.len() >= 3)
        );
        shown["claims"].clone()
    };
    assert_eq!(claims(&older), claims(&present));
    let (_, _, stderr) = run("show", &folder, &["--operations", "add"]);
    assert!(stderr.starts_with("note: "), "{stderr}");
    assert!(
        stderr.contains("tags in an older dialect: Algorithm: as Algo:, BA as SA, MC as SC"),
        "{stderr}"
    );
}

#[test]
fn a_file_of_tags_without_a_claim_says_which_tags_it_has() {
    let (_keep, folder) = mine(ADD);
    let published = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(ADD)
        .with_file_name("behaviors.json");
    fs::copy(published, folder.join("features.json")).unwrap();
    let (code, _, stderr) = run("verify", &folder, &["--operations", "add"]);
    assert_eq!(code, 4);
    assert!(
        stderr.contains(
            "has a claim (a tag Algo:…): the tags there are Attn:, Fail%:, Impact:, Math.Add:"
        ),
        "{stderr}"
    );
}

#[test]
fn printed_commands_give_the_operations_that_were_given() {
    let (keep, folder) = mine(ADD);
    let features = Path::new(ADD).with_file_name("features.json");
    let out = keep.path().join("out");
    let (code, _, stderr) = run(
        "verify",
        &folder,
        &[
            "--operations",
            "add",
            "--features",
            features.to_str().unwrap(),
            "-k",
            "P17L0H1 and A0.SA",
            "--format",
            "md",
            "--out",
            out.to_str().unwrap(),
        ],
    );
    assert_eq!(code, 0, "{stderr}");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    let model = format!("verify {} --operations add", folder.display());
    assert!(report.contains(&model), "{report}");
}

#[test]
fn a_model_without_claims_is_told_how_to_find_some() {
    let (_keep, folder) = mine(ADD);
    let (code, _, stderr) = run("verify", &folder, &["--operations", "add"]);
    assert_eq!(code, 4);
    assert!(stderr.contains("no features.json"), "{stderr}");
    assert!(
        stderr.contains("hint: circuitcheck discover DIR --out found"),
        "{stderr}"
    );
}
