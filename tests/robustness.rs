//! What users and hostile files do to the program, and what it does then. docs/ROBUSTNESS.md lists the
//! situations.

mod common;
mod counting;
#[allow(dead_code)]
mod torch_file;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use circuitcheck::analysis::accuracy::AccuracyTally;
use circuitcheck::analysis::hypothesis::{Hypothesis, MAX_CLAUSES};
use circuitcheck::analysis::property::template::Template;
use circuitcheck::domain::plain::is_hidden;
use circuitcheck::domain::shape::Shape;
use circuitcheck::experiment::stats::{Count, Rate};
use circuitcheck::inputs::claims::{MAX_TAG_BYTES, MAX_TAGS, read_tagged_nodes};
use circuitcheck::inputs::model::{
    ModelFolder, TrainingRecord, Weights, WeightsError, read_pth, read_safetensors,
};
use circuitcheck::network::engine::Engine;
use circuitcheck::storage::MAX_RESULT_BYTES;
use circuitcheck::verify::evidence::Evidence;
use serde_json::{Value, json};
use tempfile::TempDir;

use common::{SMALL_SHAPE, program, root};
use counting::peak_memory;
use torch_file::{pickle, pth, state_dict};

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";
const NAME: &str = "w126_add_d5_l2_h3_t15K_s372001";

const SUCCESS: i32 = 0;
const REFUTED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 4;

const MIB: usize = 1 << 20;

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    stderr
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn add() -> PathBuf {
    root().join(ADD)
}

/// All files below a folder, by their path within it, locks aside.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_none_or(|kind| kind != "lock") {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A small model that learnt nothing, with these other files.
fn small(name: &str, others: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join(name);
    fs::create_dir(&folder).unwrap();
    let (dict, storages) = state_dict(&Weights::random(SMALL_SHAPE, 1).into());
    fs::write(folder.join("model.pth"), pth(&pickle(&dict), &storages)).unwrap();
    for (file, content) in others {
        fs::write(folder.join(file), content).unwrap();
    }
    (keep, folder)
}

const SMALL: &str = "w8_add_d2_l1_h2_t1K_s1";

// ---------------------------------------------------------------- lost results

/// Starts a measurement with a result that cannot be written, and checks that the next run has nothing
/// left to ask.
fn outlives_a_failed_write(output: Stdio, code: i32) {
    let folder = tempfile::tempdir().unwrap();
    let accuracy = || {
        let mut command = program();
        command.current_dir(&folder).arg("accuracy").arg(add());
        command.args(["--count", "2000"]);
        command
    };
    let failed = accuracy().stdout(output).output().unwrap();
    assert_eq!(failed.status.code(), Some(code), "{}", stderr(&failed));
    let resumed = accuracy().output().unwrap();
    let said = stderr(&resumed);
    assert!(
        said.contains("2000 of 2000 questions were asked before"),
        "{said}"
    );
    assert!(stdout(&resumed).contains("accuracy"));
    assert_eq!(files(folder.path()), BTreeMap::new(), "now it is done");
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_counted_outlives_a_full_disk() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    outlives_a_failed_write(full.into(), INPUT);
}

#[cfg(unix)]
#[test]
fn what_was_counted_outlives_a_closed_pipe() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    outlives_a_failed_write(writer.into(), SUCCESS);
}

/// On a disk that takes small files alone.
#[cfg(unix)]
#[test]
fn where_files_cannot_be_written_the_result_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = root().join("reports").join(NAME).join("evidence.json");
    let evidence = evidence.to_str().unwrap();
    for (arguments, expected) in [
        (&["verify", "-k", "P17L0H1"][..], "P17L0H1"),
        (
            &[
                "property",
                "--cases",
                "200",
                "--property",
                "answers,commutes",
            ],
            "commutes",
        ),
        (
            &["circuit", "--count", "20", "--random-sets", "1"],
            "coverage",
        ),
        (&["graph", "--evidence", evidence], "claims"),
    ] {
        let mut command = Command::new("sh");
        command.current_dir(&folder);
        command.args(["-c", r#"trap "" XFSZ; ulimit -f 1; exec "$@""#, "sh"]);
        command.arg(assert_cmd::cargo::cargo_bin!("circuitcheck"));
        command.args(arguments).args(["--out", "out"]).arg(add());
        let output = command.output().unwrap();
        let (printed, said) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(INPUT), "{arguments:?}: {said}");
        assert!(said.contains("cannot be written"), "{arguments:?}: {said}");
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
}

#[test]
fn an_interrupted_measurement_does_not_block_one_of_another_length() {
    let folder = tempfile::tempdir().unwrap();
    let accuracy = |count: &str| {
        let mut command = program();
        command.current_dir(&folder).arg("accuracy").arg(add());
        command.args(["--count", count, "--json"]);
        command
    };
    let mut long = accuracy("1e8");
    let mut long = long
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while files(folder.path()).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing saved");
        std::thread::sleep(Duration::from_millis(20));
    }
    long.kill().unwrap();
    long.wait().unwrap();
    let saved = files(folder.path());
    let short = accuracy("1000").output().unwrap();
    assert_eq!(short.status.code(), Some(SUCCESS), "{}", stderr(&short));
    let found: Value = serde_json::from_slice(&short.stdout).unwrap();
    assert_eq!(found["questions"], 1000);
    assert_eq!(
        files(folder.path()),
        saved,
        "the long one can still be resumed"
    );
}

