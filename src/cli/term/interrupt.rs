//! Ctrl-C: what of the work was kept, and how to resume.

use std::sync::{Mutex, PoisonError};

use super::error::warn;
use super::exit_code::ExitCode;

/// What is kept if the command is interrupted now.
static KEPT: Mutex<Option<String>> = Mutex::new(None);

/// Makes Ctrl-C say what was kept before it ends the program.
pub fn listen() {
    // Without a handler Ctrl-C still ends the program, only without a word.
    let _ = ctrlc::set_handler(|| {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_deref().unwrap_or("nothing was written");
        warn(format_args!("interrupted: {kept}"));
        std::process::exit(ExitCode::Interrupted as i32);
    });
}

/// Sets what Ctrl-C says from now on.
pub fn on_interrupt(kept: impl Into<String>) {
    let mut current = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    *current = Some(kept.into());
}
