//! The report of property tests as Markdown, for a repository.

use std::fmt::Write;

use crate::analysis::property::evidence::{
    FailingCase, PropertyEvidence, PropertyResult, PropertyStanding,
};
use crate::analysis::property::{NODES, Separates, Separation};
use crate::storage::{markdown_code, markdown_text};

/// One line that sums up property tests.
pub fn property_summary(evidence: &PropertyEvidence) -> String {
    let mut parts: Vec<String> = Vec::new();
    for standing in [
        PropertyStanding::Holds,
        PropertyStanding::Fails,
        PropertyStanding::NotAsked,
    ] {
        let results = evidence.properties.iter();
        let count = results.filter(|r| r.standing == standing).count();
        if count > 0 {
            parts.push(format!("{count} {}", standing.name()));
        }
    }
    let mut line = format!(
        "{}: {}",
        counted(evidence.properties.len(), "property", "properties"),
        parts.join(", ")
    );
    if evidence.properties.is_empty() {
        line.clear();
    }
    if !evidence.nodes.is_empty() {
        let mut parts: Vec<String> = Vec::new();
        for separates in [
            Separates::Yes,
            Separates::No,
            Separates::Undecided,
            Separates::NotAsked,
        ] {
            let nodes = evidence.nodes.iter();
            let count = nodes.filter(|n| n.separates == separates).count();
            if count > 0 {
                parts.push(format!("{count} {}", separates.name()));
            }
        }
        let gap = if line.is_empty() { "" } else { "; " };
        let claims = counted(evidence.nodes.len(), "claimed node", "claimed nodes");
        line += &format!("{gap}{claims}: {}", parts.join(", "));
    }
    line
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The report of property tests. `model` is how the command line names the model, for the commands
/// that reproduce what is shown; empty for the bundled one.
pub fn property_markdown(evidence: &PropertyEvidence, model: &str) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    write(&mut text, evidence, model).expect("a String takes any text");
    text
}

fn write(text: &mut String, evidence: &PropertyEvidence, model: &str) -> std::fmt::Result {
    writeln!(text, "# Properties of {}\n", markdown_text(&evidence.model))?;
    writeln!(text, "{}.\n", property_summary(evidence))?;
    let shape = &evidence.shape;
    writeln!(
        text,
        "{} digits, trained for {}. Weights SHA-256 {}. {} distinct cases of each property, decoding {}, seed {}. Each bound is wrong with probability at most {}.\n",
        shape.n_digits,
        markdown_code(&evidence.operations),
        markdown_code(&evidence.weights_sha256),
        evidence.cases,
        markdown_text(&evidence.decode),
        evidence.seed,
        evidence.alpha,
    )?;
    if !evidence.properties.is_empty() {
        writeln!(
            text,
            "Half of the cases are drawn uniformly, and the rates are of these; half are drawn from the groups on which models break.\n"
        )?;
        writeln!(
            text,
            "| property | result | failures | drawn uniformly | simplest failing case |\n|---|---|---|---|---|"
        )?;
        for result in &evidence.properties {
            let uniform: Vec<String> = result
                .uniform
                .iter()
                .map(|rate| format!("{}: {}", rate.group, rate.rate.rare_text()))
                .collect();
            let simplest = result.counterexamples.first().map(shown);
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                markdown_text(&result.property),
                result.standing.name(),
                failures(result),
                uniform.join("<br>"),
                simplest.unwrap_or_default(),
            )?;
        }
        writeln!(text, "\n## Each property\n")?;
    }
    for result in &evidence.properties {
        write_property(text, result, model)?;
    }
    if !evidence.nodes.is_empty() {
        write_nodes(text, &evidence.nodes)?;
    }
    Ok(())
}

/// `12/100000`, or nothing where nothing was asked.
fn failures(result: &PropertyResult) -> String {
    match result.standing {
        PropertyStanding::NotAsked => String::new(),
        _ => format!("{}/{}", result.failures.hits, result.failures.trials),
    }
}

/// The question at fault with its answer.
fn shown(example: &FailingCase) -> String {
    let asked = example.question();
    format!("{}={}", asked.question, asked.answer)
}

