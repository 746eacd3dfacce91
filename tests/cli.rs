//! The program as its users meet it: what it prints, where, and how it ends.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use circuitcheck::inputs::claims::{read_tagged_nodes, write_tagged_nodes};
use circuitcheck::storage::lock::Lock;
use serde_json::Value;

use common::published_files;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";
const BUNDLED: &str = "w126_mix_d5_l3_h4_t40K_s372001";

/// The exit codes, as the help documents them.
const SUCCESS: i32 = 0;
const USAGE: i32 = 2;
const INPUT: i32 = 4;

const ANSWER_KEYS: [&str; 8] = [
    "question",
    "class",
    "complexity",
    "true_answer",
    "answer",
    "right",
    "wrong",
    "logit_margin",
];
const EFFECT_KEYS: [&str; 3] = ["clean_answer", "clean_logit_margin", "changed"];

fn program() -> Command {
    let mut command = common::program();
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What a run that succeeds without a word on stderr prints.
fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(SUCCESS), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    serde_json::from_str(&text(&arguments)).unwrap()
}

/// What a run that fails with `code` prints on stderr, given that it prints nothing on stdout.
fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    stderr
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn assert_has_keys(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    for key in wanted {
        assert!(keys.contains(key), "no {key} among {keys:?}");
    }
}

fn reference(model: &str) -> Value {
    let path = Path::new("tests/reference")
        .join(model)
        .join("reference.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap()).collect()
}

fn file_with(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

#[test]
fn show_describes_the_bundled_model_where_no_folder_is_named() {
    let text = text(&["show"]);
    assert!(text.starts_with(&format!("{BUNDLED}\n")), "{text}");
    assert!(
        text.contains("40000 batches, final loss 1.064e-8"),
        "{text}"
    );
    assert!(text.contains("\nP7L0H1 "), "{text}");
}

#[test]
fn show_prints_the_documented_keys() {
    let shown = json(&["show", ADD, "--accuracy"]);
    let wanted = [
        "model",
        "weights_sha256",
        "operations",
        "shape",
        "n_ctx",
        "training",
        "features",
        "behaviors",
        "nodes",
        "tags",
        "claims",
        "untestable",
        "seed",
        "accuracy",
    ];
    assert_eq!(keys(&shown).len(), wanted.len());
    assert_has_keys(&shown, &wanted);
    assert_eq!(shown["operations"], "add");
    assert_eq!(shown["shape"]["n_digits"], 5);
    assert_eq!(shown["training"]["batches"], 15_000);
    assert_eq!(shown["claims"]["SC"], 4);
    let accuracy = &shown["accuracy"];
    assert_eq!(accuracy.as_array().unwrap().len(), 1);
    assert_eq!(accuracy[0]["class"], "ADD");
    assert_eq!(accuracy[0]["questions"], 1000);
    assert!(accuracy[0]["accuracy"].as_f64().unwrap() > 0.99);
    let node = &shown["nodes"][0];
    assert_eq!(node["node"], "P6L0H1");
    assert!(strings(&node["tags"]).contains(&"Algo:A4.ST"));
}

#[test]
fn show_describes_a_file_of_tags_without_a_model() {
    let file = "tests/published/add_d8_l2_h3_t45K_s173289/features.json";
    let shown = json(&["show", "--features-only", file]);
    assert_has_keys(
        &shown,
        &["path", "sha256", "nodes", "tags", "claims", "untestable"],
    );
    assert_eq!(shown["path"], file);
    assert!(shown["claims"]["SA"].as_u64().unwrap() > 0);
    assert!(text(&["show", "--features-only", file]).contains("Algo:"));
}

#[test]
fn every_published_file_round_trips_and_is_summarised() {
    let files = published_files();
    assert_eq!(files.len(), 3);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let name = file.display().to_string();
        let nodes = read_tagged_nodes(&name, &bytes).unwrap();
        let written = write_tagged_nodes(&nodes);
        // The same to any reader of JSON: nodes and tags in the same order, no key lost.
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(value(written.as_bytes()), value(&bytes), "{name}");
        let again = read_tagged_nodes(&name, written.as_bytes()).unwrap();
        assert_eq!(write_tagged_nodes(&again), written, "{name}");

        let shown = json(&["show", "--features-only", &name]);
        let listed = shown["nodes"].as_array().unwrap();
        assert_eq!(listed.len(), nodes.len(), "{name}");
        let tags: usize = listed
            .iter()
            .map(|n| n["tags"].as_array().unwrap().len())
            .sum();
        let expected: usize = nodes.iter().map(|node| node.tags.len()).sum();
        assert_eq!(tags, expected, "{name}");
        let summary = text(&["show", "--features-only", &name]);
        assert!(
            summary.contains(" heads, ") && summary.contains(" MLPs"),
            "{summary}"
        );
        for node in &nodes {
            assert!(
                summary.contains(&node.node.to_string()),
                "{name}: {}",
                node.node
            );
        }
    }
}

#[test]
fn claims_about_nodes_that_the_model_lacks_are_told_with_file_node_and_bound() {
    let file = "tests/published/add_d8_l2_h3_t45K_s173289/features.json";
    let output = run(&["show", "--features", file]);
    assert_eq!(output.status.code(), Some(SUCCESS));
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains(file), "{warning}");
    assert!(
        warning.contains("P19L0H0 is at position 19, the model has positions 0 to 18"),
        "{warning}"
    );
}

