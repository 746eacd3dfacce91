//! Checks that the seed of a run does not decide verdicts.

use std::collections::BTreeMap;

use super::{Check, Figure};
use crate::inputs::model::ModelFolder;
use crate::verify::{Options, VerdictKind, VerifyError, verify};

/// Claims of a file whose verdict may change with the seed: one whose rate is at a limit is decided
/// by the last trials.
const MOST_CHANGES: u64 = 1;

/// Verifies a model's claims with `seeds` consecutive seeds, starting with that of `options`, and
/// counts those whose verdict changes.
///
/// # Errors
/// [`VerifyError`] where the model cannot be verified.
pub fn seeds(folder: &ModelFolder, seeds: u64, options: &Options) -> Result<Check, VerifyError> {
    let name = format!("seeds: {}", folder.name);
    let what = "verdicts do not depend on the seed";
    if folder.features.is_none() {
        return Ok(Check::new(name, what, vec![Figure::count("claims", 0)]));
    }
    let mut verdicts: BTreeMap<String, Vec<VerdictKind>> = BTreeMap::new();
    for other in 0..seeds {
        let mut options = options.clone();
        options.rules.seed = options.rules.seed.wrapping_add(other);
        for claim in verify(folder, None, &options, &mut |_| {})?.claims {
            let found = verdicts.entry(claim.claim).or_default();
            found.push(claim.verdict.kind());
        }
    }
    let changes = |kinds: &[VerdictKind]| kinds.iter().any(|kind| *kind != kinds[0]);
    let crosses = |kinds: &[VerdictKind]| {
        kinds.iter().any(|kind| kind.holds()) && kinds.iter().any(|kind| kind.refutes())
    };
    let count = |keep: &dyn Fn(&[VerdictKind]) -> bool| {
        verdicts.values().filter(|kinds| keep(kinds)).count()
    };
    let mut figures = vec![
        Figure::count("claims", verdicts.len()),
        Figure::count("seeds", seeds as usize),
        Figure::at_most(
            "claims whose verdict changes",
            count(&changes),
            MOST_CHANGES,
        ),
        Figure::at_most(
            "claims that change between pass and fail",
            count(&crosses),
            0,
        ),
    ];
    let changed = verdicts.iter().filter(|(_, kinds)| changes(kinds));
    figures.extend(changed.map(|(claim, kinds)| {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        Figure::text(format!("changes: {claim}"), kinds.join(", "))
    }));
    Ok(Check::new(name, what, figures))
}
