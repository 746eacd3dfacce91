//! `ablate`: what goes wrong when nodes no longer hold what they compute.

use std::ffi::OsString;
use std::fmt;

use circuitcheck::analysis::effects::{AblationTally, Effect};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::site::Site;
use circuitcheck::experiment::DRAWN;
use circuitcheck::network::ablation::{Ablation, AblationError, Replacement};
use clap::Args;
use serde::Serialize;

use crate::cli::args::decode::DecodeArg;
use crate::cli::args::model::{Identity, Model, OperationsArg, split_arguments};
use crate::cli::args::named;
use crate::cli::args::names::SitesArg;
use crate::cli::args::questions::{SetArg, draw_trained};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::answer::{Answers, answer_keys, effect_keys, judgement};
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Questions up to which the text shows every answer.
const FEW: usize = 20;

/// Replace nodes or other sites by a mean, zeros or another value
///
/// Asks the questions given or, without any, every question of a set: the file's of --questions or,
/// without one, 512 drawn from the classes the model was trained for. A mean, and the other question
/// of a resampling, are also taken from that set. Questions that are answered wrongly without the
/// ablation count in the mean, but neither as failed nor as asked.
///
/// Each node's mean is taken in its own layer. The published figures of later layers rest on means
/// of layer 0, and on sets with many hard questions: expect other percentages than theirs.
#[derive(Debug, Args)]
#[command(
    override_usage = "circuitcheck ablate [OPTIONS] --node <NODE> --by <VALUE> [DIR] [QUESTION]..."
)]
#[command(after_help = "\
Examples:
  circuitcheck ablate --node P15L0H3 --by mean
  circuitcheck ablate --node P15L0H3,P15L0H2 --by resample --seed 7 12345+67890")]
#[command(after_long_help = concat!("\
Examples:
  circuitcheck ablate --node P15L0H3 --by mean
  circuitcheck ablate --node P15L0H3,P15L0H2 --by resample --seed 7 12345+67890

