//! Ends long work from another thread: the runs that a thread starts fail once its signal is given.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::EngineError;

thread_local! {
    /// The signal that the runs of this thread heed.
    static HEEDED: RefCell<Option<StopSignal>> = const { RefCell::new(None) };
}

/// A signal to stop, shared between the thread that works and the one that may end it. Once given, it
/// stays given.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Makes every later run of the work under this signal fail with [`EngineError::Stopped`].
    pub fn give(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Does `work` on this thread under the signal. Runs that `work` starts on other threads do not
    /// heed it.
    pub fn heeded<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Puts back what was heeded before, also when `work` panics.
        struct Restore(Option<StopSignal>);
        impl Drop for Restore {
            fn drop(&mut self) {
                HEEDED.set(self.0.take());
            }
        }
        let _restore = Restore(HEEDED.replace(Some(self.clone())));
        work()
    }

    /// Fails where this thread is to stop.
    pub(super) fn check() -> Result<(), EngineError> {
        let given = HEEDED.with_borrow(|signal| {
            let signal = signal.as_ref();
            signal.is_some_and(|StopSignal(given)| given.load(Ordering::Relaxed))
        });
        match given {
            true => Err(EngineError::Stopped),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arithmetic::Prompt;
    use crate::inputs::model::ModelFolder;
    use crate::network::engine::{Decode, Engine, Intervention};

    #[test]
    fn work_under_a_signal_runs_until_it_is_given_and_then_fails() {
        let engine = Engine::new(&ModelFolder::bundled().weights);
        let prompts = [Prompt::parse("12345+67890", 5).unwrap()];
        let run = engine.run(&prompts).unwrap();
        let jobs = [(0, Intervention::default())];
        let runs = || {
            [
                engine.logits(&prompts).err(),
                engine.run(&prompts).err(),
                engine.activations(&prompts, []).err(),
                engine.mean_attention(&prompts).err(),
                engine.intervene(&run, &jobs, Decode::Forced).err(),
            ]
        };
        let signal = StopSignal::default();
        assert_eq!(signal.heeded(runs), [const { None }; 5]);
        signal.give();
        assert_eq!(
            signal.heeded(runs),
            [const { Some(EngineError::Stopped) }; 5]
        );
        assert_eq!(runs(), [const { None }; 5]);
    }
}
