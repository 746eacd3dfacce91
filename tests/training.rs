//! Trainings: parity with PyTorch, a short one from start to files, resuming, insertion, the command.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::inputs::model::{ModelFolder, TrainingRecord, Weights, read_pth};
use circuitcheck::network::engine::Engine;
use circuitcheck::training::{
    Insertion, Losses, Overrides, Recipe, STATE_FILE, TrainError, Trained, Training, TrainingRun,
};
use serde::Deserialize;

/// A name and its recipe with so many batches.
fn recipe(name: &str, steps: usize) -> Recipe {
    let overrides = Overrides {
        steps: Some(steps),
        ..Overrides::default()
    };
    Recipe::new(&name.parse().unwrap(), &overrides).unwrap()
}

fn pth(path: &Path) -> Weights {
    Weights::from_arrays(read_pth(&fs::read(path).unwrap()).unwrap()).unwrap()
}

#[test]
fn twenty_batches_give_the_losses_and_weights_that_pytorch_gives() {
    #[derive(Deserialize)]
    struct Batches {
        questions: Vec<Vec<String>>,
        losses: Vec<f64>,
    }
    let folder = Path::new("tests/reference/training");
    let batches = fs::read(folder.join("batches.json")).unwrap();
    let batches: Batches = serde_json::from_slice(&batches).unwrap();
    let recipe = recipe("w12_mix_d2_l2_h4_t0K_s372001", 20);
    let (start, end) = (pth(&folder.join("start.pth")), pth(&folder.join("end.pth")));
    let mut training = Training::from_weights(recipe, None, start.clone());
    for questions in &batches.questions {
        let parsed = questions.iter().map(|text| Prompt::parse(text, 2).unwrap());
        training = training.after(&parsed.collect::<Vec<_>>()).unwrap();
    }
    let losses = &training.losses().total;
    assert_eq!(losses.len(), 20);
    for (found, expected) in losses.iter().zip(&batches.losses) {
        assert!(
            (f64::from(*found) - expected).abs() < 2e-6,
            "{found} {expected}"
        );
    }
    let mut moved = 0.0f32;
    for ((name, found), (_, expected)) in training.weights().iter().zip(end.iter()) {
        let before = start.array(name).data();
        let values = found.data().iter().zip(expected.data()).zip(before);
        for ((found, expected), before) in values {
            if name.ends_with("attn.b_K") {
                // Its gradient is rounding alone, which AdamW scales up to whole steps.
                continue;
            }
            assert!(
                (found - expected).abs() < 2e-5,
                "{name}: {found} {expected}"
            );
            moved = moved.max((expected - before).abs());
        }
    }
    // Far more than the tolerance, so that agreement is not that of weights that stand still.
    assert!(moved > 5e-3, "{moved}");
}

fn run(folder: &Path) -> TrainingRun<'_> {
    TrainingRun {
        folder,
        save_every: 50,
        checkpoints: None,
        safetensors: false,
        resume: false,
    }
}

fn train(run: &TrainingRun, training: Training) -> Trained {
    let trained = run.train(training, &mut |_| {}).unwrap();
    run.finish().unwrap();
    trained
}

/// The small model that is trained here: one layer, two digits.
fn small(steps: usize) -> Training {
    Training::new(recipe("w48_add_d2_l1_h3_t0K_s1", steps), None)
}

fn mean_of_last(losses: &Losses) -> f32 {
    losses.total[losses.total.len() - 10..].iter().sum::<f32>() / 10.0
}

#[test]
fn two_hundred_batches_lower_the_loss_and_leave_a_model_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w48_add_d2_l1_h3_t0K_s1");
    let mut followed = Vec::new();
    let trained = run(&out).train(small(200), &mut |news| followed.extend(news.held_out));
    let losses = trained.unwrap().losses;
    run(&out).finish().unwrap();
    assert!(losses.total[0] > 2.5, "{}", losses.total[0]);
    let end = mean_of_last(&losses);
    assert!(end < 1.4, "{end}");
    assert_eq!(followed.len(), 1);

    let mut names: Vec<_> = (fs::read_dir(&out).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["losses.json", "model.pth", "training_loss.json"]);
    let model = ModelFolder::open(&out).unwrap();
    assert!(model.warnings.is_empty(), "{:?}", model.warnings);
    assert_eq!(model.training.as_ref().unwrap().training_loss, losses.total);
    let held_out = recipe("w48_add_d2_l1_h3_t0K_s1", 200).held_out();
    let logits = Engine::new(&model.weights).logits(&held_out).unwrap();
    let right = held_out.iter().zip(logits);
    let right = right
        .filter(|(prompt, logits)| logits.answer() == prompt.forced)
        .count();
    assert_eq!(right as f64 / held_out.len() as f64, followed[0]);
}

