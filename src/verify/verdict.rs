//! Verdicts, each with what it rests on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::weakness::Weakness;
use crate::domain::arithmetic::Class;
use crate::domain::node::{NodeError, NodeName};
use crate::domain::task::Variable;
use crate::experiment::stats::{Rate, rounded};
use crate::experiment::{Counterexample, Measures};
use crate::inputs::claims::UntestableTag;
use crate::network::handmade::Carries;

/// What was found of a claim (docs/METHOD.md, "Verdicts").
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(tag = "verdict", content = "because", rename_all = "lowercase")]
pub enum Verdict {
    /// The node does what is claimed, by every measure and control.
    Supported,
    /// The predicted answers come out, but so does more, or decoys do as well.
    Unspecific {
        /// What is too high or not beaten.
        reasons: Vec<String>,
        /// A pair that shows it, where one does.
        counterexample: Option<Counterexample>,
    },
    /// A set that holds the node is supported where neither the node alone nor the rest of the set is.
    Joint {
        /// The set.
        set: Vec<NodeName>,
        /// The set's measures.
        measures: Measures,
        /// Lower bound of the set's agreement less that of the set without the node.
        #[serde(serialize_with = "rounded")]
        need: f64,
    },
    /// Patching the node alone changes nothing; with the other carriers neutralised it decides.
    Redundant {
        /// The carriers neutralised.
        neutralised: Vec<NodeName>,
        /// The node's measures with them neutralised.
        measures: Measures,
    },
    /// The claim holds on part of its domain.
    Partial {
        /// Where it fails more often, as far as that could be told.
        fails_where: Vec<Weakness>,
        /// A pair on which it fails.
        counterexample: Option<Counterexample>,
    },
    /// The predicted answers do not come out.
    Refuted {
        /// Whether patching changes anything at all.
        inert: bool,
        /// Where it fails more often, as far as that could be told.
        fails_where: Vec<Weakness>,
        /// A pair on which it fails.
        counterexample: Option<Counterexample>,
    },
    /// Only attention is as claimed; patching has no such effect.
    Correlational {
        /// Whether the node attends where the claim needs it to.
        attends: bool,
    },
    /// The budget ended between the bounds.
    Inconclusive {
        /// What was left open.
        open: String,
    },
    /// The claim cannot be tested.
    #[serde(rename = "not testable")]
    NotTestable {
        /// Why.
        reason: String,
    },
}

/// A [`Verdict`] without what it rests on, in the order of docs/METHOD.md's table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// [`Verdict::Supported`].
    Supported,
    /// [`Verdict::Unspecific`].
    Unspecific,
    /// [`Verdict::Joint`].
    Joint,
    /// [`Verdict::Redundant`].
    Redundant,
    /// [`Verdict::Partial`].
    Partial,
    /// [`Verdict::Refuted`].
    Refuted,
    /// [`Verdict::Correlational`].
    Correlational,
    /// [`Verdict::Inconclusive`].
    Inconclusive,
    /// [`Verdict::NotTestable`].
    #[serde(rename = "not testable")]
    NotTestable,
}

impl VerdictKind {
    pub const ALL: [VerdictKind; 9] = [
        VerdictKind::Supported,
        VerdictKind::Unspecific,
        VerdictKind::Joint,
        VerdictKind::Redundant,
        VerdictKind::Partial,
        VerdictKind::Refuted,
        VerdictKind::Correlational,
        VerdictKind::Inconclusive,
        VerdictKind::NotTestable,
    ];

    /// Every kind in the order in which readers see them: from what holds to what does not.
    pub const FROM_TRUE_TO_FALSE: [VerdictKind; 9] = [
        VerdictKind::Supported,
        VerdictKind::Joint,
        VerdictKind::Redundant,
        VerdictKind::Partial,
        VerdictKind::Correlational,
        VerdictKind::Inconclusive,
        VerdictKind::Unspecific,
        VerdictKind::Refuted,
        VerdictKind::NotTestable,
    ];

