//! What to verify, and how strictly.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::domain::node::NodeName;
use crate::domain::task::{Task, Variable};
use crate::experiment::{Rules, default_block};
use crate::inputs::claims::Claim;
use crate::network::engine::{Decode, Engine};

/// Which decoding verdicts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoding {
    /// Teacher-forced, as everything published.
    Forced,
    /// The model reads its own tokens.
    Free,
    /// Both, side by side; the first is the verdict.
    Both,
}

impl Decoding {
    pub const ALL: [Self; 3] = [Self::Forced, Self::Free, Self::Both];

    pub fn name(self) -> &'static str {
        match self {
            Decoding::Forced => "forced",
            Decoding::Free => "free",
            Decoding::Both => "both",
        }
    }

    /// How answers are read for the verdicts and their counterexamples; of two ways, the first.
    pub fn of_verdicts(self) -> Decode {
        match self {
            Decoding::Free => Decode::Free,
            Decoding::Forced | Decoding::Both => Decode::Forced,
        }
    }
}

impl fmt::Display for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What to verify, and how strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Agreement a claim must reach at the lower bound of its interval.
    pub threshold: f64,
    /// Error of the whole file.
    pub alpha: f64,
    /// Telling trials after which a claim's sampling ends.
    pub max_trials: usize,
    pub seed: u64,
    pub decoding: Decoding,
    /// Only claims of these tasks; all where empty.
    pub tasks: Vec<Task>,
    /// Only claims of these nodes; all where empty.
    pub nodes: Vec<NodeName>,
    /// Only these claims; all where empty.
    pub claims: Vec<(NodeName, Variable)>,
    /// Questions run together; without it, as many as fit the memory a block may have. No result
    /// hangs on it.
    pub block: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            threshold: 0.95,
            alpha: 0.01,
            max_trials: 20_000,
            seed: 1,
            decoding: Decoding::Forced,
            tasks: Vec::new(),
            nodes: Vec::new(),
            claims: Vec::new(),
            block: None,
        }
    }
}

impl Options {
    /// The rules of sampling that may spend `alpha` in each direction.
    pub(super) fn rules(&self, alpha: f64) -> Rules {
        Rules {
            threshold: self.threshold,
            alpha,
            max_trials: self.max_trials,
            seed: self.seed,
        }
    }

    /// Questions that this network runs together.
    pub(super) fn block(&self, engine: &Engine) -> usize {
        self.block
            .map_or_else(|| default_block(engine), NonZeroUsize::get)
    }

    pub(super) fn selects(&self, claim: &Claim) -> bool {
        let variable = claim.variable.as_ref().ok();
        let named = |variable: &Variable| self.claims.contains(&(claim.node, *variable));
        (self.tasks.is_empty() || variable.is_some_and(|v| self.tasks.contains(&v.task)))
            && (self.nodes.is_empty() || self.nodes.contains(&claim.node))
            && (self.claims.is_empty() || variable.is_some_and(named))
    }

    pub(super) fn filters(&self) -> Vec<String> {
        let tasks = self.tasks.iter().map(|task| format!("task {task}"));
        let nodes = self.nodes.iter().map(|node| format!("node {node}"));
        let claims =
            (self.claims.iter()).map(|(node, variable)| format!("claim {node} {variable}"));
        tasks.chain(nodes).chain(claims).collect()
    }
}
