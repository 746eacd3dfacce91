//! The report of behaviours measured again: its evidence, and the same as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::analysis::published::{Reproduction, TagEvidence, TagReading};
use crate::storage::markdown_text;

/// The name and version of the form of the evidence.
pub const BEHAVIORS_SCHEMA: &str = "circuitcheck/behaviors/1";

/// Everything found of a behaviours file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BehaviorEvidence {
    /// [`BEHAVIORS_SCHEMA`].
    pub schema: &'static str,
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// SHA-256 of the behaviours file.
    pub behaviors_sha256: String,
    /// SHA-256 of the question set, where one was given.
    pub questions_sha256: Option<String>,
    pub sets: usize,
    pub clusterings: usize,
    pub alpha: f64,
    pub seed: u64,
    /// Tags by kind and verdict.
    pub summary: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Every tag, in the file's order.
    pub tags: Vec<TagEvidence>,
}

/// The kind of a tag, as the summary counts it.
fn kind(tag: &str) -> &'static str {
    match tag.split_once(':') {
        Some(("Fail%", _)) => "Fail%",
        Some(("Impact", _)) => "Impact",
        Some(("Attn", _)) => "Attn",
        Some(("Math.Add" | "Math.Sub" | "Math.Neg", minor)) if minor.contains('.') => "clustering",
        Some(("Math.Add" | "Math.Sub" | "Math.Neg", _)) => "Math",
        Some(("Probe", _)) => "Probe",
        Some(("Edge", _)) => "Edge",
        _ => "other",
    }
}

/// Tags by kind and verdict.
pub fn count_tags(tags: &[TagEvidence]) -> BTreeMap<&'static str, BTreeMap<&'static str, usize>> {
    let mut counts: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
    for tag in tags {
        let verdicts = counts.entry(kind(&tag.tag)).or_default();
        *verdicts.entry(tag.reproduction.name()).or_default() += 1;
    }
    counts
}

/// A reading in a few words: `21.3 [19.0, 23.6]`, or `3 of 8 sets; A65 in 4, none in 1`.
pub fn reading_text(reading: Option<&TagReading>, said: &str) -> String {
    match reading {
        None => String::new(),
        Some(TagReading::Percent { predicted, .. }) => {
            let texts: Vec<String> = (predicted.iter())
                .map(|p| format!("{:.1} [{:.1}, {:.1}]", p.mean, p.lower, p.upper))
                .collect();
            texts.join(" or ")
        }
        Some(TagReading::BeyondUntrained { mean, lower, upper }) => {
            format!("{mean:+.1} [{lower:+.1}, {upper:+.1}] beyond the untrained network")
        }
        Some(TagReading::Text { same, given }) => {
            let mut text = format!("{} of {}", same.hits, same.trials);
            let mut others: Vec<(&String, usize)> = given
                .iter()
                .filter(|(value, _)| value.as_str() != said)
                .map(|(value, &sets)| (value, sets))
                .collect();
            others.sort_by_key(|&(value, sets)| (std::cmp::Reverse(sets), value));
            for (i, (value, sets)) in others.into_iter().enumerate() {
                let value = if value.is_empty() { "none" } else { value };
                let between = if i == 0 { "; " } else { ", " };
                write!(text, "{between}{value} in {sets}").expect("a String takes any text");
            }
            text
        }
    }
}

/// What a tag says, for comparing with what is given: the minor part, and for clustering the tag.
pub fn said(evidence: &TagEvidence) -> &str {
    match (kind(&evidence.tag), evidence.tag.split_once(':')) {
        ("clustering", _) => evidence.tag.trim_end_matches(".Weak"),
        (_, Some((_, minor))) => minor,
        _ => &evidence.tag,
    }
}

/// The verdict with the quirks that decide it.
pub fn verdict_text(reproduction: &Reproduction) -> String {
    match reproduction {
        Reproduction::OnlyWithQuirk { quirks } if quirks.is_empty() => {
            "only with several quirks".to_owned()
        }
        Reproduction::OnlyWithQuirk { quirks } => {
            let names: Vec<&str> = quirks.iter().map(|quirk| quirk.name()).collect();
            format!("only with {}", names.join(", "))
        }
        other => other.name().to_owned(),
    }
}

/// The columns of the summary: every verdict, in the order of how much of the tag is left.
pub fn verdict_names() -> [&'static str; 6] {
    [
        Reproduction::Reproduced,
        Reproduction::OnlyWithQuirk { quirks: Vec::new() },
        Reproduction::OnlyAsPublished,
        Reproduction::NotReproduced,
        Reproduction::Undecided,
        Reproduction::NotMeasured,
    ]
    .map(|verdict| verdict.name())
}

pub fn behaviors_markdown(evidence: &BehaviorEvidence) -> String {
    let mut text = String::new();
    write_markdown(&mut text, evidence).expect("a String takes any text");
    text
}

fn write_markdown(text: &mut String, evidence: &BehaviorEvidence) -> std::fmt::Result {
    writeln!(text, "# Behaviours of {}\n", markdown_text(&evidence.model))?;
    writeln!(
        text,
        "Weights SHA-256 `{}`, behaviours `{}`.\n",
        evidence.weights_sha256, evidence.behaviors_sha256
    )?;
    match &evidence.questions_sha256 {
        Some(sha256) => writeln!(text, "Measured on the question set `{sha256}`.")?,
        None => writeln!(
            text,
            "Measured on {} fresh question sets, drawn as the published one was.",
            evidence.sets
        )?,
    }
    writeln!(
        text,
        "Clustering on {} draws of its questions. Seed {}. Percents stand with the interval for one more set, wrong with probability at most {}, apart for plain and enriched sets (for mixed models: plain, subtractions enriched, additions enriched, both); texts with the sets that give the published one.\n",
        evidence.clusterings, evidence.seed, evidence.alpha
    )?;
    writeln!(text, "| kind | {} |", verdict_names().join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(verdict_names().len()))?;
    for (kind, verdicts) in &evidence.summary {
        let counts =
            verdict_names().map(|name| verdicts.get(name).copied().unwrap_or(0).to_string());
        writeln!(text, "| {kind} | {} |", counts.join(" | "))?;
    }
    writeln!(
        text,
        "\n| node | published | published protocol | without quirks | verdict |\n|---|---|---|---|---|"
    )?;
    for tag in &evidence.tags {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            tag.node,
            markdown_text(&tag.tag),
            markdown_text(&reading_text(tag.published.as_ref(), said(tag))),
            markdown_text(&reading_text(tag.strict.as_ref(), said(tag))),
            verdict_text(&tag.reproduction)
        )?;
    }
    Ok(())
}
