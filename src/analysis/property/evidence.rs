//! The results of property tests, as reported and stored.

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::group::Group;
use super::separation::{Separates, Separation};
use crate::domain::arithmetic::{Answer, AnswerToken, Complexity, Question, TokenSet};
use crate::domain::shape::Shape;
use crate::experiment::stats::{Count, Rate};
use crate::storage::{pretty_json, read_stored};
use crate::verify::Conclusion;

/// The name and version of the format of `property.json`.
pub const SCHEMA: &str = "circuitcheck/property/1";

/// All results of property tests. The same model, properties, kept cases and seed give the same
/// bytes, whatever the number of threads and the batch size.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct PropertyEvidence {
    /// [`SCHEMA`].
    pub schema: String,
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// The operations the model was trained for.
    pub operations: String,
    pub shape: Shape,
    /// How answers are decoded: `forced` or `free`.
    pub decode: String,
    /// Distinct cases drawn for each property.
    pub cases: usize,
    pub seed: u64,
    /// Probability that a bound of an interval is wrong, for each bound separately.
    pub alpha: f64,
    pub properties: Vec<PropertyResult>,
    pub nodes: Vec<Separation>,
}

/// Why stored property tests cannot be read.
#[derive(Debug, Error)]
pub enum PropertyEvidenceError {
    /// Not JSON, or JSON of another format.
    #[error("not stored property tests: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Property tests of another version of the format.
    #[error("the property tests have the format {found:?}; this version reads {SCHEMA:?}")]
    Schema {
        /// The format it names.
        found: String,
    },
    /// A case that puts the fault on a question it does not ask.
    #[error("the case {numbers:?} has {asked} questions, and question {at_fault} is at fault")]
    AtFault {
        numbers: String,
        asked: usize,
        at_fault: usize,
    },
}

impl PropertyEvidence {
    /// The conclusion from the properties.
    pub fn conclusion(&self) -> Conclusion {
        let properties = || self.properties.iter().map(|result| result.standing);
        let nodes = || self.nodes.iter().map(|node| node.separates);
        let fails = properties().any(|standing| standing == PropertyStanding::Fails)
            || nodes().any(|separates| separates == Separates::No);
        let decided = properties().any(|standing| standing == PropertyStanding::Holds)
            || nodes().any(|separates| separates == Separates::Yes);
        let undecided = nodes().any(|separates| separates == Separates::Undecided);
        if fails {
            Conclusion::Refuted
        } else if undecided || !decided {
            Conclusion::Inconclusive
        } else {
            Conclusion::Sound
        }
    }

