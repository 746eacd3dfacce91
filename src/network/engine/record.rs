//! What a pass records.

use std::ops::Range;

use super::base::Cache;
use super::intervention::Site;
use crate::domain::shape::Shape;

/// What a pass records.
pub(super) enum Record<'r> {
    /// Only the logits.
    Nothing,
    /// Everything later runs need.
    Base(&'r mut Cache),
    /// Activations at sites; `values[site]` is `[rows at its position, width]`.
    Sites {
        sites: &'r [Site],
        values: &'r mut [Vec<f32>],
    },
    /// Attention weights summed over items, `[n_layers, n_heads, n_ctx, n_ctx]`.
    Attention(&'r mut [f64]),
}

impl Record<'_> {
    /// Stores the part of each site of `layer` that `part` finds in rows of `width` values.
    pub fn store(
        &mut self,
        layer: usize,
        at: &[(usize, usize)],
        rows: &[f32],
        width: usize,
        part: impl Fn(&Site) -> Option<Range<usize>>,
    ) {
        let Record::Sites { sites, values } = self else {
            return;
        };
        for (site, values) in sites.iter().zip(values.iter_mut()) {
            if site.layer() != layer {
                continue;
            }
            let Some(part) = part(site) else { continue };
            for (row, (_, position)) in at.iter().enumerate() {
                if *position == site.position() {
                    values.extend_from_slice(&rows[row * width..][part.clone()]);
                }
            }
        }
    }

    /// The callback for the attention weights of some rows of a layer, if they are recorded.
    pub fn weighed<'w>(
        &'w mut self,
        layer: usize,
        at: &'w [(usize, usize)],
        shape: &Shape,
    ) -> Option<impl FnMut(usize, usize, &[f32]) + 'w> {
        let (n_heads, n_ctx) = (shape.n_heads, shape.n_ctx());
        let Record::Attention(sums) = self else {
            return None;
        };
        Some(move |row: usize, head: usize, weights: &[f32]| {
            let (_, position) = at[row];
            let start = ((layer * n_heads + head) * n_ctx + position) * n_ctx;
            for (sum, &weight) in sums[start..].iter_mut().zip(weights) {
                *sum += f64::from(weight);
            }
        })
    }

    /// Whether nothing of `layer` or later is needed.
    pub fn ends_before_heads(&self, layer: usize) -> bool {
        match self {
            Record::Sites { sites, .. } => sites.iter().all(|site| site.layer() < layer),
            _ => false,
        }
    }

    /// Whether nothing after the heads of `layer` is needed.
    pub fn ends_with_heads(&self, layer: usize) -> bool {
        match self {
            Record::Sites { sites, .. } => sites.iter().all(|site| match site {
                Site::Node(node) if node.head().is_some() => site.layer() <= layer,
                _ => site.layer() < layer,
            }),
            _ => false,
        }
    }
}
