//! What is written into the folder of a report: evidence, what is measured beside it, and the forms.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{
    ATTENTION_FILE, Attention, EVIDENCE_FILE, Format, PartKind, RUN_FILE, Report, ReportError,
    RunRecord, circuit_markdown, margins, property_markdown,
};
use crate::analysis::circuit::CircuitEvidence;
use crate::analysis::graph::{GraphEvidence, html, svg};
use crate::analysis::property::evidence::PropertyEvidence;
use crate::analysis::property::{KEPT_FILE, Kept};
use crate::inputs::model::{ModelFolder, RawFile, sha256};
use crate::network::engine::{Engine, EngineError};
use crate::storage::{OutputError, check_writable, write_files};
use crate::verify::evidence::{Evidence, laid_out};

/// Why something could not be stored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// What is stored already cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A run went wrong.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The report of what lies in `stored`. `folder` is the model, where it is at hand, and `model` how the
/// command line names it.
///
/// # Errors
/// [`ReportError`] where a file cannot be read, or there is no evidence.
pub fn stored_report(
    stored: &Path,
    folder: Option<&ModelFolder>,
    model: &str,
) -> Result<Report, ReportError> {
    Report::read(stored, folder, model)?.ok_or_else(|| ReportError::NoEvidence {
        path: stored.join(EVIDENCE_FILE),
    })
}

/// Writes evidence.json, and run.json beside it for a verification that took `elapsed`.
///
/// # Errors
/// [`StoreError`].
pub fn store_evidence(
    out: &Path,
    engine: &Engine,
    evidence: &Evidence,
    elapsed: Duration,
) -> Result<(), StoreError> {
    let margins = margins(engine, evidence)?;
    let json = evidence.to_json();
    let run = laid_out(&RunRecord::new(
        sha256(json.as_bytes()),
        elapsed,
        evidence.cost.clone(),
        margins,
    ));
    Ok(write_files(out, &[(EVIDENCE_FILE, json), (RUN_FILE, run)])?)
}

/// Stores a verification that took `elapsed`, and what its report shows besides; returns the report.
/// `features` are the claims that were tested, where they are not the folder's own, and `model` is how
/// the command line names the model.
///
/// # Errors
/// [`StoreError`].
pub fn store_verification(
    out: &Path,
    folder: &ModelFolder,
    engine: &Engine,
    evidence: &Evidence,
    elapsed: Duration,
    features: Option<&RawFile>,
    model: &str,
) -> Result<Report, StoreError> {
    store_evidence(out, engine, evidence, elapsed)?;
    store_attention(out, folder, engine)?;
    let mut folder = folder.clone();
    folder.features = features.cloned().or(folder.features);
    let mut report = stored_report(out, Some(&folder), model)?;
    report.features = features.map(|file| file.path.clone());
    Ok(report)
}

/// Measures the attention of claimed heads and stores it beside the evidence, where it is not there.
///
/// # Errors
/// [`StoreError`].
pub fn store_attention(
    stored: &Path,
    folder: &ModelFolder,
    engine: &Engine,
) -> Result<(), StoreError> {
    let report = stored_report(stored, Some(folder), "")?;
    let evidence = &report.evidence;
    let current = report.attention.as_ref();
    // Of a model that changed nothing can be measured that belongs to the evidence.
    if report.is_stale() || current.is_some_and(|attention| attention.is_of(evidence)) {
        return Ok(());
    }
    check_writable(stored)?;
    let attention = Attention::measure(engine, folder.operations(), evidence)?;
    Ok(write_files(
        stored,
        &[(ATTENTION_FILE, laid_out(&attention))],
    )?)
}

/// Writes a report in some forms; returns the files.
///
/// # Errors
/// [`OutputError`].
pub fn store_report(
    report: &Report,
    out: &Path,
    formats: &[Format],
) -> Result<Vec<PathBuf>, OutputError> {
    let files: Vec<(&str, String)> = formats
        .iter()
        .map(|format| (format.file(), format.write(report)))
        .collect();
    write_files(out, &files)?;
    Ok(files.iter().map(|(name, _)| out.join(name)).collect())
}

/// Writes property tests, and the cases kept for later ones if there are any or there were.
///
/// # Errors
/// [`OutputError`].
pub fn store_properties(
    out: &Path,
    evidence: &PropertyEvidence,
    kept: &Kept,
    model: &str,
) -> Result<(), OutputError> {
    let mut files = vec![
        (PartKind::Property.file(), evidence.to_json()),
        ("property.md", property_markdown(evidence, model)),
    ];
    if !kept.is_empty() || out.join(KEPT_FILE).exists() {
        files.push((KEPT_FILE, kept.to_string()));
    }
    write_files(out, &files)
}

/// Writes a graph, and drawings of it.
///
/// # Errors
/// [`OutputError`].
pub fn store_graph(out: &Path, evidence: &GraphEvidence) -> Result<(), OutputError> {
    let graph = &evidence.graph;
    let files = [
        (PartKind::Graph.file(), evidence.to_json()),
        ("graph.svg", svg(graph)),
        ("graph.html", html(graph, &evidence.title())),
    ];
    write_files(out, &files)
}

/// Writes circuits, and a page about them.
///
/// # Errors
/// [`OutputError`].
pub fn store_circuits(out: &Path, evidence: &CircuitEvidence) -> Result<(), OutputError> {
    let files = [
        (PartKind::Circuit.file(), evidence.to_json()),
        ("circuit.md", circuit_markdown(evidence)),
    ];
    write_files(out, &files)
}
