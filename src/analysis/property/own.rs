//! A user's own properties: TOML files with a template and a relation.
//!
//! ```toml
//! name = "commutes-low"
//! says = "The order of small operands does not matter."
//! left = "{a}+{b}"
//! relation = "equals"        # right, equals, negates or at-most
//! right = "{b}+{a}"          # not for "right"
//!
//! [digits]                   # variables not named here have any digits
//! a = "0-4"                  # each digit of a
//! b = "0 0-9x3 5"            # digit by digit, as the number is written; here five digits
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::case::CaseVariable;
use super::clause::{Clause, ClauseSide, Relation};
use super::evidence::PropertyFile;
use super::template::Template;
use super::{Drawing, Property, PropertyError};
use crate::domain::shape::MAX_DIGITS;
use crate::domain::text::line;
use crate::inputs::model::{RawFile, without_mark};
use crate::storage::PlainText;

/// Largest property file that is read; the bundled ones have half a kilobyte.
pub const MAX_PROPERTY_BYTES: usize = 1 << 16;

/// An error in a file, with its place.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{file}:{line}: {reason}")]
pub struct OwnError {
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    #[serde(deserialize_with = "line")]
    says: String,
    left: Spanned<String>,
    relation: Spanned<String>,
    right: Option<Spanned<String>>,
    #[serde(default)]
    digits: BTreeMap<String, Spanned<String>>,
}

const RELATIONS: [(&str, Relation); 4] = [
    ("right", Relation::Right),
    ("equals", Relation::Equals),
    ("negates", Relation::Negates),
    ("at-most", Relation::AtMost),
];

struct PropertyReader<'a> {
    file: &'a str,
    text: &'a str,
}

impl PropertyReader<'_> {
    fn error(&self, at: Range<usize>, reason: impl ToString) -> OwnError {
        OwnError {
            file: self.file.to_owned(),
            line: 1 + self.text[..at.start].matches('\n').count(),
            reason: reason.to_string(),
        }
    }

    fn name(&self, name: &Spanned<String>) -> Result<String, OwnError> {
        let text = name.get_ref();
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || !text.chars().all(known) {
            let reason =
                format!("invalid name {text:?}: expected letters a to z, digits and \"-\"");
            return Err(self.error(name.span(), reason));
        }
        Ok(text.clone())
    }

    fn template(&self, text: &Spanned<String>) -> Result<Template, OwnError> {
        let template = text.get_ref().parse();
        template.map_err(|error| self.error(text.span(), error))
    }

    fn relation(&self, text: &Spanned<String>) -> Result<Relation, OwnError> {
        let found = RELATIONS.iter().find(|(name, _)| name == text.get_ref());
        let known: Vec<&str> = RELATIONS.iter().map(|(name, _)| *name).collect();
        found.map(|&(_, relation)| relation).ok_or_else(|| {
            let reason = format!(
                "unknown relation {:?}: expected one of {}",
                text.get_ref(),
                known.join(", ")
            );
            self.error(text.span(), reason)
        })
    }

    /// Parses `0-4`, or one range per digit, highest first, such as `0 0-9x3 5`.
    fn ranges(&self, text: &Spanned<String>, n_digits: usize) -> Result<Vec<(u8, u8)>, OwnError> {
        let no_range = |part: &str| {
            self.error(
                text.span(),
                format!("invalid range {part:?}: expected one such as \"5\", \"0-4\" or \"0-9x3\""),
            )
        };
        let digit = |text: &str| {
            let digit = text.bytes().next().filter(u8::is_ascii_digit)?;
            (text.len() == 1).then_some(digit - b'0')
        };
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        let mut counted = false;
        for part in text.get_ref().split_whitespace() {
            let (range, count) = match part.split_once('x') {
                Some((range, count)) => (range, Some(count)),
                None => (part, None),
            };
            counted |= count.is_some();
            let count: usize = match count.map_or(Ok(1), str::parse) {
                Ok(count) if (1..=MAX_DIGITS).contains(&count) => count,
                _ => return Err(no_range(part)),
            };
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            match (digit(low), digit(high)) {
                (Some(low), Some(high)) if low <= high => {
                    ranges.extend(std::iter::repeat_n((low, high), count));
                }
                _ => return Err(no_range(part)),
            }
        }
        match ranges.len() {
            0 => Err(self.error(text.span(), "no range given")),
            1 if !counted => Ok(vec![ranges[0]; n_digits]),
            found if found > n_digits => Err(self.error(
                text.span(),
                format!("{found} ranges, but the model's operands have {n_digits} digits"),
            )),
            _ => {
                ranges.reverse();
                Ok(ranges)
            }
        }
    }
}

