//! `ask`: the model's own answers, token by token.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::effects::GivenAnswer;
use circuitcheck::domain::arithmetic::{AnswerToken, Prompt, char_of};
use circuitcheck::domain::site::Activation;
use circuitcheck::network::engine::Decode;
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::storage::npz::{NpzArray, npz};
use circuitcheck::storage::write_files;
use clap::Args;
use clap::error::ErrorKind;
use serde::Serialize;

use crate::cli::args::decode::DecodeArg;
use crate::cli::args::model::{Identity, Model, OperationsArg, split_arguments};
use crate::cli::args::names::site;
use crate::cli::term::answer::{Answers, answer_keys, judgement};
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::usage_error;

/// Ask the model questions
///
/// Prints each answer token by token, with its probability. Unless --decode free-running is given the
/// answer is teacher-forced: each token is predicted after the true answer's tokens before it, or after those
/// of another answer that is given with the question, as in 12345-67890=+055545.
#[derive(Debug, Args)]
#[command(override_usage = "circuitcheck ask [OPTIONS] [DIR] <QUESTION>...")]
#[command(after_help = "\
Examples:
  circuitcheck ask 12345+67890 5-90
  circuitcheck ask models/w126_add_d5_l2* 99999+1 --decode free-running
  circuitcheck ask 12345+67890 5-90 --activations P15L0,blocks.0.attn.hook_z --out read.npz")]
#[command(after_long_help = concat!("\
Examples:
  circuitcheck ask 12345+67890 5-90
  circuitcheck ask models/w126_add_d5_l2* 99999+1 --decode free-running
  circuitcheck ask 12345+67890 5-90 --activations P15L0,blocks.0.attn.hook_z --out read.npz

Arrays of the .npz, of float32: for a site, under its short name, [questions, values]; for a hook, under
TransformerLens' name and with its dimensions, e.g. [questions, n_ctx, heads, d_head]; and `tokens`,
[questions, n_ctx], of uint8.

Keys of --json:
", answer_keys!(), "
    tokens        one object for each answer token, the sign first: place (e.g. \"A3\"), token,
                  probability, logit_margin"))]
pub struct AskCommand {
    /// A model's folder, then questions such as 12345+67890. The first argument is taken for a
    /// question if it is made of digits and signs, or begins with a digit and nothing is there:
    /// write ./1-2 for a folder of that name
    #[arg(value_name = "DIR|QUESTION", required = true)]
    arguments: Vec<OsString>,
    #[command(flatten)]
    operations: OperationsArg,
    #[command(flatten)]
    reading: DecodeArg,
    /// Activations to write to a file: sites, e.g. P15L0H2, P15L0 or P15L0.resid_mid, or whole hooks,
    /// e.g. blocks.0.attn.hook_z: a list with commas, or the option repeated
    #[arg(long, value_name = "SITE", value_delimiter = ',', value_parser = activation, requires = "out")]
    activations: Vec<Activation>,
    /// The file of the activations, for numpy.load
    #[arg(long, value_name = "FILE.npz", requires = "activations")]
    out: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

fn activation(text: &str) -> Result<Activation, String> {
    match text.trim().parse() {
        Ok(hook) => Ok(Activation::Hook(hook)),
        Err(_) => site(text).map(Activation::Site),
    }
}

impl AskCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let (dir, questions) = split_arguments(&self.arguments);
        if questions.is_empty() {
            let message = "there is no question: expected one such as 12345+67890";
            return Err(usage_error(
                "ask",
                ErrorKind::MissingRequiredArgument,
                message,
            ));
        }
        let model = Model::open(dir.as_deref(), self.operations)?;
        let prompts = questions
            .iter()
            .map(|text| model.prompt(text))
            .collect::<Result<Vec<_>, _>>()?;
        let logits = model.engine.answers(&prompts, self.reading.decode())?;
        let answers: Vec<_> = prompts
            .iter()
            .zip(&logits)
            .map(|(&prompt, logits)| Spelled::new(prompt, logits))
            .collect();
        if let Some(out) = &self.out {
            if self.reading.decode() == Decode::Free {
                let message = "activations are those of teacher-forced runs: leave --decode out";
                return Err(usage_error("ask", ErrorKind::ArgumentConflict, message));
            }
            self.write_activations(&model, &prompts, out)?;
        }
        let heading = model.heading().decode(self.reading.decode());
        self.format.print_under(
            &heading,
            &Asked {
                identity: model.identity(),
                decode: self.reading.decode().name(),
                answers: answers.into(),
            },
        )?;
        Ok(ExitCode::Success)
    }

    fn write_activations(
        &self,
        model: &Model,
        prompts: &[Prompt],
        out: &Path,
    ) -> Result<(), CliError> {
        let mut tokens = Vec::new();
        prompts
            .iter()
            .for_each(|prompt| tokens.extend(prompt.tokens()));
        let n_ctx = model.engine.shape().n_ctx();
        let dims = [prompts.len(), n_ctx];
        let mut arrays = vec![NpzArray::bytes("tokens", &dims, tokens)];
        for &activation in &self.activations {
            model.sites(&activation.sites(&model.engine.shape()))?;
            let read = model.engine.read(activation, prompts)?;
            let name = activation.to_string();
            arrays.push(NpzArray::floats(&name, &read.dims, &read.values));
        }
        let folder = match out.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name = out.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| !out.is_dir() && !name.is_empty()) else {
            let message = "expected a file's name, such as read.npz";
            return Err(CliError::input(out.display(), message));
        };
        Ok(write_files(folder, &[(name, npz(&arrays))])?)
    }
}

