//! How often a model answers correctly: a sequence of questions, random or exhaustive, asked block
//! by block.
//!
//! A block is identified by its number alone, and its [`AccuracyTally`] does not depend on threads,
//! machines or batches. Tallies merge in any order, so a measurement can be split into parts, or
//! resumed after an interruption.

mod measured;
mod operations;
mod questions;
mod save_file;
mod saved;
mod tally;

pub use measured::{
    ACCURACY_ALPHA, AccuracyShare, ClassShare, ComplexityShare, MeasuredAccuracy, StatedWrongAnswer,
};
pub use operations::{OperationAccuracy, QUESTIONS_PER_OPERATION, TRAINED_ACCURACY};
pub use questions::{
    BLOCK, MAX_QUESTIONS, NotOperands, Operands, QuestionSource, Questions, QuestionsError,
};
pub use save_file::{AccuracyNews, SaveFile};
pub use saved::{Saved, SavedError, Work};
pub use tally::{AccuracyTally, WrongAnswer, nines, nines_at_least};

use std::ops::Range;

use rayon::prelude::*;

use crate::domain::arithmetic::{Answer, Prompt};
use crate::network::engine::{Decode, Engine, EngineError, Intervention};
use crate::network::logits::AnswerLogits;

/// A model and a sequence of questions to ask it.
#[derive(Debug, Clone, Copy)]
pub struct Measurement<'a> {
    pub engine: &'a Engine,
    pub questions: &'a Questions,
    pub decode: Decode,
    /// Most wrong answers that are kept; the rest are only counted.
    pub keep: usize,
}

impl Measurement<'_> {
    /// Asks the questions of some blocks.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions of this model.
    pub fn blocks(&self, blocks: Range<u64>) -> Result<AccuracyTally, EngineError> {
        blocks
            .into_par_iter()
            .map(|block| self.block(block))
            .try_reduce(AccuracyTally::default, |mut first, second| {
                first.merge(second, self.keep);
                Ok(first)
            })
    }

    fn block(&self, block: u64) -> Result<AccuracyTally, EngineError> {
        let asked = self.questions.block(block);
        let prompts: Vec<Prompt> = asked.into_iter().map(Prompt::truth).collect();
        let logits = answers(self.engine, &prompts, self.decode)?;
        let first = self.questions.places(block).start;
        Ok(AccuracyTally::of(first, &prompts, &logits, self.keep))
    }
}

/// The logits of unpatched prompts.
///
/// A model that is right at every token when reading the true answer is also right when reading its
/// own tokens, and vice versa. Free-running decoding therefore finds the same questions wrong, and
/// only those are decoded again to get the free-running answer.
fn answers(
    engine: &Engine,
    prompts: &[Prompt],
    decode: Decode,
) -> Result<Vec<AnswerLogits>, EngineError> {
    let mut logits = engine.logits(prompts)?;
    if decode == Decode::Free {
        let wrong: Vec<usize> = (0..prompts.len())
            .filter(|&i| logits[i].answer() != Answer::of(&prompts[i].question))
            .collect();
        let again: Vec<Prompt> = wrong.iter().map(|&i| prompts[i]).collect();
        let run = engine.run(&again)?;
        let jobs: Vec<(usize, Intervention)> = (0..again.len())
            .map(|question| (question, Intervention::none()))
            .collect();
        for (i, free) in wrong.iter().zip(engine.intervene(&run, &jobs, decode)?) {
            logits[*i] = free;
        }
    }
    Ok(logits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inputs::model::{ModelFolder, Weights};

    fn subtraction() -> (ModelFolder, Engine) {
        let folder = ModelFolder::open(Path::new("models/w126_sub_d5_l2_h3_t30K_s372001")).unwrap();
        let engine = Engine::new(&folder.weights);
        (folder, engine)
    }

    /// A range of questions in which this model often errs.
    fn corner(folder: &ModelFolder) -> Questions {
        let first = "0..2".parse().unwrap();
        Questions::every(folder, first, "9500..10500".parse().unwrap()).unwrap()
    }

    #[test]
    fn blocks_asked_apart_and_together_give_the_same_tally() {
        let (folder, engine) = subtraction();
        let questions = corner(&folder);
        assert_eq!(questions.blocks(), 4);
        let keep = 1;
        let measurement = Measurement {
            engine: &engine,
            questions: &questions,
            decode: Decode::Forced,
            keep,
        };
        let whole = measurement.blocks(0..4).unwrap();
        assert_eq!(whole.total().trials, 3 * 1001);
        assert!(whole.total().hits > keep as u64, "{:?}", whole.total());
        let mut parts = measurement.blocks(3..4).unwrap();
        parts.merge(measurement.blocks(0..1).unwrap(), keep);
        parts.merge(measurement.blocks(1..3).unwrap(), keep);
        assert_eq!(parts, whole);
    }

    /// Free-running answers, each fully decoded.
    fn decoded(engine: &Engine, prompts: &[Prompt]) -> Vec<Answer> {
        let run = engine.run(prompts).unwrap();
        let jobs: Vec<_> = (0..prompts.len())
            .map(|question| (question, Intervention::none()))
            .collect();
        said(&engine.intervene(&run, &jobs, Decode::Free).unwrap())
    }

    fn said(logits: &[AnswerLogits]) -> Vec<Answer> {
        logits.iter().map(AnswerLogits::answer).collect()
    }

    #[test]
    fn decoding_only_the_wrong_answers_again_is_decoding_all_of_them() {
        let (folder, engine) = subtraction();
        let asked = corner(&folder).block(1).into_iter();
        let prompts: Vec<Prompt> = asked.map(Prompt::truth).collect();
        let some = said(&answers(&engine, &prompts, Decode::Free).unwrap());
        assert!(some == decoded(&engine, &prompts));
        assert!(some.iter().zip(&prompts).any(|(a, p)| *a != p.forced));
        // An untrained network is always wrong, and wrong differently when it reads its own answer.
        let engine = Engine::new(&Weights::random(engine.shape(), 0));
        let prompts = &prompts[..100];
        let some = said(&answers(&engine, prompts, Decode::Free).unwrap());
        assert!(some == decoded(&engine, prompts));
        assert!(some != said(&engine.logits(prompts).unwrap()));
    }
}
