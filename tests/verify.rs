//! `circuitcheck verify` as its users meet it: exit codes, what is written where, and bad input.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::Weights;
use serde_json::Value;
use tempfile::TempDir;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";

fn verify() -> Command {
    let mut command = Command::cargo_bin("circuitcheck").unwrap();
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("verify");
    command
}

/// A claims file of entries `(position, layer, is_head, num, tag)`.
fn claims(folder: &TempDir, entries: &[(usize, usize, bool, usize, &str)]) -> PathBuf {
    let nodes: Vec<Value> = entries
        .iter()
        .map(|&(position, layer, is_head, num, tag)| {
            let tags: Vec<&str> = [tag].into_iter().filter(|tag| !tag.is_empty()).collect();
            serde_json::json!({
                "position": position, "layer": layer, "is_head": is_head, "num": num, "tags": tags
            })
        })
        .collect();
    let path = folder.path().join("claims.json");
    fs::write(&path, serde_json::to_string(&nodes).unwrap()).unwrap();
    path
}

fn evidence(output: &[u8]) -> Value {
    serde_json::from_slice(output).unwrap()
}

/// The verdicts of claims about the addition model, and the exit code.
fn verdicts(entries: &[(usize, usize, bool, usize, &str)]) -> (Vec<String>, i32) {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let result = verify()
        .args([ADD, "--json", "--max-trials", "1024", "--features"])
        .arg(claims(&folder, entries))
        .arg("--out")
        .arg(&out)
        .assert();
    let output = result.get_output();
    let evidence = evidence(&output.stdout);
    let verdicts = evidence["claims"].as_array().unwrap().iter();
    let verdicts = verdicts.map(|c| c["verdict"].as_str().unwrap().to_owned());
    (verdicts.collect(), output.status.code().unwrap())
}

/// The files of a folder, locks aside.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_true_claim_is_supported_and_the_program_ends_with_0() {
    let (verdicts, code) = verdicts(&[(17, 0, true, 1, "Algo:A0.SA")]);
    assert_eq!((verdicts, code), (vec!["supported".to_owned()], 0));
}

#[test]
fn a_false_claim_is_refuted_and_the_program_ends_with_1() {
    let (verdicts, code) = verdicts(&[
        (17, 0, true, 1, "Algo:A0.SA"),
        (17, 0, true, 0, "Algo:A0.SA"),
    ]);
    assert_eq!(verdicts, ["supported", "refuted"]);
    assert_eq!(code, 1);
}

#[test]
fn a_claim_that_cannot_be_tested_says_why_and_the_rest_go_on() {
    let folder = TempDir::new().unwrap();
    let features = claims(
        &folder,
        &[
            (17, 0, true, 1, "Algo:A0.SA"),
            (19, 0, true, 1, "Algo:A0.SA"),
            (16, 0, true, 7, "Algo:A1.SA"),
            (15, 0, true, 1, "Algo:A2.XY"),
            (14, 0, true, 1, "Algo:A9.SA"),
            (13, 0, true, 1, "Algo:A4.MD"),
        ],
    );
    let result = verify()
        .args([ADD, "--json", "--features"])
        .arg(features)
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(0);
    let evidence = evidence(&result.get_output().stdout);
    let reasons: Vec<&str> = evidence["claims"].as_array().unwrap()[1..]
        .iter()
        .map(|claim| {
            assert_eq!(claim["verdict"], "not testable");
            claim["because"]["reason"].as_str().unwrap()
        })
        .collect();
    assert_eq!(evidence["claims"][0]["verdict"], "supported");
    assert!(
        reasons[0].contains("position 19") && reasons[0].contains("0 to 18"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("head 7") && reasons[1].contains("0 to 2"),
        "{reasons:?}"
    );
    assert_eq!(reasons[2], "unknown task \"XY\"");
    assert!(
        reasons[3].contains("A9.SA") && reasons[3].contains("5 digits"),
        "{reasons:?}"
    );
    assert!(reasons[4].contains("SUB questions"), "{reasons:?}");
}

#[test]
fn where_nothing_can_be_tested_the_program_ends_with_3() {
    let (verdicts, code) = verdicts(&[(15, 0, true, 1, "Algo:A2.XY")]);
    assert_eq!((verdicts, code), (vec!["not testable".to_owned()], 3));
}

#[test]
fn a_file_without_claims_is_an_error_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let result = verify()
        .args([ADD, "--features"])
        .arg(claims(&folder, &[(9, 0, true, 1, "")]))
        .arg("--out")
        .arg(&out)
        .assert()
        .code(4);
    let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(
        stderr.contains("none of the 1 nodes has a claim"),
        "{stderr}"
    );
    assert!(result.get_output().stdout.is_empty());
    assert!(!out.exists());
}

