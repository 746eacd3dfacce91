//! Tags of probes: whether a digit can be read at its own position, and after which layer and from where
//! on a carry can be read with one probe for carries of different depths.

use ndarray::Array2;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{MapQuantity, MapReading};
use crate::analysis::evidence_map::MapError;
use crate::analysis::evidence_map::lab::{At, HookAt, Lab, Which};
use crate::analysis::hypothesis::Layer;
use crate::domain::arithmetic::{AnswerToken, Class, Prompt, Question};
use crate::domain::causal::{Space, Stimulus, StimulusName};
use crate::experiment::codes::{Labelled, Probe, Reader};

/// Questions of the probe of a digit, as published.
const DIGIT_QUESTIONS: usize = 800;

const DIGIT_READER: Reader = Reader::Logistic { c: 1.0 };

/// Refits to shuffled labels, and the greatest p-value of a tag, as published.
const REFITS: usize = 50;
const GREATEST_P: f64 = 0.05;

/// Least accuracy of a tag, as published.
const LEAST_ACCURACY: f64 = 0.5;

/// By how many percentage points the trained network must be read better than the untrained one.
pub const BEYOND_UNTRAINED: f64 = 5.0;

/// Questions of each deciding digit of the carry's probes, as published.
const CARRY_QUESTIONS: usize = 400;

const CARRY_READER: Reader = Reader::Logistic { c: 0.5 };

/// Balanced accuracy where the carry begins to be read, and at the position after it, as published.
const ONSET: f64 = 0.90;
const STAYS: f64 = 0.85;

/// Fewest digits of a question with carries of both depths.
pub(super) const FEWEST_DIGITS: usize = 4;

/// A digit's labelled activations at its own position after layer 0.
fn digit_set(
    lab: &Lab,
    which: Which,
    digit: usize,
    rng: &mut impl Rng,
) -> Result<Labelled, MapError> {
    let shape = lab.shape();
    let stimulus = Stimulus::new(StimulusName::Random, Class::Add, digit);
    let questions = stimulus.draw_any(shape.n_digits, DIGIT_QUESTIONS, rng);
    let labels = questions.iter().map(|question| question.column(digit).1);
    let labels: Vec<u8> = labels.collect();
    let prompts: Vec<Prompt> = questions.into_iter().map(Prompt::truth).collect();
    let hook = HookAt {
        at: At::ResidPost,
        layer: Layer::Number(0),
    };
    let rows = lab.read(which, &prompts, hook, shape.second_operand(digit))?;
    Ok(Labelled { rows, labels })
}

/// The share of `test` that a probe fitted to `train` reads rightly.
fn accuracy(
    reader: Reader,
    train: &Labelled,
    test: &Labelled,
    rng: &mut impl Rng,
) -> Result<f64, MapError> {
    let probe = Probe::fit(reader, &train.oversampled(rng))?;
    let read = probe.predict(&test.rows);
    let right = read.iter().zip(&test.labels).filter(|(a, b)| a == b);
    Ok(right.count() as f64 / read.len() as f64)
}

/// The percentage right of a digit's probe, in the trained and the untrained network.
pub(super) fn own_digit(lab: &Lab, digit: usize, repeat: usize) -> Result<MapReading, MapError> {
    let percent = |which: Which| -> Result<f64, MapError> {
        let mut rng = lab.stream(&format!("tags/digit {digit}/{repeat}"));
        let (train, test) = digit_set(lab, which, digit, &mut rng)?.split(&mut rng);
        Ok(100.0 * accuracy(DIGIT_READER, &train, &test, &mut rng)?)
    };
    Ok(MapReading::Percents {
        trained: percent(Which::Trained)?,
        untrained: percent(Which::Untrained)?,
    })
}

/// The percentage as published, if it is beyond what shuffled labels give.
pub(super) fn own_digit_published(lab: &Lab, digit: usize) -> Result<Option<String>, MapError> {
    let mut rng = lab.stream(&format!("tags/digit {digit}/0"));
    let (train, test) = digit_set(lab, Which::Trained, digit, &mut rng)?.split(&mut rng);
    let found = accuracy(DIGIT_READER, &train, &test, &mut rng)?;
    if found <= LEAST_ACCURACY {
        return Ok(None);
    }
    let mut as_high = 0;
    let mut shuffled = train;
    for _ in 0..REFITS {
        shuffled.labels.shuffle(&mut rng);
        let by_chance = accuracy(DIGIT_READER, &shuffled, &test, &mut rng)?;
        as_high += u32::from(by_chance >= found);
    }
    let p = f64::from(as_high + 1) / (REFITS + 1) as f64;
    Ok((p < GREATEST_P).then(|| format!("{:.0}", 100.0 * found)))
}

/// The percentage, if it is beyond what the untrained network gives.
pub(super) fn own_digit_sound(lab: &Lab, digit: usize) -> Result<Option<String>, MapError> {
    let MapReading::Percents { trained, untrained } = own_digit(lab, digit, 0)? else {
        unreachable!("a probe's reading is a percentage");
    };
    Ok((trained >= untrained + BEYOND_UNTRAINED).then(|| format!("{trained:.0}")))
}

/// Where the carry out of the second highest column begins to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CarryOnsets {
    /// After the lowest layer with one, its layer and position, on the published questions.
    published: Option<(usize, usize)>,
    /// The same with as many carries as none.
    sound: Option<(usize, usize)>,
    /// The same of the untrained network.
    untrained: Option<(usize, usize)>,
}

