//! `accuracy`: how often a model answers rightly.

mod measured;

pub use measured::ShownAccuracy;

use std::path::{Path, PathBuf};

use circuitcheck::analysis::accuracy::{
    AccuracyNews, MeasuredAccuracy, Measurement, SaveFile, Work,
};
use clap::Args;

use super::report::REPORTS;
use crate::cli::args::count::{MOST_KEPT, count_or_none_to};
use crate::cli::args::decode::DecodeArg;
use crate::cli::args::model::ModelArg;
use crate::cli::args::questions::AskedArgs;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::interrupt::on_interrupt;
use crate::cli::term::output::{JsonArg, Printed, tell};
use crate::cli::term::progress::Bar;

/// Measure how often the model answers rightly
///
/// Random questions are drawn uniformly, every operation trained equally often, or with --enriched as
/// in training, with more carries and borrows. With --exhaustive every question of the space is
/// asked, and what comes out is a fact, not an estimate.
///
/// An interrupted measurement resumes when the same command is run again: it is saved every two
/// seconds, in reports/<model>/ until its result is printed, or with --resume in a file of your choice, which is
/// kept and from which a longer measurement can resume. The questions depend on the seed alone, so
/// results are the same for any number of threads and interruptions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck accuracy --count 1e6
  circuitcheck accuracy models/w126_add_d5_l2* --enriched --decode free-running
  circuitcheck accuracy models/w126_add_d5_l2* --count 1e8 --resume add.accuracy.json
  circuitcheck accuracy models/w126_add_d5_l2* --exhaustive --a 0..999 --b 0..999")]
#[command(after_long_help = "\
Examples:
  circuitcheck accuracy --count 1e6
  circuitcheck accuracy models/w126_add_d5_l2* --enriched --decode free-running
  circuitcheck accuracy models/w126_add_d5_l2* --count 1e8 --resume add.accuracy.json
  circuitcheck accuracy models/w126_add_d5_l2* --exhaustive --a 0..999 --b 0..999

Keys of --json:
  model, weights_sha256  which model: its name, and the digest of its weights
  decode        \"forced\" or \"free\"
  source        drawn: \"uniform\", \"enriched\" or \"every\"; seed; subtractions (their share), or the
                operands first and second
  questions, right, wrong  counts
  accuracy      right / questions; lower, upper: its 99 % interval, or null where every question was
                asked
  nines         nines of the accuracy (0.9991 has 3), null where nothing is wrong; nines_at_least:
                those of the lower bound, or null
  ties          wrong answers by less than 1e-4 logits, which another processor may give rightly
  classes       the same for each class (\"ADD\", \"SUB\", \"NEG\"), and under complexities for each
                complexity class
  wrong_answers  place, question, answer, true_answer of the first wrong ones; not_kept: how many
                more there are")]
#[command(mut_arg("seed", |seed| seed.conflicts_with("exhaustive")))]
pub struct Accuracy {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    asked: AskedArgs,
    #[command(flatten)]
    reading: DecodeArg,
    #[command(flatten)]
    draws: SeedArg,
    /// Keep this many wrong answers, the first; the others are counted
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count_or_none_to::<usize>(MOST_KEPT))]
    keep: usize,
    /// Resume from this file, and save there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

impl Accuracy {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        let questions = self.asked.questions(&model.folder, self.draws.seed)?;
        let decode = self.reading.decode();
        let work = Work::new(&model.folder, &questions, decode, self.keep);
        let mut bar = Bar::new();
        let mut tell_news = |news: AccuracyNews| match news {
            AccuracyNews::GoingOn { file, done, of } => tell(format_args!(
                "resuming from {}: {done} of {of} questions were asked before",
                file.display()
            )),
            AccuracyNews::NotResumed(reason) => {
                warn(format_args!("{reason}; starting from the beginning"));
            }
            AccuracyNews::NotSaved(reason) => {
                warn(format_args!("{reason}; this run cannot be resumed"));
                on_interrupt("nothing was kept");
            }
            AccuracyNews::Asked(progress) => bar.show(progress),
        };
        on_interrupt(
            "what was counted is kept, except for the last two seconds; run the same command to resume",
        );
        let (resume, beside) = (
            self.resume.as_deref(),
            Path::new(REPORTS).join(&model.folder.name),
        );
        let file = SaveFile::new(resume, &beside, &work, &questions, &mut tell_news)?;
        let measurement = Measurement {
            engine: &model.engine,
            questions: &questions,
            decode,
            keep: self.keep,
        };
        let saved = file.measure(&measurement, &work, &mut tell_news)?;
        drop(bar);
        let tally = saved.tally();
        let measured = MeasuredAccuracy::new(model.identity(), decode, &questions, tally);
        if self.format.print(&ShownAccuracy(measured))? == Printed::Whole {
            file.result_is_kept()?;
        }
        Ok(ExitCode::Success)
    }
}
