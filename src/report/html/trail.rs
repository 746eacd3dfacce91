//! How to reproduce the page, and the rules it follows.

use maud::{Markup, html};

use super::{Section, command};
use crate::report::Report;
use crate::report::document::restriction;

pub fn section(report: &Report) -> Section {
    Section {
        id: "reproduce",
        title: "Reproduce",
        about: html! {
            "The first command writes the evidence, the second this page. The same model, claims and seed give the same evidence, byte for byte, on any number of threads."
        },
        content: html! {
            (command(&report.verify_command()))
            (command(&report.report_command()))
            div.columns {
                figure { figcaption { "Inputs" } (inputs(report)) }
                figure { figcaption { "Rules" } (rules(report)) }
                figure { figcaption { "Controls" } (controls(report)) }
            }
        },
    }
}

fn list(rows: &[(&str, String)]) -> Markup {
    html! {
        dl.rules { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } }
    }
}

fn inputs(report: &Report) -> Markup {
    let inputs = &report.evidence.inputs;
    let mut rows = vec![
        ("evidence", report.evidence_sha256.clone()),
        ("weights", inputs.weights_sha256.clone()),
        ("claims", inputs.features_sha256.clone()),
    ];
    rows.extend(inputs.behaviors_sha256.clone().map(|b| ("behaviours", b)));
    for part in &report.parts {
        rows.extend((part.found.as_ref()).map(|found| (part.kind.file(), found.sha256.clone())));
    }
    html! {
        dl.rules.digests { @for (name, value) in &rows { div { dt { (name) } dd { code { (value) } } } } }
        p.small { "Digests are SHA-256. The evidence is of the form " code { (report.evidence.schema) } "." }
    }
}

fn rules(report: &Report) -> Markup {
    let protocol = &report.evidence.protocol;
    let limits = &protocol.limits;
    let mut rows = vec![
        ("decoding", protocol.decode.to_string()),
        ("seed", protocol.seed.to_string()),
        (
            "error of all claims together, α",
            protocol.alpha.to_string(),
        ),
        ("claims that share it", protocol.testable_claims.to_string()),
        (
            "interchange accuracy, at least",
            protocol.threshold.to_string(),
        ),
        (
            "control pairs and off-target effect, at most",
            limits.negligible.to_string(),
        ),
        ("refuted below", limits.refuted_below.to_string()),
        ("lead over controls", limits.selectivity_margin.to_string()),
        ("need of a joint set", limits.joint_need.to_string()),
        ("baseline, at least", limits.baseline.to_string()),
        ("numerical tie below", limits.tie_margin.to_string()),
        (
            "counterfactual trials at most",
            protocol.max_trials.to_string(),
        ),
    ];
    rows.extend(
        protocol
            .filters
            .iter()
            .map(|filter| ("filter", restriction(filter))),
    );
    list(&rows)
}

fn controls(report: &Report) -> Markup {
    let controls = &report.evidence.protocol.controls;
    let parity = &report.evidence.engine_parity;
    let panels: Vec<String> = controls
        .decoy_panels
        .iter()
        .map(ToString::to_string)
        .collect();
    list(&[
        ("decoys", controls.decoys.to_string()),
        (
            "trials of decoys and of other digits",
            panels.join(", then "),
        ),
        (
            "control pairs of an additional carrier",
            controls.carrier_control_pairs.to_string(),
        ),
        (
            "own activation, other tasks, untrained weights",
            format!("{} trials", controls.side_trials),
        ),
        (
            "seed of untrained weights",
            controls.untrained_seed.to_string(),
        ),
        (
            "necessity",
            format!("{} questions a side", controls.necessity_questions),
        ),
        (
            "baseline",
            format!("{} questions a class", controls.baseline_questions),
        ),
        (
            "means over",
            format!("{} questions a class", controls.mean_questions),
        ),
        (
            "attention over",
            format!("{} questions a class", controls.attention_questions),
        ),
        (
            "first analysis",
            format!("{} pairs", controls.first_analysis),
        ),
        (
            "incremental engine and plain forward pass",
            format!("{} of {} differ", parity.differing, parity.answers),
        ),
    ])
}
