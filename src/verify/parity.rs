//! A control of every run: the incremental engine against the plain forward pass, on the model and
//! the nodes under test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use crate::arithmetic::Prompt;
use crate::engine::{Decode, Engine, EngineError, Intervention, Site, Source};
use crate::model::Weights;
use crate::network::Network;
use crate::node::Node;

/// Questions patched with the activations of others.
const QUESTIONS: usize = 48;

/// Logits of the two may differ by this much: rounding, in another order of additions.
const TOLERANCE: f32 = 1e-4;

/// How the engine compares with the plain forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct EngineParity {
    /// Patched and unpatched answers compared.
    pub answers: usize,
    /// Of these, answers with another token or a logit further off than rounding explains.
    pub differing: usize,
}

/// Patches each of `nodes` in turn, and nothing, on questions of every class, by the engine and by
/// the plain forward pass.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn measure(
    engine: &Engine,
    weights: &Weights,
    baseline: &Baseline,
    nodes: &[Node],
) -> Result<EngineParity, EngineError> {
    let longest = baseline.right.values().map(Vec::len).max().unwrap_or(0);
    let prompts: Vec<Prompt> = (0..longest)
        .flat_map(|i| baseline.right.values().filter_map(move |all| all.get(i)))
        .take(QUESTIONS)
        .map(|&question| Prompt::truth(question))
        .collect();
    if prompts.is_empty() {
        return Ok(EngineParity::default());
    }
    let stores: Vec<Prompt> = prompts.iter().rev().copied().collect();
    let stored = engine.activations(&stores, nodes.iter().map(|&n| Site::from(n)))?;
    let run = engine.run(&prompts)?;
    let jobs: Vec<(usize, Intervention)> = (0..prompts.len())
        .map(|i| {
            // Every other question is left alone; the rest take the nodes by turns.
            let node = (i % 2 == 1 && !nodes.is_empty()).then(|| nodes[i / 2 % nodes.len()]);
            let patch = node.map(|node| stored.overwrite(i, node, Source::Stored));
            (i, Intervention::new(patch))
        })
        .collect();
    let fast = engine.intervene(&run, &jobs, Decode::Forced)?;
    let interventions: Vec<Intervention> = jobs.into_iter().map(|(_, i)| i).collect();
    // The plain pass takes the same prompts and values, so it has nothing left to object to.
    let plain = Network::load(weights)
        .and_then(|network| network.forward(&prompts, &interventions))
        .expect("prompts and interventions that the engine took");
    let differs = |(a, b): &(&crate::logits::AnswerLogits, &crate::logits::AnswerLogits)| {
        let far = |(x, y): (&f32, &f32)| (x - y).abs() > TOLERANCE * x.abs().max(1.0);
        let (a_rows, b_rows) = (a.rows().as_flattened(), b.rows().as_flattened());
        a.answer() != b.answer() || a_rows.iter().zip(b_rows).any(far)
    };
    Ok(EngineParity {
        answers: prompts.len(),
        differing: fast.iter().zip(&plain).filter(differs).count(),
    })
}
