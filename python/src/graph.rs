//! The dependency graph of claims.

use circuitcheck::analysis::graph::{
    Budget, Flows, Graph as LibraryGraph, GraphEvidence, KnownClaims, TRIALS, dot, mermaid, svg,
};
use circuitcheck::report::graph_cell;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{ClaimsError, Raise};
use crate::model::{Model, rules};
use crate::run::Run;
use crate::work::{Step, long};

/// A graph, and the model it is of.
#[pyclass(frozen, module = "circuitcheck._native")]
pub struct Graph(GraphEvidence);

#[pymethods]
impl Graph {
    /// The graph of a model's claims: as a run found them, or as its own file makes them. Where `measure`
    /// says so every edge is measured.
    #[staticmethod]
    #[pyo3(signature = (model, run=None, *, measure, trials, alpha, seed, direct_only, unclaimed, progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn of(
        py: Python<'_>,
        model: &Model,
        run: Option<&Run>,
        measure: bool,
        trials: Option<usize>,
        alpha: Option<f64>,
        seed: Option<u64>,
        direct_only: bool,
        unclaimed: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (folder, shape) = (&model.folder, model.engine.shape());
        let known = match run {
            Some(run) => {
                KnownClaims::about(&run.evidence, &folder.weights_sha256, &shape).raise()?
            }
            None => KnownClaims::in_file(folder).raise()?.ok_or_else(|| {
                ClaimsError::new_err(format!(
                    "{}: there is no features.json, so nothing is claimed",
                    folder.name
                ))
            })?,
        };
        let flows = Flows {
            unclaimed,
            relayed: !direct_only,
        };
        let mut graph = LibraryGraph::new(known, shape, flows);
        if measure {
            let rules = rules(None, alpha, trials, seed, TRIALS)?;
            let budget = Budget {
                trials: rules.max_trials,
                alpha: rules.alpha,
                seed: rules.seed,
                relayed: !direct_only,
            };
            graph = long(py, progress, move |tell| {
                let mut edges = |done: usize, of: usize| {
                    tell(Step {
                        what: "measuring edges".to_owned(),
                        done: done as u64,
                        of: of as u64,
                    });
                };
                graph.measure(&model.engine, budget, &mut edges)?;
                Ok::<_, circuitcheck::network::engine::EngineError>(graph)
            })?;
        }
        Ok(Self(GraphEvidence::of(folder, graph)))
    }

    #[staticmethod]
    fn from_json(json: &[u8]) -> PyResult<Self> {
        Ok(Self(GraphEvidence::from_json(json).raise()?))
    }

    /// The graph as graph.json holds it.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.to_json().as_bytes())
    }

    fn svg(&self) -> String {
        svg(&self.0.graph)
    }

    fn dot(&self) -> String {
        dot(&self.0.graph)
    }

    fn mermaid(&self) -> String {
        mermaid(&self.0.graph)
    }

    fn cell(&self) -> String {
        graph_cell(&self.0.graph, &self.0.title())
    }
}
