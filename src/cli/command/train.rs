//! `train`: a model made from nothing, or from a smaller one.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::accuracy::{AccuracyShare, MAX_QUESTIONS, Measurement, Questions};
use circuitcheck::batch::checkpoints::Timeline;
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::model::{Identity, ModelFolder, ModelName};
use circuitcheck::network::engine::{Decode, Engine};
use circuitcheck::storage::{pretty_json, write_files};
use circuitcheck::training::{
    Insertion, Overrides, Recipe, STATE_FILE, Trained, Training, TrainingProgress, TrainingRun,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::hub::open_folder;
use crate::cli::args::count::{count, count_to};
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::interrupt::on_interrupt;
use crate::cli::term::output::{JsonArg, detail, hold, tell, wrote};
use crate::cli::term::progress::{Bar, with_progress};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Seed of the questions that the finished model is asked. They are drawn apart from those of training;
/// in a small space of questions many occur in both.
const QUESTIONS_SEED: u64 = 0;

/// Train a model: model.pth and training_loss.json
///
/// The name says what to train: operations, digits, layers, heads, thousands of batches, GrokFast, seed.
/// The rest is the published recipe: batches of 64, AdamW, a warm-up over a fifth of the batches, then a
/// cosine; addition and subtraction with more carries and borrows than chance gives in 2 of 5 batches. The
/// learning rate is the published 8e-5, or 0.001 for a width other than 510.
///
/// The model goes to a folder of its name in --out, with its losses by operation and by answer token in
/// losses.json. The state is saved there now and then: after an interruption, the same command with
/// --resume gives the same files, byte for byte. The same seed gives the same weights for any number of
/// threads.
///
/// A name that begins with insK starts from a trained model, named with --init: 1 only starts from it, 2
/// puts its useful heads back every 100 batches, 3 its heads and MLPs, 4 those after every batch.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck train add_d5_l2_h3_t15K_s372001 --width 126
  circuitcheck train w126_sub_d5_l2_h3_t30K_s1 --enrich-runs --out mine
  circuitcheck train w126_add_d5_l2_h3_t15K_s1 --checkpoints 500 --then discover,verify
  circuitcheck train w126_ins1_mix_d5_l3_h4_t40K_s1 --init models/w126_add_d5_l2*")]
#[command(after_long_help = "\
Examples:
  circuitcheck train add_d5_l2_h3_t15K_s372001 --width 126
  circuitcheck train w126_sub_d5_l2_h3_t30K_s1 --enrich-runs --out mine
  circuitcheck train w126_add_d5_l2_h3_t15K_s1 --checkpoints 500 --then discover,verify
  circuitcheck train w126_ins1_mix_d5_l3_h4_t40K_s1 --init models/w126_add_d5_l2*

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  folder        where it is
  batches       batches trained
  final_loss    the loss of the last batch, in nats
  uniform, enriched  the answers to fresh questions, drawn uniformly and as in training: questions,
                right, wrong, accuracy; lower, upper: its 99 % interval; nines; nines_at_least")]
pub struct Train {
    /// The model's name, such as add_d5_l2_h3_t15K_s372001
    name: ModelName,
    /// Folder to put the model's folder in
    #[arg(short, long, value_name = "DIR", default_value = "models")]
    out: PathBuf,
    /// Start from this model: its folder, or hf://owner/repository
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// Insert it into the last layers, not the first
    #[arg(long)]
    insert_late: bool,
    /// Width of the residual stream; becomes part of the name
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    width: Option<usize>,
    /// Batches, where the name's thousands are not all
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    steps: Option<usize>,
    /// Questions in a batch
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    batch: Option<usize>,
    /// Highest learning rate
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Also enrich subtractions with runs of equal digits, through which a borrow passes
    #[arg(long)]
    enrich_runs: bool,
    /// In which form to write the weights
    #[arg(long, value_name = "FORM", value_enum, default_value_t = WeightsForm::Pth)]
    format: WeightsForm,
    /// Also write the model as it is after every N batches, to checkpoints/
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    checkpoints: Option<usize>,
    /// What to do with the checkpoints and the finished model: discover their claims, or discover and
    /// verify them; timeline.svg and timeline.json say what holds when
    #[arg(long, value_name = "STEPS", value_enum, requires = "checkpoints")]
    then: Option<Then>,
    /// Batches between two saved states
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = count::<usize>)]
    save_every: usize,
    /// Continue an interrupted training
    #[arg(long)]
    resume: bool,
    /// Fresh questions of each kind to ask at the end
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count_to::<u64>(MAX_QUESTIONS))]
    questions: u64,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightsForm {
    /// model.pth, which torch.load reads
    Pth,
    /// model.safetensors
    Safetensors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Then {
    /// Write behaviors.json and features.json
    Discover,
    /// Also verify the claims
    #[value(name = "discover,verify")]
    DiscoverVerify,
}

/// Reads a rate above zero.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("expected a number above 0, such as 0.001 or 8e-5".into()),
    }
}

