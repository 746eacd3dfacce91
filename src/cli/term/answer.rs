//! What is said of one answer. The keys are the same in every command that prints answers.

use circuitcheck::domain::arithmetic::{Answer, Class, Prompt, TokenSet, complexity};
use circuitcheck::network::logits::AnswerLogits;
use serde::Serialize;

use super::style;
use super::table::Cell;

/// How the keys are told in the help of every command that has them.
macro_rules! answer_keys {
    () => {
        "  model, weights_sha256  which model: its name, and the digest of its weights
  decode        \"forced\" (teacher-forced) or \"free\" (free-running)
  answers       one object for each question; with one question, its keys also stand at the top:
    question      the question, followed by =ANSWER if another than the true one is forced
    class, complexity  e.g. \"ADD\", \"S1\"
    true_answer   what arithmetic says, with its sign, e.g. \"+080235\"
    answer        what the model says, also with its sign
    right         whether the two agree
    wrong         the answer tokens that differ, highest first, e.g. [\"A3\"]
    logit_margin  by how much the highest logit leads the second, at the answer token where it
                  leads least"
    };
}

/// What an intervention adds to those keys.
macro_rules! effect_keys {
    () => {
        "
    clean_answer, clean_logit_margin  answer and logit_margin without the intervention
    changed       the answer tokens in which answer and clean_answer differ, e.g. [\"A3\"]"
    };
}

pub(crate) use {answer_keys, effect_keys};

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

    /// `right`, or `wrong` and where.
    pub fn judgement(&self) -> Cell {
        if self.right {
            Cell::styled("right", style::RIGHT)
        } else {
            Cell::styled(format_args!("wrong at {}", self.wrong), style::WRONG)
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

    /// The tokens changed, or that there are none.
    pub fn change(&self) -> String {
        if self.changed.is_empty() {
            "none".to_owned()
        } else {
            self.changed.to_string()
        }
    }
}

/// Answers as results hold them: a list and, where it has one element, that one's keys beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Answers<A> {
    #[serde(flatten)]
    only: Option<A>,
    pub answers: Vec<A>,
}

impl<A: Clone> From<Vec<A>> for Answers<A> {
    fn from(answers: Vec<A>) -> Self {
        let only = match answers.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        Self { only, answers }
    }
}