#[test]
fn a_claims_file_that_is_wrong_is_an_error_that_names_it_and_nothing_is_written() {
    let wrong = [
        ("{", "line 1"),
        (r#"{"a": 1}"#, "expected a list"),
        (
            r#"[{"position":9,"layer":0,"is_head":true,"num":1,"tags":["Algo:A1:ST"]}]"#,
            "2 colons",
        ),
        (
            r#"[{"position":9,"layer":0,"is_head":true,"num":1,"tags":[]},
                {"position":9,"layer":0,"is_head":true,"num":1,"tags":[]}]"#,
            "listed twice",
        ),
    ];
    for (text, said) in wrong {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("wrong.json");
        fs::write(&path, text).unwrap();
        let out = folder.path().join("out");
        let result = verify()
            .args([ADD, "--features"])
            .arg(&path)
            .arg("--out")
            .arg(&out)
            .assert()
            .code(4);
        let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
        assert!(
            stderr.contains("wrong.json") && stderr.contains(said),
            "{stderr}"
        );
        assert!(!out.exists());
    }
}

#[test]
fn a_filter_that_matches_no_claim_is_a_usage_error() {
    let result = verify().args([ADD, "--task", "ND"]).assert().code(2);
    let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(
        stderr.contains("task ND") && stderr.contains("16 claims"),
        "{stderr}"
    );
    verify().args([ADD, "--node", "P0L0H0"]).assert().code(2);
    verify().args([ADD, "--task", "nonsense"]).assert().code(2);
}

#[test]
fn an_output_folder_that_takes_no_files_is_an_error_before_anything_runs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let result = verify()
        .args([ADD, "--node", "P17L0H1", "--out"])
        .arg(file.path().join("out"))
        .assert()
        .code(4);
    let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(stderr.contains("cannot be written"), "{stderr}");
    assert!(result.get_output().stdout.is_empty());
}

#[test]
fn a_filtered_run_writes_files_only_where_out_says() {
    let folder = TempDir::new().unwrap();
    let run = |out: Option<&Path>| {
        let mut command = verify();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(ADD);
        command.current_dir(folder.path()).arg(model);
        command.args(["--node", "P17L0H1"]);
        if let Some(out) = out {
            command.arg("--out").arg(out);
        }
        command.assert().code(0);
    };
    run(None);
    assert!(names(folder.path()).is_empty());
    run(Some(Path::new("here")));
    let written = names(&folder.path().join("here"));
    assert_eq!(
        written,
        [
            "attention.json",
            "evidence.json",
            "report.html",
            "report.json",
            "report.md",
            "run.json"
        ]
    );
}

#[test]
fn evidence_is_the_same_byte_for_byte_for_one_and_two_threads_and_run_json_names_it() {
    let folder = TempDir::new().unwrap();
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        let _ = verify()
            .args([
                ADD,
                "--node",
                "P16L0H2",
                "--node",
                "P9L0H1",
                "--threads",
                threads,
                "--out",
            ])
            .arg(&out)
            .assert();
        fs::read(out.join("evidence.json")).unwrap()
    };
    let (one, two) = (run("1"), run("2"));
    assert!(one == two);
    let record: Value =
        serde_json::from_slice(&fs::read(folder.path().join("1/run.json")).unwrap()).unwrap();
    assert_eq!(
        record["evidence_sha256"],
        circuitcheck::inputs::model::sha256(&one)
    );
}

