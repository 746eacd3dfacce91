//! The published search: which useful nodes meet a task's prerequisites and pass its one or two
//! fixed tests.

use crate::domain::node::Node;
use crate::domain::task::{Task, Variable};
use crate::inputs::claims::{Tag, TaggedNode};
use crate::inputs::model::Operations;
use crate::network::engine::{Engine, EngineError};
use crate::verify::{
    ImpactReading, PublishedResult, PublishedTests, TRIED_IN_PAIRS, WEAK_BY_IMPACT,
    attended_position,
};

use super::quirk::{Quirk, Quirks};

/// The tasks in search order.
const ORDER: [Task; 12] = [
    Task::Ss,
    Task::Sc,
    Task::Sa,
    Task::St,
    Task::Md,
    Task::Mb,
    Task::Mt,
    Task::Opr,
    Task::Sgn,
    Task::Nd,
    Task::Nb,
    Task::Gt,
];

/// Minimum percentage of attention for a node to attend to a position, if the quirk is removed.
const LEAST_ATTENTION: u32 = 10;

/// The major part of a tag that makes a claim.
const CLAIM: &str = "Algo";

/// A node of the model with the tags it has so far.
#[derive(Debug, Clone)]
struct TaggedCandidate {
    node: Node,
    tags: Vec<Tag>,
}

/// A search over the useful nodes of one model.
struct PublishedSearch<'a> {
    engine: &'a Engine,
    operations: Operations,
    quirks: &'a Quirks,
    tests: PublishedTests<'a>,
    candidates: Vec<TaggedCandidate>,
}

/// The claims that the published search finds for nodes with these behaviours: the same nodes, with
/// only their `Algo` tags. Nodes that the model does not have are left out.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn search(
    engine: &Engine,
    operations: Operations,
    behaviors: &[TaggedNode],
    quirks: &Quirks,
) -> Result<Vec<TaggedNode>, EngineError> {
    let mut search = PublishedSearch::new(engine, operations, behaviors, quirks);
    for task in ORDER {
        if search.is_searched(task) {
            search.task(task)?;
        }
    }
    Ok(search.claims())
}

/// The digit named by a claim whose test looks at a place: tests of a carry look at the place it
/// goes to, and name the digit it comes from.
fn named_digit(task: Task, looked_at: usize) -> Option<usize> {
    match task {
        Task::Ss | Task::Sc | Task::Mb | Task::Nb => looked_at.checked_sub(1),
        _ => Some(looked_at),
    }
}

