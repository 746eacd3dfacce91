//! `accuracy`: how often a model answers rightly.

use std::fmt;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use circuitcheck::accuracy::{
    Measurement, Operands, Questions, QuestionsError, Saved, SavedError, Source, Tally, Work,
    nines, nines_at_least,
};
use circuitcheck::arithmetic::{Answer, Class, Complexity, Question};
use circuitcheck::engine::Decode;
use circuitcheck::lock::{Lock, LockError};
use circuitcheck::report::check_writable;
use circuitcheck::stats::Count;
use circuitcheck::verify::Progress;
use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};

use super::DEFAULT_SEED;
use super::error::{CliError, warn};
use super::exit_code::ExitCode;
use super::model::{Identity, Model};
use super::output::Format;
use super::style;
use super::table::{Cell, Side, Table};
use super::verify::Bar;

/// Error of each interval: each is a 99 % interval on its own.
const ALPHA: f64 = 0.01;

/// How often an unfinished measurement is saved: what an interruption costs at most.
const SAVED_EVERY: Duration = Duration::from_secs(2);

/// Blocks that each thread does between two looks at the clock.
const BLOCKS_AT_ONCE: u64 = 4;

/// Wrong answers that text output lists.
const LISTED: usize = 10;

/// Measure how often the model answers rightly
///
/// Random questions are drawn uniformly, every operation trained equally often, or with --enriched as
/// in training, with more carries and borrows. With --exhaustive every question of the space is
/// asked, and what comes out is a fact, not an estimate.
///
/// A measurement that is cut off goes on where it stopped when the same command is given again: every
/// two seconds it is saved, in reports/<model>/ until it is done, or with --resume in a file of yours,
/// which stays and from which a longer row of random questions can go on. The questions hang on the seed alone, so results are the same for any number of
/// threads and interruptions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck accuracy --questions 1000000
  circuitcheck accuracy models/add --enriched --decode free
  circuitcheck accuracy models/add --questions 100000000 --resume add.accuracy.json
  circuitcheck accuracy models/add --exhaustive --a 0..999 --b 0..999")]
#[command(after_long_help = "\
Examples:
  circuitcheck accuracy --questions 1000000
  circuitcheck accuracy models/add --enriched --decode free
  circuitcheck accuracy models/add --questions 100000000 --resume add.accuracy.json
  circuitcheck accuracy models/add --exhaustive --a 0..999 --b 0..999

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
pub struct Accuracy {
    /// The model's folder or file of weights; without it, the bundled mixed model
    dir: Option<PathBuf>,
    /// Random questions to ask
    #[arg(
        long,
        value_name = "N",
        default_value = "100000",
        conflicts_with = "exhaustive"
    )]
    questions: NonZeroU64,
    /// Draw them as in training
    #[arg(long, conflicts_with = "exhaustive")]
    enriched: bool,
    /// Ask every question of the operations trained
    #[arg(long)]
    exhaustive: bool,
    /// First operands of these questions, both ends included
    #[arg(long, value_name = "LOW..HIGH", requires = "exhaustive")]
    a: Option<Operands>,
    /// Second operands of these questions
    #[arg(long, value_name = "LOW..HIGH", requires = "exhaustive")]
    b: Option<Operands>,
    /// How answers are read: teacher-forced or free-running
    #[arg(long, value_enum, default_value_t = DecodeArg::Forced)]
    decode: DecodeArg,
    /// Seed of random questions
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED, conflicts_with = "exhaustive")]
    seed: u64,
    /// Keep this many wrong answers, the first; the others are counted
    #[arg(long, value_name = "N", default_value_t = 1000)]
    keep: usize,
    /// Go on from this file, and save there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DecodeArg {
    Forced,
    Free,
}

