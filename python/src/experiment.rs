//! Experiments, and the published claims of 2026.

use circuitcheck::analysis::evidence_map::{MapClaim, MapOptions, measure_model};
use circuitcheck::experiment::assay::{Experiment, ExperimentSetting, claimed, run};
use circuitcheck::report::{evidence_cell, experiment_cell};
use pyo3::prelude::*;

use crate::error::Raise;
use crate::model::{Model, rules};
use crate::work::long;

/// Runs an experiment, written as TOML or as JSON; returns its result as JSON, and its cell.
#[pyfunction]
#[pyo3(signature = (model, toml, json, seed=None))]
pub fn experiment(
    py: Python<'_>,
    model: &Model,
    toml: Option<&str>,
    json: Option<&str>,
    seed: Option<u64>,
) -> PyResult<(String, String)> {
    let experiment = match (toml, json) {
        (Some(toml), _) => Experiment::parse(toml).raise()?,
        (None, json) => Experiment::parse_json(json.unwrap_or_default()).raise()?,
    };
    let claimed = claimed(&model.folder).raise()?;
    let setting = ExperimentSetting {
        engine: &model.engine,
        claimed: &claimed,
        seed: rules(None, None, None, seed, 1)?.seed,
    };
    let result = long(py, None, |_| run(&experiment, &setting))?;
    let json = serde_json::to_string(&result).expect("results have string keys");
    Ok((json, experiment_cell(&result, &model.folder.name)))
}

/// Measures published claims, all of them where none is named; returns what was found as JSON, and its
/// cell.
#[pyfunction]
#[pyo3(signature = (model, claims, *, alpha, seed, progress=None))]
pub fn evidence(
    py: Python<'_>,
    model: &Model,
    claims: Vec<String>,
    alpha: Option<f64>,
    seed: Option<u64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(String, String)> {
    let claims = MapClaim::bundled_named(&claims).raise()?;
    let rules = rules(None, alpha, None, seed, 1)?;
    let options = MapOptions {
        alpha: rules.alpha,
        seed: rules.seed,
    };
    let map = long(py, progress, |tell| {
        let mut progress = |progress: circuitcheck::verify::Progress| tell(progress.into());
        measure_model(
            &model.folder,
            &model.engine,
            &claims,
            options,
            &mut progress,
        )
    })?;
    let json = serde_json::to_string(&map).expect("results have string keys");
    Ok((json, evidence_cell(&map)))
}