#[derive(Debug, Serialize)]
struct Asked {
    #[serde(flatten)]
    identity: Identity,
    decode: &'static str,
    #[serde(flatten)]
    answers: Answers<Spelled>,
}

/// One answer, token by token.
#[derive(Debug, Clone, Serialize)]
struct Spelled {
    #[serde(flatten)]
    given: GivenAnswer,
    tokens: Vec<PredictedToken>,
}

#[derive(Debug, Clone, Serialize)]
struct PredictedToken {
    place: AnswerToken,
    token: char,
    probability: f64,
    logit_margin: f32,
}

impl Spelled {
    fn new(prompt: Prompt, logits: &AnswerLogits) -> Self {
        let given = GivenAnswer::new(prompt, logits);
        let places = (0..given.answer.tokens().len()).rev().map(AnswerToken);
        let tokens = places
            .map(|place| {
                let token = given.answer.get(place);
                PredictedToken {
                    place,
                    token: char_of(token),
                    probability: logits.probabilities(place)[usize::from(token)],
                    logit_margin: logits.margin(place),
                }
            })
            .collect();
        Self { given, tokens }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, answer) in self.answers.answers.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            answer.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = &self.given;
        let mut line = Table::new([Side::Left; 3]);
        line.row([
            Cell::styled(given.question.question, style::TITLE),
            given.answer.into(),
            judgement(given),
        ]);
        line.fmt(f)?;
        if given.question != Prompt::truth(given.question.question) {
            writeln!(f, "  after the forced answer {}", given.question.forced)?;
        }
        if !given.right {
            writeln!(f, "  the true answer is {}", given.true_answer)?;
        }
        let mut table = Table::new([Side::Left, Side::Left, Side::Right, Side::Right]).indented();
        table.heading(["place", "token", "probability", "margin"]);
        for predicted in &self.tokens {
            let shade = if given.wrong.contains(predicted.place) {
                style::WRONG
            } else {
                style::PLAIN
            };
            table.row([
                predicted.place.into(),
                Cell::styled(predicted.token, shade),
                format!("{:.4}", predicted.probability).into(),
                format!("{:.2}", predicted.logit_margin).into(),
            ]);
        }
        table.fmt(f)
    }
}