impl Accuracy {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = Model::open(self.dir.as_deref())?;
        let questions = self.asked(&model)?;
        let decode = match self.decode {
            DecodeArg::Forced => Decode::Forced,
            DecodeArg::Free => Decode::Free,
        };
        let work = Work::new(&model.folder, &questions, decode, self.keep);
        let file = SaveFile::new(self.resume.as_deref(), &model.folder.name, &work)?;
        let measurement = Measurement {
            engine: &model.engine,
            questions: &questions,
            decode,
            keep: self.keep,
        };
        let saved = measure(&measurement, &work, file)?;
        self.format.print(&Measured::new(
            model.identity(),
            decode,
            &questions,
            saved.tally(),
        ))?;
        Ok(ExitCode::Success)
    }

    fn asked(&self, model: &Model) -> Result<Questions, CliError> {
        let folder = &model.folder;
        let count = self.questions.get();
        if self.exhaustive {
            let all = Operands::all(folder.weights.shape().n_digits);
            let (first, second) = (self.a.unwrap_or(all), self.b.unwrap_or(all));
            Ok(Questions::every(folder, first, second)?)
        } else if self.enriched {
            Ok(Questions::enriched(folder, count, self.seed)?)
        } else {
            Ok(Questions::uniform(folder, count, self.seed)?)
        }
    }
}

/// Where an unfinished measurement is kept.
struct SaveFile {
    path: PathBuf,
    /// Whether the user named it: it stays when all is done, and has to be writable.
    named: bool,
    /// Keeps other processes from the file; without it, nothing is read there or saved.
    lock: Option<Lock>,
}

impl SaveFile {
    fn new(named: Option<&Path>, model: &str, work: &Work) -> Result<Self, CliError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => Path::new("reports").join(model).join(work.file_name()),
        };
        let named = named.is_some();
        if named {
            check_writable(path.parent().unwrap_or(Path::new("")))?;
        }
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = match Lock::take(&path.with_file_name(format!(".{file_name}.lock"))) {
            Ok(lock) => Some(lock),
            Err(LockError::Output(error)) if named => return Err(error.into()),
            Err(held @ LockError::Held { .. }) if named => {
                return Err(CliError::Input {
                    message: format!(
                        "{}: another circuitcheck accuracy saves there: {held}",
                        path.display()
                    ),
                    hint: Some("wait for it, or name another file with --resume".into()),
                });
            }
            Err(error) => {
                warn(format_args!("{error}; this run cannot be gone on with"));
                None
            }
        };
        Ok(SaveFile { path, named, lock })
    }

    /// What was saved before of this work.
    fn read(&self, work: &Work, questions: &Questions) -> Result<Option<Saved>, CliError> {
        match &self.lock {
            Some(_) => Ok(Saved::read(&self.path, work, questions)?),
            None => Ok(None),
        }
    }

    /// Saves, where that can be done. Only a file the user named has to be.
    fn save(&self, saved: &Saved) -> Result<(), CliError> {
        if self.lock.is_none() {
            return Ok(());
        }
        match saved.write(&self.path) {
            Err(error) if self.named => Err(error.into()),
            Err(error) => {
                warn(format_args!("{error}; this run cannot be gone on with"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn finish(&self, saved: &Saved) -> Result<(), CliError> {
        if self.named || self.lock.is_none() {
            return self.save(saved);
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CliError::input(self.path.display(), error))
            }
            _ => Ok(()),
        }
    }
}

/// Asks what has not been asked yet.
fn measure(measurement: &Measurement, work: &Work, file: SaveFile) -> Result<Saved, CliError> {
    let questions = measurement.questions;
    let before = file.read(work, questions)?;
    if let Some(before) = &before {
        // What was done before is news for the user, not data.
        let _ = writeln!(
            anstream::stderr(),
            "going on from {}: {} of {} questions were asked before",
            file.path.display(),
            before.done(),
            questions.len()
        );
    }
    let mut saved = before.unwrap_or_else(|| Saved::nothing(work.clone()));
    let mut bar = Bar::new();
    let mut last_save = Instant::now();
    let at_once = BLOCKS_AT_ONCE * rayon::current_num_threads() as u64;
    while saved.next_block() < questions.blocks() {
        let next = saved.next_block();
        let until = (next + at_once).min(questions.blocks());
        saved.add(measurement.blocks(next..until)?);
        bar.show(Progress {
            phase: "questions",
            done: saved.done() as usize,
            of: questions.len() as usize,
        });
        if last_save.elapsed() > SAVED_EVERY {
            file.save(&saved)?;
            last_save = Instant::now();
        }
    }
    bar.finish();
    file.finish(&saved)?;
    Ok(saved)
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Measured<'a> {
    #[serde(flatten)]
    identity: Identity,
    decode: &'static str,
    source: Source,
    #[serde(flatten)]
    all: Share,
    ties: u64,
    classes: Vec<ClassShare>,
    wrong_answers: Vec<WrongAnswer<'a>>,
    not_kept: u64,
}

#[derive(Debug, Serialize)]
struct ClassShare {
    class: Class,
    #[serde(flatten)]
    share: Share,
    complexities: Vec<ComplexityShare>,
}

#[derive(Debug, Serialize)]
struct ComplexityShare {
    complexity: Complexity,
    #[serde(flatten)]
    share: Share,
}

#[derive(Debug, Serialize)]
struct WrongAnswer<'a> {
    place: u64,
    question: &'a Question,
    answer: &'a Answer,
    true_answer: Answer,
}

/// How many of some questions were answered rightly.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    pub questions: u64,
    pub right: u64,
    pub wrong: u64,
    #[serde(serialize_with = "to_twelve_places")]
    pub accuracy: Option<f64>,
    #[serde(serialize_with = "to_twelve_places")]
    lower: Option<f64>,
    #[serde(serialize_with = "to_twelve_places")]
    upper: Option<f64>,
    nines: Option<u32>,
    nines_at_least: Option<u32>,
}