impl Train {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let refused = |error: &dyn fmt::Display| CliError::input(&self.name, error);
        let overrides = Overrides {
            width: self.width,
            steps: self.steps,
            batch_size: self.batch,
            learning_rate: self.lr,
            weight_decay: self.weight_decay,
            enrich_runs: self.enrich_runs,
            insert_late: self.insert_late,
        };
        let recipe = Recipe::new(&self.name, &overrides).map_err(|error| refused(&error))?;
        let init = self.init.as_deref().map(open_folder).transpose()?;
        let insertion = Insertion::new(&recipe, init.as_ref()).map_err(|error| refused(&error))?;
        let name = recipe.name.to_string();
        let folder = self.out.join(&name);
        self.check_free(&folder)?;
        let _held = hold(&self.out, &format!("train-{name}"))?;
        let steps = recipe.steps;
        if let Some(every) = self.checkpoints.filter(|&every| every >= steps) {
            let reason =
                format!("{every} batches, and the training has {steps}: there is no checkpoint");
            return Err(CliError::input("--checkpoints", reason));
        }
        if self.resume && !folder.join(STATE_FILE).exists() {
            tell(format_args!(
                "no unfinished training in {}: starting anew",
                folder.display()
            ));
        }
        let run = self.run_in(&folder);
        let trained = self.train(&run, Training::new(recipe, insertion))?;
        let files = match self.format {
            WeightsForm::Pth => "model.pth, training_loss.json, losses.json",
            WeightsForm::Safetensors => "model.safetensors, training_loss.json, losses.json",
        };
        wrote(files, &folder);
        if let Some(then) = self.then {
            self.follow(then, &folder, steps, &trained)?;
        }
        run.finish()
            .map_err(|error| CliError::input(&self.name, error))?;
        let model = open_folder(&folder)?;
        self.json.print(&TrainedModel {
            identity: model.identity(),
            folder,
            batches: steps,
            final_loss: trained.losses.total[steps - 1],
            uniform: ask(
                &model,
                Questions::uniform(&model, self.questions, QUESTIONS_SEED)?,
            )?,
            enriched: ask(
                &model,
                Questions::enriched(&model, self.questions, QUESTIONS_SEED)?,
            )?,
        })?;
        Ok(ExitCode::Success)
    }

    /// A folder that holds something is not written to, but by the training that is resumed.
    fn check_free(&self, folder: &Path) -> Result<(), CliError> {
        let holds_something = folder
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some());
        let unfinished = folder.join(STATE_FILE).exists();
        if !holds_something && !folder.is_file() || (self.resume && unfinished) {
            return Ok(());
        }
        let (reason, hint) = if unfinished {
            (
                "holds an unfinished training",
                "continue it with --resume, or remove the folder",
            )
        } else if self.resume {
            (
                "holds no unfinished training",
                "remove the folder, or name another with --out",
            )
        } else {
            ("exists", "remove it, or name another folder with --out")
        };
        Err(CliError::input(folder.display(), reason).with_hint(hint))
    }

    /// Describes the model at its checkpoints and at its end, and draws what holds when.
    fn follow(
        &self,
        then: Then,
        folder: &Path,
        steps: usize,
        trained: &Trained,
    ) -> Result<(), CliError> {
        let mut checkpoints = trained.checkpoints.clone();
        checkpoints.push((steps, folder.to_owned()));
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let (verified, seed) = (then == Then::DiscoverVerify, Rules::default().seed);
        let timeline =
            with_progress(|progress| Timeline::of(&name, &checkpoints, verified, seed, progress));
        let timeline = timeline.map_err(|error| CliError::input(folder.display(), error))?;
        let files = [
            ("timeline.json", pretty_json(&timeline)),
            ("timeline.svg", timeline.svg()),
        ];
        write_files(folder, &files)?;
        wrote("timeline.svg, timeline.json", folder);
        Ok(())
    }

    fn run_in<'a>(&self, folder: &'a Path) -> TrainingRun<'a> {
        TrainingRun {
            folder,
            save_every: self.save_every,
            checkpoints: self.checkpoints,
            safetensors: self.format == WeightsForm::Safetensors,
            resume: self.resume,
        }
    }

    fn train(&self, run: &TrainingRun, training: Training) -> Result<Trained, CliError> {
        let mut bar = Bar::of_batches();
        let mut first = None;
        let trained = run.train(training, &mut |news: TrainingProgress| {
            if first.is_none() {
                first = Some(news.step);
                if news.step > 1 {
                    tell(format_args!("resuming after batch {}", news.step - 1));
                }
            }
            if news.step >= self.save_every {
                on_interrupt(
                    "the last saved state is kept; the same command with --resume continues from it",
                );
            }
            if let Some(right) = news.held_out {
                detail(format_args!(
                    "batch {}: loss {}, {:.1} % of held-out questions right",
                    news.step,
                    loss(news.loss),
                    100.0 * right
                ));
            }
            bar.show_training(&news);
        });
        trained.map_err(|error| CliError::input(&self.name, error))
    }
}

