//! Any number of prompts, run in batches that fit memory.

use super::{Decode, Engine, EngineError, Intervention, Site, Source};
use crate::domain::arithmetic::Prompt;
use crate::network::logits::AnswerLogits;

/// Memory that the base runs of one batch may take.
const BATCH_BYTES: usize = 64 << 20;

impl Engine {
    /// The logits of unpatched prompts.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn answers(
        &self,
        prompts: &[Prompt],
        decode: Decode,
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        match decode {
            Decode::Forced => self.logits(prompts),
            Decode::Free => {
                let nothing = |_: &Prompt| Intervention::default();
                let (clean, _) = self.answers_under(prompts, decode, nothing)?;
                Ok(clean)
            }
        }
    }

    /// The logits of prompts without and with an intervention, which `of` makes for each.
    ///
    /// # Errors
    /// As [`Engine::run`] and [`Engine::intervene`].
    pub fn answers_under<'a>(
        &self,
        prompts: &[Prompt],
        decode: Decode,
        mut of: impl FnMut(&Prompt) -> Intervention<'a>,
    ) -> Result<(Vec<AnswerLogits>, Vec<AnswerLogits>), EngineError> {
        let (mut clean, mut changed) = (Vec::new(), Vec::new());
        for batch in prompts.chunks(self.questions_in(BATCH_BYTES)) {
            let jobs: Vec<_> = batch.iter().map(&mut of).enumerate().collect();
            self.run_batch(batch, &jobs, decode, &mut clean, &mut changed)?;
        }
        Ok((clean, changed))
    }

    /// The logits of base prompts without and with their activations at `sites` patched from source
    /// prompts, for each pair of a source and a base.
    ///
    /// # Errors
    /// As [`Engine::run`] and [`Engine::intervene`].
    pub fn answers_patched(
        &self,
        pairs: &[(Prompt, Prompt)],
        sites: &[Site],
        decode: Decode,
    ) -> Result<(Vec<AnswerLogits>, Vec<AnswerLogits>), EngineError> {
        let (mut clean, mut changed) = (Vec::new(), Vec::new());
        for batch in pairs.chunks(self.questions_in(BATCH_BYTES)) {
            let (sources, bases): (Vec<Prompt>, Vec<Prompt>) = batch.iter().copied().unzip();
            let stored = self.activations(&sources, sites.iter().copied())?;
            let patch = |pair| {
                let sites = sites.iter();
                Intervention::new(sites.map(|&site| stored.overwrite(pair, site, Source::Stored)))
            };
            let jobs: Vec<_> = (0..batch.len()).map(|pair| (pair, patch(pair))).collect();
            self.run_batch(&bases, &jobs, decode, &mut clean, &mut changed)?;
        }
        Ok((clean, changed))
    }

    /// Runs prompts without and with an intervention each, and adds the logits.
    fn run_batch(
        &self,
        prompts: &[Prompt],
        jobs: &[(usize, Intervention)],
        decode: Decode,
        clean: &mut Vec<AnswerLogits>,
        changed: &mut Vec<AnswerLogits>,
    ) -> Result<(), EngineError> {
        let run = self.run(prompts)?;
        changed.extend(self.intervene(&run, jobs, decode)?);
        match decode {
            Decode::Forced => clean.extend_from_slice(run.logits()),
            Decode::Free => {
                let nothing = |question| (question, Intervention::default());
                let jobs: Vec<_> = (0..prompts.len()).map(nothing).collect();
                clean.extend(self.intervene(&run, &jobs, decode)?);
            }
        }
        Ok(())
    }
}
