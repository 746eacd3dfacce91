//! Where a published model is found on the hub: `hf://owner/repository@revision/folder`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub const SCHEME: &str = "hf://";

/// What repositories of one model are called before the model's name.
const ONE_MODEL: &str = "QuantaMaths_";

/// A model on the hub or, where no model is named, all that a repository holds.
///
/// The revision may stand after the repository or at the end; it is printed after the repository. A
/// slash within it is written `%2F`, as in `hf://owner/repository@refs%2Fpr%2F1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    owner: String,
    repository: String,
    revision: Option<String>,
    folder: Option<String>,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It begins otherwise.
    #[error("{0:?} does not begin with {SCHEME}")]
    Scheme(String),
    /// Owner or repository is missing.
    #[error("{0:?} names no repository: expected {SCHEME}owner/repository")]
    NoRepository(String),
    /// A part that could lead elsewhere, or that the hub has no such names of.
    #[error(
        "{text:?} has {part:?} as {what}: expected letters, digits, \"-\", \"_\" and \".\", not only dots"
    )]
    Part {
        text: String,
        what: &'static str,
        part: String,
    },
    /// Two revisions.
    #[error("{0:?} names two revisions")]
    TwoRevisions(String),
}

impl Address {
    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Owner and repository, as `owner/repository`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// The branch, tag or commit; `main` where none is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The model within the repository: the name of a folder, or of flat files.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// The address of a model in this repository, at this revision.
    pub fn within(&self, folder: Option<&str>) -> Self {
        Self {
            folder: folder.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same at another revision.
    pub fn at(&self, revision: &str) -> Self {
        Self {
            revision: Some(revision.to_owned()),
            ..self.clone()
        }
    }

    /// The model's name: that of the folder, or what the repository's name says.
    pub fn model_name(&self) -> &str {
        let folder = self.folder.as_deref();
        let folder = folder.map(|folder| folder.rsplit('/').next().unwrap_or(folder));
        folder.unwrap_or_else(|| {
            (self.repository.strip_prefix(ONE_MODEL)).unwrap_or(self.repository.as_str())
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.owner, self.repository)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{}", revision.replace('/', "%2F"))?;
        }
        match &self.folder {
            Some(folder) => write!(f, "/{folder}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| AddressError::Scheme(text.to_owned()))?;
        let mut revision = None;
        let mut parts = Vec::new();
        for part in rest.trim_end_matches('/').split('/') {
            let (name, at) = match part.split_once('@') {
                Some((name, at)) if !parts.is_empty() => (name, Some(at)),
                _ => (part, None),
            };
            if let Some(at) = at
                && revision.replace(at.replace("%2F", "/")).is_some()
            {
                return Err(AddressError::TwoRevisions(text.to_owned()));
            }
            parts.push(name);
        }
        let wrong = |what, part: &str| AddressError::Part {
            text: text.to_owned(),
            what,
            part: part.to_owned(),
        };
        let [owner, repository, folder @ ..] = parts.as_slice() else {
            return Err(AddressError::NoRepository(text.to_owned()));
        };
        if owner.is_empty() || repository.is_empty() {
            return Err(AddressError::NoRepository(text.to_owned()));
        }
        for (what, part) in [("owner", owner), ("repository", repository)] {
            if !is_name(part) {
                return Err(wrong(what, part));
            }
        }
        if let Some(part) = folder.iter().find(|part| !is_name(part)) {
            return Err(wrong("folder", part));
        }
        if let Some(revision) = &revision
            && !revision.split('/').all(is_name)
        {
            return Err(wrong("revision", revision));
        }
        Ok(Self {
            owner: (*owner).to_owned(),
            repository: (*repository).to_owned(),
            revision,
            folder: (!folder.is_empty()).then(|| folder.join("/")),
        })
    }
}

/// Whether a part of an address can be a part of a URL and of a path as it is: no separator, no way
/// up, nothing that either would read otherwise.
pub(super) fn is_name(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.chars().all(known) && part.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn a_repository_of_one_model_says_its_name() {
        let address = read("hf://PhilipQuirke/QuantaMaths_add_d5_l2_h3_t15K_s372001");
        assert_eq!(address.model_name(), "add_d5_l2_h3_t15K_s372001");
        assert_eq!((address.revision(), address.folder()), ("main", None));
    }

    #[test]
    fn a_folder_says_the_models_name() {
        let address = read("hf://PhilipQuirke/VerifiedArithmetic/add_d5_l2_h3_t15K_s372001");
        assert_eq!(address.repository(), "PhilipQuirke/VerifiedArithmetic");
        assert_eq!(address.model_name(), "add_d5_l2_h3_t15K_s372001");
    }

    #[test]
    fn a_revision_may_stand_after_the_repository_or_at_the_end() {
        let address = read("hf://a/b@v1/c");
        assert_eq!(address, read("hf://a/b/c@v1"));
        assert_eq!(address.to_string(), "hf://a/b@v1/c");
        assert_eq!(read("hf://a/b@refs%2Fpr%2F1").revision(), "refs/pr/1");
        assert_eq!(
            refusal("hf://a/b@v1/c@v2"),
            "\"hf://a/b@v1/c@v2\" names two revisions"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(
            refusal("s3://a/b"),
            "\"s3://a/b\" does not begin with hf://"
        );
        for text in ["hf://", "hf://a", "hf://a/", "hf:///b"] {
            assert!(refusal(text).contains("names no repository"), "{text}");
        }
        for text in [
            "hf://a/b/../c",
            "hf://a/..",
            "hf://a/b//c",
            "hf://a/b@",
            "hf://a/b@../x",
        ] {
            assert!(refusal(text).contains("not only dots"), "{text}");
        }
        assert!(refusal("hf://a/b/c%2Fd").contains("as folder"));
        assert!(refusal("hf://a b/c").contains("as owner"));
    }

    proptest! {
        #[test]
        fn addresses_round_trip(text in "hf://[a-z.]{1,3}/[a-z_.]{1,3}(@[a-z0-9.]{1,4}(%2F[a-z]{1,2})?)?(/[a-z.]{1,3}){0,2}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
