//! The report of circuits as Markdown, for a repository.

use std::fmt::Write;

use super::circuit_tests::{estimate, test_sentences};
use crate::analysis::circuit::{Circuit, CircuitEvidence, CircuitScore, CircuitTests, ClassTests};
use crate::analysis::hypothesis::{ClauseResult, TestedHypothesis};
use crate::domain::node::NodeName;
use crate::experiment::stats::Count;
use crate::storage::{markdown_code, markdown_text};

/// Rows of the minimality table.
const SHOWN: usize = 12;

/// Writing into a String cannot fail.
const WRITES: &str = "a String takes any text";

/// A share in percent: `94.3 %`.
pub fn percent(count: &Count) -> String {
    format!("{:.1} %", 100.0 * count.share())
}

/// The tokens that go wrong, the most frequent first: `A3 12, A5 4`.
pub fn failing_tokens(score: &CircuitScore) -> String {
    let mut wrong: Vec<_> = score.wrong.iter().collect();
    wrong.sort_by_key(|&(token, &count)| (std::cmp::Reverse(count), *token));
    let wrong: Vec<String> = wrong
        .iter()
        .map(|(t, count)| format!("{t} {count}"))
        .collect();
    wrong.join(", ")
}

/// What became of a clause, in a word.
pub fn clause_verdict(clause: &ClauseResult) -> &'static str {
    match (clause.applies, clause.met, clause.optional) {
        (false, ..) => "does not apply",
        (_, true, _) => "met",
        (_, false, true) => "not met, optional",
        (_, false, false) => "not met",
    }
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> String {
    let names: Vec<String> = nodes.into_iter().map(NodeName::to_string).collect();
    names.join(" ")
}

/// The report of a model's circuits.
pub fn circuit_markdown(evidence: &CircuitEvidence) -> String {
    let mut text = String::new();
    write(&mut text, evidence).expect(WRITES);
    text
}

fn write(text: &mut String, evidence: &CircuitEvidence) -> std::fmt::Result {
    writeln!(text, "# Circuits of {}\n", markdown_text(&evidence.model))?;
    writeln!(
        text,
        "Some nodes are kept and all others ablated: set to their mean over correctly answered questions of the class, each in its own layer, or to their value in one other question of the class. Up to {} correctly answered questions of each class; each score is compared with {} random sets of as many heads and MLPs; seed {}. With probability at least 1 − {}, all intervals of a circuit hold. Weights SHA-256 {}.\n",
        evidence.questions,
        evidence.random_sets,
        evidence.seed,
        evidence.alpha,
        markdown_code(&evidence.weights_sha256)
    )?;
    writeln!(
        text,
        "{} of {} nodes are useful: mean-ablating the node alone makes the model answer some question wrongly.\n",
        evidence.useful.len(),
        evidence.available
    )?;
    writeln!(
        text,
        "| circuit | nodes | useful nodes it includes | of these explained | correct, others at their mean | correct, others resampled |\n|---|---|---|---|---|---|"
    )?;
    for circuit in &evidence.circuits {
        let (heads, mlps) = circuit.make_up();
        let shares = |ablation: &str| {
            let scores = circuit.scores.iter();
            let scores = scores.filter(|score| score.ablation.name() == ablation);
            let shares: Vec<String> = scores
                .map(|score| format!("{} {}", score.class, percent(&score.right.count())))
                .collect();
            shares.join("<br>")
        };
        let of_useful = |nodes| {
            let Count { hits, trials } = evidence.coverage(nodes);
            format!("{hits} of {trials}")
        };
        writeln!(
            text,
            "| {} | {heads} heads, {mlps} MLPs | {} | {} | {} | {} |",
            markdown_text(&circuit.from),
            of_useful(&circuit.covered),
            circuit
                .explained
                .as_ref()
                .map(of_useful)
                .unwrap_or_default(),
            shares("mean"),
            shares("resample"),
        )?;
    }
    writeln!(
        text,
        "\nExplained: nodes that meet a clause of the hypothesis. The others are kept by its `keep` clauses, which say that they belong to the circuit but not what they do.\n"
    )?;
    for circuit in &evidence.circuits {
        write_circuit(text, evidence, circuit)?;
    }
    Ok(())
}

