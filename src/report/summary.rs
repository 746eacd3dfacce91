//! The report as JSON for other programs: what each claim comes to, without the trials behind it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::Report;
use crate::domain::node::NodeName;
use crate::experiment::stats::Rate;
use crate::experiment::{Aspect, ClassAccuracy, Counterexample};
use crate::verify::PublishedResult;
use crate::verify::evidence::{Inputs, Protocol, by_name, laid_out, schema_of};

/// The name and version of the form of `report.json`.
pub const SUMMARY_SCHEMA: &str = "circuitcheck/report/2";

/// The content of `report.json`.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Summary")]
struct ReportSummary<'a> {
    /// `circuitcheck/report/2`.
    schema: &'static str,
    /// SHA-256 of the evidence.json that the report is made from.
    evidence_sha256: &'a str,
    /// The command that makes that evidence.
    command: String,
    /// How today's model differs from the one tested, in words; empty where it does not.
    changes: Vec<String>,
    /// What was tested.
    inputs: &'a Inputs,
    /// The rules it was tested by.
    protocol: &'a Protocol,
    /// Accuracy of the unpatched model, by class.
    baseline: &'a [ClassAccuracy],
    /// How many claims have each verdict.
    summary: BTreeMap<&'static str, usize>,
    /// Every claim, in the file's order.
    claims: Vec<ClaimSummary<'a>>,
    /// Results of other commands, and whether they are there.
    parts: Vec<PartSummary<'a>>,
}

/// What one claim comes to.
#[derive(Debug, JsonSchema, Serialize)]
struct ClaimSummary<'a> {
    /// Node and tag, e.g. `P9L0H1 A1.ST`.
    claim: &'a str,
    /// The node claimed.
    node: NodeName,
    /// The nodes the verdict is about.
    nodes: &'a [NodeName],
    /// The task claimed.
    task: &'a str,
    /// The digit claimed.
    digit: Option<usize>,
    /// What the published test gives.
    published: PublishedResult,
    /// The verdict.
    verdict: &'static str,
    /// Whether it counts as refuted.
    refutes: bool,
    /// Why, in a line.
    note: String,
    /// The measures the verdict rests on; null where the claim is not testable.
    measures: Option<MeasuresSummary<'a>>,
    /// The command that prints the claim's whole trail.
    explain: String,
    /// A pair on which it fails.
    counterexample: Option<&'a Counterexample>,
    /// The command that replays it.
    replay: Option<String>,
}

/// The rates a verdict rests on.
#[derive(Debug, JsonSchema, Serialize)]
struct MeasuresSummary<'a> {
    /// Counterfactual trials that gave exactly the predicted answer.
    interchange_accuracy: &'a BTreeMap<Aspect, Rate>,
    /// Counterfactual trials that changed any predicted token.
    effect: &'a BTreeMap<Aspect, Rate>,
    /// Counterfactual trials that changed a token that cannot change.
    off_target: &'a BTreeMap<Aspect, Rate>,
    /// Control trials that changed anything.
    control_pairs: &'a Rate,
}

/// A result of another command.
#[derive(Debug, JsonSchema, Serialize)]
struct PartSummary<'a> {
    /// The file.
    file: &'a str,
    /// The command that makes it.
    command: String,
    /// SHA-256 of the file; null where it is not there.
    sha256: Option<&'a str>,
    /// Whether it is of other weights than the evidence or, for a graph, of other verdicts.
    of_other_evidence: bool,
}

/// The schema of `report.json`, as docs/report.schema.json publishes it.
pub fn summary_schema() -> Schema {
    schema_of::<ReportSummary>()
}

pub fn summary(report: &Report) -> String {
    let evidence = &report.evidence;
    let claims = report.claims().into_iter().map(|claim| ClaimSummary {
        claim: claim.claim,
        node: claim.node,
        nodes: claim.nodes,
        task: claim.task,
        digit: claim.digit,
        published: claim.published,
        verdict: claim.verdict.name(),
        refutes: claim.verdict.refutes(),
        note: claim.note,
        measures: claim.measures.map(|measures| MeasuresSummary {
            interchange_accuracy: &measures.interchange_accuracy,
            effect: &measures.effect,
            off_target: &measures.off_target,
            control_pairs: &measures.control_pairs,
        }),
        explain: report.explain_command(claim.claim),
        counterexample: claim.counterexample,
        replay: claim.replay,
    });
    let parts = report.parts.iter().map(|part| PartSummary {
        file: part.kind.file(),
        command: report.part_command(part),
        sha256: part.found.as_ref().map(|found| found.sha256.as_str()),
        of_other_evidence: part.of_other_evidence,
    });
    laid_out(&ReportSummary {
        schema: SUMMARY_SCHEMA,
        evidence_sha256: &report.evidence_sha256,
        command: report.verify_command(),
        changes: report.changes.iter().map(ToString::to_string).collect(),
        inputs: &evidence.inputs,
        protocol: &evidence.protocol,
        baseline: &evidence.baseline.classes,
        summary: by_name(&evidence.summary),
        claims: claims.collect(),
        parts: parts.collect(),
    })
}