fn write_property(text: &mut String, result: &PropertyResult, model: &str) -> std::fmt::Result {
    writeln!(
        text,
        "### {}: {}\n\n{}\n",
        markdown_text(&result.property),
        result.standing.name(),
        markdown_text(&result.says)
    )?;
    if let Some(file) = &result.file {
        let (name, sha256) = (markdown_code(&file.name), markdown_code(&file.sha256));
        writeln!(text, "- from {name}, SHA-256 {sha256}")?;
    }
    for reason in &result.not_asked {
        writeln!(text, "- not asked: {}", markdown_text(reason))?;
    }
    if result.standing == PropertyStanding::NotAsked {
        return writeln!(text);
    }
    write!(text, "- {} failures", failures(result))?;
    if result.ties > 0 {
        write!(text, ", {} set aside as numerical ties", result.ties)?;
    }
    let smallest = result.smallest_group.iter();
    let smallest: Vec<String> = smallest
        .map(|group| {
            format!(
                "; the fewest, {}, of: {}",
                group.failures.trials, group.group
            )
        })
        .collect();
    writeln!(
        text,
        "; cases from {} groups{}",
        result.groups,
        smallest.concat()
    )?;
    if result.kept.trials > 0 {
        writeln!(
            text,
            "- of {} cases kept from earlier runs, {} fail",
            result.kept.trials, result.kept.hits
        )?;
    }
    let classes = result.failing_classes();
    if !classes.is_empty() {
        writeln!(text, "- by complexity class: {classes}")?;
    }
    if !result.failing_groups.is_empty() {
        writeln!(text, "- by group:")?;
    }
    for group in &result.failing_groups {
        writeln!(
            text,
            "  - {}: {}/{}",
            group.group, group.failures.hits, group.failures.trials
        )?;
    }
    if !result.counterexamples.is_empty() {
        writeln!(
            text,
            "- {} failing cases shrunk; the simplest results:",
            result.shrunk as u64 + result.kept.hits
        )?;
    }
    for example in &result.counterexamples {
        write_counterexample(text, example, model)?;
    }
    writeln!(text)
}

fn write_counterexample(text: &mut String, example: &FailingCase, model: &str) -> std::fmt::Result {
    let asked = example.question();
    write!(
        text,
        "  - {} with {}: to {} the model answers {}, ",
        markdown_code(&example.clause),
        markdown_text(&example.numbers.to_string()),
        asked.question,
        asked.answer
    )?;
    match asked.wrong.is_empty() {
        true => write!(text, "which is right")?,
        false => write!(text, "the true answer is {}", asked.truth)?,
    }
    let lead = example.lead;
    match lead < 0.0 {
        true => write!(
            text,
            "; at {} the right token trails by {:.2}",
            example.token, -lead
        )?,
        false => write!(
            text,
            "; at {} the right token leads by {lead:.2}",
            example.token
        )?,
    }
    if !example.true_of_arithmetic {
        write!(text, "; arithmetic itself does not have this property here")?;
    }
    writeln!(text)?;
    writeln!(text, "\n    ```")?;
    for command in example.commands(model) {
        writeln!(text, "    {command}")?;
    }
    writeln!(text, "    ```")
}

fn write_nodes(text: &mut String, nodes: &[Separation]) -> std::fmt::Result {
    writeln!(text, "## {NODES}: what claimed nodes distinguish\n")?;
    let distance = nodes.iter().find_map(|node| node.measured.as_ref());
    let distance = distance.map_or(0.0, |measured| measured.distance);
    writeln!(
        text,
        "Two questions of equal value and one of another are drawn for the claimed variable, all else free. Separation: how often the node's outputs of the equal two lie closer than those of the unequal (one half by chance). Same and different: outputs within and beyond {distance} of the root mean square distance between outputs of different values.\n"
    )?;
    writeln!(
        text,
        "| claim | | separation | same | different | not distinguished |\n|---|---|---|---|---|---|"
    )?;
    for node in nodes {
        let name = node.separates.name();
        let Some(measured) = &node.measured else {
            let reason = node.not_asked.as_deref().unwrap_or_default();
            let (claim, reason) = (markdown_text(&node.claim), markdown_text(reason));
            writeln!(text, "| {claim} | {name} | | | | {reason} |")?;
            continue;
        };
        let mixed = measured.mixed.iter();
        let mixed: Vec<String> = mixed
            .map(|triplet| {
                let [first, second] = triplet.same;
                format!(
                    "{} is {:.2} from {} and {:.2} from {}",
                    first.question,
                    triplet.same_distance,
                    second.question,
                    triplet.different_distance,
                    triplet.different.question
                )
            })
            .collect();
        writeln!(
            text,
            "| {} | {name} | {} | {} | {} | {} |",
            markdown_text(&node.claim),
            measured.separation,
            measured.same_within,
            measured.different_beyond,
            mixed.concat()
        )?;
    }
    Ok(())
}
