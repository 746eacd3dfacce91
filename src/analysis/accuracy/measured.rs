//! Measured accuracy, as stated in results.

use serde::{Serialize, Serializer};

use super::{AccuracyTally, QuestionSource, Questions, nines, nines_at_least};
use crate::domain::arithmetic::{Answer, Class, Complexity, Question};
use crate::experiment::stats::Count;
use crate::inputs::model::Identity;
use crate::network::engine::Decode;

/// Error of each interval: each is a 99 % interval by itself.
pub const ACCURACY_ALPHA: f64 = 0.01;

#[derive(Debug, Serialize)]
pub struct MeasuredAccuracy<'a> {
    #[serde(flatten)]
    pub identity: Identity,
    /// How answers are decoded: `forced` or `free`.
    pub decode: &'static str,
    pub source: QuestionSource,
    #[serde(flatten)]
    pub all: AccuracyShare,
    /// Wrong answers that are numerical ties.
    pub ties: u64,
    pub classes: Vec<ClassShare>,
    pub wrong_answers: Vec<StatedWrongAnswer<'a>>,
    /// Wrong answers that were counted but not kept.
    pub not_kept: u64,
}

#[derive(Debug, Serialize)]
pub struct ClassShare {
    pub class: Class,
    #[serde(flatten)]
    pub share: AccuracyShare,
    pub complexities: Vec<ComplexityShare>,
}

#[derive(Debug, Serialize)]
pub struct ComplexityShare {
    pub complexity: Complexity,
    #[serde(flatten)]
    pub share: AccuracyShare,
}

/// A wrong answer with the true one.
#[derive(Debug, Serialize)]
pub struct StatedWrongAnswer<'a> {
    /// Index of the question.
    pub place: u64,
    pub question: &'a Question,
    pub answer: &'a Answer,
    pub true_answer: Answer,
}

/// Share of some questions that were answered correctly.
#[derive(Debug, Clone, Serialize)]
pub struct AccuracyShare {
    pub questions: u64,
    pub right: u64,
    pub wrong: u64,
    /// Share of correct answers; `None` without questions.
    #[serde(serialize_with = "to_twelve_places")]
    pub accuracy: Option<f64>,
    /// Its lower bound; `None` if every question was asked.
    #[serde(serialize_with = "to_twelve_places")]
    pub lower: Option<f64>,
    #[serde(serialize_with = "to_twelve_places")]
    pub upper: Option<f64>,
    /// Nines of the accuracy; `None` if nothing is wrong.
    pub nines: Option<u32>,
    /// Nines of its lower bound.
    pub nines_at_least: Option<u32>,
}

/// Rates of correct answers are rounded to twelve places: more than any number of questions
/// resolves, and the same on every machine.
fn to_twelve_places<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value
        .map(|value| (value * 1e12).round() / 1e12)
        .serialize(serializer)
}

impl AccuracyShare {
    /// The share of correct answers, from a count of wrong ones. `whole` states that the questions
    /// are all there are.
    pub fn of(wrong: Count, whole: bool) -> Self {
        let bounds = (!whole).then(|| wrong.bounds(ACCURACY_ALPHA / 2.0));
        AccuracyShare {
            questions: wrong.trials,
            right: wrong.trials - wrong.hits,
            wrong: wrong.hits,
            accuracy: (wrong.trials > 0).then(|| 1.0 - wrong.share()),
            lower: bounds.map(|bounds| 1.0 - bounds.upper),
            upper: bounds.map(|bounds| 1.0 - bounds.lower),
            nines: nines(wrong),
            nines_at_least: bounds.map(|bounds| nines_at_least(bounds.upper)),
        }
    }
}

impl<'a> MeasuredAccuracy<'a> {
    /// Summarises a tally of these questions.
    pub fn new(
        identity: Identity,
        decode: Decode,
        questions: &Questions,
        tally: &'a AccuracyTally,
    ) -> Self {
        let whole = questions.is_a_whole_space();
        let complexities = |class: Class| {
            let of_class = tally.complexities.iter();
            of_class
                .filter(|(complexity, _)| complexity.class == class)
                .map(|(&complexity, &wrong)| ComplexityShare {
                    complexity,
                    share: AccuracyShare::of(wrong, whole),
                })
                .collect()
        };
        let total = tally.total();
        MeasuredAccuracy {
            identity,
            decode: decode.name(),
            source: questions.source(),
            all: AccuracyShare::of(total, whole),
            ties: tally.ties,
            classes: (tally.classes().into_iter())
                .map(|(class, wrong)| ClassShare {
                    class,
                    share: AccuracyShare::of(wrong, whole),
                    complexities: complexities(class),
                })
                .collect(),
            wrong_answers: (tally.wrong.iter())
                .map(|wrong| StatedWrongAnswer {
                    place: wrong.place,
                    question: &wrong.question,
                    answer: &wrong.answer,
                    true_answer: Answer::of(&wrong.question),
                })
                .collect(),
            not_kept: total.hits - tally.wrong.len() as u64,
        }
    }
}