Keys of --json:
  nodes         the nodes and other sites ablated together, sorted
  by            \"mean\", \"zero\" or \"resample\"
  seed          of the set and of resampling
  set_size      questions in the set
  asked         questions asked and answered rightly without the ablation
  wrong_before  questions asked and answered wrongly even without it
  failed        questions of `asked` that the ablation makes go wrong
  fail_percent  100 * failed / asked, or null if nothing was asked
  impact        the answer tokens that go wrong in any of them, e.g. [\"A3\", \"A2\"]
  complexities  for each complexity class asked: complexity (e.g. \"S1\"), asked, failed
", answer_keys!(), effect_keys!()))]
pub struct Ablate {
    /// A model's folder, then questions to ask. The first argument is taken for a question if it is
    /// made of digits and signs, or begins with a digit and nothing is there: write ./1-2 for a
    /// folder of that name
    #[arg(value_name = "DIR|QUESTION")]
    arguments: Vec<OsString>,
    #[command(flatten)]
    operations: OperationsArg,
    #[command(flatten)]
    chosen: SitesArg,
    /// What to put in place of the nodes' activations: mean, zero or resample
    #[arg(long, value_name = "VALUE", value_parser = named(Ablation::ALL, Ablation::name), ignore_case = true)]
    by: Ablation,
    #[command(flatten)]
    set: SetArg,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    reading: DecodeArg,
    #[command(flatten)]
    format: JsonArg,
}

impl Ablate {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let (dir, questions) = split_arguments(&self.arguments);
        let model = Model::open(dir.as_deref(), self.operations)?;
        let sites = model.sites(&self.chosen.sites)?;
        let given = questions
            .iter()
            .map(|text| model.question(text, None).map(Prompt::truth))
            .collect::<Result<Vec<_>, _>>()?;
        let set = match self.set.read(&model)? {
            Some(set) => set,
            None => draw_trained(&model, DRAWN, self.draws.seed)?,
        };
        let asked = if given.is_empty() { &set } else { &given };
        let replacement = Replacement::new(self.by, &model.engine, &sites, &set)
            .map_err(|error| self.explain(error))?;
        let (decode, seed) = (self.reading.decode(), self.draws.seed);
        let (clean, ablated) = replacement.answers(&model.engine, asked, decode, seed)?;
        let effects = Effect::of_all(asked, &clean, &ablated);
        let tally = AblationTally::of(&effects);
        if tally.asked == 0 {
            warn("every question is answered wrongly even without the ablation");
        }
        let heading = model.heading().seed(self.draws.seed);
        let heading = heading.decode(self.reading.decode());
        self.format.print_under(
            &heading,
            &Ablated {
                identity: model.identity(),
                nodes: sites,
                by: self.by,
                decode: self.reading.decode().name(),
                seed: self.draws.seed,
                set_size: set.len(),
                tally,
                answers: effects.into(),
            },
        )?;
        Ok(ExitCode::Success)
    }

    fn explain(&self, error: AblationError) -> CliError {
        match (error, self.set.file()) {
            (AblationError::Engine(error), _) => error.into(),
            (error, Some(file)) => CliError::input(file.display(), error),
            (error, None) => CliError::input("the questions drawn", error),
        }
    }
}

#[derive(Debug, Serialize)]
struct Ablated {
    #[serde(flatten)]
    identity: Identity,
    nodes: Vec<Site>,
    by: Ablation,
    decode: &'static str,
    seed: u64,
    set_size: usize,
    #[serde(flatten)]
    tally: AblationTally,
    #[serde(flatten)]
    answers: Answers<Effect>,
}

impl fmt::Display for Ablated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let nodes: Vec<String> = self.nodes.iter().map(Site::to_string).collect();
        let title = |text: &str| Cell::styled(text, style::TITLE);
        let mut head = Table::new([Side::Left; 3]);
        head.row([title("nodes"), nodes.join(" ").into()]);
        head.row([
            title("by"),
            match self.by {
                Ablation::Mean => format!("mean over {} questions", self.set_size),
                Ablation::Zero => "zero".to_owned(),
                Ablation::Resample => format!("resample from {} questions", self.set_size),
            }
            .into(),
        ]);
        head.row([
            title("asked"),
            match tally.wrong_before {
                0 => tally.asked.to_string(),
                wrong => format!(
                    "{}, and {wrong} that are wrong without the ablation",
                    tally.asked
                ),
            }
            .into(),
        ]);
        if let Some(percent) = tally.fail_percent {
            let count = format!("{} of {}, {percent:.1} %", tally.failed, tally.asked);
            head.row([title("Fail%"), count.into()]);
        }
        head.row([
            title("impact"),
            if tally.impact.is_empty() {
                "none".to_owned()
            } else {
                tally.impact.to_string()
            }
            .into(),
        ]);
        head.fmt(f)?;
        let effects = &self.answers.answers;
        if effects.len() <= FEW {
            let mut table = Table::new([Side::Left; 5]);
            table.heading([
                "question",
                "clean answer",
                "ablated answer",
                "margin",
                "judgement",
            ]);
            for effect in effects {
                table.row([
                    effect.given.question.question.into(),
                    effect.clean_answer.into(),
                    effect.given.answer.into(),
                    format!("{:.2}", effect.given.logit_margin).into(),
                    judgement(&effect.given),
                ]);
            }
            return write!(f, "\n{table}");
        }
        let mut table = Table::new([Side::Left, Side::Right, Side::Right]);
        table.heading(["class", "asked", "failed"]);
        for grade in &tally.complexities {
            let shade = if grade.failed == 0 {
                style::PLAIN
            } else {
                style::WRONG
            };
            table.row([
                grade.complexity.as_str().into(),
                grade.asked.into(),
                Cell::styled(grade.failed, shade),
            ]);
        }
        write!(f, "\n{table}")
    }
}
