//! Progress bars.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::output::{Loudness, detail, loudness};
use circuitcheck::inputs::hub::FetchProgress;
use circuitcheck::training::TrainingProgress;
use circuitcheck::verify::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A run shorter than this shows no progress bar.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// The phases of a command in their order, each with its share of the time.
pub type Shares = &'static [(&'static str, f64)];

/// The phases of a verification, with their shares of the time that the bundled models' claims take.
pub const VERIFICATION: Shares = &[
    ("baseline", 0.03),
    ("trials", 0.76),
    ("controls", 0.18),
    ("verdicts", 0.03),
];

/// As [`with_progress`], with one bar for all phases.
pub fn with_progress_of<T>(shares: Shares, work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let mut bar = Bar::new();
    work(&mut |progress| {
        bar.set_message(progress.phase);
        bar.set(
            (WHOLE * done_of_all(shares, progress)).round() as u64,
            WHOLE as u64,
        );
    })
}

/// Steps of a bar for several phases.
const WHOLE: f64 = 1000.0;

/// The share of the whole command that is done.
fn done_of_all(shares: Shares, progress: Progress) -> f64 {
    let before = shares
        .iter()
        .take_while(|(phase, _)| *phase != progress.phase);
    let before: f64 = before.map(|(_, share)| share).sum();
    let current = shares.iter().find(|(phase, _)| *phase == progress.phase);
    let share = current.map_or(0.0, |(_, share)| *share);
    (before + share * progress.done as f64 / progress.of.max(1) as f64).min(1.0)
}

/// The time left at the rate so far; none in the first twentieth.
fn time_left(elapsed: Duration, done: f64) -> Option<Duration> {
    (done > 0.05).then(|| elapsed.mul_f64((1.0 - done) / done))
}

/// Runs `work` with a progress bar.
pub fn with_progress<T>(work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let mut bar = Bar::new();
    work(&mut |progress| bar.show(progress))
}

/// Steps that are counted, as progress of one phase.
pub fn phase(phase: &'static str, progress: &mut dyn FnMut(Progress)) -> impl FnMut(usize, usize) {
    move |done, of| progress(Progress { phase, done, of })
}

/// A progress bar on stderr, if that is a terminal and the run takes more than a second. It is
/// cleared when dropped.
pub struct Bar {
    bar: ProgressBar,
    started: Instant,
    phase_started: Instant,
}

impl Bar {
    pub fn new() -> Self {
        Self::styled("{msg:10} {wide_bar} {percent:>3} %  {left}")
    }

    /// A bar of downloaded bytes.
    pub fn of_bytes() -> Self {
        Self::styled("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}")
    }

    /// A bar of a training's batches.
    pub fn of_batches() -> Self {
        Self::styled("{msg} {wide_bar} {pos}/{len} {per_sec} ETA {eta}")
    }

    fn styled(template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("templates are well-formed");
        let left = |state: &ProgressState, text: &mut dyn fmt::Write| {
            let done = f64::from(state.fraction());
            // A bar without an estimate is still a bar.
            let _ = match time_left(state.elapsed(), done) {
                Some(left) => write!(text, "about {:#} left", HumanDuration(left)),
                None => Ok(()),
            };
        };
        bar.set_style(style.with_key("left", left));
        Self {
            bar,
            started: Instant::now(),
            phase_started: Instant::now(),
        }
    }

    pub fn show(&mut self, progress: Progress) {
        if self.set_message(progress.phase) {
            self.bar.reset();
        }
        self.set(progress.done as u64, progress.of as u64);
    }

    pub fn show_file(&mut self, progress: FetchProgress<'_>) {
        if self.set_message(progress.file) {
            self.bar.reset();
        }
        self.set(progress.done, progress.of);
    }

    /// Shows a batch, with the loss and what the held-out questions last gave.
    pub fn show_training(&mut self, news: &TrainingProgress) {
        if let Some(right) = news.held_out {
            self.bar.set_prefix(format!("{:.1} % right", 100.0 * right));
        }
        let held_out = self.bar.prefix();
        self.bar
            .set_message(format!("loss {:.1e} {held_out}", news.loss));
        self.set(news.step as u64, news.steps as u64);
    }

    /// Sets the phase; returns whether it is another one.
    fn set_message(&mut self, message: &str) -> bool {
        let is_new = self.bar.message() != message;
        if is_new {
            self.tell_phase();
            self.bar.set_message(message.to_owned());
            self.phase_started = Instant::now();
        }
        is_new
    }

    fn set(&mut self, done: u64, of: u64) {
        if self.bar.is_hidden()
            && self.started.elapsed() > QUIET_FOR
            && std::io::stderr().is_terminal()
            && loudness() > Loudness::Quiet
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
    }
}

impl Bar {
    /// Prints how long the phase that ends now took.
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

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: Shares = &[("draw", 0.25), ("test", 0.75)];

    #[test]
    fn phases_fill_one_bar_by_their_shares_of_the_time() {
        let at = |phase, done, of| done_of_all(PHASES, Progress { phase, done, of });
        assert_eq!(at("draw", 0, 4), 0.0);
        assert_eq!(at("draw", 2, 4), 0.125);
        assert_eq!(at("test", 0, 3), 0.25);
        assert_eq!(at("test", 1, 3), 0.5);
    }

    #[test]
    fn the_time_left_follows_from_the_time_taken() {
        let taken = Duration::from_secs(30);
        assert_eq!(time_left(taken, 0.25), Some(Duration::from_secs(90)));
        assert_eq!(time_left(taken, 0.01), None);
    }
}
