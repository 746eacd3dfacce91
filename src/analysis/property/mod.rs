//! Property tests: which questions does a model fail on, and what is the simplest one?
//!
//! A [`Property`] is one or more [clauses](clause::Clause), each a relation between what the model
//! is asked and the expected answer. Cases are drawn by a proptest strategy and run in batches;
//! those that fail are shrunk in lock-step.

pub mod case;
pub mod clause;
pub mod evidence;
pub mod group;
pub mod template;
pub mod trial;

mod builtin;
mod kept;
mod own;
mod separation;
mod shrink;
mod strategy;
mod tree;

pub use builtin::builtin;
pub use kept::{KEPT_FILE, Kept, KeptError};
pub use own::{OwnError, read, read_own};
pub use separation::{
    NodeDistances, Separates, Separation, SeparationTerms, THRESHOLD, Triplet, separations,
};
pub use shrink::shrink;
pub use strategy::{CaseStrategy, Groups};
pub use tree::CaseTree;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::Rng;
use thiserror::Error;

use crate::domain::arithmetic::{Answer, Complexity, Operation, complexity};
use crate::experiment::stats::{Count, Rate};
use crate::experiment::stream;
use crate::inputs::claims::{Claim, ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::{LoadError, ModelFolder, Operations};
use crate::network::engine::{Decode, Engine, EngineError};
use crate::verify::Progress;
use case::Case;
use clause::Clause;
use evidence::{
    AskedQuestion, ClassCount, FailingCase, GroupCount, GroupRate, PropertyEvidence, PropertyFile,
    PropertyResult, PropertyStanding, SCHEMA,
};
use group::Group;
use trial::{CaseOutcome, DEFAULT_BATCH, Examiner, TriedCase};

/// Probability that a bound of an interval is wrong: two bounds make a 99 % interval.
pub const ALPHA: f64 = 0.005;

/// The name that selects the node properties of all claims.
pub const NODES: &str = "nodes";

/// Failing cases shrunk per property: the first found. More add little.
const MOST_SHRUNK: usize = 256;

/// Failing cases kept per property as drawn, besides their shrunk forms.
const KEPT_AS_DRAWN: usize = 32;

/// Counterexamples shown per property.
const SHOWN: usize = 5;

/// Consecutive repeated draws after which a property's cases count as exhausted.
const MOST_REPEATS: usize = 1000;

/// How the numbers of a property's cases are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// The operands of a drawn question.
    Operands,
    /// A single number: the first operand of a drawn question.
    First,
    /// A question's high digits, its low digits, and the low digits of another question.
    Split,
    /// Digits drawn from ranges.
    Ranges,
}

/// Something that should be true of a model's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    pub name: String,
    /// The property in one sentence.
    pub says: String,
    /// How its cases are drawn.
    pub drawing: Drawing,
    /// The clauses, one of which is tried on each case.
    pub clauses: Vec<Clause>,
    /// For a user's own property, its file.
    pub file: Option<PropertyFile>,
}

impl Property {
    /// The property without clauses that need an operation the model was not trained for, and
    /// descriptions of what was removed.
    pub fn trained(mut self, operations: Operations) -> (Property, Vec<String>) {
        let mut missing: BTreeSet<Operation> = BTreeSet::new();
        self.clauses.retain(|clause| {
            let asked = clause.operations().into_iter();
            let untrained: Vec<Operation> = asked
                .filter(|&operation| !operations.trains(operation))
                .collect();
            missing.extend(&untrained);
            untrained.is_empty()
        });
        let reasons = missing
            .into_iter()
            .map(|operation| {
                let asked = match operation {
                    Operation::Add => "additions",
                    Operation::Sub => "subtractions",
                };
                format!("{asked}: the model was trained only for {operations}")
            })
            .collect();
        (self, reasons)
    }
}

/// What to test, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyOptions {
    /// Distinct cases drawn per property.
    pub cases: usize,
    pub seed: u64,
    pub decode: Decode,
    /// Lead of the right token that `confident` requires, in logits.
    pub margin: f32,
    /// Threshold below which two outputs of a node count as the same, as a share of the distance
    /// between outputs of different values.
    pub distance: f64,
    /// Only properties with these names, `nodes`, or claims such as `P9L0H1 A1.ST`; all if empty.
    pub names: Vec<String>,
    /// Cases run together. Does not affect results.
    pub batch: NonZeroUsize,
}

