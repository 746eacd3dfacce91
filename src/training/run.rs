//! A training from its start, or from where it was interrupted, to the files of a model.

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use super::insertion::{Inserted, Insertion};
use super::optimiser::{AdamW, grokfast};
use super::recipe::Recipe;
use super::state::StateError;
use crate::domain::arithmetic::{AnswerToken, Operation, Prompt};
use crate::inputs::model::{Weights, WeightsError, write_pth, write_safetensors};
use crate::network::engine::{Engine, EngineError};
use crate::network::gradient::{Descent, Differentiable, Tensors};
use crate::storage::{OutputError, write_files};

/// The file in a model's folder that an unfinished training resumes from.
pub const STATE_FILE: &str = "training_state.safetensors";

/// The file of losses by operation and by answer token.
const LOSSES_FILE: &str = "losses.json";

/// Batches between two looks at the held-out questions.
const FOLLOWED_EVERY: usize = 250;

/// A training after some of its batches.
#[derive(Debug, Clone)]
pub struct Training {
    pub(super) recipe: Recipe,
    pub(super) weights: Weights,
    pub(super) optimiser: AdamW,
    /// GrokFast's average of the gradients.
    pub(super) average: Option<Tensors>,
    pub(super) insertion: Option<Insertion>,
    pub(super) losses: Losses,
}

/// The loss of each batch, in nats.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Losses {
    /// Of all answer tokens.
    pub total: Vec<f32>,
    /// Of the answers to additions, and to subtractions; NaN for a batch without any.
    pub additions: Vec<f32>,
    pub subtractions: Vec<f32>,
    /// Of each answer token, `[batches, n_answer]`, the sign first.
    pub tokens: Vec<f32>,
}

/// Why a training ends before its time.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The weights are no finite numbers any more.
    #[error("batch {step}: {reason}; a lower learning rate may help")]
    Diverged { step: usize, reason: WeightsError },
    /// The state of an interrupted training cannot be resumed from.
    #[error("{file}: {reason}")]
    State { file: String, reason: StateError },
    /// It cannot be read.
    #[error("{file}: {reason}")]
    Io {
        file: String,
        reason: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Losses {
    fn add(&mut self, batch: &[Prompt], descent: &Descent) {
        let answers = descent.token_losses.len() / batch.len();
        let mean = |losses: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = losses.fold((0.0, 0u32), |(sum, n), loss| (sum + loss, n + 1));
            (sum / f64::from(count)) as f32
        };
        let of = |operation: Operation| {
            let questions = batch.iter().zip(descent.token_losses.chunks_exact(answers));
            let asked = questions.filter(|(prompt, _)| prompt.question.operation() == operation);
            mean(&mut asked.flat_map(|(_, losses)| losses).copied())
        };
        self.total.push(descent.loss() as f32);
        self.additions.push(of(Operation::Add));
        self.subtractions.push(of(Operation::Sub));
        for token in 0..answers {
            let losses = descent.token_losses[token..].iter().step_by(answers);
            self.tokens.push(mean(&mut losses.copied()));
        }
    }

    /// The parts by name.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let parts: [(_, &[f32]); 4] = [
            ("losses", &self.total),
            ("losses of additions", &self.additions),
            ("losses of subtractions", &self.subtractions),
            ("losses of tokens", &self.tokens),
        ];
        parts.into_iter()
    }

    /// Reads the parts by name, each with the number of elements it must have.
    pub(super) fn read<E>(
        n_answer: usize,
        read: impl Fn(&str, Option<usize>) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let total = read("losses", None)?;
        let batches = total.len();
        Ok(Losses {
            total,
            additions: read("losses of additions", Some(batches))?,
            subtractions: read("losses of subtractions", Some(batches))?,
            tokens: read("losses of tokens", Some(batches * n_answer))?,
        })
    }

    /// The losses by operation and by token as JSON. A batch without an operation has null there.
    fn by_part(&self, n_answer: usize) -> String {
        let of_token = |token: usize| -> Vec<f32> {
            self.tokens[token..]
                .iter()
                .step_by(n_answer)
                .copied()
                .collect()
        };
        let tokens = (0..n_answer).map(|token| {
            // The sign of n digits is called A(n+1).
            let place = AnswerToken(n_answer - 1 - token);
            (place.to_string(), json!(of_token(token)))
        });
        let by_token: serde_json::Map<_, _> = tokens.collect();
        let by_part = json!({
            "by_operation": {"add": self.additions, "sub": self.subtractions},
            "by_token": by_token,
        });
        by_part.to_string() + "\n"
    }
}