impl CarryOnsets {
    /// The value of a tag as published, and if it holds soundly: with as many carries as none, and not of
    /// an untrained network.
    pub fn values(&self, lab: &Lab, quantity: MapQuantity) -> [Option<String>; 2] {
        let last_digit = lab.shape().second_operand(0);
        let value = |onset: Option<(usize, usize)>| {
            onset.map(|(layer, position)| match quantity {
                MapQuantity::CarryLayer { .. } => layer.to_string(),
                _ => position.saturating_sub(last_digit).to_string(),
            })
        };
        let sound = self.sound.filter(|_| self.untrained.is_none());
        [value(self.published), value(sound)]
    }
}

/// Finds where the carry into the highest digit begins to be read.
pub(super) fn carry_onsets(lab: &Lab, repeat: usize) -> Result<CarryOnsets, MapError> {
    let onset = |which: Which, even: bool| -> Result<Option<(usize, usize)>, MapError> {
        let mut rng = lab.stream(&format!("tags/carry/{even}/{repeat}"));
        let n = lab.shape().n_digits;
        let sets = [n - 4, n - 3].map(|decides| carry_set(n, decides, even, &mut rng));
        let shape = lab.shape();
        let first = shape.second_operand(n - 3);
        let positions: Vec<usize> = (first..=shape.predicting(AnswerToken(n - 1))).collect();
        for layer in 0..shape.n_layers {
            let mut read = Vec::with_capacity(positions.len());
            for &position in &positions {
                read.push(transfer(lab, which, &sets, layer, position, &mut rng)?);
            }
            if let Some(number) = first_onset(&read) {
                return Ok(Some((layer, positions[number])));
            }
        }
        Ok(None)
    };
    Ok(CarryOnsets {
        published: onset(Which::Trained, false)?,
        sound: onset(Which::Trained, true)?,
        untrained: onset(Which::Untrained, true)?,
    })
}

/// The first that is high and whose successor, if it has one, is too.
fn first_onset(read: &[f64]) -> Option<usize> {
    let stays = |number: usize| read.get(number + 1).is_none_or(|&next| next >= STAYS);
    (0..read.len()).find(|&number| read[number] >= ONSET && stays(number))
}

/// Questions whose carry out of column `n − 2` a column decides: as published a quarter carries, or half.
fn carry_set(n: usize, decides: usize, even: bool, rng: &mut impl Rng) -> Vec<(Question, bool)> {
    let run = decides + 1..=n - 2;
    let mut drawn = Vec::with_capacity(CARRY_QUESTIONS);
    for number in 0..CARRY_QUESTIONS {
        let (makes, intact) = match even {
            false => (rng.random_bool(0.5), rng.random_bool(0.5)),
            true if number % 2 == 0 => (true, true),
            true => [(true, false), (false, true), (false, false)][rng.random_range(0..3)],
        };
        let broken = (!intact).then(|| rng.random_range(run.clone()));
        let mut space = Space::of_class(Class::Add, n);
        for column in 0..n {
            let stops = |(x, y): (u8, u8)| x + y <= 8;
            space = if column == decides && makes {
                space.with_column(column, |(x, y)| {
                    x + y >= 10 && (2..=8).contains(&x) && (2..=8).contains(&y)
                })
            } else if run.contains(&column) && broken != Some(column) {
                space.with_column(column, |(x, y)| {
                    x + y == 9 && (1..=8).contains(&x) && (1..=8).contains(&y)
                })
            } else {
                space.with_column(column, stops)
            };
        }
        drawn.push((space.sampler().draw(rng), makes && intact));
    }
    drawn
}

/// The balanced accuracy of a probe fitted to carries of one depth on those of the other, both ways.
fn transfer(
    lab: &Lab,
    which: Which,
    sets: &[Vec<(Question, bool)>; 2],
    layer: usize,
    position: usize,
    rng: &mut impl Rng,
) -> Result<f64, MapError> {
    let hook = HookAt {
        at: At::ResidPost,
        layer: Layer::Number(layer),
    };
    let read = |set: &Vec<(Question, bool)>| -> Result<Labelled, MapError> {
        let prompts: Vec<Prompt> = set.iter().map(|&(q, _)| Prompt::truth(q)).collect();
        let rows: Array2<f64> = lab.read(which, &prompts, hook, position)?;
        let labels = set.iter().map(|&(_, carries)| u8::from(carries)).collect();
        Ok(Labelled { rows, labels })
    };
    let [first, second] = [read(&sets[0])?, read(&sets[1])?];
    let mut sum = 0.0;
    for (train, test) in [(&first, &second), (&second, &first)] {
        let probe = Probe::fit(CARRY_READER, &train.oversampled(rng))?;
        sum += probe.recalls(test).balanced();
    }
    Ok(sum / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn an_onset_is_high_and_stays() {
        assert_eq!(first_onset(&[0.5, 0.95, 0.7, 0.92, 0.86]), Some(3));
        assert_eq!(first_onset(&[0.5, 0.6, 0.91]), Some(2));
        assert_eq!(first_onset(&[0.91, 0.5, 0.89]), None);
    }

    #[test]
    fn carries_are_those_out_of_the_second_highest_column() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for decides in [1, 2] {
            for (even, share) in [(false, 0.25), (true, 0.5)] {
                let set = carry_set(5, decides, even, &mut rng);
                for (question, carries) in &set {
                    let sum = question.first() % 10_000 + question.second() % 10_000;
                    assert_eq!(sum >= 10_000, *carries, "{question}");
                }
                let carrying = set.iter().filter(|(_, carries)| *carries).count();
                let found = carrying as f64 / set.len() as f64;
                assert!((found - share).abs() < 0.07, "{found}");
            }
        }
    }
}