impl<'a> PublishedSearch<'a> {
    fn new(
        engine: &'a Engine,
        operations: Operations,
        behaviors: &[TaggedNode],
        quirks: &'a Quirks,
    ) -> Self {
        let reading = ImpactReading {
            sign_has_number: operations.trains_subtraction() || !quirks.has(Quirk::UnnumberedSign),
            sorted: quirks.has(Quirk::SortedImpact),
        };
        let shape = engine.shape();
        let mut candidates: Vec<TaggedCandidate> = behaviors
            .iter()
            .filter_map(|tagged| {
                Some(TaggedCandidate {
                    node: tagged.node.resolve(&shape).ok()?,
                    tags: tagged.tags.clone(),
                })
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.node);
        PublishedSearch {
            engine,
            operations,
            quirks,
            tests: PublishedTests::reading(engine, reading),
            candidates,
        }
    }

    fn is_searched(&self, task: Task) -> bool {
        let operations = self.operations;
        match task {
            Task::Ss | Task::Sc | Task::Sa | Task::St => operations.trains_addition(),
            Task::Opr => operations.trains_addition() && operations.trains_subtraction(),
            _ => operations.trains_subtraction(),
        }
    }

    fn task(&mut self, task: Task) -> Result<(), EngineError> {
        if !task.takes_digit() {
            self.attention_task(task);
            return Ok(());
        }
        for looked_at in 0..=self.engine.shape().n_digits + 1 {
            let Some(digit) = named_digit(task, looked_at) else {
                continue;
            };
            let variable = Variable {
                task,
                digit: Some(digit),
            };
            self.delete(&variable.to_string());
            let found = self.pass(variable, looked_at, PublishedResult::Strong)?;
            // For the other tasks the weak pass repeats the strong test.
            if !found && WEAK_BY_IMPACT.contains(&task) {
                self.pass(variable, looked_at, PublishedResult::Weak)?;
            }
        }
        Ok(())
    }

    /// For OPR and SGN, attention is the whole test.
    fn attention_task(&mut self, task: Task) {
        let tag = Variable { task, digit: None }.to_string();
        self.delete(&tag);
        let Some(position) = attended_position(task, self.engine) else {
            return;
        };
        for index in 0..self.candidates.len() {
            if self.attends(index, position) && !self.has(index, &tag) {
                self.add(index, tag.clone());
            }
        }
    }

    /// One pass over all positions; returns whether anything was found.
    fn pass(
        &mut self,
        variable: Variable,
        looked_at: usize,
        least: PublishedResult,
    ) -> Result<bool, EngineError> {
        let mut found = false;
        for position in 0..self.engine.shape().n_ctx() {
            found |= self.pass_at(variable, looked_at, least, position)?;
        }
        Ok(found)
    }

    fn pass_at(
        &mut self,
        variable: Variable,
        looked_at: usize,
        least: PublishedResult,
        position: usize,
    ) -> Result<bool, EngineError> {
        let mut tag = variable.to_string();
        let at: Vec<usize> = (0..self.candidates.len())
            .filter(|&index| self.candidates[index].node.position() == position)
            .filter(|&index| self.meets(index, variable.task, looked_at))
            .filter(|&index| !self.has(index, &tag))
            .collect();
        if least == PublishedResult::Weak {
            // The impact seen; for these tasks, the place looked at.
            tag = format!("{tag}.A{looked_at}");
        }
        let mut found = false;
        for &index in &at {
            let nodes = vec![self.candidates[index].node];
            if self.tests.together(variable, nodes)?.result >= least {
                self.add(index, tag.clone());
                found = true;
            }
        }
        if found || !TRIED_IN_PAIRS.contains(&variable.task) {
            return Ok(found);
        }
        for (i, &a) in at.iter().enumerate() {
            for &b in &at[i + 1..] {
                let (first, second) = (self.candidates[a].node, self.candidates[b].node);
                if first.layer() != second.layer() {
                    continue;
                }
                let nodes = vec![first, second];
                if self.tests.together(variable, nodes)?.result >= least {
                    for index in [a, b] {
                        if !self.has(index, &tag) {
                            self.add(index, tag.clone());
                        }
                    }
                    found = true;
                }
            }
        }
        Ok(found)
    }

    /// Whether a node meets a task's prerequisites at the digit looked at.
    fn meets(&self, index: usize, task: Task, looked_at: usize) -> bool {
        let shape = self.engine.shape();
        let (operator, sign) = (shape.operator(), shape.sign());
        let node = self.candidates[index].node;
        let position = node.position();
        let attends = |digit: Option<usize>| {
            digit
                .filter(|&digit| digit < shape.n_digits)
                .is_some_and(|digit| {
                    self.attends(index, shape.first_operand(digit))
                        && self.attends(index, shape.second_operand(digit))
                })
        };
        node.head().is_some()
            && match task {
                Task::Sa | Task::Md | Task::Nd => {
                    position > sign && attends(Some(looked_at)) && self.impacts(index, looked_at)
                }
                Task::Sc | Task::Mb | Task::Nb => {
                    position > sign
                        && attends(looked_at.checked_sub(1))
                        && self.impacts(index, looked_at)
                }
                Task::Ss => {
                    position > sign
                        && attends(looked_at.checked_sub(2))
                        && self.impacts(index, looked_at)
                }
                Task::St | Task::Mt => {
                    let major = if task == Task::St {
                        "Math.Add"
                    } else {
                        "Math.Sub"
                    };
                    let letter = if task == Task::St { 'S' } else { 'M' };
                    (operator..=sign).contains(&position)
                        && attends(Some(looked_at))
                        && self.candidates[index].tags.iter().any(|tag| {
                            let text = tag.to_string();
                            text.starts_with(major) && text.contains(letter)
                        })
                }
                Task::Gt => attends(Some(looked_at)),
                _ => false,
            }
    }

    /// Whether a node attends to a position, by its tags.
    fn attends(&self, index: usize, position: usize) -> bool {
        let substring = format!("Attn:P{position}");
        self.candidates[index].tags.iter().any(|tag| {
            let text = tag.to_string();
            let named = if self.quirks.has(Quirk::AttentionSubstring) {
                text.contains(&substring)
            } else {
                text.strip_prefix(&substring)
                    .is_some_and(|rest| rest.starts_with('='))
            };
            let percent = || {
                text.rsplit_once('=')
                    .and_then(|(_, p)| p.parse::<u32>().ok())
            };
            named
                && (self.quirks.has(Quirk::NoAttentionMinimum)
                    || percent().is_some_and(|percent| percent >= LEAST_ATTENTION))
        })
    }

    /// Whether a node impacts a place, by its tags.
    fn impacts(&self, index: usize, place: usize) -> bool {
        let substring = format!("Impact:A{place}");
        let digits = place.to_string();
        self.candidates[index].tags.iter().any(|tag| {
            if self.quirks.has(Quirk::HighestImpact) {
                tag.to_string().contains(&substring)
            } else {
                tag.major == "Impact" && digits.chars().all(|digit| tag.minor.contains(digit))
            }
        })
    }

    /// Whether a tag matches that of a claim: the same or, with the quirk, one that contains it.
    fn matches(&self, tag: &Tag, minor: &str) -> bool {
        let weak = || {
            tag.minor
                .strip_prefix(minor)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        tag.major == CLAIM
            && if self.quirks.has(Quirk::TagSubstring) {
                tag.minor.starts_with(minor)
            } else {
                tag.minor == minor || weak()
            }
    }

    fn has(&self, index: usize, minor: &str) -> bool {
        let mut tags = self.candidates[index].tags.iter();
        tags.any(|tag| self.matches(tag, minor))
    }

    fn delete(&mut self, minor: &str) {
        for index in 0..self.candidates.len() {
            let mut tags = std::mem::take(&mut self.candidates[index].tags);
            tags.retain(|tag| !self.matches(tag, minor));
            self.candidates[index].tags = tags;
        }
    }

    fn add(&mut self, index: usize, minor: String) {
        self.candidates[index].tags.push(Tag {
            major: CLAIM.into(),
            minor,
        });
    }

    /// The claims, without those removed for being a node's only one.
    fn claims(self) -> Vec<TaggedNode> {
        let lonely = |tags: &[Tag]| {
            let [tag] = tags else { return false };
            tag.minor == Task::Opr.name() || tag.minor == Task::Sgn.name()
        };
        self.candidates
            .into_iter()
            .map(|candidate| {
                let mut tags = candidate.tags;
                tags.retain(|tag| tag.major == CLAIM);
                if self.quirks.has(Quirk::LonelyTag) && lonely(&tags) {
                    tags.clear();
                }
                TaggedNode {
                    node: candidate.node.name(),
                    tags,
                    extra: serde_json::Map::new(),
                }
            })
            .collect()
    }
}
