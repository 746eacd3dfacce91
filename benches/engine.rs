//! The engine beside the plain forward pass, on the bundled mixed model, in one run: compare the two
//! rows of each group, not absolute times.

use circuitcheck::domain::arithmetic::{Class, Prompt};
use circuitcheck::domain::causal::Space;
use circuitcheck::domain::node::Node;
use circuitcheck::experiment::stream;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::{Decode, Engine, Intervention, Site, Source};
use circuitcheck::network::reference::Network;
use divan::Bencher;
use divan::counter::ItemsCount;

/// Questions in one forward pass.
const QUESTIONS: usize = 512;

/// Questions that are patched; the plain pass runs each from scratch.
const PATCHED: usize = 128;

fn main() {
    divan::main();
}

fn prompts(count: usize) -> Vec<Prompt> {
    let space = Space::of_class(Class::Add, 5);
    let sampler = space.sampler();
    let mut rng = stream(1, "bench");
    (0..count)
        .map(|_| Prompt::truth(sampler.draw(&mut rng)))
        .collect()
}

#[divan::bench]
fn forward_engine(bencher: Bencher) {
    let engine = Engine::new(&ModelFolder::bundled().weights);
    let prompts = prompts(QUESTIONS);
    bencher
        .counter(ItemsCount::new(QUESTIONS))
        .bench(|| engine.logits(&prompts).unwrap());
}

#[divan::bench]
fn forward_plain(bencher: Bencher) {
    let network = Network::load(&ModelFolder::bundled().weights).unwrap();
    let prompts = prompts(QUESTIONS);
    bencher
        .counter(ItemsCount::new(QUESTIONS))
        .bench(|| network.forward(&prompts, &[]).unwrap());
}

fn node() -> Node {
    let shape = ModelFolder::bundled().weights.shape();
    let name: circuitcheck::domain::node::NodeName = "P12L0H3".parse().unwrap();
    name.resolve(&shape).unwrap()
}

#[divan::bench]
fn patch_engine(bencher: Bencher) {
    let engine = Engine::new(&ModelFolder::bundled().weights);
    let bases = prompts(PATCHED);
    let sources: Vec<Prompt> = bases.iter().rev().copied().collect();
    let run = engine.run(&bases).unwrap();
    let node = node();
    bencher.counter(ItemsCount::new(PATCHED)).bench(|| {
        let stored = engine.activations(&sources, [Site::from(node)]).unwrap();
        let jobs: Vec<(usize, Intervention)> = (0..PATCHED)
            .map(|i| {
                let patch = stored.overwrite(i, node, Source::Stored);
                (i, Intervention::new([patch]))
            })
            .collect();
        engine.intervene(&run, &jobs, Decode::Forced).unwrap()
    });
}

/// Pairs that `python/bench.py` patches too.
const PAIRS: usize = 10_000;

#[divan::bench(sample_count = 5, sample_size = 1)]
fn patch_pairs(bencher: Bencher) {
    let engine = Engine::new(&ModelFolder::bundled().weights);
    let prompts = prompts(2 * PAIRS);
    let (sources, bases) = prompts.split_at(PAIRS);
    let pairs: Vec<(Prompt, Prompt)> = sources.iter().copied().zip(bases.iter().copied()).collect();
    let sites = [Site::from(node())];
    bencher.counter(ItemsCount::new(PAIRS)).bench(|| {
        let patched = engine.answers_patched(&pairs, &sites, Decode::Forced);
        patched.unwrap()
    });
}

#[divan::bench]
fn patch_plain(bencher: Bencher) {
    let folder = ModelFolder::bundled();
    let network = Network::load(&folder.weights).unwrap();
    let engine = Engine::new(&folder.weights);
    let bases = prompts(PATCHED);
    let sources: Vec<Prompt> = bases.iter().rev().copied().collect();
    let node = node();
    let stored = engine.activations(&sources, [Site::from(node)]).unwrap();
    let interventions: Vec<Intervention> = (0..PATCHED)
        .map(|i| Intervention::new([stored.overwrite(i, node, Source::Stored)]))
        .collect();
    bencher
        .counter(ItemsCount::new(PATCHED))
        .bench(|| network.forward(&bases, &interventions).unwrap());
}
