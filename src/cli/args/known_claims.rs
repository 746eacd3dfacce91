//! Where the verdicts of a model's claims are taken from.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::graph::KnownClaims;
use circuitcheck::inputs::claims::{claims_of, read_tagged_nodes};
use circuitcheck::inputs::model::RawFile;
use circuitcheck::verify::{Options, verify};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::model::Model;
use crate::cli::term::error::{CliError, warn};

/// Which evidence is used.
#[derive(Debug, Args)]
pub struct Known {
    /// Evidence that verdicts and node sets are taken from; without it,
    /// reports/<model>/evidence.json, and where that is not there, the claims are verified first
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

impl Known {
    /// The claims with what is known of them.
    ///
    /// # Errors
    /// If evidence cannot be read, is about other weights, or cannot be made.
    pub fn claims(&self, model: &Model) -> Result<KnownClaims, CliError> {
        let shape = model.engine.shape();
        let folder = &model.folder;
        let read = |path: &Path| -> Result<KnownClaims, CliError> {
            let shown = path.display().to_string();
            let bytes = RawFile::read(path)?.bytes;
            KnownClaims::read(&shown, &bytes, &folder.weights_sha256, &shape)
                .map_err(|error| CliError::input(&folder.name, error))
        };
        if let Some(path) = &self.evidence {
            return read(path);
        }
        let usual = Path::new("reports")
            .join(&folder.name)
            .join("evidence.json");
        if usual.exists() {
            return read(&usual);
        }
        warn(format_args!(
            "{} is not there, so the claims are verified first",
            usual.display()
        ));
        let bar = progress_bar("verifying");
        let evidence = verify(folder, None, &Options::default(), &mut |progress| {
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
        })?;
        bar.finish_and_clear();
        Ok(KnownClaims::of(&evidence, &shape))
    }
}

/// The claims as the model's file makes them, of which nothing is known.
///
/// # Errors
/// If there is no file, or it cannot be read.
pub fn untested(model: &Model) -> Result<KnownClaims, CliError> {
    let folder = &model.folder;
    let features = folder.features.as_ref().ok_or_else(|| {
        CliError::input(
            &folder.name,
            "there is no features.json, so nothing is claimed",
        )
    })?;
    let file = features.path.display().to_string();
    let claims = claims_of(&read_tagged_nodes(&file, &features.bytes)?);
    Ok(KnownClaims::untested(&claims, &model.engine.shape()))
}

/// A progress bar on stderr, hidden where that is no terminal.
pub fn progress_bar(what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(what);
    bar.with_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} ETA {eta}")
            .expect("the template is well-formed"),
    )
}
