//! The evidence as Parquet tables in long form: claims, measures, and single trials.

use super::{ClaimView, Report};
use crate::domain::arithmetic::Answer;
use crate::domain::causal::Kind;
use crate::domain::node::NodeName;
use crate::experiment::stats::{Count, Rate};
use crate::experiment::{Counterexample, Judgment, Measures};
use crate::storage::parquet::{Columns, ParquetTable, whole};
use crate::verify::evidence::{ClaimEvidence, Evidence};
use crate::verify::{PublishedResult, Replayed, VerdictKind};

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    names.join(" ")
}

/// A claim and what became of it, as a row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRow {
    model: String,
    weights_sha256: String,
    claim: String,
    node: NodeName,
    task: String,
    digit: Option<usize>,
    published: PublishedResult,
    verdict: VerdictKind,
    nodes: String,
    interchange_accuracy: Option<Rate>,
    note: String,
    counterexample: Option<Counterexample>,
}

/// The claims of some evidence, in its order.
pub fn claim_rows(evidence: &Evidence) -> Vec<ClaimRow> {
    let row = |claim: ClaimView| ClaimRow {
        model: evidence.inputs.model.clone(),
        weights_sha256: evidence.inputs.weights_sha256.clone(),
        claim: claim.claim.to_owned(),
        node: claim.node,
        task: claim.task.to_owned(),
        digit: claim.digit,
        published: claim.published,
        verdict: claim.verdict,
        nodes: names(claim.nodes),
        interchange_accuracy: claim.lowest_interchange_accuracy().copied(),
        note: claim.note,
        counterexample: claim.counterexample.cloned(),
    };
    ClaimView::all(evidence, "").into_iter().map(row).collect()
}

/// A row for each claim: of one model, or of many.
pub fn claims_table(rows: &[ClaimRow]) -> ParquetTable {
    let example = |of: fn(&Counterexample) -> String| {
        move |row: &ClaimRow| row.counterexample.as_ref().map(of)
    };
    ParquetTable {
        file: "claims.parquet",
        says: "One row for each claim of the claims file.",
        columns: Columns::of(rows)
            .text("model", "The model's name.", |r| r.model.clone())
            .text("weights_sha256", "SHA-256 of the weights tested.", |r| {
                r.weights_sha256.clone()
            })
            .text(
                "claim",
                "Node and tag: the key that the other tables share.",
                |r| r.claim.clone(),
            )
            .text("node", "The node claimed.", |r| r.node.to_string())
            .integer("position", "Its token position.", |r| {
                whole(r.node.position)
            })
            .integer("layer", "Its layer.", |r| whole(r.node.layer))
            .integer("head", "Its head; absent for an MLP.", |r| {
                r.node.head().and_then(whole)
            })
            .text("task", "The task claimed.", |r| r.task.clone())
            .integer(
                "digit",
                "The digit claimed; absent for tasks without one.",
                |r| r.digit.and_then(whole),
            )
            .text("published", "What the published test gives.", |r| {
                r.published.name().to_owned()
            })
            .text("verdict", "The verdict.", |r| r.verdict.name().to_owned())
            .flag("refutes", "Whether the verdict counts as refuted.", |r| {
                r.verdict.refutes()
            })
            .text(
                "nodes",
                "The nodes the verdict is about, with blanks between.",
                |r| r.nodes.clone(),
            )
            .integer(
                "interchange_accuracy_hits",
                "Counterfactual trials as predicted, of what the verdict rests on; of several \
                 parts the lowest.",
                |r| whole(r.interchange_accuracy?.hits),
            )
            .integer(
                "interchange_accuracy_trials",
                "Counterfactual trials of that.",
                |r| whole(r.interchange_accuracy?.trials),
            )
            .number(
                "interchange_accuracy_lower",
                "Lower bound of that rate.",
                |r| Some(r.interchange_accuracy?.lower),
            )
            .number(
                "interchange_accuracy_upper",
                "Upper bound of that rate.",
                |r| Some(r.interchange_accuracy?.upper),
            )
            .text("note", "Why, in a line.", |r| r.note.clone())
            .text(
                "counterexample_source",
                "Where the counterexample's activation comes from.",
                example(|e| e.source.to_string()),
            )
            .text(
                "counterexample_base",
                "What it is patched into.",
                example(|e| e.base.to_string()),
            )
            .text(
                "counterexample_predicted",
                "The answer the claim predicts.",
                example(|e| e.predicted.to_string()),
            )
            .text(
                "counterexample_got",
                "The answer given.",
                example(|e| e.got.to_string()),
            )
            .made,
    }
}