/// Rates of right answers are written to twelve places: more than any count of questions tells, and
/// the same on every machine.
fn to_twelve_places<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value
        .map(|value| (value * 1e12).round() / 1e12)
        .serialize(serializer)
}

impl Share {
    /// The share that a count of wrong answers leaves. `whole` says that the questions are all there
    /// are.
    pub fn of(wrong: Count, whole: bool) -> Self {
        let bounds = (!whole).then(|| wrong.bounds(ALPHA / 2.0));
        Share {
            questions: wrong.trials,
            right: wrong.trials - wrong.hits,
            wrong: wrong.hits,
            accuracy: (wrong.trials > 0).then(|| 1.0 - wrong.share()),
            lower: bounds.map(|bounds| 1.0 - bounds.upper),
            upper: bounds.map(|bounds| 1.0 - bounds.lower),
            nines: nines(wrong),
            nines_at_least: bounds.map(|bounds| nines_at_least(bounds.upper)),
        }
    }

    fn row(&self, name: Cell) -> [Cell; 6] {
        let percent = |value: f64| format!("{:.6}", 100.0 * value);
        let accuracy = self
            .accuracy
            .map_or_else(String::new, |accuracy| format!("{} %", percent(accuracy)));
        let interval = match (self.lower, self.upper) {
            (Some(lower), Some(upper)) => format!("[{}, {}]", percent(lower), percent(upper)),
            _ => "all there are".to_owned(),
        };
        let nines = match (self.nines, self.nines_at_least) {
            (Some(nines), None) => nines.to_string(),
            (None, None) => "never wrong".to_owned(),
            (Some(nines), Some(least)) if nines > least => format!("{nines}, at least {least}"),
            (_, Some(least)) => format!("at least {least}"),
        };
        let shade = if self.wrong == 0 {
            style::PLAIN
        } else {
            style::WRONG
        };
        [
            name,
            self.questions.into(),
            Cell::styled(self.wrong, shade),
            accuracy.into(),
            interval.into(),
            nines.into(),
        ]
    }
}

