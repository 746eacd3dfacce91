//! `show`: what a model is, and what was published about it.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::analysis::accuracy::{AccuracyShare, AccuracyTally};
use circuitcheck::domain::arithmetic::Class;
use circuitcheck::domain::shape::Shape;
use circuitcheck::experiment::draw_evenly;
use circuitcheck::inputs::model::TrainingRecord;
use clap::Args;
use serde::Serialize;

use super::tagged_file::{FoundFile, TagSummary, TaggedFile, node_table, read_tagged_file};
use crate::cli::args::model::{Identity, Model, ModelArg};
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Questions asked of each class: enough to tell a trained model from others within a second.
const QUESTIONS_PER_CLASS: usize = 1000;

/// Describe a model and what was published about it
///
/// Prints the network's shape, the files found with their digests, the training record, and the
/// useful nodes (those of behaviors.json and features.json) with their tags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck show models/w126_add_d5_l2* --accuracy
  circuitcheck show --features-only features.json")]
#[command(after_long_help = "\
Examples:
  circuitcheck show models/w126_add_d5_l2* --accuracy
  circuitcheck show --features-only features.json

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  operations    what it was trained for: \"add\", \"sub\", \"mix\", \"mul\" or \"mas\"
  shape         n_digits, n_layers, n_heads, d_model, d_head, d_mlp
  n_ctx         tokens of a question with its answer
  training      batches, final_loss, avg_final_loss; or null
  features, behaviors  path, sha256; or null
  nodes         for each useful node: node, tags
  tags          nodes by the part of their tags before the colon
  claims        claims by task; untestable: those whose task is not known
  seed, accuracy  with --accuracy, for each class trained: class, questions, right, accuracy, and
                the other counts that `accuracy` has

Keys of --json with --features-only: path, sha256, nodes, tags, claims, untestable")]
pub struct Show {
    #[command(flatten)]
    model: ModelArg,
    /// Also ask 1,000 random questions of each class the model was trained for
    #[arg(long)]
    accuracy: bool,
    #[command(flatten)]
    draws: SeedArg,
    /// Take the claims from this file, not from the folder's features.json
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Describe only a features.json or behaviors.json, without a model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "accuracy", "features"])]
    features_only: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

impl Show {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        match &self.features_only {
            Some(file) => self.format.print(&TaggedFile::read(file)?)?,
            None => self.format.print(&self.model()?)?,
        };
        Ok(ExitCode::Success)
    }

    fn model(&self) -> Result<ShownModel, CliError> {
        let model = self.model.open()?;
        let folder = &model.folder;
        let features = match &self.features {
            Some(file) => Some(read_tagged_file(file)?),
            None => folder.features.clone(),
        };
        let shape = model.engine.shape();
        let mut summary = TagSummary::default();
        for file in [&folder.behaviors, &features].into_iter().flatten() {
            summary.add(file, Some(&shape))?;
        }
        Ok(ShownModel {
            identity: model.identity(),
            operations: folder.operations().to_string(),
            shape,
            n_ctx: shape.n_ctx(),
            training: folder.training.as_ref().map(Training::from),
            features: features.as_ref().map(FoundFile::from),
            behaviors: folder.behaviors.as_ref().map(FoundFile::from),
            summary,
            accuracy: self
                .accuracy
                .then(|| QuickAccuracy::measure(&model, self.draws.seed))
                .transpose()?,
        })
    }
}

#[derive(Debug, Serialize)]
struct ShownModel {
    #[serde(flatten)]
    identity: Identity,
    operations: String,
    shape: Shape,
    n_ctx: usize,
    training: Option<Training>,
    features: Option<FoundFile>,
    behaviors: Option<FoundFile>,
    #[serde(flatten)]
    summary: TagSummary,
    #[serde(flatten)]
    accuracy: Option<QuickAccuracy>,
}

/// A quick look at how well a model does what it was trained for: the accuracy in each class.
#[derive(Debug, Serialize)]
struct QuickAccuracy {
    seed: u64,
    accuracy: Vec<QuickClassAccuracy>,
}

#[derive(Debug, Serialize)]
struct QuickClassAccuracy {
    class: Class,
    #[serde(flatten)]
    share: AccuracyShare,
}

impl QuickAccuracy {
    /// Asks questions drawn uniformly from each class, teacher-forced.
    fn measure(model: &Model, seed: u64) -> Result<Self, CliError> {
        let operations = model.folder.operations();
        let classes = operations.classes();
        if classes.is_empty() {
            warn(format_args!(
                "no question can be asked: the model was trained for {operations} alone"
            ));
        }
        let measure = |class| -> Result<QuickClassAccuracy, CliError> {
            let n_digits = model.engine.shape().n_digits;
            let prompts = draw_evenly(&[class], n_digits, QUESTIONS_PER_CLASS, seed);
            let logits = model.engine.logits(&prompts)?;
            let tally = AccuracyTally::of(0, &prompts, &logits, 0);
            Ok(QuickClassAccuracy {
                class,
                share: AccuracyShare::of(tally.total(), false),
            })
        };
        Ok(Self {
            seed,
            accuracy: classes.into_iter().map(measure).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for QuickAccuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left, Side::Right, Side::Right, Side::Right]);
        table.heading(["class", "questions", "right", "accuracy"]);
        for row in &self.accuracy {
            let percent = 100.0 * row.share.accuracy.unwrap_or_default();
            table.row([
                row.class.into(),
                row.share.questions.into(),
                row.share.right.into(),
                format!("{percent:.2} %").into(),
            ]);
        }
        table.fmt(f)
    }
}

#[derive(Debug, Serialize)]
struct Training {
    batches: usize,
    final_loss: Option<f64>,
    avg_final_loss: Option<f64>,
}

impl From<&TrainingRecord> for Training {
    fn from(record: &TrainingRecord) -> Self {
        let last = record.training_loss.last().copied().map(f64::from);
        let last = last.filter(|loss| loss.is_finite());
        Self {
            batches: record.training_loss.len(),
            final_loss: record.final_loss.or(last),
            avg_final_loss: record.avg_final_loss,
        }
    }
}

impl fmt::Display for Training {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} batches", self.batches)?;
        if let Some(loss) = self.final_loss {
            write!(f, ", final loss {loss:.3e}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ShownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = style::TITLE;
        writeln!(f, "{title}{}{title:#}", self.identity.model)?;
        let shape = &self.shape;
        let found = |file: &Option<FoundFile>| match file {
            Some(file) => file.to_string(),
            None => "not there".to_owned(),
        };
        let training = match &self.training {
            Some(training) => training.to_string(),
            None => "not there".to_owned(),
        };
        let mut table = Table::new([Side::Left; 3]).indented();
        for (what, said) in [
            ("operations", self.operations.clone()),
            (
                "digits",
                format!("{} in each operand, {} tokens", shape.n_digits, self.n_ctx),
            ),
            ("layers", shape.n_layers.to_string()),
            (
                "heads",
                format!("{} of width {}", shape.n_heads, shape.d_head),
            ),
            (
                "widths",
                format!("{} residual, {} MLP", shape.d_model, shape.d_mlp),
            ),
            (
                "weights",
                format!("sha256 {}", self.identity.weights_sha256),
            ),
            ("training", training),
            ("behaviors", found(&self.behaviors)),
            ("features", found(&self.features)),
        ] {
            table.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        table.fmt(f)?;
        if let Some(accuracy) = &self.accuracy {
            write!(f, "\n{accuracy}")?;
        }
        if self.summary.nodes.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}\n{}", self.summary, node_table(&self.summary.nodes))
    }
}