impl Training {
    /// A training before its first batch: weights as HookedTransformer draws them, with what is inserted.
    pub fn new(recipe: Recipe, insertion: Option<Insertion>) -> Self {
        let drawn = Weights::random(recipe.shape, recipe.name.seed);
        let weights = match &insertion {
            Some(insertion) => insertion.start(drawn),
            None => drawn,
        };
        Self::from_weights(recipe, insertion, weights)
    }

    /// The same from these weights.
    pub fn from_weights(recipe: Recipe, insertion: Option<Insertion>, weights: Weights) -> Self {
        Training {
            optimiser: AdamW::new(&weights),
            average: None,
            losses: Losses::default(),
            recipe,
            weights,
            insertion,
        }
    }

    /// Batches so far.
    pub fn step(&self) -> usize {
        self.losses.total.len()
    }

    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The training after its next batch.
    ///
    /// # Errors
    /// [`TrainError::Diverged`].
    pub fn next(self) -> Result<Self, TrainError> {
        let batch = self.recipe.batch(self.step());
        self.after(&batch)
    }

    /// The training after a batch of these questions.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], and [`TrainError::Engine`] for questions of another size.
    pub fn after(mut self, batch: &[Prompt]) -> Result<Self, TrainError> {
        let step = self.step();
        let mut descent = Differentiable::new(&self.weights).descent(batch)?;
        self.losses.add(batch, &descent);
        if self.recipe.name.grokfast {
            grokfast(&mut self.average, &mut descent.gradient);
        }
        let (rate, decay) = (self.recipe.rate(step), self.recipe.weight_decay);
        let moved = self
            .optimiser
            .step(self.weights, &descent.gradient, rate, decay);
        let moved = moved.map_err(|reason| TrainError::Diverged { step, reason })?;
        self.weights = match &self.insertion {
            Some(insertion) => insertion.reset(moved, step),
            None => moved,
        };
        Ok(self)
    }

    fn inserted(&self) -> Option<&Inserted> {
        self.insertion.as_ref().map(|insertion| &insertion.inserted)
    }

    /// The files of the model as it is now.
    fn files(&self, safetensors: bool) -> Vec<(&'static str, Vec<u8>)> {
        let weights = match safetensors {
            false => ("model.pth", write_pth(&self.weights)),
            true => ("model.safetensors", write_safetensors(&self.weights)),
        };
        let record = self.recipe.record(self.inserted(), &self.losses.total);
        vec![weights, ("training_loss.json", record.into_bytes())]
    }
}

/// A training and its folder.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRun<'a> {
    /// The model's folder.
    pub folder: &'a Path,
    /// Batches between two saved states.
    pub save_every: usize,
    /// Batches between two checkpoints, each a model's folder below `checkpoints`.
    pub checkpoints: Option<usize>,
    /// Whether weights are written as safetensors, not as `.pth`.
    pub safetensors: bool,
    /// Whether to start from the saved state, where there is one.
    pub resume: bool,
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingProgress {
    /// Batches so far, and of the whole training.
    pub step: usize,
    pub steps: usize,
    /// The loss of the last batch.
    pub loss: f32,
    /// The share of held-out questions answered correctly, where it was just measured.
    pub held_out: Option<f64>,
}

