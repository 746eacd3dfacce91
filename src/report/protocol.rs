//! Reports of the protocols: what the strict one changes, and what each quirk moves.

use std::fmt::Write;

use crate::analysis::published::{Changes, QuirkEffect};
use crate::analysis::strict::Strict;
use crate::verify::evidence::by_name;

/// Changes in a line: `keeps 9 claims, loses 2, gains 1, moves 0`.
pub fn changes_text(changes: &Changes) -> String {
    format!(
        "keeps {} claims, loses {}, gains {}, moves {}",
        changes.kept,
        changes.lost.len(),
        changes.gained.len(),
        changes.moved.len()
    )
}

/// The report of the strict protocol as Markdown.
pub fn strict_markdown(model: &str, strict: &Strict) -> String {
    let mut text = String::new();
    write_strict(&mut text, model, strict).expect("a String takes any text");
    text
}

fn write_strict(text: &mut String, model: &str, strict: &Strict) -> std::fmt::Result {
    writeln!(text, "# Claims about {model} by the strict protocol\n")?;
    writeln!(
        text,
        "{} questions, {} of them answered correctly without an ablation. {} useful nodes.",
        strict.found.questions,
        strict.found.right,
        strict.found.nodes.len()
    )?;
    write!(
        text,
        "{} variables were put to the useful nodes and {} sets in all by interchange: {}. The {} claims that these make were put to the method",
        strict.carriers.catalogue,
        strict.carriers.sets,
        strict.carriers.summary(),
        strict.candidates
    )?;
    if let Some(evidence) = &strict.evidence {
        let verdicts: Vec<String> = (by_name(&evidence.summary).iter())
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        write!(text, ": {}", verdicts.join(", "))?;
    }
    writeln!(text, ".")?;
    writeln!(
        text,
        "\n## What the quirks had changed\n\nThe published protocol's claims, against those that the same published tests give without quirks.\n"
    )?;
    write_changes(text, &strict.by_quirks)?;
    writeln!(
        text,
        "\n## What the method changes\n\nThose claims, against the ones that the method supports.\n"
    )?;
    write_changes(text, &strict.by_method)?;
    writeln!(text, "\n## Claims\n\n| node | claims |\n|---|---|")?;
    for tagged in strict
        .features
        .iter()
        .filter(|tagged| !tagged.tags.is_empty())
    {
        let tags: Vec<&str> = tagged.tags.iter().map(|tag| tag.minor.as_str()).collect();
        writeln!(text, "| {} | {} |", tagged.node, tags.join(", "))?;
    }
    Ok(())
}

fn write_changes(text: &mut String, changes: &Changes) -> std::fmt::Result {
    let listed = |claims: &[String]| match claims {
        [] => "none".to_owned(),
        claims => claims.join(", "),
    };
    writeln!(text, "- kept: {}", changes.kept)?;
    writeln!(text, "- lost: {}", listed(&changes.lost))?;
    writeln!(text, "- gained: {}", listed(&changes.gained))?;
    let moved: Vec<String> = (changes.moved.iter())
        .map(|moved| {
            let names = |nodes: &[crate::domain::node::NodeName]| {
                let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                names.join(" ")
            };
            format!(
                "{} from {} to {}",
                moved.variable,
                names(&moved.from),
                names(&moved.to)
            )
        })
        .collect();
    writeln!(text, "- moved: {}", listed(&moved))
}

/// The effects of a model's quirks as a Markdown table.
pub fn effects_markdown(effects: &[QuirkEffect]) -> String {
    let mut text = String::from(
        "| quirk removed | useful nodes | Fail% moved | most | Impact | Math | clustering tags | claims |\n|---|---|---|---|---|---|---|---|\n",
    );
    for effect in effects {
        let claims = &effect.claims;
        let mut moves = vec![
            format!("+{}", claims.gained.len()),
            format!("-{}", claims.lost.len()),
        ];
        if !claims.moved.is_empty() {
            moves.push(format!("{} moved", claims.moved.len()));
        }
        writeln!(
            text,
            "| {} | +{} -{} | {} | {} | {} | {} | +{} -{} | {} |",
            effect.quirk,
            effect.nodes_gained,
            effect.nodes_lost,
            effect.fail_moved,
            effect.fail_most,
            effect.impact_moved,
            effect.math_moved,
            effect.clusters_gained,
            effect.clusters_lost,
            moves.join(" ")
        )
        .expect("a String takes any text");
    }
    text
}
