//! Trains models by the published recipe: questions, optimiser, insertion, and a run that can be resumed.

mod insertion;
mod memory;
mod optimiser;
mod questions;
mod recipe;
mod run;
mod state;

pub use insertion::{Inserted, Insertion, InsertionError};
pub use memory::keep_freed_memory;
pub use optimiser::{AdamW, grokfast};
pub use questions::{ENRICHED_BATCHES, MIXED_SUBTRACTIONS, random_batch, training_question};
pub use recipe::{Overrides, Recipe, RecipeError};
pub use run::{Losses, STATE_FILE, TrainError, Trained, Training, TrainingProgress, TrainingRun};
pub use state::StateError;
