//! Counts of what an ablation makes go wrong.

use std::collections::BTreeMap;

use circuitcheck::domain::arithmetic::{Complexity, TokenSet, complexity};
use serde::Serialize;

use super::answer::Effect;

/// How many questions an ablation makes go wrong, and which.
#[derive(Debug, Serialize)]
pub struct AblationTally {
    pub asked: usize,
    pub wrong_before: usize,
    pub failed: usize,
    pub fail_percent: Option<f64>,
    pub impact: TokenSet,
    pub complexities: Vec<Grade>,
}

/// The questions of one complexity class.
#[derive(Debug, Serialize)]
pub struct Grade {
    pub complexity: String,
    pub asked: usize,
    pub failed: usize,
}

impl AblationTally {
    /// Counts over these answers.
    ///
    /// The published count also asks for a mean loss over 0.01, which a wrong token always makes:
    /// it alone adds ln 2 / (n + 2).
    pub fn of(effects: &[Effect]) -> Self {
        let (asked, wrong_before): (Vec<&Effect>, Vec<&Effect>) = effects
            .iter()
            .partition(|effect| effect.clean_answer == effect.given.true_answer);
        let failed = asked.iter().filter(|effect| !effect.given.right).count();
        let mut grades: BTreeMap<Complexity, (usize, usize)> = BTreeMap::new();
        for effect in &asked {
            let grade = grades
                .entry(complexity(&effect.given.question.question))
                .or_default();
            grade.0 += 1;
            grade.1 += usize::from(!effect.given.right);
        }
        Self {
            asked: asked.len(),
            wrong_before: wrong_before.len(),
            failed,
            fail_percent: (!asked.is_empty()).then(|| 100.0 * failed as f64 / asked.len() as f64),
            impact: asked.iter().fold(TokenSet::EMPTY, |impact, effect| {
                impact.union(effect.given.wrong)
            }),
            complexities: grades
                .into_iter()
                .map(|(complexity, (asked, failed))| Grade {
                    complexity: complexity.to_string(),
                    asked,
                    failed,
                })
                .collect(),
        }
    }
}
