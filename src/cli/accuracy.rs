//! A quick look at how well a model does what it was trained for.

use std::fmt;

use circuitcheck::arithmetic::{Answer, Class};
use circuitcheck::engine::Decode;
use serde::Serialize;

use super::error::{CliError, warn};
use super::model::Model;
use super::question_set;
use super::table::{Side, Table};

/// Questions asked of each class: enough to tell a trained model from others within a second.
const QUESTIONS_PER_CLASS: usize = 1000;

/// The accuracy in each class that was trained.
#[derive(Debug, Serialize)]
pub struct Accuracies {
    seed: u64,
    accuracy: Vec<Accuracy>,
}

#[derive(Debug, Serialize)]
struct Accuracy {
    class: Class,
    questions: usize,
    right: usize,
    accuracy: f64,
}

impl Accuracies {
    /// Asks questions drawn uniformly from each class, teacher-forced.
    ///
    /// # Errors
    /// If the network can't be run.
    pub fn measure(model: &Model, seed: u64) -> Result<Self, CliError> {
        let operations = model.folder.operations();
        let classes = operations.classes();
        if classes.is_empty() {
            warn(format_args!(
                "no question can be asked: the model was trained for {operations} alone"
            ));
        }
        let measure = |class| -> Result<Accuracy, CliError> {
            let prompts = question_set::draw(model, &[class], QUESTIONS_PER_CLASS, seed);
            let logits = model.logits(&prompts, Decode::Forced)?;
            let right = prompts
                .iter()
                .zip(&logits)
                .filter(|(prompt, logits)| logits.answer() == Answer::of(&prompt.question))
                .count();
            Ok(Accuracy {
                class,
                questions: prompts.len(),
                right,
                accuracy: right as f64 / prompts.len() as f64,
            })
        };
        Ok(Self {
            seed,
            accuracy: classes.into_iter().map(measure).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Accuracies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left, Side::Right, Side::Right, Side::Right]);
        table.heading(["class", "questions", "right", "accuracy"]);
        for row in &self.accuracy {
            table.row([
                row.class.into(),
                row.questions.into(),
                row.right.into(),
                format!("{:.2} %", 100.0 * row.accuracy).into(),
            ]);
        }
        table.fmt(f)
    }
}
