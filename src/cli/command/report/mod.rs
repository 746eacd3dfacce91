//! `report`: the forms of a report, made from stored evidence.

use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::inputs::model::{BUNDLED_NAME, RawFile};
use circuitcheck::report::{
    EVIDENCE_FILE, Format, Report, claim_rows, claims_table, measures_table, store_attention,
    store_evidence, store_report, stored_report, summary_line, summary_schema, trials_table,
};
use circuitcheck::storage::write_files;
use circuitcheck::verify::evidence::{evidence_schema, schema_text};
use circuitcheck::verify::{Options, replay};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::verify::measure;
use crate::cli::args::model::{Model, ModelArg};
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::progress::{phase, with_progress};
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::term::{output, style};

mod missing;

use missing::run_missing;

/// The folder that holds the reports of all models, each in a folder of its own.
pub const REPORTS: &str = "reports";

/// The folder in which the models of reports are looked for.
const MODELS: &str = "models";

/// Make the report of a model from stored evidence
///
/// Evidence is taken from --out or from reports/<model>/; where there is none, the claims are verified
/// first. What else a report shows is read beside it, and measured and stored there where it is missing or
/// of other verdicts: the attention of claimed heads, properties, the graph, how well the claimed nodes do
/// alone, and the behaviours of a model that publishes none. This takes minutes; --stored skips it. A
/// report says so where the model is no longer the one the evidence is of, and nothing is measured then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck report models/w126_add_d5_l2*
  circuitcheck report models/w126_add_d5_l2* --format html --out page
  circuitcheck report models/w126_add_d5_l2* --stored
  circuitcheck report --all
  circuitcheck report --check

Files: report.html, report.md, report.json (docs/report.schema.json; the evidence it sums up is that
of docs/evidence.schema.json), junit.xml (claims as tests), and claims.parquet, measures.parquet and
trials.parquet (docs/PARQUET.md; the trials of nodes alone are run again for them and held against
the evidence).

Keys of --json: evidence, evidence_sha256, files[], changes[]; with --check or --all: reports[],
each with folder, changes[] and files[] (file, state: same, differs or missing; with --all: written).")]
pub struct ReportCommand {
    #[command(flatten)]
    model: ModelArg,
    /// The claims that the evidence is of, instead of the folder's features.json
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Forms of the report
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["html", "md", "json"])]
    format: Vec<ReportForm>,
    /// Folder for the report, and of the evidence where it has any; without it, reports/<model>/
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take what is stored, and measure nothing but missing evidence
    #[arg(long)]
    stored: bool,
    /// Make every report in reports/ again and compare it with the one there, byte for byte; write
    /// nothing
    #[arg(long, conflicts_with_all = ["dir", "features", "out", "format", "stored", "all"])]
    check: bool,
    /// Make every report in reports/ again
    #[arg(long, conflicts_with_all = ["dir", "features", "out", "format", "stored"])]
    all: bool,
    /// Print the JSON schema of a file instead of making a report
    #[arg(long, value_enum, value_name = "FILE", exclusive = true)]
    schema: Option<Schema>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Schema {
    #[value(name = "evidence.json")]
    Evidence,
    #[value(name = "report.json")]
    Report,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    Html,
    #[value(alias = "markdown")]
    Md,
    Json,
    Junit,
    Parquet,
}

impl ReportForm {
    /// The form of text; tables have none.
    const fn text(self) -> Option<Format> {
        match self {
            ReportForm::Html => Some(Format::Html),
            ReportForm::Md => Some(Format::Markdown),
            ReportForm::Json => Some(Format::Json),
            ReportForm::Junit => Some(Format::Junit),
            ReportForm::Parquet => None,
        }
    }
}

