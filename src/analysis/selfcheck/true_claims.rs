//! Checks that claims of known truth get the right verdict.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::{Check, Figure};
use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::experiment::stream;
use crate::inputs::model::ModelFolder;
use crate::network::handmade::Handmade;
use crate::verify::{Options, VerdictKind, VerifyError, verify};

/// The acceptable verdicts for each claim of a file.
pub type Expected = BTreeMap<(NodeName, Variable), Vec<VerdictKind>>;

/// The acceptable verdicts for a false claim.
const FALSE: [VerdictKind; 4] = [
    VerdictKind::NotShown,
    VerdictKind::Refuted,
    VerdictKind::Unspecific,
    VerdictKind::NotTestable,
];

/// A handmade network with true claims, and their acceptable verdicts.
pub fn truths(handmade: &Handmade) -> (ModelFolder, Expected) {
    let claims = &handmade.true_claims;
    let expected = claims
        .iter()
        .map(|(&claim, &carries)| (claim, vec![VerdictKind::from(carries)]))
        .collect();
    (handmade.claiming(claims.keys()), expected)
}

/// The same network with false claims: all possible ones or, if there are more, `most` of them
/// chosen by `seed`.
pub fn falsehoods(handmade: &Handmade, most: usize, seed: u64) -> (ModelFolder, Expected) {
    let mut claims: Vec<_> = handmade.false_claims().into_iter().collect();
    claims.shuffle(&mut stream(seed, "selfcheck/falsehoods"));
    claims.truncate(most);
    let folder = handmade.claiming(&claims);
    (
        folder,
        claims
            .into_iter()
            .map(|claim| {
                let mut right = FALSE.to_vec();
                // An idle head attends everywhere, which is all that such a claim states.
                if claim.1.task.predicts_only_direction() {
                    right.push(VerdictKind::Correlational);
                }
                (claim, right)
            })
            .collect(),
    )
}

/// Verifies the claims of `folder` and compares each verdict with the acceptable ones.
///
/// # Errors
/// [`VerifyError`] where the model cannot be verified.
pub fn known_claims(
    name: &str,
    folder: &ModelFolder,
    expected: &Expected,
    options: &Options,
) -> Result<Check, VerifyError> {
    let evidence = verify(folder, None, options, &mut |_| {})?;
    let mut figures = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut wrong, mut missing) = (Vec::new(), 0);
    for ((node, variable), right) in expected {
        let text = format!("{node} {variable}");
        let Some(found) = evidence.claims.iter().find(|claim| claim.claim == text) else {
            missing += 1;
            continue;
        };
        let verdict = found.verdict.kind();
        *counts.entry(verdict.name()).or_default() += 1;
        if !right.contains(&verdict) {
            let right: Vec<&str> = right.iter().map(|kind| kind.name()).collect();
            let told = format!(
                "{verdict}, expected {}; {}",
                right.join(" or "),
                found.verdict.note()
            );
            wrong.push(Figure::text(format!("wrong: {text}"), told));
        }
    }
    figures.push(Figure::at_most("wrong verdicts", wrong.len(), 0));
    figures.push(Figure::at_most("claims without a verdict", missing, 0));
    figures.extend(
        counts
            .into_iter()
            .map(|(verdict, count)| Figure::count(verdict, count)),
    );
    figures.extend(wrong);
    let what = "claims of a handmade network get the right verdict";
    Ok(Check::new(name, what, figures))
}
