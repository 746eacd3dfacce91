//! The report as JUnit XML, so that a CI shows claims as tests.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::{Report, summary_line};
use crate::verify::Verdict;
use crate::verify::evidence::ClaimEvidence;

/// The report as JUnit XML: a claim that is refuted or unspecific is a failure; one that could not be
/// decided or tested is skipped, which is neither; every other passes. A suite is a task.
pub fn junit(report: &Report) -> String {
    let evidence = &report.evidence;
    let inputs = &evidence.inputs;
    let mut document = Document::new(format!("circuitcheck {}", inputs.model));
    let mut tasks: Vec<&str> = evidence.claims.iter().map(|c| c.task.as_str()).collect();
    tasks.sort();
    tasks.dedup();
    for task in tasks {
        let mut suite = TestSuite::new(task);
        suite.add_property(("model", inputs.model.as_str()));
        suite.add_property(("weights_sha256", inputs.weights_sha256.as_str()));
        suite.add_property(("evidence_sha256", report.evidence_sha256.as_str()));
        suite.add_property(("summary", summary_line(evidence).as_str()));
        for change in &report.changes {
            suite.add_property(("change", change.to_string().as_str()));
        }
        let claims = evidence.claims.iter().filter(|claim| claim.task == task);
        suite.add_test_cases(claims.map(|claim| case(report, claim)));
        document.add_test_suite(suite);
    }
    let xml = document.to_string();
    xml.expect("text of claims is valid in XML")
}

fn case(report: &Report, claim: &ClaimEvidence) -> TestCase {
    let verdict = claim.verdict.name();
    let note = claim.note();
    let mut status = match &claim.verdict {
        verdict if verdict.refutes() => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive { .. } | Verdict::NotTestable { .. } => TestCaseStatus::skipped(),
        _ => TestCaseStatus::success(),
    };
    if !matches!(status, TestCaseStatus::Success { .. }) {
        status.set_type(verdict);
        status.set_message(format!("{verdict}: {note}"));
    }
    let mut told = format!("{verdict}; agreement {}\n", claim.agreement_text());
    if !note.is_empty() {
        told += &format!("{note}\n");
    }
    if let Some(example) = claim.verdict.counterexample() {
        let argument = report.argument();
        told += &format!(
            "circuitcheck patch{argument} {}\n",
            example.arguments(report.evidence.protocol.decode_of_verdicts())
        );
    }
    told += &format!("{}\n", report.explain_command(claim));
    if claim.verdict.refutes() {
        status.set_description(told.clone());
    }
    let mut case = TestCase::new(claim.claim.as_str(), status);
    case.set_classname(format!("{}.{}", report.evidence.inputs.model, claim.task));
    case.set_system_out(told);
    case
}
