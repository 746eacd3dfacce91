//! `-k EXPR`: which claims, by words of their text.

use std::str::FromStr;

/// An expression over the text of a claim: words that it contains, in either case, with `and`, `or`,
/// `not` and parentheses. `not` binds before `and`, `and` before `or`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    Word(String),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

impl Filter {
    pub fn selects(&self, claim: &str) -> bool {
        match self {
            Self::Word(word) => claim.to_lowercase().contains(word),
            Self::Not(inner) => !inner.selects(claim),
            Self::And(left, right) => left.selects(claim) && right.selects(claim),
            Self::Or(left, right) => left.selects(claim) || right.selects(claim),
        }
    }
}

/// Most words and parentheses of an expression. Each may nest one level deeper.
const MAX_WORDS: usize = 1000;

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spaced = text.to_lowercase().replace('(', " ( ").replace(')', " ) ");
        if spaced.split_whitespace().nth(MAX_WORDS).is_some() {
            return Err(format!(
                "expected at most {MAX_WORDS} words and parentheses"
            ));
        }
        let mut words = spaced.split_whitespace().peekable();
        let filter = any_of(&mut words)?;
        match words.next() {
            None => Ok(filter),
            Some(word) => Err(format!(
                "expected \"and\" or \"or\" before {word:?}, as in \"A1 and not SC\""
            )),
        }
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words) -> Result<Filter, String> {
    let mut filter = all_of(words)?;
    while words.next_if_eq(&"or").is_some() {
        filter = Filter::Or(filter.into(), all_of(words)?.into());
    }
    Ok(filter)
}

fn all_of(words: &mut Words) -> Result<Filter, String> {
    let mut filter = one(words)?;
    while words.next_if_eq(&"and").is_some() {
        filter = Filter::And(filter.into(), one(words)?.into());
    }
    Ok(filter)
}

fn one(words: &mut Words) -> Result<Filter, String> {
    match words.next() {
        Some("not") => Ok(Filter::Not(one(words)?.into())),
        Some("(") => {
            let filter = any_of(words)?;
            match words.next() {
                Some(")") => Ok(filter),
                _ => Err("a parenthesis is not closed".into()),
            }
        }
        Some(word) if !["and", "or", ")"].contains(&word) => Ok(Filter::Word(word.into())),
        Some(word) => Err(format!("expected part of a claim before {word:?}")),
        None => Err("expected part of a claim, such as ST or P9L0H1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_combined_as_pytest_does() {
        let selects = |filter: &str| {
            let filter: Filter = filter.parse().unwrap();
            let claims = ["P9L0H1 A1.ST", "P9L0H1 A1.SC", "P12L0M0 A4.ST"];
            claims.map(|claim| filter.selects(claim))
        };
        assert_eq!(selects("st"), [true, false, true]);
        assert_eq!(selects("not ST"), [false, true, false]);
        assert_eq!(selects("p9 and st"), [true, false, false]);
        assert_eq!(selects("SC or A4 and ST"), [false, true, true]);
        assert_eq!(selects("(SC or A4) and not ST"), [false, true, false]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (text, says) in [
            ("", "expected part of a claim"),
            ("ST SC", "expected \"and\" or \"or\" before \"sc\""),
            ("and ST", "before \"and\""),
            ("(ST", "not closed"),
            ("ST)", "before \")\""),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
