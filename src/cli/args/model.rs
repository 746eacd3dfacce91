//! The model a command is about, and what the command line says of it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use circuitcheck::domain::arithmetic::{Prompt, Question};
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::domain::site::Site;
pub use circuitcheck::inputs::model::Identity;
use circuitcheck::inputs::model::{ModelFolder, Operations};
use circuitcheck::network::engine::Engine;
use circuitcheck::report::quoted;
use clap::Args;

use crate::cli::command::hub::{holds_weights, open_folder_with};
use crate::cli::term::error::CliError;
use crate::cli::term::heading::Heading;

/// The operations a model was trained for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OperationsArg {
    /// The operations the model was trained for: add, sub or add,sub. Without it they are taken from
    /// the model's name, else from training_loss.json, else found by asking the model
    #[arg(long, value_name = "LIST", value_parser = Operations::of_list)]
    operations: Option<Operations>,
}

/// The model a command is about.
#[derive(Debug, Clone, Default, Args)]
pub struct ModelArg {
    /// The model: its folder, its file of weights, or hf://owner/repository; without it, the current
    /// folder if that holds weights, and otherwise the bundled model
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub operations: OperationsArg,
}

impl ModelArg {
    /// The model's arguments as a shell reads them; empty for the bundled model.
    pub fn shown(&self) -> String {
        let dir = (self.dir.iter()).map(|dir| quoted(&dir.display().to_string()));
        let operations =
            (self.operations.operations).map(|operations| format!("--operations {operations}"));
        dir.chain(operations).collect::<Vec<_>>().join(" ")
    }

    /// The heading of text about the model.
    pub fn heading(&self, name: &str) -> Heading {
        Heading::new(name, origin(self.dir.as_deref()))
    }

    pub fn open(&self) -> Result<Model, CliError> {
        Model::open(self.dir.as_deref(), self.operations)
    }

    pub fn open_folder(&self) -> Result<ModelFolder, CliError> {
        open_or_bundled(self.dir.as_deref(), self.operations)
    }
}

/// Opens the model in `path` or, without one, that of the current folder or the bundled one.
pub fn open_or_bundled(path: Option<&Path>, given: OperationsArg) -> Result<ModelFolder, CliError> {
    match (path, current_model(), given.operations) {
        (Some(path), _, operations) => open_folder_with(path, operations),
        (None, Some(folder), operations) => open_folder_with(&folder, operations),
        (None, None, None) => Ok(ModelFolder::bundled()),
        (None, None, Some(_)) => Err(CliError::input(
            "--operations",
            "no model is named, and those of the bundled one are known",
        )),
    }
}

/// The current folder, if it holds a model's weights.
fn current_model() -> Option<PathBuf> {
    let folder = std::env::current_dir().ok()?;
    holds_weights(&folder).then_some(folder)
}

/// Where a model was found that the command line does not name.
fn origin(path: Option<&Path>) -> Option<&'static str> {
    match (path, current_model()) {
        (Some(_), _) => None,
        (None, Some(_)) => Some("in the current folder"),
        (None, None) => Some("bundled"),
    }
}

pub struct Model {
    pub folder: ModelFolder,
    pub engine: Engine,
    /// The path given or, without one, the model's name: what errors point at.
    shown: String,
    origin: Option<&'static str>,
}

impl Model {
    /// Opens the model in `path`, or the bundled one.
    pub fn open(path: Option<&Path>, operations: OperationsArg) -> Result<Self, CliError> {
        let folder = open_or_bundled(path, operations)?;
        Ok(Self {
            engine: Engine::new(&folder.weights),
            shown: path.map_or_else(|| folder.name.clone(), |path| path.display().to_string()),
            origin: origin(path),
            folder,
        })
    }

    /// The heading of text about the model.
    pub fn heading(&self) -> Heading {
        Heading::new(&self.folder.name, self.origin)
    }

    pub fn identity(&self) -> Identity {
        self.folder.identity()
    }

    /// The nodes of these names.
    pub fn nodes(&self, names: &[NodeName]) -> Result<Vec<Node>, CliError> {
        let nodes = self.folder.nodes(names);
        nodes.map_err(|error| CliError::input(&self.shown, error))
    }

    /// The sites of these names, sorted.
    pub fn sites(&self, names: &[Site]) -> Result<Vec<Site>, CliError> {
        let sites = self.folder.sites(names);
        sites.map_err(|error| CliError::input(&self.shown, error))
    }

    /// A question with, perhaps, its true answer. `place` is where it was found, if not on the
    /// command line.
    pub fn question(&self, text: &str, place: Option<&str>) -> Result<Question, CliError> {
        let place = place.unwrap_or(&self.shown);
        let question = self.folder.question(text);
        question.map_err(|error| CliError::input(place, error))
    }

    /// A question with, perhaps, the answer to be forced.
    pub fn prompt(&self, text: &str) -> Result<Prompt, CliError> {
        let prompt = self.folder.prompt(text);
        prompt.map_err(|error| CliError::input(&self.shown, error))
    }
}

/// What `[DIR] [QUESTION]…` says: the first argument is the model unless it reads like a question.
pub fn split_arguments(arguments: &[OsString]) -> (Option<PathBuf>, Vec<String>) {
    let (dir, questions) = match arguments.split_first() {
        Some((first, rest)) if !reads_like_a_question(first) => (Some(first.into()), rest),
        _ => (None, arguments),
    };
    // What isn't Unicode isn't a question either, and is shown as far as it can be.
    let texts = questions
        .iter()
        .map(|question| question.to_string_lossy().into_owned());
    (dir, joined(texts))
}

/// Questions that a shell split at blanks, as in `12 + 34`, put together again.
fn joined(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut questions: Vec<String> = Vec::new();
    let mut open = false;
    for argument in arguments {
        let is_sign = ["+", "-", "\u{2212}", "\u{2013}"].contains(&argument.as_str());
        match questions.last_mut() {
            Some(last) if is_sign || open => {
                last.push_str(&argument);
                open = is_sign;
            }
            _ => questions.push(argument),
        }
    }
    questions
}

/// Whether an argument is made of digits and signs, or begins with a digit and names nothing that
/// exists: so `12345x67890` is told to have a wrong operator, not to be a missing folder.
fn reads_like_a_question(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    let is_sign = |c| matches!(c, '+' | '-' | '*' | '=' | ' ' | '\u{2212}' | '\u{2013}');
    let is_digit = |c: char| c.is_ascii_digit();
    let signs_and_digits = text.chars().all(|c| is_digit(c) || is_sign(c));
    (signs_and_digits && text.contains(is_sign) && text.contains(is_digit))
        || (text.starts_with(is_digit) && !Path::new(argument).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_from_a_folder_by_its_characters() {
        for question in [
            "1+2",
            "12345-67890=-055545",
            "3*4",
            "-5+3",
            "1x2",
            "1/2",
            "12345",
        ] {
            assert!(reads_like_a_question(question.as_ref()), "{question}");
        }
        assert!(reads_like_a_question("12 \u{2212} 34".as_ref()));
        let split = ["12", "+", "34", "5-6"].map(OsString::from);
        assert_eq!(split_arguments(&split).1, ["12+34", "5-6"]);
        for folder in ["models/1+2", "./2024-01-05", "a+b", "", "w126_add"] {
            assert!(!reads_like_a_question(folder.as_ref()), "{folder}");
        }
    }
}
