//! Two verifications beside each other: what changed, or which nodes play which part in two models.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::node::NodeName;
use crate::experiment::Measures;
use crate::experiment::stats::Rate;
use crate::verify::evidence::{ClaimEvidence, Evidence};

/// What two verifications of one model's claims differ in, or how two models compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub models: [String; 2],
    /// What differs in the inputs and rules of the two.
    pub terms: Vec<Term>,
    pub flipped: Vec<Flip>,
    /// Rates whose intervals do not overlap: more than chance sets the runs apart.
    pub apart: Vec<Apart>,
    /// Claims of the first alone.
    pub gone: Vec<String>,
    /// Claims of the second alone.
    pub new: Vec<String>,
    /// For two models, the nodes of each variable side by side.
    pub roles: Vec<Role>,
}

/// An input or rule that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    pub term: &'static str,
    pub first: String,
    pub second: String,
}

/// A claim with two verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    pub claim: String,
    pub first: &'static str,
    pub second: &'static str,
    /// Why the second's, in a line.
    pub note: String,
}

/// A rate that two runs put apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Apart {
    pub claim: String,
    /// The measure, of the node alone.
    pub measure: String,
    pub first: Rate,
    pub second: Rate,
}

/// A variable with the nodes that are claimed for it in two models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The variable, e.g. `A2.ST`.
    pub variable: String,
    pub first: Vec<Player>,
    pub second: Vec<Player>,
}

/// A node set claimed for a variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Player {
    /// The nodes the verdict is about.
    pub nodes: Vec<NodeName>,
    pub verdict: &'static str,
}

impl Comparison {
    /// Compares two verifications: claim by claim where both are of a model of one name, variable by
    /// variable where they are of two.
    pub fn of(first: &Evidence, second: &Evidence) -> Self {
        let mut found = Comparison {
            models: [first.inputs.model.clone(), second.inputs.model.clone()],
            terms: terms(first, second),
            flipped: Vec::new(),
            apart: Vec::new(),
            gone: Vec::new(),
            new: Vec::new(),
            roles: Vec::new(),
        };
        if found.is_of_two_models() {
            found.roles = roles(first, second);
            return found;
        }
        let by_name = |evidence| -> BTreeMap<&str, &ClaimEvidence> {
            let evidence: &Evidence = evidence;
            evidence
                .claims
                .iter()
                .map(|c| (c.claim.as_str(), c))
                .collect()
        };
        let (before, after) = (by_name(first), by_name(second));
        for claim in &first.claims {
            match after.get(claim.claim.as_str()) {
                Some(other) => found.add(claim, other),
                None => found.gone.push(claim.claim.clone()),
            }
        }
        let new = second.claims.iter().map(|claim| &claim.claim);
        found.new = new
            .filter(|claim| !before.contains_key(claim.as_str()))
            .cloned()
            .collect();
        found
    }

    /// Whether the two are of models of different names, so that their claims are not the same claims.
    pub fn is_of_two_models(&self) -> bool {
        self.models[0] != self.models[1]
    }

    /// Whether a verdict, a rate or a claim changed.
    pub fn changed(&self) -> bool {
        let lists = [self.gone.is_empty(), self.new.is_empty()];
        !(self.flipped.is_empty() && self.apart.is_empty() && lists.iter().all(|&empty| empty))
    }

    fn add(&mut self, first: &ClaimEvidence, second: &ClaimEvidence) {
        if first.verdict.name() != second.verdict.name() {
            self.flipped.push(Flip {
                claim: first.claim.clone(),
                first: first.verdict.name(),
                second: second.verdict.name(),
                note: second.note(),
            });
        }
        let (Some(one), Some(other)) = (&first.trials, &second.trials) else {
            return;
        };
        let other = rates(&other.alone);
        for (measure, first_rate) in rates(&one.alone) {
            let Some(&second_rate) = other.get(&measure) else {
                continue;
            };
            if first_rate.upper < second_rate.lower || second_rate.upper < first_rate.lower {
                self.apart.push(Apart {
                    claim: first.claim.clone(),
                    measure,
                    first: first_rate,
                    second: second_rate,
                });
            }
        }
    }
}

/// Every rate of the measures, by name.
fn rates(measures: &Measures) -> BTreeMap<String, Rate> {
    let named = [
        ("interchange accuracy", &measures.interchange_accuracy),
        ("effect", &measures.effect),
        ("off-target effect", &measures.off_target),
    ];
    let mut all: BTreeMap<String, Rate> = named
        .into_iter()
        .flat_map(|(name, rates)| {
            rates
                .iter()
                .map(move |(aspect, &rate)| (format!("{name} {aspect:?}").to_lowercase(), rate))
        })
        .collect();
    all.insert("control pairs".into(), measures.control_pairs);
    all
}

fn terms(first: &Evidence, second: &Evidence) -> Vec<Term> {
    let none = || "none".to_owned();
    let of = |evidence: &Evidence| {
        let (inputs, protocol) = (&evidence.inputs, &evidence.protocol);
        [
            ("weights", inputs.weights_sha256.clone()),
            ("claims", inputs.features_sha256.clone()),
            (
                "behaviours",
                inputs.behaviors_sha256.clone().unwrap_or_else(none),
            ),
            ("decoding", protocol.decode.to_string()),
            ("threshold", protocol.threshold.to_string()),
            ("error", protocol.alpha.to_string()),
            ("trials at most", protocol.max_trials.to_string()),
            ("seed", protocol.seed.to_string()),
            ("filters", protocol.filters.join(", ")),
        ]
    };
    of(first)
        .into_iter()
        .zip(of(second))
        .filter(|((_, first), (_, second))| first != second)
        .map(|((term, first), (_, second))| Term {
            term,
            first,
            second,
        })
        .collect()
}

/// A variable by its task and digit, the order in which roles stand.
type Key<'a> = (&'a str, Option<usize>);

fn players(evidence: &Evidence) -> BTreeMap<Key<'_>, Vec<Player>> {
    let mut players: BTreeMap<Key, Vec<Player>> = BTreeMap::new();
    for claim in &evidence.claims {
        let players = players.entry((&claim.task, claim.digit)).or_default();
        let player = Player {
            nodes: claim.nodes.clone(),
            verdict: claim.verdict.name(),
        };
        // A set is claimed once for each of its nodes.
        if !players.contains(&player) {
            players.push(player);
        }
    }
    players
}

fn roles(first: &Evidence, second: &Evidence) -> Vec<Role> {
    let (mut one, mut other) = (players(first), players(second));
    let mut keys: Vec<Key> = one.keys().chain(other.keys()).copied().collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .map(|key| Role {
            variable: match key {
                (task, Some(digit)) => format!("A{digit}.{task}"),
                (task, None) => task.to_owned(),
            },
            first: one.remove(&key).unwrap_or_default(),
            second: other.remove(&key).unwrap_or_default(),
        })
        .collect()
}
