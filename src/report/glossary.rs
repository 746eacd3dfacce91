//! The glossary: docs/GLOSSARY.md, by entry.

use std::sync::LazyLock;

use serde::Serialize;

const GLOSSARY: &str = include_str!("../../docs/GLOSSARY.md");

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GlossaryEntry {
    /// What it is found by: the first is its heading's.
    pub names: Vec<&'static str>,
    /// The section it is in.
    pub section: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

static ENTRIES: LazyLock<Vec<GlossaryEntry>> = LazyLock::new(|| {
    let sections = GLOSSARY.split("\n## ").skip(1);
    let of_section = |section: &'static str| {
        let (title, body) = section.split_once('\n').unwrap_or((section, ""));
        body.split("### ").skip(1).map(move |entry| {
            let (names, text) = entry.split_once('\n').unwrap_or((entry, ""));
            GlossaryEntry {
                names: names.split(" / ").collect(),
                section: title,
                text: text.trim(),
            }
        })
    };
    sections.flat_map(of_section).collect()
});

/// Every entry, in the order of the page.
pub fn glossary() -> &'static [GlossaryEntry] {
    &ENTRIES
}

/// The entry of a term, whatever its case.
pub fn define(term: &str) -> Option<&'static GlossaryEntry> {
    let term = term.trim();
    ENTRIES.iter().find(|entry| {
        entry
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(term))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;
    use crate::verify::VerdictKind;

    #[test]
    fn every_task_and_every_verdict_has_an_entry() {
        let tasks = Task::all().map(|task| (task.name(), "Tasks"));
        let verdicts = VerdictKind::ALL.map(|verdict| (verdict.name(), "Verdicts"));
        for (name, section) in tasks.chain(verdicts) {
            let entry = define(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(entry.section, section, "{name}");
            assert!(!entry.text.is_empty(), "{name}");
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names: Vec<String> = (glossary().iter().flat_map(|entry| &entry.names))
            .map(|name| name.to_lowercase())
            .collect();
        let given = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), given);
    }
}
