//! A sweep finds out all there is about each model, whatever becomes of the others and of itself.

mod common;
#[allow(dead_code)]
mod torch_file;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::Command;
use circuitcheck::inputs::model::Weights;
use circuitcheck::network::handmade;
use parquet::record::Field;
use serde_json::Value;
use tempfile::TempDir;
use torch_file::{pickle, pth, state_dict};

use common::{SMALL_SHAPE, rows};

/// Two networks that learnt nothing, and a folder that is no model.
struct Zoo {
    keep: TempDir,
}

const CLAIMS: &str =
    r#"[{"position": 6, "layer": 0, "is_head": true, "num": 0, "tags": ["Algo:A0.SA"]}]"#;

/// A hypothesis about models that add.
const HYPOTHESIS: &str = "name = \"sums\"\n[model]\ndoes = [\"add\"]\n[[exists]]\nsays = \"There is a base sum.\"\nclaim = \"SA 0\"\n";

impl Zoo {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let zoo = Self { keep };
        for (name, seed) in [(ADD, 1), (SUB, 2)] {
            zoo.add(name, &Weights::random(SMALL_SHAPE, seed));
        }
        let broken = zoo.path("models/broken");
        fs::create_dir(&broken).unwrap();
        fs::write(broken.join("model.pth"), "torch").unwrap();
        fs::create_dir(zoo.path("hypotheses")).unwrap();
        fs::write(zoo.path("hypotheses/sums.toml"), HYPOTHESIS).unwrap();
        zoo
    }

    fn add(&self, name: &str, weights: &Weights) {
        let (dict, storages) = state_dict(&weights.clone().into());
        let folder = self.path("models").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.pth"), pth(&pickle(&dict), &storages)).unwrap();
        fs::write(folder.join("features.json"), CLAIMS).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.keep.path().join(name)
    }

    fn arguments(&self, out: &str) -> Vec<String> {
        let shown = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut arguments = vec!["sweep".into(), shown(self.path("models")) + "/*"];
        arguments.extend(["--out".into(), shown(self.path(out))]);
        arguments.extend(["--hypotheses".into(), shown(self.path("hypotheses"))]);
        arguments.extend(["--questions", "2000", "--cases", "200"].map(String::from));
        arguments
    }

    fn sweep(&self, out: &str) -> Output {
        let mut command = Command::cargo_bin("circuitcheck").unwrap();
        command.args(self.arguments(out)).output().unwrap()
    }

    fn summary(&self, out: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(out).join("summary.json")).unwrap()).unwrap()
    }

    /// When each step's record was written.
    fn written(&self, out: &str) -> Vec<(PathBuf, SystemTime)> {
        let mut found = Vec::new();
        for model in fs::read_dir(self.path(out)).unwrap() {
            let model = model.unwrap().path();
            if !model.is_dir() {
                continue;
            }
            for file in fs::read_dir(model).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if name.starts_with("step-") {
                    found.push((path.clone(), path.metadata().unwrap().modified().unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn model<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let models = summary["models"].as_array().unwrap();
    models.iter().find(|model| model["model"] == name).unwrap()
}

const ADD: &str = "w8_add_d2_l1_h2_t1K_s1";
const SUB: &str = "w8_sub_d2_l1_h2_t1K_s2";
const HANDMADE: &str = "w42_add_d2_l2_h6_t1K_s3";

#[test]
fn a_model_that_fails_stops_no_other() {
    let zoo = Zoo::new();
    let swept = zoo.sweep("out");
    assert_eq!(swept.status.code(), Some(4), "{swept:?}");
    let summary = zoo.summary("out");
    let broken = &summary["models"][0];
    assert!(
        broken["error"]
            .as_str()
            .unwrap()
            .contains("not a zip archive"),
        "{broken}"
    );
    for name in [ADD, SUB] {
        let found = model(&summary, name);
        assert_eq!(found["accuracy"]["questions"], 2000, "{found}");
        let steps = found["steps"].as_array().unwrap();
        let of = |name: &str| steps.iter().find(|step| step["step"] == name);
        for step in [
            "verify", "accuracy", "property", "discover", "graph", "circuit", "report",
        ] {
            assert_eq!(
                of(step).unwrap()["state"],
                "done",
                "{name} {step}: {steps:?}"
            );
        }
        // The one hypothesis is about models that add.
        assert_eq!(of("hypothesis sums").is_some(), name == ADD);
        for file in [
            "evidence.json",
            "report.md",
            "property.json",
            "discovered/features.json",
            "graph.json",
            "report.html",
        ] {
            assert!(
                zoo.path("out").join(name).join(file).exists(),
                "{name} {file}"
            );
        }
        // A network that answers nothing rightly has no circuits to compare, and leaves no empty file.
        assert!(!zoo.path("out").join(name).join("circuit.json").exists());
    }
    let page = fs::read_to_string(zoo.path("out/summary.html")).unwrap();
    assert!(page.contains("3 models") && page.contains("1 could not be opened"));
    for name in [ADD, SUB] {
        assert!(page.contains(&format!("href=\"{name}/report.html\"")));
    }
    let markdown = fs::read_to_string(zoo.path("out/summary.md")).unwrap();
    assert_eq!(markdown, text(&swept.stdout));
    assert!(
        markdown.contains("# Without a result\n") && markdown.contains("| 0 of 1 |"),
        "{markdown}"
    );
}

#[test]
fn the_summary_and_its_tables_say_the_same() {
    let zoo = Zoo::new();
    // A network that answers rightly, so that there is a circuit to tell of.
    zoo.add(HANDMADE, &handmade::addition(2).weights);
    zoo.sweep("out");
    let summary = zoo.summary("out");
    let models = rows(&zoo.path("out/models.parquet"));
    let claims = rows(&zoo.path("out/claims.parquet"));
    let steps = rows(&zoo.path("out/steps.parquet"));
    let hypotheses = rows(&zoo.path("out/hypotheses.parquet"));
    let sufficiency = rows(&zoo.path("out/sufficiency.parquet"));
    let listed = summary["models"].as_array().unwrap();
    assert_eq!(models.len(), listed.len());
    let mut of_steps = 0;
    for (row, model) in models.iter().zip(listed) {
        assert_eq!(row["location"], Field::Str(text_of(&model["location"])));
        if !model["error"].is_null() {
            assert_eq!(row["error"], Field::Str(text_of(&model["error"])));
            assert_eq!(row["model"], Field::Null);
            assert_eq!(row["claims"], Field::Null);
            continue;
        }
        assert_eq!(row["error"], Field::Null);
        let name = text_of(&model["model"]);
        assert_eq!(row["model"], Field::Str(name.clone()));
        for (column, value) in [
            ("n_digits", &model["shape"]["n_digits"]),
            ("d_model", &model["shape"]["d_model"]),
            ("questions", &model["accuracy"]["questions"]),
            ("wrong", &model["accuracy"]["wrong"]),
        ] {
            assert_eq!(
                row[column],
                Field::Long(value.as_i64().unwrap()),
                "{column}"
            );
        }
        let is_of = |row: &&Row| row["model"] == Field::Str(name.clone());
        let verdicts: Vec<&Field> = (claims.iter().filter(is_of))
            .map(|row| &row["verdict"])
            .collect();
        assert_eq!(row["claims"], Field::Long(verdicts.len() as i64));
        for (verdict, count) in model["verdicts"].as_object().unwrap() {
            let wanted = Field::Str(verdict.clone());
            let counted = verdicts.iter().filter(|&&found| *found == wanted).count();
            assert_eq!(counted as u64, count.as_u64().unwrap(), "{verdict}");
        }
        for (row, step) in steps[of_steps..]
            .iter()
            .zip(model["steps"].as_array().unwrap())
        {
            assert_eq!(row["model"], Field::Str(name.clone()));
            assert_eq!(row["step"], Field::Str(text_of(&step["step"])));
            assert_eq!(row["state"], Field::Str(text_of(&step["state"])));
            of_steps += 1;
        }
        let tested = hypotheses.iter().filter(is_of).count();
        assert_eq!(tested, model["hypotheses"].as_array().unwrap().len());
    }
    assert_eq!(of_steps, steps.len());
    assert_eq!((claims.len(), hypotheses.len()), (3, 2));
    let listed = model(&summary, HANDMADE)["sufficiency"].as_array().unwrap();
    let told: Vec<(Field, Field, Field)> = (listed.iter())
        .map(|score| {
            let text = |key: &str| Field::Str(text_of(&score[key]));
            let right = score["right"].as_i64().unwrap();
            (text("circuit"), text("ablation"), Field::Long(right))
        })
        .collect();
    let found: Vec<(Field, Field, Field)> = (sufficiency.iter())
        .map(|row| {
            let of = |key: &str| row[key].clone();
            (of("circuit"), of("ablation"), of("stay_right"))
        })
        .collect();
    assert_eq!(told, found);
    // Claimed nodes and those of the hypothesis, each by two ablations.
    assert_eq!(found.len(), 4);
}

type Row = BTreeMap<String, Field>;

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_is_done_is_not_done_again_and_what_changed_is() {
    let zoo = Zoo::new();
    zoo.sweep("out");
    let first = zoo.written("out");
    assert!(first.len() >= 13, "{first:?}");
    let again = zoo.sweep("out");
    let place = "model 2 of 3, step 1 of ";
    let news = text(&again.stderr);
    assert!(news.contains(place), "{news}");
    assert!(news.contains(&format!("{ADD} verify: was done before")));
    assert_eq!(zoo.written("out"), first);

    // Other claims of one model: its steps are done anew, the other's are not.
    let features = zoo.path("models").join(SUB).join("features.json");
    fs::write(&features, CLAIMS.replace("A0.SA", "A0.MD")).unwrap();
    zoo.sweep("out");
    for ((path, before), (same, after)) in first.iter().zip(zoo.written("out")) {
        assert_eq!(*path, same);
        let of_sub = path.to_str().unwrap().contains(SUB);
        assert_eq!(*before != after, of_sub, "{}", path.display());
    }
}

#[test]
fn a_step_that_failed_is_tried_again() {
    let zoo = Zoo::new();
    // A folder where the step's file should be.
    let in_the_way = zoo.path("out").join(ADD).join("graph.json");
    fs::create_dir_all(&in_the_way).unwrap();
    let swept = zoo.sweep("out");
    assert_eq!(swept.status.code(), Some(4));
    assert!(
        text(&swept.stderr).contains("graph.json"),
        "{}",
        text(&swept.stderr)
    );
    fs::remove_dir(&in_the_way).unwrap();
    zoo.sweep("out");
    assert!(in_the_way.is_file());
    // The evidence is no folder either: what needs it is skipped, what does not is done.
    let evidence = zoo.path("other").join(SUB).join("evidence.json");
    fs::create_dir_all(&evidence).unwrap();
    zoo.sweep("other");
    let summary = zoo.summary("other");
    let steps = model(&summary, SUB)["steps"].as_array().unwrap();
    let state =
        |name: &str| steps.iter().find(|step| step["step"] == name).unwrap()["state"].clone();
    assert_eq!(state("verify"), "failed");
    assert_eq!(state("graph"), "skipped");
    assert_eq!(state("accuracy"), "done");
}

#[test]
fn a_result_that_is_gone_or_cannot_be_read_is_made_anew() {
    let zoo = Zoo::new();
    zoo.sweep("out");
    let result = zoo.path("out").join(ADD).join("accuracy.json");
    let found = fs::read(&result).unwrap();
    let whole = zoo.summary("out");
    fs::remove_file(&result).unwrap();
    zoo.sweep("out");
    assert_eq!(fs::read(&result).unwrap(), found);

    fs::write(&result, &found[..found.len() / 2]).unwrap();
    let swept = zoo.sweep("out");
    assert!(
        text(&swept.stderr).contains("accuracy: accuracy.json: "),
        "{swept:?}"
    );
    let summary = zoo.summary("out");
    let steps = model(&summary, ADD)["steps"].as_array().unwrap();
    let accuracy = steps
        .iter()
        .find(|step| step["step"] == "accuracy")
        .unwrap();
    assert_eq!(accuracy["state"], "failed");
    assert!(model(&summary, ADD)["accuracy"].is_null());
    zoo.sweep("out");
    assert_eq!(fs::read(&result).unwrap(), found);
    assert_eq!(zoo.summary("out"), whole);
}

#[test]
fn a_sweep_killed_again_and_again_ends_as_one_that_was_not() {
    let zoo = Zoo::new();
    zoo.sweep("whole");
    for kill in 0..12 {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("circuitcheck"))
            .args(zoo.arguments("killed"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(40 + 37 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // The step that was running ends by itself, and lets nobody else write until then.
    let began = Instant::now();
    while text(&zoo.sweep("killed").stderr).contains("another sweep writes") {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(20));
    }
    let of = |out: &str, file: &str| fs::read_to_string(zoo.path(out).join(file)).unwrap();
    for name in [ADD, SUB] {
        for file in [
            "evidence.json",
            "property.json",
            "graph.json",
            "accuracy.json",
        ] {
            let file = format!("{name}/{file}");
            assert_eq!(of("killed", &file), of("whole", &file), "{file}");
        }
    }
    assert_eq!(of("killed", "summary.md"), of("whole", "summary.md"));
}

#[test]
fn the_page_opens_with_the_verdicts_of_each_task_in_each_model() {
    let zoo = Zoo::new();
    zoo.sweep("out");
    let page = fs::read_to_string(zoo.path("out/summary.html")).unwrap();
    let (before, after) = page.split_once("<table class=\"picture\">").unwrap();
    assert!(!before.contains("<table"));
    let (picture, _) = after.split_once("</table>").unwrap();
    assert!(picture.contains("<abbr title=\"Sum, base Add"), "{picture}");
    let summary = zoo.summary("out");
    for name in [ADD, SUB] {
        let verdicts = model(&summary, name)["verdicts"].as_object().unwrap();
        let (verdict, count) = verdicts.iter().next().unwrap();
        let row = picture
            .split("<tr>")
            .find(|row| row.contains(name))
            .unwrap();
        let words = format!("title=\"SA: {count} {verdict}\"");
        let colour = format!("class=\"v-{}\"", verdict.replace(' ', "-"));
        assert!(row.contains(&words) && row.contains(&colour), "{row}");
    }
}

#[test]
fn two_sweeps_do_not_write_to_one_folder() {
    let zoo = Zoo::new();
    fs::create_dir(zoo.path("out")).unwrap();
    let lock = File::create(zoo.path("out/.sweep.lock")).unwrap();
    lock.lock().unwrap();
    let refused = zoo.sweep("out");
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("another circuitcheck sweep writes to this folder"));
    assert!(!Path::new(&zoo.path("out/summary.json")).exists());
}

#[test]
fn a_hypothesis_that_is_wrong_is_told_before_anything_is_begun() {
    let zoo = Zoo::new();
    fs::write(zoo.path("hypotheses/wrong.toml"), "name = 3").unwrap();
    let refused = zoo.sweep("out");
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("wrong.toml"));
    assert!(!zoo.path("out").exists());
}
