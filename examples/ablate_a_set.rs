//! Ablates two heads together on random additions, and counts wrong answers by complexity class: how
//! far a carry travels, from `S0` (no carry) up.
//!
//! ```text
//! cargo run --release --example ablate_a_set
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use circuitcheck::domain::arithmetic::{Class, Prompt, complexity};
use circuitcheck::domain::causal::Space;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::experiment::stats::Count;
use circuitcheck::experiment::stream;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::ablation::{Ablation, AblationBench};
use circuitcheck::network::engine::Engine;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = ModelFolder::open(Path::new("models/w126_add_d5_l2_h3_t15K_s372001"))?;
    let engine = Engine::new(&folder.weights);
    let node = |name: &str| -> Result<Node, Box<dyn Error>> {
        Ok(name.parse::<NodeName>()?.resolve(&engine.shape())?)
    };
    let nodes = [node("P8L0H1")?, node("P9L0H1")?];

    let sampler = Space::of_class(Class::Add, engine.shape().n_digits).sampler();
    let mut rng = stream(0, "example");
    let prompts = (0..1000).map(|_| Prompt::truth(sampler.draw(&mut rng)));
    let bench = AblationBench::new(&engine, prompts.collect(), nodes.to_vec())?;

    let mut wrong: BTreeMap<_, Count> = BTreeMap::new();
    for block in bench.blocks(usize::MAX, 100) {
        let mut block = block?;
        let logits = block.ablate(Ablation::Mean, &nodes)?;
        for (prompt, logits) in block.prompts().iter().zip(logits) {
            let count = wrong.entry(complexity(&prompt.question)).or_default();
            count.add(logits.answer() != prompt.forced);
        }
    }
    for (class, count) in &wrong {
        println!("{class}: {} of {} wrong", count.hits, count.trials);
    }
    let failed: u64 = wrong.values().map(|count| count.hits).sum();
    assert!(0 < failed && failed < 500, "{failed} of 1000 wrong");
    Ok(())
}