impl ReportCommand {
    pub fn run(self) -> Result<ExitCode, CliError> {
        if let Some(schema) = self.schema {
            let schema = match schema {
                Schema::Evidence => evidence_schema(),
                Schema::Report => summary_schema(),
            };
            output::write(schema_text(&schema))?;
            return Ok(ExitCode::Success);
        }
        if self.check || self.all {
            return every_report(self.all, self.json);
        }
        let mut model = self.model.open()?;
        if let Some(features) = &self.features {
            model.folder.features = Some(RawFile::read(features)?);
        }
        let usual = Path::new(REPORTS).join(&model.folder.name);
        let out = self.out.clone().unwrap_or_else(|| usual.clone());
        let _held = output::hold(&out, "report")?;
        let stored = match out.join(EVIDENCE_FILE).exists() {
            true => out.clone(),
            false => usual,
        };
        let stored = if stored.join(EVIDENCE_FILE).exists() {
            stored
        } else {
            warn(format_args!(
                "{} is not there, so the claims are verified first",
                stored.join(EVIDENCE_FILE).display()
            ));
            let _held = output::hold(&out, "verify")?;
            let (evidence, elapsed) = measure(&model.folder, None, &Options::default())?;
            store_evidence(&out, &model.engine, &evidence, elapsed)?;
            out.clone()
        };
        let shown = self.model.shown();
        // Tables and test results are of the evidence alone.
        let shows_more = |form: &ReportForm| {
            matches!(form, ReportForm::Html | ReportForm::Md | ReportForm::Json)
        };
        if !self.stored && self.format.iter().any(shows_more) {
            store_attention(&stored, &model.folder, &model.engine)?;
            run_missing(&stored, &model, &shown)?;
        }
        let mut report = stored_report(&stored, Some(&model.folder), &shown)?;
        report.features = self.features.clone();
        let files = write_forms(&report, &model, &out, &self.format)?;
        for change in &report.changes {
            warn(change);
        }
        output::JsonArg { json: self.json }.print(&ReportMade {
            evidence: stored.join(EVIDENCE_FILE),
            evidence_sha256: report.evidence_sha256.clone(),
            summary: summary_line(&report.evidence),
            changes: report.changes.iter().map(ToString::to_string).collect(),
            files,
        })?;
        Ok(ExitCode::Success)
    }
}

/// Writes a report in some forms; returns the files.
pub fn write_forms(
    report: &Report,
    model: &Model,
    out: &Path,
    forms: &[ReportForm],
) -> Result<Vec<PathBuf>, CliError> {
    let formats: Vec<Format> = forms.iter().filter_map(|form| form.text()).collect();
    let mut files = store_report(report, out, &formats)?;
    if forms.contains(&ReportForm::Parquet) {
        files.extend(write_tables(report, model, out)?);
    }
    Ok(files)
}

/// Writes the evidence as Parquet tables; the trials are run again for it.
fn write_tables(report: &Report, model: &Model, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    if report.is_stale() {
        return Err(CliError::input(
            &model.folder.name,
            "the model is not the one the evidence is of, so its trials cannot be run again",
        ));
    }
    let replayed = with_progress(|progress| {
        let mut trials = phase("running trials", progress);
        replay(&model.engine, &report.evidence, &mut trials)
    });
    let replayed = replayed.map_err(|error| CliError::input(&model.folder.name, error))?;
    let tables = [
        claims_table(&claim_rows(&report.evidence)),
        measures_table(report),
        trials_table(&replayed),
    ];
    let mut files = Vec::new();
    for table in &tables {
        let bytes = table.to_parquet();
        let bytes = bytes.map_err(|error| CliError::input(table.file, error))?;
        files.push((table.file, bytes));
    }
    write_files(out, &files)?;
    Ok(files.iter().map(|(name, _)| out.join(name)).collect())
}

#[derive(Debug, Serialize)]
struct ReportMade {
    evidence: PathBuf,
    evidence_sha256: String,
    #[serde(skip)]
    summary: String,
    changes: Vec<String>,
    files: Vec<PathBuf>,
}

