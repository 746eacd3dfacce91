//! Templates: what a property asks, with variables in place of numbers.
//!
//! ```text
//! template = ask | operand
//! ask      = factor ("+" | "-") factor
//! factor   = operand | "(" ask ")"
//! operand  = piece…              written side by side, as digits are
//! piece    = digits | "{" letter "}" | "{" letter ("+" | "-") digits "}"
//! ```
//!
//! An ask in parentheses is run first, and the model's own answer takes its place.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::arithmetic::Operation;

/// Longest template. Each of its questions is asked in each case.
const MAX_TEMPLATE_BYTES: usize = 1000;

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 16;

/// Errors in the text of a template.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// Something other than the expected part of a template.
    #[error("{text:?} at character {at}: expected {expected}, found {found}")]
    Unexpected {
        text: String,
        at: usize,
        expected: &'static str,
        found: String,
    },
    /// An offset next to other digits, where it is unclear what it is added to.
    #[error("{text:?}: {piece} has an offset, so no other digits may be next to it")]
    OffsetBeside { text: String, piece: String },
    /// A template longer than any question that can be asked.
    #[error("a template of {bytes} bytes, more than the {MAX_TEMPLATE_BYTES} that are read")]
    Long { bytes: usize },
    /// Parentheses within parentheses, deeper than anyone writes them.
    #[error("parentheses are nested deeper than {MAX_DEPTH}")]
    Deep,
    /// A number too long for any model.
    #[error("{text:?}: number {digits:?} is too long")]
    TooLong { text: String, digits: String },
}

/// A part of an operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePiece {
    /// Literal digits.
    Digits(String),
    /// A variable's digits at its full width, after adding the offset to its number.
    Variable {
        name: char,
        /// The number added to it.
        offset: i64,
    },
}

/// A known number, or a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// A known number.
    Number(Vec<TemplatePiece>),
    /// A question to the model.
    Ask(Box<Ask>),
}

/// Two operands and an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub first: Template,
    /// The operation.
    pub operation: Operation,
    pub second: Template,
}

impl Template {
    /// The letters of its variables.
    pub fn variables(&self) -> BTreeSet<char> {
        match self {
            Template::Number(pieces) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    TemplatePiece::Variable { name, .. } => Some(*name),
                    TemplatePiece::Digits(_) => None,
                })
                .collect(),
            Template::Ask(ask) => {
                let mut names = ask.first.variables();
                names.extend(ask.second.variables());
                names
            }
        }
    }

    /// The operations it uses.
    pub fn operations(&self) -> BTreeSet<Operation> {
        match self {
            Template::Number(_) => BTreeSet::new(),
            Template::Ask(ask) => {
                let mut operations = ask.first.operations();
                operations.extend(ask.second.operations());
                operations.insert(ask.operation);
                operations
            }
        }
    }

    /// All its questions, in the order in which they must be asked.
    pub fn asks(&self) -> Vec<&Ask> {
        match self {
            Template::Number(_) => Vec::new(),
            Template::Ask(ask) => {
                let mut asks = ask.first.asks();
                asks.extend(ask.second.asks());
                asks.push(ask);
                asks
            }
        }
    }
}

impl fmt::Display for TemplatePiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplatePiece::Digits(digits) => f.write_str(digits),
            TemplatePiece::Variable { name, offset: 0 } => write!(f, "{{{name}}}"),
            TemplatePiece::Variable { name, offset } => write!(f, "{{{name}{offset:+}}}"),
        }
    }
}

impl Template {
    fn write_factor(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Template::Number(_) => write!(f, "{self}"),
            Template::Ask(_) => write!(f, "({self})"),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Template::Number(pieces) => pieces.iter().try_for_each(|piece| piece.fmt(f)),
            Template::Ask(ask) => {
                ask.first.write_factor(f)?;
                write!(f, "{}", ask.operation)?;
                ask.second.write_factor(f)
            }
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::Long { bytes: text.len() });
        }
        let mut reader = TemplateReader {
            text,
            characters: text.chars().collect(),
            at: 0,
            depth: 0,
        };
        let template = reader.template()?;
        match reader.peek() {
            None => Ok(template),
            Some(_) => Err(reader.unexpected("the end")),
        }
    }
}

/// Longest run of digits read as a number: more than any operand has.
const MOST_DIGITS: usize = 38;

struct TemplateReader<'a> {
    text: &'a str,
    characters: Vec<char>,
    at: usize,
    /// Parentheses that are open.
    depth: usize,
}

