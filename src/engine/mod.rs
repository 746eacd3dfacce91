//! The engine: runs a batch of questions once, keeps what later runs need, and recomputes only what
//! an intervention can change.
//!
//! Work is cut into slices of a fixed size, each done by one thread with single-threaded products,
//! so results do not depend on how many threads there are.

mod blocks;
mod intervention;
mod matrix;
mod pass;
mod path;

pub use intervention::{Intervention, Overwrite, Site, Source};
pub use path::{PathPatch, Scale, Target};

use rayon::prelude::*;
use thiserror::Error;

use crate::arithmetic::{AnswerToken, Prompt, Token};
use crate::logits::AnswerLogits;
use crate::model::Weights;
use crate::shape::Shape;
use blocks::Packed;
use pass::{Cache, Item, Needed, Pass, Record};

/// Questions in one slice of a base or store run: enough rows for the products to run at speed,
/// few enough for a slice's activations to stay in cache.
const QUESTIONS_PER_SLICE: usize = 32;

/// Interventions in one slice; each has fewer rows than a question.
const JOBS_PER_SLICE: usize = 64;

/// A slice without interventions.
static NONE: [Intervention<'static>; QUESTIONS_PER_SLICE] =
    [const { Intervention::none() }; QUESTIONS_PER_SLICE];

/// How the answer positions are fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decode {
    /// Teacher-forced: the prompt's answer tokens, whatever is predicted.
    Forced,
    /// Free-running: the tokens the network itself predicted.
    Free,
}

/// What can go wrong in a run.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// An overwrite whose value does not fit its site.
    #[error("the value for {site} has {found} numbers, the site holds {expected}")]
    Width {
        site: String,
        found: usize,
        expected: usize,
    },
    /// An intervention that was not applied in full: its outcome would read as "no effect".
    #[error("the intervention {intervention} made {fired} of its {expected} overwrites")]
    DidNotFire {
        intervention: String,
        fired: usize,
        expected: usize,
    },
    /// A question, or the answer forced after it, of another size than the model's.
    #[error("a question has {found} digits, the model takes {expected}")]
    Digits { found: usize, expected: usize },
}

/// A network ready to run.
#[derive(Debug)]
pub struct Engine {
    packed: Packed,
}

/// A base run of a batch of questions: their logits and what interventions start from.
#[derive(Debug)]
pub struct Run {
    prompts: Vec<Prompt>,
    caches: Vec<Cache>,
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
        (
            &self.caches[question / QUESTIONS_PER_SLICE],
            question % QUESTIONS_PER_SLICE,
        )
    }
}

/// Activations of a batch of prompts at some sites.
#[derive(Debug, Clone)]
pub struct Activations {
    sites: Vec<Site>,
    widths: Vec<usize>,
    /// `values[site]` is `[prompts, width]`.
    values: Vec<Vec<f32>>,
}

impl Activations {
    /// The activation of one prompt at a site, `[width]`.
    ///
    /// # Panics
    /// If the site was not asked for.
    pub fn get(&self, prompt: usize, site: Site) -> &[f32] {
        let i = self
            .sites
            .binary_search(&site)
            .expect("only sites that were asked for are read");
        &self.values[i][prompt * self.widths[i]..][..self.widths[i]]
    }

    /// The overwrite that puts the activation of `prompt` at `site`.
    pub fn overwrite(&self, prompt: usize, site: impl Into<Site>, source: Source) -> Overwrite<'_> {
        let site = site.into();
        Overwrite {
            site,
            source,
            value: self.get(prompt, site),
        }
    }
}

impl Engine {
    /// Packs a network's weights.
    pub fn new(weights: &Weights) -> Self {
        Engine {
            packed: Packed::load(weights),
        }
    }

    /// The network's dimensions.
    pub fn shape(&self) -> Shape {
        self.packed.shape
    }

