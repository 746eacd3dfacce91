//! What was measured, as text.

use std::fmt;

use circuitcheck::analysis::accuracy::{
    ACCURACY_ALPHA, AccuracyShare, MeasuredAccuracy, QuestionSource,
};
use serde::Serialize;

use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Wrong answers that text output lists.
const LISTED: usize = 10;

/// What was measured, to be printed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ShownAccuracy<'a>(pub MeasuredAccuracy<'a>);

fn row(share: &AccuracyShare, name: Cell) -> [Cell; 6] {
    let percent = |value: f64| format!("{:.6}", 100.0 * value);
    let accuracy = share
        .accuracy
        .map_or_else(String::new, |accuracy| format!("{} %", percent(accuracy)));
    let interval = match (share.lower, share.upper) {
        (Some(lower), Some(upper)) => format!("[{}, {}]", percent(lower), percent(upper)),
        _ => "all there are".to_owned(),
    };
    let nines = match (share.nines, share.nines_at_least) {
        (Some(nines), None) => nines.to_string(),
        (None, None) => "never wrong".to_owned(),
        (Some(nines), Some(least)) if nines > least => format!("{nines}, at least {least}"),
        (_, Some(least)) => format!("at least {least}"),
    };
    let shade = if share.wrong == 0 {
        style::PLAIN
    } else {
        style::WRONG
    };
    [
        name,
        share.questions.into(),
        Cell::styled(share.wrong, shade),
        accuracy.into(),
        interval.into(),
        nines.into(),
    ]
}

impl fmt::Display for ShownAccuracy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        let questions = found.all.questions;
        let drawn = match found.source {
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
        let read = match found.decode {
            "free" => "free-running",
            _ => "teacher-forced",
        };
        let mut head = Table::new([Side::Left; 3]);
        for (what, said) in [
            ("model", found.identity.model.as_str()),
            ("questions", &drawn),
            ("answers", read),
        ] {
            head.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        let interval = format!("{} % interval", 100.0 * (1.0 - ACCURACY_ALPHA));
        let mut table = Table::new([
            Side::Left,
            Side::Right,
            Side::Right,
            Side::Right,
            Side::Left,
            Side::Left,
        ]);
        table.heading(["", "questions", "wrong", "accuracy", &interval, "nines"]);
        table.row(row(&found.all, Cell::styled("all", style::TITLE)));
        for class in &found.classes {
            table.row(row(&class.share, Cell::styled(class.class, style::TITLE)));
            for grade in &class.complexities {
                let name = format!("  {}", grade.complexity);
                table.row(row(&grade.share, name.into()));
            }
        }
        write!(f, "{head}\n{table}")?;
        if found.ties > 0 {
            writeln!(
                f,
                "\n{} of the wrong answers are numerical ties: another processor may answer rightly",
                found.ties
            )?;
        }
        if found.wrong_answers.is_empty() {
            return Ok(());
        }
        let mut table = Table::new([Side::Left; 4]);
        table.heading(["wrong", "answer", "expected"]);
        for wrong in found.wrong_answers.iter().take(LISTED) {
            table.row([
                wrong.question.into(),
                wrong.answer.into(),
                wrong.true_answer.into(),
            ]);
        }
        write!(f, "\n{table}")?;
        let more = found.wrong_answers.len().saturating_sub(LISTED);
        match (more, found.not_kept) {
            (0, 0) => Ok(()),
            (more, 0) => writeln!(f, "and {more} more, which --json lists"),
            (more, rest) => writeln!(
                f,
                "and {more} more, which --json lists, and {rest} that were only counted (--keep)"
            ),
        }
    }
}
