//! `compare`: two verifications, or two files of tags, beside each other.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::domain::node::NodeName;
use circuitcheck::inputs::model::RawFile;
use circuitcheck::report::{Comparison, EVIDENCE_FILE, Player};
use circuitcheck::verify::evidence::Evidence;
use clap::Args;
use serde::Serialize;

use super::diff::{self, FilesCompared};
use super::tagged_file::note_older_spellings;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Digits of a SHA-256 that tell two files apart for a reader.
const SHORT: usize = 16;

/// Compare two verifications, or two files of claims
///
/// Of two verifications: verdicts that flipped, intervals that do not overlap, and claims in only one
/// of them; of two models, the nodes of each variable side by side. Ends with exit code 1 if two runs
/// of one model differ, and with 0 for two models.
///
/// Of two behaviors.json or features.json: each node that differs, with the tags of only the first
/// and of only the second. The order of nodes and of tags counts. Ends with exit code 1 if anything
/// differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck compare reports/w126_add_d5_l2* /tmp/rerun
  circuitcheck compare reports/w126_add_d5_l2*/evidence.json reports/w126_mix*/evidence.json --json
  circuitcheck compare models/w126_add_d5_l2*/behaviors.json found/behaviors.json

Keys of --json, of two verifications: runs[] (path, evidence_sha256), models[], terms[] (term, first,
second), flipped[] (claim, first, second, note), apart[] (claim, measure, first, second: rates),
gone[], new[], roles[] (variable, first[], second[]: nodes, verdict).

Keys of --json, of two files of tags: files[] (path, sha256), nodes[] (node, listed: \"both\",
\"first\" or \"second\", first[] and second[]: tags of that file alone, reordered, keys: unknown keys
that differ), reordered (whether the nodes that both files list are in another order).")]
pub struct CompareCommand {
    /// A verification (its folder, or its evidence.json), or a file of tags
    first: PathBuf,
    /// What to compare it with
    second: PathBuf,
    #[command(flatten)]
    format: JsonArg,
}

impl CompareCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        match (diff::is_tags(&first), diff::is_tags(&second)) {
            (true, true) => {
                note_older_spellings(&first);
                note_older_spellings(&second);
                return self.files(&first, &second);
            }
            (false, false) => {}
            (true, false) => return Err(mixed(&first, &second)),
            (false, true) => return Err(mixed(&second, &first)),
        }
        let (first, second) = (ComparedRun::of(first)?, ComparedRun::of(second)?);
        let comparison = Comparison::of(&first.evidence, &second.evidence);
        let code = match comparison.changed() {
            true => ExitCode::Refuted,
            false => ExitCode::Success,
        };
        self.format.print(&RunsCompared {
            runs: [first, second],
            comparison,
        })?;
        Ok(code)
    }

    fn files(&self, first: &RawFile, second: &RawFile) -> Result<ExitCode, CliError> {
        let compared = FilesCompared::of(first, second)?;
        self.format.print(&compared)?;
        Ok(match compared.is_same() {
            true => ExitCode::Success,
            false => ExitCode::Refuted,
        })
    }
}

/// Reads a file, or the evidence in a folder.
fn read(path: &Path) -> Result<RawFile, CliError> {
    Ok(match path.is_dir() {
        true => RawFile::read(&path.join(EVIDENCE_FILE))?,
        false => RawFile::read(path)?,
    })
}

fn mixed(tags: &RawFile, evidence: &RawFile) -> CliError {
    CliError::input(
        tags.path.display(),
        format_args!(
            "is a file of tags, {} is evidence: compare two of one kind",
            evidence.path.display()
        ),
    )
}

#[derive(Debug, Serialize)]
struct ComparedRun {
    path: PathBuf,
    evidence_sha256: String,
    #[serde(skip)]
    evidence: Evidence,
}

impl ComparedRun {
    fn of(file: RawFile) -> Result<Self, CliError> {
        let evidence = Evidence::from_json(&file.bytes)
            .map_err(|error| {
            CliError::input(file.path.display(), error).with_hint(
                "compare takes two folders of reports or evidence.json, or two behaviors.json or features.json",
            )
        })?;
        Ok(Self {
            path: file.path,
            evidence_sha256: file.sha256,
            evidence,
        })
    }
}

#[derive(Debug, Serialize)]
struct RunsCompared {
    runs: [ComparedRun; 2],
    #[serde(flatten)]
    comparison: Comparison,
}

fn players(players: &[Player]) -> String {
    let texts: Vec<String> = players
        .iter()
        .map(|player| {
            let names: Vec<String> = player.nodes.iter().map(NodeName::to_string).collect();
            format!("{} {}", names.join("+"), player.verdict)
        })
        .collect();
    match texts.is_empty() {
        true => "-".into(),
        false => texts.join(", "),
    }
}

impl fmt::Display for RunsCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.comparison;
        for (place, run) in ["first", "second"].iter().zip(&self.runs) {
            writeln!(
                f,
                "{place:6}  {}  {}",
                run.path.display(),
                run.evidence.inputs.model
            )?;
        }
        let short = |text: &str| match text.is_empty() {
            true => "none".to_owned(),
            false => text.chars().take(SHORT).collect(),
        };
        let mut terms = Table::new([Side::Left; 3]);
        terms.heading(["differs", "first", "second"]);
        for term in &found.terms {
            terms.row([
                term.term.into(),
                short(&term.first).into(),
                short(&term.second).into(),
            ]);
        }
        if !found.terms.is_empty() {
            write!(f, "\n{terms}")?;
        }
        if found.is_of_two_models() {
            let mut table = Table::new([Side::Left; 3]);
            table.heading(["role", "first", "second"]);
            for role in &found.roles {
                let variable = role.variable.as_str();
                table.row([
                    variable.into(),
                    players(&role.first).into(),
                    players(&role.second).into(),
                ]);
            }
            return write!(f, "\n{table}");
        }
        if !found.changed() {
            let claims = self.runs[0].evidence.claims.len();
            return writeln!(f, "\nnone of {claims} claims changed");
        }
        if !found.flipped.is_empty() {
            let mut table = Table::new([Side::Left; 4]);
            table.heading(["verdict flipped", "first", "second", "note"]);
            for flip in &found.flipped {
                table.row([
                    flip.claim.as_str().into(),
                    flip.first.into(),
                    Cell::styled(flip.second, style::WARNING),
                    flip.note.as_str().into(),
                ]);
            }
            write!(f, "\n{table}")?;
        }
        if !found.apart.is_empty() {
            let mut table = Table::new([Side::Left; 4]);
            table.heading(["intervals apart", "measure", "first", "second"]);
            for apart in &found.apart {
                table.row([
                    apart.claim.as_str().into(),
                    apart.measure.as_str().into(),
                    apart.first.to_string().into(),
                    apart.second.to_string().into(),
                ]);
            }
            write!(f, "\n{table}")?;
        }
        for (title, claims) in [
            ("only in the first", &found.gone),
            ("only in the second", &found.new),
        ] {
            if !claims.is_empty() {
                writeln!(f, "\n{title}: {}", claims.join(", "))?;
            }
        }
        Ok(())
    }
}
