//! The report as Markdown, for a repository.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::claim_view::stratum_text;
use super::document::restriction;
use super::{ClaimView, Report, summary_line};
use crate::analysis::graph::{Vertex, mermaid};
use crate::domain::node::NodeName;
use crate::experiment::stats::Rate;
use crate::experiment::{Aspect, TIE_MARGIN, TokenRate};
use crate::storage::{markdown_code, markdown_text};
use crate::verify::evidence::{Escalated, Evidence, Trials};
use crate::verify::{Controls, SELECTIVITY_MARGIN, VerdictKind};

pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("a String takes any text");
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let evidence = &report.evidence;
    let inputs = &evidence.inputs;
    let protocol = &evidence.protocol;
    writeln!(text, "# Claims about {}\n", markdown_text(&inputs.model))?;
    for change in &report.changes {
        writeln!(
            text,
            "> **Note:** {}.\n",
            markdown_text(&change.to_string())
        )?;
    }
    writeln!(text, "{}.\n", summary_line(evidence))?;
    let shape = &inputs.shape;
    writeln!(
        text,
        "{} digits, {} layers of {} heads, d_model {}, trained for {}. Weights SHA-256 {}, claims {}.\n",
        shape.n_digits,
        shape.n_layers,
        shape.n_heads,
        shape.d_model,
        markdown_code(&inputs.operations),
        markdown_code(&inputs.weights_sha256),
        markdown_code(&inputs.features_sha256),
    )?;
    writeln!(
        text,
        "Decoding {}, interchange accuracy threshold {}, error α = {} over {} testable claims and both directions, at most {} counterfactual trials a claim, seed {}.",
        protocol.decode,
        protocol.threshold,
        protocol.alpha,
        protocol.testable_claims,
        protocol.max_trials,
        protocol.seed
    )?;
    for filter in &protocol.filters {
        writeln!(text, "{}.", markdown_text(&restriction(filter)))?;
    }

    writeln!(text, "\n## The unpatched model\n")?;
    writeln!(text, "| class | correct | claims testable |\n|---|---|---|")?;
    for class in &evidence.baseline.classes {
        writeln!(
            text,
            "| {} | {} | {} |",
            class.class,
            class.accuracy,
            if class.passes { "yes" } else { "no" }
        )?;
    }

    writeln!(text, "\n## Claims\n")?;
    writeln!(
        text,
        "| node | claim | published | verdict | interchange accuracy | note |\n|---|---|---|---|---|---|"
    )?;
    let claims = report.claims();
    for claim in &claims {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            claim.node,
            markdown_text(claim.tag),
            claim.published.name(),
            claim.verdict,
            claim.evidence.interchange_accuracy_text(),
            markdown_text(&claim.note),
        )?;
    }

    if claims.iter().any(|claim| claim.evidence.trials.is_some()) {
        writeln!(text, "\n## Each claim\n")?;
    }
    for claim in &claims {
        if let Some(trials) = &claim.evidence.trials {
            write_claim(text, claim, trials)?;
        }
    }
    write_graph(text, report)?;
    write_trail(text, report)
}

/// Most characters of a mermaid graph: beyond 50,000 GitHub shows an error in its place.
const MERMAID_LIMIT: usize = 50_000;

/// The claims that hold, with what they feed.
fn write_graph(text: &mut String, report: &Report) -> std::fmt::Result {
    let whole = &report.graph;
    let holding = whole.edges.node_indices().filter(|&vertex| {
        let vertex = &whole.edges[vertex];
        !vertex.is_claim() || vertex.holds()
    });
    let graph = whole.part(&holding.collect());
    if !graph.edges.node_weights().any(Vertex::is_claim) {
        return Ok(());
    }
    writeln!(
        text,
        "\n## Dependency graph\n\nThe claims that hold, and the edges between them that arithmetic implies and the network can implement{}.\n",
        match graph.protocol {
            Some(_) => ", as measured by path patching",
            None => "; none is measured here",
        }
    )?;
    let drawn = mermaid(&graph);
    if drawn.len() > MERMAID_LIMIT {
        return writeln!(
            text,
            "Too large to be drawn here: `{} --format svg` draws it.",
            report.graph_command()
        );
    }
    writeln!(text, "```mermaid\n{drawn}```")
}

