//! Load-bearing nodes that no claim explains: ablates every node, and sets of unclaimed ones, and
//! compares the damage with the claims.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::circuit::{ClassQuestions, live_nodes};
use crate::domain::arithmetic::{AnswerToken, Class, TokenSet};
use crate::domain::causal::{affected_tokens, classes};
use crate::domain::node::{Node, NodeName};
use crate::domain::task::Variable;
use crate::experiment::Baseline;
use crate::experiment::stats::{Count, Rate};
use crate::inputs::claims::Claim;
use crate::network::ablation::{Ablation, AblationBench};
use crate::network::engine::{Engine, EngineError};
use crate::verify::Progress;

/// The ablations applied to each node: one removes the differences between questions, the other
/// substitutes another question's value.
pub const ABLATIONS: [Ablation; 2] = [Ablation::Mean, Ablation::Resample];

/// A token that is wrong in more than this share of questions, at the lower bound, is hurt: more
/// than the baseline lets the unpatched model get wrong.
pub const HURTS: f64 = 0.01;

/// Questions run together; the activations at every node are held in memory for all of them.
const BLOCK: usize = 64;

/// Number of questions, and the error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoverageOptions {
    /// Correctly answered questions of each class.
    pub questions: usize,
    /// Error of all intervals together.
    pub alpha: f64,
    pub seed: u64,
}

/// The damage that one ablation of a node set does to the questions of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Harm {
    /// The ablation.
    pub ablation: Ablation,
    pub wrong: Rate,
    /// The tokens hurt: each is wrong in more than [`HURTS`] of the questions.
    pub tokens: TokenSet,
}

/// A node set whose ablation hurts questions of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hurt {
    pub nodes: Vec<NodeName>,
    pub class: Class,
    pub harms: Vec<Harm>,
    /// Claims about the nodes, whatever the variable.
    pub claims: Vec<String>,
    /// The tokens hurt that no claim about these nodes and this class can change.
    pub unexplained: TokenSet,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Nodes that can affect an answer.
    pub nodes: usize,
    pub load_bearing: usize,
    /// Those of them without any claim.
    pub unclaimed: usize,
    /// Those of them with claims, but not about every class and token that is hurt.
    pub claimed_for_other: usize,
    pub asked: BTreeMap<String, usize>,
    /// Everything that hurts, by node and class.
    pub hurts: Vec<Hurt>,
    /// Sets of unclaimed nodes that hurt tokens which no member hurts alone.
    pub sets: Vec<Hurt>,
}

/// Counts of wrong tokens for one set, class and ablation.
#[derive(Debug, Clone, Default)]
struct WrongTokens {
    questions: Count,
    tokens: BTreeMap<AnswerToken, u64>,
}

/// Ablates every node, and compares the damage with the claims.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn coverage(
    engine: &Engine,
    baseline: &Baseline,
    claims: &[Claim],
    options: &CoverageOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Coverage, EngineError> {
    let shape = engine.shape();
    let live: Vec<Node> = live_nodes(&shape).into_iter().collect();
    let mut claimed: BTreeMap<NodeName, Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        claimed.entry(claim.node).or_default().push(claim);
    }
    let unclaimed: Vec<Node> = (live.iter().copied())
        .filter(|node| !claimed.contains_key(&node.name()))
        .collect();
    let sets = unclaimed_sets(&unclaimed);
    let node_sets: Vec<Vec<Node>> = (live.iter().map(|&node| vec![node])).chain(sets).collect();
    let passes = |class| baseline.passing().any(|passing| passing == class);
    let questions = ClassQuestions::of_each(engine, baseline, &live, options.questions, passes)?;
    let tests = node_sets.len() * questions.len() * ABLATIONS.len() * shape.n_answer();
    let alpha = options.alpha / tests.max(1) as f64;
    let mut hurts: Vec<Hurt> = Vec::new();
    for (done, asked) in questions.iter().enumerate() {
        let wrong = ablate(&asked.bench, &node_sets, &mut |part, of| {
            progress(Progress {
                phase: "ablating",
                done: done * of + part,
                of: of * questions.len(),
            });
        })?;
        for (nodes, wrong) in node_sets.iter().zip(&wrong) {
            let claims: Vec<&Claim> = (nodes.iter())
                .filter_map(|node| claimed.get(&node.name()))
                .flatten()
                .copied()
                .collect();
            hurts.extend(hurt(
                nodes,
                asked.class,
                wrong,
                &claims,
                alpha,
                shape.n_digits,
            ));
        }
    }
    let (single, sets): (Vec<Hurt>, Vec<Hurt>) =
        hurts.into_iter().partition(|hurt| hurt.nodes.len() == 1);
    Ok(summed_up(live.len(), &questions, single, sets))
}

