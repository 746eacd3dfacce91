//! Reads activations of runs, individually and as means.

use rayon::prelude::*;

use super::intervention::{Intervention, Overwrite, Source};
use super::pass::{Item, Pass};
use super::record::Record;
use super::rows::{Needed, shared_with_the_one_before};
use super::slices::{Sorted, slice_length};
use super::{Engine, EngineError, Site};
use crate::domain::arithmetic::{Prompt, Token};
use crate::network::logits::AnswerLogits;

/// Prompts whose values are summed together. Larger sums combine these in order, so that they do
/// not depend on threads.
const SUMMED_TOGETHER: usize = 64;

/// Activations of a batch of prompts at some sites.
#[derive(Debug, Clone, Default)]
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

    /// Whether a site was asked for.
    pub fn has(&self, site: Site) -> bool {
        self.sites.binary_search(&site).is_ok()
    }

    /// Adds the activations of the same prompts at further sites.
    ///
    /// # Panics
    /// If both have a site.
    pub fn extend(&mut self, other: Activations) {
        let own = std::mem::take(self);
        let rows = |of: Activations| {
            of.sites
                .into_iter()
                .zip(of.widths.into_iter().zip(of.values))
        };
        let mut all: Vec<_> = rows(own).chain(rows(other)).collect();
        all.sort_by_key(|(site, _)| *site);
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (site, (width, values)) in all {
            self.sites.push(site);
            self.widths.push(width);
            self.values.push(values);
        }
    }

    /// The overwrite that writes the activation of `prompt` at `site`.
    pub fn overwrite(&self, prompt: usize, site: impl Into<Site>, source: Source) -> Overwrite<'_> {
        let site = site.into();
        Overwrite {
            site,
            source,
            value: self.get(prompt, site),
        }
    }
}

/// Rows at some sites, `[site][prompts, width]`.
type SiteRows = Vec<Vec<f32>>;

impl Activations {
    /// Zeros at `sites`, for this many prompts.
    pub(in crate::network) fn zeros(
        engine: &Engine,
        sites: impl IntoIterator<Item = Site>,
        prompts: usize,
    ) -> Self {
        let mut sites: Vec<Site> = sites.into_iter().collect();
        sites.sort();
        sites.dedup();
        let widths: Vec<usize> = sites.iter().map(|s| s.width(&engine.shape())).collect();
        let values = widths.iter().map(|w| vec![0.0; prompts * w]).collect();
        Activations {
            sites,
            widths,
            values,
        }
    }

    /// Writes the rows of slices to the indices in `prompts`.
    fn fill(&mut self, slices: &[SiteRows], prompts: impl Iterator<Item = usize> + Clone) {
        for (site, (values, &width)) in self.values.iter_mut().zip(&self.widths).enumerate() {
            let rows = slices.iter().flat_map(|s| s[site].chunks_exact(width));
            for (prompt, row) in prompts.clone().zip(rows) {
                values[prompt * width..][..width].copy_from_slice(row);
            }
        }
    }
}

impl Engine {
    /// The activations of prompts at `sites`, computing no more than they depend on; without a site,
    /// nothing is run.
    ///
    /// # Errors
    /// As [`Engine::run`]; [`EngineError::Site`] for a site that this network does not have.
    pub fn activations(
        &self,
        prompts: &[Prompt],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Activations, EngineError> {
        let mut all = Activations::zeros(self, sites, prompts.len());
        if all.sites.is_empty() {
            self.admissible(prompts)?;
            return Ok(all);
        }
        self.admit(prompts)?;
        self.check_sites(&all.sites)?;
        let sorted = Sorted::new(prompts, self.shape().n_ctx());
        let slices: Vec<SiteRows> = sorted
            .slices()
            .map(|tokens| self.untouched_rows(tokens, &all.sites))
            .collect();
        all.fill(&slices, sorted.order().iter().copied());
        Ok(all)
    }

    /// The logits of unpatched prompts, teacher-forced, and their activations at `sites`: in one pass where
    /// every site is computed for the logits, otherwise in two.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub fn logits_and_activations(
        &self,
        prompts: &[Prompt],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<(Vec<AnswerLogits>, Activations), EngineError> {
        let shape = self.shape();
        let mut all = Activations::zeros(self, sites, prompts.len());
        self.check_sites(&all.sites)?;
        let answers = Needed::for_answers(&self.packed);
        let computed = |site: &Site| answers.at(site.layer_in(&shape), site.position());
        if !all.sites.iter().all(computed) {
            return Ok((self.logits(prompts)?, self.activations(prompts, all.sites)?));
        }
        self.admit(prompts)?;
        let sorted = Sorted::new(prompts, shape.n_ctx());
        let slices: Vec<(Vec<AnswerLogits>, SiteRows)> = sorted
            .slices()
            .map(|tokens| {
                let mut values = vec![Vec::new(); all.sites.len()];
                let mut record = Record::Sites {
                    sites: &all.sites,
                    values: &mut values,
                    and_logits: true,
                };
                let logits = self.slice_logits(tokens, &mut record);
                let shared = shared_with_the_one_before(tokens, shape.n_ctx());
                self.repeat_shared(&shared, &all.sites, &mut values);
                (logits, values)
            })
            .collect();
        let (logits, slices): (Vec<_>, Vec<SiteRows>) = slices.into_iter().unzip();
        all.fill(&slices, sorted.order().iter().copied());
        Ok((sorted.in_order_given(logits.into_iter().flatten()), all))
    }

    /// The activations at `sites` of prompts that are each run with an intervention,
    /// teacher-forced. An overwritten site gives the overwriting value.
    ///
    /// # Errors
    /// As [`Engine::activations`]; [`EngineError::Width`] for a value that does not fit its site, and
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
        super::check_digits(self.shape().n_digits, prompts)?;
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
        let mut all = Activations::zeros(self, sites, prompts.len());
        self.check_sites(&all.sites)?;
        let length = slice_length(prompts.len());
        let slices: Vec<SiteRows> = prompts
            .par_chunks(length)
            .zip(interventions.par_chunks(length))
            .map(|(prompts, interventions)| {
                let items: Vec<Item> = (interventions.iter())
                    .map(|intervention| Item {
                        base: None,
                        intervention,
                    })
                    .collect();
                let tokens = prompts.iter().flat_map(Prompt::tokens).collect();
                let needed = Needed::for_sites(&self.packed, &all.sites);
                let pass = Pass::new(&self.packed, needed, &items, tokens);
                self.rows_at(pass, &all.sites)
            })
            .collect();
        all.fill(&slices, 0..prompts.len());
        Ok(all)
    }

