//! Kept cases: concrete questions that failed once, stored in a text file and tried first in every
//! later run.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use thiserror::Error;

use super::case::Case;
use super::{Property, PropertyError};
use crate::domain::plain::is_hidden;
use crate::storage::read_result;

/// The file's name, beside the report.
pub const KEPT_FILE: &str = "property-kept.txt";

/// Most failing cases kept per property, and most that no longer fail.
const MOST_KEPT: usize = 64;

const HEADING: &str = "\
# Cases in which a property failed. `circuitcheck property` tries them first in every later run.
# property <tab> what is asked first <tab> numbers
";

/// A line that is not a valid kept case.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{file}:{line}: {reason}")]
pub struct KeptError {
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    pub reason: String,
}

/// One case as in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    number: usize,
    asked: String,
    numbers: String,
}

/// The kept cases of all properties, including unknown ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    file: String,
    properties: BTreeMap<String, Vec<Line>>,
}

impl Kept {
    /// Reads the file in a folder; empty if the file does not exist.
    ///
    /// # Errors
    /// [`PropertyError`] where it cannot be read or is invalid.
    pub fn read(folder: &Path) -> Result<Self, PropertyError> {
        let path = folder.join(KEPT_FILE);
        if !path.exists() {
            return Ok(Kept::default());
        }
        let text = read_result(&path).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
        });
        match text {
            Ok(text) => Ok(Kept::parse(&path.display().to_string(), &text)?),
            Err(reason) => Err(PropertyError::Unreadable { path, reason }),
        }
    }

    /// Parses a file's text.
    ///
    /// # Errors
    /// [`KeptError`] at the first line without three parts.
    pub fn parse(file: &str, text: &str) -> Result<Self, KeptError> {
        let mut kept = Kept {
            file: file.to_owned(),
            properties: BTreeMap::new(),
        };
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains(|c| is_hidden(c) && c != '\t') {
                return Err(KeptError {
                    file: file.to_owned(),
                    line: index + 1,
                    reason: "a control character".to_owned(),
                });
            }
            let parts: Vec<&str> = line.split('\t').collect();
            let [property, asked, numbers] = parts[..] else {
                return Err(KeptError {
                    file: file.to_owned(),
                    line: index + 1,
                    reason: format!("expected 3 tab-separated parts, found {}", parts.len()),
                });
            };
            let lines = kept.properties.entry(property.to_owned()).or_default();
            lines.push(Line {
                number: index + 1,
                asked: asked.to_owned(),
                numbers: numbers.to_owned(),
            });
        }
        Ok(kept)
    }

    /// The kept cases of a property, without those of clauses that no longer exist or that the
    /// model is not asked.
    ///
    /// # Errors
    /// [`KeptError`] for numbers outside the clause's domain.
    pub fn cases(&self, property: &Property) -> Result<Vec<Case>, KeptError> {
        let lines = self.properties.get(&property.name).into_iter().flatten();
        let cases = lines.filter_map(|line| {
            let case = match read_numbers(property, line) {
                Some(case) => case,
                // Numbers that do not match the variables are an error if their clause is known.
                None if property
                    .clauses
                    .iter()
                    .any(|clause| asked(clause) == line.asked) =>
                {
                    return Some(Err(
                        self.error(line, "does not match the property's variables")
                    ));
                }
                None => return None,
            };
            let admitted = property.clauses[case.clause].admits(&case);
            Some(match admitted {
                true => Ok(case),
                false => Err(self.error(line, "gives no question that the model accepts")),
            })
        });
        cases.collect()
    }

    fn error(&self, line: &Line, reason: &str) -> KeptError {
        KeptError {
            file: self.file.clone(),
            line: line.number,
            reason: format!("{:?} {reason}", line.numbers),
        }
    }

    /// Replaces a property's cases: those that fail now, simplest first, and those that failed
    /// earlier; at most 64 of each.
    pub fn replace(&mut self, property: &Property, failing: Vec<Case>, holding: Vec<Case>) {
        let sorted = |mut cases: Vec<Case>| {
            cases.sort_by_cached_key(|case| {
                let clause = &property.clauses[case.clause];
                (case.simplicity(clause.variables()), case.clause)
            });
            cases.dedup();
            cases.truncate(MOST_KEPT);
            cases
        };
        let cases = sorted(failing).into_iter().chain(sorted(holding));
        let lines: Vec<Line> = cases
            .map(|case| {
                let clause = &property.clauses[case.clause];
                Line {
                    number: 0,
                    asked: asked(clause),
                    numbers: case.text(clause.variables()).to_string(),
                }
            })
            .collect();
        match lines.is_empty() {
            true => self.properties.remove(&property.name),
            false => self.properties.insert(property.name.clone(), lines),
        };
    }

    /// Whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }
}

fn asked(clause: &super::clause::Clause) -> String {
    let side = clause.sides().next().expect("a clause has a left side");
    side.template.to_string()
}

/// The case of a line; `None` unless a clause asks this with variables of these names and widths.
fn read_numbers(property: &Property, line: &Line) -> Option<Case> {
    let given: Vec<(&str, &str)> = line
        .numbers
        .split(' ')
        .map(|part| part.split_once('='))
        .collect::<Option<_>>()?;
    property
        .clauses
        .iter()
        .enumerate()
        .find_map(|(index, clause)| {
            let variables = clause.variables();
            if asked(clause) != line.asked || variables.len() != given.len() {
                return None;
            }
            let number =
                |(variable, (name, digits)): (&super::case::CaseVariable, &(&str, &str))| {
                    // A number without digits is written as zero.
                    let written = variable.width().max(1);
                    let own = *name == variable.name.to_string() && digits.len() == written;
                    let digits = digits
                        .bytes()
                        .all(|b| b.is_ascii_digit())
                        .then_some(*digits)?;
                    own.then(|| digits.parse().ok()).flatten()
                };
            let numbers: Option<Vec<u128>> = variables.iter().zip(&given).map(number).collect();
            Some(Case {
                clause: index,
                numbers: numbers?,
            })
        })
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADING)?;
        for (property, lines) in &self.properties {
            for line in lines {
                writeln!(f, "{property}\t{}\t{}", line.asked, line.numbers)?;
            }
        }
        Ok(())
    }
}
