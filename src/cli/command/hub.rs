//! Models by their address on the hub: fetched with a progress bar, and listed.

use std::fmt;
use std::path::Path;

use circuitcheck::inputs::hub::{Address, Hub, HubSettings, PublishedFiles};
use circuitcheck::inputs::model::ModelFolder;
use clap::Args;
use serde::Serialize;

use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::progress::Bar;
use crate::cli::term::table::{Side, Table};

/// Opens the model in a folder or file or, where the path is an address of the hub, there.
pub fn open_folder(path: &Path) -> Result<ModelFolder, CliError> {
    let address: Address = match path.to_str() {
        Some(text) if Address::is_meant(text) => text.parse()?,
        _ => return Ok(ModelFolder::open(path)?),
    };
    let hub = Hub::new(HubSettings::from_env()?);
    let mut bar = Bar::of_bytes();
    let fetched = hub.fetch(&address, &mut |progress| bar.show_file(progress))?;
    drop(bar);
    tell_unasked(&address, fetched.unasked.as_deref());
    Ok(ModelFolder::open_named(&fetched.path, &fetched.name)?)
}

/// That the cache alone was asked is no news where the user forbade to ask the hub.
pub fn tell_unasked(address: &Address, unasked: Option<&str>) {
    if let Some(reason) = unasked.filter(|_| !HubSettings::from_env().is_ok_and(|s| s.offline)) {
        warn(format_args!(
            "{address}: taken from the cache as it is, for the hub was not reached: {reason}"
        ));
    }
}

/// List the models of a repository on the hub
///
/// Every command takes such an address where it takes a model's folder, and fetches the model's files
/// into the cache that Python's huggingface_hub uses. HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE,
/// HF_HUB_OFFLINE and HF_HUB_DOWNLOAD_TIMEOUT mean what they mean there.
///
/// With --json: repository, revision, commit, and models[], each with address, weights, training,
/// features and behaviors (the files' paths, or null).
#[derive(Debug, Args)]
pub struct List {
    /// The repository, as hf://owner/repository, with @revision where not the main one is meant
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    format: JsonArg,
}

#[derive(Serialize)]
struct ListedRepository {
    repository: String,
    revision: String,
    commit: String,
    models: Vec<ListedModel>,
}

#[derive(Serialize)]
struct ListedModel {
    address: String,
    weights: String,
    training: Option<String>,
    features: Option<String>,
    behaviors: Option<String>,
}

impl ListedModel {
    fn new(address: &Address, published: PublishedFiles) -> Self {
        Self {
            address: address.to_string(),
            weights: published.weights,
            training: published.training,
            features: published.features,
            behaviors: published.behaviors,
        }
    }
}

impl fmt::Display for ListedRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left; 4]);
        table.heading(["model", "training record", "claims", "behaviours"]);
        let has = |file: &Option<String>| if file.is_some() { "yes" } else { "no" };
        for model in &self.models {
            table.row([
                (&model.address).into(),
                has(&model.training).into(),
                has(&model.features).into(),
                has(&model.behaviors).into(),
            ]);
        }
        let count = match self.models.len() {
            0 => "no model".to_owned(),
            1 => "1 model".to_owned(),
            count => format!("{count} models"),
        };
        if !self.models.is_empty() {
            writeln!(f, "{table}")?;
        }
        writeln!(
            f,
            "{count} in {} at {}, commit {}",
            self.repository, self.revision, self.commit
        )
    }
}

impl List {
    pub fn run(self) -> Result<ExitCode, CliError> {
        let address: Address = self.address.parse()?;
        let repository = Hub::new(HubSettings::from_env()?).list(&address)?;
        tell_unasked(&address, repository.unasked.as_deref());
        let wanted = |found: &Address| {
            address
                .folder()
                .is_none_or(|folder| found.folder() == Some(folder))
        };
        let models = (repository.models.into_iter())
            .filter(|(found, _)| wanted(found))
            .map(|(found, published)| ListedModel::new(&found, published));
        self.format.print(&ListedRepository {
            repository: address.repository(),
            revision: address.revision().to_owned(),
            commit: repository.commit,
            models: models.collect(),
        })?;
        Ok(ExitCode::Success)
    }
}
