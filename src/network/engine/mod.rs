//! The engine: runs a batch of questions once, caches what later runs need, and recomputes only
//! what an intervention can change.
//!
//! Work is cut into slices, one per thread at a time. Questions with a common prefix share its
//! rows. Every row is computed exactly as it would be alone (`matrix`), so results do not depend on
//! slices, threads, or the other questions of a run.

pub(super) mod attention;
mod base;
pub(super) mod blocks;
mod edges;
mod hook;
mod intervene;
mod intervention;
pub(super) mod lanes;
mod many;
pub(super) mod matrix;
pub(super) mod norm;
mod pass;
mod path;
mod read;
mod record;
mod rows;
mod sites;
mod slices;
mod stop;

pub use crate::domain::site::Site;
pub use edges::{Contributions, Exchange, Received};
pub use hook::ActivationArray;
pub use intervention::{Intervention, Overwrite, Source};
pub use lanes::instruction_set;
pub use path::{PathPatch, Scale, Target};
pub use read::Activations;
pub use stop::StopSignal;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use thiserror::Error;

use super::logits::AnswerLogits;
use crate::domain::arithmetic::{Prompt, Token};
use crate::domain::shape::{D_VOCAB, Shape};
use crate::domain::site::SiteError;
use crate::inputs::model::Weights;
use base::{Base, Cache};
use blocks::Packed;
use pass::{Item, Pass};
use record::Record;
use rows::Needed;
use slices::Sorted;

/// The intervention of unpatched runs.
static NONE: Intervention<'static> = Intervention::none();

/// Which tokens are read at the answer positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decode {
    /// Teacher-forced: the prompt's answer tokens, whatever is predicted.
    Forced,
    /// Free-running: the tokens the network itself predicted.
    Free,
}

impl Decode {
    pub const ALL: [Self; 2] = [Self::Forced, Self::Free];

    /// The name in text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Free => "free",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        (Self::ALL.into_iter()).find(|decode| decode.name() == name)
    }
}

/// Errors in a run.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// An overwrite whose value does not fit its site.
    #[error("the value for {site} has {found} numbers, the site holds {expected}")]
    Width {
        site: String,
        found: usize,
        expected: usize,
    },
    /// An intervention that was not applied completely: its outcome would read as "no effect".
    #[error("the intervention {intervention} made {fired} of its {expected} overwrites")]
    DidNotFire {
        intervention: String,
        fired: usize,
        expected: usize,
    },
    /// A site that the network does not have.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A question, or its forced answer, of another size than the model's.
    #[error("a question has {found} digits, the model takes {expected}")]
    Digits { found: usize, expected: usize },
    /// The thread that ran it was to stop, by its [`StopSignal`].
    #[error("stopped")]
    Stopped,
}

/// A network ready to run.
#[derive(Debug)]
pub struct Engine {
    packed: Packed,
    /// Questions run with an intervention so far.
    patched: AtomicU64,
    /// Questions run without one so far.
    unpatched: AtomicU64,
}

/// A base run of a batch of questions: their logits and what interventions start from.
#[derive(Debug)]
pub struct Run {
    prompts: Vec<Prompt>,
    caches: Vec<Cache>,
    /// The cache of each prompt, and its index there.
    places: Vec<(usize, usize)>,
    logits: Vec<AnswerLogits>,
}

impl Run {
    /// The prompts, in the order given.
    pub fn prompts(&self) -> &[Prompt] {
        &self.prompts
    }

    /// The logits of each prompt's answer.
    pub fn logits(&self) -> &[AnswerLogits] {
        &self.logits
    }

    fn cache(&self, question: usize) -> (&Cache, usize) {
        let (cache, place) = self.places[question];
        (&self.caches[cache], place)
    }

    fn base(&self, question: usize) -> Base<'_> {
        let (cache, place) = self.cache(question);
        Base::new(cache, place)
    }
}

impl Engine {
    pub fn new(weights: &Weights) -> Self {
        Engine {
            packed: Packed::load(weights),
            patched: AtomicU64::new(0),
            unpatched: AtomicU64::new(0),
        }
    }

    /// Number of questions this engine has run with an intervention: the unit for the cost of a
    /// verification.
    pub fn patched_questions(&self) -> u64 {
        self.patched.load(Ordering::Relaxed)
    }

    /// Number of questions this engine has run unpatched, as base or as source.
    pub fn unpatched_questions(&self) -> u64 {
        self.unpatched.load(Ordering::Relaxed)
    }

    pub fn shape(&self) -> Shape {
        self.packed.shape
    }