fn write_circuit(
    text: &mut String,
    evidence: &CircuitEvidence,
    circuit: &Circuit,
) -> std::fmt::Result {
    writeln!(text, "## {}\n", markdown_text(&circuit.from))?;
    if let Some(tested) = &circuit.tested {
        write_clauses(text, tested)?;
    }
    write_scores(text, &circuit.scores)?;
    let missing = evidence.useful.difference(&circuit.covered);
    writeln!(
        text,
        "\n- nodes: {}\n- useful nodes it lacks: {}",
        names(&circuit.nodes),
        match names(missing) {
            missing if missing.is_empty() => "none".to_owned(),
            missing => missing,
        }
    )?;
    if let Some(pruned) = &circuit.pruned {
        writeln!(
            text,
            "- {} nodes suffice for {}: {}",
            pruned.nodes.len(),
            percent(&pruned.right),
            names(&pruned.nodes)
        )?;
    }
    writeln!(text)?;
    write_grown(text, circuit, evidence.until)?;
    write_minimality(text, circuit)?;
    match &circuit.tests {
        Some(tests) => write_tests(text, circuit, tests, evidence.alpha),
        None => Ok(()),
    }
}

fn write_tests(
    text: &mut String,
    circuit: &Circuit,
    tests: &CircuitTests,
    alpha: f64,
) -> std::fmt::Result {
    writeln!(
        text,
        "Tests from the literature (docs/METHOD.md, \"Tests of circuits\"), on other questions than those that nodes are ranked on here:\n"
    )?;
    for sentence in test_sentences(circuit, alpha) {
        writeln!(text, "- {sentence}")?;
    }
    writeln!(text)?;
    for class in &tests.classes {
        write_curves(text, class)?;
    }
    Ok(())
}

fn write_curves(text: &mut String, tests: &ClassTests) -> std::fmt::Result {
    let Some(found) = &tests.faithfulness else {
        return Ok(());
    };
    writeln!(
        text,
        "Faithfulness on {} with the first nodes kept ({:.3} logits with all, {:.3} with none):\n\n| nodes | the circuit's first | by effect alone |\n|---|---|---|",
        tests.class, found.whole, found.empty
    )?;
    for (first, effect) in found
        .circuit_first
        .points
        .iter()
        .zip(&found.by_effect.points)
    {
        writeln!(
            text,
            "| {} | {} | {} |",
            first.nodes,
            estimate(&first.faithfulness),
            estimate(&effect.faithfulness)
        )?;
    }
    writeln!(text)
}

fn write_scores(text: &mut String, scores: &[CircuitScore]) -> std::fmt::Result {
    writeln!(
        text,
        "| class | others | correct | random sets | best random set | tokens that fail |\n|---|---|---|---|---|---|"
    )?;
    for score in scores {
        writeln!(
            text,
            "| {} | {} | {} [{:.3}, {:.3}] | {} | {} | {} |",
            score.class,
            score.ablation,
            percent(&score.right.count()),
            score.right.lower,
            score.right.upper,
            percent(&score.random),
            percent(&score.best_random),
            failing_tokens(score),
        )?;
    }
    Ok(())
}

fn write_grown(text: &mut String, circuit: &Circuit, until: f64) -> std::fmt::Result {
    if circuit.grown.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "Nodes added until {until} of the questions are correct, the one that lowers the loss most first:\n\n| added | correct | as many added at random |\n|---|---|---|"
    )?;
    for added in &circuit.grown {
        writeln!(
            text,
            "| {} | {} | {} |",
            added.node,
            percent(&added.right),
            percent(&added.random)
        )?;
    }
    writeln!(text)
}

fn write_minimality(text: &mut String, circuit: &Circuit) -> std::fmt::Result {
    if circuit.minimality.is_empty() {
        return Ok(());
    }
    let idle = circuit.minimality.iter().filter(|m| m.loss <= 0.0).count();
    writeln!(
        text,
        "With one of its nodes left out ({idle} of {} make no difference alone):\n\n| left out | correct | lost |\n|---|---|---|",
        circuit.minimality.len()
    )?;
    for found in circuit.minimality.iter().take(SHOWN) {
        writeln!(
            text,
            "| {} | {} | {:.1} % |",
            found.node,
            percent(&found.right),
            100.0 * found.loss
        )?;
    }
    writeln!(text)
}

fn write_clauses(text: &mut String, tested: &TestedHypothesis) -> std::fmt::Result {
    let holds = if tested.holds {
        "Every required clause is met."
    } else {
        "It does not hold: a required clause is not met."
    };
    writeln!(
        text,
        "{holds}\n\n| clause | | where not met |\n|---|---|---|"
    )?;
    for clause in &tested.clauses {
        let unmet = clause.cases.iter().filter(|case| !case.met);
        let unmet: Vec<String> = unmet
            .map(|case| match case.n {
                Some(n) => format!("n={n}: {}", markdown_text(&case.note)),
                None => markdown_text(&case.note),
            })
            .collect();
        writeln!(
            text,
            "| {} | {} | {} |",
            markdown_text(&clause.says),
            clause_verdict(clause),
            unmet.join("<br>")
        )?;
    }
    writeln!(text)
}
