//! Tokens outside a claim's affected tokens, and the claims that move them.

use super::evidence::ClaimEvidence;
use super::verdict::Verdict;
use crate::domain::arithmetic::TokenSet;
use crate::domain::task::Task;

/// Tasks named where a claim of another task for the same digit does not move a token: carries out
/// of the digit.
pub const MOVE_FOR_OTHERS: [Task; 4] = [Task::Sc, Task::Mb, Task::Nb, Task::Sv];

/// For each token that a claim should move but does not, names the supported claims that move it.
pub fn name_what_reaches(evidence: &mut [ClaimEvidence]) {
    let holding: Vec<(String, String, Option<usize>, TokenSet)> = evidence
        .iter()
        .filter(|claim| matches!(claim.verdict, Verdict::Supported | Verdict::Joint(_)))
        .map(|claim| {
            let affected_tokens = claim.affected_tokens().unwrap_or(TokenSet::EMPTY);
            (
                claim.claim.clone(),
                claim.task.clone(),
                claim.digit,
                affected_tokens,
            )
        })
        .collect();
    for claim in evidence.iter_mut() {
        let Some(trials) = &mut claim.trials else {
            continue;
        };
        for unreached in &mut trials.unreached {
            unreached.reached_by = holding
                .iter()
                .filter(|(name, task, digit, affected_tokens)| {
                    // A carry out of the same digit, or another node claimed for the same variable.
                    let carries = MOVE_FOR_OTHERS.iter().any(|t| t.to_string() == *task);
                    let same = *task == claim.task || carries;
                    *name != claim.claim
                        && same
                        && *digit == claim.digit
                        && affected_tokens.contains(unreached.token)
                })
                .map(|(name, ..)| name.clone())
                .collect();
        }
    }
}
