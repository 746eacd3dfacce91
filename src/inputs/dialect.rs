//! Tags as older versions of the published tool wrote them, read as today's.
//!
//! Sources: `quanta_type.py`, `quanta_constants.py`, `maths_tag.py` and `maths_constants.py` in the
//! history of github.com/PhilipQuirke/verified_transformers.

use std::collections::BTreeSet;
use std::fmt;

use super::tag::Tag;

/// Kinds of tags by their older and their present name.
const MAJORS: [(&str, &str); 9] = [
    ("Algorithm", ALGO),
    ("Fail", "Fail%"),
    ("FailPerc", "Fail%"),
    ("MathAdd", "Math.Add"),
    ("MathSub", "Math.Sub"),
    ("MathNeg", "Math.Neg"),
    ("Complexity.Add", "Math.Add"),
    ("Complexity.Sub", "Math.Sub"),
    ("Complexity.Neg", "Math.Neg"),
];

const ALGO: &str = "Algo";

/// Tasks of a digit by their older and their present name.
const TASKS: [(&str, &str); 7] = [
    ("BA", "SA"),
    ("MC", "SC"),
    ("US", "SS"),
    ("TC", "ST"),
    ("C", "ST"),
    ("BS", "MD"),
    ("BO", "MB"),
];

/// Tasks that once named a digit, by their older and their present name.
const TASKS_WITHOUT_DIGIT: [(&str, &str); 2] = [("OP", "OPR"), ("SG", "SGN")];

/// The older kind of tag for clusters in a principal component analysis.
const PCA: &str = "PCA";

/// Clusters by their older name, their present kind of tag, and their present name.
const CLUSTERS: [(&str, &str, &str); 2] = [("PA", "Math.Add", "SP"), ("PS", "Math.Sub", "MP")];

/// The older spellings found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OlderSpellings {
    /// How many tags were read as another.
    tags: usize,
    /// What was read as what, such as `Algorithm:` as `Algo:`.
    replaced: BTreeSet<(String, String)>,
}

impl OlderSpellings {
    pub fn is_empty(&self) -> bool {
        self.tags == 0
    }

    /// The tag in today's spelling. Unknown tags are kept as they are.
    pub(super) fn read(&mut self, tag: Tag) -> Tag {
        let Some((present, replaced)) = present(&tag) else {
            return tag;
        };
        self.tags += 1;
        self.replaced.extend(replaced);
        present
    }
}

impl fmt::Display for OlderSpellings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replaced: Vec<String> = (self.replaced.iter())
            .map(|(older, present)| format!("{older} as {present}"))
            .collect();
        let tags = if self.tags == 1 { "tag" } else { "tags" };
        write!(
            f,
            "{} {tags} in an older dialect: {}",
            self.tags,
            replaced.join(", ")
        )
    }
}

type Replaced = Vec<(String, String)>;

/// The tag in today's spelling and what was replaced; `None` where the spelling is today's.
fn present(tag: &Tag) -> Option<(Tag, Replaced)> {
    let mut replaced = Replaced::new();
    if tag.major == PCA {
        let (digit, cluster) = tag.minor.split_once('.')?;
        let (name, suffix) = cluster.split_at_checked(2)?;
        let &(older, major, name) = CLUSTERS.iter().find(|(older, ..)| *older == name)?;
        replaced.push((format!("{PCA}:{older}"), format!("{major}:{name}")));
        let present = Tag {
            major: major.into(),
            minor: format!("{digit}.{name}{suffix}"),
        };
        return Some((present, replaced));
    }
    let mut present = tag.clone();
    if let Some((older, major)) = lookup(&MAJORS, &tag.major) {
        present.major = major.into();
        replaced.push((format!("{older}:"), format!("{major}:")));
    }
    if present.major == ALGO
        && let Some((minor, older, task)) = present_task(&tag.minor)
    {
        present.minor = minor;
        replaced.push((older.into(), task.into()));
    }
    (!replaced.is_empty()).then_some((present, replaced))
}

/// A claim such as `D2.TC` in today's spelling, with the older and the present name of its task.
fn present_task(minor: &str) -> Option<(String, &'static str, &'static str)> {
    let (digit, rest) = minor.split_once('.')?;
    let (task, impact) = match rest.split_once('.') {
        Some((task, impact)) => (task, Some(impact)),
        None => (rest, None),
    };
    if let Some((older, task)) = lookup(&TASKS_WITHOUT_DIGIT, task) {
        return Some((task.into(), older, task));
    }
    let (older, task) = lookup(&TASKS, task)?;
    // The tri-case was once claimed of the digit of the question.
    let digit = digit
        .strip_prefix('D')
        .map_or(digit.to_owned(), |k| format!("A{k}"));
    let impact = impact.map_or_else(String::new, |impact| format!(".{impact}"));
    Some((format!("{digit}.{task}{impact}"), older, task))
}

fn lookup(
    table: &[(&'static str, &'static str)],
    older: &str,
) -> Option<(&'static str, &'static str)> {
    table.iter().copied().find(|(known, _)| *known == older)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str) -> String {
        let tag = tag.parse().unwrap();
        OlderSpellings::default().read(tag).to_string()
    }

    #[test]
    fn older_tags_are_read_as_todays() {
        for (older, present) in [
            ("Algorithm:A3.SA", "Algo:A3.SA"),
            ("Algorithm:A3.BA", "Algo:A3.SA"),
            ("Algo:A3.MC", "Algo:A3.SC"),
            ("Algorithm:A3.US", "Algo:A3.SS"),
            ("Algorithm:D2.TC", "Algo:A2.ST"),
            ("Algorithm:A2.C", "Algo:A2.ST"),
            ("Algorithm:A4.BS.A4", "Algo:A4.MD.A4"),
            ("Algorithm:A4.BO", "Algo:A4.MB"),
            ("Algorithm:A6.OP", "Algo:OPR"),
            ("Algorithm:A6.SG", "Algo:SGN"),
            ("Fail:12", "Fail%:12"),
            ("FailPerc:12", "Fail%:12"),
            ("MathAdd:S012", "Math.Add:S012"),
            ("MathSub:M012", "Math.Sub:M012"),
            ("Complexity.Add:S012", "Math.Add:S012"),
            ("Complexity.Sub:M012", "Math.Sub:M012"),
            ("PCA:A2.PA", "Math.Add:A2.SP"),
            ("PCA:A2.PS.Weak", "Math.Sub:A2.MP.Weak"),
        ] {
            assert_eq!(read(older), present, "{older}");
        }
    }

    #[test]
    fn todays_tags_and_unknown_ones_are_kept() {
        for tag in [
            "Algo:A3.SA",
            "Algo:D4.GT",
            "Algo:OPR",
            "Algo:A5.ND.A5",
            "Algo:A5.SZ",
            "Fail%:12",
            "Attn:P8=50",
            "Probe:A3.BA",
            "PCA:A3",
            "PCA:A3.é",
        ] {
            let mut found = OlderSpellings::default();
            assert_eq!(found.read(tag.parse().unwrap()).to_string(), tag);
            assert!(found.is_empty(), "{tag}");
        }
    }

    #[test]
    fn what_was_read_as_what_is_said_once() {
        let mut found = OlderSpellings::default();
        for tag in ["Algorithm:A3.BA", "Algorithm:A4.BA", "PCA:A2.PA"] {
            found.read(tag.parse().unwrap());
        }
        assert_eq!(
            found.to_string(),
            "3 tags in an older dialect: Algorithm: as Algo:, BA as SA, PCA:PA as Math.Add:SP"
        );
    }
}
