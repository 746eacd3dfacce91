//! What a pass records.

use super::base::Cache;
use crate::domain::shape::Shape;
use crate::domain::site::{Point, Site};

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
        /// Whether the pass goes on to the logits when all sites are recorded.
        and_logits: bool,
    },
    /// Attention weights summed over items, `[n_layers, n_heads, n_ctx, n_ctx]`.
    Attention(&'r mut [f64]),
}

impl Record<'_> {
    /// Stores the part of each site of a point of `layer` from `rows`, each with all heads side by
    /// side.
    pub fn store(
        &mut self,
        point: Point,
        layer: usize,
        at: &[(usize, usize)],
        rows: &[f32],
        shape: &Shape,
    ) {
        let Record::Sites { sites, values, .. } = self else {
            return;
        };
        let width = rows.len() / at.len().max(1);
        for (site, values) in sites.iter().zip(values.iter_mut()) {
            if site.point() != point || site.layer_in(shape) != layer {
                continue;
            }
            let part = site.part(shape);
            for (row, (_, position)) in at.iter().enumerate() {
                if *position == site.position() {
                    values.extend_from_slice(&rows[row * width..][part.clone()]);
                }
            }
        }
    }

    /// Indices of the rows in which a point of `layer` is recorded.
    pub fn rows(
        &self,
        point: Point,
        layer: usize,
        at: &[(usize, usize)],
        shape: &Shape,
    ) -> Vec<usize> {
        let Record::Sites { sites, .. } = self else {
            return Vec::new();
        };
        let here = |site: &&Site| site.point() == point && site.layer_in(shape) == layer;
        let positions: Vec<usize> = sites.iter().filter(here).map(Site::position).collect();
        let rows = at.iter().enumerate();
        rows.filter(|(_, (_, position))| positions.contains(position))
            .map(|(row, _)| row)
            .collect()
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

    /// Whether nothing after what enters `layer` is needed.
    pub fn ends_before_heads(&self, layer: usize, shape: &Shape) -> bool {
        self.ends_before((layer, Point::Pattern), shape)
    }

    /// Whether nothing after the heads of `layer` is needed.
    pub fn ends_with_heads(&self, layer: usize, shape: &Shape) -> bool {
        self.ends_before((layer, Point::Result), shape)
    }

    fn ends_before(&self, end: (usize, Point), shape: &Shape) -> bool {
        match self {
            Record::Sites {
                sites,
                and_logits: false,
                ..
            } => {
                let mut sites = sites.iter();
                sites.all(|site| (site.layer_in(shape), site.point()) < end)
            }
            _ => false,
        }
    }
}
