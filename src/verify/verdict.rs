//! Verdicts, each with its grounds.

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

/// The result for a claim (docs/METHOD.md, "Verdicts").
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(tag = "verdict", content = "because", rename_all = "lowercase")]
pub enum Verdict {
    /// The node does what is claimed, by every measure and control.
    Supported,
    /// The predicted answers appear, but with side effects, or decoys do as well.
    Unspecific {
        /// Which limits are exceeded and which controls are not beaten.
        reasons: Vec<String>,
        /// A pair that shows it, if there is one.
        counterexample: Option<Counterexample>,
    },
    /// A set containing the node is supported; the node alone and the rest of the set are not.
    Joint(JointSet),
    /// As joint, for a set that holds in part.
    #[serde(rename = "joint in part")]
    JointInPart(JointSet),
    /// Patching the node alone changes nothing; with the other carriers mean-ablated, its claim
    /// holds.
    Redundant {
        /// The carriers mean-ablated.
        mean_ablated: Vec<NodeName>,
        /// The node's measures with these carriers mean-ablated.
        measures: Measures,
    },
    /// The claim holds on part of its domain.
    Partial {
        /// Where it fails more often than elsewhere, if such groups were found.
        fails_where: Vec<Weakness>,
        /// A pair on which it fails.
        counterexample: Option<Counterexample>,
    },
    /// The node does something else, or has no role in the variable.
    Refuted {
        /// The evidence against it.
        by: Refutation,
        /// Where it fails more often than elsewhere, if such groups were found.
        fails_where: Vec<Weakness>,
        /// A pair on which it fails.
        counterexample: Option<Counterexample>,
    },
    /// The node alone fails, and no set was found that holds. This does not prove that none exists.
    #[serde(rename = "not shown")]
    NotShown {
        /// Whether patching the node alone changes nothing.
        inert: bool,
        /// The best set found, if it does better than the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        best: Option<NamedSet>,
        /// Where it fails more often than elsewhere, if such groups were found.
        fails_where: Vec<Weakness>,
        /// A pair on which it fails.
        counterexample: Option<Counterexample>,
    },
    /// The node attends as claimed; patching it does not move answers to the predicted value.
    Correlational {
        /// Questions in which it attends.
        attends: Rate,
        /// Trials in which patching it moves an answer to the predicted value, for the aspect in
        /// which this happens least.
        effect: Option<Rate>,
    },
    /// The trial budget ended before the bounds decided.
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

/// A set that holds where the claimed node alone does not.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct JointSet {
    /// The set.
    pub set: Vec<NodeName>,
    /// Members that help but are not needed by the margin of a joint claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub helping: Vec<NodeName>,
    /// The set's measures.
    pub measures: Measures,
    /// Lower bound of the set's interchange accuracy minus that of the set without the node.
    #[serde(serialize_with = "rounded")]
    pub need: f64,
    /// Other minimal sets found that hold and need the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Vec<NodeName>>,
}

/// A set that does not hold, with its measures.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct NamedSet {
    /// The set.
    pub set: Vec<NodeName>,
    /// Rate at which its best token moves as predicted.
    pub interchange_accuracy: Rate,
    /// Control trials that changed anything.
    pub control_pairs: Rate,
}

/// Evidence against a claim, beyond the node failing alone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refutation {
    /// Patching it moves answers to other than the predicted values in more than half of the
    /// trials.
    MovesElsewhere {
        /// Counterfactual trials in which it does.
        elsewhere: Rate,
    },
    /// A set was found that holds and does not need it.
    NotNeeded {
        /// The set.
        set: Vec<NodeName>,
        /// Upper bound of the set's interchange accuracy minus that of the set without the node.
        #[serde(serialize_with = "rounded")]
        need: f64,
    },
    /// It does not attend as claimed.
    DoesNotAttend {
        /// Questions in which it attends.
        attends: Rate,
    },
}

impl fmt::Display for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refutation::MovesElsewhere { elsewhere } => write!(
                f,
                "moves answers to unpredicted values in {}/{} trials",
                elsewhere.hits, elsewhere.trials
            ),
            Refutation::NotNeeded { set, need } => {
                write!(
                    f,
                    "{} holds, and loses at most {need:.2} without the node",
                    listed(set)
                )
            }
            Refutation::DoesNotAttend { attends } => {
                write!(
                    f,
                    "attends in {}/{} questions",
                    attends.hits, attends.trials
                )
            }
        }
    }
}

