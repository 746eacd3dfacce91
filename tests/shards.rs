//! Work done by parts is the work done whole, however it was cut, interrupted and put together.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const ADD: &str = "models/w126_add_d5_l2_h3_t15K_s372001";
const SUB: &str = "models/w126_sub_d5_l2_h3_t30K_s372001";

/// Times that a shard is killed before it may end.
const KILLS: usize = 200;

fn circuitcheck(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("circuitcheck").unwrap();
    command.args(arguments);
    for name in ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"] {
        command.env_remove(name);
    }
    command
}

fn output(arguments: &[&str]) -> Output {
    circuitcheck(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A plan in a folder of its own.
struct Planned {
    folder: TempDir,
    shards: usize,
}

impl Planned {
    fn new(arguments: &[&str], shards: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = output(&[&["plan"], arguments, &["--shards", &shards.to_string()]].concat());
        assert!(plan.status.success(), "{plan:?}");
        fs::write(folder.path().join("plan.json"), plan.stdout).unwrap();
        Self { folder, shards }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn plan(&self) -> String {
        self.path("plan.json").to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = circuitcheck(arguments);
        command.args(["--plan", &self.plan()]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn work(&self, shard: usize) {
        let done = self.run(&["work", "--index", &shard.to_string()]);
        assert!(done.status.success(), "{done:?}");
    }

    fn merge(&self) -> BTreeMap<String, Vec<u8>> {
        let out = self.path("out");
        let merged = self.run(&["merge", "--out", out.to_str().unwrap()]);
        assert!(merged.status.success(), "{merged:?}");
        assert!(!merged.stdout.is_empty());
        contents(&out)
    }

    /// What a command that must not succeed says.
    fn refusal(&self, arguments: &[&str]) -> String {
        let refused = self.run(arguments);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
        text(&refused.stderr)
    }

    fn refusal_to_merge(&self) -> String {
        let out = self.path("out");
        self.refusal(&["merge", "--out", out.to_str().unwrap()])
    }

    fn edit_plan(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut plan = serde_json::from_slice(&fs::read(self.path("plan.json")).unwrap()).unwrap();
        change(&mut plan);
        fs::write(self.path("plan.json"), plan.to_string()).unwrap();
    }
}

/// The files of a folder, locks aside.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let within = contents(&path).into_iter();
            files.extend(within.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else if !name.ends_with(".lock") {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

// ---------------------------------------------------------------- the same bytes

#[test]
fn any_number_of_shards_gives_the_same_bytes_as_one() {
    let models = [ADD, SUB, "--questions", "4321"];
    let one = Planned::new(&models, 1);
    one.work(0);
    let whole = one.merge();
    let names: Vec<&String> = whole.keys().collect();
    assert_eq!(
        names,
        [
            "certificate.md",
            "w126_add_d5_l2_h3_t15K_s372001/answers.json",
            "w126_add_d5_l2_h3_t15K_s372001/claims.json",
            "w126_sub_d5_l2_h3_t30K_s372001/answers.json",
            "w126_sub_d5_l2_h3_t30K_s372001/claims.json"
        ]
    );
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for shards in [3, 10] {
        let parts = Planned::new(&models, shards);
        let mut order: Vec<usize> = (0..shards).collect();
        order.shuffle(&mut rng);
        for shard in order {
            parts.work(shard);
        }
        assert_eq!(parts.merge(), whole, "{shards} shards");
    }
    // And what is counted is what `accuracy` counts.
    let accuracy = output(&[
        "accuracy",
        SUB,
        "--questions",
        "4321",
        "--keep",
        "10000",
        "--json",
    ]);
    let answers = &whole["w126_sub_d5_l2_h3_t30K_s372001/answers.json"];
    assert_eq!(text(answers), text(&accuracy.stdout));
}

#[test]
fn threads_change_nothing() {
    let [one, two] = ["1", "3"].map(|threads| {
        let planned = Planned::new(&[ADD, "--questions", "2500"], 1);
        let done = planned.run(&["work", "--index", "0", "--threads", threads]);
        assert!(done.status.success(), "{done:?}");
        fs::read(planned.path("plan.shards/shard-0.json")).unwrap()
    });
    assert_eq!(text(&one), text(&two));
}

#[test]
fn claims_are_counted_on_the_questions_asked() {
    let planned = Planned::new(&[ADD, "--questions", "2000"], 1);
    planned.work(0);
    let merged = planned.merge();
    let claims: serde_json::Value =
        serde_json::from_slice(&merged["w126_add_d5_l2_h3_t15K_s372001/claims.json"]).unwrap();
    let claim = |name: &str| {
        let claims = claims.as_array().unwrap();
        claims.iter().find(|claim| claim["claim"] == name).unwrap()
    };
    // Two random questions differ in a base sum nine times in ten, and then this head tells.
    let base = claim("P17L0H1 A0.SA");
    let pairs = |rate: &serde_json::Value| rate["trials"].as_u64().unwrap();
    assert_eq!(
        base["interchange_accuracy"]["hits"],
        base["interchange_accuracy"]["trials"]
    );
    let counterfactual = pairs(&base["interchange_accuracy"]);
    assert!((1700..1900).contains(&counterfactual), "{counterfactual}");
    let others = pairs(&base["control_pairs"])
        + base["ties"].as_u64().unwrap()
        + base["dropped"].as_u64().unwrap();
    assert_eq!(counterfactual + others, 2000);
    assert_eq!(base["control_pairs"]["hits"], 0);
    // This one fails where the stored sum is 10: the first pair is named.
    let carry = claim("P15L0H2 A1.SC");
    assert!(
        carry["interchange_accuracy"]["hits"].as_u64()
            < carry["interchange_accuracy"]["trials"].as_u64()
    );
    let miss = &carry["first_miss"];
    assert_ne!(miss["predicted"], miss["given"]);
    let again = output(&[
        "patch",
        ADD,
        "--source",
        miss["source"].as_str().unwrap(),
        "--base",
        miss["base"].as_str().unwrap(),
        "--node",
        "P15L0H2",
    ]);
    let given = miss["given"].as_str().unwrap();
    assert!(
        text(&again.stdout).contains(given),
        "{}",
        text(&again.stdout)
    );
}

#[test]
fn an_exhaustive_plan_becomes_a_certificate_that_lists_each_wrong_answer() {
    let arguments = [SUB, "--exhaustive", "--a", "0..1", "--b", "9990..10999"];
    let planned = Planned::new(&arguments, 3);
    (0..3).for_each(|shard| planned.work(shard));
    let merged = planned.merge();
    let answers: serde_json::Value =
        serde_json::from_slice(&merged["w126_sub_d5_l2_h3_t30K_s372001/answers.json"]).unwrap();
    assert_eq!(answers["questions"], 2 * 1010);
    let wrong = answers["wrong"].as_u64().unwrap();
    assert!(wrong > 0);
    assert_eq!(
        answers["wrong_answers"].as_array().unwrap().len() as u64,
        wrong
    );
    let certificate = text(&merged["certificate.md"]);
    let expected = format!(
        "All 2020 questions with operands in 0..1 and 9990..10999 were asked; {wrong} were answered wrongly. Each is listed"
    );
    assert!(certificate.contains(&expected), "{certificate}");
    assert!(certificate.contains("SHA-256"));
}

// ---------------------------------------------------------------- interruptions

#[test]
fn a_shard_killed_two_hundred_times_ends_as_one_that_was_not() {
    let whole = Planned::new(&[ADD, "--questions", "30000", "--no-claims"], 1);
    let started = Instant::now();
    whole.work(0);
    // A few blocks are done in this time, however busy the machine is.
    let longest = started.elapsed() / 15;
    let expected = fs::read(whole.path("plan.shards/shard-0.json")).unwrap();

    let killed = Planned::new(&[ADD, "--questions", "30000", "--no-claims"], 1);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (mut kills, mut rounds, mut parts) = (0, 0, 0);
    let result = killed.path("plan.shards/shard-0.json");
    let part = killed.path("plan.shards/shard-0.part.json");
    while kills < KILLS {
        rounds += 1;
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("circuitcheck"))
            .args([
                "work",
                "--index",
                "0",
                "--save-every",
                "0",
                "--threads",
                "1",
            ])
            .args(["--plan", &killed.plan()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(
            rng.random_range(0..longest.as_micros() as u64),
        ));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        kills += usize::from(status.code().is_none());
        parts += usize::from(part.exists());
        // Whatever is there is whole. Once all is done, it is begun anew.
        if result.exists() {
            assert_eq!(text(&fs::read(&result).unwrap()), text(&expected));
            fs::remove_file(&result).unwrap();
        }
        assert!(rounds < 5 * KILLS, "{kills} kills in {rounds} rounds");
    }
    assert!(parts > 0, "no kill came after a block was done");
    killed.work(0);
    assert_eq!(text(&fs::read(&result).unwrap()), text(&expected));
    killed.merge();
}

#[test]
fn what_is_done_is_not_done_again() {
    let planned = Planned::new(&[ADD, "--questions", "1000", "--no-claims"], 1);
    planned.work(0);
    let result = planned.path("plan.shards/shard-0.json");
    let before = fs::metadata(&result).unwrap().modified().unwrap();
    let again = planned.run(&["work", "--index", "0"]);
    assert_eq!(text(&again.stderr), "shard 0 was done before\n");
    assert_eq!(fs::metadata(&result).unwrap().modified().unwrap(), before);
}

#[test]
fn a_shard_that_another_process_works_at_is_left_to_it() {
    let planned = Planned::new(&[ADD, "--questions", "1000", "--no-claims"], 1);
    fs::create_dir(planned.path("plan.shards")).unwrap();
    let mut lock = File::create(planned.path("plan.shards/shard-0.lock")).unwrap();
    lock.lock().unwrap();
    let refusal = planned.refusal(&["work", "--index", "0"]);
    assert!(
        refusal.contains("shard 0 is being worked at by another process"),
        "{refusal}"
    );
    writeln!(lock, "process 1234567").unwrap();
    let refusal = planned.refusal(&["work", "--index", "0"]);
    assert!(
        refusal.contains("by process 1234567, which holds"),
        "{refusal}"
    );
    drop(lock);
    planned.work(0);
}

#[test]
fn results_that_cannot_be_written_are_told_with_their_place() {
    let planned = Planned::new(&[ADD, "--questions", "1000", "--no-claims"], 1);
    fs::write(planned.path("file"), "").unwrap();
    let file = planned.path("file");
    let refusal = planned.refusal(&["work", "--index", "0", "--results", file.to_str().unwrap()]);
    assert!(refusal.contains(file.to_str().unwrap()), "{refusal}");
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_leaves_no_half_of_a_result() {
    let planned = Planned::new(&[ADD, "--questions", "2000"], 1);
    // No file may grow past a kilobyte, which a write learns of as it learns of a full disk.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let program = assert_cmd::cargo::cargo_bin("circuitcheck");
    let full = std::process::Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(&program)
        .args(["work", "--index", "0", "--plan", &planned.plan()])
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(4), "{full:?}");
    let stderr = text(&full.stderr);
    assert!(
        stderr.contains("shard-0.json: cannot be written: File too large"),
        "{stderr}"
    );
    assert!(contents(&planned.path("plan.shards")).is_empty());
    planned.work(0);
    planned.merge();
}

// ---------------------------------------------------------------- who does what

#[test]
fn schedulers_say_which_shard_it_is() {
    let planned = Planned::new(&[ADD, "--questions", "3000", "--no-claims"], 3);
    for (shard, name) in ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"]
        .iter()
        .enumerate()
    {
        planned
            .command(&["work"])
            .env(name, shard.to_string())
            .assert()
            .success();
        assert!(
            planned
                .path(&format!("plan.shards/shard-{shard}.json"))
                .exists()
        );
    }
    let wrong = planned
        .command(&["work"])
        .env("HQ_TASK_ID", "three")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(text(&wrong.stderr).contains("HQ_TASK_ID: \"three\" is no shard's number"));
    let none = planned.run(&["work"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(
        text(&none.stderr)
            .contains("none of SLURM_ARRAY_TASK_ID, HQ_TASK_ID, JOB_COMPLETION_INDEX")
    );
    let beyond = planned.refusal(&["work", "--index", "3"]);
    assert!(
        beyond.contains("there is no shard 3: they are numbered 0 to 2"),
        "{beyond}"
    );
}

#[test]
fn status_tells_what_is_missing_as_schedulers_take_it() {
    let planned = Planned::new(&[ADD, "--questions", "6000", "--no-claims"], 6);
    let status = |arguments: &[&str]| text(&planned.run(&[&["status"], arguments].concat()).stdout);
    assert_eq!(status(&["--missing"]), "0-5\n");
    assert_eq!(status(&[]), "0 of 6 shards are done; missing: 0-5\n");
    for shard in [1, 4] {
        planned.work(shard);
    }
    assert_eq!(status(&["--missing"]), "0,2-3,5\n");
    let json: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!(json["missing"], serde_json::json!([0, 2, 3, 5]));
    let refusal = planned.refusal_to_merge();
    assert!(
        refusal.contains("4 of 6 shards are not done: 0,2-3,5"),
        "{refusal}"
    );
    assert!(
        refusal.contains("hint: circuitcheck shard work does them"),
        "{refusal}"
    );
    assert!(!planned.path("out/certificate.md").exists());
    for shard in [0, 2, 3, 5] {
        planned.work(shard);
    }
    assert_eq!(status(&["--missing"]), "");
    assert_eq!(status(&[]), "6 of 6 shards are done\n");
}

// ---------------------------------------------------------------- what changed

#[test]
fn gaps_and_overlaps_in_a_plan_are_refused() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 5] = [
        (
            |plan| drop(plan["shards"].as_array_mut().unwrap().remove(1)),
            "blocks 2 to 3 are in no shard",
        ),
        (
            |plan| drop(plan["shards"].as_array_mut().unwrap().pop()),
            "blocks 4 to 5 are in no shard",
        ),
        (
            |plan| plan["shards"][1][0]["from"] = 1.into(),
            "block 1 is in two shards",
        ),
        (
            |plan| plan["shards"][2][0]["to"] = 9.into(),
            "there is no block 8, only 6",
        ),
        (
            |plan| plan["shards"][0][0]["model"] = 1.into(),
            "there is no model 1",
        ),
    ];
    for (change, message) in changes {
        let planned = Planned::new(&[ADD, "--questions", "6000", "--no-claims"], 3);
        planned.edit_plan(change);
        for command in ["work --index 0", "status", "merge --out x"] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let refusal = planned.refusal(&arguments);
            assert!(refusal.contains(message), "{refusal}");
        }
    }
}

#[test]
fn results_of_another_plan_are_refused() {
    let planned = Planned::new(&[ADD, "--questions", "2000", "--no-claims"], 2);
    planned.work(0);
    planned.work(1);
    // The same shards, of other questions.
    planned.edit_plan(|plan| plan["models"][0]["source"]["seed"] = 7.into());
    for refusal in [
        planned.refusal_to_merge(),
        planned.refusal(&["work", "--index", "0"]),
        planned.refusal(&["status"]),
    ] {
        assert!(
            refusal.contains("shard-0.json: is of another plan"),
            "{refusal}"
        );
    }
}

#[test]
fn a_result_under_another_name_or_changed_is_refused() {
    let planned = Planned::new(&[ADD, "--questions", "2000", "--no-claims"], 2);
    planned.work(0);
    let (zero, one) = (
        planned.path("plan.shards/shard-0.json"),
        planned.path("plan.shards/shard-1.json"),
    );
    fs::copy(&zero, &one).unwrap();
    assert!(
        planned
            .refusal_to_merge()
            .contains("shard-1.json: is of shard 0, not of 1")
    );
    fs::remove_file(&one).unwrap();
    planned.work(1);
    let whole = fs::read_to_string(&zero).unwrap();
    let fewer = whole.replacen("\"trials\":", "\"trials\":1", 1);
    for (content, message) in [
        (&whole[..whole.len() / 2], "not the result of a shard"),
        (
            fewer.as_str(),
            "questions counted in blocks 0 to 1, where there are 1000",
        ),
        ("", "not the result of a shard"),
    ] {
        fs::write(&zero, content).unwrap();
        let refusal = planned.refusal_to_merge();
        assert!(refusal.contains(message), "{refusal}");
    }
    fs::write(&zero, whole).unwrap();
    planned.merge();
}

#[test]
fn a_model_that_changed_is_refused() {
    let keep = tempfile::tempdir().unwrap();
    let model = keep.path().join("w126_add_d5_l2_h3_t15K_s372001");
    fs::create_dir(&model).unwrap();
    for file in ["model.pth", "features.json", "training_loss.json"] {
        fs::copy(Path::new(ADD).join(file), model.join(file)).unwrap();
    }
    let planned = Planned::new(&[model.to_str().unwrap(), "--questions", "1000"], 1);
    planned.work(0);
    planned.merge();
    let features = fs::read_to_string(model.join("features.json")).unwrap();
    fs::write(
        model.join("features.json"),
        features.replace("Algo:A0.SA", "Algo:A1.SA"),
    )
    .unwrap();
    let refusal = planned.refusal_to_merge();
    assert!(
        refusal.contains("features.json changed since it was planned"),
        "{refusal}"
    );

    // One weight, by its last byte.
    fs::write(model.join("features.json"), features).unwrap();
    let other = Path::new(ADD)
        .parent()
        .unwrap()
        .join("w126_sub_d5_l2_h3_t30K_s372001");
    fs::remove_dir_all(&model).unwrap();
    fs::create_dir(&model).unwrap();
    fs::copy(other.join("model.pth"), model.join("model.pth")).unwrap();
    fs::remove_dir_all(planned.path("plan.shards")).unwrap();
    let refusal = planned.refusal(&["work", "--index", "0"]);
    assert!(
        refusal.contains("the digest of the weights changed since it was planned"),
        "{refusal}"
    );
    assert!(
        refusal.contains("hint: put the planned model back"),
        "{refusal}"
    );
}

#[test]
fn what_is_no_plan_is_refused() {
    let planned = Planned::new(&[ADD, "--questions", "1000", "--no-claims"], 1);
    for (content, message) in [
        ("", "not a plan"),
        ("{}", "not a plan"),
        ("[]", "not a plan"),
    ] {
        fs::write(planned.path("plan.json"), content).unwrap();
        let refusal = planned.refusal(&["status"]);
        assert!(refusal.contains(message), "{refusal}");
    }
    let planned = Planned::new(&[ADD, "--questions", "1000", "--no-claims"], 1);
    planned.edit_plan(|plan| plan["program"] = "0.0.1".into());
    assert!(
        planned
            .refusal(&["status"])
            .contains("was made by circuitcheck 0.0.1")
    );
    let gone = output(&["status", "--plan", "gone.json"]);
    assert_eq!(gone.status.code(), Some(4));
}

// ---------------------------------------------------------------- planning

#[test]
fn models_are_named_by_pattern_and_by_list() {
    let keep = tempfile::tempdir().unwrap();
    let list = keep.path().join("models.txt");
    fs::write(&list, format!("# two of them\n{ADD}\n\n{SUB} # and this\n")).unwrap();
    let planned = |arguments: &[&str]| {
        let plan = output(
            &[
                &[
                    "plan",
                    "--questions",
                    "3000",
                    "--shards",
                    "2",
                    "--no-claims",
                ],
                arguments,
            ]
            .concat(),
        );
        assert!(plan.status.success(), "{plan:?}");
        text(&plan.stdout)
    };
    let both = planned(&[ADD, SUB]);
    assert_eq!(planned(&[list.to_str().unwrap()]), both);
    assert_eq!(planned(&["models/w126_[as]*_l2_*"]), both);
    assert_eq!(planned(&[ADD, ADD, "models/w126_[as]*_l2_*"]), both);
    for (wrong, message) in [
        (
            "models/none*",
            "models/none*: no folder or file of weights is called so",
        ),
        ("gone", "gone: no such folder or file"),
    ] {
        let refused = output(&["plan", wrong]);
        assert_eq!(refused.status.code(), Some(4));
        assert!(text(&refused.stderr).contains(message), "{refused:?}");
    }
    fs::write(&list, format!("{ADD}\nmodels/gone\n")).unwrap();
    let refused = output(&["plan", list.to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("models.txt:2: models/gone: no such folder"));
}

#[test]
fn shards_are_of_about_equal_cost() {
    // A block with claims costs many times one without: with 40 shards none may hold much more than
    // a fortieth.
    let planned = Planned::new(&["models/w126_*_l[23]_*", "--questions", "100000"], 40);
    let plan: serde_json::Value =
        serde_json::from_slice(&fs::read(planned.path("plan.json")).unwrap()).unwrap();
    let shards = plan["shards"].as_array().unwrap();
    // Microseconds a question, with all claims, as measured.
    let measured = [("add", 475), ("sub", 577), ("mix", 2400)];
    let blocks: Vec<u64> = plan["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            let of_model = |of: &&(&str, u64)| model["operations"] == of.0;
            measured.iter().find(of_model).unwrap().1
        })
        .collect();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let cost = |shard: &serde_json::Value| -> u64 {
        let pieces = shard.as_array().unwrap().iter();
        pieces
            .map(|piece| {
                (number(&piece["to"]) - number(&piece["from"]))
                    * blocks[number(&piece["model"]) as usize]
            })
            .sum()
    };
    let costs: Vec<u64> = shards.iter().map(cost).collect();
    assert_eq!(costs.len(), planned.shards);
    let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
    assert!(2 * most < 3 * least, "{costs:?}");
}

#[test]
fn without_a_number_shards_take_twenty_minutes() {
    let plan = output(&["plan", ADD, "--questions", "2000"]);
    assert!(plan.status.success());
    assert_eq!(
        text(&plan.stderr),
        "1 shard of about 1 minute on a machine like this\n"
    );
    let many = output(&["plan", ADD, "--questions", "2000", "--shards", "3"]);
    assert_eq!(many.status.code(), Some(4));
    assert!(
        text(&many.stderr).contains("3 shards are too many: there are 2 blocks of 1000 questions")
    );
}
