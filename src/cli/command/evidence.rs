//! `evidence`: the published claims of 2026, measured on models.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use circuitcheck::analysis::evidence_map::{
    MapClaim, MapOptions, ModelMap, Settled, measure_model,
};
use circuitcheck::experiment::Rules;
use circuitcheck::report::{DECIDING_PARTS, evidence_counts, evidence_markdown, evidence_page};
use circuitcheck::storage::{pretty_json, write_files};
use clap::Args;
use serde::Serialize;

use crate::cli::args::alpha;
use crate::cli::args::model::{Model, OperationsArg};
use crate::cli::args::models::Zoo;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, detail, hold, tell, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::table::{Side, Table};

/// The files written.
const FILES: &str = "published-2026.html, published-2026.md and published-2026.json";

/// Measure the field's published claims of 2026 on models
///
/// Each claim is measured as published and by a test that can fail: random pairs of questions, the
/// answer that arithmetic predicts, intervals, control pairs, an untrained network. Nodes that a claim
/// names by position are found in each model by their role. The claims are the files of
/// hypotheses/published-2026.
#[derive(Debug, Args)]
#[command(name = "evidence")]
#[command(after_help = "\
Examples:
  circuitcheck evidence models/w126_add_d5_l2*
  circuitcheck evidence models/* --claim CE14,CE17 --out map")]
#[command(after_long_help = "\
Examples:
  circuitcheck evidence models/w126_add_d5_l2*
  circuitcheck evidence models/* --claim CE14,CE17 --out map

Verdicts: reproduced; reproduced, but its control fails; not reproduced; cannot fail as published (and
no other test decides); open (the intervals leave it open); not applicable, with the reason.

Keys of --json: models, and for each of them
  model, weights_sha256  which model: its name, and the digest of its weights
  options     alpha, seed
  classes     classes of question that the model answers well enough
  claims      for each claim: claim (as its file states it), verdict, reason, questions (run for it),
              measured: part (published, sound, control, shown), says, expect, settled, and rows
              (of, value, lower, upper, samples, p)")]
pub struct EvidenceCommand {
    #[command(flatten)]
    models: Zoo,
    /// Only these claims, such as CE14: a list with commas, or the option repeated
    #[arg(long, value_name = "CLAIM", value_delimiter = ',')]
    claim: Vec<String>,
    /// Chance that any interval of one measurement is wrong
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = alpha)]
    alpha: f64,
    #[command(flatten)]
    draws: SeedArg,
    /// Folder for the page, Markdown and JSON
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = "reports/published-2026"
    )]
    out: PathBuf,
    #[command(flatten)]
    format: JsonArg,
}

impl EvidenceCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let claims = MapClaim::bundled_named(&self.claim)
            .map_err(|error| CliError::input("--claim", error))?;
        let _held = hold(&self.out, "evidence")?;
        let mut maps = Vec::new();
        for location in self.models.locations()? {
            let started = Instant::now();
            let map = self.measure(&location, &claims)?;
            tell(format_args!(
                "{}: {}",
                map.identity.model,
                evidence_counts(&map)
            ));
            for claim in &map.claims {
                let seconds = claim.took.as_secs_f64();
                detail(format_args!("{}: {seconds:.1} s", claim.claim.id));
            }
            detail(format_args!(
                "took {:.1} s",
                started.elapsed().as_secs_f64()
            ));
            maps.push(map);
        }
        let shown = ShownMaps { models: maps };
        let files = [
            ("published-2026.html", evidence_page(&shown.models)),
            ("published-2026.md", evidence_markdown(&shown.models)),
            ("published-2026.json", pretty_json(&shown)),
        ];
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = write_files(&self.out, &files);
        self.format.print(&shown)?;
        stored?;
        wrote(FILES, &self.out);
        Ok(ExitCode::Success)
    }

    fn measure(&self, location: &str, claims: &[MapClaim]) -> Result<ModelMap, CliError> {
        let model = Model::open(Some(Path::new(location)), OperationsArg::default())?;
        let options = MapOptions {
            alpha: self.alpha,
            seed: self.draws.seed,
        };
        let map = with_progress(|progress| {
            measure_model(&model.folder, &model.engine, claims, options, progress)
        });
        map.map_err(|error| CliError::input(location, error))
    }
}

#[derive(Debug, Serialize)]
struct ShownMaps {
    models: Vec<ModelMap>,
}

impl fmt::Display for ShownMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for map in &self.models {
            writeln!(f, "{}", map.identity.model)?;
            let mut table = Table::new([Side::Left; 5]);
            table.heading(["claim", "as published", "sound", "control", "verdict"]);
            for result in &map.claims {
                let [sound, control] =
                    DECIDING_PARTS.map(|part| result.of_part(part).map_or("–", Settled::name));
                let verdict = match result.reason.as_str() {
                    "" => result.verdict.to_string(),
                    reason => format!("{}: {reason}", result.verdict),
                };
                table.row([
                    result.claim.id.as_str().into(),
                    result.as_published().into(),
                    sound.into(),
                    control.into(),
                    verdict.into(),
                ]);
            }
            writeln!(f, "{table}")?;
        }
        Ok(())
    }
}