impl Default for PropertyOptions {
    fn default() -> Self {
        PropertyOptions {
            cases: 100_000,
            seed: 1,
            decode: Decode::Forced,
            margin: 1.0,
            distance: 0.5,
            names: Vec::new(),
            batch: DEFAULT_BATCH,
        }
    }
}

/// Why properties could not be tested.
#[derive(Debug, Error)]
pub enum PropertyError {
    /// An unknown property name.
    #[error("unknown property {name:?}: expected one of {known}")]
    Unknown {
        name: String,
        /// The known names.
        known: String,
    },
    /// Two properties with the same name.
    #[error("two properties are named {name:?}{}", .file.as_ref().map_or(String::new(), |f| format!(", one in {f}")))]
    SameName {
        name: String,
        /// A file that has one of them.
        file: Option<String>,
    },
    /// A property without cases.
    #[error("{0}")]
    NoCases(String),
    /// The claims file cannot be read.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// A user's own property is invalid.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// A user's own property cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A folder of properties, or the file of kept cases, cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        path: PathBuf,
        /// The operating system's error.
        reason: std::io::Error,
    },
    /// The file of kept cases is invalid.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The built-in properties and a user's own, with unique names.
///
/// # Errors
/// [`PropertyError::SameName`].
pub fn properties(
    n_digits: usize,
    margin: f32,
    own: Vec<Property>,
) -> Result<Vec<Property>, PropertyError> {
    let mut all = builtin(n_digits, margin);
    for property in own {
        if property.name == NODES || all.iter().any(|other| other.name == property.name) {
            return Err(PropertyError::SameName {
                name: property.name,
                file: property.file.map(|file| file.name),
            });
        }
        all.push(property);
    }
    Ok(all)
}

/// Tests a model's properties: the built-in ones, those of `own`, and those of its claimed nodes.
/// `kept` holds the cases that failed earlier, and receives those that fail now.
///
/// # Errors
/// [`PropertyError`] if a name is unknown or used twice, or a file cannot be read.
pub fn check(
    folder: &ModelFolder,
    own: Vec<Property>,
    kept: &mut Kept,
    options: &PropertyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<PropertyEvidence, PropertyError> {
    let engine = Engine::new(&folder.weights);
    let n_digits = engine.shape().n_digits;
    let properties = properties(n_digits, options.margin, own)?;
    let claims = match &folder.features {
        Some(file) => claims_of(&read_tagged_nodes(
            &file.path.display().to_string(),
            &file.bytes,
        )?),
        None => Vec::new(),
    };
    check_names(options, &properties, &claims)?;
    let wanted = |name: &str| options.names.is_empty() || options.names.iter().any(|n| n == name);
    let run = PropertyRun {
        examiner: Examiner {
            engine: &engine,
            decode: options.decode,
            batch: options.batch,
        },
        groups: Groups::new(n_digits),
        operations: folder.operations(),
        options,
    };
    let selected: Vec<Property> = properties
        .into_iter()
        .filter(|property| wanted(&property.name))
        .collect();
    let of = selected.len() * options.cases;
    let mut results = Vec::new();
    for (index, property) in selected.into_iter().enumerate() {
        results.push(run.test(property, kept, &mut |done| {
            progress(Progress {
                phase: "cases",
                done: index * options.cases + done,
                of,
            });
        })?);
    }
    let claims: Vec<_> = claims
        .into_iter()
        .filter(|claim| wanted(NODES) || wanted(&claim.to_string()))
        .collect();
    let terms = SeparationTerms {
        cases: options.cases,
        distance: options.distance,
        alpha: ALPHA,
        seed: options.seed,
    };
    let nodes = separations(&engine, folder.operations(), &claims, terms, |done| {
        progress(Progress {
            phase: "nodes",
            done,
            of: claims.len(),
        });
    })?;
    Ok(PropertyEvidence {
        schema: SCHEMA.to_owned(),
        model: folder.name.clone(),
        weights_sha256: folder.weights_sha256.clone(),
        operations: folder.operations().to_string(),
        shape: engine.shape(),
        decode: options.decode.name().to_owned(),
        cases: options.cases,
        seed: options.seed,
        alpha: ALPHA,
        properties: results,
        nodes,
    })
}

/// Checks that each requested name is that of a property, [`NODES`], or a claim.
fn check_names(
    options: &PropertyOptions,
    properties: &[Property],
    claims: &[Claim],
) -> Result<(), PropertyError> {
    let claim_names: Vec<String> = claims.iter().map(ToString::to_string).collect();
    for name in &options.names {
        let known = || properties.iter().map(|property| property.name.as_str());
        if known().all(|known| known != name) && name != NODES && !claim_names.contains(name) {
            let mut names: Vec<&str> = known().collect();
            names.push(NODES);
            return Err(PropertyError::Unknown {
                name: name.clone(),
                known: format!("{}, and claims such as \"P9L0H1 A1.ST\"", names.join(", ")),
            });
        }
    }
    Ok(())
}

/// A proptest runner that draws the cases of a property from its own random stream.
pub fn runner(seed: u64, property: &str) -> TestRunner {
    let mut bytes = [0; 32];
    stream(seed, &format!("property/{property}")).fill_bytes(&mut bytes);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng)
}

