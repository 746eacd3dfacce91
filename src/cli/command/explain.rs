//! `explain`: a term of the glossary, or the story of a claim.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use circuitcheck::domain::node::NodeName;
use circuitcheck::report::{GlossaryEntry, define, glossary};
use clap::error::ErrorKind;
use clap::{Args, Command, FromArgMatches};
use serde::Serialize;

use super::verify::Verify;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::usage_error;

/// Least similarity (Jaro-Winkler, 0 to 1) at which a name is suggested.
const SIMILAR: f64 = 0.6;

/// Explain a term, such as ST, joint or IIA, or a claim
///
/// Prints the term's entry of the glossary (docs/GLOSSARY.md); without a term, the list of terms. For a
/// claim, such as "P9L0H1 A1.ST", it does what `verify --explain` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck explain ST
  circuitcheck explain joint
  circuitcheck explain \"P9L0H1 A1.ST\"")]
#[command(after_long_help = "\
Examples:
  circuitcheck explain ST
  circuitcheck explain joint
  circuitcheck explain \"P9L0H1 A1.ST\"

Keys of --json:
  names    what the term is called, the usual name first
  section  the section of the glossary
  text     the entry, in Markdown")]
pub struct Explain {
    /// A term, or a claim: a node and a tag
    #[arg(value_name = "TERM")]
    term: Option<String>,
    /// For a claim, the model's folder; without it, the bundled mixed model
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    format: JsonArg,
}

impl Explain {
    pub fn run(self) -> Result<ExitCode, CliError> {
        let entries = match &self.term {
            None => glossary().iter().collect(),
            Some(claim) if is_claim(claim) => return explain_claim(claim, self.dir),
            Some(term) => vec![define(term).ok_or_else(|| unknown(term))?],
        };
        self.format.print(&Entries(entries))?;
        Ok(ExitCode::Success)
    }
}

/// Whether the text begins with a node, as only claims do.
fn is_claim(text: &str) -> bool {
    let node = text.split_whitespace().next();
    node.is_some_and(|node| node.parse::<NodeName>().is_ok())
}

/// Does what `verify --explain` does.
fn explain_claim(claim: &str, dir: Option<PathBuf>) -> Result<ExitCode, CliError> {
    let command = Verify::augment_args(Command::new("verify"));
    let dir = dir.map(PathBuf::into_os_string);
    let arguments = ["verify", "--explain", claim].map(OsString::from);
    let matches = command.get_matches_from(arguments.into_iter().chain(dir));
    Verify::from_arg_matches(&matches)
        .expect("the definition that read the arguments is the type's own")
        .run()
}

fn unknown(term: &str) -> CliError {
    let names = glossary().iter().flat_map(|entry| &entry.names);
    let distance = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &term.to_lowercase());
    let nearest = names
        .map(|name| (distance(name), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(distance, _)| *distance >= SIMILAR);
    let hint = match nearest {
        Some((_, name)) => format!("did you mean {name}?"),
        None => "`circuitcheck explain` lists all terms".to_owned(),
    };
    usage_error(
        "explain",
        ErrorKind::InvalidValue,
        format_args!("{term:?} is not in the glossary: {hint}"),
    )
}

/// One entry in full, or several by their first sentences.
#[derive(Serialize)]
#[serde(transparent)]
struct Entries(Vec<&'static GlossaryEntry>);

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [entry] = self.0[..] {
            return writeln!(f, "{}: {}", entry.names.join(", "), entry.text);
        }
        let mut section = "";
        for entry in &self.0 {
            if entry.section != section {
                section = entry.section;
                writeln!(f, "{section}")?;
            }
            let first = entry
                .text
                .split_once(". ")
                .map_or(entry.text, |(first, _)| first);
            writeln!(f, "  {}: {first}", entry.names[0])?;
        }
        Ok(())
    }
}