/// A loss in nats: `1.365`, or `2.186e-4`.
fn loss(loss: f32) -> String {
    match loss < 0.1 {
        true => format!("{loss:.3e}"),
        false => format!("{loss:.3}"),
    }
}

/// How often a model answers these questions rightly.
fn ask(model: &ModelFolder, questions: Questions) -> Result<AccuracyShare, CliError> {
    let measurement = Measurement {
        engine: &Engine::new(&model.weights),
        questions: &questions,
        decode: Decode::Forced,
        keep: 0,
    };
    let tally = measurement.blocks(0..questions.blocks())?;
    Ok(AccuracyShare::of(tally.total(), false))
}

/// What was trained, to be printed.
#[derive(Debug, Serialize)]
struct TrainedModel {
    #[serde(flatten)]
    identity: Identity,
    folder: PathBuf,
    batches: usize,
    final_loss: f32,
    uniform: AccuracyShare,
    enriched: AccuracyShare,
}

impl fmt::Display for TrainedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = |share: &AccuracyShare| {
            let least = share.nines_at_least.unwrap_or(0);
            let (wrong, asked) = (share.wrong, share.questions);
            match share.nines {
                None => format!("none of {asked} wrong, at least {least} nines"),
                Some(nines) => format!("{wrong} of {asked} wrong, {nines} nines, at least {least}"),
            }
        };
        let mut table = Table::new([Side::Left; 3]);
        for (what, said) in [
            ("model", self.identity.model.clone()),
            ("batches", self.batches.to_string()),
            ("final loss", loss(self.final_loss)),
            ("uniform", answered(&self.uniform)),
            ("enriched", answered(&self.enriched)),
        ] {
            table.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        write!(f, "{table}")
    }
}
