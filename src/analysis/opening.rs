//! Opens a model wherever it lies: in a folder, a file or on the hub, and asks it for its operations
//! where no file gives them.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;

use thiserror::Error;

use super::accuracy::{OperationAccuracy, TRAINED_ACCURACY};
use crate::inputs::claims::older_spellings;
use crate::inputs::hub::{Address, AddressError, FetchProgress, Hub, HubError, HubSettings};
use crate::inputs::model::{LoadError, ModelFolder, Operations, OperationsFrom, RawFile, Weights};
use crate::network::engine::Engine;

/// What a user is told of a model that opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How something was read.
    Note(String),
    /// What may be wrong.
    Warning(String),
}

/// Why a model cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Opens the model in a folder or file or, where the path is an address of the hub, there. Its
/// operations are those `given`, else those its files give, else those it answers correctly.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    path: &Path,
    given: Option<Operations>,
    fetching: &mut dyn FnMut(FetchProgress<'_>),
    tell: &mut dyn FnMut(News),
) -> Result<ModelFolder, OpenError> {
    let tell = RefCell::new(tell);
    let note = |text: fmt::Arguments| (tell.borrow_mut())(News::Note(text.to_string()));
    let ask = |weights: &Weights| {
        let (asked, found) = operations_answered(weights)?;
        note(format_args!("{}: {asked}", path.display()));
        found
    };
    let from = given.map_or(OperationsFrom::Files(&ask), OperationsFrom::Given);
    let folder = match path.to_str() {
        Some(text) if Address::is_meant(text) => {
            let address: Address = text.parse()?;
            let fetched = Hub::new(HubSettings::from_env()?).fetch(&address, fetching)?;
            if let Some(warning) = unasked(&address, fetched.unasked.as_deref()) {
                (tell.borrow_mut())(warning);
            }
            ModelFolder::open_with(&fetched.path, Some(&fetched.name), &from)?
        }
        _ => ModelFolder::open_with(path, None, &from)?,
    };
    if folder.folded_layer_norms {
        note(format_args!(
            "{}: no LayerNorm weights: read as folded (TransformerLens' fold_ln, LNPre)",
            path.display()
        ));
    }
    let tell = tell.into_inner();
    for warning in &folder.warnings {
        tell(News::Warning(warning.to_string()));
    }
    for file in folder.features.iter().chain(&folder.behaviors) {
        if let Some(note) = older_dialect(file) {
            tell(note);
        }
    }
    Ok(folder)
}

/// The operations that a network answers correctly, and how that is told; `None` where it cannot be
/// asked.
pub fn operations_answered(weights: &Weights) -> Option<(String, Option<Operations>)> {
    let asked = OperationAccuracy::measure(&Engine::new(weights)).ok()?;
    let found = asked.operations();
    let taken = match found {
        Some(operations) => format!("taken as trained for \"{operations}\""),
        None => "trained for neither".to_owned(),
    };
    let needed = 100.0 * TRAINED_ACCURACY;
    Some((
        format!("{taken}: {asked} (at least {needed:.0}% needed)"),
        found,
    ))
}

/// That a file is in an older dialect, if it is.
pub fn older_dialect(file: &RawFile) -> Option<News> {
    let older = older_spellings(&file.bytes);
    let told = || News::Note(format!("{}: {older}", file.path.display()));
    (!older.is_empty()).then(told)
}

/// That the cache alone was asked, which is no news where the user forbade to ask the hub.
pub fn unasked(address: &Address, reason: Option<&str>) -> Option<News> {
    let reason = reason.filter(|_| !HubSettings::from_env().is_ok_and(|s| s.offline))?;
    Some(News::Warning(format!(
        "{address}: taken from the cache as it is, for the hub was not reached: {reason}"
    )))
}
