//! What was measured, as text and as JSON.

use std::fmt;

use circuitcheck::analysis::accuracy::{
    AccuracyTally, QuestionSource, Questions, nines, nines_at_least,
};
use circuitcheck::domain::arithmetic::{Answer, Class, Complexity, Question};
use circuitcheck::experiment::stats::Count;
use circuitcheck::network::engine::Decode;
use serde::{Serialize, Serializer};

use crate::cli::args::model::Identity;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Error of each interval: each is a 99 % interval on its own.
const ALPHA: f64 = 0.01;

/// Wrong answers that text output lists.
const LISTED: usize = 10;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct AccuracyMeasured<'a> {
    #[serde(flatten)]
    identity: Identity,
    decode: &'static str,
    source: QuestionSource,
    #[serde(flatten)]
    all: Share,
    ties: u64,
    classes: Vec<ClassShare>,
    wrong_answers: Vec<ShownWrongAnswer<'a>>,
    not_kept: u64,
}

#[derive(Debug, Serialize)]
struct ClassShare {
    class: Class,
    #[serde(flatten)]
    share: Share,
    complexities: Vec<ComplexityShare>,
}

#[derive(Debug, Serialize)]
struct ComplexityShare {
    complexity: Complexity,
    #[serde(flatten)]
    share: Share,
}

#[derive(Debug, Serialize)]
struct ShownWrongAnswer<'a> {
    place: u64,
    question: &'a Question,
    answer: &'a Answer,
    true_answer: Answer,
}

/// How many of some questions were answered rightly.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    pub questions: u64,
    pub right: u64,
    pub wrong: u64,
    #[serde(serialize_with = "to_twelve_places")]
    pub accuracy: Option<f64>,
    #[serde(serialize_with = "to_twelve_places")]
    lower: Option<f64>,
    #[serde(serialize_with = "to_twelve_places")]
    upper: Option<f64>,
    nines: Option<u32>,
    nines_at_least: Option<u32>,
}

/// Rates of right answers are written to twelve places: more than any count of questions tells, and
/// the same on every machine.
fn to_twelve_places<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value
        .map(|value| (value * 1e12).round() / 1e12)
        .serialize(serializer)
}

impl Share {
    /// The share that a count of wrong answers leaves. `whole` says that the questions are all there
    /// are.
    pub fn of(wrong: Count, whole: bool) -> Self {
        let bounds = (!whole).then(|| wrong.bounds(ALPHA / 2.0));
        Share {
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

    fn row(&self, name: Cell) -> [Cell; 6] {
        let percent = |value: f64| format!("{:.6}", 100.0 * value);
        let accuracy = self
            .accuracy
            .map_or_else(String::new, |accuracy| format!("{} %", percent(accuracy)));
        let interval = match (self.lower, self.upper) {
            (Some(lower), Some(upper)) => format!("[{}, {}]", percent(lower), percent(upper)),
            _ => "all there are".to_owned(),
        };
        let nines = match (self.nines, self.nines_at_least) {
            (Some(nines), None) => nines.to_string(),
            (None, None) => "never wrong".to_owned(),
            (Some(nines), Some(least)) if nines > least => format!("{nines}, at least {least}"),
            (_, Some(least)) => format!("at least {least}"),
        };
        let shade = if self.wrong == 0 {
            style::PLAIN
        } else {
            style::WRONG
        };
        [
            name,
            self.questions.into(),
            Cell::styled(self.wrong, shade),
            accuracy.into(),
            interval.into(),
            nines.into(),
        ]
    }
}

impl<'a> AccuracyMeasured<'a> {
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
                    share: Share::of(wrong, whole),
                })
                .collect()
        };
        let total = tally.total();
        AccuracyMeasured {
            identity,
            decode: decode.name(),
            source: questions.source(),
            all: Share::of(total, whole),
            ties: tally.ties,
            classes: (tally.classes().into_iter())
                .map(|(class, wrong)| ClassShare {
                    class,
                    share: Share::of(wrong, whole),
                    complexities: complexities(class),
                })
                .collect(),
            wrong_answers: (tally.wrong.iter())
                .map(|wrong| ShownWrongAnswer {
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

impl fmt::Display for AccuracyMeasured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let questions = self.all.questions;
        let drawn = match self.source {
            QuestionSource::Uniform { seed } => {
                format!("{questions}, drawn uniformly, seed {seed}")
            }
            QuestionSource::Enriched { seed, .. } => {
                format!("{questions}, drawn as in training, seed {seed}")
            }
            QuestionSource::Every { first, second } => {
                format!("{questions}, all with operands in {first} and {second}")
            }
        };
        let read = match self.decode {
            "free" => "free-running",
            _ => "teacher-forced",
        };
        let mut head = Table::new([Side::Left; 3]);
        for (what, said) in [
            ("model", self.identity.model.as_str()),
            ("questions", &drawn),
            ("answers", read),
        ] {
            head.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        let interval = format!("{} % interval", 100.0 * (1.0 - ALPHA));
        let mut table = Table::new([
            Side::Left,
            Side::Right,
            Side::Right,
            Side::Right,
            Side::Left,
            Side::Left,
        ]);
        table.heading(["", "questions", "wrong", "accuracy", &interval, "nines"]);
        table.row(self.all.row(Cell::styled("all", style::TITLE)));
        for class in &self.classes {
            table.row(class.share.row(Cell::styled(class.class, style::TITLE)));
            for grade in &class.complexities {
                let name = format!("  {}", grade.complexity);
                table.row(grade.share.row(name.into()));
            }
        }
        write!(f, "{head}\n{table}")?;
        if self.ties > 0 {
            writeln!(
                f,
                "\n{} of the wrong answers are numerical ties: another processor may answer rightly",
                self.ties
            )?;
        }
        if self.wrong_answers.is_empty() {
            return Ok(());
        }
        let mut table = Table::new([Side::Left; 4]);
        table.heading(["wrong", "answer", "truly"]);
        for wrong in self.wrong_answers.iter().take(LISTED) {
            table.row([
                wrong.question.into(),
                wrong.answer.into(),
                wrong.true_answer.into(),
            ]);
        }
        write!(f, "\n{table}")?;
        let more = self.wrong_answers.len().saturating_sub(LISTED);
        match (more, self.not_kept) {
            (0, 0) => Ok(()),
            (more, 0) => writeln!(f, "and {more} more, which --json lists"),
            (more, rest) => writeln!(
                f,
                "and {more} more, which --json lists, and {rest} that were only counted (--keep)"
            ),
        }
    }
}
