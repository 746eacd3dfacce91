//! Faithfulness of a circuit and of circuits of growing size, as the benchmark MIB defines it (A. Mueller
//! et al., "MIB: A Mechanistic Interpretability Benchmark", ICML 2025).

use serde::{Deserialize, Serialize};

use super::criteria::TestBench;
use super::{ClassQuestions, NodeSet, Scoring};
use crate::domain::node::Node;
use crate::experiment::resampling::{BootstrapEstimate, bootstrap, recovered};
use crate::experiment::stats::rounded;
use crate::experiment::{TIE_MARGIN, stream};
use crate::network::engine::EngineError;

/// Sizes of circuits on a curve, in thousandths of the nodes.
const SIZES: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// Faithfulness on the questions of one class: with m the mean logit difference of the right answer,
/// N all nodes, and all nodes outside a circuit C mean-ablated, f(C) = (m(C) − m(∅)) / (m(N) − m(∅)).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Faithfulness {
    /// m(N), in logits.
    #[serde(serialize_with = "rounded")]
    pub whole: f64,
    /// m(∅), in logits.
    #[serde(serialize_with = "rounded")]
    pub empty: f64,
    /// f of the circuit itself.
    pub circuit: BootstrapEstimate,
    /// The circuit's nodes first, then all others, both by their effect alone.
    pub circuit_first: Curve,
    /// All nodes by their effect alone, whatever the circuit.
    pub by_effect: Curve,
}

/// Faithfulness of circuits of growing size.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Curve {
    pub points: Vec<CurvePoint>,
    /// The integrated circuit performance ratio: the area below f over the share of nodes kept, from the
    /// smallest circuit to all nodes. Larger is better.
    pub cpr: BootstrapEstimate,
    /// The integrated circuit-model distance: the area between f and 1. Smaller is better.
    pub cmd: BootstrapEstimate,
}

/// One circuit of a curve.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct CurvePoint {
    /// Number of nodes kept.
    pub nodes: usize,
    pub faithfulness: BootstrapEstimate,
}

/// The different sizes of circuits of a curve over this many nodes, rounded up.
fn sizes(nodes: usize) -> Vec<usize> {
    let mut sizes = SIZES.map(|share| (share * nodes).div_ceil(1000)).to_vec();
    sizes.dedup();
    sizes
}

/// The area under values at these sizes by the trapezoidal rule, in shares of the largest size.
fn area(sizes: &[usize], values: impl Fn(usize) -> f64) -> f64 {
    let whole = sizes.last().copied().unwrap_or(1) as f64;
    let slice = |i: usize| {
        let width = (sizes[i + 1] - sizes[i]) as f64 / whole;
        width * f64::midpoint(values(i), values(i + 1))
    };
    (0..sizes.len().saturating_sub(1)).map(slice).sum()
}

/// The first nodes of an order, for each size.
fn first_of<'a>(order: &'a [Node], sizes: &'a [usize]) -> impl Iterator<Item = NodeSet> + 'a {
    let first = |&size: &usize| order[..size].iter().copied().collect();
    sizes.iter().map(first)
}

/// f of each circuit of a curve, its CPR and its CMD, in this order.
fn statistics(sizes: &[usize], shares: &[f64]) -> Vec<f64> {
    let mut all = shares.to_vec();
    all.push(area(sizes, |i| shares[i]));
    all.push(area(sizes, |i| (1.0 - shares[i]).abs()));
    all
}

impl Faithfulness {
    pub(super) fn is_possible(&self) -> bool {
        let curves = [&self.circuit_first, &self.by_effect];
        self.circuit.is_possible() && curves.into_iter().all(Curve::is_possible)
    }
}

impl Curve {
    fn is_possible(&self) -> bool {
        let points = self.points.iter().map(|point| &point.faithfulness);
        let mut all = points.chain([&self.cpr, &self.cmd]);
        !self.points.is_empty() && all.all(BootstrapEstimate::is_possible)
    }

    /// A curve of these estimates, which are in the order of [`statistics`].
    fn new(
        sizes: &[usize],
        estimates: &mut impl Iterator<Item = BootstrapEstimate>,
    ) -> Option<Self> {
        let mut points = Vec::new();
        for &nodes in sizes {
            let faithfulness = estimates.next()?;
            points.push(CurvePoint {
                nodes,
                faithfulness,
            });
        }
        Some(Curve {
            points,
            cpr: estimates.next()?,
            cmd: estimates.next()?,
        })
    }
}

impl TestBench<'_> {
    /// The faithfulness of a circuit and both curves. `ranked` are all nodes, ranked on other questions.
    pub(super) fn faithfulness(
        &self,
        questions: &ClassQuestions,
        keep: &NodeSet,
        ranked: &[Node],
        testing: Scoring,
    ) -> Result<Option<Faithfulness>, EngineError> {
        let sizes = sizes(ranked.len());
        let mut circuit_first = ranked.to_vec();
        circuit_first.sort_by_key(|node| !keep.contains(node));
        let mut sets = vec![NodeSet::new(), self.nodes().clone(), keep.clone()];
        for order in [&circuit_first[..], ranked] {
            sets.extend(first_of(order, &sizes));
        }
        let sets: Vec<&NodeSet> = sets.iter().collect();
        let measured = self
            .judging
            .logit_differences(questions, &sets, usize::MAX)?;
        let (empty, whole, kept) = (&measured[0], &measured[1], &measured[2..]);
        let statistics = |times: &[f64]| {
            let shares: Vec<f64> = (kept.iter())
                .map(|kept| recovered(kept, empty, whole, times, f64::from(TIE_MARGIN)))
                .collect::<Option<_>>()?;
            let (circuit, curves) = shares.split_first()?;
            let curves = curves.chunks_exact(sizes.len());
            let curves = curves.flat_map(|shares| statistics(&sizes, shares));
            Some([*circuit].into_iter().chain(curves).collect())
        };
        let name = format!("faithfulness/{}", questions.class);
        let mut rng = stream(testing.seed, &name);
        let estimates = bootstrap(empty.len(), testing.alpha, &mut rng, statistics);
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        Ok(estimates.and_then(|estimates| {
            let mut estimates = estimates.into_iter();
            Some(Faithfulness {
                whole: mean(whole),
                empty: mean(empty),
                circuit: estimates.next()?,
                circuit_first: Curve::new(&sizes, &mut estimates)?,
                by_effect: Curve::new(&sizes, &mut estimates)?,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_and_none_is_there_twice() {
        assert_eq!(sizes(60), [1, 2, 3, 6, 12, 30, 60]);
        assert_eq!(sizes(1000), [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]);
        assert_eq!(sizes(3), [1, 2, 3]);
    }

    #[test]
    fn areas_are_those_of_trapezoids() {
        // f is 0.5, 1 and 1.5 with a tenth, half and all of the nodes.
        let found = statistics(&[1, 5, 10], &[0.5, 1.0, 1.5]);
        let (cpr, cmd) = (0.4 * 0.75 + 0.5 * 1.25, 0.4 * 0.25 + 0.5 * 0.25);
        assert_eq!(found[..3], [0.5, 1.0, 1.5]);
        assert!((found[3] - cpr).abs() < 1e-12 && (found[4] - cmd).abs() < 1e-12);
    }
}