    /// Questions a base run can hold in about `bytes`.
    pub fn questions_in(&self, bytes: usize) -> usize {
        let shape = self.shape();
        let row = shape.d_model + 3 * shape.d_heads();
        let question = shape.n_layers * (shape.n_ctx() - 1) * row * size_of::<f32>();
        (bytes / question).max(1)
    }

    /// Runs prompts as they are, teacher-forced, keeping what interventions need.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's.
    pub fn run(&self, prompts: &[Prompt]) -> Result<Run, EngineError> {
        self.check_digits(prompts)?;
        let slices: Vec<(Cache, Vec<AnswerLogits>)> = prompts
            .par_chunks(QUESTIONS_PER_SLICE)
            .map(|slice| {
                let mut cache = Cache::default();
                let logits = self.run_whole(
                    slice,
                    &NONE,
                    Needed::for_answers(&self.packed),
                    &mut Record::Base(&mut cache),
                );
                cache.tokens = slice.iter().flat_map(Prompt::tokens).collect();
                (cache, logits)
            })
            .collect();
        let (caches, logits): (Vec<_>, Vec<_>) = slices.into_iter().unzip();
        Ok(Run {
            prompts: prompts.to_vec(),
            caches,
            logits: logits.into_iter().flatten().collect(),
        })
    }