#[test]
fn ask_spells_each_answer() {
    let text = text(&["ask", "12345+67890", "5-90"]);
    assert!(text.contains("12345+67890  +080235  right\n"), "{text}");
    assert!(text.contains("00005-00090  -000085  right\n"), "{text}");
    assert_eq!(text.matches("  A6 ").count(), 2, "{text}");
}

#[test]
fn the_answer_to_one_question_stands_at_the_top_too() {
    let asked = json(&["ask", ADD, "12345+67890"]);
    assert_has_keys(&asked, &["model", "weights_sha256", "decode", "tokens"]);
    assert_has_keys(&asked, &ANSWER_KEYS);
    assert_eq!(asked["model"], "w126_add_d5_l2_h3_t15K_s372001");
    assert_eq!(asked["decode"], "forced");
    assert_eq!(asked["answer"], "+080235");
    assert_eq!(asked["right"], true);
    assert_eq!(asked["complexity"], "S2");
    assert_eq!(asked["answers"].as_array().unwrap().len(), 1);
    assert_eq!(asked["answers"][0]["answer"], asked["answer"]);
    let tokens = asked["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 7);
    assert_eq!(
        (&tokens[0]["place"], &tokens[0]["token"]),
        (&"A6".into(), &"+".into())
    );
    assert!(tokens[0]["probability"].as_f64().unwrap() > 0.99);
}

#[test]
fn the_answers_to_more_questions_are_a_list_in_the_order_asked() {
    let asked = json(&["ask", "1+2", "3-4", "5+6", "--free"]);
    assert!(!keys(&asked).contains(&"answer"));
    assert_eq!(asked["decode"], "free");
    let answers: Vec<&Value> = asked["answers"].as_array().unwrap().iter().collect();
    assert_has_keys(answers[0], &ANSWER_KEYS);
    let said: Vec<&str> = answers
        .iter()
        .map(|a| a["answer"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["+000003", "-000001", "+000011"]);
}

#[test]
fn patch_agrees_with_the_reference() {
    for model in ["w126_add_d5_l2_h3_t15K_s372001", BUNDLED] {
        for entry in reference(model)["patch"]
            .as_array()
            .unwrap()
            .iter()
            .take(12)
        {
            let folder = format!("models/{model}");
            // The reference calls them as the published code does.
            let (source, base) = (&entry["store"], entry["clean"].as_str().unwrap());
            let mut arguments = vec!["patch", &folder, "--source", source.as_str().unwrap()];
            arguments.extend(["--base", base]);
            for node in strings(&entry["nodes"]) {
                arguments.extend(["--node", node]);
            }
            let patched = json(&arguments);
            assert_eq!(patched["answer"], entry["answer"], "{arguments:?}");
        }
    }
}

#[test]
fn patch_tells_the_tokens_changed_and_both_margins() {
    // From the reference file; the last digit of the clean sum is 8.
    let arguments = [
        "patch",
        ADD,
        "--source",
        "77186+82813",
        "--base",
        "08328+91650",
        "--node",
        "P17L0M0",
    ];
    let patched = json(&arguments);
    assert_has_keys(&patched, &["model", "source", "nodes", "decode", "answers"]);
    assert_has_keys(&patched, &ANSWER_KEYS);
    assert_has_keys(&patched, &EFFECT_KEYS);
    assert_eq!(patched["clean_answer"], "+099978");
    assert_eq!(patched["answer"], "+099979");
    assert_eq!(strings(&patched["changed"]), ["A0"]);
    assert_eq!(patched["right"], false);
    assert!(patched["logit_margin"].as_f64().unwrap() > 0.0);
    let text = text(&arguments);
    assert!(text.contains("wrong at A0\nchanged         A0\n"), "{text}");
}

#[test]
fn a_store_may_force_the_other_sign() {
    let patched = json(&[
        "patch",
        "--source",
        "12345-67890=+055545",
        "--base",
        "12345-67890",
        "--node",
        "P18L0H0",
    ]);
    assert_eq!(patched["source"], "12345-67890=+055545");
    assert_eq!(patched["question"], "12345-67890");
    // The last position's logits predict nothing.
    assert_eq!(strings(&patched["changed"]), [""; 0]);
}

#[test]
fn ablate_agrees_with_the_reference() {
    let model = "w126_add_d5_l2_h3_t15K_s372001";
    let questions = format!("tests/reference/{model}/questions.json");
    let reference = reference(model);
    for entry in reference["mean_ablation"]
        .as_array()
        .unwrap()
        .iter()
        .take(5)
    {
        let node = entry["node"].as_str().unwrap();
        let mut arguments = vec!["ablate", ADD, "--by", "mean", "--node", node];
        arguments.extend(["--questions", &questions]);
        arguments.extend(strings(&reference["ablation_questions"]));
        let ablated = json(&arguments);
        assert_eq!(ablated["set_size"], reference["question_file_count"]);
        let answers: Vec<&Value> = ablated["answers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| &answer["answer"])
            .collect();
        let expected: Vec<&Value> = entry["answers"].as_array().unwrap().iter().collect();
        assert_eq!(answers, expected, "{node}");
    }
}

#[test]
fn ablate_counts_what_goes_wrong() {
    let arguments = ["ablate", ADD, "--node", "P15L0M0", "--by", "zero"];
    let ablated = json(&arguments);
    let wanted = [
        "nodes",
        "by",
        "decode",
        "seed",
        "set_size",
        "asked",
        "wrong_before",
        "failed",
        "fail_percent",
        "impact",
        "complexities",
        "answers",
    ];
    assert_has_keys(&ablated, &wanted);
    assert!(!keys(&ablated).contains(&"answer"));
    let number = |key: &str| ablated[key].as_u64().unwrap();
    assert_eq!(number("asked") + number("wrong_before"), 512);
    assert_eq!(number("set_size"), 512);
    assert!(number("failed") > 0);
    let answers = ablated["answers"].as_array().unwrap();
    let wrong = answers
        .iter()
        .filter(|answer| answer["right"] == false)
        .count() as u64;
    assert_eq!(wrong, number("failed") + number("wrong_before"));
    let by_class = |key: &str| -> u64 {
        let classes = ablated["complexities"].as_array().unwrap().iter();
        classes.map(|class| class[key].as_u64().unwrap()).sum()
    };
    assert_eq!(by_class("asked"), number("asked"));
    assert_eq!(by_class("failed"), number("failed"));
    assert!(strings(&ablated["impact"]).contains(&"A2"));
    assert!(text(&arguments).contains("Fail%"));
}

#[test]
fn ablating_one_question_puts_its_answer_at_the_top() {
    let ablated = json(&[
        "ablate",
        ADD,
        "--node",
        "P15L0M0",
        "--by",
        "mean",
        "12345+67890",
    ]);
    assert_has_keys(&ablated, &ANSWER_KEYS);
    assert_has_keys(&ablated, &EFFECT_KEYS);
    assert_eq!(ablated["clean_answer"], "+080235");
}

#[test]
fn draws_depend_on_the_seed_alone() {
    let resample = |seed: &str, threads: &str| {
        text(&[
            "ablate",
            ADD,
            "--node",
            "P15L0H1",
            "--by",
            "resample",
            "--json",
            "--seed",
            seed,
            "--threads",
            threads,
        ])
    };
    let first = resample("7", "1");
    assert_eq!(first, resample("7", "3"));
    assert_ne!(first, resample("8", "1"));
}

#[test]
fn a_file_of_questions_is_json_or_lines() {
    let lines = file_with("12345+67890\n\n1+2=+000003\n");
    let list = file_with(r#"["12345+67890", "1+2"]"#);
    let ablate = |file: &tempfile::NamedTempFile| {
        let path = file.path().to_str().unwrap();
        json(&[
            "ablate",
            "--node",
            "P15L0H3",
            "--by",
            "mean",
            "--questions",
            path,
        ])
    };
    assert_eq!(ablate(&lines), ablate(&list));
    assert_eq!(ablate(&list)["set_size"], 2);
}

#[test]
fn a_wrong_line_of_a_file_is_named() {
    let refused = |content: &str| {
        let file = file_with(content);
        let path = file.path().to_str().unwrap();
        let error = refusal(
            INPUT,
            &[
                "ablate",
                "--node",
                "P15L0H3",
                "--by",
                "zero",
                "--questions",
                path,
            ],
        );
        assert!(error.contains(path), "{error}");
        error
    };
    assert!(refused("1+2\n123456+1\n").contains("line 2: question \"123456+1\""));
    assert!(refused(r#"["1+2", "1+2=+000004"]"#).contains("question 2: question \"1+2=+000004\""));
    assert!(refused("[3]").contains("expected a list of questions"));
    assert!(refused("\n").contains("no question"));
}

#[test]
fn one_question_is_no_set_to_take_a_mean_over() {
    let file = file_with("1+2\n");
    let path = file.path().to_str().unwrap();
    let error = refusal(
        INPUT,
        &[
            "ablate",
            "--node",
            "P15L0H3",
            "--by",
            "mean",
            "--questions",
            path,
        ],
    );
    assert!(
        error.contains("2 different questions or more, the set has 1"),
        "{error}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    for arguments in [
        &["show", "no/such"][..],
        &["ask", "no/such", "1+2"],
        &[
            "patch", "no/such", "--source", "1+2", "--base", "3+4", "--node", "P1L0H0",
        ],
        &["ablate", "no/such", "--node", "P1L0H0", "--by", "zero"],
    ] {
        let error = refusal(INPUT, arguments);
        assert!(
            error.contains("no/such: no such folder or file\nhint: "),
            "{error}"
        );
    }
}

#[test]
fn a_malformed_node_name_is_wrong_usage() {
    for node in ["15L0H2", "P15L", "P15L0X2"] {
        let error = refusal(USAGE, &["ablate", "--node", node, "--by", "zero"]);
        assert!(
            error.contains(node) && error.contains("such as P12L0H1"),
            "{error}"
        );
    }
}

#[test]
fn a_node_outside_the_model_is_refused_with_the_figure_and_the_bound() {
    for (node, message) in [
        ("P19L0H0", "at position 19, the model has positions 0 to 18"),
        ("P3L2H0", "in layer 2, the model has layers 0 to 1"),
        ("P3L1H3", "head 3, the model has heads 0 to 2"),
    ] {
        let error = refusal(INPUT, &["ablate", ADD, "--node", node, "--by", "zero"]);
        assert!(
            error.contains(&format!("{ADD}: node {node} is {message}")),
            "{error}"
        );
    }
}

#[test]
fn every_kind_of_site_is_patched_and_ablated() {
    for (site, shown) in [
        ("P14L1.resid_mid", "P14L1.resid_mid"),
        ("p14l1", "P14L1"),
        ("blocks.1.attn.hook_q[14][2]", "P14L1H2.q"),
        ("P14L1M0[0:64]", "P14L1M0[0:64]"),
        ("P14.ln_final", "P14.ln_final"),
    ] {
        let pair = ["--source", "22222+66966", "--base", "33333+55555"];
        let patched = json(&[&["patch", ADD][..], &pair, &["--site", site]].concat());
        assert_eq!(strings(&patched["nodes"]), [shown]);
        let ablated = json(&["ablate", ADD, "--by", "zero", "--node", site, "22222+66966"]);
        assert_eq!(strings(&ablated["nodes"]), [shown]);
    }
    // All that the logits are read from.
    let pair = ["--source", "22222+66966", "--base", "33333+55555"];
    let patched = json(&[&["patch", ADD][..], &pair, &["--site", "P14.ln_final"]].concat());
    assert_eq!(strings(&patched["changed"]), ["A3"]);
    let error = refusal(
        INPUT,
        &[
            "ablate",
            ADD,
            "--by",
            "zero",
            "--node",
            "P3L1H0.pattern[0:9]",
        ],
    );
    assert!(
        error.contains("is value 8, the model has values 0 to 3"),
        "{error}"
    );
}

#[test]
fn activations_are_written_for_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("read.npz");
    let out = out.to_str().unwrap();
    let asked = ["ask", ADD, "12345+67890", "22222+66966", "--out", out];
    let sites = [
        "--activations",
        "P15L0,p14l1h2.q,blocks.1.attn.hook_pattern",
    ];
    json(&[&asked[..], &sites].concat());
    let archive = std::fs::read(out).unwrap();
    let holds = |text: &str| archive.windows(text.len()).any(|w| w == text.as_bytes());
    for (name, shape) in [
        ("tokens.npy", "(2, 19,)"),
        ("P15L0.npy", "(2, 126,)"),
        ("P14L1H2.q.npy", "(2, 42,)"),
        ("blocks.1.attn.hook_pattern.npy", "(2, 3, 19, 19,)"),
    ] {
        assert!(holds(name) && holds(shape), "{name}");
    }
    for wrong in [
        &asked[..],
        &["ask", ADD, "1+2", "--activations", "P15L0"],
        &[&asked[..], &sites, &["--decode", "free-running"]].concat(),
    ] {
        refusal(USAGE, wrong);
    }
}

#[test]
fn a_wrong_question_is_refused_with_the_model_and_both_values() {
    for (question, message) in [
        (
            "123456+1",
            "operand \"123456\" has 6 digits, the model takes 5",
        ),
        (
            "12*34",
            "has the operator '*', the operators known are \"+\" and \"-\"",
        ),
        (
            "12x34",
            "has the operator 'x', the operators known are \"+\" and \"-\"",
        ),
        (
            "5-90",
            "has the operator \"-\", the model was trained for \"add\" alone",
        ),
        ("12345", "has no operator"),
        ("1+2=+3", "answer \"+3\" has 2 tokens, the model takes 7"),
    ] {
        let error = refusal(INPUT, &["ask", ADD, question]);
        assert!(
            error.starts_with(&format!("error: {ADD}: question \"{question}\"")),
            "{error}"
        );
        assert!(error.contains(message), "{error}");
    }
    let error = refusal(INPUT, &["ask", "12x34"]);
    assert!(
        error.contains(BUNDLED) && error.contains("operator 'x'"),
        "{error}"
    );
}

#[test]
fn a_clean_question_with_a_wrong_answer_is_refused() {
    let error = refusal(
        INPUT,
        &[
            "patch",
            "--source",
            "1+2",
            "--base",
            "3+4=+000008",
            "--node",
            "P15L0H2",
        ],
    );
    assert!(
        error.contains("states the answer \"+000008\", the true answer is +000007"),
        "{error}"
    );
}

#[test]
fn a_folder_that_another_process_writes_the_same_to_is_refused() {
    for command in [
        "verify",
        "property",
        "circuit",
        "represents",
        "discover",
        "report",
    ] {
        let keep = tempfile::tempdir().unwrap();
        let out = keep.path().to_str().unwrap();
        let _held = Lock::take(&keep.path().join(format!(".{command}.lock"))).unwrap();
        let refused = refusal(INPUT, &[command, ADD, "--out", out]);
        let told = format!("another circuitcheck {command} writes to this folder: process ");
        assert!(refused.contains(&told), "{refused}");
        assert!(refused.contains("hint: wait for it"), "{refused}");
        assert_eq!(std::fs::read_dir(&keep).unwrap().count(), 1, "{command}");
    }
}

#[test]
fn a_command_line_that_lacks_something_is_wrong_usage() {
    for arguments in [
        &["ask"][..],
        &["ask", ADD],
        &["patch", "--source", "1+2", "--base", "3+4"],
        &["ablate", "--node", "P15L0H2"],
        &["ablate", "--node", "P15L0H2", "--by", "median"],
        &["show", "--accurate"],
        &["show", "--threads", "0"],
        &["man", "nothing"],
    ] {
        let error = refusal(USAGE, arguments);
        assert!(
            error.contains("For more information, try '--help'"),
            "{error}"
        );
    }
}

#[test]
fn the_help_documents_the_exit_codes_and_the_keys() {
    let help = text(&["--help"]);
    for code in [
        "0    nothing",
        "1    some claim",
        "2    the command",
        "3    ",
        "4    ",
        "5    ",
        "130  interrupted",
    ] {
        assert!(help.contains(&format!("\n  {code}")), "{help}");
    }
    for command in ["ask", "patch", "ablate"] {
        let help = text(&[command, "--help"]);
        let keys = ANSWER_KEYS.iter().chain(match command {
            "ask" => &[][..],
            _ => &EFFECT_KEYS,
        });
        for key in keys {
            assert!(help.contains(key), "{command}: {key}");
        }
    }
    assert!(text(&["--version"]).starts_with("circuitcheck 0"));
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&["completions", shell]);
        assert!(
            script.contains("ablate") && script.contains("resample"),
            "{shell}"
        );
    }
    assert!(text(&["man"]).contains(".TH circuitcheck 1"));
    assert!(text(&["man", "patch"]).contains("\\-\\-source"));
}

#[test]
fn colours_reach_neither_pipes_nor_those_who_refuse_them() {
    let escape = b'\x1b';
    assert!(!run(&["ask", "1+2"]).stdout.contains(&escape));
    assert!(!run(&["ask", "no/such", "1+2"]).stderr.contains(&escape));
    let forced = program()
        .args(["ask", "1+2"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(forced.stdout.contains(&escape));
    let refused = program()
        .args(["ask", "1+2"])
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(!refused.stdout.contains(&escape));
}

#[test]
fn a_reader_that_leaves_early_ends_the_program_quietly() {
    for arguments in [&["show"][..], &["show", "--json"], &["completions", "bash"]] {
        let mut child = program()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(stderr, "", "{arguments:?}");
        assert_eq!(child.wait().unwrap().code(), Some(SUCCESS), "{arguments:?}");
    }
}

/// The names of the commands that a group of the help lists.
fn group<'a>(help: &'a str, title: &str) -> Vec<&'a str> {
    let (_, rest) = help.split_once(&format!("\n{title}:\n")).expect(title);
    let lines = rest.lines().take_while(|line| !line.is_empty());
    lines
        .map(|line| line.split_whitespace().next().unwrap())
        .collect()
}

#[test]
fn the_help_lists_commands_in_groups() {
    let help = text(&["--help"]);
    assert_eq!(
        group(&help, "Check claims"),
        ["verify", "test", "property", "coverage", "evidence"]
    );
    assert_eq!(group(&help, "Report"), ["report", "compare"]);
    assert_eq!(group(&help, "Scale up"), ["sweep", "shard"]);
    assert!(!help.contains("\n  carries"), "{help}");
    assert!(!help.contains("\n  plan"), "{help}");
}

#[test]
fn commands_keep_their_old_names() {
    for (old, new) in [
        (&["carries"][..], &["represents"][..]),
        (&["diff"], &["compare"]),
        (&["plan"], &["shard", "plan"]),
        (&["status"], &["shard", "status"]),
    ] {
        let about = |words: &[&str]| {
            let help = text(&[words, &["-h"]].concat());
            help.lines().next().unwrap().to_owned()
        };
        assert_eq!(about(old), about(new), "{old:?}");
    }
    assert!(text(&["man", "shard", "plan"]).contains("shards"));
}

#[test]
fn evidence_and_a_file_of_tags_are_not_compared() {
    let tags = format!("{ADD}/features.json");
    let evidence = "reports/w126_add_d5_l2_h3_t15K_s372001/evidence.json";
    for pair in [[&tags, evidence], [evidence, &tags]] {
        let error = refusal(INPUT, &["compare", pair[0], pair[1]]);
        assert!(
            error.contains("features.json: is a file of tags"),
            "{error}"
        );
    }
}

#[test]
fn a_question_may_have_blanks_and_a_real_minus_sign() {
    assert_eq!(
        json(&["ask", "12345 + 67890", "5 \u{2212} 90"]),
        json(&["ask", "12345+67890", "5-90"])
    );
}

#[test]
fn nodes_are_named_in_either_case_and_with_commas() {
    let patch = |nodes: &[&str]| {
        let question = [
            "patch",
            ADD,
            "--source",
            "77186+82813",
            "--base",
            "8328+91650",
        ];
        json(&[&question, nodes].concat())
    };
    let listed = patch(&["--node", "p17l0m0,P17L0H1"]);
    assert_eq!(strings(&listed["nodes"]), ["P17L0H1", "P17L0M0"]);
    assert_eq!(listed, patch(&["--node", "P17L0M0", "--node", "P17L0H1"]));
    let error = refusal(USAGE, &["ablate", "--by", "zero", "--node", "P12L0MLP0"]);
    assert!(error.contains("MLPs are written P12L0M0"), "{error}");
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    for (arguments, near) in [
        (
            &["property", "--property", "comutes"][..],
            "did you mean \"commutes\"?",
        ),
        (&["verify", "--task", "STTC"], "'STC'"),
        (&["selfcheck", "--only", "handmad"], "'handmade'"),
        (&["ablate", "--node", "P15L0H3", "--by", "mena"], "'mean'"),
        (&["verifi"], "'verify'"),
    ] {
        let error = refusal(USAGE, arguments);
        assert!(error.contains(near), "{arguments:?}: {error}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_with_what_is_allowed() {
    for (arguments, allowed) in [
        (
            &["show", "--seed", "-1"][..],
            "a whole number from 0 to 18446744073709551615",
        ),
        (
            &["accuracy", "--count", "0"],
            "a whole number above 0, such as 1000, 1_000, 10k or 1e6",
        ),
        (&["coverage", "--count", "-5"], "a whole number above 0"),
        (
            &["verify", "--max-trials", "many"],
            "a whole number above 0",
        ),
    ] {
        let error = refusal(USAGE, arguments);
        assert!(error.contains(allowed), "{arguments:?}: {error}");
    }
}

#[test]
fn counts_and_decoding_keep_their_old_spellings() {
    let accuracy = |options: &[&str]| json(&[&["accuracy", ADD], options].concat());
    let expected = accuracy(&["--count", "1_000", "--decode", "free-running"]);
    assert_eq!(expected["questions"], 1000);
    assert_eq!(expected["decode"], "free");
    assert_eq!(
        accuracy(&["--questions", "1k", "--decode", "free"]),
        expected
    );
    assert_eq!(
        json(&["ask", "1+2", "--free"]),
        json(&["ask", "1+2", "--decode", "free-running"])
    );
    let help = text(&["ask", "--help"]);
    assert!(
        help.contains("teacher-forced") && !help.contains("--free"),
        "{help}"
    );
}

#[test]
fn a_path_without_a_model_is_answered_with_what_was_meant() {
    let features = format!("{ADD}/features.json");
    let folder = format!("hint: name the model's folder: {ADD}");
    for (path, meant) in [
        ("models", "is a folder of models: models/w126_add_"),
        ("PhilipQuirke/X", "hf://PhilipQuirke/X"),
        (
            "https://huggingface.co/PhilipQuirke/X/tree/main",
            "hf://PhilipQuirke/X",
        ),
        (features.as_str(), folder.as_str()),
    ] {
        let error = refusal(INPUT, &["show", path]);
        assert!(error.contains(meant), "{path}: {error}");
    }
}

#[test]
fn without_a_path_the_current_folders_model_is_meant_or_else_the_bundled_one() {
    let ask_in = |folder: &Path| {
        let mut ask = program();
        let output = ask
            .args(["ask", "1+2"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(SUCCESS));
        String::from_utf8(output.stdout).unwrap()
    };
    let model = common::root().join(ADD);
    let name = model.file_name().unwrap().to_str().unwrap();
    let expected = format!("{name}, in the current folder, teacher-forced\n");
    assert!(ask_in(&model).starts_with(&expected), "{}", ask_in(&model));
    let empty = tempfile::tempdir().unwrap();
    let expected = format!("{BUNDLED}, bundled, teacher-forced\n");
    assert!(ask_in(empty.path()).starts_with(&expected));
}

#[test]
fn every_table_is_headed_by_its_model() {
    let name = ADD.split_once('/').unwrap().1;
    for (arguments, terms) in [
        (
            &["ablate", ADD, "--node", "P15L0M0", "--by", "zero"][..],
            ", seed 1, teacher-forced\n",
        ),
        (
            &["coverage", ADD, "--count", "16"],
            " claims, seed 1, 16 questions of each class\n",
        ),
        (
            &["property", ADD, "--property", "zero", "--cases", "100"],
            ", seed 1, teacher-forced\n",
        ),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let heading = text.split_inclusive('\n').next().unwrap();
        assert!(
            heading.starts_with(name) && heading.ends_with(terms),
            "{heading}"
        );
    }
}

#[test]
fn colors_are_forced_and_refused_by_an_option() {
    let escape = b'\x1b';
    assert!(
        run(&["ask", "1+2", "--color", "always"])
            .stdout
            .contains(&escape)
    );
    let refused = program()
        .args(["ask", "1+2", "--color", "never"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(!refused.stdout.contains(&escape));
}

#[test]
fn quiet_prints_no_news_and_verbose_prints_more() {
    let folder = tempfile::tempdir().unwrap();
    let news = |options: &[&str]| {
        let out = ["-o", folder.path().to_str().unwrap()];
        let property = ["property", ADD, "--property", "zero", "--cases", "100"];
        let output = run(&[&property[..], &out, options].concat());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!news(&["-q"]).contains("wrote"));
    assert!(news(&[]).contains("wrote property.json") && !news(&[]).contains("took"));
    assert!(news(&["-v", "-j", "1"]).contains("s with 1 threads"));
}

#[test]
fn a_hypothesis_is_named_after_the_model_or_by_the_old_option() {
    let missing = "no/such.toml";
    for arguments in [
        &["test", missing][..],
        &["test", ADD, missing],
        &["test", ADD, "--hypothesis", missing],
    ] {
        assert!(refusal(INPUT, arguments).contains(missing), "{arguments:?}");
    }
    refusal(USAGE, &["test"]);
    refusal(USAGE, &["test", ADD, missing, "--hypothesis", missing]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_says_what_was_kept_and_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let child = program()
        .args(["accuracy", ADD, "--count", "1e9", "--resume"])
        .arg(&saved)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !saved.exists() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.contains("interrupted: what was counted is kept")
            && stderr.contains("run the same command to resume"),
        "{stderr}"
    );
}

#[test]
fn an_experiment_takes_no_option_of_a_hypothesis() {
    let experiment = "hypotheses/experiments/carry_head.toml";
    for (option, value) in [("--alpha", "0.1"), ("--evidence", "evidence.json")] {
        let output = program()
            .args(["test", ADD, experiment, option, value])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let refused = format!("{option} is for hypotheses");
        assert!(error.contains(&refused), "{error}");
    }
}
