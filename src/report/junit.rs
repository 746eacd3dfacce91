//! The report as JUnit XML, so that a CI shows claims as tests.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::{ClaimView, Report, summary_line};
use crate::verify::VerdictKind;

/// The report as JUnit XML: a claim that is refuted or unspecific is a failure; one that could not be
/// decided or tested is skipped, which is neither; every other passes. A suite is a task.
pub fn junit(report: &Report) -> String {
    let evidence = &report.evidence;
    let inputs = &evidence.inputs;
    let mut document = Document::new(format!("circuitcheck {}", inputs.model));
    let claims = report.claims();
    let mut tasks: Vec<&str> = claims.iter().map(|claim| claim.task).collect();
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
        let of_task = claims.iter().filter(|claim| claim.task == task);
        suite.add_test_cases(of_task.map(|claim| case(report, claim)));
        document.add_test_suite(suite);
    }
    let xml = document.to_string();
    xml.expect("text of claims is valid in XML")
}

fn case(report: &Report, claim: &ClaimView) -> TestCase {
    let ClaimView { verdict, note, .. } = claim;
    let mut status = match verdict {
        VerdictKind::NotTestable => TestCaseStatus::skipped(),
        verdict if verdict.leaves_open() => TestCaseStatus::skipped(),
        verdict if verdict.refutes() => TestCaseStatus::non_success(NonSuccessKind::Failure),
        _ => TestCaseStatus::success(),
    };
    if !matches!(status, TestCaseStatus::Success { .. }) {
        status.set_type(verdict.name());
        status.set_message(format!("{verdict}: {note}"));
    }
    let explain = report.explain_command(claim.claim);
    let mut output = format!(
        "{verdict}; interchange accuracy {}\n",
        claim.evidence.interchange_accuracy_text()
    );
    for line in [Some(note), claim.replay.as_ref(), Some(&explain)] {
        if let Some(line) = line.filter(|line| !line.is_empty()) {
            output += &format!("{line}\n");
        }
    }
    if verdict.refutes() {
        status.set_description(output.clone());
    }
    let mut case = TestCase::new(claim.claim, status);
    case.set_classname(format!("{}.{}", report.evidence.inputs.model, claim.task));
    case.set_system_out(output);
    case
}
