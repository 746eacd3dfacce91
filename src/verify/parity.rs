//! A control of every run: compares the incremental engine with the plain forward pass, on the
//! model and nodes under test.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::Prompt;
use crate::domain::node::Node;
use crate::experiment::Baseline;
use crate::inputs::model::Weights;
use crate::network::engine::{Decode, Engine, EngineError, Intervention, Site, Source};
use crate::network::reference::Network;

/// Questions answered without a patch. As many more as there are nodes are patched with activations
/// from other questions.
const UNPATCHED: usize = 24;

/// Questions per batch of the plain forward pass, to bound its memory.
const AT_A_TIME: usize = 48;

/// Largest difference in logits that rounding in a different order of additions explains.
const TOLERANCE: f32 = 1e-4;

/// Comparison of the engine with the plain forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct EngineParity {
    /// Patched and unpatched answers compared.
    pub answers: usize,
    /// Of these, answers with a different token or a larger logit difference than rounding
    /// explains.
    pub differing: usize,
}

/// Patches each of `nodes` on one question, and runs some more unpatched, in the engine and in the
/// plain forward pass. Questions alternate between classes.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn measure(
    engine: &Engine,
    weights: &Weights,
    baseline: &Baseline,
    nodes: &[Node],
) -> Result<EngineParity, EngineError> {
    let nodes: Vec<Node> = nodes
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let longest = baseline.right.values().map(Vec::len).max().unwrap_or(0);
    let right: Vec<Prompt> = (0..longest)
        .flat_map(|i| baseline.right.values().filter_map(move |all| all.get(i)))
        .map(|&question| Prompt::truth(question))
        .collect();
    let wanted = UNPATCHED + nodes.len();
    let prompts: Vec<Prompt> = right.iter().copied().cycle().take(wanted).collect();
    if prompts.is_empty() {
        return Ok(EngineParity::default());
    }
    let sources: Vec<Prompt> = prompts.iter().rev().copied().collect();
    let stored = engine.activations(&sources, nodes.iter().map(|&n| Site::from(n)))?;
    let run = engine.run(&prompts)?;
    let jobs: Vec<(usize, Intervention)> = (0..prompts.len())
        .map(|i| {
            let node = i.checked_sub(UNPATCHED).map(|patched| nodes[patched]);
            let patch = node.map(|node| stored.overwrite(i, node, Source::Stored));
            (i, Intervention::new(patch))
        })
        .collect();
    let fast = engine.intervene(&run, &jobs, Decode::Forced)?;
    let interventions: Vec<Intervention> = jobs.into_iter().map(|(_, i)| i).collect();
    // The engine accepted the same prompts and values, so the plain pass cannot fail.
    let mut plain = Vec::with_capacity(prompts.len());
    let network = Network::load(weights).expect("the engine accepted these weights");
    for (prompts, interventions) in prompts
        .chunks(AT_A_TIME)
        .zip(interventions.chunks(AT_A_TIME))
    {
        let logits = network.forward(prompts, interventions);
        plain.extend(logits.expect("the engine accepted these prompts and interventions"));
    }
    let differs = |(a, b): &(
        &crate::network::logits::AnswerLogits,
        &crate::network::logits::AnswerLogits,
    )| {
        let far = |(x, y): (&f32, &f32)| (x - y).abs() > TOLERANCE * x.abs().max(1.0);
        let (a_rows, b_rows) = (a.rows().as_flattened(), b.rows().as_flattened());
        a.answer() != b.answer() || a_rows.iter().zip(b_rows).any(far)
    };
    Ok(EngineParity {
        answers: prompts.len(),
        differing: fast.iter().zip(&plain).filter(differs).count(),
    })
}