/// How the report is made again, and what else there is.
fn write_trail(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "\n## Reproduce\n\n```\n{}\n{}\n```\n\nThe report is made from evidence.json, SHA-256 `{}`.",
        report.verify_command(),
        report.report_command(),
        report.evidence_sha256
    )?;
    for part in &report.parts {
        let file = part.kind.file();
        match &part.found {
            Some(found) => writeln!(text, "It includes {file}, SHA-256 `{}`.", found.sha256)?,
            None => writeln!(
                text,
                "There is no {file}; `{}` measures it.",
                report.part_command(part)
            )?,
        }
    }
    Ok(())
}

/// The whole trail of one claim: what was drawn, each measure, each control, and why its verdict.
/// `margin` is the smallest logit margin of its counterexample, where it has one.
pub fn explanation(claim: &ClaimView, evidence: &Evidence, margin: Option<f32>) -> String {
    let mut text = String::new();
    write_explanation(&mut text, claim, evidence, margin).expect("a String takes any text");
    text
}

fn write_explanation(
    text: &mut String,
    claim: &ClaimView,
    evidence: &Evidence,
    margin: Option<f32>,
) -> std::fmt::Result {
    let Some(trials) = &claim.evidence.trials else {
        return writeln!(
            text,
            "### {}: {}\n\n{}",
            markdown_text(claim.claim),
            claim.verdict,
            markdown_text(&claim.note)
        );
    };
    write_claim(text, claim, trials)?;
    if let Some(margin) = margin {
        writeln!(
            text,
            "The counterexample's answer leads by {margin:.4} in logits at least; under {TIE_MARGIN} it would be a tie and refute nothing.\n"
        )?;
    }
    writeln!(
        text,
        "Why: {}\n",
        why(claim.verdict, &markdown_text(&claim.note))
    )?;
    write_draws(text, trials, evidence)?;
    write_tried(text, trials)?;
    if let Some(test) = &claim.evidence.published_test {
        writeln!(text, "Published test ({}):\n", claim.published.name())?;
        for trial in &test.answers {
            writeln!(
                text,
                "- {} into {}: {}",
                trial.source.question, trial.base, trial.got
            )?;
        }
        writeln!(text)?;
    }
    write_tokens(text, &trials.alone.tokens)?;
    write_elsewhere(text, &trials.controls)
}

/// What was drawn, and what error the bounds spend.
fn write_draws(text: &mut String, trials: &Trials, evidence: &Evidence) -> std::fmt::Result {
    let protocol = &evidence.protocol;
    let judged: u64 = trials
        .alone
        .off_target
        .values()
        .map(|rate| rate.trials)
        .sum();
    writeln!(
        text,
        "Drawn, from seed {}: {judged} counterfactual pairs{} and {} control pairs{}, no pair twice. {} more were dropped because the unpatched model answers them wrongly, {} set aside as numerical ties. Sets, controls and the tokens judged were tried and chosen on other pairs.\n",
        protocol.seed,
        extent(trials.alone.off_target.values().any(|rate| rate.exhaustive)),
        trials.alone.control_pairs.trials,
        extent(trials.alone.control_pairs.exhaustive),
        trials.dropped,
        trials.alone.ties
    )?;
    writeln!(
        text,
        "Bounds: the claim spends {:.2e} in each direction, half of its share in α = {}; the sets tried for it spend the other half. The last interim analysis was number {}, which spends 2^-{} of that. Bounds against the claim (the upper one of interchange accuracy, the lower ones of off-target effect and control pairs) share it evenly; those in its favour need no share.\n",
        trials.alpha, protocol.alpha, trials.alone.analyses, trials.alone.analyses
    )
}

/// Each token judged by itself, in each group of pairs that changes it.
fn write_tokens(text: &mut String, tokens: &[TokenRate]) -> std::fmt::Result {
    writeln!(text, "Tokens moved as predicted, by stratum of pairs:\n")?;
    for cell in tokens {
        let name = format!("{} {}", cell.token, stratum_text(cell.stratum));
        writeln!(
            text,
            "- {}: {}, {}; moved elsewhere in {}",
            name.trim_end(),
            cell.moved,
            cell.outcome.name(),
            cell.astray
        )?;
    }
    Ok(())
}

