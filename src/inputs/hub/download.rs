//! Fetches one file into the cache: what is missing of it, checked against what the server says of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha1::{Digest, Sha1};
use ureq::http::StatusCode;

use super::FetchProgress;
use super::cache::{RepositoryCache, failed};
use super::client::{Client, MAX_ATTEMPTS, Metadata};
use super::error::HubError;
use crate::inputs::model::sha256;

/// Bytes handed on at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A SHA-256 in hexadecimal; git's ids are shorter.
const SHA256_DIGITS: usize = 64;

/// One file of a repository at a commit.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) cache: &'a RepositoryCache,
    pub(super) repository: &'a str,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
    pub(super) limit: u64,
}

impl Download<'_> {
    /// Sees to it that the snapshot has the file.
    pub(super) fn run(&self, progress: &mut dyn FnMut(FetchProgress<'_>)) -> Result<(), HubError> {
        // A commit never changes, so what was linked and checked once stays right.
        if self.cache.snapshot(self.commit).join(self.file).is_file() {
            return Ok(());
        }
        let url = self
            .client
            .file_url(self.repository, self.commit, self.file);
        let metadata = self.client.metadata(&url)?;
        if metadata.commit != self.commit {
            return Err(HubError::Protocol {
                url,
                reason: format!(
                    "commit {} was asked for, the answer is of {}",
                    self.commit, metadata.commit
                ),
            });
        }
        if metadata.size > self.limit {
            return Err(HubError::TooLarge {
                url,
                bytes: metadata.size,
                limit: self.limit,
            });
        }
        {
            let _held = self.cache.lock(&metadata.etag)?;
            let blob = self.cache.blob(&metadata.etag);
            if !blob.is_file() {
                self.fill(&url, &metadata, progress)?;
                let incomplete = self.cache.incomplete(&metadata.etag);
                fs::rename(&incomplete, &blob).map_err(failed(&blob))?;
            }
        }
        self.cache.link(self.commit, self.file, &metadata.etag)
    }

    /// Fetches what is missing until the file is whole, and checks it.
    fn fill(
        &self,
        url: &str,
        metadata: &Metadata,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<(), HubError> {
        let path = self.cache.incomplete(&metadata.etag);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        let mut attempts = 0;
        let mut begun_elsewhere = length(&path).map_err(failed(&path))? > 0;
        loop {
            let before = length(&path).map_err(failed(&path))?;
            if before < metadata.size || metadata.size == 0 {
                attempts += 1;
                let cut = self.fetch_rest(url, metadata, &path, before, progress)?;
                let now = length(&path).map_err(failed(&path))?;
                if let Some(reason) = cut {
                    if now > before {
                        attempts = 1;
                    }
                    if attempts >= MAX_ATTEMPTS {
                        let url = url.to_owned();
                        return Err(HubError::Connection {
                            url,
                            reason,
                            attempts,
                        });
                    }
                    self.client.wait(attempts);
                    continue;
                }
            }
            match check(url, metadata, &path) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    fs::remove_file(&path).map_err(failed(&path))?;
                    // What an earlier run left may be to blame.
                    if !begun_elsewhere {
                        return Err(error);
                    }
                    begun_elsewhere = false;
                }
            }
        }
    }

    /// Appends what is missing. Returns why the connection broke off, if it did.
    fn fetch_rest(
        &self,
        url: &str,
        metadata: &Metadata,
        path: &Path,
        from: u64,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<Option<String>, HubError> {
        let mut response = self.client.fetch(url, from)?;
        let mut options = File::options();
        options.create(true).write(true);
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
        let mut done = if resumed {
            let range = response.headers().get("content-range");
            let expected = format!("bytes {from}-");
            if !range
                .and_then(|range| range.to_str().ok())
                .is_some_and(|range| range.starts_with(&expected))
            {
                return Err(HubError::Protocol {
                    url: url.to_owned(),
                    reason: format!("asked for bytes from {from} on, the answer has {range:?}"),
                });
            }
            options.append(true);
            from
        } else {
            options.truncate(true);
            0
        };
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // Nothing more is there. The check will tell.
            return Ok(None);
        }
        let mut file = options.open(path).map_err(failed(path))?;
        let mut body = response
            .body_mut()
            .with_config()
            .limit(self.limit + 1)
            .reader();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Some(error.to_string())),
            };
            if done + count as u64 > metadata.size {
                return Err(HubError::Protocol {
                    url: url.to_owned(),
                    reason: format!("more came than the {} bytes announced", metadata.size),
                });
            }
            file.write_all(&chunk[..count]).map_err(failed(path))?;
            done += count as u64;
            progress(FetchProgress {
                file: self.file,
                done,
                of: metadata.size,
            });
        }
        file.sync_all().map_err(failed(path))?;
        Ok((done < metadata.size)
            .then(|| format!("connection ended at byte {done} of {}", metadata.size)))
    }
}

/// The length of a file; 0 where there is none.
fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Compares a whole file with what the server says of it: the SHA-256 of what is kept as a large file,
/// git's id of anything else.
fn check(url: &str, metadata: &Metadata, path: &Path) -> Result<(), HubError> {
    let bytes = fs::read(path).map_err(failed(path))?;
    let (kind, found) = if metadata.etag.len() == SHA256_DIGITS {
        ("SHA-256", sha256(&bytes))
    } else {
        let digest = Sha1::new()
            .chain_update(format!("blob {}\0", bytes.len()))
            .chain_update(&bytes)
            .finalize();
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        ("git blob id", hex.collect())
    };
    if found == metadata.etag {
        return Ok(());
    }
    Err(HubError::Checksum {
        url: url.to_owned(),
        kind,
        found,
        expected: metadata.etag.clone(),
    })
}
