//! What belongs to one run of the program and not to its evidence: times, the machine's make-up, and
//! figures derived from logits.

use std::time::Duration;

use serde::Serialize;

use crate::domain::arithmetic::Prompt;
use crate::domain::node::{Node, NodeName};
use crate::network::engine::{Engine, EngineError, Intervention, Site, Source};
use crate::verify::PhaseCost;
use crate::verify::evidence::Evidence;

/// The content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// SHA-256 of the `evidence.json` this run wrote.
    pub evidence_sha256: String,
    pub program: &'static str,
    /// Whether the program was built with optimisation.
    pub optimised: bool,
    pub architecture: &'static str,
    /// Instruction set extensions found at run time that products may use.
    pub instruction_sets: Vec<&'static str>,
    pub threads: usize,
    /// Wall-clock seconds of the verification.
    pub seconds: f64,
    /// Questions run with an intervention for the verification.
    pub patched_questions: u64,
    /// The same by phase, with the seconds each took.
    pub phases: Vec<PhaseCost>,
    /// How close the counterexamples are.
    pub counterexample_margins: Vec<Margin>,
}

/// How far the answer of a counterexample is from another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Margin {
    pub claim: String,
    /// The smallest lead of a highest logit over the second, over the patched answer's tokens.
    pub logit_margin: f32,
}

impl RunRecord {
    /// The record of a run that took `elapsed`.
    pub fn new(
        evidence_sha256: String,
        elapsed: Duration,
        phases: Vec<PhaseCost>,
        margins: Vec<Margin>,
    ) -> Self {
        RunRecord {
            evidence_sha256,
            program: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            architecture: std::env::consts::ARCH,
            instruction_sets: instruction_sets(),
            threads: rayon::current_num_threads(),
            seconds: elapsed.as_secs_f64(),
            patched_questions: phases.iter().map(|phase| phase.patched_questions).sum(),
            phases,
            counterexample_margins: margins,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, found)| found.then_some(name))
    .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

/// Replays every counterexample of the evidence and takes its smallest logit margin.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
///
/// # Panics
/// Where the evidence is of another network, which lacks its nodes.
pub fn margins(engine: &Engine, evidence: &Evidence) -> Result<Vec<Margin>, EngineError> {
    let decode = evidence.protocol.decode_of_verdicts();
    let mut margins = Vec::new();
    for claim in &evidence.claims {
        let Some(example) = claim.verdict.counterexample() else {
            continue;
        };
        let base: [Prompt; 1] = [example.base];
        let run = engine.run(&base)?;
        let resolved = |node: &NodeName| node.resolve(&engine.shape());
        let nodes = example.nodes.iter().map(resolved);
        let nodes: Vec<Node> = nodes
            .collect::<Result<_, _>>()
            .expect("the evidence is of this network");
        let sites = nodes.iter().map(|&node| Site::from(node));
        let stored = engine.activations(&[example.source], sites)?;
        let patch = nodes
            .iter()
            .map(|&node| stored.overwrite(0, node, Source::Stored));
        let jobs = [(0, Intervention::new(patch))];
        for logits in engine.intervene(&run, &jobs, decode)? {
            margins.push(Margin {
                claim: claim.claim.clone(),
                logit_margin: logits.smallest_margin(),
            });
        }
    }
    Ok(margins)
}