impl TemplateReader<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn unexpected(&self, expected: &'static str) -> TemplateError {
        TemplateError::Unexpected {
            text: self.text.into(),
            at: self.at + 1,
            expected,
            found: self
                .peek()
                .map_or_else(|| "the end".to_owned(), |found| format!("{found:?}")),
        }
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), TemplateError> {
        if self.peek() != Some(wanted) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn operation(&mut self) -> Option<Operation> {
        let operation = match self.peek()? {
            '+' => Operation::Add,
            '-' => Operation::Sub,
            _ => return None,
        };
        self.at += 1;
        Some(operation)
    }

    fn template(&mut self) -> Result<Template, TemplateError> {
        let bracketed = self.peek() == Some('(');
        let first = self.factor()?;
        match self.operation() {
            Some(operation) => Ok(Template::Ask(Box::new(Ask {
                first,
                operation,
                second: self.factor()?,
            }))),
            None if bracketed => Err(self.unexpected("\"+\" or \"-\"")),
            None => Ok(first),
        }
    }

    fn factor(&mut self) -> Result<Template, TemplateError> {
        if self.peek() != Some('(') {
            return self.operand();
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::Deep);
        }
        let first = self.factor()?;
        let operation = self
            .operation()
            .ok_or_else(|| self.unexpected("\"+\" or \"-\""))?;
        let second = self.factor()?;
        self.expect(')', "\")\"")?;
        self.depth -= 1;
        Ok(Template::Ask(Box::new(Ask {
            first,
            operation,
            second,
        })))
    }

    fn operand(&mut self) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        while let Some(character) = self.peek() {
            match character {
                '{' => pieces.push(self.variable()?),
                c if c.is_ascii_digit() => pieces.push(TemplatePiece::Digits(self.digits()?)),
                _ => break,
            }
        }
        if pieces.is_empty() {
            return Err(self.unexpected("digits, a variable such as \"{a}\", or \"(\""));
        }
        let offset = pieces
            .iter()
            .find(|piece| matches!(piece, TemplatePiece::Variable { offset, .. } if *offset != 0));
        match offset {
            Some(piece) if pieces.len() > 1 => Err(TemplateError::OffsetBeside {
                text: self.text.into(),
                piece: piece.to_string(),
            }),
            _ => Ok(Template::Number(pieces)),
        }
    }

    fn variable(&mut self) -> Result<TemplatePiece, TemplateError> {
        self.at += 1;
        let name = self
            .peek()
            .filter(char::is_ascii_lowercase)
            .ok_or_else(|| self.unexpected("a letter a to z"))?;
        self.at += 1;
        let mut offset = 0;
        if let Some(operation) = self.operation() {
            let digits = self.digits()?;
            let size: i64 = digits.parse().map_err(|_| TemplateError::TooLong {
                text: self.text.into(),
                digits,
            })?;
            offset = match operation {
                Operation::Add => size,
                Operation::Sub => -size,
            };
        }
        self.expect('}', "\"}\"")?;
        Ok(TemplatePiece::Variable { name, offset })
    }

    fn digits(&mut self) -> Result<String, TemplateError> {
        let rest = self.characters[self.at..].iter();
        let digits: String = rest.take_while(|c| c.is_ascii_digit()).collect();
        if digits.is_empty() {
            return Err(self.unexpected("digits"));
        }
        if digits.len() > MOST_DIGITS {
            return Err(TemplateError::TooLong {
                text: self.text.into(),
                digits,
            });
        }
        self.at += digits.len();
        Ok(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        text.parse::<Template>().unwrap_err().to_string()
    }

    #[test]
    fn what_a_template_does_not_expect_is_shown_with_its_place() {
        assert_eq!(
            refusal("{a}*{b}"),
            "\"{a}*{b}\" at character 4: expected the end, found '*'"
        );
        assert_eq!(
            refusal("{a}+"),
            "\"{a}+\" at character 5: expected digits, a variable such as \"{a}\", or \"(\", found the end"
        );
        assert_eq!(
            refusal("({a}+{b}"),
            "\"({a}+{b}\" at character 9: expected \")\", found the end"
        );
        assert_eq!(
            refusal("{A}"),
            "\"{A}\" at character 2: expected a letter a to z, found 'A'"
        );
    }

    #[test]
    fn an_offset_beside_other_digits_is_refused() {
        assert_eq!(
            refusal("1{a+1}+{b}"),
            "\"1{a+1}+{b}\": {a+1} has an offset, so no other digits may be next to it"
        );
    }

    #[test]
    fn asks_come_in_the_order_in_which_they_are_asked() {
        let template: Template = "({a}+{b})-({c}-1)".parse().unwrap();
        let asks: Vec<Operation> = template.asks().iter().map(|ask| ask.operation).collect();
        assert_eq!(asks, [Operation::Add, Operation::Sub, Operation::Sub]);
        assert_eq!(template.variables(), BTreeSet::from(['a', 'b', 'c']));
    }

    fn templates() -> impl Strategy<Value = Template> {
        let piece = prop_oneof![
            "[0-9]{1,4}".prop_map(TemplatePiece::Digits),
            proptest::char::range('a', 'z')
                .prop_map(|name| TemplatePiece::Variable { name, offset: 0 }),
        ];
        // Adjacent runs of digits would read back as one.
        let apart = |pieces: &Vec<TemplatePiece>| {
            !pieces
                .windows(2)
                .any(|pair| pair.iter().all(|p| matches!(p, TemplatePiece::Digits(_))))
        };
        let number = prop_oneof![
            proptest::collection::vec(piece, 1..4).prop_filter("digits beside digits", apart),
            (proptest::char::range('a', 'z'), -99i64..99)
                .prop_map(|(name, offset)| vec![TemplatePiece::Variable { name, offset }]),
        ]
        .prop_map(Template::Number);
        number.prop_recursive(3, 8, 2, |inner| {
            (inner.clone(), any::<bool>(), inner).prop_map(|(first, add, second)| {
                let operation = if add { Operation::Add } else { Operation::Sub };
                Template::Ask(Box::new(Ask {
                    first,
                    operation,
                    second,
                }))
            })
        })
    }

    proptest! {
        #[test]
        fn templates_round_trip(template in templates()) {
            prop_assert_eq!(template.to_string().parse(), Ok(template));
        }
    }
}