#[test]
fn a_counterexample_replays_with_the_command_printed_beside_it() {
    let folder = TempDir::new().unwrap();
    let result = verify()
        .args([ADD, "--json", "--features"])
        .arg(claims(&folder, &[(17, 0, true, 0, "Algo:A0.SA")]))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(1);
    let evidence = evidence(&result.get_output().stdout);
    let example = &evidence["claims"][0]["because"]["counterexample"];
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    let command = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("circuitcheck "))
        .unwrap();
    let replayed = Command::cargo_bin("circuitcheck")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(command.split(' '))
        .arg("--json")
        .assert()
        .code(0);
    let replayed: Value = serde_json::from_slice(&replayed.get_output().stdout).unwrap();
    assert_eq!(replayed["answer"], example["got"]);
    assert_ne!(replayed["answer"], example["predicted"]);
}

#[test]
fn free_running_counterexamples_replay_free_running() {
    let folder = TempDir::new().unwrap();
    let result = verify()
        .args([ADD, "--json", "--decode", "free", "--max-trials", "256"])
        .arg("--features")
        .arg(claims(&folder, &[(9, 0, true, 2, "Algo:A2.ST")]))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(3);
    let evidence = evidence(&result.get_output().stdout);
    let example = &evidence["claims"][0]["because"]["counterexample"];
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    let command = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("circuitcheck "))
        .unwrap();
    assert!(command.ends_with(" --free"), "{command}");
    let replayed = Command::cargo_bin("circuitcheck")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(command.split(' '))
        .arg("--json")
        .assert()
        .code(0);
    let replayed: Value = serde_json::from_slice(&replayed.get_output().stdout).unwrap();
    assert_eq!(replayed["answer"], example["got"]);
}

#[test]
fn a_claim_whose_set_was_left_open_is_inconclusive_and_not_refuted() {
    let folder = TempDir::new().unwrap();
    let features = claims(
        &folder,
        &[
            (9, 0, true, 2, "Algo:A1.ST"),
            (11, 0, true, 1, "Algo:A1.ST"),
        ],
    );
    let verdict = |max_trials: &str| {
        let result = verify()
            .args([
                ADD,
                "--json",
                "--node",
                "P11L0H1",
                "--max-trials",
                max_trials,
            ])
            .arg("--features")
            .arg(&features)
            .assert();
        let evidence = evidence(&result.get_output().stdout);
        let claim = &evidence["claims"][0];
        let alone = &claim["trials"]["alone"]["interchange_accuracy"]["digits"]["upper"];
        assert!(alone.as_f64().unwrap() < 0.5, "alone it is known to fail");
        claim["verdict"].as_str().unwrap().to_owned()
    };
    // 96 pairs that all agree cannot show 0.95.
    assert_eq!(verdict("96"), "inconclusive");
    assert_eq!(verdict("1024"), "joint");
}

/// The MLPs of the later layers at that position agree nearly as often, since they read what it writes.
#[test]
fn a_decoy_that_the_node_feeds_is_not_held_against_it() {
    let folder = TempDir::new().unwrap();
    let result = verify()
        .args(["--json", "--max-trials", "2000", "--features"])
        .arg(claims(&folder, &[(12, 0, false, 0, "Algo:A4.ST")]))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(0);
    let evidence = evidence(&result.get_output().stdout);
    let claim = &evidence["claims"][0];
    assert_eq!(claim["verdict"], "supported");
    let decoys = claim["trials"]["controls"]["decoys"].as_array().unwrap();
    assert!(decoys.len() > 20, "every MLP that the node does not feed");
    for decoy in decoys {
        let node = decoy["nodes"][0].as_str().unwrap();
        assert!(!["P12L1M0", "P12L2M0"].contains(&node), "{node}");
    }
}

