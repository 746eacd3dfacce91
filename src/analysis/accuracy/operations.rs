//! Finds which operations a network was trained for, by asking it.

use std::fmt;

use crate::domain::arithmetic::{Operation, Prompt};
use crate::domain::causal::Space;
use crate::experiment::stats::Count;
use crate::experiment::stream;
use crate::inputs::model::Operations;
use crate::network::engine::{Engine, EngineError};

/// Random questions asked of each operation.
pub const QUESTIONS_PER_OPERATION: usize = 256;

/// Share of correct answers from which a network counts as trained for an operation. Trained ones
/// answer nearly all questions correctly and untrained ones nearly none, so the exact value matters
/// little.
pub const TRAINED_ACCURACY: f64 = 0.5;

/// The seed of the questions: the same network always gives the same result.
const SEED: u64 = 0;

/// How many random questions of each operation a network answers correctly, teacher-forced.
/// Multiplications are not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationAccuracy {
    pub addition: Count,
    pub subtraction: Count,
}

impl OperationAccuracy {
    /// Asks [`QUESTIONS_PER_OPERATION`] questions of each operation.
    ///
    /// # Errors
    /// [`EngineError`], which questions drawn for this network do not cause.
    pub fn measure(engine: &Engine) -> Result<Self, EngineError> {
        Ok(Self {
            addition: correct(engine, Operation::Add)?,
            subtraction: correct(engine, Operation::Sub)?,
        })
    }

    /// The operations answered correctly at least as often as [`TRAINED_ACCURACY`]; `None` where no
    /// operation is.
    pub fn operations(&self) -> Option<Operations> {
        let trained = |count: Count| count.share() >= TRAINED_ACCURACY;
        Operations::trained(trained(self.addition), trained(self.subtraction), false)
    }
}

impl fmt::Display for OperationAccuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { hits, trials } = self.addition;
        write!(f, "{hits} of {trials} additions and ")?;
        let Count { hits, trials } = self.subtraction;
        write!(f, "{hits} of {trials} subtractions answered correctly")
    }
}

fn correct(engine: &Engine, operation: Operation) -> Result<Count, EngineError> {
    let sampler = Space::of_operation(operation, engine.shape().n_digits).sampler();
    let mut rng = stream(SEED, &format!("operations/{operation}"));
    let prompts: Vec<Prompt> = std::iter::repeat_with(|| Prompt::truth(sampler.draw(&mut rng)))
        .take(QUESTIONS_PER_OPERATION)
        .collect();
    let mut count = Count::default();
    for (prompt, logits) in prompts.iter().zip(engine.logits(&prompts)?) {
        count.add(logits.answer() == prompt.forced);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inputs::model::{ModelFolder, Weights};

    #[test]
    fn a_trained_network_answers_its_own_operations_and_no_others() {
        for name in [
            "w126_add_d5_l2_h3_t15K_s372001",
            "w126_sub_d5_l2_h3_t30K_s372001",
            "w126_mix_d5_l3_h4_t40K_s372001",
        ] {
            let folder = ModelFolder::open(&Path::new("models").join(name)).unwrap();
            let asked = OperationAccuracy::measure(&Engine::new(&folder.weights)).unwrap();
            assert_eq!(
                asked.operations(),
                Some(folder.operations()),
                "{name}: {asked}"
            );
        }
    }

    #[test]
    fn an_untrained_network_has_no_operations() {
        let shape = ModelFolder::bundled().weights.shape();
        let asked = OperationAccuracy::measure(&Engine::new(&Weights::random(shape, 0))).unwrap();
        assert_eq!(asked.operations(), None);
        assert_eq!(
            asked.to_string(),
            "0 of 256 additions and 0 of 256 subtractions answered correctly"
        );
    }
}
