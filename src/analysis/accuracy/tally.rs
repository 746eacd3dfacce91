//! Counts of answers, in a form that can be merged in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{
    Answer, Class, Complexity, Prompt, Question, TokenSet, complexity,
};
use crate::experiment::TIE_MARGIN;
use crate::experiment::stats::Count;
use crate::network::logits::AnswerLogits;

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub struct WrongAnswer {
    /// Its index in the sequence of questions.
    pub place: u64,
    pub question: Question,
    pub answer: Answer,
}

/// Counts of questions and of wrong answers, and the first wrong answers. Tallies of disjoint parts
/// of a sequence, merged in any order and grouping, give the tally of the whole.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(try_from = "ReadTally")]
pub struct AccuracyTally {
    /// By complexity class: trials are questions, hits the wrong answers among them.
    pub complexities: BTreeMap<Complexity, Count>,
    /// Wrong answers in which every wrong token leads the right one by less than [`TIE_MARGIN`]:
    /// another processor may answer correctly.
    pub ties: u64,
    /// The wrong answers with the lowest indices, sorted; the rest are only counted.
    pub wrong: Vec<WrongAnswer>,
}

/// A tally as it is read, not yet checked.
#[derive(Deserialize)]
struct ReadTally {
    complexities: BTreeMap<Complexity, Count>,
    ties: u64,
    wrong: Vec<WrongAnswer>,
}

impl TryFrom<ReadTally> for AccuracyTally {
    type Error = String;

    fn try_from(read: ReadTally) -> Result<Self, String> {
        let mut total = Count::default();
        for count in read.complexities.values() {
            let sum = |one: u64, other: u64| {
                (one.checked_add(other))
                    .ok_or_else(|| "more questions than a file can count".to_owned())
            };
            total.hits = sum(total.hits, count.hits)?;
            total.trials = sum(total.trials, count.trials)?;
        }
        let (kept, wrong) = (read.wrong.len(), total.hits);
        if kept as u64 > wrong {
            return Err(format!("{kept} wrong answers are listed, {wrong} counted"));
        }
        if read.ties > wrong {
            return Err(format!("{} ties among {wrong} wrong answers", read.ties));
        }
        if !read.wrong.is_sorted_by(|one, next| one.place < next.place) {
            return Err("wrong answers are not listed in order, each once".to_owned());
        }
        Ok(AccuracyTally {
            complexities: read.complexities,
            ties: read.ties,
            wrong: read.wrong,
        })
    }
}

impl AccuracyTally {
    /// Counts one answer, the next in index order; at most `keep` wrong ones are kept.
    pub fn add(&mut self, place: u64, question: &Question, logits: &AnswerLogits, keep: usize) {
        let answer = logits.answer();
        let truth = Answer::of(question);
        let is_wrong = answer != truth;
        let count = self.complexities.entry(complexity(question)).or_default();
        count.add(is_wrong);
        if is_wrong {
            self.ties += u64::from(is_tie(logits, &answer, &truth));
            if self.wrong.len() < keep {
                self.wrong.push(WrongAnswer {
                    place,
                    question: *question,
                    answer,
                });
            }
        }
    }

    /// The tally of answers to consecutive prompts, the first at index `first`.
    pub fn of(first: u64, prompts: &[Prompt], logits: &[AnswerLogits], keep: usize) -> Self {
        let mut tally = AccuracyTally::default();
        for (place, (prompt, logits)) in (first..).zip(prompts.iter().zip(logits)) {
            tally.add(place, &prompt.question, logits, keep);
        }
        tally
    }

    /// Adds the tally of another part of the sequence; at most `keep` wrong answers are kept.
    pub fn merge(&mut self, other: AccuracyTally, keep: usize) {
        for (complexity, other) in other.complexities {
            let count = self.complexities.entry(complexity).or_default();
            count.hits += other.hits;
            count.trials += other.trials;
        }
        self.ties += other.ties;
        self.wrong.extend(other.wrong);
        self.wrong.sort_by_key(|wrong| wrong.place);
        self.wrong.truncate(keep);
    }

    /// All questions, and the wrong answers among them.
    pub fn total(&self) -> Count {
        sum(self.complexities.values())
    }

    /// The same by class, without classes of which nothing was asked.
    pub fn classes(&self) -> BTreeMap<Class, Count> {
        let mut classes: BTreeMap<Class, Vec<&Count>> = BTreeMap::new();
        for (complexity, count) in &self.complexities {
            classes.entry(complexity.class).or_default().push(count);
        }
        let sums = classes.into_iter();
        sums.map(|(class, counts)| (class, sum(counts))).collect()
    }
}

fn sum<'a>(counts: impl IntoIterator<Item = &'a Count>) -> Count {
    counts
        .into_iter()
        .fold(Count::default(), |all, count| Count {
            hits: all.hits + count.hits,
            trials: all.trials + count.trials,
        })
}

