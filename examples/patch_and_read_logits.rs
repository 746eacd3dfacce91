//! Patches one head's activation from one question into another, and reads the answer and its logits.
//!
//! ```text
//! cargo run --release --example patch_and_read_logits
//! ```

use std::error::Error;
use std::path::Path;

use circuitcheck::domain::arithmetic::{AnswerToken, Prompt};
use circuitcheck::domain::node::NodeName;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::{Decode, Engine, Intervention, Site, Source};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = ModelFolder::open(Path::new("models/w126_add_d5_l2_h3_t15K_s372001"))?;
    let engine = Engine::new(&folder.weights);
    let n_digits = engine.shape().n_digits;

    // P17L0H1 computes the base sum of the units digits: 1+1 here, 3+4 there.
    let node = "P17L0H1".parse::<NodeName>()?.resolve(&engine.shape())?;
    let base = [Prompt::parse("11111+11111", n_digits)?];
    let source = [Prompt::parse("22223+33334", n_digits)?];

    let run = engine.run(&base)?;
    let stored = engine.activations(&source, [Site::from(node)])?;
    let patch = Intervention::new([stored.overwrite(0, node, Source::Stored)]);
    let patched = engine.intervene(&run, &[(0, patch)], Decode::Forced)?;

    let units = AnswerToken(0);
    for (name, logits) in [("base", &run.logits()[0]), ("patched", &patched[0])] {
        println!(
            "{name}: {}, units digit ahead by {:.1} logits",
            logits.answer(),
            logits.margin(units)
        );
    }
    // Only the units digit follows the patch.
    assert_eq!(run.logits()[0].answer().to_string(), "+022222");
    assert_eq!(patched[0].answer().to_string(), "+022227");
    Ok(())
}
