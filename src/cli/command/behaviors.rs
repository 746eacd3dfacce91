//! `verify --behaviors`: whether the published behaviours are true.

use std::path::{Path, PathBuf};

use circuitcheck::analysis::published::{Remeasuring, Reproduction, TagEvidence, remeasure};
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::inputs::claims::{Tag, read_tagged_nodes};
use circuitcheck::inputs::model::RawFile;
use circuitcheck::report::{
    BEHAVIORS_SCHEMA, BehaviorEvidence, behaviors_markdown, count_tags, reading_text, said,
    verdict_names, verdict_text,
};
use circuitcheck::storage::{pretty_json, write_files};
use circuitcheck::verify::Progress;
use clap::Args;

use super::tagged_file::read_tagged_file;
use crate::cli::args::count::{MOST_QUESTION_SETS, count_to};
use crate::cli::args::model::Model;
use crate::cli::args::questions;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{hold, write, wrote};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Fresh question sets measured on: enough that a prediction interval at 0.01 reaches no further than
/// four deviations.
const SETS: usize = 8;

/// Options of measuring behaviours again.
#[derive(Debug, Args)]
pub struct Behaviors {
    /// Check the tags of the folder's behaviors.json, or of FILE, instead of claims: measure each again
    /// on fresh questions drawn as the published set was, under the published protocol and without its
    /// quirks
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["features", "task", "matching", "last_failed", "explain", "threshold", "max_trials", "decode", "format"]
    )]
    behaviors: Option<Option<PathBuf>>,
    /// With --behaviors: measure on this set of questions, not on fresh ones
    #[arg(long, value_name = "FILE", requires = "behaviors")]
    questions: Option<PathBuf>,
    /// With --behaviors: fresh question sets, and draws of clustering questions
    #[arg(long, value_name = "N", default_value_t = SETS, requires = "behaviors", value_parser = count_to::<usize>(MOST_QUESTION_SETS))]
    sets: usize,
}

/// Options that all verifications share.
pub struct Shared<'a> {
    pub nodes: &'a [NodeName],
    pub alpha: f64,
    pub seed: u64,
    pub out: Option<&'a Path>,
}

impl Behaviors {
    /// Whether behaviours are to be checked, not claims.
    pub fn are_asked(&self) -> bool {
        self.behaviors.is_some()
    }

    /// Measures; also tells where the report goes.
    pub fn measure(
        &self,
        model: &Model,
        shared: &Shared,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(BehaviorEvidence, Option<PathBuf>), CliError> {
        let named = self.behaviors.as_ref().and_then(Option::as_deref);
        let named = named.map(read_tagged_file).transpose()?;
        let file = named.as_ref().or(model.folder.behaviors.as_ref());
        let file = file.ok_or_else(|| {
            CliError::input(
                &model.folder.name,
                "there is no behaviors.json, so there is nothing to measure again",
            )
            .with_hint("name one with --behaviors=FILE")
        })?;
        let selected = self.selected(model, file, shared.nodes)?;
        let set = self.questions.as_deref();
        let set = set.map(|file| questions::read(model, file)).transpose()?;
        let read = self.questions.as_deref().map(RawFile::read).transpose()?;
        let out = match shared.out {
            Some(out) => Some(out.to_owned()),
            None if !shared.nodes.is_empty() => None,
            None => Some(Path::new("reports").join(&model.folder.name)),
        };
        let _held = out.as_deref().map(|out| hold(out, "verify")).transpose()?;
        let options = Remeasuring {
            questions: set.as_deref(),
            sets: self.sets,
            alpha: shared.alpha,
            seed: shared.seed,
        };
        let mut told = |done, of| {
            progress(Progress {
                phase: "behaviours",
                done,
                of,
            });
        };
        let tags = remeasure(&model.folder, &model.engine, &selected, &options, &mut told)?;
        let evidence = BehaviorEvidence {
            schema: BEHAVIORS_SCHEMA,
            model: model.folder.name.clone(),
            weights_sha256: model.folder.weights_sha256.clone(),
            behaviors_sha256: file.sha256.clone(),
            questions_sha256: read.map(|file| file.sha256),
            sets: if set.is_some() { 1 } else { self.sets },
            clusterings: self.sets,
            alpha: shared.alpha,
            seed: shared.seed,
            summary: count_tags(&tags),
            tags,
        };
        Ok((evidence, out))
    }

    fn selected(
        &self,
        model: &Model,
        file: &RawFile,
        nodes: &[NodeName],
    ) -> Result<Vec<(Node, Vec<Tag>)>, CliError> {
        let shown = file.path.display();
        let selected = read_tagged_nodes(&shown.to_string(), &file.bytes)?
            .into_iter()
            .filter(|tagged| nodes.is_empty() || nodes.contains(&tagged.node))
            .map(|tagged| {
                let node = tagged.node.resolve(&model.engine.shape());
                let node = node.map_err(|error| CliError::input(&shown, error))?;
                Ok((node, tagged.tags))
            })
            .collect::<Result<Vec<_>, CliError>>()?;
        if selected.is_empty() {
            return Err(CliError::input(
                shown,
                "none of the nodes asked for is listed",
            ));
        }
        Ok(selected)
    }
}

/// Writes and prints what was measured.
pub fn report(
    evidence: &BehaviorEvidence,
    out: Option<&Path>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let text = pretty_json(evidence);
    // Where files cannot be written, what was measured is printed nevertheless.
    let stored = out.map(|out| {
        let files = [
            ("behaviors-evidence.json", text.clone()),
            ("behaviors.md", behaviors_markdown(evidence)),
        ];
        write_files(out, &files)
    });
    if json {
        write(&text)?;
    } else {
        write(table(evidence))?;
    }
    stored.transpose()?;
    if let Some(out) = out {
        wrote("behaviors-evidence.json and behaviors.md", out);
    }
    let any = |verdict| {
        let mut tags = evidence.tags.iter();
        tags.any(|tag| tag.reproduction == verdict)
    };
    Ok(if any(Reproduction::NotReproduced) {
        ExitCode::Refuted
    } else if any(Reproduction::Undecided) {
        ExitCode::Inconclusive
    } else {
        ExitCode::Success
    })
}

/// The tags that did not simply come out again, and all in numbers.
fn table(evidence: &BehaviorEvidence) -> String {
    let mut table = Table::new([Side::Left; 5]);
    table.heading([
        "node",
        "published",
        "published protocol",
        "without quirks",
        "verdict",
    ]);
    let moved = |tag: &&TagEvidence| tag.reproduction != Reproduction::Reproduced;
    for tag in evidence.tags.iter().filter(moved) {
        let shade = match tag.reproduction {
            Reproduction::NotReproduced => style::WRONG,
            _ => style::WARNING,
        };
        table.row([
            tag.node.into(),
            (&tag.tag).into(),
            reading_text(tag.published.as_ref(), said(tag)).into(),
            reading_text(tag.strict.as_ref(), said(tag)).into(),
            Cell::styled(verdict_text(&tag.reproduction), shade),
        ]);
    }
    let mut counts = Table::new(
        [Side::Left]
            .into_iter()
            .chain(verdict_names().map(|_| Side::Right)),
    );
    counts.heading(["tags"].into_iter().chain(verdict_names()));
    for (kind, verdicts) in &evidence.summary {
        let cells = verdict_names().map(|name| verdicts.get(name).copied().unwrap_or(0).into());
        counts.row([Cell::from(kind)].into_iter().chain(cells));
    }
    format!("{table}\n{counts}")
}