/// Default folder for a user's own properties.
const USUAL_FOLDER: &str = "hypotheses/properties";

/// Reads the properties of a file, or of all `.toml` files of a folder in name order; without a
/// path, those in hypotheses/properties if it exists.
///
/// # Errors
/// [`PropertyError`] where the folder or a file cannot be read, or a property is invalid.
pub fn read_own(path: Option<&Path>, n_digits: usize) -> Result<Vec<Property>, PropertyError> {
    let path = match path {
        Some(path) => path,
        None if Path::new(USUAL_FOLDER).is_dir() => Path::new(USUAL_FOLDER),
        None => return Ok(Vec::new()),
    };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|reason| PropertyError::Unreadable {
                path: path.to_owned(),
                reason,
            })?;
        files.retain(|file| file.extension().is_some_and(|kind| kind == "toml"));
        files.sort();
    }
    let read = |file: &PathBuf| Ok(read(&RawFile::read(file)?, n_digits)?);
    files.iter().map(read).collect()
}

/// Reads a property for a model of `n_digits`.
///
/// # Errors
/// [`OwnError`], with the file and line.
pub fn read(file: &RawFile, n_digits: usize) -> Result<Property, OwnError> {
    let shown = file.path.display().to_string();
    if file.bytes.len() > MAX_PROPERTY_BYTES {
        return Err(OwnError {
            file: shown,
            line: 1,
            reason: format!(
                "{} bytes, more than the {MAX_PROPERTY_BYTES} that are read",
                file.bytes.len()
            ),
        });
    }
    let text = str::from_utf8(without_mark(&file.bytes)).map_err(|error| OwnError {
        file: shown.clone(),
        line: 1 + file.bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count(),
        reason: "not UTF-8".into(),
    })?;
    let reader = PropertyReader { file: &shown, text };
    let grammar =
        |error: toml::de::Error| reader.error(error.span().unwrap_or(0..0), error.message());
    toml::from_str::<PlainText<true>>(text).map_err(grammar)?;
    let raw: Raw = toml::from_str(text).map_err(grammar)?;
    let name = reader.name(&raw.name)?;
    let relation = reader.relation(&raw.relation)?;
    let side = |text: &Spanned<String>| -> Result<ClauseSide, OwnError> {
        Ok(ClauseSide {
            template: reader.template(text)?,
            decode: None,
        })
    };
    let left = side(&raw.left)?;
    let right = match (&raw.right, relation.has_right()) {
        (Some(right), true) => Some(side(right)?),
        (None, false) => None,
        (Some(right), false) => {
            let reason = "the relation \"right\" takes only a left side";
            return Err(reader.error(right.span(), reason));
        }
        (None, true) => {
            let reason = format!(
                "the relation {:?} needs a right side",
                raw.relation.get_ref()
            );
            return Err(reader.error(raw.relation.span(), reason));
        }
    };
    if left.template.asks().is_empty() {
        let reason = format!("{:?} contains no question", raw.left.get_ref());
        return Err(reader.error(raw.left.span(), reason));
    }
    let mut names: BTreeSet<char> = left.template.variables();
    if let Some(right) = &right {
        names.extend(right.template.variables());
    }
    for (name, ranges) in &raw.digits {
        if !names.iter().any(|used| used.to_string() == *name) {
            let reason = format!("variable {{{name}}} is not used");
            return Err(reader.error(ranges.span(), reason));
        }
    }
    let variables = names
        .iter()
        .map(|&name| match raw.digits.get(&name.to_string()) {
            Some(text) => Ok(CaseVariable {
                name,
                ranges: reader.ranges(text, n_digits)?,
            }),
            None => Ok(CaseVariable::of_width(name, n_digits)),
        })
        .collect::<Result<Vec<_>, OwnError>>()?;
    Ok(Property {
        name,
        says: raw.says,
        drawing: Drawing::Ranges,
        clauses: vec![Clause::new(n_digits, left, relation, right, variables)],
        file: Some(PropertyFile {
            name: file
                .path
                .file_name()
                .map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned()),
            sha256: file.sha256.clone(),
        }),
    })
}