#[test]
fn the_record_has_every_published_key() {
    let folder = tempfile::tempdir().unwrap();
    train(&run(folder.path()), small(2));
    let keys = |text: &[u8]| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_slice(text).unwrap();
        let config = value["Config"].as_object().unwrap();
        config.keys().cloned().collect()
    };
    let own = fs::read(folder.path().join("training_loss.json")).unwrap();
    let published = fs::read("models/w126_add_d5_l2_h3_t15K_s372001/training_loss.json").unwrap();
    let mut expected = keys(&published);
    expected.push("enrich_runs".into());
    expected.sort();
    let mut found = keys(&own);
    found.sort();
    assert_eq!(found, expected);
    assert!(
        TrainingRecord::from_json(&own)
            .unwrap()
            .avg_final_loss
            .unwrap()
            > 1.0
    );
}

#[test]
fn losses_by_operation_and_by_token_make_up_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("w12_mix_d2_l1_h3_t0K_gf_s1", 5);
    let trained = train(&run(folder.path()), Training::new(recipe, None));
    let by_part = fs::read(folder.path().join("losses.json")).unwrap();
    let by_part: serde_json::Value = serde_json::from_slice(&by_part).unwrap();
    let of = |kind: &str, part: &str, step: usize| by_part[kind][part][step].as_f64().unwrap();
    for (step, total) in trained.losses.total.iter().enumerate() {
        let total = f64::from(*total);
        let tokens = ["A3", "A2", "A1", "A0"].map(|token| of("by_token", token, step));
        assert!((tokens.iter().sum::<f64>() / 4.0 - total).abs() < 1e-6);
        let (add, sub) = (
            of("by_operation", "add", step),
            of("by_operation", "sub", step),
        );
        // 42 of the 64 questions are subtractions.
        assert!(((22.0 * add + 42.0 * sub) / 64.0 - total).abs() < 1e-6);
    }
}

/// The contents of a folder's files by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = (fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn an_interrupted_training_resumes_to_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    for name in ["w12_mix_d2_l1_h3_t0K_s1", "w12_mix_d2_l1_h3_t0K_gf_s1"] {
        let recipe = recipe(name, 120);
        let training = || Training::new(recipe.clone(), None);
        let pool = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
        };
        pool(1).install(|| train(&run(&whole), training()));
        let interrupted = std::panic::catch_unwind(|| {
            run(&cut).train(training(), &mut |news| assert!(news.step < 70, "killed"))
        });
        assert!(interrupted.is_err());
        let left: Vec<_> = contents(&cut).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [STATE_FILE]);
        let mut first = None;
        let resumed = TrainingRun {
            resume: true,
            ..run(&cut)
        };
        let mut watch = |news: circuitcheck::training::TrainingProgress| {
            first.get_or_insert(news.step);
        };
        pool(3)
            .install(|| resumed.train(training(), &mut watch))
            .unwrap();
        resumed.finish().unwrap();
        assert_eq!(first, Some(51), "{name} started again");
        assert_eq!(contents(&cut), contents(&whole), "{name}");
        for made in [&whole, &cut] {
            fs::remove_dir_all(made).unwrap();
        }
    }
}

