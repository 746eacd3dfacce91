//! The jobs that circuitcheck is used for, in turns with PyTorch and TransformerLens doing the same
//! (`benches/peer/`). `benches/compare` runs it, and prints one line a job.
//!
//! Times are of one turn; a ratio is the median over turns of what the peer took for a unit of work
//! over what the engine took, with the lowest and highest. Where other programs run at the same time,
//! the ratio of processor time beside it is the steadier one.

mod limit;
mod peer;
mod process;
mod scaling;
mod work;

use std::path::{Path, PathBuf};

use circuitcheck::domain::arithmetic::Operation;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::instruction_set;
use circuitcheck::training::keep_freed_memory;

use peer::Peer;
use work::{Ablation, Forward, Patches, Steps};

/// The mixed model, which is part of the library too.
const BUNDLED: &str = "models/w126_mix_d5_l3_h4_t40K_s372001/model.pth";

/// The real model of published width, where it is there.
const PUBLISHED_WIDTH: &str = "../shared/models/add_d5_l2_h3_t5K_s372001";

/// Its shape, for random weights in its place.
const PUBLISHED_SHAPE: Shape = Shape {
    n_digits: 5,
    n_layers: 2,
    n_heads: 3,
    d_model: 510,
    d_head: 170,
    d_mlp: 2040,
};

/// A model that jobs are done on.
struct Subject {
    name: &'static str,
    folder: ModelFolder,
    /// The file of its weights.
    weights: PathBuf,
    operations: &'static [Operation],
    /// Times what the peer is given in a turn at this size, so that a turn takes seconds.
    scale: usize,
}

/// One line of the table.
struct Row {
    job: &'static str,
    floor: f64,
    /// Units of work, as "questions".
    unit: &'static str,
}

fn main() {
    // `cargo bench` adds an option of its own.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wants = |job: &str| wanted.is_empty() || wanted.iter().any(|w| w == job);
    if wanted == ["train"] {
        // As the command does, before there are threads; other jobs' commands do not.
        keep_freed_memory();
    }
    println!(
        "{} threads, {}",
        rayon::current_num_threads(),
        instruction_set()
    );
    println!(
        "{:<30} {:>17} {:>17}  {:<26} {:>9}",
        "job", "circuitcheck", "peer", "ratio (of processor time)", "at least"
    );
    let node_sets = [bundled(), published_width()];
    for node_set in &node_sets {
        let large = node_set.scale == 1;
        if wants("forward") {
            let forward = Forward::new(node_set, 100_000);
            let sample = 2048 * node_set.scale;
            let peer = Peer::start("forward", &forward.task(node_set, sample));
            let row = Row {
                job: "forward",
                floor: if large { 1.5 } else { 2.5 },
                unit: "questions",
            };
            let turns = if large { 2 } else { 3 };
            compare(
                node_set,
                &row,
                peer,
                turns,
                || forward.run(),
                |answers| forward.same(answers),
            );
        }
        if wants("ablate") {
            let ablation = Ablation::new(node_set, 600);
            let peer = Peer::start("ablate", &ablation.task(node_set, 4));
            let row = Row {
                job: "ablate",
                floor: 10.0,
                unit: "nodes",
            };
            compare(
                node_set,
                &row,
                peer,
                3,
                || ablation.run(),
                |answers| ablation.same(answers),
            );
        }
        if wants("patch") {
            let patches = Patches::new(node_set, 10_000);
            let peer = Peer::start("patch-one-by-one", &patches.task(node_set, 100));
            let row = Row {
                job: "patch, one by one",
                floor: if large { 10.0 } else { 20.0 },
                unit: "triples",
            };
            compare(
                node_set,
                &row,
                peer,
                3,
                || patches.run(),
                |answers| patches.same(answers),
            );
            let peer = Peer::start(
                "patch-in-batches",
                &patches.task(node_set, 1024 * node_set.scale),
            );
            let row = Row {
                job: "patch, in batches",
                floor: if large { 2.5 } else { 3.0 },
                unit: "triples",
            };
            compare(
                node_set,
                &row,
                peer,
                3,
                || patches.run(),
                |answers| patches.same(answers),
            );
        }
        if wants("limit") {
            limit::report(node_set);
        }
        if wants("train") {
            let steps = Steps::new(node_set, 4 * node_set.scale * node_set.scale);
            let peer = Peer::start("train", &steps.task(node_set));
            let row = Row {
                job: "train",
                floor: if large { 1.0 } else { 1.5 },
                unit: "steps",
            };
            compare(node_set, &row, peer, 5, || steps.run(), |_| (0, 0));
        }
    }
    if wants("discover") {
        process::discover(&node_sets[0]);
    }
    if wants("verify") {
        process::verify();
    }
    if wants("show") {
        process::show();
    }
    if wants("scaling") {
        scaling::report();
    }
}

/// The bundled mixed model.
fn bundled() -> Subject {
    Subject {
        name: "bundled",
        folder: ModelFolder::bundled(),
        weights: BUNDLED.into(),
        operations: &[Operation::Add, Operation::Sub],
        scale: 4,
    }
}

fn published_width() -> Subject {
    let mut weights = Path::new(PUBLISHED_WIDTH).join("model.pth");
    if !weights.exists() {
        weights = peer::folder("random-weights").join("model.safetensors");
        peer::write_weights(&weights, PUBLISHED_SHAPE);
    }
    Subject {
        name: "width 510",
        folder: ModelFolder::open(&weights).expect("the file of weights is whole"),
        weights,
        operations: &[Operation::Add],
        scale: 1,
    }
}

/// Seconds of a turn, of processor time too, and the units of work done.
#[derive(Debug, Clone, Copy)]
struct Turn {
    wall: f64,
    cpu: f64,
    units: f64,
}

/// Times one call.
fn timed(units: usize, run: impl FnOnce()) -> Turn {
    let (wall, cpu) = (std::time::Instant::now(), process::own_cpu());
    run();
    Turn {
        wall: wall.elapsed().as_secs_f64(),
        cpu: process::own_cpu() - cpu,
        units: units as f64,
    }
}

/// Engine and peer in turns; a line of the table.
fn compare(
    node_set: &Subject,
    row: &Row,
    mut peer: Peer,
    turns: usize,
    mut own: impl FnMut() -> Turn,
    same: impl FnOnce(&[u8]) -> (usize, usize),
) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        ours.push(own());
        theirs.push(peer.turn());
    }
    let (different, compared) = same(&peer.answers());
    let pairs = || ours.iter().zip(&theirs);
    let walls = sorted(pairs().map(|(o, t)| (t.wall / t.units) / (o.wall / o.units)));
    let cpus = sorted(pairs().map(|(o, t)| (t.cpu / t.units) / (o.cpu / o.units)));
    let rate = |turns: &[Turn]| median(&sorted(turns.iter().map(|t| t.units / t.wall)));
    let ratio = format!(
        "{:.1} [{:.1}, {:.1}] ({:.1})",
        median(&walls),
        walls[0],
        walls[walls.len() - 1],
        median(&cpus)
    );
    println!(
        "{:<30} {:>17} {:>17}  {:<26} {:>9}",
        format!("{}, {}", row.job, node_set.name),
        format!("{:.0} {}/s", rate(&ours), row.unit),
        format!("{:.0} {}/s", rate(&theirs), row.unit),
        ratio,
        row.floor
    );
    if different > 0 {
        println!("    {different} of {compared} answer tokens differ");
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle one, the lower of two.
fn median(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() - 1) / 2]
}