/// What else passes, and what the nodes pass elsewhere.
fn write_elsewhere(text: &mut String, controls: &Controls) -> std::fmt::Result {
    if !controls.decoys.is_empty() {
        writeln!(text, "\nDecoys, the closest first:\n")?;
    }
    for decoy in &controls.decoys {
        let names: Vec<String> = decoy.nodes.iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "- {}: {} of {}, difference at least {:.2}{}",
            names.join(" "),
            decoy.interchange_accuracy.hits,
            decoy.interchange_accuracy.trials,
            decoy.difference_lower,
            if decoy.carries {
                ", carries it too"
            } else {
                ""
            }
        )?;
    }
    let elsewhere = controls.wrong_digits.iter();
    writeln!(text, "\nThe same nodes elsewhere:\n")?;
    for result in elsewhere.chain(&controls.wrong_tasks) {
        writeln!(
            text,
            "- {}: {} of {}",
            result.variable, result.interchange_accuracy.hits, result.interchange_accuracy.trials
        )?;
    }
    writeln!(text)
}

/// How much of what there is was drawn.
fn extent(exhaustive: bool) -> &'static str {
    if exhaustive {
        " (all there are, so that their rates are exact)"
    } else {
        ""
    }
}

/// Every measure of what was tried in the node's place.
fn write_tried(text: &mut String, trials: &Trials) -> std::fmt::Result {
    if trials.escalation.is_empty() {
        return Ok(());
    }
    writeln!(text, "Other sets that were tested:\n")?;
    for tried in &trials.escalation {
        let measures = &tried.measures;
        let all = |rates: &BTreeMap<Aspect, Rate>| {
            let rates: Vec<String> = rates.values().map(Rate::to_string).collect();
            rates.join(", ")
        };
        writeln!(
            text,
            "- {}, judged on {}: interchange accuracy {}; effect {}; off-target effect {}; control pairs {}; {} ties; look {}",
            tried_text(tried),
            tried.affected_tokens,
            all(&measures.interchange_accuracy),
            all(&measures.effect),
            all(&measures.off_target),
            measures.control_pairs,
            measures.ties,
            measures.analyses
        )?;
        if measures.unstable > 0 {
            writeln!(
                text,
                "  ({} trials set aside, as what is mean-ablated changes their answer by itself)",
                measures.unstable
            )?;
        }
    }
    writeln!(text)
}

/// The nodes of a set, and what is mean-ablated beside them.
fn tried_text(tried: &Escalated) -> String {
    let names = |nodes: &[NodeName]| {
        let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        names.join(" ")
    };
    match &tried.mean_ablated[..] {
        [] => names(&tried.nodes),
        held => format!("{} with {} mean-ablated", names(&tried.nodes), names(held)),
    }
}

/// Why a claim has its verdict, in a sentence.
fn why(verdict: VerdictKind, note: &str) -> String {
    let rule = match verdict {
        VerdictKind::Supported => {
            "the predicted answers come out at the threshold, control pairs and off-target effect are negligible, and every decoy and wrong digit is beaten"
        }
        VerdictKind::Unspecific => "more changes than predicted, or decoys do as well",
        VerdictKind::Joint => {
            "a set that holds the node passes every test, and neither the node alone nor the rest of the set does"
        }
        VerdictKind::JointInPart => {
            "a set that holds the node holds in part, and neither the node alone nor the rest of the set does as well"
        }
        VerdictKind::Redundant => {
            "patching the node alone moves none of the tokens that should change, and with the other carriers mean-ablated it decides"
        }
        VerdictKind::Partial => {
            "interchange accuracy is below the threshold and at least one half, with nothing else disturbed"
        }
        VerdictKind::Refuted => {
            "interchange accuracy is below one half, and the node does something else, or nothing for the variable"
        }
        VerdictKind::NotShown => {
            "the node alone fails, and no set was found that holds and needs it, which does not prove that there is none"
        }
        VerdictKind::Correlational => {
            "the node attends as claimed, and patching it does not move answers to the predicted value"
        }
        VerdictKind::Inconclusive => "the budget ended before the bounds decided",
        VerdictKind::NotTestable => "the claim cannot be tested",
    };
    if note.is_empty() {
        format!("{rule}.")
    } else {
        format!("{rule}: {note}.")
    }
}

