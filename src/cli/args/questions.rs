//! Sets of questions: read from a file, or drawn at random.

use std::path::{Path, PathBuf};

use circuitcheck::analysis::accuracy::{MAX_QUESTIONS, Operands, Questions};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::experiment::draw_evenly;
use circuitcheck::inputs::model::{ModelFolder, RawFile, without_mark};
use clap::Args;

use super::count::count_to;
use super::model::Model;
use crate::cli::term::error::CliError;

/// Largest file of a set of questions: some 300,000 of them. The published sets have 512.
const MAX_SET_BYTES: usize = 4 << 20;

/// A set of questions, taken from a file.
#[derive(Debug, Clone, Args)]
pub struct SetArg {
    /// The set of questions: a JSON list of them, or one a line
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
}

impl SetArg {
    pub fn file(&self) -> Option<&Path> {
        self.questions.as_deref()
    }

    /// The questions of the file, if one is named.
    pub fn read(&self, model: &Model) -> Result<Option<Vec<Prompt>>, CliError> {
        self.file().map(|file| read(model, file)).transpose()
    }
}

/// Which questions are asked to count right answers; their seed is [`super::seed::SeedArg`].
#[derive(Debug, Clone, Args)]
pub struct AskedArgs {
    /// Random questions to ask
    #[arg(
        long,
        alias = "questions",
        value_name = "N",
        default_value = "100000",
        value_parser = count_to::<u64>(MAX_QUESTIONS),
        allow_negative_numbers = true,
        conflicts_with = "exhaustive"
    )]
    count: u64,
    /// Draw them as in training
    #[arg(long, conflicts_with = "exhaustive")]
    enriched: bool,
    /// Ask every question of the operations trained
    #[arg(long)]
    pub exhaustive: bool,
    /// First operands of these questions, both ends included
    #[arg(long, value_name = "LOW..HIGH", requires = "exhaustive")]
    a: Option<Operands>,
    /// Second operands of these questions
    #[arg(long, value_name = "LOW..HIGH", requires = "exhaustive")]
    b: Option<Operands>,
}

impl AskedArgs {
    pub fn questions(&self, folder: &ModelFolder, seed: u64) -> Result<Questions, CliError> {
        let count = self.count;
        Ok(if self.exhaustive {
            let all = Operands::all(folder.weights.shape().n_digits);
            Questions::every(folder, self.a.unwrap_or(all), self.b.unwrap_or(all))
        } else if self.enriched {
            Questions::enriched(folder, count, seed)
        } else {
            Questions::uniform(folder, count, seed)
        }?)
    }
}

/// Draws a set of the classes the model was trained for.
///
/// # Errors
/// If there are none.
pub fn draw_trained(model: &Model, count: usize, seed: u64) -> Result<Vec<Prompt>, CliError> {
    let operations = model.folder.operations();
    let classes = operations.classes();
    if classes.is_empty() {
        return Err(CliError::input(
            &model.folder.name,
            format_args!("no question can be drawn: the model was trained for {operations} alone"),
        ));
    }
    let n_digits = model.engine.shape().n_digits;
    Ok(draw_evenly(&classes, n_digits, count, seed))
}

/// Reads the questions of a file: a JSON list of texts, or a question a line. An answer may follow
/// each, if it is the true one.
///
/// # Errors
/// If the file can't be read, or something in it is no question for this model.
pub fn read(model: &Model, path: &Path) -> Result<Vec<Prompt>, CliError> {
    let file = RawFile::read(path)?;
    let shown = &path.display();
    if file.bytes.len() > MAX_SET_BYTES {
        return Err(CliError::input(
            shown,
            format_args!(
                "{} bytes, more than the {MAX_SET_BYTES} that are read of a set of questions",
                file.bytes.len()
            ),
        ));
    }
    let text = String::from_utf8(without_mark(&file.bytes).to_owned())
        .map_err(|error| CliError::input(shown, error))?;
    let (unit, questions): (&str, Vec<String>) = if text.trim_start().starts_with('[') {
        let list = serde_json::from_str(&text).map_err(|error| {
            CliError::input(
                shown,
                format_args!("{error} (expected a list of questions such as \"12345+67890\")"),
            )
        })?;
        ("question", list)
    } else {
        ("line", text.lines().map(str::to_owned).collect())
    };
    let prompts = questions
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(i, text)| {
            let place = format!("{shown}: {unit} {}", i + 1);
            model.question(text, Some(&place)).map(Prompt::truth)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if prompts.is_empty() {
        return Err(CliError::input(shown, "there is no question in the file"));
    }
    Ok(prompts)
}
