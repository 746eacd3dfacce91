//! `verify --behaviors` and `discover --protocol strict` as their users meet them.

mod common;

use std::path::Path;
use std::process::Output;

use circuitcheck::analysis::strict::strict;
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::claims::{claims_of, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use circuitcheck::verify::Options;
use serde_json::Value;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";
const ADD_SET: &str = "tests/reference/w126_add_d5_l2_h3_t15K_s372001/questions.json";

fn program(arguments: &[&str]) -> Output {
    common::program().args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The verdict of each tag, with the tag.
fn verdicts(evidence: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tags = evidence["tags"].as_array().unwrap().iter();
    tags.map(|tag| (text(&tag["tag"]), text(&tag["verdict"])))
        .collect()
}

#[test]
fn a_percent_that_too_few_sets_cannot_tell_is_undecided() {
    // Two sets, one plain and one enriched: the interval reaches 78 deviations to either side.
    let arguments = [
        "verify",
        ADD,
        "--behaviors",
        "--sets",
        "2",
        "--node",
        "P17L1M0",
        "--json",
    ];
    let verdicts = verdicts(&json(&program(&arguments)));
    assert!(
        verdicts.contains(&("Fail%:40".into(), "undecided".into())),
        "{verdicts:?}"
    );
}

#[test]
fn on_the_published_set_every_published_behaviour_comes_out_again() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().display().to_string();
    let output = program(&[
        "verify",
        ADD,
        "--behaviors",
        "--questions",
        ADD_SET,
        "--sets",
        "1",
        "--out",
        &path,
        "--json",
    ]);
    let evidence = json(&output);
    let verdicts = verdicts(&evidence);
    // 174 tags and 7 of clustering, which rests on questions of its own.
    assert_eq!(verdicts.len(), 181);
    for (tag, verdict) in verdicts.iter().filter(|(tag, _)| !tag.ends_with(".SP")) {
        assert!(verdict != "not-reproduced", "{tag}: {verdict}");
    }
    let count = |name: &str| {
        verdicts
            .iter()
            .filter(|(_, verdict)| verdict == name)
            .count()
    };
    assert!(count("only-with-quirk") > 0 && count("reproduced") > 150);
    let written = std::fs::read(out.path().join("behaviors-evidence.json")).unwrap();
    assert_eq!(written, output.stdout);
    let report = std::fs::read_to_string(out.path().join("behaviors.md")).unwrap();
    assert!(report.contains("| P13L0H1 | Fail%:58 | 58."), "{report}");
}

#[test]
fn true_behaviours_come_out_again_on_fresh_sets_and_false_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("w126_add_d5_l2_h3_t15K_s372001");
    std::fs::create_dir(&model).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(ADD);
    for file in ["model.pth", "training_loss.json"] {
        std::fs::copy(source.join(file), model.join(file)).unwrap();
    }
    let write = |tags: &str| {
        let entry = r#""position":13,"layer":0,"is_head":true,"num":1"#;
        let text = format!("[{{{entry},\"tags\":[{tags}]}}]");
        std::fs::write(model.join("behaviors.json"), text).unwrap();
        let model = model.display().to_string();
        let arguments = [
            "verify",
            &model,
            "--behaviors",
            "--node",
            "P13L0H1",
            "--json",
        ];
        program(&arguments)
    };
    let truth = write(r#""Fail%:58","Impact:A4","Attn:P6=44","Other:A4.LINXFER=96""#);
    assert_eq!(truth.status.code(), Some(0));
    let names: Vec<String> = verdicts(&json(&truth))
        .into_iter()
        .map(|(_, v)| v)
        .collect();
    assert_eq!(
        names,
        ["reproduced", "reproduced", "reproduced", "not-measured"]
    );
    let lies =
        write(r#""Fail%:3","Impact:A2","Math.Add:S5","Attn:P6=91","Attn:P99=3","Math.Add:A2.SP""#);
    assert_eq!(lies.status.code(), Some(1));
    for (tag, verdict) in verdicts(&json(&lies)) {
        assert_eq!(verdict, "not-reproduced", "{tag}");
    }
}

#[test]
fn behaviours_are_measured_alike_on_any_number_of_threads() {
    let run = |threads| {
        let arguments = [
            "verify",
            ADD,
            "--behaviors",
            "--sets",
            "2",
            "--node",
            "P14L0H2",
            "--seed",
            "5",
            "--threads",
            threads,
            "--json",
        ];
        program(&arguments).stdout
    };
    let one = run("1");
    assert!(!one.is_empty());
    assert_eq!(one, run("2"));
}

#[test]
fn options_of_another_protocol_are_refused() {
    for arguments in [
        &["verify", ADD, "--behaviors", "--task", "ST"][..],
        &["verify", ADD, "--questions", ADD_SET],
        &[
            "discover",
            ADD,
            "--protocol",
            "strict",
            "--without",
            "lonely-tag",
            "--out",
            "x",
        ],
    ] {
        assert_eq!(program(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_strict_protocol_claims_only_what_the_method_supports() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = ModelFolder::open(&root.join(ADD)).unwrap();
    let engine = Engine::new(&folder.weights);
    let texts: Vec<String> =
        serde_json::from_slice(&std::fs::read(root.join(ADD_SET)).unwrap()).unwrap();
    let set: Vec<Prompt> = texts.iter().map(|t| Prompt::parse(t, 5).unwrap()).collect();
    let options = Options {
        rules: Rules {
            max_trials: 512,
            ..Rules::default()
        },
        ..Options::default()
    };
    let found = strict(&folder, &engine, &set, &options, false, &mut |_| {}).unwrap();
    let claims: Vec<String> = claims_of(&found.features)
        .iter()
        .map(ToString::to_string)
        .collect();
    // Base sums, each supported by every trial of its own.
    for claim in ["P13L0H1 A4.SA", "P14L0H1 A3.SA", "P17L0H1 A0.SA"] {
        assert!(
            claims.iter().any(|found| found == claim),
            "{claim}: {claims:?}"
        );
    }
    // Published, and true in part only: see reports/.
    assert!(
        !claims.iter().any(|claim| claim == "P13L0H2 A3.SC"),
        "{claims:?}"
    );
    let evidence = found.evidence.unwrap();
    assert_eq!(evidence.claims.len(), found.candidates);
    let holds = ["supported", "joint", "redundant"];
    for claim in &claims {
        let variable = claim.split_once(' ').unwrap().1;
        let node: circuitcheck::domain::node::NodeName =
            claim.split_once(' ').unwrap().0.parse().unwrap();
        let rests = evidence.claims.iter().any(|tried| {
            tried.claim.ends_with(&format!(" {variable}"))
                && tried.nodes.contains(&node)
                && holds.contains(&tried.verdict.name())
        });
        assert!(rests, "{claim}");
    }
    assert!(found.by_method.lost.contains(&"P13L0H2 A3.SC".to_owned()));
    let text = write_tagged_nodes(&found.features);
    assert_eq!(
        read_tagged_nodes("features", text.as_bytes()).unwrap(),
        found.features
    );
}
