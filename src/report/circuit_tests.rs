//! The tests of the literature for circuits, in words.

use crate::analysis::circuit::{
    Circuit, ClassTests, Curve, Decision, FEWEST, HypothesisTests, MinimalityTest, QUANTILE,
    Scrubbing,
};
use crate::experiment::resampling::BootstrapEstimate;
use crate::experiment::stats::Bounds;

/// Most nodes that are named as not needed.
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

/// What the tests of a circuit come to, a sentence each; none if it was not tested. `alpha` is the error
/// that they were made at.
pub fn test_sentences(circuit: &Circuit, alpha: f64) -> Vec<String> {
    let Some(tests) = &circuit.tests else {
        return Vec::new();
    };
    let mut sentences = Vec::new();
    if !circuit.grown.is_empty() || circuit.pruned.is_some() {
        let given = count(circuit.nodes.len() as u64, "node");
        sentences.push(format!(
            "Tested: the {given} given, before growing and pruning."
        ));
    }
    sentences.extend(tests.classes.iter().flat_map(of_class));
    let too_few = tests.too_few.iter().map(|class| {
        let needed = 2 * FEWEST;
        format!("{class}: not tested, because fewer than {needed} questions are answered correctly or asked for.")
    });
    sentences.extend(too_few);
    sentences.push(match &tests.minimality {
        Some(minimality) => minimality_sentence(minimality, alpha),
        None => "Minimality: there is no node to compare with a random one, or no question.".into(),
    });
    sentences
}

/// `1 node`, `2 nodes`.
fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
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
    let scrubbed = |of: &Option<Scrubbing>, what: &str| {
        of.as_ref().map(|of| {
            format!(
                "{class}: causal scrubbing{what}, {}",
                scrubbing_sentence(of)
            )
        })
    };
    let all = scrubbed(&tests.scrubbing, "");
    let alone = scrubbed(&tests.claims_alone, " of the claims alone");
    if all.is_none() {
        sentences.push(format!(
            "{class}: no causal scrubbing, because these nodes come without claims."
        ));
    }
    sentences.extend(all.into_iter().chain(alone));
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
        number => format!(" ({number} left out: no other that agrees with them was drawn)"),
    };
    let kept = match found.kept {
        0 => String::new(),
        number => format!(", {number} keep their value"),
    };
    format!(
        "{share} on {}{left_out}. Nodes: {} take their value from a question with the same claimed values, {} from a random one{kept}. Loss {:.3} nats scrubbed, {:.3} clean, {:.3} with random values, {:.3} with shuffled answers.",
        count(found.questions as u64, "question"),
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
        "{}: logit difference larger than the network's on {}, smaller on {}, equal on {} ({}; chance of larger minus ½ in [{lower:.3}, {upper:.3}]).",
        match equal.decision {
            Decision::Shown => "equivalent to the network",
            Decision::Rejected => "not equivalent to the network",
            Decision::Open if equal.enough => "equivalence open",
            Decision::Open => "equivalence open, and not to be shown with so few questions",
        },
        count(equal.better, "question"),
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
        "against {} of as many heads and MLPs: kept alone, {:.3} logits from the network ({}); left out, {:.3} ({}). No p is below {:.4} with so many sets.",
        count(random.sets as u64, "random set"),
        random.distance,
        p_value(random.sufficiency_p_value),
        random.distance_without,
        p_value(random.necessity_p_value),
        1.0 / (random.sets + 1) as f64
    );
    [equivalence, independence, against].into_iter()
}

fn minimality_sentence(found: &MinimalityTest, alpha: f64) -> String {
    let decision = match found.decision {
        Decision::Shown => "Minimal: every node does more than random nodes",
        Decision::Rejected => "Not minimal",
        Decision::Open => "Minimality open",
    };
    // Nodes are in falling order of their change, and so are those that are like random ones.
    let idle: Vec<String> = (found.nodes.iter().rev())
        .take_while(|node| node.minimal_adjusted <= alpha)
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
        false => format!(": {shown}{more} not above the {QUANTILE} quantile of random nodes"),
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