    /// The evidence as stored: JSON with two spaces of indent and a final line feed.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// Reads stored evidence. Written again it gives the same bytes.
    ///
    /// # Errors
    /// [`PropertyEvidenceError`] where it has another format, or contradicts itself.
    pub fn from_json(json: &[u8]) -> Result<Self, PropertyEvidenceError> {
        let evidence: Self = read_stored(json, SCHEMA, |found| PropertyEvidenceError::Schema {
            found,
        })?;
        let mut cases = (evidence.properties.iter()).flat_map(|result| &result.counterexamples);
        match cases.find(|case| case.at_fault >= case.asked.len()) {
            None => Ok(evidence),
            Some(case) => Err(PropertyEvidenceError::AtFault {
                numbers: case.numbers.clone(),
                asked: case.asked.len(),
                at_fault: case.at_fault,
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PropertyStanding {
    /// No case failed.
    Holds,
    /// At least one case failed.
    Fails,
    /// The model was not trained for the operations it needs.
    NotAsked,
}

impl PropertyStanding {
    pub fn name(self) -> &'static str {
        match self {
            PropertyStanding::Holds => "holds",
            PropertyStanding::Fails => "fails",
            PropertyStanding::NotAsked => "not asked",
        }
    }
}

/// The results of one property.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct PropertyResult {
    pub property: String,
    pub says: String,
    /// For a user's own property, its file and the file's SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PropertyFile>,
    pub standing: PropertyStanding,
    /// What the model was not asked, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// Failures among the distinct cases drawn.
    pub failures: Count,
    /// Cases that fail only within rounding error; they count as cases but not as failures.
    pub ties: u64,
    /// Failure rates among uniformly drawn cases, by population.
    pub uniform: Vec<GroupRate>,
    /// Number of groups that cases were drawn from.
    pub groups: usize,
    /// The group with the fewest distinct cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest_group: Option<GroupCount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing_groups: Vec<GroupCount>,
    /// Failures by the complexity class of the case's first question, over all groups.
    pub classes: Vec<ClassCount>,
    /// Cases kept from earlier runs and tried first, and how many of them still fail. They count
    /// nowhere else.
    pub kept: Count,
    /// Failing cases that were shrunk.
    pub shrunk: usize,
    /// The shrunk cases, simplest first; at most five are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterexamples: Vec<FailingCase>,
}

impl PropertyResult {
    /// Failure counts by complexity class, as a list for readers.
    pub fn failing_classes(&self) -> String {
        let failing = self.classes.iter().filter(|of| of.failures.hits > 0);
        let shown = failing.map(|ClassCount { class, failures }| {
            format!("{class} {}/{}", failures.hits, failures.trials)
        });
        Vec::from_iter(shown).join(", ")
    }
}

/// A user's property file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct PropertyFile {
    pub name: String,
    /// SHA-256 of its content.
    pub sha256: String,
}

/// Failures in a uniformly drawn group.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub struct GroupRate {
    pub group: Group,
    #[serde(flatten)]
    pub rate: Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct GroupCount {
    pub group: Group,
    #[serde(flatten)]
    pub failures: Count,
}

/// Failures in a complexity class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct ClassCount {
    pub class: Complexity,
    #[serde(flatten)]
    pub failures: Count,
}

/// A failing case that no step makes simpler.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct FailingCase {
    /// The clause: the questions and the required relation.
    pub clause: String,
    /// The numbers, e.g. `a=04000 b=03999`.
    pub numbers: String,
    /// Whether the arithmetic itself satisfies the clause. If not, the property is false.
    pub true_of_arithmetic: bool,
    /// Every question asked, in order.
    pub asked: Vec<AskedQuestion>,
    /// The index of the question at fault.
    pub at_fault: usize,
    pub token: AnswerToken,
    /// Lead in logits of the right token there; negative if another leads.
    #[serde(serialize_with = "to_hundredths")]
    pub lead: f32,
}

impl FailingCase {
    /// The question at fault.
    pub fn question(&self) -> &AskedQuestion {
        &self.asked[self.at_fault]
    }

    /// The commands that reproduce it; `model` is how the command line names the model.
    pub fn commands(&self, model: &str) -> Vec<String> {
        let space = if model.is_empty() { "" } else { " " };
        [("forced", ""), ("free", " --free")]
            .into_iter()
            .filter_map(|(decode, option)| {
                let questions: Vec<String> = self
                    .asked
                    .iter()
                    .filter(|asked| asked.decode == decode)
                    .map(|asked| asked.question.to_string())
                    .collect();
                let questions = questions.join(" ");
                (!questions.is_empty())
                    .then(|| format!("circuitcheck ask{space}{model} {questions}{option}"))
            })
            .collect()
    }
}

/// A question with the model's answer and the true one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct AskedQuestion {
    pub question: Question,
    /// How its answer was decoded: `forced` or `free`.
    pub decode: String,
    pub answer: Answer,
    pub truth: Answer,
    /// The wrong tokens, highest first.
    pub wrong: TokenSet,
}

/// Logits are rounded to hundredths: their last digits differ between processors, but evidence must
/// not.
pub(super) fn to_hundredths<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*value) * 100.0).round() / 100.0)
}
