//! Verifies one claim of a model: that head 1 of layer 0, at position 17, computes the base sum of the
//! units digits.
//!
//! ```text
//! cargo run --release --example verify_one_claim
//! ```

use std::error::Error;
use std::path::Path;

use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::verify::{Options, VerdictKind, verify};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = ModelFolder::open(Path::new("models/w126_add_d5_l2_h3_t15K_s372001"))?;
    let options = Options {
        nodes: vec!["P17L0H1".parse()?],
        ..Options::default()
    };
    let evidence = verify(&folder, None, &options, &mut |_| {})?;

    for claim in &evidence.claims {
        println!("{}: {}", claim.claim, claim.verdict.name());
        // Each verdict comes with the counts that it follows from.
        let measures = &claim
            .trials
            .as_ref()
            .ok_or("the claim was not tested")?
            .alone;
        for interchange_accuracy in measures.interchange_accuracy.values() {
            println!(
                "  {} of {} patched answers are the predicted ones",
                interchange_accuracy.hits, interchange_accuracy.trials
            );
        }
    }
    assert_eq!(evidence.claims[0].verdict.kind(), VerdictKind::Supported);
    Ok(())
}