impl fmt::Display for ReportMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        writeln!(f, "from {}", self.evidence.display())?;
        for file in &self.files {
            writeln!(f, "wrote {}", file.display())?;
        }
        Ok(())
    }
}

/// What became of one file of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Same,
    Differs,
    Missing,
    Written,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            State::Same => "same",
            State::Differs => "differs",
            State::Missing => "missing",
            State::Written => "written",
        }
    }
}

#[derive(Debug, Serialize)]
struct CheckedFile {
    file: &'static str,
    state: State,
}

#[derive(Debug, Serialize)]
struct CheckedReport {
    folder: PathBuf,
    changes: Vec<String>,
    stale: bool,
    files: Vec<CheckedFile>,
}

#[derive(Debug, Serialize)]
struct ReportsChecked {
    reports: Vec<CheckedReport>,
}

impl fmt::Display for ReportsChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left; 3]);
        table.heading(["report", "file", "state"]);
        for report in &self.reports {
            let folder = report.folder.display().to_string();
            for CheckedFile { file, state } in &report.files {
                let style = match state {
                    State::Same | State::Written => style::RIGHT,
                    State::Differs | State::Missing => style::WRONG,
                };
                table.row([
                    folder.clone().into(),
                    (*file).into(),
                    Cell::styled(state.name(), style),
                ]);
            }
        }
        table.fmt(f)?;
        for report in &self.reports {
            for change in &report.changes {
                writeln!(f, "{}: {change}", report.folder.display())?;
            }
        }
        Ok(())
    }
}

/// Every report in [`REPORTS`], made again: written, or compared with what is there.
fn every_report(write_them: bool, json: bool) -> Result<ExitCode, CliError> {
    let unreadable = |reason: std::io::Error| CliError::input(REPORTS, reason);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(REPORTS)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    folders.retain(|folder| folder.join(EVIDENCE_FILE).exists());
    folders.sort();
    if folders.is_empty() {
        return Err(CliError::input(REPORTS, "no folder in it holds evidence"));
    }
    let mut reports = Vec::new();
    for folder in folders {
        let named = model_of(&folder);
        let model = named.as_ref().map(ModelArg::open).transpose()?;
        let shown = named.map_or_else(String::new, |model| model.shown());
        let _held = write_them
            .then(|| output::hold(&folder, "report"))
            .transpose()?;
        if let (true, Some(model)) = (write_them, &model) {
            store_attention(&folder, &model.folder, &model.engine)?;
        }
        let report = stored_report(&folder, model.as_ref().map(|model| &model.folder), &shown)?;
        let mut files = Vec::new();
        for format in Format::ALL {
            let state = if write_them {
                store_report(&report, &folder, &[format])?;
                State::Written
            } else {
                match std::fs::read(folder.join(format.file())) {
                    Ok(there) if there == format.write(&report).as_bytes() => State::Same,
                    Ok(_) => State::Differs,
                    Err(_) => State::Missing,
                }
            };
            let file = format.file();
            files.push(CheckedFile { file, state });
        }
        reports.push(CheckedReport {
            changes: report.changes.iter().map(ToString::to_string).collect(),
            stale: report.is_stale(),
            folder,
            files,
        });
    }
    let good = |report: &CheckedReport| {
        let fresh = |file: &CheckedFile| matches!(file.state, State::Same | State::Written);
        !report.stale && report.files.iter().all(fresh)
    };
    let code = match reports.iter().all(good) {
        true => ExitCode::Success,
        false => ExitCode::Refuted,
    };
    output::JsonArg { json }.print(&ReportsChecked { reports })?;
    Ok(code)
}

/// The model a report is of, as the command line names it; `None`
/// where it is not here.
fn model_of(report: &Path) -> Option<ModelArg> {
    let name = report.file_name()?;
    if name == BUNDLED_NAME {
        return Some(ModelArg::default());
    }
    let dir = Path::new(MODELS).join(name);
    dir.exists().then(|| ModelArg {
        dir: Some(dir),
        ..ModelArg::default()
    })
}
