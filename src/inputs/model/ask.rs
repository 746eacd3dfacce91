//! Questions, nodes and other sites of a model by the text that people write.

use thiserror::Error;

use super::folder::ModelFolder;
use super::operations::Operations;
use crate::domain::arithmetic::{Operation, Prompt, Question, QuestionError};
use crate::domain::node::{Node, NodeError, NodeName};
use crate::domain::site::{Site, SiteError};

/// Why text is not a question for a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// It is not a question with as many digits.
    #[error("{}", .reason.to_string().replace(&plain(.text), .text))]
    Question { text: String, reason: QuestionError },
    /// What a model does with an operation it never met says nothing about it.
    #[error(
        "question {text:?} has the operator \"{operation}\", the model was trained for \"{trained}\" alone"
    )]
    Untrained {
        text: String,
        operation: Operation,
        trained: Operations,
    },
}

/// Why a model does not have a site.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AbsentSite {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Other(#[from] SiteError),
}

impl ModelFolder {
    /// A question with, perhaps, its true answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn question(&self, text: &str) -> Result<Question, AskError> {
        self.read(text, Question::parse, |question| *question)
    }

    /// A question with, perhaps, the answer to be forced.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn prompt(&self, text: &str) -> Result<Prompt, AskError> {
        self.read(text, Prompt::parse, |prompt| prompt.question)
    }

    fn read<T>(
        &self,
        text: &str,
        parse: fn(&str, usize) -> Result<T, QuestionError>,
        question: fn(&T) -> Question,
    ) -> Result<T, AskError> {
        let shape = self.weights.shape();
        let read = parse(&plain(text), shape.n_digits).map_err(|reason| AskError::Question {
            text: text.to_owned(),
            reason,
        })?;
        let (operation, trained) = (question(&read).operation(), self.operations());
        match trained.trains(operation) {
            true => Ok(read),
            false => Err(AskError::Untrained {
                text: text.to_owned(),
                operation,
                trained,
            }),
        }
    }

    /// The nodes of these names, sorted, each once.
    ///
    /// # Errors
    /// [`NodeError`] where the model lacks one.
    pub fn nodes(&self, names: &[NodeName]) -> Result<Vec<Node>, NodeError> {
        let shape = self.weights.shape();
        let nodes = names.iter().map(|name| name.resolve(&shape));
        let mut nodes: Vec<Node> = nodes.collect::<Result<_, _>>()?;
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    /// The sites of these names, sorted, each once.
    ///
    /// # Errors
    /// [`AbsentSite`] where the model lacks one.
    pub fn sites(&self, names: &[Site]) -> Result<Vec<Site>, AbsentSite> {
        let shape = self.weights.shape();
        for site in names {
            match site.node() {
                Some(node) => drop(node.resolve(&shape)?),
                None => site.check(&shape)?,
            }
        }
        let mut sites = names.to_vec();
        sites.sort();
        sites.dedup();
        Ok(sites)
    }
}

/// The question without blanks, and with the minus sign that keyboards have.
fn plain(question: &str) -> String {
    let question = question.replace(['\u{2212}', '\u{2013}'], "-");
    question.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn questions_are_read_with_blanks_and_any_minus_sign() {
        assert_eq!(plain(" 12 \u{2212} 34 "), "12-34");
        let model = ModelFolder::bundled();
        let read = model.question("12345 \u{2212} 67890").unwrap();
        assert_eq!(read.to_string(), "12345-67890");
        let error = model.question("1 2 x 3").unwrap_err().to_string();
        assert!(error.contains("\"1 2 x 3\""), "{error}");
    }

    #[test]
    fn a_question_of_an_untrained_operation_is_refused() {
        let folder = Path::new("models/w126_add_d5_l2_h3_t15K_s372001");
        let error = ModelFolder::open(folder)
            .unwrap()
            .prompt("5-3")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "question \"5-3\" has the operator \"-\", the model was trained for \"add\" alone"
        );
    }
}
