//! Checks that false claims do not pass.

use std::collections::BTreeMap;
use std::path::Path;

use super::corruption::{Corrupted, Corruption, published_claims};
use super::{Check, Figure};
use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::inputs::claims::write_claims;
use crate::inputs::model::{ModelFolder, RawFile};
use crate::verify::evidence::ClaimEvidence;
use crate::verify::{Options, Verdict, VerdictKind, VerifyError, verify};

/// Verdicts that confirm a claim, at least in part.
const PASSING: [VerdictKind; 5] = [
    VerdictKind::Supported,
    VerdictKind::Joint,
    VerdictKind::JointInPart,
    VerdictKind::Redundant,
    VerdictKind::Partial,
];

/// Whether a verdict confirms a claim, at least in part.
pub fn passes(verdict: &Verdict) -> bool {
    PASSING.contains(&verdict.kind())
}

/// Corrupted claims per file: few enough to leave unclaimed nodes for decoys.
const IN_ONE_FILE: usize = 64;

/// Verifies corrupted claims in files of `IN_ONE_FILE`, each together with all published claims, as
/// in a file with a few mistakes: a false claim's node may hold in a set with nodes whose claims
/// are true. No impossible claim may pass. Any other that passes must pass again on fresh trials
/// beside the same claims: the network then happens to do what was claimed.
///
/// # Errors
/// [`VerifyError`] where the model cannot be verified.
pub fn false_claims(
    folder: &ModelFolder,
    corrupted: &[Corrupted],
    options: &Options,
) -> Result<Check, VerifyError> {
    let name = format!("false claims: {}", folder.name);
    let what = "published claims with the digit, node or task exchanged must not pass";
    if corrupted.is_empty() {
        return Ok(Check::new(name, what, vec![Figure::count("claims", 0)]));
    }
    let published = published_claims(folder)?;
    let files = in_files(corrupted);
    let found = verified(folder, &published, &files, &|_| true, options)?;
    let passing: Vec<&Corrupted> = corrupted
        .iter()
        .filter(|made| passes(&found[&made.claim].verdict))
        .collect();
    let mut anew = options.clone();
    anew.rules.seed = anew.rules.seed.wrapping_add(1);
    let passed = |made: &Corrupted| passes(&found[&made.claim].verdict);
    let again = verified(folder, &published, &files, &passed, &anew)?;
    let contradicted = |made: &Corrupted| {
        let verdict = &again[&made.claim].verdict;
        !passes(verdict) && verdict.kind() != VerdictKind::Inconclusive
    };

    let mut figures = Vec::new();
    figures.push(Figure::count("corrupted claims", corrupted.len()));
    for verdict in PASSING {
        let verdicts = passing.iter().map(|made| found[&made.claim].verdict.kind());
        let count = verdicts.filter(|&kind| kind == verdict).count();
        figures.push(Figure::count(format!("of these {verdict}"), count));
    }
    let impossible = || corrupted.iter().filter(|made| made.impossible);
    figures.push(Figure::count("impossible claims", impossible().count()));
    figures.push(Figure::at_most(
        "impossible claims that pass",
        passing.iter().filter(|made| made.impossible).count(),
        0,
    ));
    figures.push(Figure::at_most(
        "claims that pass, but not on fresh trials",
        passing.iter().filter(|made| contradicted(made)).count(),
        0,
    ));
    for kind in Corruption::ALL {
        let verdicts = corrupted
            .iter()
            .filter(|made| made.kind == kind)
            .map(|made| found[&made.claim].verdict.name());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        verdicts.for_each(|verdict| *counts.entry(verdict).or_default() += 1);
        let figure = |(verdict, count)| Figure::count(format!("{kind}: {verdict}"), count);
        figures.extend(counts.into_iter().map(figure));
    }
    figures.extend(passing.iter().map(|made| {
        let (from, variable) = made.from;
        let evidence = &found[&made.claim];
        Figure::text(
            format!("passes: {}", evidence.claim),
            format!(
                "{} from {from} {variable}; {}; on fresh trials {}",
                made.kind,
                told(evidence),
                again[&made.claim].verdict,
            ),
        )
    }));
    Ok(Check::new(name, what, figures))
}

/// A verdict with its grounds.
fn told(evidence: &ClaimEvidence) -> String {
    let mut parts = vec![evidence.verdict.to_string()];
    if let Verdict::Joint(joint) | Verdict::JointInPart(joint) = &evidence.verdict {
        let names: Vec<String> = joint.set.iter().map(NodeName::to_string).collect();
        parts.push(format!(
            "{} need the node by {:.2}",
            names.join(" "),
            joint.need
        ));
    } else if !evidence.verdict.note().is_empty() {
        parts.push(evidence.verdict.note());
    }
    parts.push(evidence.interchange_accuracy_text());
    parts.join(", ")
}

/// Distributes the claims round-robin over files, so that no file has only one kind of corruption.
fn in_files(corrupted: &[Corrupted]) -> Vec<Vec<&Corrupted>> {
    let files = corrupted.len().div_ceil(IN_ONE_FILE);
    let file = |first: usize| corrupted.iter().skip(first).step_by(files).collect();
    (0..files).map(file).collect()
}

/// Verifies the claims of each file that are `wanted`, beside the file's other claims.
fn verified(
    folder: &ModelFolder,
    published: &[(NodeName, Variable)],
    files: &[Vec<&Corrupted>],
    wanted: &dyn Fn(&Corrupted) -> bool,
    options: &Options,
) -> Result<BTreeMap<(NodeName, Variable), ClaimEvidence>, VerifyError> {
    let mut found = BTreeMap::new();
    for file in files {
        let asked = file.iter().filter(|made| wanted(made));
        let asked: Vec<(NodeName, Variable)> = asked.map(|made| made.claim).collect();
        if asked.is_empty() {
            continue;
        }
        let claims = file.iter().map(|made| &made.claim);
        let raw = RawFile::made(
            Path::new("corrupted.json"),
            write_claims(published.iter().chain(claims)).into_bytes(),
        );
        let only = Options {
            claims: asked.clone(),
            ..options.clone()
        };
        let evidence = verify(folder, Some(&raw), &only, &mut |_| {})?;
        let mut by_text: BTreeMap<String, ClaimEvidence> = evidence
            .claims
            .into_iter()
            .map(|claim| (claim.claim.clone(), claim))
            .collect();
        found.extend(asked.into_iter().filter_map(|(node, variable)| {
            let evidence = by_text.remove(&format!("{node} {variable}"))?;
            Some(((node, variable), evidence))
        }));
    }
    Ok(found)
}
