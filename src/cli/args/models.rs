//! The models that a command over many is about: folders, patterns, addresses of the hub, lists.

use std::fs;
use std::path::Path;

use circuitcheck::inputs::hub::{Address, Hub, HubSettings};
use circuitcheck::inputs::model::LoadError;
use circuitcheck::inputs::model::is_weights;
use clap::Args;

use crate::cli::command::hub::{explained, tell_unasked};
use crate::cli::term::error::CliError;

/// Longest list of models read.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Which models.
#[derive(Debug, Clone, Args)]
pub struct Zoo {
    /// Models: folders or files of weights; patterns such as "models/*"; addresses of the hub, where a
    /// repository stands for all models in it; or a file that lists any of these, one a line
    #[arg(value_name = "MODELS", required = true)]
    models: Vec<String>,
}

impl Zoo {
    /// The models, each where a command about one finds it: a path, or an address with the commit that
    /// its revision stands for now. In the order given; what a pattern or repository stands for, by name.
    pub fn locations(&self) -> Result<Vec<String>, CliError> {
        let mut locations = Vec::new();
        for text in &self.models {
            for location in located(text, true)? {
                if !locations.contains(&location) {
                    locations.push(location);
                }
            }
        }
        Ok(locations)
    }
}

fn located(text: &str, lists: bool) -> Result<Vec<String>, CliError> {
    let path = Path::new(text);
    if Address::is_meant(text) {
        return on_the_hub(text);
    }
    if path.is_dir() {
        return Ok(vec![text.to_owned()]);
    }
    if path.is_file() {
        return match (is_weights(path), lists) {
            (true, _) => Ok(vec![text.to_owned()]),
            (false, true) => listed(path),
            (false, false) => Err(CliError::input(
                text,
                "not a model, and lists hold no lists",
            )),
        };
    }
    if text.contains(['*', '?', '[']) {
        return matched(text);
    }
    let missing = LoadError::NotFound { path: path.into() };
    Err(explained(path, missing))
}

fn matched(pattern: &str) -> Result<Vec<String>, CliError> {
    let paths = glob::glob(pattern).map_err(|error| CliError::input(pattern, error))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| CliError::input(pattern, error))?;
        // A pattern for folders also finds what lies beside them.
        if path.is_dir() || is_weights(&path) {
            let text = path
                .to_str()
                .ok_or_else(|| CliError::input(path.display(), "the name is not UTF-8"))?;
            found.push(text.to_owned());
        }
    }
    if found.is_empty() {
        return Err(CliError::input(
            pattern,
            "no folder or file of weights is called so",
        ));
    }
    Ok(found)
}

fn on_the_hub(text: &str) -> Result<Vec<String>, CliError> {
    let address: Address = text.parse()?;
    let repository = Hub::new(HubSettings::from_env()?).list(&address)?;
    tell_unasked(&address, repository.unasked.as_deref());
    let pinned = address.at(&repository.commit);
    let wanted = |found: &Address| match address.folder() {
        Some(folder) => found.folder() == Some(folder),
        None => true,
    };
    let found: Vec<String> = (repository.models.iter())
        .filter(|(found, _)| wanted(found))
        .map(|(found, _)| pinned.within(found.folder()).to_string())
        .collect();
    if found.is_empty() {
        return Err(CliError::input(text, "no model there"));
    }
    Ok(found)
}

fn listed(path: &Path) -> Result<Vec<String>, CliError> {
    let told = |reason: &dyn std::fmt::Display| CliError::input(path.display(), reason);
    if path
        .metadata()
        .is_ok_and(|file| file.len() > MAX_LIST_BYTES)
    {
        return Err(told(&format_args!(
            "not a list of models: more than {MAX_LIST_BYTES} bytes"
        )));
    }
    let text = fs::read_to_string(path).map_err(|error| told(&error))?;
    let mut found = Vec::new();
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let models = located(line, false).map_err(|error| match error {
            CliError::Input { message, hint } => CliError::Input {
                message: format!("{}:{}: {message}", path.display(), number + 1),
                hint,
            },
            other => other,
        })?;
        found.extend(models);
    }
    if found.is_empty() {
        return Err(told(&"lists no model"));
    }
    Ok(found)
}