#[test]
fn a_state_of_another_training_or_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let interrupted = std::panic::catch_unwind(|| {
        run(out).train(small(120), &mut |news| assert!(news.step < 60, "killed"))
    });
    assert!(interrupted.is_err());
    let resumed = TrainingRun {
        resume: true,
        ..run(out)
    };
    let refusal = |training: Training| {
        let error = resumed.train(training, &mut |_| {}).unwrap_err();
        assert!(matches!(error, TrainError::State { .. }), "{error}");
        error.to_string()
    };
    assert!(refusal(small(121)).contains("another name, other options"));
    let file = out.join(STATE_FILE);
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&file, &flipped).unwrap();
    assert!(refusal(small(120)).contains("damaged"));
    fs::write(&file, vec![0; 4 << 20]).unwrap();
    assert!(
        refusal(small(120)).contains("4194304 bytes, and the state of this training has at most")
    );
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(small(120)).contains("not the state of a training"));
    fs::write(&file, b"no state").unwrap();
    assert!(refusal(small(120)).contains("not the state of a training"));
}

#[test]
fn weights_that_are_no_numbers_end_the_training_with_the_batch() {
    let overrides = Overrides {
        steps: Some(100),
        learning_rate: Some(1e30),
        ..Overrides::default()
    };
    let name = "w12_add_d2_l1_h3_t0K_s1".parse().unwrap();
    let training = Training::new(Recipe::new(&name, &overrides).unwrap(), None);
    let folder = tempfile::tempdir().unwrap();
    let error = run(folder.path()).train(training, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("a lower learning rate may help"),
        "{error}"
    );
}

#[test]
fn checkpoints_are_models_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let with_checkpoints = TrainingRun {
        checkpoints: Some(40),
        ..run(folder.path())
    };
    let trained = train(&with_checkpoints, small(100));
    let steps: Vec<usize> = trained.checkpoints.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [40, 80]);
    let open = |path: &Path| ModelFolder::open(path).unwrap();
    let models: Vec<ModelFolder> = trained
        .checkpoints
        .iter()
        .map(|(_, path)| open(path))
        .collect();
    assert_eq!(
        models[1].training.as_ref().unwrap().training_loss,
        trained.losses.total[..80]
    );
    assert_ne!(models[0].weights, models[1].weights);
}

/// A model of two digits, two layers and three heads to insert, with the heads that it has use for.
fn inserted(folder: &Path) -> ModelFolder {
    let out = folder.join("w12_add_d2_l2_h3_t0K_s5");
    let recipe = recipe("w12_add_d2_l2_h3_t0K_s5", 3);
    train(&run(&out), Training::new(recipe, None));
    let behaviors = r#"[{"position": 7, "layer": 1, "is_head": true, "num": 2, "tags": ["Fail%:5"]},
        {"position": 8, "layer": 0, "is_head": false, "num": 0, "tags": ["Fail%:5"]}]"#;
    fs::write(out.join("behaviors.json"), behaviors).unwrap();
    ModelFolder::open(&out).unwrap()
}

/// A head's part of attention in a model of width 12.
fn head(weights: &Weights, layer: usize, part: &str, head: usize, heads: usize) -> Vec<f32> {
    let data = weights.array(&format!("blocks.{layer}.attn.{part}")).data();
    let width = data.len() / heads;
    data[head * width..][..width].to_vec()
}

#[test]
fn an_inserted_model_fills_the_first_or_last_layers_and_its_heads_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let init = inserted(folder.path());
    for (late, first) in [(false, 0), (true, 1)] {
        let overrides = Overrides {
            steps: Some(3),
            insert_late: late,
            ..Overrides::default()
        };
        let name = "w12_ins1_mix_d2_l3_h4_t0K_s1".parse().unwrap();
        let recipe = Recipe::new(&name, &overrides).unwrap();
        let insertion = Insertion::new(&recipe, Some(&init)).unwrap();
        let drawn = Weights::random(recipe.shape, recipe.name.seed);
        let training = Training::new(recipe, insertion);
        let weights = training.weights();
        for layer in 0..2 {
            for part in ["W_Q", "W_K", "W_V", "b_V"] {
                for number in 0..3 {
                    assert_eq!(
                        head(weights, first + layer, part, number, 4),
                        head(&init.weights, layer, part, number, 3),
                        "{part} of head {number}"
                    );
                }
                let own = head(weights, first + layer, part, 3, 4);
                assert_eq!(own, head(&drawn, first + layer, part, 3, 4));
            }
            let of = |from: &Weights, layer: usize, part: &str| {
                from.array(&format!("blocks.{layer}.{part}")).clone()
            };
            for part in ["mlp.W_in", "mlp.b_out", "ln1.w", "ln1.b"] {
                assert_eq!(
                    of(weights, first + layer, part),
                    of(&init.weights, layer, part)
                );
            }
            // As published, what a head writes is left as drawn, and so is the second norm.
            for part in ["attn.W_O", "ln2.w"] {
                assert_eq!(
                    of(weights, first + layer, part),
                    of(&drawn, first + layer, part)
                );
            }
        }
        for name in ["embed.W_E", "pos_embed.W_pos", "unembed.W_U", "ln_final.w"] {
            assert_eq!(weights.array(name), init.weights.array(name));
        }
    }
}