/// A [`Verdict`] without its grounds, in the order of docs/METHOD.md's table.
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
    /// [`Verdict::JointInPart`].
    #[serde(rename = "joint in part")]
    JointInPart,
    /// [`Verdict::Redundant`].
    Redundant,
    /// [`Verdict::Partial`].
    Partial,
    /// [`Verdict::Refuted`].
    Refuted,
    /// [`Verdict::NotShown`].
    #[serde(rename = "not shown")]
    NotShown,
    /// [`Verdict::Correlational`].
    Correlational,
    /// [`Verdict::Inconclusive`].
    Inconclusive,
    /// [`Verdict::NotTestable`].
    #[serde(rename = "not testable")]
    NotTestable,
}

impl VerdictKind {
    pub const ALL: [VerdictKind; 11] = [
        VerdictKind::Supported,
        VerdictKind::Unspecific,
        VerdictKind::Joint,
        VerdictKind::JointInPart,
        VerdictKind::Redundant,
        VerdictKind::Partial,
        VerdictKind::Refuted,
        VerdictKind::NotShown,
        VerdictKind::Correlational,
        VerdictKind::Inconclusive,
        VerdictKind::NotTestable,
    ];

    /// Every kind in the order shown to readers: from what holds to what does not.
    pub const FROM_TRUE_TO_FALSE: [VerdictKind; 11] = [
        VerdictKind::Supported,
        VerdictKind::Joint,
        VerdictKind::Redundant,
        VerdictKind::Partial,
        VerdictKind::JointInPart,
        VerdictKind::Correlational,
        VerdictKind::NotShown,
        VerdictKind::Inconclusive,
        VerdictKind::Unspecific,
        VerdictKind::Refuted,
        VerdictKind::NotTestable,
    ];

    /// The name, as written in every output.
    pub const fn name(self) -> &'static str {
        match self {
            VerdictKind::Supported => "supported",
            VerdictKind::Unspecific => "unspecific",
            VerdictKind::Joint => "joint",
            VerdictKind::JointInPart => "joint in part",
            VerdictKind::Redundant => "redundant",
            VerdictKind::Partial => "partial",
            VerdictKind::Refuted => "refuted",
            VerdictKind::NotShown => "not shown",
            VerdictKind::Correlational => "correlational",
            VerdictKind::Inconclusive => "inconclusive",
            VerdictKind::NotTestable => "not testable",
        }
    }

    /// Whether the node does what is claimed: alone, in a set, or with other carriers mean-ablated.
    pub fn holds(self) -> bool {
        matches!(
            self,
            VerdictKind::Supported | VerdictKind::Joint | VerdictKind::Redundant
        )
    }

    /// Whether it is neither a pass nor a fail: the trials ended before the bounds decided, or
    /// nothing was found in favour of the claim, which is no evidence against it.
    pub fn leaves_open(self) -> bool {
        matches!(self, VerdictKind::Inconclusive | VerdictKind::NotShown)
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

/// Text that is not the name of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown verdict {0:?}: expected one such as supported or not testable")]
pub struct UnknownVerdict(String);

impl FromStr for VerdictKind {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, UnknownVerdict> {
        let named = |kind: &VerdictKind| kind.name() == text;
        (VerdictKind::ALL.into_iter().find(named)).ok_or_else(|| UnknownVerdict(text.into()))
    }
}

/// The correct verdict for a node that represents its variable in this way.
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
            Verdict::Joint(_) => VerdictKind::Joint,
            Verdict::JointInPart(_) => VerdictKind::JointInPart,
            Verdict::Redundant { .. } => VerdictKind::Redundant,
            Verdict::Partial { .. } => VerdictKind::Partial,
            Verdict::Refuted { .. } => VerdictKind::Refuted,
            Verdict::NotShown { .. } => VerdictKind::NotShown,
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

    /// The counterexample of the verdict, if any.
    pub fn counterexample(&self) -> Option<&Counterexample> {
        match self {
            Verdict::Unspecific { counterexample, .. }
            | Verdict::Partial { counterexample, .. }
            | Verdict::Refuted { counterexample, .. }
            | Verdict::NotShown { counterexample, .. } => counterexample.as_ref(),
            _ => None,
        }
    }

    /// One line explaining the verdict, for tables.
    pub fn note(&self) -> String {
        match self {
            Verdict::Supported => String::new(),
            Verdict::Unspecific { reasons, .. } => reasons.join("; "),
            Verdict::Joint(joint) => {
                format!("holds jointly for {}{}", listed(&joint.set), joint.more())
            }
            Verdict::JointInPart(joint) => {
                format!(
                    "holds in part, jointly for {}{}",
                    listed(&joint.set),
                    joint.more()
                )
            }
            Verdict::Redundant { mean_ablated, .. } => {
                format!("holds with {} mean-ablated", listed(mean_ablated))
            }
            Verdict::Partial { fails_where, .. } => match fails_where.first() {
                Some(weakness) => format!("fails where {weakness}"),
                None => "holds in part".into(),
            },
            Verdict::Refuted {
                by,
                fails_where,
                counterexample,
            } => {
                let parts = [by.to_string()].into_iter();
                parts
                    .chain(failing(fails_where, counterexample.as_ref()))
                    .collect::<Vec<_>>()
                    .join("; ")
            }
            Verdict::NotShown {
                inert,
                best,
                fails_where,
                counterexample,
            } => {
                let alone = "patching the node alone changes no token that should change";
                let best = best.as_ref().map(NamedSet::to_string);
                let parts = best.into_iter().chain(inert.then(|| alone.to_owned()));
                parts
                    .chain(failing(fails_where, counterexample.as_ref()))
                    .collect::<Vec<_>>()
                    .join("; ")
            }
            Verdict::Correlational { attends, effect } => {
                let effect = effect.map_or_else(String::new, |effect| {
                    format!(
                        "; patching moves answers as predicted in {}/{} trials",
                        effect.hits, effect.trials
                    )
                });
                format!(
                    "attends in {}/{} questions{effect}",
                    attends.hits, attends.trials
                )
            }
            Verdict::Inconclusive { open } => open.clone(),
            Verdict::NotTestable { reason } => reason.clone(),
        }
    }
}

