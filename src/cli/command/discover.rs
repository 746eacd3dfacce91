//! `discover`: behaviors.json and features.json made anew from a model's weights.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::evidence_map::{
    Lab, MapOptions, MapTagAssay, combiners_published, find_tags,
};
use circuitcheck::analysis::published::{Changes, Discovered, Quirk, Quirks, describe, draw_set};
use circuitcheck::analysis::strict::strict;
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::Node;
use circuitcheck::experiment::{Baseline, Rules, stream};
use circuitcheck::inputs::claims::{TaggedNode, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::inputs::model::RawFile;
use circuitcheck::report::{changes_text, strict_markdown};
use circuitcheck::storage::lock::Lock;
use circuitcheck::storage::write_files;
use circuitcheck::verify::evidence::by_name;
use circuitcheck::verify::{Options, Progress};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::tagged_file::{TagSummary, read_tagged_file};
use crate::cli::args::model::{Identity, Model, ModelArg};
use crate::cli::args::questions::SetArg;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, hold, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::usage_error;

/// Derive behaviors.json and features.json from a model's weights
///
/// The published protocol is followed to the letter, quirks included: on the question set of a
/// published file it gives that file, except for tri-case clustering tags (such as
/// Math.Add:A2.SP), which rest on questions drawn anew. Without --questions the set is drawn as
/// the published ones were: 512 random questions, enriched as in training, then the curated pairs
/// of each complexity class.
///
/// The strict protocol has no quirks: means of each layer, exact positions with 10 % of attention or
/// more, impact at any place. Its claims are drawn from what the useful nodes, and sets of them inside
/// one layer, are found to carry (`carries`); these are put to the method of `verify`, and those that
/// hold are written. It also writes the evidence, and a report of what the quirks and the method
/// change.
///
/// With --tags-2026, tags of 2026 are written too: as published, or, by the strict protocol, those that
/// hold when measured so that they can fail. Algo:A3.STC (and MTC, NTC) is a claim, in features.json;
/// Probe:A3.LINXFER, Probe:A4.CARRYLAYER and CARRYDEFER, Probe:DELIVERY.ADD and Edge:A3.STC<-L0H1 are
/// behaviours (docs/METHOD.md). No published technique writes edges.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck discover models/w126_add_d5_l2* --out found
  circuitcheck discover models/w126_add_d5_l2* --questions set.json --out found
  circuitcheck discover models/w126_add_d5_l2* --without first-layer-means --out found
  circuitcheck discover models/w126_add_d5_l2* --protocol strict --out found")]
#[command(after_long_help = "\
Examples:
  circuitcheck discover models/w126_add_d5_l2* --out found
  circuitcheck discover models/w126_add_d5_l2* --questions set.json --out found
  circuitcheck discover models/w126_add_d5_l2* --without first-layer-means --out found
  circuitcheck discover models/w126_add_d5_l2* --protocol strict --out found

Keys of --json:
  model, weights_sha256  the model's name, and the digest of its weights
  protocol   \"published\" or \"strict\"
  without    the quirks removed
  seed       of the set, where it was drawn, and of clustering
  questions  questions in the set; right: those answered rightly without an ablation
  positions  positions without which some question fails
  nodes, tags, claims, untestable  as `show` has them, of both files together
  strict     with --protocol strict: candidates (claims put to the method), verdicts (how many of
             them have each), by_quirks and by_method: kept, gained, lost, moved")]
pub struct Discover {
    #[command(flatten)]
    model: ModelArg,
    /// By which rules
    #[arg(long, value_enum, default_value_t = ProtocolArg::Published)]
    protocol: ProtocolArg,
    /// Folder for the two files
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    set: SetArg,
    /// Search for claims among the behaviours of this file, not among those found
    #[arg(long, value_name = "FILE")]
    behaviors: Option<PathBuf>,
    /// Write the tags of 2026 too: STC, MTC and NTC, probes, delivery and edges; takes minutes
    #[arg(long = "tags-2026")]
    tags_2026: bool,
    /// Remove one quirk of the published protocol; may be given several times
    #[arg(long, value_name = "QUIRK", value_parser = quirks())]
    without: Vec<Quirk>,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    format: JsonArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProtocolArg {
    /// As the published files were made
    Published,
    /// Without quirks, and only claims that the method supports
    Strict,
}

impl ProtocolArg {
    fn name(self) -> &'static str {
        match self {
            ProtocolArg::Published => "published",
            ProtocolArg::Strict => "strict",
        }
    }
}

/// What is made, by either protocol.
struct FilesMade {
    found: Discovered,
    behaviors: Vec<TaggedNode>,
    features: Vec<TaggedNode>,
    strict: Option<StrictSummary>,
    more: Vec<(&'static str, String)>,
}

fn quirks() -> impl TypedValueParser<Value = Quirk> {
    PossibleValuesParser::new(Quirk::all().map(Quirk::name)).try_map(|name| name.parse::<Quirk>())
}

impl Discover {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        if self.protocol == ProtocolArg::Strict {
            let given = [
                ("--behaviors", self.behaviors.is_some()),
                ("--without", !self.without.is_empty()),
            ];
            if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(usage_error(
                    "discover",
                    ErrorKind::ArgumentConflict,
                    format_args!(
                        "{option} is for the published protocol: the strict one has no quirk and takes its own behaviours"
                    ),
                ));
            }
        }
        let model = self.model.open()?;
        let _held = self.hold_out()?;
        let draw = || draw_set(&model.folder, &mut stream(self.draws.seed, "question set"));
        let set = self.set.read(&model)?.unwrap_or_else(draw);
        let given = self
            .behaviors
            .as_deref()
            .map(read_tagged_file)
            .transpose()?;
        let given = given.map(|file| self.read(&model, &file)).transpose()?;
        let mut made = match self.protocol {
            ProtocolArg::Published => self.published(&model, &set, given.as_deref())?,
            ProtocolArg::Strict => self.strict(&model, &set)?,
        };
        if self.tags_2026 {
            self.add_tags_of_2026(&model, &mut made)?;
        }
        let mut files = vec![
            ("behaviors.json", write_tagged_nodes(&made.behaviors) + "\n"),
            ("features.json", write_tagged_nodes(&made.features) + "\n"),
        ];
        let mut summary = TagSummary::default();
        for (name, text) in &files {
            let file = RawFile::made(&self.out.join(name), text.clone().into_bytes());
            summary.add(&file, None)?;
        }
        files.extend(made.more);
        // Where files cannot be written, what was found is printed nevertheless.
        let stored = write_files(&self.out, &files);
        self.format.print(&Discovery {
            identity: model.identity(),
            protocol: self.protocol.name(),
            without: self.without.clone(),
            seed: self.draws.seed,
            questions: made.found.questions,
            right: made.found.right,
            positions: made.found.positions,
            summary,
            strict: made.strict,
        })?;
        stored?;
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        wrote(&names.join(", "), &self.out);
        Ok(ExitCode::Success)
    }

    fn published(
        &self,
        model: &Model,
        set: &[Prompt],
        given: Option<&[TaggedNode]>,
    ) -> Result<FilesMade, CliError> {
        let quirks =
            (self.without.iter()).fold(Quirks::published(), |quirks, &quirk| quirks.without(quirk));
        let (folder, engine) = (&model.folder, &model.engine);
        let made = describe(folder, engine, set, &quirks, self.draws.seed, given)?;
        Ok(FilesMade {
            found: made.found,
            behaviors: made.behaviors,
            features: made.features,
            strict: None,
            more: Vec::new(),
        })
    }

    fn strict(&self, model: &Model, set: &[Prompt]) -> Result<FilesMade, CliError> {
        let options = Options {
            rules: Rules {
                seed: self.draws.seed,
                ..Rules::default()
            },
            ..Options::default()
        };
        let strict = with_progress(|progress| {
            strict(
                &model.folder,
                &model.engine,
                set,
                &options,
                self.tags_2026,
                progress,
            )
        })?;
        let mut more = vec![("report.md", strict_markdown(&model.folder.name, &strict))];
        if let Some(evidence) = &strict.evidence {
            more.push(("evidence.json", evidence.to_json()));
        }
        let verdicts = strict
            .evidence
            .map_or(BTreeMap::new(), |found| by_name(&found.summary));
        Ok(FilesMade {
            found: strict.found,
            behaviors: strict.behaviors,
            features: strict.features,
            strict: Some(StrictSummary {
                candidates: strict.candidates,
                verdicts,
                by_quirks: strict.by_quirks,
                by_method: strict.by_method,
            }),
            more,
        })
    }

    /// Adds the tags of 2026 to the files; claims that hold soundly are among the strict ones already.
    fn add_tags_of_2026(&self, model: &Model, made: &mut FilesMade) -> Result<(), CliError> {
        let (folder, engine) = (&model.folder, &model.engine);
        let operations = folder.operations();
        let nodes: Vec<Node> = made.found.nodes.iter().map(|useful| useful.node).collect();
        let options = MapOptions {
            alpha: Rules::default().alpha,
            seed: self.draws.seed,
        };
        let baseline = Baseline::measure(engine, operations, options.alpha, options.seed)?;
        let lab = Lab::new(folder, engine, &baseline, options);
        let assay = match self.protocol {
            ProtocolArg::Published => MapTagAssay::Published,
            ProtocolArg::Strict => MapTagAssay::Sound,
        };
        let found = with_progress(|progress| {
            find_tags(&lab, &nodes, assay, &mut |done, of| {
                progress(Progress {
                    phase: "tags of 2026",
                    done,
                    of,
                });
            })
        })?;
        for (node, mut tags) in found {
            let name = node.name();
            let mut behaviors = made.behaviors.iter_mut();
            if let Some(tagged) = behaviors.find(|tagged| tagged.node == name) {
                tagged.tags.append(&mut tags);
            }
        }
        if assay == MapTagAssay::Published {
            for tagged in &mut made.features {
                if let Ok(node) = tagged.node.resolve(&engine.shape()) {
                    let claims = combiners_published(engine, operations, node)?;
                    tagged.tags.extend(claims);
                }
            }
        }
        Ok(())
    }

    /// Holds the output folder, which must not be the model's own.
    fn hold_out(&self) -> Result<Lock, CliError> {
        let own = self.model.dir.as_deref().unwrap_or(Path::new(""));
        let folder = |path: &Path| path.canonicalize().ok();
        if folder(own).is_some_and(|own| folder(&self.out) == Some(own)) {
            return Err(CliError::input(
                self.out.display(),
                "is the model's own folder, whose files would be overwritten; name another with --out",
            ));
        }
        hold(&self.out, "discover")
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

#[derive(Debug, Serialize)]
struct Discovery {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<StrictSummary>,
}

/// What became of the claims.
#[derive(Debug, Serialize)]
struct StrictSummary {
    candidates: usize,
    verdicts: BTreeMap<&'static str, usize>,
    by_quirks: Changes,
    by_method: Changes,
}

impl fmt::Display for Discovery {
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
        write!(f, "{table}{}", self.summary)?;
        let Some(strict) = &self.strict else {
            return Ok(());
        };
        let verdicts: Vec<String> = (strict.verdicts.iter())
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        writeln!(
            f,
            "\n{} claims put to the method: {}",
            strict.candidates,
            verdicts.join(", ")
        )?;
        writeln!(f, "removing the quirks {}", changes_text(&strict.by_quirks))?;
        writeln!(f, "asking the method {}", changes_text(&strict.by_method))
    }
}