#[test]
fn each_insert_mode_resets_its_parts_when_due() {
    let folder = tempfile::tempdir().unwrap();
    let init = inserted(folder.path());
    // The first batch is one after which modes 2 and 3 reset; the second is not.
    for (mode, reset_after) in [
        (1, [false; 2]),
        (2, [true, false]),
        (3, [true, false]),
        (4, [true; 2]),
    ] {
        let recipe = recipe(&format!("w12_ins{mode}_mix_d2_l2_h4_t0K_s1"), 3);
        let insertion = Insertion::new(&recipe, Some(&init)).unwrap();
        let mut training = Training::new(recipe, insertion);
        for reset in reset_after {
            training = training.next().unwrap();
            let weights = training.weights();
            let same = |number: usize, of: usize| {
                ["W_Q", "W_K", "W_V"].iter().all(|part| {
                    head(weights, 1, part, number, 4) == head(&init.weights, 1, part, of, 3)
                })
            };
            let mlp = weights.array("blocks.1.mlp.W_in") == init.weights.array("blocks.1.mlp.W_in");
            match mode {
                // Only the useful head, and counted from the last.
                2 => assert_eq!((same(3, 2), same(0, 0), mlp), (reset, false, false)),
                _ => assert_eq!((same(2, 2), same(0, 0), mlp), (reset, reset, reset)),
            }
        }
    }
}

#[test]
fn what_cannot_be_inserted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let init = inserted(folder.path());
    let refusal = |name: &str, init: Option<&ModelFolder>| {
        Insertion::new(&recipe(name, 3), init)
            .unwrap_err()
            .to_string()
    };
    let inserting = "w12_ins1_mix_d2_l2_h3_t0K_s1";
    assert!(refusal(inserting, None).contains("--init"));
    let plain = "w12_mix_d2_l2_h3_t0K_s1";
    assert!(refusal(plain, Some(&init)).contains("the name has no `insK_`"));
    assert_eq!(
        refusal("w12_ins1_mix_d3_l2_h3_t0K_s1", Some(&init)),
        "w12_add_d2_l2_h3_t0K_s5 has 2 digits, and 3 fit the model to train"
    );
    assert_eq!(
        refusal("w12_ins1_mix_d2_l1_h3_t0K_s1", Some(&init)),
        "w12_add_d2_l2_h3_t0K_s5 has 2 layers, and at most 1 fit the model to train"
    );
    let mut silent = init.clone();
    silent.behaviors = None;
    let error = refusal("w12_ins2_mix_d2_l2_h3_t0K_s1", Some(&silent));
    assert!(error.contains("no behaviors.json"), "{error}");
}

