//! Where the verdicts of a model's claims are taken from.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::graph::KnownClaims;
use circuitcheck::inputs::model::RawFile;
use circuitcheck::verify::evidence::Evidence;
use circuitcheck::verify::{Options, verify};
use clap::Args;

use super::model::Model;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::progress::{VERIFICATION, with_progress_of};

/// Which evidence is used.
#[derive(Debug, Args)]
pub struct Known {
    /// Evidence that verdicts and node sets are taken from; without it,
    /// reports/<model>/evidence.json, and where that is not there, the claims are verified first
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

impl Known {
    /// Whether evidence was named.
    pub fn is_given(&self) -> bool {
        self.evidence.is_some()
    }

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
            let wrong = |error: &dyn Display| {
                CliError::input(&folder.name, format_args!("{shown}: {error}"))
            };
            let evidence = Evidence::from_json(&bytes).map_err(|error| wrong(&error))?;
            KnownClaims::about(&evidence, &folder.weights_sha256, &shape)
                .map_err(|error| wrong(&error))
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
        let evidence = with_progress_of(VERIFICATION, |progress| {
            verify(folder, None, &Options::default(), progress)
        })?;
        Ok(KnownClaims::of(&evidence, &shape))
    }
}

/// The claims as the model's file makes them, of which nothing is known.
///
/// # Errors
/// If there is no file, or it cannot be read.
pub fn untested(model: &Model) -> Result<KnownClaims, CliError> {
    let claims = KnownClaims::in_file(&model.folder)?;
    claims.ok_or_else(|| {
        let reason = "there is no features.json, so nothing is claimed";
        CliError::input(&model.folder.name, reason)
    })
}
