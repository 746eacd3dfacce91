//! Where the hub and the cache are, as the environment says; the names are those of `huggingface_hub`.

use std::env::VarError;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::HubError;

/// Where the hub is, where HF_ENDPOINT does not say.
const ENDPOINT: &str = "https://huggingface.co";

/// Silence after which a connection counts as cut, where HF_HUB_DOWNLOAD_TIMEOUT does not say. As in
/// huggingface_hub.
const SILENCE: Duration = Duration::from_secs(10);

/// Wait before the second attempt at a request: with four more, doubled each time, a hub that restarts
/// is back.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What is asked for models, and where they are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The hub, without a slash at the end.
    pub endpoint: String,
    /// What tells the hub who asks.
    pub token: Option<String>,
    /// The folder of fetched files.
    pub cache: PathBuf,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Silence after which a connection counts as cut.
    pub silence: Duration,
    /// Wait before the second attempt at a request; doubled before each later one.
    pub first_wait: Duration,
}

// Not derived: a token must not get into a log.
impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("silence", &self.silence)
            .field("first_wait", &self.first_wait)
            .finish()
    }
}

impl HubSettings {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN` (or the file `token` in `HF_HOME`), `HF_HUB_CACHE`, `HF_HOME`,
    /// `HF_HUB_OFFLINE` and `HF_HUB_DOWNLOAD_TIMEOUT`.
    ///
    /// # Errors
    /// [`HubError::Endpoint`], [`HubError::NoCache`] and [`HubError::Token`].
    pub fn from_env() -> Result<Self, HubError> {
        Self::read(|name| match std::env::var(name) {
            Ok(value) => Some(value).filter(|value| !value.is_empty()),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
        })
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !["https://", "http://"].iter().any(|scheme| {
            let rest = endpoint.strip_prefix(scheme);
            rest.is_some_and(|rest| !rest.is_empty())
        }) {
            return Err(HubError::Endpoint(endpoint));
        }
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(Path::new(&variable("HOME")?).join(".cache")));
            Some(cache?.join("huggingface"))
        });
        let cache = variable("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or(HubError::NoCache)?;
        let from_file = || {
            let text = fs::read_to_string(home.as_ref()?.join("token")).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let is_true =
            |value: String| matches!(value.to_uppercase().as_str(), "1" | "TRUE" | "YES" | "ON");
        // A line copied with its end is still the token.
        let token = variable("HF_TOKEN").map(|token| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty()).or_else(from_file);
        if token
            .as_ref()
            .is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(HubError::Token);
        }
        Ok(Self {
            endpoint,
            token,
            cache,
            offline: variable("HF_HUB_OFFLINE").is_some_and(is_true),
            silence: variable("HF_HUB_DOWNLOAD_TIMEOUT")
                .and_then(|seconds| seconds.parse().ok())
                .filter(|&seconds| seconds > 0)
                .map_or(SILENCE, Duration::from_secs),
            first_wait: FIRST_WAIT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        HubSettings::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_lies_where_pythons_does() {
        for (variables, expected) in [
            (&[("HOME", "/h")][..], "/h/.cache/huggingface/hub"),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
            ),
            (&[("HOME", "/h"), ("HF_HOME", "/f")], "/f/hub"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")], "/c"),
        ] {
            assert_eq!(read(variables).unwrap().cache, Path::new(expected));
        }
        assert!(matches!(read(&[]), Err(HubError::NoCache)));
    }

    #[test]
    fn the_token_is_never_shown() {
        let settings = read(&[("HF_TOKEN", "hf_secret"), ("HOME", "/h")]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("hf_secret"));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn the_token_may_stand_in_a_file() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "hf_kept\n").unwrap();
        let home = home.path().to_str().unwrap();
        let settings = read(&[("HF_HOME", home)]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("hf_kept"));
        let settings = read(&[("HF_HOME", home), ("HF_TOKEN", "hf_given")]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("hf_given"));
    }

    #[test]
    fn a_line_break_after_the_token_is_dropped_and_one_within_it_refused() {
        let token = |token: &str| read(&[("HF_TOKEN", token), ("HOME", "/h")]);
        assert_eq!(token("hf_a\r\n").unwrap().token.as_deref(), Some("hf_a"));
        assert_eq!(token("\n").unwrap().token, None);
        for wrong in ["hf_a\nhf_b", "hf_a b", "hf_\u{e9}"] {
            let error = token(wrong).unwrap_err();
            assert!(matches!(error, HubError::Token), "{wrong:?}");
            assert!(!error.to_string().contains("hf_a"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_refused() {
        let settings = read(&[("HOME", "/h"), ("HF_ENDPOINT", "http://127.0.0.1:80/")]).unwrap();
        assert_eq!(settings.endpoint, "http://127.0.0.1:80");
        for wrong in ["huggingface.co", "https://", "file:///etc"] {
            let error = read(&[("HOME", "/h"), ("HF_ENDPOINT", wrong)]).unwrap_err();
            assert!(matches!(error, HubError::Endpoint(_)), "{wrong}");
        }
    }

    #[test]
    fn offline_is_said_in_the_words_that_python_knows() {
        for (value, expected) in [
            ("1", true),
            ("true", true),
            ("ON", true),
            ("0", false),
            ("no", false),
        ] {
            let settings = read(&[("HOME", "/h"), ("HF_HUB_OFFLINE", value)]).unwrap();
            assert_eq!(settings.offline, expected, "{value}");
        }
    }
}
