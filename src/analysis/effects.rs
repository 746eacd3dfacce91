//! What is said of single answers, and of what interventions do to them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::arithmetic::{Answer, Class, Complexity, Prompt, TokenSet, complexity};
use crate::network::logits::AnswerLogits;

/// The model's answer to a question.
#[derive(Debug, Clone, Serialize)]
pub struct GivenAnswer {
    pub question: Prompt,
    pub class: Class,
    pub complexity: String,
    pub true_answer: Answer,
    pub answer: Answer,
    pub right: bool,
    pub wrong: TokenSet,
    pub logit_margin: f32,
}

impl GivenAnswer {
    pub fn new(prompt: Prompt, logits: &AnswerLogits) -> Self {
        let true_answer = Answer::of(&prompt.question);
        let answer = logits.answer();
        Self {
            question: prompt,
            class: prompt.question.class(),
            complexity: complexity(&prompt.question).to_string(),
            true_answer,
            answer,
            right: answer == true_answer,
            wrong: answer.changed_from(&true_answer),
            logit_margin: logits.smallest_margin(),
        }
    }
}

/// The answers to a question without and with an intervention.
#[derive(Debug, Clone, Serialize)]
pub struct Effect {
    #[serde(flatten)]
    pub given: GivenAnswer,
    pub clean_answer: Answer,
    pub clean_logit_margin: f32,
    pub changed: TokenSet,
}

impl Effect {
    pub fn new(prompt: Prompt, clean: &AnswerLogits, logits: &AnswerLogits) -> Self {
        let given = GivenAnswer::new(prompt, logits);
        let clean_answer = clean.answer();
        Self {
            clean_answer,
            clean_logit_margin: clean.smallest_margin(),
            changed: given.answer.changed_from(&clean_answer),
            given,
        }
    }

    /// The effects on prompts, by their logits without and with an intervention.
    pub fn of_all(
        prompts: &[Prompt],
        clean: &[AnswerLogits],
        changed: &[AnswerLogits],
    ) -> Vec<Self> {
        let logits = clean.iter().zip(changed);
        let effects = prompts.iter().zip(logits);
        effects
            .map(|(&prompt, (clean, changed))| Self::new(prompt, clean, changed))
            .collect()
    }

    /// The tokens changed, or that there are none.
    pub fn change(&self) -> String {
        if self.changed.is_empty() {
            "none".to_owned()
        } else {
            self.changed.to_string()
        }
    }
}

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
