//! The question set behind the published behaviours: random questions, enriched as in training,
//! then the curated pairs of each complexity class.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::Deserialize;

use crate::domain::arithmetic::{Operation, Prompt, Question, complexity, power_of_ten};
use crate::inputs::model::{ModelFolder, Operations};

/// Seed of question sets, as in the published models.
pub const SET_SEED: u64 = 372_001;

/// Random questions in a set, as in most published sets.
pub const RANDOM_QUESTIONS: usize = 512;

/// Probability that a batch of random questions is enriched: 2 of 5 batches.
const ENRICHED_BATCHES: f64 = 0.4;

/// Share of an enriched batch's digit pairs that are made to sum to nine.
const NINES: f64 = 0.4;

/// Probability that an enriched batch of subtractions has equal operands: 1 in 100. Otherwise each
/// digit of the second operand below 9 is raised by one.
const EQUAL_OPERANDS: f64 = 0.01;

/// Share of subtractions among a mixed model's random questions, if its training record does not
/// specify it.
const MIXED_SUBTRACTIONS: f64 = 0.66;

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

/// One batch of random questions, enriched or not.
fn random_batch(
    operation: Operation,
    count: usize,
    n_digits: usize,
    enriched: bool,
    rng: &mut impl Rng,
) -> Vec<Question> {
    let digits = |rng: &mut _| -> Vec<u8> {
        (0..count * n_digits)
            .map(|_| RngExt::random_range(rng, 0..10u8))
            .collect()
    };
    let (mut first, mut second) = (digits(rng), digits(rng));
    if enriched {
        let nines = match operation {
            Operation::Add => {
                let mut places: Vec<usize> = (0..first.len()).collect();
                places.shuffle(rng);
                places.truncate((first.len() as f64 * NINES) as usize);
                places
            }
            Operation::Sub => Vec::new(),
        };
        enrich(operation, &mut first, &mut second, &nines, rng);
    }
    first
        .chunks(n_digits)
        .zip(second.chunks(n_digits))
        .map(|(a, b)| Question::new(number(a), operation, number(b), n_digits))
        .collect()
}

/// Enriches a batch given by its operands' digits. For additions, `nines` are the places whose
/// digits should sum to nine.
fn enrich(
    operation: Operation,
    first: &mut [u8],
    second: &mut [u8],
    nines: &[usize],
    rng: &mut impl Rng,
) {
    match operation {
        Operation::Add => {
            let (from, to) = if rng.random_bool(0.5) {
                (&*first, second)
            } else {
                (&*second, first)
            };
            for &place in nines {
                to[place] = 9 - from[place];
            }
        }
        Operation::Sub if rng.random_bool(EQUAL_OPERANDS) => second.copy_from_slice(first),
        Operation::Sub => second
            .iter_mut()
            .filter(|digit| **digit < 9)
            .for_each(|digit| *digit += 1),
    }
}

fn number(digits: &[u8]) -> u128 {
    digits
        .iter()
        .fold(0, |value, &digit| value * 10 + u128::from(digit))
}

/// One question of a training batch, with all random choices of the batch made for it alone. Such
/// questions are independent of each other, and each is as likely as in training.
pub fn training_question(subtractions: f64, n_digits: usize, rng: &mut impl Rng) -> Question {
    let operation = if rng.random_bool(subtractions) {
        Operation::Sub
    } else {
        Operation::Add
    };
    let mut digits = || -> Vec<u8> { (0..n_digits).map(|_| rng.random_range(0..10)).collect() };
    let (mut first, mut second) = (digits(), digits());
    if rng.random_bool(ENRICHED_BATCHES) {
        let nines: Vec<usize> = (0..n_digits).filter(|_| rng.random_bool(NINES)).collect();
        enrich(operation, &mut first, &mut second, &nines, rng);
    }
    Question::new(number(&first), operation, number(&second), n_digits)
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

    #[test]
    fn two_of_five_batches_of_additions_have_more_nines() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let enriched = (0..200)
            .filter(|_| {
                let enriched = Enrichment::toss(&mut rng).additions;
                let batch = random_batch(Operation::Add, 100, 5, enriched, &mut rng);
                let nines = batch
                    .iter()
                    .flat_map(|question| (0..5).map(move |k| question.column(k)))
                    .filter(|(a, b)| a + b == 9)
                    .count();
                // 10 % of 500 pairs without enrichment, 46 % with it.
                nines > 140
            })
            .count();
        assert!((60..=100).contains(&enriched), "{enriched}");
    }
}