/// Where a claim fails most, and one pair on which it fails.
fn failing(
    fails_where: &[Weakness],
    counterexample: Option<&Counterexample>,
) -> impl Iterator<Item = String> {
    let most = fails_where.first().map(|w| format!("fails most where {w}"));
    let example = counterexample.map(|c| {
        let source = if c.source.question == c.base.question {
            // The two prompts differ only in the forced sign.
            c.source.to_string()
        } else {
            c.source.question.to_string()
        };
        format!(
            "{source} into {}: expected {}, got {}",
            c.base.question, c.predicted, c.got
        )
    });
    most.into_iter().chain(example)
}

impl JointSet {
    /// Members that only help, and other sets found.
    fn more(&self) -> String {
        let mut text = String::new();
        if !self.helping.is_empty() {
            text += &format!("; helpful but not needed: {}", listed(&self.helping));
        }
        for set in &self.also {
            text += &format!("; also holds for {}", listed(set));
        }
        text
    }
}

impl fmt::Display for NamedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { hits, trials, .. } = self.interchange_accuracy;
        let names = listed(&self.set);
        write!(f, "best set found: {names}, {hits}/{trials} as predicted")?;
        if self.control_pairs.hits > 0 {
            let Rate { hits, trials, .. } = self.control_pairs;
            write!(f, ", {hits}/{trials} control pairs changed")?;
        }
        Ok(())
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
            "the {} is {values} ({} % fail, {} % elsewhere)",
            self.feature,
            percent(&self.within),
            percent(&self.elsewhere)
        )
    }
}

/// Why a claim cannot be tested.
#[derive(Debug, Clone, PartialEq)]
pub enum Untestable {
    /// The tag makes no known claim.
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
    /// At this digit, no pair of questions distinguishes two values of the variable.
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
                "{variable} is out of range: the model's operands have {n_digits} digits"
            ),
            Untestable::Untrained { variable, class } => write!(
                f,
                "{variable} is about {class} questions, which the model was not trained for"
            ),
            Untestable::NoPairs { variable } => {
                write!(
                    f,
                    "no pair of questions distinguishes two values of {variable}"
                )
            }
            Untestable::Inaccurate {
                class,
                accuracy,
                gate,
            } => write!(
                f,
                "the model answers {} of {} {class} questions correctly (lower bound {:.4}, required {gate})",
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
