//! `patch`: one question's activations put into another question's run.

use std::fmt;

use circuitcheck::analysis::effects::Effect;
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::site::Site;
use clap::Args;
use serde::Serialize;

use crate::cli::args::decode::DecodeArg;
use crate::cli::args::model::{Identity, ModelArg};
use crate::cli::args::names::SitesArg;
use crate::cli::term::answer::{Answers, answer_keys, effect_keys, judgement};
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Run a question with nodes or other sites as they are in another
///
/// Runs the source question, then the base question with the activations of the nodes, or of other sites,
/// overwritten by those of the source run, all together. The source run always reads the source's answer: the true
/// one, or another that is given with it, as in 12345-67890=+055545. With --decode free-running the
/// base runs, patched or not, read the tokens they predict.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck patch --source 22222+66966 --base 33333+55555 --node P15L0H2,P15L0H3
  circuitcheck patch --source 22222+66966 --base 33333+55555 --site P14L1.resid_mid")]
#[command(after_long_help = concat!("\
Examples:
  circuitcheck patch --source 22222+66966 --base 33333+55555 --node P15L0H2,P15L0H3
  circuitcheck patch --source 22222+66966 --base 33333+55555 --site P14L1.resid_mid

Keys of --json:
  source         the source question, followed by =ANSWER if another than the true one is forced
  nodes         the nodes and other sites patched, sorted
", answer_keys!(), effect_keys!(), "
The question of the answer is the base one."))]
pub struct Patch {
    #[command(flatten)]
    model: ModelArg,
    /// The question the activations come from, e.g. 22222+66966
    #[arg(long, alias = "store", value_name = "QUESTION")]
    source: String,
    /// The question they are put into
    #[arg(long, alias = "clean", value_name = "QUESTION")]
    base: String,
    #[command(flatten)]
    chosen: SitesArg,
    #[command(flatten)]
    reading: DecodeArg,
    #[command(flatten)]
    format: JsonArg,
}

impl Patch {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let sites = model.sites(&self.chosen.sites)?;
        let source = model.prompt(&self.source)?;
        let base = Prompt::truth(model.question(&self.base, None)?);
        let decode = self.reading.decode();
        let (before, after) = (model.engine).answers_patched(&[(source, base)], &sites, decode)?;
        let heading = model.heading().decode(self.reading.decode());
        self.format.print_under(
            &heading,
            &Patched {
                identity: model.identity(),
                source,
                nodes: sites,
                decode: self.reading.decode().name(),
                answers: vec![Effect::new(base, &before[0], &after[0])].into(),
            },
        )?;
        Ok(ExitCode::Success)
    }
}

#[derive(Debug, Serialize)]
struct Patched {
    #[serde(flatten)]
    identity: Identity,
    source: Prompt,
    nodes: Vec<Site>,
    decode: &'static str,
    #[serde(flatten)]
    answers: Answers<Effect>,
}

impl fmt::Display for Patched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = |text: &str| Cell::styled(text, style::TITLE);
        let nodes: Vec<String> = self.nodes.iter().map(Site::to_string).collect();
        for effect in &self.answers.answers {
            let given = &effect.given;
            let margin = |margin: f32| format!("margin {margin:.2}").into();
            let mut table = Table::new([Side::Left; 4]);
            table.row([title("source"), self.source.to_string().into()]);
            table.row([title("base"), given.question.to_string().into()]);
            table.row([title("nodes"), nodes.join(" ").into()]);
            table.row([
                title("base answer"),
                effect.clean_answer.into(),
                margin(effect.clean_logit_margin),
            ]);
            table.row([
                title("patched answer"),
                given.answer.into(),
                margin(given.logit_margin),
                judgement(given),
            ]);
            table.row([title("changed"), effect.change().into()]);
            table.fmt(f)?;
        }
        Ok(())
    }
}
