//! How near the forward pass comes to what a matrix product can do.

use std::collections::HashSet;
use std::time::Instant;

use circuitcheck::domain::arithmetic::{Prompt, Token};
use circuitcheck::domain::shape::Shape;
use circuitcheck::network::engine::Engine;
use gemm::Parallelism;
use serde_json::json;

use crate::peer::{Peer, Task};
use crate::work::questions;
use crate::{Subject, median, sorted};

/// Questions of a turn.
const QUESTIONS: usize = 8192;

/// Rows of the product that is the limit.
const ROWS: usize = 1024;

/// Products timed together.
const REPEATS: usize = 50;

/// Turns.
const TURNS: usize = 5;

/// Compares the multiply-adds a second of the forward pass with those of the best product.
pub fn report(node_set: &Subject) {
    let engine = Engine::new(&node_set.folder.weights);
    let prompts = questions(node_set, QUESTIONS);
    let shape = engine.shape();
    let needed = multiply_adds(&shape, &prompts);
    let task = Task::new(node_set, REPEATS).with("repeats", json!(REPEATS));
    let mut peer = Peer::start("gemm", &task);
    let of_product = (ROWS * shape.d_model * 4 * shape.d_model) as f64;
    let (mut reached, mut best) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let start = Instant::now();
        engine.logits(&prompts).unwrap();
        reached.push(needed / start.elapsed().as_secs_f64());
        let said = peer.say();
        let theirs = said
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, seconds)| (name.clone(), of_product / seconds.as_f64().unwrap()));
        let own = ("gemm".to_owned(), of_product / product(shape.d_model));
        best.push(
            theirs
                .chain([own])
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap(),
        );
    }
    let shares = sorted(reached.iter().zip(&best).map(|(r, (_, b))| r / b));
    println!(
        "work done against the limit, {}: {:.0} % [{:.0}, {:.0}] of {:.0} GFLOP/s ({}), which is {:.0} GFLOP/s",
        node_set.name,
        100.0 * median(&shares),
        100.0 * shares[0],
        100.0 * shares[TURNS - 1],
        2e-9 * median(&sorted(best.iter().map(|(_, rate)| *rate))),
        best[0].0,
        2e-9 * median(&sorted(reached.into_iter())),
    );
}

/// Seconds of one product with the `gemm` crate.
fn product(d: usize) -> f64 {
    let (lhs, rhs) = (vec![0.5f32; ROWS * d], vec![0.5f32; 4 * d * d]);
    let mut out = vec![0f32; ROWS * 4 * d];
    let start = Instant::now();
    for _ in 0..REPEATS {
        // SAFETY: the lengths are those of the row-major matrices that the strides describe.
        unsafe {
            gemm::gemm(
                ROWS,
                4 * d,
                d,
                out.as_mut_ptr(),
                1,
                4 * d as isize,
                false,
                lhs.as_ptr(),
                1,
                d as isize,
                rhs.as_ptr(),
                1,
                4 * d as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::Rayon(0),
            );
        }
    }
    start.elapsed().as_secs_f64() / REPEATS as f64
}

/// Multiply-adds that the answers to `prompts` need, once what the first layer reads is in tables and
/// what questions have in common is shared.
fn multiply_adds(shape: &Shape, prompts: &[Prompt]) -> f64 {
    let tokens: Vec<Vec<Token>> = prompts.iter().map(Prompt::tokens).collect();
    let (d, heads) = (shape.d_model as f64, shape.d_heads() as f64);
    let mlp = 2.0 * d * shape.d_mlp as f64;
    let mut total = 0.0;
    for position in 0..shape.n_ctx() - 1 {
        let prefixes: HashSet<&[Token]> = tokens.iter().map(|t| &t[..=position]).collect();
        let rows = prefixes.len() as f64;
        let answers = position >= shape.first_answer_position();
        for layer in 0..shape.n_layers {
            let leaves = layer + 1 < shape.n_layers || answers;
            let keys_and_values = if layer > 0 { 2.0 * d * heads } else { 0.0 };
            let query = if layer > 0 && leaves { d * heads } else { 0.0 };
            let attention = 2.0 * heads * (position + 1) as f64;
            let rest = if leaves {
                attention + heads * d + mlp
            } else {
                0.0
            };
            total += rows * (keys_and_values + query + rest);
        }
        if answers {
            total += rows * d * 15.0;
        }
    }
    total
}
