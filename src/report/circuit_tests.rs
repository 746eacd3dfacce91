//! The tests of the literature for circuits, in words.

use crate::analysis::circuit::{
    CircuitTests, ClassTests, Curve, Decision, HypothesisTests, MinimalityTest, QUANTILE, Scrubbing,
};
use crate::experiment::resampling::BootstrapEstimate;
use crate::experiment::stats::Bounds;

/// Most nodes without effect that are named.
const NAMED: usize = 8;

/// An estimate with its interval: `0.982 [0.970, 0.993]`.
pub(super) fn estimate(of: &BootstrapEstimate) -> String {
    match of.interval {
        Some(Bounds { lower, upper }) => format!("{:.3} [{lower:.3}, {upper:.3}]", of.value),
        None => format!("{:.3}", of.value),
    }
}

/// A p-value, as far as four decimals tell it: `p 0.0014`.
fn p_value(of: f64) -> String {
    match of < 0.0001 {
        true => "p < 0.0001".into(),
        false => format!("p {of:.4}"),
    }
}

/// What the tests of a circuit come to, a sentence each.
pub fn test_sentences(tests: &CircuitTests) -> Vec<String> {
    let mut sentences: Vec<String> = tests.classes.iter().flat_map(of_class).collect();
    sentences.push(match &tests.minimality {
        Some(minimality) => minimality_sentence(minimality),
        None => "Minimality: there is no node to compare with a random one.".into(),
    });
    sentences
}

fn of_class(tests: &ClassTests) -> Vec<String> {
    let class = tests.class;
    let mut sentences = Vec::new();
    match &tests.faithfulness {
        None => sentences.push(format!(
            "{class}: no faithfulness, because ablating all nodes costs no logit difference."
        )),
        Some(found) => {
            let areas = |curve: &Curve| {
                format!("CPR {}, CMD {}", estimate(&curve.cpr), estimate(&curve.cmd))
            };
            sentences.push(format!(
                "{class}: faithfulness {} on {} questions. The circuit's nodes first: {}. All nodes by their effect alone: {}.",
                estimate(&found.circuit),
                tests.judged_on,
                areas(&found.circuit_first),
                areas(&found.by_effect)
            ));
        }
    }
    sentences.push(match &tests.scrubbing {
        Some(scrubbing) => format!("{class}: {}", scrubbing_sentence(scrubbing)),
        None => {
            format!("{class}: no causal scrubbing, because these nodes come without claims.")
        }
    });
    if let Some(found) = &tests.hypotheses {
        sentences.extend(hypothesis_sentences(found).map(|text| format!("{class}: {text}")));
    }
    sentences
}

fn scrubbing_sentence(found: &Scrubbing) -> String {
    let share = match &found.recovered {
        Some(share) => format!("{} of the loss recovered", estimate(share)),
        None => "no loss to recover".into(),
    };
    let left_out = match found.left_out {
        0 => String::new(),
        count => format!(" ({count} left out: no other question agrees with them)"),
    };
    let kept = match found.kept {
        0 => String::new(),
        count => format!(", {count} keep their value"),
    };
    format!(
        "causal scrubbing, {share} on {} questions{left_out}. {} nodes agree in what is claimed of them, {} are random{kept}. Loss {:.3} nats scrubbed, {:.3} clean, {:.3} with all nodes random, {:.3} with shuffled answers.",
        found.questions,
        found.agreeing,
        found.random,
        found.scrubbed_loss,
        found.clean_loss,
        found.random_loss,
        found.shuffled_loss
    )
}

fn hypothesis_sentences(found: &HypothesisTests) -> impl Iterator<Item = String> {
    let equal = &found.equivalence;
    let Bounds { lower, upper } = equal.difference;
    let equivalence = format!(
        "{}: better than the network on {} questions, worse on {}, equal on {} ({}; chance of better minus ½ in [{lower:.3}, {upper:.3}]).",
        match equal.decision {
            Decision::Shown => "equivalent to the network",
            Decision::Rejected => "not equivalent to the network",
            Decision::Open => "equivalence open",
        },
        equal.better,
        equal.worse,
        equal.equal,
        p_value(equal.p_value)
    );
    let independence = format!(
        "{} ({}).",
        match found.independence.decision {
            Decision::Rejected =>
                "not independent: with the circuit ablated, the logits still follow the network's",
            _ =>
                "independence not rejected: with the circuit ablated, the logits are not shown to follow the network's",
        },
        p_value(found.independence.p_value)
    );
    let random = &found.random;
    let against = format!(
        "against {} random sets of as many heads and MLPs: kept alone, {:.3} logits from the network ({}); left out, {:.3} ({}).",
        random.sets,
        random.distance,
        p_value(random.sufficiency_p_value),
        random.distance_without,
        p_value(random.necessity_p_value)
    );
    [equivalence, independence, against].into_iter()
}

fn minimality_sentence(found: &MinimalityTest) -> String {
    let decision = match found.decision {
        Decision::Shown => "Minimal: every node does more than random nodes",
        Decision::Rejected => "Not minimal",
        Decision::Open => "Minimality open",
    };
    // Nodes are in falling order of their change, and so are those that are not needed.
    let idle: Vec<String> = (found.nodes.iter().rev())
        .take_while(|node| node.change <= 0.0)
        .map(|node| node.node.to_string())
        .collect();
    let shown = idle
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    let more = match idle.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let without = match idle.is_empty() {
        true => String::new(),
        false => format!("; without effect: {shown}{more}"),
    };
    let weakest = found.nodes.last();
    let weakest = weakest.map_or_else(String::new, |node| {
        format!(
            " Weakest {}: without it the logit difference changes by {:.3}, more than without {} of {} random nodes (null hypotheses, adjusted: it is like a random node, {}; it is above their {QUANTILE} quantile, {}).",
            node.node,
            node.change,
            node.above,
            found.random_nodes,
            p_value(node.needed_adjusted),
            p_value(node.minimal_adjusted)
        )
    });
    format!("{decision}{without}.{weakest}")
}