    /// Number of questions whose base run fits in about `bytes`.
    pub fn questions_in(&self, bytes: usize) -> usize {
        let shape = self.shape();
        let row = shape.d_model + 3 * self.packed.heads.total();
        // The input of the first layer is tabulated.
        let rows = (shape.n_layers - 1) * (shape.n_ctx() - 1);
        let logits = size_of::<[f32; D_VOCAB]>() * shape.n_answer();
        let question = rows * row * size_of::<f32>() + logits + size_of::<Prompt>();
        (bytes / question).max(1)
    }

    /// Runs prompts unpatched and teacher-forced, caching what interventions need.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's.
    pub fn run(&self, prompts: &[Prompt]) -> Result<Run, EngineError> {
        self.admit(prompts)?;
        let sorted = Sorted::new(prompts, self.shape().n_ctx());
        let slices: Vec<(Cache, Vec<AnswerLogits>)> = sorted
            .slices()
            .map(|tokens| {
                let mut cache = Cache::default();
                let logits = self.slice_logits(tokens, &mut Record::Base(&mut cache));
                cache.tokens = tokens.to_vec();
                (cache, logits)
            })
            .collect();
        let (caches, logits): (Vec<_>, Vec<_>) = slices.into_iter().unzip();
        let places = caches.iter().enumerate().flat_map(|(cache, held)| {
            let questions = held.tokens.len() / self.shape().n_ctx();
            (0..questions).map(move |place| (cache, place))
        });
        let places = sorted.in_order_given(places);
        Ok(Run {
            prompts: prompts.to_vec(),
            caches,
            places,
            logits: sorted.in_order_given(logits.into_iter().flatten()),
        })
    }

    /// The logits of unpatched prompts, teacher-forced.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn logits(&self, prompts: &[Prompt]) -> Result<Vec<AnswerLogits>, EngineError> {
        self.admit(prompts)?;
        let sorted = Sorted::new(prompts, self.shape().n_ctx());
        let slices: Vec<Vec<AnswerLogits>> = sorted
            .slices()
            .map(|tokens| self.slice_logits(tokens, &mut Record::Nothing))
            .collect();
        Ok(sorted.in_order_given(slices.into_iter().flatten()))
    }

    /// The logits of a slice of prompts; common prefixes share rows.
    fn slice_logits(&self, tokens: &[Token], record: &mut Record) -> Vec<AnswerLogits> {
        let shape = self.shape();
        let items = self.untouched(tokens);
        let needed = Needed::for_answers(&self.packed);
        let mut pass = Pass::new(&self.packed, needed, &items, tokens.to_vec());
        pass.share();
        let rows = pass.step(0..shape.n_ctx() - 1, record);
        pass.record_final(&rows, record);
        let first = shape.first_answer_position();
        let mut logits = vec![AnswerLogits::zeros(shape.n_answer()); items.len()];
        for ((item, position), row) in pass.logits(&rows) {
            logits[item].set(position - first, row);
        }
        for (item, &shared) in pass.shared().iter().enumerate() {
            for index in 0..shared.saturating_sub(first).min(shape.n_answer()) {
                let row = logits[item - 1].rows()[index];
                logits[item].set(index, row);
            }
        }
        logits
    }

    /// Unpatched items, one for each `n_ctx` tokens.
    fn untouched(&self, tokens: &[Token]) -> Vec<Item<'static>> {
        let items = tokens.chunks_exact(self.shape().n_ctx());
        items
            .map(|_| Item {
                base: None,
                intervention: &NONE,
            })
            .collect()
    }

    fn check_widths(&self, intervention: &Intervention) -> Result<(), EngineError> {
        for overwrite in intervention.overwrites() {
            let site = overwrite.site;
            let (found, expected) = (overwrite.value.len(), site.width(&self.shape()));
            if found != expected {
                return Err(EngineError::Width {
                    site: site.to_string(),
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Checks that no stop was asked for and that the prompts fit the network.
    fn admissible(&self, prompts: &[Prompt]) -> Result<(), EngineError> {
        StopSignal::check()?;
        check_digits(self.shape().n_digits, prompts)
    }

    /// Checks prompts that are about to be run unpatched, and counts them.
    fn admit(&self, prompts: &[Prompt]) -> Result<(), EngineError> {
        self.admissible(prompts)?;
        (self.unpatched).fetch_add(prompts.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Checks that prompts have the digits that a network takes.
pub(super) fn check_digits(expected: usize, prompts: &[Prompt]) -> Result<(), EngineError> {
    match (prompts.iter())
        .flat_map(|prompt| [prompt.question.n_digits(), prompt.forced.n_digits()])
        .find(|&found| found != expected)
    {
        Some(found) => Err(EngineError::Digits { found, expected }),
        None => Ok(()),
    }
}