/// Whether every wrong token leads the right one by less than [`TIE_MARGIN`].
fn is_tie(logits: &AnswerLogits, answer: &Answer, truth: &Answer) -> bool {
    let wrong: TokenSet = answer.changed_from(truth);
    wrong.iter().all(|place| {
        let row = logits.row(place);
        row[answer.get(place) as usize] - row[truth.get(place) as usize] < TIE_MARGIN
    })
}

/// Number of leading nines in a share of correct answers: 999 of 1000 have three. `None` if nothing
/// is wrong.
pub fn nines(wrong: Count) -> Option<u32> {
    if wrong.hits == 0 {
        return None;
    }
    let (mut hits, mut nines) = (u128::from(wrong.hits) * 10, 0);
    while hits <= u128::from(wrong.trials) {
        hits *= 10;
        nines += 1;
    }
    Some(nines)
}

/// The nines implied by a share of wrong answers of at most `upper`.
pub fn nines_at_least(upper: f64) -> u32 {
    // A share of exactly a power of ten must not lose a nine to rounding.
    const ROUNDING: f64 = 1e-9;
    (-upper.log10() + ROUNDING).max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shape::D_VOCAB;
    use proptest::prelude::*;

    /// Logits of an answer to a question of one digit, each token `height` above the rest.
    fn saying(text: &str, height: f32) -> AnswerLogits {
        let answer: Answer = text.parse().unwrap();
        let mut logits = AnswerLogits::zeros(3);
        for (index, &token) in answer.tokens().iter().enumerate() {
            let mut row = [0.0; D_VOCAB];
            row[token as usize] = height;
            logits.set(index, row);
        }
        logits
    }

    /// Every one-digit addition, with those in `wrong` answered wrongly.
    fn parts(wrong: &[u64], cuts: &[usize], keep: usize) -> Vec<AccuracyTally> {
        let asked: Vec<Prompt> = (0..100)
            .map(|i| Prompt::parse(&format!("{}+{}", i / 10, i % 10), 1).unwrap())
            .collect();
        let logits: Vec<AnswerLogits> = (0..)
            .zip(&asked)
            .map(|(place, prompt)| {
                let answer = if wrong.contains(&place) {
                    "-00".to_owned()
                } else {
                    prompt.forced.to_string()
                };
                saying(&answer, 1.0)
            })
            .collect();
        let ends = cuts.iter().copied().chain([100]);
        let mut start = 0;
        ends.map(|end| {
            let part = start..end.max(start);
            start = part.end;
            AccuracyTally::of(part.start as u64, &asked[part.clone()], &logits[part], keep)
        })
        .collect()
    }

    proptest! {
        #[test]
        fn parts_put_together_in_any_order_make_the_whole(
            wrong in prop::collection::vec(0u64..100, 0..40),
            mut cuts in prop::collection::vec(0usize..100, 0..6),
            keep in 0usize..20,
            turn in 0usize..6,
        ) {
            cuts.sort_unstable();
            let whole = parts(&wrong, &[], keep).remove(0);
            let mut some = parts(&wrong, &cuts, keep);
            let turn = turn % some.len();
            some.rotate_left(turn);
            // Grouped from the right, so that merged tallies are merged too.
            let together = some.into_iter().rev().reduce(|late, mut early| {
                early.merge(late, keep);
                early
            });
            prop_assert_eq!(together.unwrap(), whole);
        }
    }

    #[test]
    fn wrong_answers_past_the_cap_are_counted() {
        let tally = parts(&[3, 5, 50, 70], &[], 2).remove(0);
        assert_eq!(
            tally.total(),
            Count {
                hits: 4,
                trials: 100
            }
        );
        let places: Vec<u64> = tally.wrong.iter().map(|wrong| wrong.place).collect();
        assert_eq!(places, [3, 5]);
        assert_eq!(tally.ties, 0);
    }

    #[test]
    fn a_wrong_answer_by_less_than_the_margin_is_a_tie() {
        let question = Question::parse("2+3", 1).unwrap();
        let mut tally = AccuracyTally::default();
        tally.add(0, &question, &saying("+06", TIE_MARGIN / 2.0), 10);
        assert_eq!((tally.total().hits, tally.ties), (1, 1));
    }

    #[test]
    fn nines_count_the_nines_of_the_share_of_right_answers() {
        for (hits, trials, expected) in [
            (0, 10, None),
            (1, 9, Some(0)),
            (1, 10, Some(1)),
            (1, 999, Some(2)),
            (1, 1000, Some(3)),
            (7, 1_000_000, Some(5)),
            (10, 10, Some(0)),
        ] {
            assert_eq!(nines(Count { hits, trials }), expected, "{hits}/{trials}");
        }
        assert_eq!(nines_at_least(1e-3), 3);
        assert_eq!(nines_at_least(1.1e-3), 2);
        assert_eq!(nines_at_least(1.0), 0);
    }
}
