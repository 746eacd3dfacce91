//! Whole commands, run as a user runs them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use circuitcheck::analysis::published::{Quirks, discover as found_by_discover, draw_set, search};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::network::engine::Engine;
use serde_json::json;

use crate::peer::{Peer, Task};
use crate::{Subject, median, sorted};

/// Starts of `show`, for its cold start.
const STARTS: usize = 20;

/// How often a process is looked at while it runs.
const LOOK: Duration = Duration::from_millis(2);

/// Seconds of processor time of this process so far.
pub fn own_cpu() -> f64 {
    cpu_of("self").unwrap_or_default()
}

/// Seconds of processor time of a process so far, in user and in kernel mode.
fn cpu_of(process: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Fields are counted from after the name, which stands in parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    // Linux counts a hundred ticks a second towards programs.
    Some(ticks as f64 / 100.0)
}

/// The largest memory of a process so far, in megabytes.
fn peak_of(process: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// What a command took.
struct Taken {
    wall: f64,
    cpu: f64,
    peak: f64,
}

fn run(arguments: &[&str]) -> Taken {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_circuitcheck"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built");
    let process = child.id().to_string();
    let (mut cpu, mut peak) = (0.0, 0.0);
    while child
        .try_wait()
        .expect("a child can be waited for")
        .is_none()
    {
        cpu = cpu_of(&process).unwrap_or(cpu);
        peak = peak_of(&process).unwrap_or(peak);
        std::thread::sleep(LOOK);
    }
    Taken {
        wall: start.elapsed().as_secs_f64(),
        cpu,
        peak,
    }
}

/// `verify` with its defaults.
pub fn verify() {
    let out = crate::peer::folder("verify");
    let taken = run(&["verify", "--out", out.to_str().unwrap()]);
    println!(
        "verify, bundled: {:.1} s, {:.1} s of processor time, {:.0} MB (to be under 30 s and 300 MB)",
        taken.wall, taken.cpu, taken.peak
    );
}

/// How long `show` takes from start to end.
pub fn show() {
    let walls = sorted((0..STARTS).map(|_| {
        // No looking in between, which would cost as much as the program.
        let start = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_circuitcheck"))
            .arg("show")
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("the program was built").success());
        start.elapsed().as_secs_f64()
    }));
    println!(
        "show, from start to end: {:.0} ms [{:.0}, {:.0}] (to be under 50 ms)",
        1e3 * median(&walls),
        1e3 * walls[0],
        1e3 * walls[STARTS - 1]
    );
}

/// The published protocol, whole, beside what its parts take with TransformerLens and scikit-learn.
pub fn discover(node_set: &Subject) {
    let out = crate::peer::folder("discover");
    let walls = sorted((0..3).map(|_| {
        run(&[
            "discover",
            "--protocol",
            "published",
            "--out",
            out.to_str().unwrap(),
        ])
        .wall
    }));
    let engine = Engine::new(&node_set.folder.weights);
    let (quirks, operations) = (Quirks::published(), node_set.folder.operations());
    let shape = engine.shape();
    let set = draw_set(
        &node_set.folder,
        &mut circuitcheck::experiment::stream(0, "question set"),
    );
    let found = found_by_discover(&node_set.folder, &engine, &set, &quirks, 0).unwrap();
    let behaviors = found.behaviors(shape.n_digits, operations, &quirks);
    let claims = search(&engine, operations, &behaviors, &quirks).unwrap();
    let claims: usize = claims.iter().map(|node| node.tags.len()).sum();
    let heads = found
        .nodes
        .iter()
        .filter(|n| n.node.head().is_some())
        .count();

    let tokens: Vec<u8> = set.iter().flat_map(Prompt::tokens).collect();
    let task = Task::new(node_set, 1)
        .with("questions", json!(tokens))
        .with("position", json!(shape.first_answer_position()));
    let mut peer = Peer::start("discover", &task);
    let said = peer.say();
    // As often as the protocol does each part; of the search only the tests that found something are
    // counted, one pair of questions each.
    let nodes = found.positions.len() * shape.n_layers * (shape.n_heads + 1);
    let parts = [
        ("overwrite_position", shape.n_ctx()),
        ("overwrite_node", nodes),
        ("attention", 1),
        (
            "cluster",
            heads * shape.n_digits * node_set.operations.len(),
        ),
        ("patch", claims),
    ];
    let of = |name: &str, times: usize| said[name].as_f64().unwrap() * times as f64;
    let theirs: f64 = parts.iter().map(|&(name, times)| of(name, times)).sum();
    println!(
        "discover, bundled: {:.1} s against {:.0} s, {:.0} times (at least 50)",
        median(&walls),
        theirs,
        theirs / median(&walls)
    );
    for (name, times) in parts {
        println!("    {name}: {times} times, {:.1} s", of(name, times));
    }
}