fn write_claim(text: &mut String, claim: &ClaimView, trials: &Trials) -> std::fmt::Result {
    writeln!(
        text,
        "### {}: {}\n",
        markdown_text(claim.claim),
        claim.verdict
    )?;
    for (aspect, rate) in &trials.alone.interchange_accuracy {
        let aspect = format!("{aspect:?}").to_lowercase();
        writeln!(text, "- {aspect}: interchange accuracy {}", rate)?;
    }
    for (name, rates) in [
        ("effect", &trials.alone.effect),
        ("off-target effect", &trials.alone.off_target),
    ] {
        for rate in rates.values() {
            writeln!(text, "- {name} {}", rate)?;
        }
    }
    writeln!(text, "- control pairs {}", trials.alone.control_pairs)?;
    if let Some(after) = claim
        .measures
        .and_then(|measures| measures.after_sign.as_ref())
    {
        writeln!(text, "- {after}")?;
    }
    if let Some(order) = &trials.free_order {
        writeln!(text, "- {order}")?;
    }
    if let Some(verdict) = claim.free_running {
        writeln!(text, "- free-running: {verdict}")?;
    }
    writeln!(text, "- judged on {}", trials.affected_tokens)?;
    let set = claim
        .evidence
        .affected_tokens()
        .filter(|&affected_tokens| affected_tokens != trials.affected_tokens);
    if let Some(affected_tokens) = set {
        writeln!(text, "- the set on {affected_tokens}")?;
    }
    for unreached in &trials.unreached {
        let by = if unreached.reached_by.is_empty() {
            String::new()
        } else {
            format!(
                ", which {} changes",
                markdown_text(&unreached.reached_by.join(" and "))
            )
        };
        writeln!(text, "- does not affect {}{by}", unreached.token)?;
    }
    for tried in &trials.escalation {
        let interchange_accuracy: Vec<String> = tried
            .measures
            .interchange_accuracy
            .values()
            .map(Rate::to_string)
            .collect();
        let known = tried.need.filter(|need| need.lower.is_finite());
        let need = known.map_or_else(String::new, |need| {
            format!(
                ", which need the node by {:.2} to {:.2}",
                need.lower, need.upper
            )
        });
        writeln!(
            text,
            "- also tested {}: interchange accuracy {}{need}",
            tried_text(tried),
            interchange_accuracy.join(", ")
        )?;
    }
    write_controls(text, trials)?;
    for weakness in claim.fails_where {
        writeln!(text, "- fails where {weakness}")?;
    }
    if let (Some(example), Some(replay)) = (claim.counterexample, &claim.replay) {
        writeln!(
            text,
            "- counterexample: expected {}, got {}",
            example.predicted, example.got
        )?;
        writeln!(text, "\n  ```\n  {replay}\n  ```")?;
    }
    writeln!(text)
}

/// How the nodes do against controls, and whether they are needed.
fn write_controls(text: &mut String, trials: &Trials) -> std::fmt::Result {
    let controls = &trials.controls;
    // A claim that fails has no decoys to beat.
    if !controls.decoys.is_empty() {
        writeln!(
            text,
            "- exceeds the best decoy by at least {:.2} ({SELECTIVITY_MARGIN} required), over {} trials",
            controls.beats_decoys_by, controls.interchange_accuracy.trials
        )?;
    }
    for decoy in controls.decoys.iter().filter(|decoy| decoy.carries) {
        let names: Vec<String> = decoy.nodes.iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "- additional carrier: {}, {} of {}",
            names.join(" "),
            decoy.interchange_accuracy.hits,
            decoy.interchange_accuracy.trials
        )?;
    }
    if let Some(by) = controls.beats_wrong_digits_by {
        writeln!(
            text,
            "- beats itself at every other digit by at least {by:.2}"
        )?;
    }
    writeln!(
        text,
        "- untrained weights pass {} of {} trials; patching its own activation changes {} of {}",
        controls.untrained.hits,
        controls.untrained.trials,
        controls.own_activation.hits,
        controls.own_activation.trials
    )?;
    let necessity = &trials.necessity;
    write!(
        text,
        "- mean-ablated, {} of {} questions that need it are still answered correctly",
        necessity.needing.hits, necessity.needing.trials,
    )?;
    let others = necessity.not_needing;
    if others.trials > 0 {
        write!(text, ", {} of {} others", others.hits, others.trials)?;
    }
    writeln!(text)
}