struct PropertyRun<'a> {
    examiner: Examiner<'a>,
    groups: Groups,
    operations: Operations,
    options: &'a PropertyOptions,
}

/// Counts kept while cases are drawn.
#[derive(Default)]
struct CaseTally {
    failures: Count,
    ties: u64,
    groups: BTreeMap<Group, Count>,
    classes: BTreeMap<Complexity, Count>,
}

impl CaseTally {
    fn report(self, result: &mut PropertyResult) {
        let count = |(&group, &failures): (&Group, &Count)| GroupCount { group, failures };
        result.failures = self.failures;
        result.ties = self.ties;
        result.groups = self.groups.len();
        result.smallest_group = self
            .groups
            .iter()
            .min_by_key(|(_, count)| count.trials)
            .map(count);
        result.failing_groups = self
            .groups
            .iter()
            .filter(|(group, count)| count.hits > 0 && !group.is_uniform())
            .map(count)
            .collect();
        result.uniform = self
            .groups
            .iter()
            .filter(|(group, _)| group.is_uniform())
            .map(|(&group, &count)| GroupRate {
                group,
                rate: Rate::sampled(count, ALPHA),
            })
            .collect();
        result.classes = self
            .classes
            .into_iter()
            .map(|(class, failures)| ClassCount { class, failures })
            .collect();
    }
}

