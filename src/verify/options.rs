//! What to verify, and how strictly.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::search::SearchEffort;
use crate::domain::node::NodeName;
use crate::domain::task::{Task, Variable};
use crate::experiment::{Rules, default_block};
use crate::inputs::claims::Claim;
use crate::network::engine::{Decode, Engine};

/// How the model is decoded for verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoding {
    /// Teacher-forced, as in everything published.
    Forced,
    /// Free-running: the model reads its own tokens.
    Free,
    /// Both; the teacher-forced verdict decides.
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

    /// The decoding used for verdicts and their counterexamples; of two, the first.
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

/// The filter stated in evidence that lacks claims since an earlier one was refuted, named as the
/// option of the command line.
pub const EXIT_FIRST: &str = "exitfirst";

/// What to verify, and how strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Thresholds, error and seed; the error covers the whole file.
    pub rules: Rules,
    pub decoding: Decoding,
    /// Only claims of these tasks; all where empty.
    pub tasks: Vec<Task>,
    /// Only claims of these nodes; all where empty.
    pub nodes: Vec<NodeName>,
    /// Only these claims; all where empty.
    pub claims: Vec<(NodeName, Variable)>,
    /// Whether to stop after the first variable of which a claim is refuted or unspecific. Claims
    /// not tested by then are left out.
    pub exit_first: bool,
    /// How hard to search for sets where a node does not hold alone.
    pub search: SearchEffort,
    /// Questions run together; by default, as many as fit the memory a block may use. Does not
    /// affect results.
    pub block: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rules: Rules::default(),
            decoding: Decoding::Forced,
            tasks: Vec::new(),
            nodes: Vec::new(),
            claims: Vec::new(),
            exit_first: false,
            search: SearchEffort::USUAL,
            block: None,
        }
    }
}

impl Options {
    /// Questions run together on this network.
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
