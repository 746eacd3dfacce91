//! Models by their address on the hub: fetched with a progress bar, and listed.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::opening::{self, News, OpenError};
use circuitcheck::inputs::hub::{Address, Hub, HubSettings, PublishedFiles};
use circuitcheck::inputs::model::{LoadError, ModelFolder, Operations, WEIGHTS_FILES};
use clap::Args;
use serde::Serialize;

use crate::cli::term::error::{CliError, note, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::progress::Bar;
use crate::cli::term::table::{Side, Table};

/// Opens the model in a folder or file or, where the path is an address of the hub, there.
pub fn open_folder(path: &Path) -> Result<ModelFolder, CliError> {
    open_folder_with(path, None)
}

/// As [`open_folder`], trained for these operations. Without them, and where the model's files do not
/// give them, the model is asked.
pub fn open_folder_with(
    path: &Path,
    operations: Option<Operations>,
) -> Result<ModelFolder, CliError> {
    let bar = RefCell::new(None);
    opening::open(
        path,
        operations,
        &mut |progress| {
            let mut bar = bar.borrow_mut();
            bar.get_or_insert_with(Bar::of_bytes).show_file(progress);
        },
        &mut |news| {
            bar.take();
            tell_news(news);
        },
    )
    .map_err(|error| match error {
        OpenError::Load(error) if !is_address(path) => explained(path, error),
        OpenError::Load(error) => error.into(),
        OpenError::Address(error) => error.into(),
        OpenError::Hub(error) => error.into(),
    })
}

fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(Address::is_meant)
}

/// Tells on stderr what is known of a model.
pub fn tell_news(news: News) {
    match news {
        News::Note(text) => note(text),
        News::Warning(text) => warn(text),
    }
}

/// Whether a folder holds a model's file of weights.
pub fn holds_weights(folder: &Path) -> bool {
    WEIGHTS_FILES.iter().any(|file| folder.join(file).is_file())
}

/// Models that a hint names, of a folder of many.
const NAMED: usize = 3;

/// The error of a path that holds no model, with what was probably meant.
pub fn explained(path: &Path, error: LoadError) -> CliError {
    let is_elsewhere = matches!(
        error,
        LoadError::NotFound { .. } | LoadError::NotAModel { .. } | LoadError::NoWeights { .. }
    );
    let error = CliError::from(error);
    if !is_elsewhere {
        return error;
    }
    if let Some(address) = path.to_str().and_then(meant_on_the_hub) {
        return error.with_hint(format!("a model on the hub is named {address}"));
    }
    if path.is_dir() && !holds_weights(path) {
        let models = models_in(path);
        if !models.is_empty() {
            let mut named: Vec<String> = (models.iter().take(NAMED))
                .map(|model| model.display().to_string())
                .collect();
            if models.len() > NAMED {
                named.push(format!("and {} more", models.len() - NAMED));
            }
            let help = "name one of them, or give all to sweep";
            let names = named.join(", ");
            let message = format_args!("is a folder of models: {names}");
            return CliError::input(path.display(), message).with_hint(help);
        }
    }
    if path.is_file()
        && let Some(folder) = path.parent().filter(|folder| holds_weights(folder))
    {
        return error.with_hint(format!("name the model's folder: {}", folder.display()));
    }
    error
}

/// The folders in a folder that hold weights, by name.
fn models_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut models: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| holds_weights(path))
        .collect();
    models.sort();
    models
}

/// The address of a browser, or `owner/repository`, as an address that commands take.
fn meant_on_the_hub(text: &str) -> Option<Address> {
    let named = ["https://", "http://"].iter().find_map(|scheme| {
        let page = text.strip_prefix(scheme)?;
        let path = page
            .strip_prefix("huggingface.co/")
            .or_else(|| page.strip_prefix("www.huggingface.co/"));
        path.or_else(|| page.strip_prefix("hf.co/"))
    });
    let path = match named {
        Some(path) => path
            .split(['?', '#'])
            .next()?
            .trim_end_matches('/')
            .to_owned(),
        // A folder that is missing from one that is there is a mistyped folder.
        None => {
            let (owner, repository) = text.split_once('/')?;
            let is_name = !owner.is_empty() && !repository.is_empty();
            let is_path =
                repository.contains('/') || owner.starts_with('.') || Path::new(owner).exists();
            if !is_name || is_path || Path::new(text).exists() {
                return None;
            }
            text.to_owned()
        }
    };
    let mut parts = path.split('/');
    let (owner, repository) = (parts.next()?, parts.next()?);
    let mut address = format!("hf://{owner}/{repository}");
    // A page of files has `tree` or `blob`, a revision and a path.
    if let (Some("tree" | "blob"), Some(revision)) = (parts.next(), parts.next()) {
        if revision != "main" {
            address += &format!("@{revision}");
        }
        if let Some(folder) = parts.next() {
            address += &format!("/{folder}");
        }
    }
    address.parse().ok()
}

/// Warns where the cache alone was asked.
pub fn tell_unasked(address: &Address, reason: Option<&str>) {
    if let Some(news) = opening::unasked(address, reason) {
        tell_news(news);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_copy_from_a_browser_becomes_an_address() {
        for (text, address) in [
            ("PhilipQuirke/X", "hf://PhilipQuirke/X"),
            ("https://huggingface.co/a/b", "hf://a/b"),
            ("https://huggingface.co/a/b/", "hf://a/b"),
            ("https://huggingface.co/a/b/tree/main", "hf://a/b"),
            (
                "https://huggingface.co/a/b/tree/v2/folder",
                "hf://a/b@v2/folder",
            ),
            (
                "https://huggingface.co/a/b/blob/main/m.pth?x=1",
                "hf://a/b/m.pth",
            ),
        ] {
            let found = meant_on_the_hub(text).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Some(address), "{text}");
        }
        for text in [
            "models",
            "src/missing",
            "./a/b",
            "a/b/c",
            "/a",
            "https://example.org/a/b",
        ] {
            assert_eq!(meant_on_the_hub(text), None, "{text}");
        }
    }
}