    /// The name, as it is written everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            VerdictKind::Supported => "supported",
            VerdictKind::Unspecific => "unspecific",
            VerdictKind::Joint => "joint",
            VerdictKind::Redundant => "redundant",
            VerdictKind::Partial => "partial",
            VerdictKind::Refuted => "refuted",
            VerdictKind::Correlational => "correlational",
            VerdictKind::Inconclusive => "inconclusive",
            VerdictKind::NotTestable => "not testable",
        }
    }

    /// Whether the node does what is claimed: alone, in a set, or with other carriers neutralised.
    pub fn holds(self) -> bool {
        matches!(
            self,
            VerdictKind::Supported | VerdictKind::Joint | VerdictKind::Redundant
        )
    }

    /// Whether the claim counts as refuted.
    pub fn refutes(self) -> bool {
        matches!(self, VerdictKind::Refuted | VerdictKind::Unspecific)
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Text that names no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no verdict, such as supported or not testable")]
pub struct UnknownVerdict(String);

impl FromStr for VerdictKind {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, UnknownVerdict> {
        let named = |kind: &VerdictKind| kind.name() == text;
        (VerdictKind::ALL.into_iter().find(named)).ok_or_else(|| UnknownVerdict(text.into()))
    }
}

/// The verdict that is right of a node that carries its variable so.
impl From<Carries> for VerdictKind {
    fn from(carries: Carries) -> Self {
        match carries {
            Carries::Alone => VerdictKind::Supported,
            Carries::Jointly => VerdictKind::Joint,
            Carries::Redundantly => VerdictKind::Redundant,
        }
    }
}

impl Verdict {
    pub fn kind(&self) -> VerdictKind {
        match self {
            Verdict::Supported => VerdictKind::Supported,
            Verdict::Unspecific { .. } => VerdictKind::Unspecific,
            Verdict::Joint { .. } => VerdictKind::Joint,
            Verdict::Redundant { .. } => VerdictKind::Redundant,
            Verdict::Partial { .. } => VerdictKind::Partial,
            Verdict::Refuted { .. } => VerdictKind::Refuted,
            Verdict::Correlational { .. } => VerdictKind::Correlational,
            Verdict::Inconclusive { .. } => VerdictKind::Inconclusive,
            Verdict::NotTestable { .. } => VerdictKind::NotTestable,
        }
    }

    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Whether the node does what is claimed: [`VerdictKind::holds`].
    pub fn holds(&self) -> bool {
        self.kind().holds()
    }

    /// Whether the claim counts as refuted.
    pub fn refutes(&self) -> bool {
        self.kind().refutes()
    }

    /// The counterexample the verdict carries, if any.
    pub fn counterexample(&self) -> Option<&Counterexample> {
        match self {
            Verdict::Unspecific { counterexample, .. }
            | Verdict::Partial { counterexample, .. }
            | Verdict::Refuted { counterexample, .. } => counterexample.as_ref(),
            _ => None,
        }
    }

    /// One line on why, for tables.
    pub fn note(&self) -> String {
        match self {
            Verdict::Supported => String::new(),
            Verdict::Unspecific { reasons, .. } => reasons.join("; "),
            Verdict::Joint { set, .. } => format!("holds for {} together", listed(set)),
            Verdict::Redundant { neutralised, .. } => {
                format!("holds with {} neutralised", listed(neutralised))
            }
            Verdict::Partial { fails_where, .. } => match fails_where.first() {
                Some(weakness) => format!("fails where {weakness}"),
                None => "holds in part".into(),
            },
            Verdict::Refuted {
                inert,
                fails_where,
                counterexample,
            } => {
                let mut parts = Vec::new();
                if *inert {
                    parts.push("patching it changes no token that should change".to_owned());
                }
                parts.extend(fails_where.first().map(|w| format!("fails most where {w}")));
                parts.extend(counterexample.as_ref().map(|c| {
                    format!(
                        "{} into {}: {} predicted, {} given",
                        c.store.question, c.clean.question, c.predicted, c.got
                    )
                }));
                parts.join("; ")
            }
            Verdict::Correlational { attends: true } => {
                "attends as claimed, with no such effect".into()
            }
            Verdict::Correlational { attends: false } => "neither attends nor has an effect".into(),
            Verdict::Inconclusive { open } => open.clone(),
            Verdict::NotTestable { reason } => reason.clone(),
        }
    }
}

fn listed(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    names.join(" ")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = match &self.values[..] {
            [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
            values => values.join(""),
        };
        let percent = |rate: &Rate| (rate.share() * 100.0).round();
        write!(
            f,
            "the {} is {values} ({} % there, {} % elsewhere)",
            self.feature,
            percent(&self.within),
            percent(&self.elsewhere)
        )
    }
}

/// Why a claim cannot be tested.
#[derive(Debug, Clone, PartialEq)]
pub enum Untestable {
    /// The tag claims nothing known.
    Tag(UntestableTag),
    /// The model has no such node.
    Node(NodeError),
    /// The model has no such digit.
    Digit {
        variable: Variable,
        /// Digits of an operand.
        n_digits: usize,
    },
    /// The model was not trained for a class of question the task is about.
    Untrained { variable: Variable, class: Class },
    /// The task has no pair of questions at this digit that could tell.
    NoPairs { variable: Variable },
    /// The model is not accurate enough on a class of question the task is about.
    Inaccurate {
        class: Class,
        accuracy: Rate,
        gate: f64,
    },
}

impl fmt::Display for Untestable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Untestable::Tag(tag) => tag.fmt(f),
            Untestable::Node(node) => node.fmt(f),
            Untestable::Digit { variable, n_digits } => write!(
                f,
                "{variable} names a digit the model's operands of {n_digits} digits do not have"
            ),
            Untestable::Untrained { variable, class } => write!(
                f,
                "{variable} is about {class} questions, which the model was not trained for"
            ),
            Untestable::NoPairs { variable } => {
                write!(
                    f,
                    "no pair of questions tells two values of {variable} apart"
                )
            }
            Untestable::Inaccurate {
                class,
                accuracy,
                gate,
            } => write!(
                f,
                "the model answers {} of {} {class} questions rightly, at least {:.4} of all (lower bound); {gate} is needed",
                accuracy.hits, accuracy.trials, accuracy.lower
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_name_and_stored_by_it() {
        for kind in VerdictKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!(VerdictKind::ALL.is_sorted());
        assert_eq!(
            "untrue".parse::<VerdictKind>(),
            Err(UnknownVerdict("untrue".into()))
        );
    }
}
