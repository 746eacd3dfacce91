//! Long work: on a thread of its own with the GIL released, while this thread heeds Ctrl-C and tells
//! progress.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use circuitcheck::network::engine::StopSignal;
use circuitcheck::verify::Progress;
use pyo3::prelude::*;

use crate::error::IntoException;

/// How often signals are looked for and progress is told.
const BEAT: Duration = Duration::from_millis(50);

/// Stack of the working thread: as large as the main thread's.
const STACK_BYTES: usize = 8 << 20;

/// A step of work: what is done, how much of it, and of how much.
pub struct Step {
    pub what: String,
    pub done: u64,
    pub of: u64,
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        Self {
            what: progress.phase.to_owned(),
            done: progress.done as u64,
            of: progress.of as u64,
        }
    }
}

/// What long work calls after each step.
pub type Tell<'a> = &'a mut dyn FnMut(Step);

/// Does long work and returns its result. `progress` is called as `progress(what, done, of)`. Ctrl-C, and
/// what `progress` raises, stops the work at its next run of the network and is raised.
pub fn long<T, E>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(Tell) -> Result<T, E> + Send,
) -> PyResult<T>
where
    T: Send,
    E: IntoException + Send,
{
    let progress = progress.map(|progress| progress.clone().unbind());
    let (sender, steps) = mpsc::channel();
    let signal = StopSignal::default();
    let heeded = signal.clone();
    let work = move || {
        heeded.heeded(|| {
            work(&mut |step| {
                // Nobody listens any more once the work is to stop.
                let _ = sender.send(step);
            })
        })
    };
    let (done, raised) = py.detach(move || {
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
            let worker = worker.spawn_scoped(scope, work).expect("a thread");
            let raised = attend(&steps, progress.as_ref());
            if raised.is_some() {
                signal.give();
            }
            (worker.join(), raised)
        })
    });
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    match raised {
        Some(error) => Err(error),
        None => done.map_err(IntoException::into_exception),
    }
}

/// Tells steps and heeds signals until the work ends or something is raised, which is returned. Of the
/// steps in one beat the last of each kind is told.
fn attend(steps: &mpsc::Receiver<Step>, progress: Option<&Py<PyAny>>) -> Option<PyErr> {
    loop {
        let beat = Instant::now() + BEAT;
        let mut told: Vec<Step> = Vec::new();
        let ended = loop {
            match steps.recv_timeout(beat.saturating_duration_since(Instant::now())) {
                Ok(step) => match told.last_mut() {
                    Some(last) if last.what == step.what => *last = step,
                    _ => told.push(step),
                },
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
            }
        };
        let beat = Python::attach(|py| {
            if let Some(progress) = progress {
                for Step { what, done, of } in told {
                    progress.call1(py, (what, done, of))?;
                }
            }
            py.check_signals()
        });
        match beat {
            Err(error) => return Some(error),
            Ok(()) if ended => return None,
            Ok(()) => {}
        }
    }
}
