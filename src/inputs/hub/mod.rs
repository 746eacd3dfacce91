//! Models published on the hub: what a repository holds, and copies of it on this machine.
//!
//! A client of our own over `ureq`, since the official one (hf-hub 1.0) brings some 280 crates and an
//! asynchronous runtime, begins anew after a cut connection, checks no content, and knows no
//! `HF_HUB_OFFLINE`. The cache is that of Python's `huggingface_hub`, locks included.

mod address;
mod cache;
mod client;
mod download;
mod error;
mod published;
mod settings;

use std::path::PathBuf;

pub use address::{Address, AddressError, SCHEME};
pub use error::HubError;
pub use published::PublishedFiles;
pub use settings::HubSettings;

use cache::RepositoryCache;
use client::Client;
use download::Download;

use super::model::{MAX_JSON_FILE_BYTES, MAX_MODEL_FILE_BYTES};

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchProgress<'a> {
    /// The file's path in the repository.
    pub file: &'a str,
    pub done: u64,
    pub of: u64,
}

/// A model's files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its folder, or its flat file of weights.
    pub path: PathBuf,
    /// The model's name, which the cache's folders do not have.
    pub name: String,
    /// The commit the files are of.
    pub commit: String,
    /// Why the hub was not asked whether this is still what the revision stands for.
    pub unasked: Option<String>,
}

/// What a repository holds at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub commit: String,
    pub models: Vec<(Address, PublishedFiles)>,
    /// Why the hub was not asked, and the cache was.
    pub unasked: Option<String>,
}

/// The hub and the cache.
pub struct Hub {
    client: Client,
    cache: PathBuf,
    offline: bool,
}

impl Hub {
    /// The hub that these settings describe.
    pub fn new(settings: HubSettings) -> Self {
        Self {
            client: Client::new(&settings),
            cache: settings.cache,
            offline: settings.offline,
        }
    }

    /// What models a repository holds. The folder of the address, if it has one, is left out of account.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn list(&self, address: &Address) -> Result<Repository, HubError> {
        let listing = self.listing(address)?;
        let models = PublishedFiles::in_repository(&listing.files)
            .into_iter()
            .map(|(folder, published)| (address.within(folder.as_deref()), published));
        Ok(Repository {
            commit: listing.commit,
            models: models.collect(),
            unasked: listing.unasked,
        })
    }

    /// Sees to it that a model's files are in the cache, and says where.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn fetch(
        &self,
        address: &Address,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<Fetched, HubError> {
        let listing = self.listing(address)?;
        let mut models = PublishedFiles::in_repository(&listing.files);
        let wanted = address.folder().map(str::to_owned);
        let published = models
            .remove(&wanted)
            .ok_or_else(|| no_model(address, models.keys()))?;
        let cache = self.cache(address);
        if listing.unasked.is_none() {
            let repository = address.repository();
            for file in published.files() {
                let limit = if *file == published.weights {
                    MAX_MODEL_FILE_BYTES
                } else {
                    MAX_JSON_FILE_BYTES
                };
                Download {
                    client: &self.client,
                    cache: &cache,
                    repository: &repository,
                    commit: &listing.commit,
                    file,
                    limit,
                }
                .run(progress)?;
            }
            cache.remember(address.revision(), &listing.commit)?;
        }
        let snapshot = cache.snapshot(&listing.commit);
        let path = match (&wanted, published.is_flat()) {
            (_, true) => snapshot.join(&published.weights),
            (Some(folder), false) => snapshot.join(folder),
            (None, false) => snapshot,
        };
        Ok(Fetched {
            path,
            name: address.model_name().to_owned(),
            commit: listing.commit,
            unasked: listing.unasked,
        })
    }

    fn cache(&self, address: &Address) -> RepositoryCache {
        RepositoryCache::new(&self.cache, &address.repository())
    }

    /// Asks the hub for the files of a revision or, where that may not be or cannot be done, the cache.
    fn listing(&self, address: &Address) -> Result<RepositoryListing, HubError> {
        if self.offline {
            return self.cached(address, "HF_HUB_OFFLINE forbids to ask the hub".into());
        }
        match self
            .client
            .listing(&address.repository(), address.revision())
        {
            Ok((commit, files)) => Ok(RepositoryListing {
                commit,
                files,
                unasked: None,
            }),
            // Machines that compute often see no network: what was fetched before will do.
            Err(error @ HubError::Connection { .. }) => {
                self.cached(address, error.to_string()).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    fn cached(&self, address: &Address, why: String) -> Result<RepositoryListing, HubError> {
        let cache = self.cache(address);
        let commit = cache.commit(address.revision());
        let files = commit.as_deref().map(|commit| cache.files(commit));
        match (commit, files) {
            (Some(commit), Some(files)) if !files.is_empty() => Ok(RepositoryListing {
                commit,
                files,
                unasked: Some(why),
            }),
            _ => Err(HubError::NotCached {
                what: format!("{} at {}", address.repository(), address.revision()),
                cache: cache.root().to_owned(),
                why,
            }),
        }
    }
}

struct RepositoryListing {
    commit: String,
    files: Vec<String>,
    unasked: Option<String>,
}

/// The models that an error names.
const MODELS_NAMED: usize = 5;

fn no_model<'a>(
    address: &Address,
    models: impl ExactSizeIterator<Item = &'a Option<String>>,
) -> HubError {
    let more = models.len().saturating_sub(MODELS_NAMED);
    let named: Vec<String> = models
        .take(MODELS_NAMED)
        .map(|folder| address.within(folder.as_deref()).to_string())
        .collect();
    let holds = match (named.as_slice(), more) {
        ([], _) => ", nor elsewhere in the repository".into(),
        (named, 0) => format!("; the repository has {}", named.join(", ")),
        (named, more) => format!("; the repository has {} and {more} more", named.join(", ")),
    };
    HubError::NoModel {
        address: address.to_string(),
        holds,
    }
}
