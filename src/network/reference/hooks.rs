//! The overwrites and recordings of one forward pass.

use std::ops::Range;

use candle_core::{DType, Result, Tensor, bail};

use crate::domain::shape::Shape;
use crate::domain::site::{Hook, Point, Site};
use crate::network::engine::{Intervention, Overwrite};

/// The hooks of one forward pass. Overwrites and reads are removed from their lists when applied,
/// so that any left at the end were never applied.
#[derive(Debug)]
pub(super) struct Hooks<'a> {
    shape: Shape,
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
    /// No overwrites and no recordings but those of attention weights.
    pub(super) fn none(shape: Shape) -> Self {
        Hooks {
            shape,
            overwrites: Vec::new(),
            reads: Vec::new(),
            recorded: Vec::new(),
            patterns: Vec::new(),
        }
    }

    /// Applies intervention `i` to row `i` of the batch.
    pub(super) fn applying(shape: Shape, interventions: &[Intervention<'a>]) -> Self {
        let overwrites = interventions
            .iter()
            .enumerate()
            .flat_map(|(row, i)| i.overwrites().iter().map(move |&o| (row, o)))
            .collect();
        Hooks {
            overwrites,
            ..Self::none(shape)
        }
    }

    /// The same hooks, also recording these sites in each row of a batch.
    pub(super) fn also_reading(self, sites: &[Site], batch: usize) -> Self {
        Hooks {
            reads: sites.iter().copied().enumerate().collect(),
            recorded: vec![vec![Vec::new(); sites.len()]; batch],
            ..self
        }
    }

    /// Whether this hook is overwritten or recorded.
    pub(super) fn watch(&self, hook: Hook) -> bool {
        let mut overwritten = self.overwrites.iter().map(|(_, o)| o.site);
        let mut read = self.reads.iter().map(|(_, site)| *site);
        overwritten.any(|site| site.hook() == hook) || read.any(|site| site.hook() == hook)
    }

    /// Returns the tensor of a hook with its overwrites applied.
    ///
    /// # Errors
    /// If a value does not have the width of its site.
    pub(super) fn at(&mut self, hook: Hook, activation: Tensor) -> Result<Tensor> {
        let shape = self.shape;
        let here = |site: Site| site.hook() == hook && site.is_in(&shape);
        let overwrites: Vec<_> = self
            .overwrites
            .extract_if(.., |(_, o)| here(o.site))
            .collect();
        let reads: Vec<_> = self.reads.extract_if(.., |(_, site)| here(*site)).collect();
        if overwrites.is_empty() && reads.is_empty() {
            return Ok(activation);
        }

        // Every f32 is an f64 and comes back as it was.
        let dtype = activation.dtype();
        let mut values = activation
            .to_dtype(DType::F64)?
            .flatten_all()?
            .to_vec1::<f64>()?;
        for (row, Overwrite { site, value, .. }) in &overwrites {
            let width = site.width(&shape);
            if value.len() != width {
                bail!(
                    "{site}: overwritten by {} values, expected {width}",
                    value.len()
                );
            }
            let own = &mut values[place(*row, *site, &shape)];
            own.iter_mut()
                .zip(*value)
                .for_each(|(own, value)| *own = f64::from(*value));
        }
        for (index, site) in reads {
            for (row, recorded) in self.recorded.iter_mut().enumerate() {
                let values = values[place(row, site, &shape)].iter();
                recorded[index] = values.map(|&value| value as f32).collect();
            }
        }
        if overwrites.is_empty() {
            return Ok(activation);
        }
        Tensor::from_vec(values, activation.shape(), activation.device())?.to_dtype(dtype)
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

/// Where a site of a row of the batch is in its hook's tensor: `[batch, n_ctx, width]`, `[batch, n_ctx,
/// h, width]` or, for attention weights, `[batch, h, n_ctx, n_ctx]`.
fn place(row: usize, site: Site, shape: &Shape) -> Range<usize> {
    let (n_ctx, n_heads, position) = (shape.n_ctx(), shape.n_heads, site.position());
    let (index, width) = match (site.point(), site.head()) {
        (Point::Pattern, head) => (
            (row * n_heads + head.unwrap_or(0)) * n_ctx + position,
            n_ctx,
        ),
        (point, Some(head)) => (
            (row * n_ctx + position) * n_heads + head,
            point.width(shape),
        ),
        (point, None) => (row * n_ctx + position, point.width(shape)),
    };
    let columns = site.columns(shape);
    index * width + columns.start..index * width + columns.end
}
