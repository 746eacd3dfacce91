//! Speaks the hub's protocol: one request at a time, with redirects, refusals and waiting.

use std::io;
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::error::HubError;
use super::settings::HubSettings;
use crate::inputs::model::MAX_MODEL_FILE_BYTES;

/// Redirects followed for one request: a renamed repository and a delivery network make two.
const MAX_REDIRECTS: usize = 5;

/// Attempts at a request, or at what is left of a file, before giving up. Counted anew where an attempt
/// brought something.
pub(super) const MAX_ATTEMPTS: u32 = 5;

/// Longest wait that the server is granted. Where it asks for more, the user is told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The hub, and who is asking.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    first_wait: Duration,
}

/// What the hub says of a file, before it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The commit that the revision stands for.
    pub(super) commit: String,
    /// The name of the content: SHA-256 of a large file, git's blob id of any other.
    pub(super) etag: String,
    pub(super) size: u64,
}

/// What became of a request.
enum Answered {
    Answer(Response<Body>),
    /// Worth another attempt, after this time if the server says how long.
    Again {
        reason: Failure,
        wait: Option<Duration>,
    },
}

enum Failure {
    Connection(String),
    Status(StatusCode),
}

impl Client {
    pub(super) fn new(settings: &HubSettings) -> Self {
        let silence = Some(settings.silence);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, since a redirect of a HEAD request carries what is asked for.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .user_agent(concat!("circuitcheck/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            first_wait: settings.first_wait,
        }
    }

    /// The URL of a file at a revision.
    pub(super) fn file_url(&self, repository: &str, revision: &str, file: &str) -> String {
        let revision = revision.replace('/', "%2F");
        format!("{}/{repository}/resolve/{revision}/{file}", self.endpoint)
    }

    /// Which commit a revision stands for, and the files it has.
    pub(super) fn listing(
        &self,
        repository: &str,
        revision: &str,
    ) -> Result<(String, Vec<String>), HubError> {
        let encoded = revision.replace('/', "%2F");
        let url = format!(
            "{}/api/models/{repository}/revision/{encoded}",
            self.endpoint
        );
        let mut response = self.ask(&Method::GET, &url, "repository or revision", &[])?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_LISTING_BYTES)
            .read_to_vec()
            .map_err(|error| HubError::Protocol {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        let listing: WireListing =
            serde_json::from_slice(&text).map_err(|error| HubError::Protocol {
                url: url.clone(),
                reason: format!("not the hub's list of files: {error}"),
            })?;
        let commit = checked_name(&url, "commit", &listing.sha)?;
        let files = listing.siblings.into_iter().map(|file| file.rfilename);
        Ok((commit, files.collect()))
    }

    /// What the hub says of a file.
    pub(super) fn metadata(&self, url: &str) -> Result<Metadata, HubError> {
        let response = self.ask(&Method::HEAD, url, "file", &[])?;
        let headers = response.headers();
        let text = |names: [&str; 2]| {
            let found = names.iter().find_map(|&name| headers.get(name));
            let missing = || HubError::Protocol {
                url: url.to_owned(),
                reason: format!("the answer has no {}", names[1]),
            };
            found
                .and_then(|value| value.to_str().ok())
                .ok_or_else(missing)
        };
        let commit = checked_name(url, "commit", text(["x-repo-commit", "X-Repo-Commit"])?)?;
        let etag = text(["x-linked-etag", "etag"])?;
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        let etag = checked_name(url, "ETag", etag)?;
        let size = match text(["x-linked-size", "content-length"]) {
            Ok(size) => size.parse().map_err(|_| HubError::Protocol {
                url: url.to_owned(),
                reason: format!("{size:?} is no length"),
            })?,
            // A proxy may leave the length out of the answer to HEAD.
            Err(_) => self.length(url)?,
        };
        Ok(Metadata { commit, etag, size })
    }

    /// The length of a file by fetching it.
    fn length(&self, url: &str) -> Result<u64, HubError> {
        let mut response = self.fetch(url, 0)?;
        let mut body = (response.body_mut().with_config())
            .limit(MAX_MODEL_FILE_BYTES + 1)
            .reader();
        io::copy(&mut body, &mut io::sink()).map_err(|error| HubError::Protocol {
            url: url.to_owned(),
            reason: format!("its length is not announced, and fetching it fails: {error}"),
        })
    }

    /// Begins to fetch a file, from a byte on. The answer's status is 200 where it begins with the first
    /// byte all the same.
    pub(super) fn fetch(&self, url: &str, from: u64) -> Result<Response<Body>, HubError> {
        let range = format!("bytes={from}-");
        let headers: &[(&str, &str)] = if from == 0 { &[] } else { &[("range", &range)] };
        let response = self.ask(&Method::GET, url, "file", headers)?;
        match response.headers().get("content-encoding") {
            Some(encoding) if encoding != "identity" => Err(HubError::Protocol {
                url: url.to_owned(),
                reason: format!(
                    "the server sends the file compressed ({encoding:?}), which was not asked for"
                ),
            }),
            _ => Ok(response),
        }
    }

    /// The wait before another attempt.
    pub(super) fn wait(&self, attempts: u32) {
        thread::sleep(self.first_wait * 2u32.pow(attempts.saturating_sub(1).min(MAX_ATTEMPTS)));
    }

    /// Asks until there is an answer that asking again would not change.
    fn ask(
        &self,
        method: &Method,
        url: &str,
        what: &'static str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, HubError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (reason, wait) = match self.send(method, url, headers)? {
                Answered::Answer(answer) => return self.judged(answer, url, what),
                Answered::Again { reason, wait } => (reason, wait),
            };
            let patient = wait.is_none_or(|wait| wait <= LONGEST_WAIT);
            if attempts < MAX_ATTEMPTS && patient {
                match wait {
                    Some(wait) => thread::sleep(wait),
                    None => self.wait(attempts),
                }
                continue;
            }
            let url = url.to_owned();
            return Err(match reason {
                Failure::Connection(reason) => HubError::Connection {
                    url,
                    reason,
                    attempts,
                },
                Failure::Status(StatusCode::TOO_MANY_REQUESTS) => HubError::TooManyRequests {
                    url,
                    attempts,
                    wait: wait.unwrap_or(LONGEST_WAIT),
                },
                Failure::Status(status) => HubError::Status {
                    url,
                    status: status.as_u16(),
                },
            });
        }
    }

