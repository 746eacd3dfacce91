//! What doubling each measure of a job does to the time it takes.

use circuitcheck::domain::arithmetic::{Operation, Prompt};
use circuitcheck::domain::causal::Space;
use circuitcheck::domain::node::Node;
use circuitcheck::domain::shape::Shape;
use circuitcheck::experiment::stream;
use circuitcheck::inputs::model::Weights;
use circuitcheck::network::engine::{Decode, Engine, Intervention, Site, Source};

use crate::{median, sorted, timed};

/// Turns.
const TURNS: usize = 7;

/// A job of patching.
#[derive(Clone, Copy)]
struct Job {
    questions: usize,
    claims: usize,
    layers: usize,
    digits: usize,
}

const BASE: Job = Job {
    questions: 512,
    claims: 8,
    layers: 2,
    digits: 5,
};

/// Prints the ratio of each doubled job to the one it was doubled from.
pub fn report() {
    let twice = [
        (
            "questions",
            Job {
                questions: 2 * BASE.questions,
                ..BASE
            },
        ),
        (
            "claims",
            Job {
                claims: 2 * BASE.claims,
                ..BASE
            },
        ),
        (
            "layers",
            Job {
                layers: 2 * BASE.layers,
                ..BASE
            },
        ),
        (
            "digits",
            Job {
                digits: 2 * BASE.digits,
                ..BASE
            },
        ),
    ];
    let base = prepared(BASE);
    for (what, job) in twice {
        let doubled = prepared(job);
        // Processor time: the two are wanted beside each other, not in what is left of the machine.
        let ratios = sorted((0..TURNS).map(|_| timed(1, &doubled).cpu / timed(1, &base).cpu));
        println!(
            "twice the {what}: {:.2} times the work [{:.2}, {:.2}]",
            median(&ratios),
            ratios[0],
            ratios[TURNS - 1]
        );
    }
}

/// Patching each claim's node on all questions, which share the clean and the source runs.
fn prepared(job: Job) -> impl Fn() {
    let shape = Shape {
        n_digits: job.digits,
        n_layers: job.layers,
        n_heads: 4,
        d_model: 126,
        d_head: 42,
        d_mlp: 504,
    };
    let engine = Engine::new(&Weights::random(shape, 1));
    let sampler = Space::of_operation(Operation::Add, job.digits).sampler();
    let mut rng = stream(1, "scaling");
    let mut draw = |count: usize| -> Vec<Prompt> {
        (0..count)
            .map(|_| Prompt::truth(sampler.draw(&mut rng)))
            .collect()
    };
    let (sources, bases) = (draw(job.questions), draw(job.questions));
    // Heads spread over the layers, at positions that predict an answer.
    let heads = Node::all(&shape)
        .into_iter()
        .filter(|node| node.head().is_some() && Site::from(*node).reaches_an_answer(&shape));
    let heads: Vec<Node> = heads
        .filter(|node| node.position() >= shape.first_answer_position())
        .collect();
    let claims: Vec<Node> = (0..job.claims)
        .map(|claim| heads[claim * heads.len() / job.claims])
        .collect();
    move || {
        let run = engine.run(&bases).unwrap();
        let sites = claims.iter().map(|&node| Site::from(node));
        let stored = engine.activations(&sources, sites).unwrap();
        for &node in &claims {
            let jobs: Vec<(usize, Intervention)> = (0..bases.len())
                .map(|i| {
                    (
                        i,
                        Intervention::new([stored.overwrite(i, node, Source::Stored)]),
                    )
                })
                .collect();
            engine.intervene(&run, &jobs, Decode::Forced).unwrap();
        }
    }
}
