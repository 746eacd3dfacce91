//! What can go wrong between the hub and the cache.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a model could not be had from the hub. Each message is complete in itself.
#[derive(Debug, Error)]
pub enum HubError {
    /// The variable of the environment that says where the hub is says something else.
    #[error("HF_ENDPOINT {0:?} is no address such as https://huggingface.co")]
    Endpoint(String),
    /// The token is none. It is not repeated: what is wrong with it may be one character.
    #[error(
        "HF_TOKEN, or the file of the token, holds a blank, a line break or another character that no token has; copy it again"
    )]
    Token,
    /// There is no folder for the cache.
    #[error("none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME says where the cache is")]
    NoCache,
    /// The network may not be used, and the cache has not got it.
    #[error("{what} is not in the cache {}, and {why}", .cache.display())]
    NotCached {
        /// What was wanted.
        what: String,
        /// Where it was looked for.
        cache: PathBuf,
        /// Why the hub was not asked.
        why: String,
    },
    /// The hub cannot be reached, or the connection breaks again and again.
    #[error("{url}: {reason}, after {attempts} attempts")]
    Connection {
        url: String,
        /// What went wrong the last time.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// There is nothing there.
    #[error("{url}: no such {what} (404)")]
    NotFound {
        url: String,
        /// Repository, revision or file.
        what: &'static str,
    },
    /// The hub wants to know who asks, or does not let them.
    #[error("{url}: access refused ({status}): a private, gated or misspelt repository; {token}")]
    Refused {
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: &'static str,
    },
    /// Too much was asked for, and the hub still says so after waiting.
    #[error("{url}: too many requests (429), after {attempts} attempts; try again in {} s", .wait.as_secs())]
    TooManyRequests {
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// How long the hub says to wait.
        wait: Duration,
    },
    /// Another status.
    #[error("{url}: the server answers with status {status}")]
    Status { url: String, status: u16 },
    /// An answer that does not follow the hub's protocol.
    #[error("{url}: {reason}")]
    Protocol {
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is longer than it may be.
    #[error("{url}: {bytes} bytes, more than the {limit} that are read")]
    TooLarge {
        url: String,
        /// Its length, as the server says.
        bytes: u64,
        limit: u64,
    },
    /// What came is not what the server said would.
    #[error("{url}: what came has {kind} {found}, the server says {expected}")]
    Checksum {
        url: String,
        /// `SHA-256` or `git blob id`.
        kind: &'static str,
        found: String,
        /// That which the server says.
        expected: String,
    },
    /// The cache cannot be written to or read.
    #[error("{}: {reason}", .path.display())]
    Cache {
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The repository has no such model.
    #[error("{address}: no model there{holds}")]
    NoModel {
        address: String,
        /// What models the repository has, as a sentence.
        holds: String,
    },
}
