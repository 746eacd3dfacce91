//! `discover`: behaviors.json and features.json made anew from a model's weights.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use circuitcheck::claims::{TaggedNode, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::discover::{Quirk, Quirks, discover, draw_set, search};
use circuitcheck::model::RawFile;
use circuitcheck::report::{check_writable, write_files};
use circuitcheck::verify::stream;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::DEFAULT_SEED;
use super::error::CliError;
use super::exit_code::ExitCode;
use super::model::{Identity, Model};
use super::output::Format;
use super::question_set;
use super::style;
use super::table::{Cell, Side, Table};
use super::tagged_file::TagSummary;

/// Make behaviors.json and features.json from a model's weights
///
/// The published protocol is followed to the letter, quirks included: on the question set of a
/// published file it gives that file, except for tri-case clustering tags (such as
/// Math.Add:A2.SP), which rest on questions drawn anew. Without --questions the set is drawn as
/// the published ones were: 512 random questions, enriched as in training, then the curated pairs
/// of each complexity class.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck discover models/add --out found
  circuitcheck discover models/add --questions set.json --out found
  circuitcheck discover models/add --without first-layer-means --out found")]
#[command(after_long_help = "\
Examples:
  circuitcheck discover models/add --out found
  circuitcheck discover models/add --questions set.json --out found
  circuitcheck discover models/add --without first-layer-means --out found

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  protocol   \"published\"
  without    the quirks removed
  seed       of the set, where it was drawn, and of clustering
  questions  questions in the set; right: those answered rightly without an ablation
  positions  positions without which some question fails
  nodes, tags, claims, untestable  as `show` has them, of both files together")]
pub struct Discover {
    /// The model's folder or file of weights; without it, the bundled mixed model
    dir: Option<PathBuf>,
    /// By which rules
    #[arg(long, value_enum, default_value_t = Protocol::Published)]
    protocol: Protocol,
    /// Folder for the two files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The set of questions: a JSON list of them, or one a line
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Search for claims among the behaviours of this file, not among those found
    #[arg(long, value_name = "FILE")]
    behaviors: Option<PathBuf>,
    /// Remove one quirk of the published protocol; may be given several times
    #[arg(long, value_name = "QUIRK", value_parser = quirks())]
    without: Vec<Quirk>,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// As the published files were made
    Published,
}

fn quirks() -> impl TypedValueParser<Value = Quirk> {
    PossibleValuesParser::new(Quirk::all().map(Quirk::name)).try_map(|name| name.parse::<Quirk>())
}

impl Discover {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let model = Model::open(self.dir.as_deref())?;
        self.check_out()?;
        let set = match &self.questions {
            Some(file) => question_set::read(&model, file)?,
            None => draw_set(&model.folder, &mut stream(self.seed, "question set")),
        };
        let given = self.behaviors.as_deref().map(RawFile::read).transpose()?;
        let given = given.map(|file| self.read(&model, &file)).transpose()?;
        let quirks =
            (self.without.iter()).fold(Quirks::published(), |quirks, &quirk| quirks.without(quirk));
        let operations = model.folder.operations();
        let found = discover(&model.folder, &model.engine, &set, &quirks, self.seed)?;
        let behaviors = found.behaviors(model.engine.shape().n_digits, operations, &quirks);
        let searched = given.as_ref().unwrap_or(&behaviors);
        let features = search(&model.engine, operations, searched, &quirks)?;
        let written = [("behaviors.json", &behaviors), ("features.json", &features)]
            .map(|(name, nodes)| (name, write_tagged_nodes(nodes) + "\n"));
        write_files(&self.out, &written)?;
        let mut summary = TagSummary::default();
        for (name, text) in written {
            let file = RawFile::made(&self.out.join(name), text.into_bytes());
            summary.add(&file, None)?;
        }
        self.format.print(&Found {
            identity: model.identity(),
            protocol: "published",
            without: self.without.clone(),
            seed: self.seed,
            questions: found.questions,
            right: found.right,
            positions: found.positions,
            summary,
        })?;
        // Where the files are is news for the user, not data.
        let _ = writeln!(
            anstream::stderr(),
            "wrote behaviors.json and features.json to {}",
            self.out.display()
        );
        Ok(ExitCode::Success)
    }

    /// The output folder must take files, and not be the model's own.
    fn check_out(&self) -> Result<(), CliError> {
        let own = self.dir.as_deref().unwrap_or(Path::new(""));
        let folder = |path: &Path| path.canonicalize().ok();
        if folder(own).is_some_and(|own| folder(&self.out) == Some(own)) {
            return Err(CliError::input(
                self.out.display(),
                "is the model's own folder, whose files would be overwritten; name another with --out",
            ));
        }
        Ok(check_writable(&self.out)?)
    }

    fn read(&self, model: &Model, file: &RawFile) -> Result<Vec<TaggedNode>, CliError> {
        let shown = file.path.display();
        let nodes = read_tagged_nodes(&shown.to_string(), &file.bytes)?;
        for tagged in &nodes {
            let resolved = tagged.node.resolve(&model.engine.shape());
            resolved.map_err(|error| CliError::input(&shown, error))?;
        }
        Ok(nodes)
    }
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(flatten)]
    identity: Identity,
    protocol: &'static str,
    without: Vec<Quirk>,
    seed: u64,
    questions: usize,
    right: usize,
    positions: Vec<usize>,
    #[serde(flatten)]
    summary: TagSummary,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions: Vec<String> = self.positions.iter().map(|p| format!("P{p}")).collect();
        let mut protocol = self.protocol.to_owned();
        for quirk in &self.without {
            protocol += &format!(", without {quirk}");
        }
        let questions = match self.questions - self.right {
            0 => self.questions.to_string(),
            wrong => format!(
                "{}, {wrong} of them wrong without an ablation",
                self.questions
            ),
        };
        let mut table = Table::new([Side::Left; 3]);
        for (what, said) in [
            ("model", self.identity.model.clone()),
            ("protocol", protocol),
            ("seed", self.seed.to_string()),
            ("questions", questions),
            ("positions", positions.join(" ")),
        ] {
            table.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        write!(f, "{table}{}", self.summary)
    }
}
