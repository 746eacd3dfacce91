//! What is said of one answer. The keys are the same in every command that prints answers.

use circuitcheck::analysis::effects::GivenAnswer;
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

/// `right`, or `wrong` and where.
pub fn judgement(given: &GivenAnswer) -> Cell {
    if given.right {
        Cell::styled("right", style::RIGHT)
    } else {
        Cell::styled(format_args!("wrong at {}", given.wrong), style::WRONG)
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