/// One count of one claim.
struct MeasuresRow<'a> {
    claim: &'a str,
    node_set: &'static str,
    nodes: String,
    variable: Option<String>,
    measure: &'static str,
    part: Option<String>,
    count: Count,
    bounds: Option<Rate>,
}

/// The rows of one claim, from the node alone to the controls.
fn measured(claim: &ClaimEvidence) -> Vec<MeasuresRow<'_>> {
    let Some(trials) = &claim.trials else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    let alone = names(&[claim.node]);
    add_measures(&mut rows, claim, "alone", alone.clone(), &trials.alone);
    for tried in &trials.escalation {
        let node_set = match tried.mean_ablated.is_empty() {
            true => "set",
            false => "others mean-ablated",
        };
        add_measures(
            &mut rows,
            claim,
            node_set,
            names(&tried.nodes),
            &tried.measures,
        );
    }
    let row = |node_set, nodes: &str, measure, count| MeasuresRow {
        claim: &claim.claim,
        node_set,
        nodes: nodes.to_owned(),
        variable: None,
        measure,
        part: None,
        count,
        bounds: None,
    };
    for cell in &trials.alone.tokens {
        let stratum = serde_json::to_string(&cell.stratum).expect("a stratum has string keys");
        rows.push(MeasuresRow {
            part: Some(format!("{} {stratum}", cell.token)),
            bounds: Some(cell.moved),
            ..row("alone", &alone, "token moved", cell.moved.count())
        });
    }
    let controls = &trials.controls;
    let nodes = names(&claim.nodes);
    rows.push(row(
        "controlled",
        &nodes,
        "interchange_accuracy",
        controls.interchange_accuracy,
    ));
    for decoy in &controls.decoys {
        rows.push(row(
            "decoy",
            &names(&decoy.nodes),
            "interchange_accuracy",
            decoy.interchange_accuracy,
        ));
    }
    for (node_set, elsewhere) in [
        ("other digit", &controls.wrong_digits),
        ("other task", &controls.wrong_tasks),
    ] {
        for result in elsewhere {
            rows.push(MeasuresRow {
                variable: Some(result.variable.to_string()),
                ..row(
                    node_set,
                    &nodes,
                    "interchange_accuracy",
                    result.interchange_accuracy,
                )
            });
        }
    }
    let necessity = &trials.necessity;
    rows.extend([
        row(
            "untrained weights",
            &nodes,
            "interchange_accuracy",
            controls.untrained,
        ),
        row("own activation", &nodes, "changed", controls.own_activation),
        row("ablated", &nodes, "right, needing", necessity.needing),
        row(
            "ablated",
            &nodes,
            "right, not needing",
            necessity.not_needing,
        ),
    ]);
    rows
}

fn add_measures<'a>(
    rows: &mut Vec<MeasuresRow<'a>>,
    claim: &'a ClaimEvidence,
    node_set: &'static str,
    nodes: String,
    measures: &Measures,
) {
    let mut add = |measure, part: Option<String>, rate: &Rate| {
        rows.push(MeasuresRow {
            claim: &claim.claim,
            node_set,
            nodes: nodes.clone(),
            variable: None,
            measure,
            part,
            count: rate.count(),
            bounds: Some(*rate),
        });
    };
    for (measure, rates) in [
        ("interchange_accuracy", &measures.interchange_accuracy),
        ("effect", &measures.effect),
        ("off_target", &measures.off_target),
    ] {
        for (aspect, rate) in rates {
            add(measure, Some(format!("{aspect:?}").to_lowercase()), rate);
        }
    }
    add("control_pairs", None, &measures.control_pairs);
}