    /// The mean activation over prompts at `sites`, as the single row of the result; without a site,
    /// nothing is run.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub fn mean_activations(
        &self,
        prompts: &[Prompt],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Activations, EngineError> {
        let mut means = Activations::zeros(self, sites, 1);
        if means.sites.is_empty() {
            self.admissible(prompts)?;
            return Ok(means);
        }
        self.admit(prompts)?;
        self.check_sites(&means.sites)?;
        let n_ctx = self.shape().n_ctx();
        let tokens: Vec<Token> = prompts.iter().flat_map(Prompt::tokens).collect();
        // Sum in double precision.
        let slices: Vec<Vec<Vec<f64>>> = tokens
            .par_chunks(SUMMED_TOGETHER * n_ctx)
            .map(|tokens| {
                let rows = self.untouched_rows(tokens, &means.sites);
                let sum = |(rows, &width): (&Vec<f32>, &usize)| {
                    let mut sum = vec![0f64; width];
                    for row in rows.chunks_exact(width) {
                        sum.iter_mut()
                            .zip(row)
                            .for_each(|(s, &v)| *s += f64::from(v));
                    }
                    sum
                };
                rows.iter().zip(&means.widths).map(sum).collect()
            })
            .collect();
        let mut sums: Vec<Vec<f64>> = means.widths.iter().map(|&w| vec![0.0; w]).collect();
        for (sum, part) in slices.iter().flat_map(|slice| slice.iter().enumerate()) {
            sums[sum].iter_mut().zip(part).for_each(|(s, v)| *s += v);
        }
        let count = prompts.len() as f64;
        means.values = (sums.into_iter())
            .map(|sum| sum.into_iter().map(|s| (s / count) as f32).collect())
            .collect();
        Ok(means)
    }

    fn check_sites(&self, sites: &[Site]) -> Result<(), EngineError> {
        let shape = self.shape();
        sites.iter().try_for_each(|site| Ok(site.check(&shape)?))
    }

    /// The activations at `sites` of unpatched prompts, in the order of `tokens` (`[prompts,
    /// n_ctx]`). Consecutive prompts share the rows of a common prefix.
    fn untouched_rows(&self, tokens: &[Token], sites: &[Site]) -> SiteRows {
        let items = self.untouched(tokens);
        let needed = Needed::for_sites(&self.packed, sites);
        let mut pass = Pass::new(&self.packed, needed, &items, tokens.to_vec());
        pass.share();
        self.rows_at(pass, sites)
    }

    /// The activations of a pass at `sites`, for each of its items.
    fn rows_at(&self, mut pass: Pass, sites: &[Site]) -> SiteRows {
        let mut values = vec![Vec::new(); sites.len()];
        let mut record = Record::Sites {
            sites,
            values: &mut values,
            and_logits: false,
        };
        let extent = pass.extent();
        let rows = pass.step(0..extent, &mut record);
        pass.record_final(&rows, &mut record);
        self.repeat_shared(pass.shared(), sites, &mut values);
        values
    }

    /// Repeats rows that items share: each was computed for the first item alone.
    fn repeat_shared(&self, shared: &[usize], sites: &[Site], values: &mut [Vec<f32>]) {
        for (site, values) in sites.iter().zip(values) {
            let width = site.width(&self.shape());
            let mut rows = values.chunks_exact(width);
            let mut all = Vec::with_capacity(shared.len() * width);
            for &shared in shared {
                if shared > site.position() {
                    all.extend_from_within(all.len() - width..);
                } else if let Some(row) = rows.next() {
                    all.extend_from_slice(row);
                }
            }
            *values = all;
        }
    }

    /// Mean attention weights over prompts, `[n_layers, n_heads, n_ctx, n_ctx]`, from the query
    /// position (third) to the source position (last).
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn mean_attention(&self, prompts: &[Prompt]) -> Result<Vec<f32>, EngineError> {
        self.admit(prompts)?;
        let shape = self.shape();
        let size = shape.n_layers * shape.n_heads * shape.n_ctx() * shape.n_ctx();
        // Attention is needed at every position of the last layer, so the residuals entering it are
        // too.
        let everywhere: Vec<Site> = (0..shape.n_ctx())
            .map(|position| Site::resid_post(position, shape.n_layers - 1))
            .collect();
        let tokens: Vec<Token> = prompts.iter().flat_map(Prompt::tokens).collect();
        let slices: Vec<Vec<f64>> = tokens
            .par_chunks(SUMMED_TOGETHER * shape.n_ctx())
            .map(|tokens| {
                let mut sums = vec![0.0; size];
                let items = self.untouched(tokens);
                let needed = Needed::for_sites(&self.packed, &everywhere);
                Pass::new(&self.packed, needed, &items, tokens.to_vec())
                    .step(0..shape.n_ctx(), &mut Record::Attention(&mut sums));
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
}
