//! Baseline: how well the unpatched network does the arithmetic. Everything else depends on passing
//! it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rng::stream;
use super::stats::{Count, Errors, Rate};
use crate::domain::arithmetic::{Class, Prompt, Question};
use crate::domain::causal::Space;
use crate::inputs::model::Operations;
use crate::network::engine::{Engine, EngineError};

/// Accuracy that a class must reach, at the lower bound of its interval, for its claims to be
/// testable.
pub const GATE: f64 = 0.99;

/// Questions drawn of each class: enough for the lower bound to pass the gate with a few wrong
/// answers.
pub const BASELINE_QUESTIONS: usize = 2048;

/// Accuracy on one class.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct ClassAccuracy {
    /// The class.
    pub class: Class,
    /// Questions answered correctly at every token, teacher-forced.
    pub accuracy: Rate,
    /// Whether claims about this class can be tested.
    pub passes: bool,
    /// Questions the unpatched network answers wrongly.
    pub wrong: Vec<Question>,
}

/// The unpatched network's accuracy on random questions.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
pub struct Baseline {
    /// One entry for each class the model was trained for.
    pub classes: Vec<ClassAccuracy>,
    /// Correctly answered questions by class, in drawing order.
    #[serde(skip)]
    pub right: BTreeMap<Class, Vec<Question>>,
}

impl Baseline {
    /// Measures the accuracy of each trained class on questions drawn uniformly from it; `alpha` is
    /// split among the classes.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions drawn for this model.
    pub fn measure(
        engine: &Engine,
        operations: Operations,
        alpha: f64,
        seed: u64,
    ) -> Result<Self, EngineError> {
        let n_digits = engine.shape().n_digits;
        let trained = operations.classes();
        let alpha = alpha / trained.len().max(1) as f64;
        let mut classes = Vec::new();
        let mut right = BTreeMap::new();
        for class in trained {
            let space = Space::of_class(class, n_digits);
            let exhaustive = space.len() <= BASELINE_QUESTIONS as f64;
            let questions: Vec<Question> = if exhaustive {
                space.enumerate()
            } else {
                let mut rng = stream(seed, &format!("baseline/{class}"));
                let sampler = space.sampler();
                let mut seen = std::collections::HashSet::new();
                std::iter::repeat_with(|| sampler.draw(&mut rng))
                    .filter(|question| seen.insert(*question))
                    .take(BASELINE_QUESTIONS)
                    .collect()
            };
            let prompts: Vec<Prompt> = questions.iter().map(|&q| Prompt::truth(q)).collect();
            let mut count = Count::default();
            let (mut wrong, mut answered) = (Vec::new(), Vec::new());
            for (prompt, logits) in prompts.iter().zip(engine.logits(&prompts)?) {
                let is_right = logits.answer() == prompt.forced;
                count.add(is_right);
                let list = if is_right { &mut answered } else { &mut wrong };
                list.push(prompt.question);
            }
            let accuracy = Rate::new(count, exhaustive, Errors::even(alpha));
            classes.push(ClassAccuracy {
                class,
                accuracy,
                passes: accuracy.lower >= GATE,
                wrong,
            });
            right.insert(class, answered);
        }
        Ok(Baseline { classes, right })
    }

    /// The classes whose claims can be tested.
    pub fn passing(&self) -> impl Iterator<Item = Class> {
        let passing = self.classes.iter().filter(|class| class.passes);
        passing.map(|class| class.class)
    }

    /// The accuracy of a class, if the model was trained for it.
    pub fn of(&self, class: Class) -> Option<&ClassAccuracy> {
        self.classes.iter().find(|c| c.class == class)
    }
}