#[test]
fn the_trail_of_one_claim_tells_what_was_drawn_and_why_the_verdict() {
    let result = verify()
        .args([ADD, "--explain", "P9L0H1 A2.ST", "--max-trials", "4096"])
        .assert();
    let trail = String::from_utf8(result.get_output().stdout.clone()).unwrap();
    for told in [
        "### P9L0H1 A2.ST: joint",
        "Why: ",
        "counterfactual pairs",
        "control pairs",
        "Bounds: ",
        "P8L0H2 P9L0H1, judged on ",
        "Decoys, the closest first",
        "untrained weights",
        "A2.SC: ",
        "Published test",
    ] {
        assert!(trail.contains(told), "{told}: {trail}");
    }
    // Nothing but the trail is printed, and no other claim's.
    assert_eq!(trail.matches("### ").count(), 1);
}

#[test]
fn a_model_that_cannot_do_the_arithmetic_ends_with_5_and_no_verdict() {
    let shape = Shape {
        n_digits: 2,
        n_layers: 1,
        n_heads: 2,
        d_model: 8,
        d_head: 4,
        d_mlp: 16,
    };
    let arrays: BTreeMap<String, Vec<u8>> = Weights::random(shape, 3)
        .iter()
        .map(|(name, array)| {
            let bytes = array.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.to_owned(), bytes)
        })
        .collect();
    let weights = Weights::random(shape, 3);
    let views = arrays.iter().map(|(name, bytes)| {
        let shape = weights.array(name).shape().to_vec();
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
        (name.clone(), view)
    });
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("w8_add_d2_l1_h2_t1K_s3");
    fs::create_dir(&model).unwrap();
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(model.join("model.safetensors"), file).unwrap();
    let result = verify()
        .arg(&model)
        .args(["--json", "--features"])
        .arg(claims(&folder, &[(6, 0, true, 0, "Algo:A0.SA")]))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(5);
    let evidence = evidence(&result.get_output().stdout);
    assert_eq!(evidence["claims"][0]["verdict"], "not testable");
    assert_eq!(evidence["baseline"]["classes"][0]["passes"], false);
}

/// The names of the claims in the evidence printed.
fn claim_names(evidence: &Value) -> Vec<&str> {
    let claims = evidence["claims"].as_array().unwrap().iter();
    claims
        .map(|claim| claim["claim"].as_str().unwrap())
        .collect()
}

#[test]
fn claims_are_selected_by_an_expression_over_their_text() {
    let result = verify()
        .args([ADD, "--json", "-k", "a0 and not st and p17l0h1"])
        .assert();
    let evidence = evidence(&result.get_output().stdout);
    assert_eq!(claim_names(&evidence), ["P17L0H1 A0.SA"]);
    verify().args([ADD, "-k", "nothing"]).assert().code(2);
    verify().args([ADD, "-k", "and"]).assert().code(2);
}

#[test]
fn only_claims_that_failed_before_are_verified_again() {
    let folder = TempDir::new().unwrap();
    let features = claims(
        &folder,
        &[
            (17, 0, true, 1, "Algo:A0.SA"),
            (17, 0, true, 0, "Algo:A0.SA"),
        ],
    );
    let out = folder.path().join("out");
    let run = |last_failed: &[&str]| {
        let mut command = verify();
        command.args([ADD, "--json", "--max-trials", "1024", "--features"]);
        command.arg(&features).arg("--out").arg(&out);
        command.args(last_failed).assert()
    };
    let missing = run(&["--last-failed"]).code(4);
    let stderr = String::from_utf8_lossy(&missing.get_output().stderr).into_owned();
    assert!(
        stderr.contains("verify without --last-failed first"),
        "{stderr}"
    );
    run(&[]).code(1);
    let again = run(&["--last-failed"]).code(1);
    let evidence = evidence(&again.get_output().stdout);
    assert_eq!(claim_names(&evidence), ["P17L0H0 A0.SA"]);
}