/// A row for each count in the evidence.
pub fn measures_table(report: &Report) -> ParquetTable {
    let rows: Vec<MeasuresRow> = report.evidence.claims.iter().flat_map(measured).collect();
    ParquetTable {
        file: "measures.parquet",
        says: "One row for each count that the evidence holds of a claim.",
        columns: Columns::of(&rows)
            .text("claim", "The claim.", |r| r.claim.to_owned())
            .text(
                "node_set",
                "What was patched or ablated: alone (the node claimed), set, others \
                 mean_ablated, controlled (the nodes of the verdict on the trials of \
                 decoys), decoy, other digit, other task, untrained weights, own \
                 activation, ablated.",
                |r| r.node_set.to_owned(),
            )
            .text("nodes", "Its nodes, with blanks between.", |r| {
                r.nodes.clone()
            })
            .text(
                "variable",
                "The variable tried, where it is not the claim's.",
                |r| r.variable.clone(),
            )
            .text(
                "measure",
                "What was counted: interchange_accuracy, effect, off_target, control_pairs, token moved, \
                 changed, right.",
                |r| r.measure.to_owned(),
            )
            .text(
                "part",
                "The part of the task, or the token with its stratum; absent where there \
                 is one part.",
                |r| r.part.clone(),
            )
            .integer("hits", "Trials with that outcome.", |r| whole(r.count.hits))
            .integer("trials", "All trials.", |r| whole(r.count.trials))
            .flag(
                "exhaustive",
                "Whether the trials are all there are; absent where no bounds are stated.",
                |r| Some(r.bounds?.exhaustive),
            )
            .number("lower", "Lower bound of the rate, where stated.", |r| {
                Some(r.bounds?.lower)
            })
            .number("upper", "Upper bound of the rate, where stated.", |r| {
                Some(r.bounds?.upper)
            })
            .made,
    }
}

/// A row for each judged trial of the claimed nodes alone.
pub fn trials_table(replayed: &[Replayed]) -> ParquetTable {
    let rows: Vec<(&ClaimEvidence, usize, &Judgment)> = replayed
        .iter()
        .flat_map(|claim| {
            let judgments = claim.judgments.iter().enumerate();
            judgments.map(|(i, judgment)| (claim.claim, i, judgment))
        })
        .collect();
    let answer = |of: fn(&Judgment) -> Answer| {
        move |row: &(&ClaimEvidence, usize, &Judgment)| Some(of(row.2).to_string())
    };
    ParquetTable {
        file: "trials.parquet",
        says: "One row for each judged trial of a claimed node alone; of very many, the \
                 first.",
        columns: Columns::of(&rows)
            .text("claim", "The claim.", |r| r.0.claim.clone())
            .integer("trial", "Its place among the claim's judged trials.", |r| {
                whole(r.1)
            })
            .text(
                "kind",
                "counterfactual (a change is predicted) or control_pairs (none is).",
                |r| match r.2.kind {
                    Kind::Counterfactual => "counterfactual".to_owned(),
                    Kind::Control => "control_pairs".to_owned(),
                },
            )
            .text(
                "stratum",
                "The group of pairs it was drawn from, as JSON.",
                |r| serde_json::to_string(&r.2.trial.stratum).expect("a stratum has string keys"),
            )
            .text("source", "Where the activation comes from.", |r| {
                r.2.trial.pair.source.to_string()
            })
            .text("base", "What it is patched into.", |r| {
                r.2.trial.pair.base.to_string()
            })
            .text(
                "unpatched",
                "The answer without the patch.",
                answer(|j| j.trial.reference),
            )
            .text(
                "predicted",
                "The answer that the claim predicts with it.",
                answer(|j| j.trial.predicted),
            )
            .text("got", "The answer given.", answer(|j| j.outcome.answer))
            .flag(
                "agrees",
                "Whether it is as predicted on the tokens judged, with nothing else changed.",
                |r| r.2.agrees,
            )
            .made,
    }
}
