//! The overwrites and recordings of one forward pass.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::network::engine::{Intervention, Overwrite, Site};

/// A tensor of the network, by layer, that can be overwritten and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookPoint {
    /// `hook_z`, the heads' results before W_O: `[batch, n_ctx, h, d_head]`.
    Z(usize),
    /// `hook_post`, the MLP's hidden layer after the ReLU: `[batch, n_ctx, d_mlp]`.
    Post(usize),
    /// `hook_resid_post`, the residual stream after the layer: `[batch, n_ctx, d_model]`.
    ResidPost(usize),
}

impl From<Site> for HookPoint {
    fn from(site: Site) -> Self {
        match site {
            Site::Node(node) if node.head().is_some() => HookPoint::Z(node.layer()),
            Site::Node(node) => HookPoint::Post(node.layer()),
            Site::Residual { layer, .. } => HookPoint::ResidPost(layer),
        }
    }
}

/// The hooks of one forward pass. Overwrites and reads are removed from their lists when applied,
/// so that any left at the end were never applied.
#[derive(Debug, Default)]
pub(super) struct Hooks<'a> {
    /// Pending overwrites, each with its row of the batch.
    overwrites: Vec<(usize, Overwrite<'a>)>,
    /// Pending reads, each with its index in the rows of `recorded`.
    reads: Vec<(usize, Site)>,
    /// `[batch][site][width]`
    recorded: Vec<Vec<Vec<f32>>>,
    /// For each layer `[batch, h, n_ctx, n_ctx]`.
    patterns: Vec<Tensor>,
}

impl<'a> Hooks<'a> {
    /// Applies intervention `i` to row `i` of the batch.
    pub(super) fn applying(interventions: &[Intervention<'a>]) -> Self {
        let overwrites = interventions
            .iter()
            .enumerate()
            .flat_map(|(row, i)| i.overwrites().iter().map(move |&o| (row, o)))
            .collect();
        Hooks {
            overwrites,
            ..Hooks::default()
        }
    }

    /// Records these sites in each row of a batch.
    pub(super) fn reading(sites: &[Site], batch: usize) -> Self {
        Hooks::default().also_reading(sites, batch)
    }

    /// The same hooks, also recording these sites in each row of a batch.
    pub(super) fn also_reading(self, sites: &[Site], batch: usize) -> Self {
        Hooks {
            reads: sites.iter().copied().enumerate().collect(),
            recorded: vec![vec![Vec::new(); sites.len()]; batch],
            ..self
        }
    }

    /// Returns a tensor with the overwrites for this hook point applied.
    ///
    /// # Errors
    /// If a value does not have the width of its site.
    pub(super) fn at(&mut self, point: HookPoint, activation: Tensor) -> Result<Tensor> {
        let layout = SiteLayout::of(&activation)?;
        let here = |site: Site| HookPoint::from(site) == point && layout.holds(site);
        let overwrites: Vec<_> = self
            .overwrites
            .extract_if(.., |(row, o)| *row < layout.batch && here(o.site))
            .collect();
        let reads: Vec<_> = self.reads.extract_if(.., |(_, site)| here(*site)).collect();
        if overwrites.is_empty() && reads.is_empty() {
            return Ok(activation);
        }

        let mut values = activation.flatten_all()?.to_vec1::<f32>()?;
        for (row, overwrite) in &overwrites {
            let Overwrite { site, value, .. } = overwrite;
            if value.len() != layout.width {
                bail!(
                    "{site}: overwritten by {} values, expected {}",
                    value.len(),
                    layout.width
                );
            }
            values[layout.range(*row, *site)].copy_from_slice(value);
        }
        for (index, site) in reads {
            for (row, recorded) in self.recorded.iter_mut().enumerate() {
                recorded[index] = values[layout.range(row, site)].to_vec();
            }
        }
        if overwrites.is_empty() {
            return Ok(activation);
        }
        Tensor::from_vec(values, activation.shape(), activation.device())
    }

    /// Records the attention weights of the next layer.
    pub(super) fn keep_pattern(&mut self, pattern: &Tensor) {
        self.patterns.push(pattern.clone());
    }

    /// Returns the recordings.
    ///
    /// # Errors
    /// If an overwrite was never applied, or a site never read, because the network has no such
    /// site.
    pub(super) fn finish(self) -> Result<Recording> {
        if let Some((row, overwrite)) = self.overwrites.first() {
            bail!(
                "{} of prompt {row} was never overwritten: the network has no such site",
                overwrite.site
            );
        }
        if let Some((_, site)) = self.reads.first() {
            bail!("{site} was never read: the network has no such site");
        }
        Ok(Recording {
            sites: self.recorded,
            patterns: self.patterns,
        })
    }
}

/// The recordings of a forward pass.
#[derive(Debug)]
pub(super) struct Recording {
    /// `[batch][site][width]`
    pub(super) sites: Vec<Vec<Vec<f32>>>,
    /// For each layer `[batch, h, n_ctx, n_ctx]`.
    pub(super) patterns: Vec<Tensor>,
}

/// Where the sites of a hook point are in its tensor, `[batch, n_ctx, width]` or `[batch, n_ctx, h,
/// width]`.
struct SiteLayout {
    batch: usize,
    n_ctx: usize,
    /// Sites per position: the heads, or 1.
    slots: usize,
    width: usize,
}

impl SiteLayout {
    fn of(activation: &Tensor) -> Result<Self> {
        let (batch, n_ctx, slots, width) = match *activation.dims() {
            [batch, n_ctx, width] => (batch, n_ctx, 1, width),
            _ => activation.dims4()?,
        };
        Ok(SiteLayout {
            batch,
            n_ctx,
            slots,
            width,
        })
    }

    fn holds(&self, site: Site) -> bool {
        site.position() < self.n_ctx && slot(site) < self.slots
    }

    fn range(&self, row: usize, site: Site) -> Range<usize> {
        let place = (row * self.n_ctx + site.position()) * self.slots + slot(site);
        place * self.width..(place + 1) * self.width
    }
}

/// A site's index among those at its position: the head's, or 0.
fn slot(site: Site) -> usize {
    match site {
        Site::Node(node) => node.head().unwrap_or(0),
        Site::Residual { .. } => 0,
    }
}
