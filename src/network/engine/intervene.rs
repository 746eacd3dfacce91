//! Runs with an intervention, starting from the caches of base runs.

use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::intervention::Intervention;
use super::pass::{Item, Pass};
use super::record::Record;
use super::rows::Needed;
use super::slices::slice_length;
use super::{Decode, Engine, EngineError, Run, StopSignal};
use crate::network::logits::AnswerLogits;

impl Engine {
    /// Applies one intervention each to questions of a base run, `(question, intervention)`, and
    /// returns the resulting logits in the same order.
    ///
    /// # Errors
    /// [`EngineError::Width`] for a value that does not fit its site, [`EngineError::DidNotFire`] for
    /// an overwrite that was not applied, [`EngineError::Stopped`].
    pub fn intervene(
        &self,
        run: &Run,
        jobs: &[(usize, Intervention)],
        decode: Decode,
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        StopSignal::check()?;
        self.patched.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        let slices: Vec<Vec<AnswerLogits>> = jobs
            .par_chunks(slice_length(jobs.len()))
            .map(|slice| self.intervene_slice(run, slice, decode))
            .collect::<Result<_, _>>()?;
        Ok(slices.into_iter().flatten().collect())
    }

    fn intervene_slice(
        &self,
        run: &Run,
        jobs: &[(usize, Intervention)],
        decode: Decode,
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        let shape = self.shape();
        for (_, intervention) in jobs {
            self.check_widths(intervention)?;
        }
        let items: Vec<Item> = jobs
            .iter()
            .map(|(question, intervention)| Item {
                base: Some(run.cache(*question)),
                intervention,
            })
            .collect();
        let mut logits: Vec<AnswerLogits> = jobs
            .iter()
            .map(|(question, _)| run.logits[*question].clone())
            .collect();
        let tokens = jobs.iter().flat_map(|(question, _)| {
            let base = run.base(*question);
            base.tokens(&self.packed)
        });
        let needed = Needed::for_answers(&self.packed);
        let mut pass = Pass::new(&self.packed, needed, &items, tokens.copied().collect());
        let first = shape.first_answer_position();
        // If all tokens are known, run everything at once; otherwise the question up to `=`, then
        // each answer token as it becomes known.
        let known = match decode {
            Decode::Forced => shape.n_ctx() - 1,
            Decode::Free => first + 1,
        };
        let later = (known..shape.n_ctx() - 1).map(|position| position..position + 1);
        for window in std::iter::once(0..known).chain(later) {
            if window.start > 0 {
                let place = shape
                    .predicted_at(window.start - 1)
                    .expect("it stands in the answer");
                for (item, logits) in logits.iter().enumerate() {
                    pass.read(item, window.start, logits.answer().get(place));
                }
            }
            let rows = pass.step(window, &mut Record::Nothing);
            for ((item, position), row) in pass.logits(&rows) {
                if position >= first {
                    logits[item].set(position - first, row);
                }
            }
        }
        for ((_, intervention), &fired) in jobs.iter().zip(&pass.fired) {
            let expected = intervention.overwrites().len();
            if fired != expected {
                return Err(EngineError::DidNotFire {
                    intervention: intervention.to_string(),
                    fired,
                    expected,
                });
            }
        }
        Ok(logits)
    }
}
