//! The commands that reproduce what a report shows, as a shell reads them.

use std::path::{Path, PathBuf};

use super::{DISCOVERED, EVIDENCE_FILE, PartKind, Report, StoredPart};
use crate::domain::plain::is_hidden;
use crate::experiment::Rules;
use crate::verify::Options;
use crate::verify::evidence::Evidence;

/// The folder that holds the reports of all models.
const REPORTS: &str = "reports";

impl Report {
    /// The command that reproduces the evidence.
    pub fn verify_command(&self) -> String {
        let out = match self.evidence.protocol.filters.is_empty() {
            true => self.out_option(),
            // Evidence of some claims alone is written only where it is asked for.
            false => option("--out", &self.stored),
        };
        format!("{}{out}", self.verification())
    }

    /// The command that prints everything that was measured for a claim.
    pub fn explain_command(&self, claim: &str) -> String {
        format!("{} --explain \"{claim}\"", self.verification())
    }

    /// The command that reproduces the report from the evidence.
    pub fn report_command(&self) -> String {
        format!(
            "circuitcheck report{}{}{}",
            argument(&self.model),
            self.features_option(),
            self.out_option()
        )
    }

    /// The command that makes a part and stores it beside the evidence.
    pub fn part_command(&self, part: &StoredPart) -> String {
        self.command_of(part.kind, &part.arguments) + &option("--out", &self.stored)
    }

    /// The command that measures the graph and prints it.
    pub fn graph_command(&self) -> String {
        self.command_of(PartKind::Graph, &PartKind::Graph.usual_arguments())
    }

    /// The command that measures behaviours and stores them beside the evidence.
    pub fn discover_command(&self) -> String {
        let out = option("--out", &self.stored.join(DISCOVERED));
        format!("circuitcheck discover{}{out}", argument(&self.model))
    }

    fn command_of(&self, kind: PartKind, arguments: &[String]) -> String {
        let (name, options) = arguments.split_first().expect("a part has a command");
        let options = options.iter().map(|option| format!(" {}", quoted(option)));
        let evidence = match kind {
            PartKind::Graph | PartKind::Circuit if !self.is_in_usual_folder() => {
                option("--evidence", &self.stored.join(EVIDENCE_FILE))
            }
            _ => String::new(),
        };
        format!(
            "circuitcheck {name}{}{}{evidence}",
            argument(&self.model),
            options.collect::<String>()
        )
    }

    /// `verify` with the model, the claims and the rules of the evidence.
    fn verification(&self) -> String {
        let protocol = &self.evidence.protocol;
        let (rules, usual) = (Rules::default(), Options::default());
        let mut command = format!(
            "circuitcheck verify{}{}",
            argument(&self.model),
            self.features_option()
        );
        if protocol.threshold != rules.threshold {
            command += &format!(" --threshold {}", protocol.threshold);
        }
        if protocol.alpha != rules.alpha {
            command += &format!(" --alpha {}", protocol.alpha);
        }
        if protocol.max_trials != rules.max_trials {
            command += &format!(" --max-trials {}", protocol.max_trials);
        }
        if protocol.seed != rules.seed {
            command += &format!(" --seed {}", protocol.seed);
        }
        if protocol.decode != usual.decoding {
            command += &format!(" --decode {}", protocol.decode);
        }
        let mut claims = Vec::new();
        for filter in &protocol.filters {
            match filter
                .strip_prefix("claim ")
                .and_then(|claim| claim.split_once(' '))
            {
                Some((node, variable)) => claims.push(format!("{node} and {variable}")),
                None => command += &format!(" --{filter}"),
            }
        }
        if !claims.is_empty() {
            command += &format!(" -k {}", quoted(&claims.join(" or ")));
        }
        command
    }

    fn features_option(&self) -> String {
        let features = self.features.as_deref();
        features.map_or_else(String::new, |file| option("--features", file))
    }

    /// `--out`, where the evidence does not lie where commands write by themselves.
    fn out_option(&self) -> String {
        match self.is_in_usual_folder() {
            true => String::new(),
            false => option("--out", &self.stored),
        }
    }

    fn is_in_usual_folder(&self) -> bool {
        self.stored == usual_folder(&self.evidence)
    }
}

/// The folder that a report is written to where none is named.
pub(super) fn usual_folder(evidence: &Evidence) -> PathBuf {
    Path::new(REPORTS).join(&evidence.inputs.model)
}

/// An option with a path, with the space before it.
fn option(name: &str, path: &Path) -> String {
    format!(" {name} {}", quoted(&path.display().to_string()))
}

/// The model's arguments after a command, with the space before them.
pub(super) fn argument(model: &str) -> String {
    match model.is_empty() {
        true => String::new(),
        false => format!(" {model}"),
    }
}

/// A word as a shell takes it; nothing for an empty one.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:@%+,=-".contains(c);
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.contains(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // In bash's and zsh's other quotes, hidden characters can be seen.
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted += &format!("\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_split_is_quoted() {
        assert_eq!(quoted("models/w126_add"), "models/w126_add");
        assert_eq!(quoted("my model"), "'my model'");
        assert_eq!(quoted("x; rm it's"), r"'x; rm it'\''s'");
        assert_eq!(quoted("a\nb\u{1b}'"), r"$'a\x0ab\x1b\''");
    }
}
