//! The progress bar of whatever takes long.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::output::{Loudness, detail, loudness};
use circuitcheck::inputs::hub::FetchProgress;
use circuitcheck::verify::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A run shorter than this shows no progress bar.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// Does what takes long, and shows how far it is until it ends.
pub fn with_progress<T>(work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let mut bar = Bar::new();
    work(&mut |progress| bar.show(progress))
}

/// Steps that are counted, as progress of one phase.
pub fn phase(phase: &'static str, progress: &mut dyn FnMut(Progress)) -> impl FnMut(usize, usize) {
    move |done, of| progress(Progress { phase, done, of })
}

/// A progress bar on stderr, if that is a terminal and the run lasts. It goes when it is dropped.
pub struct Bar {
    bar: ProgressBar,
    started: Instant,
    phase_started: Instant,
}

impl Bar {
    pub fn new() -> Self {
        Self::styled("{msg:10} {wide_bar} {pos}/{len} ETA {eta}")
    }

    /// A bar of bytes that are fetched.
    pub fn of_bytes() -> Self {
        Self::styled("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}")
    }

    fn styled(template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(ProgressStyle::with_template(template).expect("templates are well-formed"));
        Self {
            bar,
            started: Instant::now(),
            phase_started: Instant::now(),
        }
    }

    pub fn show(&mut self, progress: Progress) {
        self.set(progress.phase, progress.done as u64, progress.of as u64);
    }

    pub fn show_file(&mut self, progress: FetchProgress<'_>) {
        self.set(progress.file, progress.done, progress.of);
    }

    fn set(&mut self, message: &str, done: u64, of: u64) {
        if self.bar.is_hidden()
            && self.started.elapsed() > QUIET_FOR
            && std::io::stderr().is_terminal()
            && loudness() > Loudness::Quiet
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if self.bar.message() != message {
            self.tell_phase();
            self.bar.reset();
            self.bar.set_message(message.to_owned());
            self.phase_started = Instant::now();
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
    }
}

impl Bar {
    /// How long the phase took that ends now.
    fn tell_phase(&self) {
        let phase = self.bar.message();
        if !phase.is_empty() {
            let seconds = self.phase_started.elapsed().as_secs_f64();
            detail(format_args!("{phase}: {seconds:.1} s"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.tell_phase();
        self.bar.finish_and_clear();
    }
}