impl PropertyRun<'_> {
    fn test(
        &self,
        property: Property,
        kept: &mut Kept,
        progress: &mut dyn FnMut(usize),
    ) -> Result<PropertyResult, PropertyError> {
        let (property, not_asked) = property.trained(self.operations);
        let property = Arc::new(property);
        let mut result = PropertyResult {
            property: property.name.clone(),
            says: property.says.clone(),
            file: property.file.clone(),
            standing: PropertyStanding::NotAsked,
            not_asked,
            failures: Count::default(),
            ties: 0,
            uniform: Vec::new(),
            groups: 0,
            smallest_group: None,
            failing_groups: Vec::new(),
            classes: Vec::new(),
            kept: Count::default(),
            shrunk: 0,
            counterexamples: Vec::new(),
        };
        if property.clauses.is_empty() {
            return Ok(result);
        }

        // Cases that failed earlier come first.
        let before = kept.cases(&property)?;
        let (mut failing, mut holding): (Vec<Case>, Vec<Case>) = (Vec::new(), Vec::new());
        self.examiner.examine(&property, &before, |i, tried| {
            result.kept.add(tried.outcome.fails());
            let list = match tried.outcome.fails() {
                true => &mut failing,
                false => &mut holding,
            };
            list.push(before[i].clone());
        })?;
        let mut trees: Vec<CaseTree> = failing
            .iter()
            .map(|case| CaseTree::new(Arc::clone(&property), Group::Kept, case.clone()))
            .collect();

        let strategy = CaseStrategy::new(Arc::clone(&property), &self.groups);
        let (tally, drawn) = self.draw(&property, &strategy, progress)?;
        result.shrunk = drawn.len();
        failing.extend(drawn.iter().take(KEPT_AS_DRAWN).map(ValueTree::current));
        trees.extend(drawn);

        let mut simplest = shrink(&self.examiner, &property, trees)?;
        simplest.sort_by_cached_key(|case| {
            let variables = property.clauses[case.clause].variables();
            (case.simplicity(variables), case.clause)
        });
        simplest.dedup();
        failing.extend(simplest.iter().cloned());
        kept.replace(&property, failing, holding);
        simplest.truncate(SHOWN);
        self.examiner.examine(&property, &simplest, |i, tried| {
            let case = &simplest[i];
            result.counterexamples.extend(counterexample(
                &property.clauses[case.clause],
                case,
                &tried,
            ));
        })?;

        result.standing = match tally.failures.hits + result.kept.hits {
            0 => PropertyStanding::Holds,
            _ => PropertyStanding::Fails,
        };
        tally.report(&mut result);
        Ok(result)
    }

    /// Draws distinct cases and runs them; returns the counts and the first failing trees. Draws
    /// depend only on the seed: shrinking draws nothing.
    fn draw(
        &self,
        property: &Arc<Property>,
        strategy: &CaseStrategy,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(CaseTally, Vec<CaseTree>), PropertyError> {
        let mut runner = runner(self.options.seed, &property.name);
        let mut tally = CaseTally::default();
        let mut failing = Vec::new();
        // Uniform draws are deduplicated separately, so that a case drawn from another group first
        // is not missing from them.
        let mut seen: HashSet<(bool, Case)> = HashSet::new();
        let mut repeats = 0;
        while seen.len() < self.options.cases && repeats < MOST_REPEATS {
            let left = self.options.cases - seen.len();
            let mut batch = Vec::new();
            while batch.len() < left.min(self.options.batch.get()) && repeats < MOST_REPEATS {
                let tree = strategy
                    .new_tree(&mut runner)
                    .map_err(|reason| PropertyError::NoCases(reason.message().to_owned()))?;
                if seen.insert((tree.group().is_uniform(), tree.current())) {
                    repeats = 0;
                    batch.push(tree);
                } else {
                    repeats += 1;
                }
            }
            let cases: Vec<Case> = batch.iter().map(ValueTree::current).collect();
            self.examiner.examine(property, &cases, |i, tried| {
                let fails = tried.outcome.fails();
                let first_question = property.clauses[cases[i].clause].first_question(&cases[i]);
                tally.failures.add(fails);
                tally.ties += u64::from(tried.outcome == CaseOutcome::Tie);
                tally.groups.entry(batch[i].group()).or_default().add(fails);
                tally
                    .classes
                    .entry(complexity(&first_question))
                    .or_default()
                    .add(fails);
                if fails && failing.len() < MOST_SHRUNK {
                    failing.push(batch[i].clone());
                }
            })?;
            progress(seen.len());
        }
        Ok((tally, failing))
    }
}

/// A failing case for reports; `None` if it does not fail.
fn counterexample(clause: &Clause, case: &Case, tried: &TriedCase) -> Option<FailingCase> {
    let CaseOutcome::Fails(fault) = tried.outcome else {
        return None;
    };
    let asked = tried
        .given
        .iter()
        .map(|given| {
            let (answer, truth) = (given.logits.answer(), Answer::of(&given.question));
            AskedQuestion {
                question: given.question,
                decode: given.decode.name().to_owned(),
                answer,
                truth,
                wrong: answer.changed_from(&truth),
            }
        })
        .collect();
    Some(FailingCase {
        clause: clause.to_string(),
        numbers: case.text(clause.variables()).to_string(),
        true_of_arithmetic: clause.is_true(case),
        asked,
        at_fault: fault.asked,
        token: fault.place,
        lead: tried.given[fault.asked].lead(fault.place),
    })
}