impl<'a> Measured<'a> {
    pub fn new(
        identity: Identity,
        decode: Decode,
        questions: &Questions,
        tally: &'a Tally,
    ) -> Self {
        let whole = questions.is_a_whole_space();
        let complexities = |class: Class| {
            let of_class = tally.complexities.iter();
            of_class
                .filter(|(complexity, _)| complexity.class == class)
                .map(|(&complexity, &wrong)| ComplexityShare {
                    complexity,
                    share: Share::of(wrong, whole),
                })
                .collect()
        };
        let total = tally.total();
        Measured {
            identity,
            decode: match decode {
                Decode::Forced => "forced",
                Decode::Free => "free",
            },
            source: questions.source(),
            all: Share::of(total, whole),
            ties: tally.ties,
            classes: (tally.classes().into_iter())
                .map(|(class, wrong)| ClassShare {
                    class,
                    share: Share::of(wrong, whole),
                    complexities: complexities(class),
                })
                .collect(),
            wrong_answers: (tally.wrong.iter())
                .map(|wrong| WrongAnswer {
                    place: wrong.place,
                    question: &wrong.question,
                    answer: &wrong.answer,
                    true_answer: Answer::of(&wrong.question),
                })
                .collect(),
            not_kept: total.hits - tally.wrong.len() as u64,
        }
    }
}

impl fmt::Display for Measured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let questions = self.all.questions;
        let drawn = match self.source {
            Source::Uniform { seed } => format!("{questions}, drawn uniformly, seed {seed}"),
            Source::Enriched { seed, .. } => {
                format!("{questions}, drawn as in training, seed {seed}")
            }
            Source::Every { first, second } => {
                format!("{questions}, all with operands in {first} and {second}")
            }
        };
        let read = match self.decode {
            "free" => "free-running",
            _ => "teacher-forced",
        };
        let mut head = Table::new([Side::Left; 3]);
        for (what, said) in [
            ("model", self.identity.model.as_str()),
            ("questions", &drawn),
            ("answers", read),
        ] {
            head.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        let interval = format!("{} % interval", 100.0 * (1.0 - ALPHA));
        let mut table = Table::new([
            Side::Left,
            Side::Right,
            Side::Right,
            Side::Right,
            Side::Left,
            Side::Left,
        ]);
        table.heading(["", "questions", "wrong", "accuracy", &interval, "nines"]);
        table.row(self.all.row(Cell::styled("all", style::TITLE)));
        for class in &self.classes {
            table.row(class.share.row(Cell::styled(class.class, style::TITLE)));
            for grade in &class.complexities {
                let name = format!("  {}", grade.complexity);
                table.row(grade.share.row(name.into()));
            }
        }
        write!(f, "{head}\n{table}")?;
        if self.ties > 0 {
            writeln!(
                f,
                "\n{} of the wrong answers are numerical ties: another processor may answer rightly",
                self.ties
            )?;
        }
        if self.wrong_answers.is_empty() {
            return Ok(());
        }
        let mut table = Table::new([Side::Left; 4]);
        table.heading(["wrong", "answer", "truly"]);
        for wrong in self.wrong_answers.iter().take(LISTED) {
            table.row([
                wrong.question.into(),
                wrong.answer.into(),
                wrong.true_answer.into(),
            ]);
        }
        write!(f, "\n{table}")?;
        let more = self.wrong_answers.len().saturating_sub(LISTED);
        match (more, self.not_kept) {
            (0, 0) => Ok(()),
            (more, 0) => writeln!(f, "and {more} more, which --json lists"),
            (more, rest) => writeln!(
                f,
                "and {more} more, which --json lists, and {rest} that were only counted (--keep)"
            ),
        }
    }
}

impl From<QuestionsError> for CliError {
    fn from(error: QuestionsError) -> Self {
        let hint = match error {
            QuestionsError::TooMany { .. } => Some("for example --a 0..999 --b 0..999"),
            _ => None,
        };
        CliError::Input {
            message: error.to_string(),
            hint: hint.map(str::to_owned),
        }
    }
}

impl From<SavedError> for CliError {
    fn from(error: SavedError) -> Self {
        CliError::Input {
            message: error.to_string(),
            hint: None,
        }
    }
}