/// `circuitcheck train` of a small model, or another name, with this folder for its output.
fn command(out: &Path, name: &str, options: &[&str]) -> Command {
    let mut command = common::program();
    command
        .args(["train", name, "--out"])
        .arg(out)
        .args(options);
    command.args(["--questions", "2000"]);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const NAME: &str = "w12_add_d2_l1_h3_t0K_s1";

#[test]
fn a_killed_command_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let options = ["--steps", "400", "--save-every", "50"];
    let output = command(&whole, NAME, &options).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("enriched") && text.contains("of 2000 wrong"),
        "{text}"
    );

    let mut killed = command(&cut, NAME, &options);
    let mut killed = killed
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = cut.join(NAME).join(STATE_FILE);
    while !state.exists() {
        assert!(
            killed.try_wait().unwrap().is_none(),
            "it ended before it was killed"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let again = command(&cut, NAME, &options).output().unwrap();
    assert_eq!(again.status.code(), Some(4));
    assert!(
        stderr(&again).contains("holds an unfinished training"),
        "{}",
        stderr(&again)
    );
    let resumed = command(&cut, NAME, &[&options[..], &["--resume"]].concat())
        .output()
        .unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert!(
        stderr(&resumed).contains("resuming after batch"),
        "{}",
        stderr(&resumed)
    );
    let contents = |out: &Path| contents(&out.join(NAME));
    assert_eq!(contents(&cut), contents(&whole));

    let again = command(&whole, NAME, &["--steps", "400"]).output().unwrap();
    assert_eq!(again.status.code(), Some(4));
    assert!(stderr(&again).contains("exists"), "{}", stderr(&again));
}

#[test]
fn the_command_says_what_it_cannot_train() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str, options: &[&str]| {
        let output = command(folder.path(), name, options).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        stderr(&output)
    };
    let both = refusal(NAME, &["--width", "126", "--steps", "5"]);
    assert!(
        both.contains("the name says width 12, and --width says 126"),
        "{both}"
    );
    let multiplied = refusal("mul_d6_l3_h4_t75K_s1", &[]);
    assert!(
        multiplied.contains("mul models cannot be trained"),
        "{multiplied}"
    );
    let alone = refusal("w12_ins1_mix_d2_l2_h3_t0K_s1", &["--steps", "5"]);
    assert!(alone.contains("name its folder with --init"), "{alone}");
    let init = [
        "--steps",
        "5",
        "--init",
        "models/w126_add_d5_l2_h3_t15K_s372001",
    ];
    let wide = refusal("w12_ins1_mix_d5_l2_h3_t0K_s1", &init);
    assert!(wide.contains("has 126 d_model, and 12 fit"), "{wide}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_width_override_names_the_folder_and_safetensors_open() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--width",
        "12",
        "--steps",
        "5",
        "--format",
        "safetensors",
        "--json",
    ];
    let output = command(folder.path(), "sub_d2_l1_h3_t0K_s1", &options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["model"], "w12_sub_d2_l1_h3_t0K_s1");
    assert_eq!(
        (&said["batches"], &said["uniform"]["questions"]),
        (&5.into(), &2000.into())
    );
    let out = folder.path().join("w12_sub_d2_l1_h3_t0K_s1");
    assert!(!out.join("model.pth").exists());
    ModelFolder::open(&out).unwrap();
}

#[test]
fn checkpoints_are_described_and_verified_and_what_holds_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--steps",
        "60",
        "--checkpoints",
        "25",
        "--then",
        "discover,verify",
    ];
    let output = command(folder.path(), NAME, &options).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let out = folder.path().join(NAME);
    for described in [
        out.clone(),
        out.join("checkpoints/000025"),
        out.join("checkpoints/000050"),
    ] {
        let model = ModelFolder::open(&described).unwrap();
        assert!(model.features.is_some() && model.behaviors.is_some());
    }
    let timeline = fs::read(out.join("timeline.json")).unwrap();
    let timeline: serde_json::Value = serde_json::from_slice(&timeline).unwrap();
    let batches = timeline["checkpoints"].as_array().unwrap().iter();
    let batches: Vec<u64> = batches.map(|at| at["batches"].as_u64().unwrap()).collect();
    assert_eq!(batches, [25, 50, 60]);
    let svg = fs::read_to_string(out.join("timeline.svg")).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("60 batches:"),
        "{svg}"
    );
}

#[test]
fn checkpoints_that_never_come_are_refused_and_a_resume_of_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--steps", "5", "--checkpoints", "5"];
    let refused = command(folder.path(), NAME, &options).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    let said = stderr(&refused);
    assert!(said.contains("5 batches, and the training has 5"), "{said}");
    let started = command(folder.path(), NAME, &["--steps", "5", "--resume"]);
    let started = { started }.output().unwrap();
    assert!(started.status.success(), "{}", stderr(&started));
    let said = stderr(&started);
    assert!(said.contains("starting anew"), "{said}");
}
