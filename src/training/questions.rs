//! The questions a model is trained on: uniformly drawn, two of five batches enriched, as published.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::recipe::Recipe;
use crate::domain::arithmetic::{Operation, Prompt, Question};
use crate::experiment::stream;

/// Probability that a batch of random questions is enriched: 2 of 5 batches.
pub const ENRICHED_BATCHES: f64 = 0.4;

/// Share of an enriched batch's digit pairs that are made to sum to nine.
const NINES: f64 = 0.4;

/// Probability that an enriched batch of subtractions has equal operands: 1 in 100. Otherwise each
/// digit of the second operand below 9 is raised by one.
const EQUAL_OPERANDS: f64 = 0.01;

/// Share of subtractions among a mixed model's questions.
pub const MIXED_SUBTRACTIONS: f64 = 0.66;

/// Share of the batches of subtractions that get runs, and of the questions of such a batch.
const RUNS: f64 = 0.4;

/// Questions held out to follow the accuracy: enough to see three nines.
const HELD_OUT: usize = 1000;

impl Recipe {
    /// The questions of one batch. Each batch has a stream of its own, so a training can start at any.
    ///
    /// A batch has questions of one operation; with GrokFast, whose average is over batches, every batch
    /// has both in their shares.
    pub fn batch(&self, step: usize) -> Vec<Prompt> {
        let mut rng = stream(self.name.seed, &format!("training/batch {step}"));
        let (count, n_digits) = (self.batch_size, self.shape.n_digits);
        let subtractions = self.subtraction_share();
        let counts = if self.name.grokfast {
            let subtracted = count * self.subtraction_percent as usize / 100;
            [count - subtracted, subtracted]
        } else if rng.random_bool(subtractions) {
            [0, count]
        } else {
            [count, 0]
        };
        let mut questions = one_operation(Operation::Add, counts[0], n_digits, &mut rng);
        let mut subtracted = one_operation(Operation::Sub, counts[1], n_digits, &mut rng);
        if self.enrich_runs && rng.random_bool(RUNS) {
            for question in &mut subtracted {
                if rng.random_bool(RUNS) {
                    *question = with_run(*question, &mut rng);
                }
            }
        }
        questions.append(&mut subtracted);
        questions.into_iter().map(Prompt::truth).collect()
    }

    /// Uniformly drawn questions that the accuracy is followed on.
    pub fn held_out(&self) -> Vec<Prompt> {
        let mut rng = stream(self.name.seed, "training/held out");
        let subtracted = (HELD_OUT as f64 * self.subtraction_share()).round() as usize;
        let counts = [
            (Operation::Add, HELD_OUT - subtracted),
            (Operation::Sub, subtracted),
        ];
        counts
            .into_iter()
            .flat_map(|(operation, count)| {
                random_batch(operation, count, self.shape.n_digits, false, &mut rng)
            })
            .map(Prompt::truth)
            .collect()
    }

    fn subtraction_share(&self) -> f64 {
        f64::from(self.subtraction_percent) / 100.0
    }
}

/// Questions of one operation, in 2 of 5 cases enriched.
fn one_operation(
    operation: Operation,
    count: usize,
    n_digits: usize,
    rng: &mut impl Rng,
) -> Vec<Question> {
    if count == 0 {
        return Vec::new();
    }
    let enriched = rng.random_bool(ENRICHED_BATCHES);
    random_batch(operation, count, n_digits, enriched, rng)
}

/// The subtraction with a run of at least two equal digits in both operands, where a borrow passes on.
fn with_run(question: Question, rng: &mut impl Rng) -> Question {
    let n_digits = question.n_digits();
    if n_digits < 2 {
        return question;
    }
    let length = rng.random_range(2..=n_digits);
    let lowest = rng.random_range(0..=n_digits - length);
    let second = (0..n_digits).map(|k| {
        let (of_first, of_second) = question.column(k);
        let in_run = (lowest..lowest + length).contains(&k);
        if in_run { of_first } else { of_second }
    });
    let highest_first: Vec<u8> = second.rev().collect();
    let second = number(&highest_first);
    Question::new(question.first(), question.operation(), second, n_digits)
}

