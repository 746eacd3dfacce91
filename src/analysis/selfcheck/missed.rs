//! Checks that no set was missed: claims that fail must still fail with a harder search for sets.

use super::false_claims::passes;
use super::{Check, Figure};
use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::inputs::claims::Claim;
use crate::inputs::model::ModelFolder;
use crate::verify::evidence::ClaimEvidence;
use crate::verify::{Options, SearchEffort, VerdictKind, VerifyError, verify};

/// Verifies a model's claims, then repeats those not known to hold with many more pairs, candidates
/// and random starts. None that was refuted or unspecific may pass; of those not shown, the ones
/// that pass are counted.
///
/// # Errors
/// [`VerifyError`] where the model cannot be verified.
pub fn missed(folder: &ModelFolder, options: &Options) -> Result<Check, VerifyError> {
    let name = format!("missed sets: {}", folder.name);
    let what = "claims that fail must also fail with a harder search for sets";
    let found = if folder.features.is_some() {
        verify(folder, None, options, &mut |_| {})?.claims
    } else {
        Vec::new()
    };
    let failing = |claim: &&ClaimEvidence| {
        let kind = claim.verdict.kind();
        kind.refutes() || kind == VerdictKind::NotShown
    };
    let failing: Vec<(NodeName, Variable, VerdictKind)> = (found.iter().filter(failing))
        .filter_map(|claim| {
            let variable = Claim::parse(claim.node, claim.tag()).variable.ok()?;
            Some((claim.node, variable, claim.verdict.kind()))
        })
        .collect();
    let mut figures = vec![Figure::count("claims", found.len())];
    let (mut contradicted, mut shown) = (0, 0);
    let mut told = Vec::new();
    for &(node, variable, before) in &failing {
        let harder = Options {
            claims: vec![(node, variable)],
            search: SearchEffort::HARD,
            ..options.clone()
        };
        for claim in verify(folder, None, &harder, &mut |_| {})?.claims {
            let passes = passes(&claim.verdict);
            contradicted += usize::from(passes && before.refutes());
            shown += usize::from(passes && before == VerdictKind::NotShown);
            told.push(Figure::text(
                format!("{before}: {}", claim.claim),
                format!("{}; {}", claim.verdict, claim.verdict.note()),
            ));
        }
    }
    let refuted = failing.iter().filter(|(.., kind)| kind.refutes()).count();
    figures.push(Figure::count("refuted or unspecific", refuted));
    figures.push(Figure::at_most(
        "of these, pass with the harder search",
        contradicted,
        0,
    ));
    figures.push(Figure::count("not shown", failing.len() - refuted));
    figures.push(Figure::count(
        "of these, pass with the harder search",
        shown,
    ));
    figures.extend(told);
    Ok(Check::new(name, what, figures))
}