#[test]
fn a_resume_file_that_nobody_named_and_cannot_be_read_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let accuracy = || {
        let mut command = program();
        command.current_dir(&folder).arg("accuracy").arg(add());
        command.args(["--count", "1000", "--json"]);
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    accuracy().stdout(writer).output().unwrap();
    let saved = files(folder.path());
    let (name, content) = saved.first_key_value().unwrap();
    fs::write(folder.path().join(name), &content[..content.len() / 2]).unwrap();
    let output = accuracy().output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(SUCCESS), "{said}");
    assert!(said.contains("starting from the beginning"), "{said}");
}

#[test]
fn a_sweep_writes_only_below_its_folder_and_starts_no_process() {
    let (keep, model) = small(SMALL, &[]);
    let mut sweep = program();
    sweep.current_dir(keep.path()).arg("sweep").arg(&model);
    sweep.args(["--out", "out", "--count", "1e8", "--cases", "50"]);
    let mut sweep = sweep
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let resume =
        |found: &BTreeMap<String, Vec<u8>>| found.keys().any(|name| name.ends_with(".resume.json"));
    let started = Instant::now();
    while !resume(&files(keep.path())) {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "nothing saved"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    if cfg!(target_os = "linux") {
        let id = sweep.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        assert_eq!(children, "");
    }
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    for entry in fs::read_dir(keep.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!([SMALL, "out"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn a_stored_part_that_cannot_be_read_is_an_error() {
    let stored = tempfile::tempdir().unwrap();
    for (name, content) in files(&root().join("reports").join(NAME)) {
        fs::write(stored.path().join(name), content).unwrap();
    }
    let out = stored.path().to_str().unwrap();
    for part in [
        "property.json",
        "graph.json",
        "circuit.json",
        "attention.json",
    ] {
        let path = stored.path().join(part);
        let whole = fs::read(&path).unwrap();
        for content in [r#"{"x":1}"#, "", "[]", "null", r#"{"schema":"other"}"#] {
            fs::write(&path, content).unwrap();
            let error = refusal(INPUT, &["report", ADD, "--stored", "--out", out]);
            assert!(error.contains(part), "{part} {content}: {error}");
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(
        run(&["report", ADD, "--stored", "--out", out])
            .status
            .success()
    );
}

// ---------------------------------------------------------------- shapes and memory

/// A safetensors file of zeros for a network of this shape, whose layer norms are folded.
fn zeros(shape: Shape) -> Vec<u8> {
    let Shape {
        n_layers,
        n_heads: h,
        d_model: d,
        d_head,
        d_mlp: m,
        ..
    } = shape;
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("embed.W_E".into(), vec![15, d]),
        ("pos_embed.W_pos".into(), vec![shape.n_ctx(), d]),
        ("unembed.W_U".into(), vec![d, 15]),
        ("unembed.b_U".into(), vec![15]),
    ];
    for layer in 0..n_layers {
        for (name, dims) in [
            ("attn.W_Q", vec![h, d, d_head]),
            ("attn.W_K", vec![h, d, d_head]),
            ("attn.W_V", vec![h, d, d_head]),
            ("attn.W_O", vec![h, d_head, d]),
            ("attn.b_Q", vec![h, d_head]),
            ("attn.b_K", vec![h, d_head]),
            ("attn.b_V", vec![h, d_head]),
            ("attn.b_O", vec![d]),
            ("mlp.W_in", vec![d, m]),
            ("mlp.b_in", vec![m]),
            ("mlp.W_out", vec![m, d]),
            ("mlp.b_out", vec![d]),
        ] {
            tensors.push((format!("blocks.{layer}.{name}"), dims));
        }
    }
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, dims) in tensors {
        let end = at + 4 * dims.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": dims, "data_offsets": [at, end]});
        header.insert(name, entry);
        at = end;
    }
    safetensors_file(&Value::Object(header).to_string(), at)
}

fn safetensors_file(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data, 0);
    file
}

const NARROW: Shape = Shape {
    n_digits: 2,
    n_layers: 1,
    n_heads: 1,
    d_model: 1,
    d_head: 1,
    d_mlp: 1,
};

#[test]
fn shapes_that_no_network_has_are_refused() {
    for (shape, dimension) in [
        (
            Shape {
                n_heads: 4000,
                ..NARROW
            },
            "n_heads",
        ),
        (
            Shape {
                n_heads: 100_000,
                ..NARROW
            },
            "n_heads",
        ),
        (
            Shape {
                n_layers: 65,
                ..NARROW
            },
            "the number of layers",
        ),
        (
            Shape {
                d_model: 8193,
                ..NARROW
            },
            "d_model",
        ),
        (
            Shape {
                d_head: 2_000_000,
                ..NARROW
            },
            "d_head",
        ),
        (
            Shape {
                n_heads: 64,
                d_head: 513,
                ..NARROW
            },
            "n_heads times d_head",
        ),
        (
            Shape {
                d_mlp: 65_537,
                ..NARROW
            },
            "d_mlp",
        ),
        (
            Shape {
                n_digits: 37,
                n_layers: 64,
                n_heads: 64,
                d_mlp: 1000,
                ..NARROW
            },
            "the number of activations of a question",
        ),
    ] {
        let arrays = read_safetensors(&zeros(shape)).unwrap();
        let error = Weights::from_arrays(arrays).unwrap_err();
        assert!(
            matches!(error, WeightsError::TooLarge(found) if found.dimension == dimension),
            "{shape:?}: {error}"
        );
    }
}

#[test]
fn stored_results_of_such_shapes_are_refused() {
    let shape = |key: &str, value: u64| {
        let mut shape = json!(NARROW);
        shape[key] = value.into();
        serde_json::from_value::<Shape>(shape).map_err(|error| error.to_string())
    };
    assert_eq!(shape("n_layers", 2).unwrap().n_layers, 2);
    for (key, value) in [
        ("n_layers", 1 << 40),
        ("n_digits", 38),
        ("d_mlp", u64::MAX),
        ("n_heads", 0),
    ] {
        assert!(shape(key, value).is_err(), "{key} {value}");
    }
}

#[test]
fn shapes_at_the_limits_run() {
    for shape in [
        Shape {
            n_heads: 64,
            d_head: 512,
            ..NARROW
        },
        Shape {
            n_layers: 64,
            n_heads: 4,
            ..NARROW
        },
        Shape {
            d_mlp: 65_536,
            ..NARROW
        },
        Shape {
            d_model: 8192,
            ..NARROW
        },
        Shape {
            n_digits: 37,
            ..NARROW
        },
    ] {
        let weights = Weights::from_arrays(read_safetensors(&zeros(shape)).unwrap()).unwrap();
        let prompt =
            circuitcheck::domain::arithmetic::Prompt::parse("1+1", shape.n_digits).unwrap();
        let logits = Engine::new(&weights).logits(&[prompt]).unwrap();
        assert_eq!(logits.len(), 1, "{shape:?}");
    }
}

/// `before`, `part` again and again, `after`.
fn filled(bytes: usize, before: &str, part: &str, after: &str) -> String {
    let count = (bytes - before.len() - after.len()) / part.len();
    format!("{before}{}{after}", part.repeat(count))
}

#[test]
fn a_safetensors_header_cannot_fill_memory() {
    let one_shape = |bytes| {
        let end = r#"1],"data_offsets":[0,4]}}"#;
        filled(bytes, r#"{"a":{"dtype":"F32","shape":["#, "1,", end)
    };
    let metadata = |bytes| {
        let entries: Vec<String> = (0..bytes / 14).map(|i| format!(r#""{i:08}":"""#)).collect();
        let end = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        format!("{{\"__metadata__\":{{{}}},{end}", entries.join(","))
    };
    for header in [one_shape(90 * MIB), metadata(80 * MIB)] {
        let file = safetensors_file(&header, 4);
        let (read, peak) = peak_memory(|| read_safetensors(&file));
        let error = read.unwrap_err().to_string();
        assert!(
            error.contains("more than the 1048576 that are read"),
            "{error}"
        );
        assert!(peak < MIB, "{peak}");
    }
    // The longest that is read takes a part of what SECURITY.md promises.
    for header in [one_shape(MIB), metadata(MIB - 100)] {
        let file = safetensors_file(&header, 4);
        let (read, peak) = peak_memory(|| read_safetensors(&file));
        read.unwrap();
        assert!(peak < 64 * MIB, "{peak}");
    }
}

#[test]
fn the_largest_training_record_takes_no_more_than_promised() {
    for (loss, last) in [("1,", "1"), ("1,", "NaN"), ("NaN,", "NaN"), ("null,", "1")] {
        let end = format!("{last}]}}");
        let file = filled(64 * MIB, r#"{"TrainingLoss":["#, loss, &end);
        let (read, peak) = peak_memory(|| TrainingRecord::from_json(file.as_bytes()));
        assert!(read.unwrap().training_loss.len() > 10 * MIB);
        // With the file itself, the 256 MiB that SECURITY.md states.
        assert!(peak <= 192 * MIB + MIB, "{loss} {last}: {peak}");
    }
}

#[test]
fn the_largest_result_takes_no_more_than_promised_and_a_larger_one_is_refused() {
    let stored =
        fs::read_to_string(root().join("reports").join(NAME).join("evidence.json")).unwrap();
    let (before, after) = stored.split_once("\"nodes\": [").unwrap();
    let before = format!("{before}\"nodes\": [");
    let largest = |bytes| filled(bytes, &before, "\"P6L0H0\",", after);
    let file = largest(MAX_RESULT_BYTES as usize);
    let (read, peak) = peak_memory(|| Evidence::from_json(file.as_bytes()));
    assert!(read.unwrap().claims[0].nodes.len() > 6 * MIB);
    // With the file itself, the 512 MiB that SECURITY.md states.
    assert!(peak <= 512 * MIB - file.len(), "{peak}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.json");
    fs::write(&path, largest(MAX_RESULT_BYTES as usize + 32)).unwrap();
    let out = folder.path().to_str().unwrap();
    let error = refusal(INPUT, &["report", ADD, "--stored", "--out", out]);
    assert!(
        error.contains("more than the 67108864 bytes that are read of a result"),
        "{error}"
    );
}

#[test]
fn the_largest_set_of_questions_takes_no_more_than_promised() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("questions.txt");
    let shown = file.to_str().unwrap();
    // The last line is no question, so that none is asked.
    let arguments = [
        "ablate",
        ADD,
        "--node",
        "P6L0H0",
        "--by",
        "zero",
        "--questions",
        shown,
    ];
    fs::write(&file, filled(4 * MIB, "", "1+1\n", "no question")).unwrap();
    let (output, most) = peak_of(&arguments);
    assert_eq!(output.status.code(), Some(INPUT));
    assert!(most < 256 * MIB, "{most}");
    fs::write(&file, filled(4 * MIB + 4, "", "1+1\n", "1+1\n")).unwrap();
    let error = refusal(INPUT, &arguments);
    assert!(
        error.contains("more than the 4194304 that are read of a set"),
        "{error}"
    );
}

#[test]
fn a_hypothesis_of_very_many_cases_is_refused() {
    let clause = |n: usize, range: &str| {
        format!("[[exists]]\nsays = \"{n}\"\nclaim = \"SA n\"\nfor = \"{range}\"\n")
    };
    let wide = format!("name = \"x\"\n{}", clause(0, "0 to 999+999"));
    let error = Hypothesis::read("wide", &wide).unwrap_err().to_string();
    assert!(error.contains("\"999\" is larger than 99"), "{error}");

    let clauses = |count: usize| {
        let clauses: Vec<String> = (0..count).map(|n| clause(n, "0 to 99+99")).collect();
        format!("name = \"x\"\n{}", clauses.concat())
    };
    let error = Hypothesis::read("many", &clauses(MAX_CLAUSES + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "many: 1001 clauses, more than the 1000 that are read"
    );

    // The largest that is read, tested.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("largest.toml");
    fs::write(&file, clauses(MAX_CLAUSES)).unwrap();
    let evidence = format!("reports/{NAME}/evidence.json");
    let (out, most) = peak_of(&["test", ADD, file.to_str().unwrap(), "--evidence", &evidence]);
    assert_eq!(out.status.code(), Some(REFUTED), "{}", stderr(&out));
    assert!(most < 512 * MIB, "{most}");
}

/// What a command gives, and the most memory its process had.
#[cfg(target_os = "linux")]
fn peak_of(arguments: &[&str]) -> (Output, usize) {
    let mut child = program()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(status) = fs::read_to_string(&status) {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"));
            let Some(line) = line else { break };
            let kib = line.split_whitespace().nth(1).unwrap();
            peak = kib.parse::<usize>().unwrap() * 1024;
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let mut out = Vec::new();
    std::io::copy(child.stdout.as_mut().unwrap(), &mut out).unwrap();
    let status = child.wait().unwrap();
    let output = Output {
        status,
        stdout: out,
        stderr: Vec::new(),
    };
    (output, watcher.join().unwrap())
}

#[cfg(not(target_os = "linux"))]
fn peak_of(arguments: &[&str]) -> (Output, usize) {
    (run(arguments), 0)
}

#[test]
fn more_tags_than_any_network_has_are_refused() {
    let file = |tags: usize, tag: &str| {
        let tags = vec![format!("\"{tag}\""); tags].join(",");
        format!(r#"[{{"position":1,"layer":0,"is_head":true,"num":0,"tags":[{tags}]}}]"#)
    };
    let error = |text: String| {
        read_tagged_nodes("f", text.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(file(MAX_TAGS + 1, "a:b")),
        "f: more than the 32768 tags that are read"
    );
    let long = format!("a:{}", "b".repeat(MAX_TAG_BYTES));
    assert_eq!(
        error(file(1, &long)),
        "f: node P1L0H0: a tag of 1026 bytes, more than the 1024 that are read"
    );
    assert!(read_tagged_nodes("f", file(MAX_TAGS, "a:b").as_bytes()).is_ok());
}

#[test]
fn the_most_claims_that_are_read_are_verified_within_the_memory_promised() {
    let tags: Vec<String> = (0..MAX_TAGS - 1)
        .map(|i| format!("\"Algo:A{i}.XX\""))
        .collect();
    let tags = format!("{},\"Algo:A0.SA\"", tags.join(","));
    let file = format!(r#"[{{"position":17,"layer":0,"is_head":true,"num":1,"tags":[{tags}]}}]"#);
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("features.json");
    fs::write(&features, file).unwrap();
    let out = folder.path().join("out");
    let (features, out) = (features.to_str().unwrap(), out.to_str().unwrap());
    let (output, most) = peak_of(&["verify", ADD, "--features", features, "--out", out]);
    assert!(stdout(&output).contains("32768 claims"));
    assert!(most < 512 * MIB, "{most}");
    let written: usize = files(Path::new(out)).values().map(Vec::len).sum();
    assert!(written < 256 * MIB, "{written}");
}

// ---------------------------------------------------------------- counts, nesting, numbers

#[test]
fn counts_that_cannot_be_are_refused_where_they_are_read() {
    for wrong in [
        r#"{"hits": 2, "trials": 1}"#,
        r#"{"hits": -1, "trials": 1}"#,
    ] {
        assert!(serde_json::from_str::<Count>(wrong).is_err(), "{wrong}");
    }
    let rate = r#"{"hits": 2, "trials": 1, "exhaustive": false, "lower": 0, "upper": 1}"#;
    let error = serde_json::from_str::<Rate>(rate).unwrap_err().to_string();
    assert!(error.contains("2 hits of only 1 trials"), "{error}");
    let wrong = r#"{"place": 1, "question": "00001+00001", "answer": "+000003"}"#;
    for (complexities, ties, wrong, said) in [
        (
            r#"{"S0": {"hits": 0, "trials": 9}}"#,
            0,
            wrong.to_owned(),
            "1 wrong answers are listed, 0 counted",
        ),
        (
            r#"{"S0": {"hits": 1, "trials": 9}}"#,
            2,
            String::new(),
            "2 ties among 1 wrong answers",
        ),
        (
            r#"{"S0": {"hits": 2, "trials": 9}}"#,
            0,
            format!("{wrong},{wrong}"),
            "in order, each once",
        ),
        (
            r#"{"S0": {"hits": 0, "trials": 18446744073709551615}, "S1": {"hits": 0, "trials": 2}}"#,
            0,
            String::new(),
            "more questions than a file can count",
        ),
    ] {
        let tally =
            format!(r#"{{"complexities": {complexities}, "ties": {ties}, "wrong": [{wrong}]}}"#);
        let error = serde_json::from_str::<AccuracyTally>(&tally)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn evidence_with_more_hits_than_trials_is_refused() {
    let path = root().join("reports").join(NAME).join("evidence.json");
    let text = fs::read_to_string(path).unwrap();
    let mut evidence: Value = serde_json::from_str(&text).unwrap();
    let control = evidence["claims"].as_array_mut().unwrap();
    let control = control
        .iter_mut()
        .find_map(|claim| claim["trials"]["controls"]["untrained"].as_object_mut())
        .unwrap();
    control.insert("hits".into(), json!(1u64 << 40));
    let error = Evidence::from_json(evidence.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("hits of only"), "{error}");
}

#[test]
fn nesting_has_a_limit_everywhere() {
    for depth in [17, 300, 30_000] {
        let nested = format!("{}1+1{}", "(".repeat(depth), ")".repeat(depth));
        assert!(nested.parse::<Template>().is_err());
        let chained = format!("{}1{}", "(1+".repeat(depth), ")".repeat(depth));
        assert!(chained.parse::<Template>().is_err());
    }
    let deep = format!("{}1{}+1", "(1+".repeat(16), ")".repeat(16));
    assert!(
        deep.parse::<Template>().is_ok(),
        "{:?}",
        deep.parse::<Template>()
    );
    for open in ["(", "not ", "(a and "] {
        let filter = format!("{}a", open.repeat(10_000));
        let error = refusal(USAGE, &["verify", ADD, "-k", &filter]);
        assert!(error.contains("at most 1000 words"), "{open}");
    }
    let nested = "[".repeat(100_000);
    assert!(read_tagged_nodes("f", nested.as_bytes()).is_err());
    let toml = format!("name = {nested}");
    assert!(Hypothesis::read("f", &toml).is_err());
}

#[test]
fn numbers_beyond_all_sense_are_refused_before_anything_runs() {
    const ABSURD: &str = "18446744073709551615";
    for arguments in [
        &["circuit", ADD, "--random-sets"][..],
        &["circuit", ADD, "--count"],
        &["circuit", ADD, "--most"],
        &["verify", ADD, "--max-trials"],
        &["verify", ADD, "--behaviors", "--sets"],
        &["represents", ADD, "--max-trials"],
        &["graph", ADD, "--measure", "--trials"],
        &["coverage", ADD, "--count"],
        &["property", ADD, "--cases"],
        &["accuracy", ADD, "--count"],
        &["accuracy", ADD, "--keep"],
        &["shard", "plan", ADD, "--count"],
        &["shard", "plan", ADD, "--keep"],
        &["sweep", ADD, "--out", "never", "--count"],
        &["sweep", ADD, "--out", "never", "--cases"],
        &["show", ADD, "--threads"],
    ] {
        for number in [ABSURD, "1e16"] {
            let error = refusal(USAGE, &[arguments, &[number]].concat());
            assert!(error.contains("expected at most"), "{arguments:?}: {error}");
        }
    }
    // Two operands of 20 digits each are more questions than a number holds.
    let error = refusal(
        INPUT,
        &[
            "accuracy",
            ADD,
            "--exhaustive",
            "--a",
            "0..99999",
            "--b",
            ABSURD,
        ],
    );
    assert!(error.contains("more digits"), "{error}");
}

#[test]
fn a_search_that_is_asked_for_again_is_not_made_again() {
    let clause = "[[exists]]\nsays = \"s\"\nclaim = \"SA 1\"\nat = \"== predicts(1)\"\nlayer = 0\nkind = \"head\"\nsearch = true\n";
    let folder = tempfile::tempdir().unwrap();
    let evidence = format!("reports/{NAME}/evidence.json");
    let seconds = |clauses: usize| {
        let file = folder.path().join(format!("{clauses}.toml"));
        fs::write(&file, format!("name = \"x\"\n{}", clause.repeat(clauses))).unwrap();
        let file = file.to_str().unwrap();
        let started = Instant::now();
        let output = run(&["test", ADD, file, "--evidence", &evidence, "--json"]);
        assert_eq!(output.status.code(), Some(SUCCESS), "{}", stderr(&output));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let cases = found["clauses"].as_array().unwrap().clone();
        assert!(cases.iter().all(|case| case["cases"] == cases[0]["cases"]));
        started.elapsed().as_secs_f64()
    };
    let (one, many) = (seconds(1), seconds(40));
    assert!(many < 6.0 * one, "{one} {many}");
}

// ---------------------------------------------------------------- hostile text

/// Texts that a terminal, a table or a page would obey.
const NASTY: [&str; 6] = [
    "\u{1b}[2J\u{1b}[8mhidden",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "line\nP1L0H0  A1.ST  supported",
    "\u{202e}desrever",
    "a\u{0}b",
];

/// Texts whose characters are all shown, but mean something to Markdown or HTML.
const MARKUP: &str = "x|y<script>alert(1)</script>[a](b)`c`";

fn assert_plain(what: &str, text: &str) {
    let hidden = text.chars().find(|&c| is_hidden(c) && c != '\n');
    assert_eq!(hidden, None, "{what}: {text:?}");
}

#[test]
fn no_tag_speaks_to_the_terminal() {
    for nasty in NASTY {
        for tag in [format!("Algo:{nasty}"), format!("{nasty}:x")] {
            let entry =
                json!([{"position": 6, "layer": 0, "is_head": true, "num": 0, "tags": [tag]}]);
            let (_keep, model) = small(SMALL, &[("features.json", entry.to_string().as_bytes())]);
            for command in ["show", "verify", "coverage"] {
                let output = program().arg(command).arg(&model).output().unwrap();
                assert_eq!(output.status.code(), Some(INPUT), "{command}");
                let said = stderr(&output);
                assert_plain(command, &said);
                assert!(said.contains("control character U+"), "{command}: {said}");
            }
        }
    }
}

#[test]
fn a_tag_of_markup_reaches_reports_as_text() {
    let entry = json!([{"position": 17, "layer": 0, "is_head": true, "num": 1,
        "tags": ["Algo:A0.SA", format!("Algo:{MARKUP}")]}]);
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("features.json");
    fs::write(&features, entry.to_string()).unwrap();
    let out = folder.path().join("out");
    let mut command = program();
    command
        .arg("verify")
        .arg(ADD)
        .arg("--features")
        .arg(&features);
    command
        .args(["--format", "html,md,json,junit"])
        .arg("--out")
        .arg(&out);
    let output = command.output().unwrap();
    assert!(stdout(&output).contains(MARKUP), "{}", stderr(&output));
    let written = files(&out);
    let text = |name: &str| String::from_utf8(written[name].clone()).unwrap();
    for name in ["report.html", "report.md", "junit.xml"] {
        assert!(!text(name).contains("<script>alert"), "{name}");
        assert_plain(name, &text(name));
    }
    let markdown = text("report.md");
    let row = markdown
        .lines()
        .find(|line| line.contains("script"))
        .unwrap();
    assert!(row.contains(r"x\|y&lt;script>"), "{row}");
    assert!(!row.contains("[a](") || row.contains(r"\[a]("), "{row}");
}

/// Puts a text in the place of each text of a document in turn, keys of objects aside.
fn each_text(document: &Value, nasty: &str, put: &mut dyn FnMut(Value)) {
    fn paths(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(at),
            // The first of a list stands for its others.
            Value::Array(items) => {
                if let Some(first) = items.first() {
                    paths(first, format!("{at}/0"), found);
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    paths(value, format!("{at}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    paths(document, String::new(), &mut found);
    assert!(found.len() > 1, "{found:?}");
    for path in found {
        let mut changed = document.clone();
        *changed.pointer_mut(&path).unwrap() = nasty.into();
        put(changed);
    }
}

#[test]
fn no_text_of_stored_results_speaks_to_the_terminal_or_a_page() {
    let stored = tempfile::tempdir().unwrap();
    for (name, content) in files(&root().join("reports").join(NAME)) {
        fs::write(stored.path().join(name), content).unwrap();
    }
    for part in [
        "evidence.json",
        "property.json",
        "graph.json",
        "circuit.json",
        "attention.json",
    ] {
        let path = stored.path().join(part);
        let whole = fs::read(&path).unwrap();
        let document: Value = serde_json::from_slice(&whole).unwrap();
        for nasty in NASTY {
            each_text(&document, nasty, &mut |changed| {
                let json = changed.to_string();
                let error = match part {
                    "evidence.json" => Evidence::from_json(json.as_bytes())
                        .unwrap_err()
                        .to_string(),
                    _ => {
                        fs::write(&path, json).unwrap();
                        let read = circuitcheck::report::Report::read(stored.path(), None, "");
                        read.err().expect("a refusal").to_string()
                    }
                };
                let is_schema = error.contains("this version reads");
                assert!(
                    is_schema || error.contains("control character"),
                    "{error:?}"
                );
            });
        }
        fs::write(&path, whole).unwrap();
    }
}

/// The plan of a thousand questions of the addition model in one shard, as `shard plan` prints it.
fn planned() -> Output {
    run(&[
        "shard",
        "plan",
        ADD,
        "--count",
        "1000",
        "--shards",
        "1",
        "--no-claims",
    ])
}

#[test]
fn no_text_of_a_plan_or_a_shard_speaks_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    let named = plan.to_str().unwrap();
    let made = planned();
    let document: Value = serde_json::from_slice(&made.stdout).unwrap();
    for nasty in NASTY {
        each_text(&document, nasty, &mut |changed| {
            fs::write(&plan, changed.to_string()).unwrap();
            let said = refusal(INPUT, &["shard", "status", "--plan", named]);
            assert_plain("status", &said);
        });
    }
    fs::write(&plan, &made.stdout).unwrap();
    assert!(
        run(&["shard", "work", "--plan", named, "--index", "0"])
            .status
            .success()
    );
    let result = folder.path().join("plan.shards/shard-0.json");
    let document: Value = serde_json::from_slice(&fs::read(&result).unwrap()).unwrap();
    each_text(&document, NASTY[0], &mut |changed| {
        fs::write(&result, changed.to_string()).unwrap();
        assert_plain(
            "merge",
            &refusal(INPUT, &["shard", "status", "--plan", named]),
        );
    });
}

#[test]
fn no_text_of_a_hypothesis_or_property_speaks_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nasty.toml");
    let quoted = |nasty: &str| Value::from(nasty).to_string().replace("\\u0000", "\\u0007");
    let evidence = format!("reports/{NAME}/evidence.json");
    for nasty in NASTY {
        let nasty = quoted(nasty);
        let hypothesis = format!(
            "name = {nasty}\nabout = {nasty}\n[[exists]]\nsays = {nasty}\nclaim = \"SA 0\"\n"
        );
        fs::write(&file, hypothesis).unwrap();
        let output = run(&["test", ADD, file.to_str().unwrap(), "--evidence", &evidence]);
        assert_plain("test", &(stdout(&output) + &stderr(&output)));
        let lines = stdout(&output);
        assert!(
            !lines.lines().any(|line| line.starts_with("P1L0H0")),
            "{lines}"
        );
        let property = format!(
            "name = \"own\"\nsays = {nasty}\nleft = \"{{a}}+{{b}}\"\nrelation = \"right\"\n"
        );
        fs::write(&file, property).unwrap();
        let file = file.to_str().unwrap();
        let output = run(&["property", ADD, "--properties", file, "--list"]);
        assert_plain("property", &(stdout(&output) + &stderr(&output)));
        let lines = stdout(&output);
        assert!(
            !lines.lines().any(|line| line.starts_with("P1L0H0")),
            "{lines}"
        );
    }
}

#[cfg(unix)]
#[test]
fn no_name_of_a_folder_speaks_to_the_terminal_or_a_page() {
    for nasty in NASTY
        .into_iter()
        .filter(|nasty| !nasty.contains(['\0', '/']))
    {
        let (keep, model) = small(nasty, &[]);
        let accuracy = program()
            .current_dir(keep.path())
            .arg("accuracy")
            .arg(&model)
            .args(["--operations", "add", "--count", "1000"])
            .output()
            .unwrap();
        assert_eq!(
            accuracy.status.code(),
            Some(SUCCESS),
            "{}",
            stderr(&accuracy)
        );
        assert_plain("accuracy", &(stdout(&accuracy) + &stderr(&accuracy)));
        let shown = program().arg("show").arg(&model).output().unwrap();
        assert_plain("show", &(stdout(&shown) + &stderr(&shown)));
    }
}

// ---------------------------------------------------------------- clear words

#[test]
fn what_stands_in_a_files_place_is_named() {
    let gzip: &[u8] = b"\x1f\x8b\x08\x00rest";
    let pointer: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    let page: &[u8] = b"<!DOCTYPE html><html>";
    let utf16: &[u8] = b"\xff\xfe[\x00]\x00";
    for file in ["model.pth", "training_loss.json"] {
        for (content, said) in [
            (gzip, "compressed with gzip"),
            (pointer, "git lfs pull"),
            (page, "a web page"),
            (utf16, "UTF-16"),
        ] {
            let (_keep, model) = small(SMALL, &[(file, content)]);
            let error = ModelFolder::open(&model).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(said), "{error}");
        }
    }
    let legacy: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let error = read_pth(legacy).unwrap_err().to_string();
    assert_eq!(
        error,
        "a file of torch before 1.6, only its newer form is read"
    );
    let (_keep, model) = small(SMALL, &[("model.pth", legacy)]);
    let error = refusal(INPUT, &["show", model.to_str().unwrap()]);
    assert!(error.contains("hint: save it again in Python"), "{error}");
}

#[test]
fn a_byte_order_mark_is_skipped_everywhere() {
    let claims = "\u{feff}[{\"position\":6,\"layer\":0,\"is_head\":true,\"num\":0,\"tags\":[\"Algo:A0.SA\"]}]";
    let training = "\u{feff}{\"Config\": {}, \"TrainingLoss\": [1.0]}";
    let others = [
        ("features.json", claims.as_bytes()),
        ("training_loss.json", training.as_bytes()),
        ("questions.txt", "\u{feff}1+2\n".as_bytes()),
        ("questions.json", "\u{feff}[\"1+2\"]".as_bytes()),
        (
            "h.toml",
            "\u{feff}name = \"x\"\n[[exists]]\nsays = \"y\"\nclaim = \"SA 0\"\n".as_bytes(),
        ),
        (
            "p.toml",
            "\u{feff}name = \"own\"\nsays = \"y\"\nleft = \"{a}+{b}\"\nrelation = \"right\"\n"
                .as_bytes(),
        ),
    ];
    let (_keep, model) = small(SMALL, &others);
    let within = |name: &str| model.join(name).to_str().unwrap().to_owned();
    let folder = model.to_str().unwrap();
    assert!(run(&["show", folder]).status.success());
    for questions in ["questions.txt", "questions.json"] {
        let questions = within(questions);
        let output = run(&[
            "ablate",
            folder,
            "--node",
            "P6L0H0",
            "--by",
            "zero",
            "--questions",
            &questions,
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(Hypothesis::open(Path::new(&within("h.toml"))).is_ok());
    let output = run(&[
        "property",
        folder,
        "--properties",
        &within("p.toml"),
        "--list",
    ]);
    assert!(stdout(&output).contains("own"), "{}", stderr(&output));
}

#[test]
fn losses_that_are_no_numbers_are_warned_about_and_drawn_as_gaps() {
    let training = br#"{"Config": {}, "TrainingLoss": [2.0, 1.5, NaN, Infinity, 0.5, 0.25]}"#;
    let (_keep, model) = small(SMALL, &[("training_loss.json", training)]);
    let output = run(&["show", model.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(SUCCESS), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("2 of 6 losses are NaN or infinite"), "{said}");

    let stored = root().join("reports").join(NAME);
    let mut report = circuitcheck::report::Report::read(&stored, None, "")
        .unwrap()
        .unwrap();
    report.losses = vec![2.0, 1.5, f32::NAN, f32::INFINITY, 0.5, 0.25];
    let page = circuitcheck::report::Format::Html.write(&report);
    let (_, median) = page.split_once("<path class=\"median\" d=\"").unwrap();
    let (median, _) = median.split_once('"').unwrap();
    assert_eq!(median.matches('M').count(), 2, "{median}");
    assert!(page.contains("<td>–</td>"));
}

#[test]
fn checksums_of_zero_are_accepted_with_a_warning() {
    let (_keep, model) = small(SMALL, &[]);
    let file = model.join("model.pth");
    let mut bytes = fs::read(&file).unwrap();
    let whole = read_pth(&bytes).unwrap();
    // The checksum is at byte 14 of each local header, and at byte 16 of each entry of the directory.
    for at in 0..bytes.len() - 20 {
        match &bytes[at..at + 4] {
            b"PK\x03\x04" => bytes[at + 14..at + 18].fill(0),
            b"PK\x01\x02" => bytes[at + 16..at + 20].fill(0),
            _ => {}
        }
    }
    assert_eq!(read_pth(&bytes).unwrap(), whole);
    fs::write(&file, &bytes).unwrap();
    let output = run(&["show", model.to_str().unwrap()]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(SUCCESS), "{said}");
    assert!(
        said.contains("entries of the archive have no checksum"),
        "{said}"
    );
}

#[test]
fn a_node_outside_the_model_is_listed_alike_by_show_and_verify() {
    let claims = json!([
        {"position": 6, "layer": 0, "is_head": true, "num": 0, "tags": ["Algo:A0.SA"]},
        {"position": 99, "layer": 0, "is_head": true, "num": 0, "tags": ["Algo:A0.SA"]},
    ]);
    let (_keep, model) = small(SMALL, &[("features.json", claims.to_string().as_bytes())]);
    let model = model.to_str().unwrap();
    let reason = "P99L0H0 is at position 99, the model has positions 0 to 9";
    let shown = run(&["show", model]);
    assert_eq!(shown.status.code(), Some(SUCCESS), "{}", stderr(&shown));
    assert!(stdout(&shown).contains(reason), "{}", stdout(&shown));
    assert!(stderr(&shown).contains(reason));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let verified = run(&["verify", model, "--json", "--out", out]);
    assert!(stdout(&verified).contains(reason), "{}", stdout(&verified));
}

#[test]
fn a_plan_without_shards_or_models_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    let made = planned();
    let document: Value = serde_json::from_slice(&made.stdout).unwrap();
    for (key, said) in [
        ("shards", "it has no shards"),
        ("models", "it has no models"),
    ] {
        let mut changed = document.clone();
        changed[key] = json!([]);
        fs::write(&plan, changed.to_string()).unwrap();
        for command in [&["status"][..], &["work", "--index", "0"]] {
            let plan = ["--plan", plan.to_str().unwrap()];
            let error = refusal(INPUT, &[&["shard"], command, &plan].concat());
            assert!(error.contains(said), "{error}");
        }
    }
}

#[test]
fn a_relative_path_of_a_plan_is_looked_for_beside_the_plan() {
    let (keep, _) = small(SMALL, &[]);
    let planned = program()
        .current_dir(keep.path())
        .args(["shard", "plan", SMALL, "--count", "1000", "--shards", "1"])
        .output()
        .unwrap();
    let plan = keep.path().join("plan.json");
    fs::write(&plan, &planned.stdout).unwrap();
    let plan = plan.to_str().unwrap();
    let done = run(&["shard", "work", "--plan", plan, "--index", "0"]);
    assert!(done.status.success(), "{}", stderr(&done));

    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("plan.json");
    fs::copy(plan, &moved).unwrap();
    let error = refusal(
        INPUT,
        &[
            "shard",
            "work",
            "--plan",
            moved.to_str().unwrap(),
            "--index",
            "0",
        ],
    );
    assert!(
        error.contains("neither in the current folder nor beside the plan"),
        "{error}"
    );
}

#[test]
fn counts_of_a_shard_that_cannot_be_are_refused_by_merge() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    let made = run(&["shard", "plan", ADD, "--count", "1000", "--shards", "1"]);
    fs::write(&plan, &made.stdout).unwrap();
    let plan = plan.to_str().unwrap();
    assert!(
        run(&["shard", "work", "--plan", plan, "--index", "0"])
            .status
            .success()
    );
    let result = folder.path().join("plan.shards/shard-0.json");
    let whole: Value = serde_json::from_slice(&fs::read(&result).unwrap()).unwrap();
    let out = folder.path().join("out");
    let claim = "/done/0/claims/0";
    for (at, value, said) in [
        (
            format!("{claim}/counterfactual/hits"),
            json!(1u64 << 40),
            "hits of only",
        ),
        (
            format!("{claim}/control_pairs/trials"),
            json!(1u64 << 40),
            "claim 0 counts more than",
        ),
        (
            format!("{claim}/dropped"),
            json!(u64::MAX),
            "claim 0 counts more than",
        ),
        (
            format!("{claim}/moved"),
            json!(1u64 << 40),
            "claim 0 counts more than",
        ),
        (
            "/done/0/tally/ties".to_owned(),
            json!(1u64 << 40),
            "ties among",
        ),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(&at).unwrap() = value;
        fs::write(&result, changed.to_string()).unwrap();
        let error = refusal(
            INPUT,
            &[
                "shard",
                "merge",
                "--plan",
                plan,
                "--out",
                out.to_str().unwrap(),
            ],
        );
        assert!(error.contains(said), "{at}: {error}");
    }
}
