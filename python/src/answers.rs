//! Answers of a model to questions, and what an intervention does to them.

use circuitcheck::analysis::effects::{AblationTally, Effect, GivenAnswer};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::shape::D_VOCAB;
use circuitcheck::network::logits::AnswerLogits;
use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::error::QuestionError;

/// The logits of questions without and, where there was one, with an intervention.
#[pyclass(frozen, module = "circuitcheck._native")]
pub struct Answers {
    pub prompts: Vec<Prompt>,
    pub clean: Vec<AnswerLogits>,
    pub changed: Option<Vec<AnswerLogits>>,
}

#[pymethods]
impl Answers {
    /// Answers as they were when they were pickled.
    #[staticmethod]
    fn restored(
        questions: Vec<String>,
        clean: PyReadonlyArray3<'_, f32>,
        changed: Option<PyReadonlyArray3<'_, f32>>,
    ) -> PyResult<Self> {
        let n_digits = clean.shape()[1].saturating_sub(2);
        let prompts = questions.iter().map(|text| Prompt::parse(text, n_digits));
        let prompts = prompts.collect::<Result<_, _>>();
        Ok(Self {
            prompts: prompts.map_err(|error| QuestionError::new_err(error.to_string()))?,
            clean: logits(&clean),
            changed: changed.map(|changed| logits(&changed)),
        })
    }

    /// Whether there was an intervention.
    fn is_changed(&self) -> bool {
        self.changed.is_some()
    }

    /// The logits with the intervention or, without one, as they are: `[questions, n_answer, 15]`.
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        array(py, self.changed.as_ref().unwrap_or(&self.clean))
    }

    /// The logits without the intervention, `[questions, n_answer, 15]`.
    fn clean_logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        array(py, &self.clean)
    }

    /// The questions; one with another forced answer than the true one is followed by it.
    fn questions(&self) -> Vec<String> {
        let text = |prompt: &Prompt| match *prompt == Prompt::truth(prompt.question) {
            true => prompt.question.to_string(),
            false => prompt.to_string(),
        };
        self.prompts.iter().map(text).collect()
    }

    fn answers(&self) -> Vec<String> {
        texts(self.changed.as_ref().unwrap_or(&self.clean))
    }

    fn clean_answers(&self) -> Vec<String> {
        texts(&self.clean)
    }

    /// What is said of each answer, as JSON: a list of objects with the keys of the command's `--json`.
    fn details(&self) -> String {
        let details = match self.effects() {
            Some(effects) => serde_json::to_string(&effects),
            None => {
                let answers = self.prompts.iter().zip(&self.clean);
                let given = answers.map(|(&prompt, logits)| GivenAnswer::new(prompt, logits));
                serde_json::to_string(&given.collect::<Vec<_>>())
            }
        };
        details.expect("answers have string keys")
    }

    /// Counts of what the intervention makes go wrong, as JSON; `None` without one.
    fn tally(&self) -> Option<String> {
        let tally = AblationTally::of(&self.effects()?);
        Some(serde_json::to_string(&tally).expect("counts have string keys"))
    }
}

impl Answers {
    fn effects(&self) -> Option<Vec<Effect>> {
        let changed = self.changed.as_ref()?;
        Some(Effect::of_all(&self.prompts, &self.clean, changed))
    }
}

/// Logits of an array, `[questions, n_answer, 15]`.
fn logits(array: &PyReadonlyArray3<'_, f32>) -> Vec<AnswerLogits> {
    let n_answer = array.shape()[1];
    let questions = array.as_array();
    let read = questions.outer_iter().map(|rows| {
        let mut logits = AnswerLogits::zeros(n_answer);
        for (index, row) in rows.outer_iter().enumerate() {
            logits.set(index, std::array::from_fn(|token| row[token]));
        }
        logits
    });
    read.collect()
}

fn texts(logits: &[AnswerLogits]) -> Vec<String> {
    let answers = logits.iter().map(|logits| logits.answer().to_string());
    answers.collect()
}

fn array<'py>(py: Python<'py>, logits: &[AnswerLogits]) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let n_answer = logits.first().map_or(0, |logits| logits.rows().len());
    let mut values = Vec::with_capacity(logits.len() * n_answer * D_VOCAB);
    for logits in logits {
        values.extend_from_slice(logits.rows().as_flattened());
    }
    PyArray1::from_vec(py, values).reshape([logits.len(), n_answer, D_VOCAB])
}