/// One batch of random questions, enriched or not.
pub fn random_batch(
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::domain::arithmetic::Class;
    use crate::training::Overrides;

    fn recipe(name: &str, enrich_runs: bool) -> Recipe {
        let overrides = Overrides {
            enrich_runs,
            ..Overrides::default()
        };
        Recipe::new(&name.parse().unwrap(), &overrides).unwrap()
    }

    fn of(operation: Operation, batch: &[Prompt]) -> usize {
        let is_of = |prompt: &&Prompt| prompt.question.operation() == operation;
        batch.iter().filter(is_of).count()
    }

    #[test]
    fn two_of_five_batches_of_additions_have_more_nines() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let enriched = (0..200)
            .filter(|_| {
                let batch = one_operation(Operation::Add, 100, 5, &mut rng);
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

    #[test]
    fn two_thirds_of_a_mixed_models_batches_subtract_and_four_fifths_of_an_inserted_ones() {
        for (name, expected) in [
            ("mix_d5_l3_h4_t1K_s1", 600..=720),
            ("ins1_mix_d5_l3_h4_t1K_s1", 760..=840),
            ("sub_d5_l2_h3_t1K_s1", 1000..=1000),
            ("add_d5_l2_h3_t1K_s1", 0..=0),
        ] {
            let recipe = recipe(name, false);
            let subtracted = (0..1000)
                .filter(|&step| match of(Operation::Sub, &recipe.batch(step)) {
                    0 => false,
                    64 => true,
                    some => panic!("{name}: a batch has {some} subtractions among its 64"),
                })
                .count();
            assert!(expected.contains(&subtracted), "{name}: {subtracted}");
        }
    }

    #[test]
    fn every_batch_of_a_mixed_model_trained_with_grokfast_has_both_operations() {
        let recipe = recipe("mix_d5_l3_h4_t1K_gf_s1", false);
        for step in 0..20 {
            assert_eq!(of(Operation::Sub, &recipe.batch(step)), 42);
        }
    }

    #[test]
    fn a_batch_depends_on_its_number_and_the_seed_alone() {
        let (first, other) = (
            recipe("add_d5_l2_h3_t1K_s1", false),
            recipe("add_d5_l2_h3_t1K_s2", false),
        );
        assert_eq!(first.batch(7), first.batch(7));
        assert_ne!(first.batch(7), first.batch(8));
        assert_ne!(first.batch(7), other.batch(7));
    }

    /// The longest run of zero differences right above a column that borrows.
    fn longest_borrow(question: &Question) -> usize {
        let difference = |k| {
            let (a, b) = question.column(k);
            i16::from(a) - i16::from(b)
        };
        (0..question.n_digits())
            .filter(|&k| difference(k) < 0)
            .map(|k| {
                (k + 1..question.n_digits())
                    .take_while(|&above| difference(above) == 0)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn runs_make_long_borrows_common_and_leave_the_other_questions_alone() {
        let (plain, with_runs) = (
            recipe("sub_d8_l2_h3_t1K_s1", false),
            recipe("sub_d8_l2_h3_t1K_s1", true),
        );
        let mut long = [0; 2];
        let mut changed = 0;
        for step in 0..200 {
            let batches = [plain.batch(step), with_runs.batch(step)];
            for (long, batch) in long.iter_mut().zip(&batches) {
                *long += (batch.iter())
                    .filter(|prompt| longest_borrow(&prompt.question) >= 3)
                    .count();
            }
            changed += std::iter::zip(&batches[0], &batches[1])
                .filter(|(a, b)| a != b)
                .count();
        }
        assert!(long[1] > 10 * long[0].max(1), "{long:?}");
        // 16 % of 12,800, less those whose digits were equal already.
        assert!((1500..2300).contains(&changed), "{changed}");
    }

    #[test]
    fn held_out_questions_are_uniform() {
        let held_out = recipe("mix_d5_l3_h4_t1K_s1", false).held_out();
        assert_eq!(of(Operation::Sub, &held_out), 660);
        let negative = (held_out.iter())
            .filter(|p| p.question.class() == Class::Neg)
            .count();
        assert!((290..=370).contains(&negative), "{negative}");
    }
}