fn summed_up(
    nodes: usize,
    questions: &[ClassQuestions],
    mut hurts: Vec<Hurt>,
    mut sets: Vec<Hurt>,
) -> Coverage {
    hurts.sort_by(|a, b| (&a.nodes, a.class).cmp(&(&b.nodes, b.class)));
    let mut alone: BTreeMap<(NodeName, Class), TokenSet> = BTreeMap::new();
    for hurt in &hurts {
        let tokens = alone.entry((hurt.nodes[0], hurt.class)).or_default();
        *tokens = tokens.union(hurt.tokens());
    }
    for set in &mut sets {
        for node in &set.nodes {
            let tokens = alone.get(&(*node, set.class)).copied().unwrap_or_default();
            set.unexplained = set.unexplained.difference(tokens);
        }
    }
    sets.retain(|set| !set.unexplained.is_empty());
    sets.sort_by(|a, b| {
        let by_size = a.nodes.len().cmp(&b.nodes.len());
        by_size.then_with(|| (&a.nodes, a.class).cmp(&(&b.nodes, b.class)))
    });
    let of = |keep: &dyn Fn(&&Hurt) -> bool| -> usize {
        let found: BTreeSet<NodeName> = hurts.iter().filter(keep).map(|h| h.nodes[0]).collect();
        found.len()
    };
    Coverage {
        nodes,
        load_bearing: of(&|_| true),
        unclaimed: of(&|hurt| hurt.claims.is_empty()),
        claimed_for_other: of(&|hurt| !hurt.claims.is_empty() && !hurt.unexplained.is_empty()),
        asked: (questions.iter())
            .map(|asked| (asked.class.to_string(), asked.prompts().len()))
            .collect(),
        hurts,
        sets,
    }
}

impl Hurt {
    /// The tokens hurt under either ablation.
    pub fn tokens(&self) -> TokenSet {
        let tokens = self.harms.iter().map(|harm| harm.tokens);
        tokens.fold(TokenSet::EMPTY, TokenSet::union)
    }
}

/// Sets of unclaimed nodes: those of one layer and position, of one position, of one layer, and
/// all.
fn unclaimed_sets(unclaimed: &[Node]) -> Vec<Vec<Node>> {
    let mut sets: BTreeMap<(Option<usize>, Option<usize>), Vec<Node>> = BTreeMap::new();
    for &node in unclaimed {
        let (position, layer) = (Some(node.position()), Some(node.layer()));
        for key in [
            (position, layer),
            (position, None),
            (None, layer),
            (None, None),
        ] {
            sets.entry(key).or_default().push(node);
        }
    }
    let distinct: BTreeSet<Vec<Node>> = sets.into_values().filter(|set| set.len() > 1).collect();
    distinct.into_iter().collect()
}

/// The wrong tokens with each node set ablated, `[node set][ablation]`.
fn ablate(
    bench: &AblationBench,
    node_sets: &[Vec<Node>],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<[WrongTokens; ABLATIONS.len()]>, EngineError> {
    let mut found = vec![<[WrongTokens; ABLATIONS.len()]>::default(); node_sets.len()];
    let blocks = bench.prompts().len().div_ceil(BLOCK);
    for (done, block) in bench.blocks(usize::MAX, BLOCK).enumerate() {
        progress(done, blocks);
        let mut block = block?;
        for (nodes, found) in node_sets.iter().zip(&mut found) {
            for (&ablation, wrong) in ABLATIONS.iter().zip(found) {
                let logits = block.ablate(ablation, nodes)?;
                for (prompt, logits) in block.prompts().iter().zip(logits) {
                    let changed = logits.answer().changed_from(&prompt.forced);
                    wrong.questions.add(!changed.is_empty());
                    for token in changed.iter() {
                        *wrong.tokens.entry(token).or_default() += 1;
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The damage, if any token is hurt.
fn hurt(
    nodes: &[Node],
    class: Class,
    wrong: &[WrongTokens; ABLATIONS.len()],
    claims: &[&Claim],
    alpha: f64,
    n_digits: usize,
) -> Option<Hurt> {
    let harms: Vec<Harm> = (ABLATIONS.iter().zip(wrong))
        .map(|(&ablation, wrong)| {
            let trials = wrong.questions.trials;
            let hurts = |&(_, &hits): &(&AnswerToken, &u64)| {
                Count { hits, trials }.bounds(alpha).lower > HURTS
            };
            Harm {
                ablation,
                wrong: Rate::sampled(wrong.questions, alpha),
                tokens: wrong.tokens.iter().filter(hurts).map(|(&t, _)| t).collect(),
            }
        })
        .collect();
    let variables = claims
        .iter()
        .filter_map(|claim| claim.variable.clone().ok());
    let mut hurt = Hurt {
        nodes: Node::names(nodes),
        class,
        harms,
        claims: claims.iter().map(|claim| claim.text.clone()).collect(),
        unexplained: TokenSet::EMPTY,
    };
    let tokens = hurt.tokens();
    hurt.unexplained = tokens.difference(explained(variables, class, n_digits));
    (!tokens.is_empty()).then_some(hurt)
}

/// The tokens that claims of these variables can change on the questions of a class.
fn explained(variables: impl Iterator<Item = Variable>, class: Class, n_digits: usize) -> TokenSet {
    variables
        .filter(|variable| classes(variable.task).contains(&class))
        .filter(|variable| variable.fits(n_digits))
        .fold(TokenSet::EMPTY, |all, variable| {
            all.union(affected_tokens(variable, n_digits))
        })
}