#[test]
fn nothing_is_tested_after_the_first_variable_with_a_refuted_claim() {
    let folder = TempDir::new().unwrap();
    let features = claims(
        &folder,
        &[
            (17, 0, true, 1, "Algo:A1.SA"),
            (17, 0, true, 0, "Algo:A0.SA"),
        ],
    );
    let run = |exit_first: &[&str]| {
        let mut command = verify();
        command.args([ADD, "--json", "--max-trials", "1024", "--features"]);
        let result = command.arg(&features).args(exit_first).assert().code(1);
        claim_names(&evidence(&result.get_output().stdout)).join(", ")
    };
    assert_eq!(run(&["-x"]), "P17L0H0 A0.SA");
    let out = folder.path().join("out");
    let mut command = verify();
    command.args([ADD, "-x", "--max-trials", "1024", "--features"]);
    let result = command
        .arg(&features)
        .arg("--out")
        .arg(&out)
        .assert()
        .code(1);
    let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(stderr.contains("stopped at a refuted claim"), "{stderr}");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains(" --exitfirst --out "), "{report}");
    assert!(
        report.contains("Testing ended at the first variable"),
        "{report}"
    );
    assert_eq!(
        run(&["--node", "P17L0H0,P17L0H1"]),
        "P17L0H1 A1.SA, P17L0H0 A0.SA"
    );
}

#[test]
fn evidence_does_not_depend_on_exitfirst_where_nothing_is_refuted() {
    let run = |exit_first: &[&str]| {
        let mut command = verify();
        command.args([ADD, "--json", "--max-trials", "1024", "--task", "SA,SC"]);
        let result = command.args(exit_first).assert();
        result.get_output().stdout.clone()
    };
    assert!(run(&["-x"]) == run(&[]));
}

#[test]
fn a_claim_that_is_not_made_is_refused_before_anything_runs() {
    let started = std::time::Instant::now();
    let result = verify()
        .args([ADD, "--explain", "P17L0H1 A0.SC"])
        .assert()
        .code(4);
    let stderr = String::from_utf8_lossy(&result.get_output().stderr).into_owned();
    assert!(
        stderr.contains("hint: did you mean \"P17L0H1 A0.SA\"?"),
        "{stderr}"
    );
    assert!(
        started.elapsed().as_secs() < 5,
        "the baseline alone takes longer"
    );
}

#[test]
fn stored_evidence_explains_a_claim_and_a_sentence_comes_first() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let node = ["--node", "p17l0h1", "--max-trials", "1024", "-o"];
    verify().arg(ADD).args(node).arg(&out).assert().code(0);
    let written = fs::read(out.join("evidence.json")).unwrap();
    let explained = |trials: &str| {
        let result = verify()
            .args([
                ADD,
                "--explain",
                "p17l0h1 a0.sa",
                "--max-trials",
                trials,
                "-o",
            ])
            .arg(&out)
            .assert()
            .code(0);
        let output = result.get_output();
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        )
    };
    let (stdout, stderr) = explained("1024");
    assert!(
        stdout.starts_with(
            "P17L0H1 A0.SA is supported: patching P17L0H1 changes the answer as A0.SA predicts ("
        ),
        "{stdout}"
    );
    assert!(
        stderr.starts_with("from ") && stderr.contains("evidence.json"),
        "{stderr}"
    );
    assert_eq!(fs::read(out.join("evidence.json")).unwrap(), written);
    // Of other rules it is no evidence.
    let (_, stderr) = explained("512");
    assert!(!stderr.contains("from "), "{stderr}");
}

#[test]
fn a_report_is_written_in_the_forms_asked_for() {
    let folder = TempDir::new().unwrap();
    let _ = verify()
        .args([ADD, "--node", "P17L0H1", "--max-trials", "256"])
        .args(["--format", "junit,md", "-o"])
        .arg(folder.path())
        .assert();
    let written = names(folder.path());
    assert_eq!(
        written,
        [
            "attention.json",
            "evidence.json",
            "junit.xml",
            "report.md",
            "run.json"
        ]
    );
}
