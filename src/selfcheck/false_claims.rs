//! False claims are caught.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::corruption::{Corrupted, Corruption};
use super::{Check, Figure};
use crate::claims::write_claims;
use crate::evidence::ClaimEvidence;
use crate::model::{ModelFolder, RawFile};
use crate::node::NodeName;
use crate::report::agreement_text;
use crate::task::Variable;
use crate::verify::{Options, Verdict, VerifyError, verify};

/// Whether a verdict says that a claim is true, in part at least.
pub fn passes(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Supported
            | Verdict::Joint { .. }
            | Verdict::Redundant { .. }
            | Verdict::Partial { .. }
    )
}

/// Verifies corrupted claims, all in one file. None that is impossible may pass; any other that does
/// must not be refuted on trials drawn anew, and is then a find: the network does what was claimed by
/// chance.
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
    let found = verified(folder, corrupted, options)?;
    let passing: Vec<&Corrupted> = corrupted
        .iter()
        .filter(|made| passes(&found[&made.claim].verdict))
        .collect();
    let again = if passing.is_empty() {
        BTreeMap::new()
    } else {
        let nodes: BTreeSet<NodeName> = passing.iter().map(|made| made.claim.0).collect();
        let anew = Options {
            seed: options.seed.wrapping_add(1),
            nodes: nodes.into_iter().collect(),
            ..options.clone()
        };
        verified(folder, corrupted, &anew)?
    };
    let contradicted = |made: &Corrupted| again[&made.claim].verdict.refutes();

    let mut figures = Vec::new();
    let impossible = || corrupted.iter().filter(|made| made.impossible);
    figures.push(Figure::count("impossible claims", impossible().count()));
    figures.push(Figure::at_most(
        "impossible claims that pass",
        passing.iter().filter(|made| made.impossible).count(),
        0,
    ));
    figures.push(Figure::at_most(
        "claims that pass, and are refuted on other trials",
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
                "{} from {from} {variable}; {}; on other trials {}",
                made.kind,
                told(evidence),
                again[&made.claim].verdict,
            ),
        )
    }));
    Ok(Check::new(name, what, figures))
}

/// A verdict with what it rests on.
fn told(evidence: &ClaimEvidence) -> String {
    let mut parts = vec![evidence.verdict.to_string()];
    if let Verdict::Joint { set, need, .. } = &evidence.verdict {
        let names: Vec<String> = set.iter().map(NodeName::to_string).collect();
        parts.push(format!("{} need it by {need:.2}", names.join(" ")));
    } else if !evidence.verdict.note().is_empty() {
        parts.push(evidence.verdict.note());
    }
    parts.push(agreement_text(evidence));
    parts.join(", ")
}

fn verified(
    folder: &ModelFolder,
    corrupted: &[Corrupted],
    options: &Options,
) -> Result<BTreeMap<(NodeName, Variable), ClaimEvidence>, VerifyError> {
    let claims = corrupted.iter().map(|made| &made.claim);
    let file = RawFile::made(
        Path::new("corrupted.json"),
        write_claims(claims).into_bytes(),
    );
    let evidence = verify(folder, Some(&file), options, &mut |_| {})?;
    let by_text: BTreeMap<String, ClaimEvidence> = evidence
        .claims
        .into_iter()
        .map(|claim| (claim.claim.clone(), claim))
        .collect();
    Ok(corrupted
        .iter()
        .filter_map(|made| {
            let (node, variable) = made.claim;
            let evidence = by_text.get(&format!("{node} {variable}"))?;
            Some((made.claim, evidence.clone()))
        })
        .collect())
}