    fn judged(
        &self,
        answer: Response<Body>,
        url: &str,
        what: &'static str,
    ) -> Result<Response<Body>, HubError> {
        let status = answer.status();
        // Of a HEAD request, the redirect to where large files lie is the answer.
        if status.is_success()
            || status.is_redirection()
            || status == StatusCode::RANGE_NOT_SATISFIABLE
        {
            return Ok(answer);
        }
        let url = url.to_owned();
        Err(match status {
            StatusCode::NOT_FOUND => HubError::NotFound { url, what },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Refused {
                url,
                status: status.as_u16(),
                token: match self.token {
                    Some(_) => "the token that was sent does not open it",
                    None => "no token was sent, HF_TOKEN takes one",
                },
            },
            status => HubError::Status {
                url,
                status: status.as_u16(),
            },
        })
    }

    /// One attempt, redirects and all.
    fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answered, HubError> {
        let protocol = |reason: String| HubError::Protocol {
            url: url.to_owned(),
            reason,
        };
        let mut at: Uri = url
            .parse()
            .map_err(|error| protocol(format!("no address: {error}")))?;
        let home = at.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::builder().method(method.clone()).uri(at.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            // The token is for the hub alone, not for those it sends its visitors to.
            if let Some(token) = self.token.as_ref().filter(|_| same_origin(&at, &home)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let request = request
                .body(())
                .map_err(|error| protocol(error.to_string()))?;
            let answer = match self.agent.run(request) {
                Ok(answer) => answer,
                Err(error) => {
                    return Ok(Answered::Again {
                        reason: Failure::Connection(error.to_string()),
                        wait: None,
                    });
                }
            };
            let status = answer.status();
            if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                return Ok(Answered::Again {
                    reason: Failure::Status(status),
                    wait: retry_after(answer.headers()),
                });
            }
            if !status.is_redirection()
                || method == Method::HEAD && answer.headers().contains_key("x-linked-etag")
            {
                return Ok(Answered::Answer(answer));
            }
            at = redirected(&at, answer.headers()).map_err(protocol)?;
        }
        Err(protocol(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

/// Longest list of files read. The largest repository of models holds some hundred files.
const MAX_LISTING_BYTES: u64 = 16 << 20;

#[derive(serde::Deserialize)]
struct WireListing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(serde::Deserialize)]
struct Sibling {
    rfilename: String,
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Where an answer sends its visitor.
fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, String> {
    let location = headers
        .get("location")
        .and_then(|value| value.to_str().ok())
        .ok_or("a redirect without a place to go to")?;
    let wrong = |error: &dyn std::fmt::Display| format!("redirected to {location:?}: {error}");
    let to: Uri = location.parse().map_err(|error| wrong(&error))?;
    if to.scheme().is_none() {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = to.into_parts().path_and_query;
        return Uri::from_parts(parts).map_err(|error| wrong(&error));
    }
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(wrong(&"from https to a connection that anyone can change"));
    }
    Ok(to)
}

/// A commit or checksum as the server gives it, which becomes the name of a file or folder here.
fn checked_name(url: &str, what: &str, text: &str) -> Result<String, HubError> {
    /// Hexadecimal digits of a SHA-256.
    const LONGEST: usize = 64;
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if !text.is_empty() && text.len() <= LONGEST && text.chars().all(hex) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(LONGEST).collect();
    Err(HubError::Protocol {
        url: url.to_owned(),
        reason: format!("the {what} is {shown:?}, expected hexadecimal digits"),
    })
}
