//! The question set behind the published behaviours: random questions, enriched as in training,
//! then the curated pairs of each complexity class.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt};
use serde::Deserialize;

use crate::domain::arithmetic::{Operation, Prompt, Question, complexity, power_of_ten};
use crate::inputs::model::{ModelFolder, Operations};
use crate::training::{ENRICHED_BATCHES, MIXED_SUBTRACTIONS, random_batch};

/// Seed of question sets, as in the published models.
pub const SET_SEED: u64 = 372_001;

/// Random questions in a set, as in most published sets.
pub const RANDOM_QUESTIONS: usize = 512;

const CURATED: &str = include_str!("curated.json");

#[derive(Deserialize)]
struct Curated {
    classes: BTreeMap<String, Vec<(u128, u128)>>,
}

/// Whether the random questions of a set are enriched, by operation. The tool decides once for all
/// questions of an operation, which affects percentages more than the questions themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Enrichment {
    pub additions: bool,
    pub subtractions: bool,
}

impl Enrichment {
    /// All possible enrichments of a set for a model.
    pub fn all(operations: Operations) -> Vec<Self> {
        let ways = |trained: bool| {
            if trained {
                vec![false, true]
            } else {
                vec![false]
            }
        };
        ways(operations.trains_addition())
            .into_iter()
            .flat_map(|additions| {
                ways(operations.trains_subtraction())
                    .into_iter()
                    .map(move |subtractions| Enrichment {
                        additions,
                        subtractions,
                    })
            })
            .collect()
    }

    fn toss(rng: &mut impl Rng) -> Self {
        Enrichment {
            additions: rng.random_bool(ENRICHED_BATCHES),
            subtractions: rng.random_bool(ENRICHED_BATCHES),
        }
    }

    /// What is enriched: `plain`, `+ enriched`, `- enriched` or `+ - enriched`.
    pub fn name(self) -> &'static str {
        match (self.additions, self.subtractions) {
            (false, false) => "plain",
            (true, false) => "+ enriched",
            (false, true) => "- enriched",
            (true, true) => "+ - enriched",
        }
    }
}

/// Draws the set: [`RANDOM_QUESTIONS`], then the curated pairs that fit, each question once.
pub fn draw_set(folder: &ModelFolder, rng: &mut impl Rng) -> Vec<Prompt> {
    let enrichment = Enrichment::toss(rng);
    draw_set_with(folder, enrichment, rng)
}

/// As [`draw_set`], with the enrichment given.
pub fn draw_set_with(
    folder: &ModelFolder,
    enrichment: Enrichment,
    rng: &mut impl Rng,
) -> Vec<Prompt> {
    let n_digits = folder.weights.shape().n_digits;
    let operations = folder.operations();
    let subtractions = (RANDOM_QUESTIONS as f64 * subtraction_share(folder)) as usize;
    let mut questions = random_batch(
        Operation::Add,
        RANDOM_QUESTIONS - subtractions,
        n_digits,
        enrichment.additions,
        rng,
    );
    questions.extend(random_batch(
        Operation::Sub,
        subtractions,
        n_digits,
        enrichment.subtractions,
        rng,
    ));
    questions.extend(curated(operations, n_digits));
    let mut seen = BTreeSet::new();
    questions
        .into_iter()
        .filter(|&question| seen.insert(question))
        .map(Prompt::truth)
        .collect()
}

/// Share of subtractions among the additions and subtractions that a model was trained on.
pub fn subtraction_share(folder: &ModelFolder) -> f64 {
    let operations = folder.operations();
    match (
        operations.trains_addition(),
        operations.trains_subtraction(),
    ) {
        (true, false) => return 0.0,
        (false, true) => return 1.0,
        _ => {}
    }
    let record = folder.training.as_ref();
    match record.map(|record| (record.perc_add, record.perc_sub)) {
        Some((Some(add), Some(sub))) if add + sub > 0.0 => sub / (add + sub),
        _ => MIXED_SUBTRACTIONS,
    }
}

/// The curated pairs that fit the operands and belong to the class they are listed under.
fn curated(operations: Operations, n_digits: usize) -> Vec<Question> {
    let curated: Curated =
        serde_json::from_str(CURATED).expect("the curated pairs are read in a test");
    let fits = |operand: u128| operand < power_of_ten(n_digits);
    curated
        .classes
        .iter()
        .flat_map(|(class, pairs)| pairs.iter().map(move |pair| (class, pair)))
        .filter(|(_, (a, b))| fits(*a) && fits(*b))
        .map(|(class, &(a, b))| {
            let operation = if class.starts_with('S') {
                Operation::Add
            } else {
                Operation::Sub
            };
            (class, Question::new(a, operation, b, n_digits))
        })
        .filter(|(class, question)| {
            operations.trains(question.operation()) && complexity(question).to_string() == **class
        })
        .map(|(_, question)| question)
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_curated_pairs_of_five_digits_are_those_of_the_published_sets() {
        // The bundled reference sets hold 605, 598 and 691 questions, 512 of them random.
        for (operations, count) in [
            (Operations::Add, 93),
            (Operations::Sub, 86),
            (Operations::Mix, 179),
        ] {
            let unique: BTreeSet<Question> = curated(operations, 5).into_iter().collect();
            assert_eq!(unique.len(), count, "{operations}");
        }
    }

    #[test]
    fn a_set_has_the_training_share_of_subtractions_and_each_question_once() {
        let set = draw_set(&ModelFolder::bundled(), &mut ChaCha8Rng::seed_from_u64(1));
        let random = &set[..RANDOM_QUESTIONS - 20];
        let subtractions = random
            .iter()
            .filter(|prompt| prompt.question.operation() == Operation::Sub)
            .count();
        assert!((300..=338).contains(&subtractions), "{subtractions}");
        let unique: BTreeSet<&Prompt> = set.iter().collect();
        assert_eq!(unique.len(), set.len());
    }
}