/// A finished training.
#[derive(Debug, Clone)]
pub struct Trained {
    pub losses: Losses,
    /// The folders of the checkpoints with their batches, in order.
    pub checkpoints: Vec<(usize, std::path::PathBuf)>,
}

impl TrainingRun<'_> {
    /// Trains to the end, and writes the files of the model. Its state is saved now and then and at the end,
    /// until [`TrainingRun::finish`]: a later call with `resume` gives the same files, byte for byte.
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn train(
        &self,
        training: Training,
        progress: &mut dyn FnMut(TrainingProgress),
    ) -> Result<Trained, TrainError> {
        let fingerprint = training.recipe.fingerprint(training.inserted());
        let mut training = self.resumed(training, &fingerprint)?;
        let (steps, shape) = (training.recipe.steps, training.recipe.shape);
        let held_out = training.recipe.held_out();
        let mut checkpoints = Vec::new();
        while training.step() < steps {
            training = training.next()?;
            let step = training.step();
            let last = step == steps;
            if self
                .checkpoints
                .is_some_and(|every| step.is_multiple_of(every))
                && !last
            {
                write_files(&self.checkpoint(step), &training.files(self.safetensors))?;
            }
            if step.is_multiple_of(self.save_every) || last {
                write_files(self.folder, &[(STATE_FILE, training.state(&fingerprint))])?;
            }
            let followed = step.is_multiple_of(FOLLOWED_EVERY) || last;
            let follow = || right_share(&training.weights, &held_out);
            progress(TrainingProgress {
                step,
                steps,
                loss: training.losses.total[step - 1],
                held_out: followed.then(follow).transpose()?,
            });
        }
        if let Some(every) = self.checkpoints {
            let written = (1..).map(|i| i * every).take_while(|&step| step < steps);
            checkpoints.extend(written.map(|step| (step, self.checkpoint(step))));
        }
        let mut files = training.files(self.safetensors);
        let by_part = training.losses.by_part(shape.n_answer());
        files.push((LOSSES_FILE, by_part.into_bytes()));
        write_files(self.folder, &files)?;
        Ok(Trained {
            losses: training.losses,
            checkpoints,
        })
    }

    /// Removes the saved state of a training that came to its end and of which nothing more is to be made.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn finish(&self) -> Result<(), TrainError> {
        let state = self.folder.join(STATE_FILE);
        std::fs::remove_file(&state).map_err(|reason| io(&state, reason))
    }

    fn checkpoint(&self, step: usize) -> std::path::PathBuf {
        self.folder.join("checkpoints").join(format!("{step:06}"))
    }

    /// The training as it was saved, if it is to be resumed and was saved.
    fn resumed(&self, training: Training, fingerprint: &str) -> Result<Training, TrainError> {
        let file = self.folder.join(STATE_FILE);
        if !self.resume || !file.exists() {
            return Ok(training);
        }
        let refused = |reason| TrainError::State {
            file: file.display().to_string(),
            reason,
        };
        let length = std::fs::metadata(&file)
            .map_err(|reason| io(&file, reason))?
            .len();
        let most = training.most_state_bytes();
        if length > most {
            return Err(refused(StateError::TooLarge { length, most }));
        }
        let bytes = std::fs::read(&file).map_err(|reason| io(&file, reason))?;
        training.restore(fingerprint, &bytes).map_err(refused)
    }
}

fn io(file: &Path, reason: std::io::Error) -> TrainError {
    TrainError::Io {
        file: file.display().to_string(),
        reason,
    }
}

/// The share of prompts that the weights answer correctly at every token.
fn right_share(weights: &Weights, prompts: &[Prompt]) -> Result<f64, EngineError> {
    let logits = Engine::new(weights).logits(prompts)?;
    let right = prompts.iter().zip(logits);
    let right = right
        .filter(|(prompt, logits)| logits.answer() == prompt.forced)
        .count();
    Ok(right as f64 / prompts.len() as f64)
}
