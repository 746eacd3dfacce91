//! A verification: its evidence, what is drawn of it, and its tables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use circuitcheck::inputs::model::RawFile;
use circuitcheck::report::{
    Format, Report, claim_cell, claim_rows, claims_table, map_cell, measures_table, run_cell,
    store_report, store_verification, summary_line,
};
use circuitcheck::verify::evidence::Evidence;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{EvidenceError, OptionError, Raise};
use crate::model::Model;
use crate::table::Table;
use crate::work::long;

/// The evidence of a verification.
#[pyclass(frozen, module = "circuitcheck._native")]
pub struct Run {
    pub evidence: Evidence,
    /// The claims tested, where they are not the model's own.
    pub features: Option<RawFile>,
    /// How long it took.
    pub elapsed: Duration,
}

#[pymethods]
impl Run {
    /// Reads stored evidence. `features` are the claims tested, where they are not the model's own: where
    /// they were found, and the file.
    #[staticmethod]
    #[pyo3(signature = (evidence, features=None, seconds=0.0))]
    fn from_json(
        evidence: &[u8],
        features: Option<(PathBuf, Vec<u8>)>,
        seconds: f64,
    ) -> PyResult<Self> {
        Ok(Self {
            evidence: Evidence::from_json(evidence).raise()?,
            features: features.map(|(path, bytes)| RawFile::made(&path, bytes)),
            elapsed: Duration::from_secs_f64(seconds),
        })
    }

    /// The evidence as evidence.json holds it.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.evidence.to_json().as_bytes())
    }

    fn features(&self) -> Option<(PathBuf, &[u8])> {
        let file = self.features.as_ref()?;
        Some((file.path.clone(), &file.bytes))
    }

    fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }

    fn summary(&self) -> String {
        summary_line(&self.evidence)
    }

    fn exit_code(&self) -> u8 {
        self.evidence.conclusion().code()
    }

    /// Which weights the evidence is of: their SHA-256.
    fn weights_sha256(&self) -> &str {
        &self.evidence.inputs.weights_sha256
    }

    /// The claims, in their order.
    fn claims(&self) -> Vec<&str> {
        let claims = self.evidence.claims.iter();
        claims.map(|claim| claim.claim.as_str()).collect()
    }

    /// All that was found of one claim, as JSON, with its explanation in a line.
    fn claim(&self, wanted: &str) -> PyResult<(String, String)> {
        let mut claims = self.evidence.claims.iter();
        let found = claims.find(|claim| claim.claim == wanted);
        let found =
            found.ok_or_else(|| OptionError::new_err(format!("no claim reads {wanted:?}")))?;
        let json = serde_json::to_string(found).expect("evidence has string keys");
        Ok((json, found.note()))
    }

    fn claims_table(&self) -> Table {
        Table(claims_table(&claim_rows(&self.evidence)))
    }

    fn measures_table(&self) -> PyResult<Table> {
        Ok(Table(measures_table(&self.report(None)?)))
    }

    /// The run as a cell of a notebook; `page` is where its whole report is.
    #[pyo3(signature = (page=None))]
    fn cell(&self, page: Option<&str>) -> PyResult<String> {
        Ok(run_cell(&self.report(None)?, page))
    }

    fn claim_cell(&self, claim: &str) -> PyResult<String> {
        claim_cell(&self.report(None)?, claim).raise()
    }

    /// A map as a cell; the model's own behaviours are needed for all but its claims.
    #[pyo3(signature = (name, model=None))]
    fn map_cell(&self, name: &str, model: Option<&Model>) -> PyResult<String> {
        map_cell(&self.report(model)?, name).raise()
    }

    /// Writes evidence.json, run.json, attention.json and the report into a folder, as `circuitcheck
    /// verify --out` does; returns the files of the report.
    fn store(
        &self,
        py: Python<'_>,
        model: &Model,
        out: PathBuf,
        formats: Vec<String>,
    ) -> PyResult<Vec<PathBuf>> {
        let found = &model.folder.weights_sha256;
        if *found != self.evidence.inputs.weights_sha256 {
            return Err(EvidenceError::new_err(
                "the evidence is of other weights than the model",
            ));
        }
        let formats: Vec<Format> = formats
            .iter()
            .map(|name| format(name))
            .collect::<PyResult<_>>()?;
        long(py, None, |_| self.write(model, &out, &formats))
    }
}

impl Run {
    fn write(
        &self,
        model: &Model,
        out: &Path,
        formats: &[Format],
    ) -> Result<Vec<PathBuf>, circuitcheck::report::StoreError> {
        let report = store_verification(
            out,
            &model.folder,
            &model.engine,
            &self.evidence,
            self.elapsed,
            self.features.as_ref(),
            &model.place,
        )?;
        Ok(store_report(&report, out, formats)?)
    }

    fn report(&self, model: Option<&Model>) -> PyResult<Report> {
        let folder = model.map(|model| &model.folder);
        Report::of(self.evidence.clone(), folder, "").raise()
    }
}

fn format(name: &str) -> PyResult<Format> {
    let known = [
        ("html", Format::Html),
        ("md", Format::Markdown),
        ("json", Format::Json),
        ("junit", Format::Junit),
    ];
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, format)| *format).ok_or_else(|| {
        OptionError::new_err(format!(
            "no form of report {name:?}: expected html, md, json or junit"
        ))
    })
}