    /// The logits of prompts run as they are, teacher-forced.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn logits(&self, prompts: &[Prompt]) -> Result<Vec<AnswerLogits>, EngineError> {
        self.check_digits(prompts)?;
        let slices: Vec<Vec<AnswerLogits>> = prompts
            .par_chunks(QUESTIONS_PER_SLICE)
            .map(|slice| {
                let needed = Needed::for_answers(&self.packed);
                self.run_whole(slice, &NONE, needed, &mut Record::Nothing)
            })
            .collect();
        Ok(slices.into_iter().flatten().collect())
    }

    /// The activations of prompts at `sites`, computing no more than they hang on.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn activations(
        &self,
        prompts: &[Prompt],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Activations, EngineError> {
        self.check_digits(prompts)?;
        self.collect_activations(sites, |sites| {
            prompts
                .par_chunks(QUESTIONS_PER_SLICE)
                .map(|slice| self.slice_activations(slice, &NONE, sites))
                .collect()
        })
    }

    /// Puts what `read` gives for each slice, `[slice][site][prompts, width]`, together.
    fn collect_activations(
        &self,
        sites: impl IntoIterator<Item = Site>,
        read: impl FnOnce(&[Site]) -> Vec<Vec<Vec<f32>>>,
    ) -> Result<Activations, EngineError> {
        let mut sites: Vec<Site> = sites.into_iter().collect();
        sites.sort();
        sites.dedup();
        let widths: Vec<usize> = sites.iter().map(|s| s.width(&self.shape())).collect();
        let slices = read(&sites);
        let mut values = vec![Vec::new(); sites.len()];
        for slice in slices {
            for (all, part) in values.iter_mut().zip(slice) {
                all.extend(part);
            }
        }
        Ok(Activations {
            sites,
            widths,
            values,
        })
    }

    /// The activations at `sites` of prompts that are each run with an intervention, teacher-forced.
    /// What is overwritten is read as overwritten.
    ///
    /// # Errors
    /// As [`Engine::run`]; [`EngineError::Width`] for a value that does not fit its site, and
    /// [`EngineError::DidNotFire`] for a site that this network does not have.
    ///
    /// # Panics
    /// Unless there is one intervention for each prompt.
    pub fn activations_under(
        &self,
        prompts: &[Prompt],
        interventions: &[Intervention],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Activations, EngineError> {
        assert_eq!(prompts.len(), interventions.len());
        self.check_digits(prompts)?;
        for intervention in interventions {
            self.check_widths(intervention)?;
            let mut sites = intervention.overwrites().iter().map(|o| o.site);
            if !sites.all(|site| site.is_in(&self.shape())) {
                return Err(EngineError::DidNotFire {
                    intervention: intervention.to_string(),
                    fired: 0,
                    expected: intervention.overwrites().len(),
                });
            }
        }
        let slices = prompts
            .par_chunks(QUESTIONS_PER_SLICE)
            .zip(interventions.par_chunks(QUESTIONS_PER_SLICE));
        self.collect_activations(sites, |sites| {
            slices
                .map(|(prompts, interventions)| {
                    self.slice_activations(prompts, interventions, sites)
                })
                .collect()
        })
    }

    /// The mean activation over prompts at `sites`, as the one row of the result.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn mean_activations(
        &self,
        prompts: &[Prompt],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Activations, EngineError> {
        self.check_digits(prompts)?;
        let mut sites: Vec<Site> = sites.into_iter().collect();
        sites.sort();
        sites.dedup();
        let widths: Vec<usize> = sites.iter().map(|s| s.width(&self.shape())).collect();
        // Sums in double precision, slice by slice in order, so that the mean does not hang on threads.
        let slices: Vec<Vec<Vec<f64>>> = prompts
            .par_chunks(QUESTIONS_PER_SLICE)
            .map(|slice| {
                let values = self.slice_activations(slice, &NONE, &sites);
                let sum = |(values, &width): (&Vec<f32>, &usize)| {
                    let mut sum = vec![0f64; width];
                    for row in values.chunks_exact(width) {
                        sum.iter_mut()
                            .zip(row)
                            .for_each(|(s, &v)| *s += f64::from(v));
                    }
                    sum
                };
                values.iter().zip(&widths).map(sum).collect()
            })
            .collect();
        let mut sums: Vec<Vec<f64>> = widths.iter().map(|&w| vec![0.0; w]).collect();
        for (sum, part) in slices.iter().flat_map(|slice| slice.iter().enumerate()) {
            sums[sum].iter_mut().zip(part).for_each(|(s, v)| *s += v);
        }
        let count = prompts.len() as f64;
        let values = sums
            .into_iter()
            .map(|sum| sum.into_iter().map(|s| (s / count) as f32).collect())
            .collect();
        Ok(Activations {
            sites,
            widths,
            values,
        })
    }

    /// Mean attention weights over prompts, `[n_layers, n_heads, n_ctx, n_ctx]`, from the query
    /// position (third) to the source position (last).
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn mean_attention(&self, prompts: &[Prompt]) -> Result<Vec<f32>, EngineError> {
        self.check_digits(prompts)?;
        let shape = self.shape();
        let size = shape.n_layers * shape.n_heads * shape.n_ctx() * shape.n_ctx();
        // Attention is wanted at every position of the last layer, so those residuals are needed.
        let everywhere: Vec<Site> = (0..shape.n_ctx())
            .map(|position| Site::Residual {
                position,
                layer: shape.n_layers - 1,
            })
            .collect();
        let slices: Vec<Vec<f64>> = prompts
            .par_chunks(QUESTIONS_PER_SLICE)
            .map(|slice| {
                let mut sums = vec![0.0; size];
                let needed = Needed::for_sites(&self.packed, &everywhere);
                self.run_whole(slice, &NONE, needed, &mut Record::Attention(&mut sums));
                sums
            })
            .collect();
        let mut total = vec![0f64; size];
        for slice in slices {
            total.iter_mut().zip(slice).for_each(|(t, s)| *t += s);
        }
        let count = prompts.len() as f64;
        Ok(total.into_iter().map(|t| (t / count) as f32).collect())
    }

    /// Applies one intervention each to questions of a base run, `(question, intervention)`, and
    /// returns the logits that follow, in the same order.
    ///
    /// # Errors
    /// [`EngineError::Width`] for a value that does not fit its site, [`EngineError::DidNotFire`]
    /// for an overwrite that was not applied.
    pub fn intervene(
        &self,
        run: &Run,
        jobs: &[(usize, Intervention)],
        decode: Decode,
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        let slices: Vec<Vec<AnswerLogits>> = jobs
            .par_chunks(JOBS_PER_SLICE)
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
        let mut pass = Pass::new(&self.packed, Needed::for_answers(&self.packed), &items);
        let first = shape.first_answer_position();
        let mut tokens: Vec<Vec<Token>> = jobs
            .iter()
            .map(|(question, _)| run.prompts[*question].tokens())
            .collect();
        // Everything at once where all tokens are known; else the question up to `=`, then each answer
        // token as it becomes known.
        let known = match decode {
            Decode::Forced => shape.n_ctx() - 1,
            Decode::Free => first + 1,
        };
        let later = (known..shape.n_ctx() - 1).map(|position| position..position + 1);
        for window in std::iter::once(0..known).chain(later) {
            if window.start > 0 {
                let place = AnswerToken(shape.n_ctx() - 1 - window.start);
                for (tokens, logits) in tokens.iter_mut().zip(&logits) {
                    tokens[window.start] = logits.answer().get(place);
                }
            }
            let token = |item: usize, position: usize| tokens[item][position];
            let differs = |item: usize, position: usize| {
                let (cache, question) = run.cache(jobs[item].0);
                tokens[item][position] != cache.tokens[question * shape.n_ctx() + position]
            };
            let changed: Vec<(usize, usize)> = (0..jobs.len())
                .flat_map(|item| window.clone().map(move |position| (item, position)))
                .filter(|&(item, position)| differs(item, position))
                .collect();
            let rows = pass.embed(changed, token);
            let rows = pass.step(rows, window, token, &mut Record::Nothing);
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

    /// The activations of a slice of prompts at `sites`, each prompt under its intervention.
    fn slice_activations(
        &self,
        slice: &[Prompt],
        interventions: &[Intervention],
        sites: &[Site],
    ) -> Vec<Vec<f32>> {
        let mut values = vec![Vec::new(); sites.len()];
        let mut record = Record::Sites {
            sites,
            values: &mut values,
        };
        let needed = Needed::for_sites(&self.packed, sites);
        self.run_whole(slice, interventions, needed, &mut record);
        values
    }

    /// Runs a slice without base runs, each prompt under its intervention. Logits come only where the last layer's answer rows are
    /// among the needed.
    fn run_whole(
        &self,
        slice: &[Prompt],
        interventions: &[Intervention],
        needed: Needed,
        record: &mut Record,
    ) -> Vec<AnswerLogits> {
        let shape = self.shape();
        let items: Vec<Item> = slice
            .iter()
            .zip(interventions)
            .map(|(_, intervention)| Item {
                base: None,
                intervention,
            })
            .collect();
        let tokens: Vec<Vec<Token>> = slice.iter().map(Prompt::tokens).collect();
        let token = |item: usize, position: usize| tokens[item][position];
        let extent = needed.extent(0);
        let every = (0..slice.len())
            .flat_map(|item| (0..extent).map(move |position| (item, position)))
            .collect();
        let mut pass = Pass::new(&self.packed, needed, &items);
        let rows = pass.embed(every, token);
        let rows = pass.step(rows, 0..extent, token, record);
        let first = shape.first_answer_position();
        let mut logits = vec![AnswerLogits::zeros(shape.n_answer()); slice.len()];
        for ((item, position), row) in pass.logits(&rows) {
            if (first..shape.n_ctx() - 1).contains(&position) {
                logits[item].set(position - first, row);
            }
        }
        logits
    }

    fn check_digits(&self, prompts: &[Prompt]) -> Result<(), EngineError> {
        let expected = self.shape().n_digits;
        match (prompts.iter())
            .flat_map(|prompt| [prompt.question.n_digits(), prompt.forced.n_digits()])
            .find(|&found| found != expected)
        {
            Some(found) => Err(EngineError::Digits { found, expected }),
            None => Ok(()),
        }
    }
}
