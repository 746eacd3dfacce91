//! The expressions of a hypothesis: numbers, token positions, ranges, and patterns of claims.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;

use crate::domain::arithmetic::AnswerToken;
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::inputs::claims::Claim;

/// Largest literal: above any digit of a model, and small enough that a range of them is short.
const MAX_LITERAL: isize = 99;

/// A number: `n`, `N` (the digits of an operand) or a literal, plus or minus an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Number {
    base: NumberBase,
    plus: isize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberBase {
    Running,
    Digits,
    Zero,
}

impl Number {
    /// The value for a given `n`; `None` if negative.
    pub fn value(&self, n: usize, shape: &Shape) -> Option<usize> {
        let base = match self.base {
            NumberBase::Running => n,
            NumberBase::Digits => shape.n_digits,
            NumberBase::Zero => 0,
        };
        base.checked_add_signed(self.plus)
    }

    /// Whether the value depends on `n`.
    pub fn is_running(&self) -> bool {
        self.base == NumberBase::Running
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "invalid number {text:?}: expected n, N or a literal, optionally followed by + or - and a literal"
            )
        };
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (first, rest) = match compact.find(['+', '-']) {
            Some(at) => compact.split_at(at),
            None => (compact.as_str(), ""),
        };
        let digits = |text: &str| -> Result<isize, String> {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            match text.parse() {
                Ok(number) if number <= MAX_LITERAL => Ok(number),
                _ => Err(format!("{text:?} is larger than {MAX_LITERAL}")),
            }
        };
        let (base, literal) = match first {
            "n" => (NumberBase::Running, 0),
            "N" => (NumberBase::Digits, 0),
            other => (NumberBase::Zero, digits(other)?),
        };
        let plus = match rest.split_at_checked(1) {
            Some(("+", number)) => digits(number)?,
            Some(("-", number)) => -digits(number)?,
            _ => 0,
        };
        Ok(Number {
            base,
            plus: literal + plus,
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match self.base {
            NumberBase::Running => "n",
            NumberBase::Digits => "N",
            NumberBase::Zero => return write!(f, "{}", self.plus),
        };
        match self.plus {
            0 => f.write_str(base),
            plus => write!(f, "{base}{plus:+}"),
        }
    }
}

/// The digits a clause is about: `0 to N-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Digits {
    from: Number,
    to: Number,
}

impl Digits {
    /// This digit alone.
    pub const fn only(digit: usize) -> Self {
        let number = Number {
            base: NumberBase::Zero,
            plus: digit as isize,
        };
        Digits {
            from: number,
            to: number,
        }
    }

    /// The digits in a model; empty if the first is above the last.
    pub fn values(&self, shape: &Shape) -> Range<usize> {
        let from = self.from.value(0, shape).unwrap_or(0);
        let to = self.to.value(0, shape).map_or(0, |to| to + 1);
        from..to
    }
}

impl TryFrom<String> for Digits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (from, to) = text.split_once(" to ").ok_or_else(|| {
            format!("invalid digit range {text:?}: expected one such as 0 to N-1")
        })?;
        let number = |part: &str| -> Result<Number, String> {
            let number = Number::try_from(part.trim().to_owned())?;
            match number.is_running() {
                true => Err(format!("{text:?}: a range for n cannot itself depend on n")),
                false => Ok(number),
            }
        };
        Ok(Digits {
            from: number(from)?,
            to: number(to)?,
        })
    }
}

/// A token position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    /// `D(k)`: digit k of the first operand.
    First(Number),
    /// `D'(k)`: digit k of the second.
    Second(Number),
    /// `op`: the operator.
    Operator,
    /// `=`, whose logits predict the sign.
    Equals,
    /// `sign`: the answer's sign.
    Sign,
    /// `A(k)`: digit k of the answer.
    Answer(Number),
    /// `predicts(k)`: the position that predicts digit k of the answer.
    Predicts(Number),
}

impl Place {
    /// The position; `None` where the question has no such digit.
    pub fn position(&self, n: usize, shape: &Shape) -> Option<usize> {
        let operand = |k: &Number| k.value(n, shape).filter(|&k| k < shape.n_digits);
        let answer = |k: &Number| {
            k.value(n, shape)
                .map(AnswerToken)
                .filter(|&t| t <= shape.sign_token())
        };
        match self {
            Place::First(k) => operand(k).map(|k| shape.first_operand(k)),
            Place::Second(k) => operand(k).map(|k| shape.second_operand(k)),
            Place::Operator => Some(shape.operator()),
            Place::Equals => Some(shape.first_answer_position()),
            Place::Sign => Some(shape.sign()),
            Place::Answer(k) => answer(k).map(|token| shape.position_of(token)),
            Place::Predicts(k) => answer(k).map(|token| shape.predicting(token)),
        }
    }
}

impl Place {
    /// Whether the position depends on `n`.
    pub fn is_running(&self) -> bool {
        match self {
            Place::First(k) | Place::Second(k) | Place::Answer(k) | Place::Predicts(k) => {
                k.is_running()
            }
            Place::Operator | Place::Equals | Place::Sign => false,
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "invalid position {text:?}: expected op, =, sign, D(k), D'(k), A(k) or predicts(k)"
            )
        };
        match text.trim() {
            "op" => return Ok(Place::Operator),
            "=" => return Ok(Place::Equals),
            "sign" => return Ok(Place::Sign),
            _ => {}
        }
        let (name, rest) = text.trim().split_once('(').ok_or_else(wrong)?;
        let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
        let number = Number::try_from(inside.to_owned())?;
        match name {
            "D" => Ok(Place::First(number)),
            "D'" => Ok(Place::Second(number)),
            "A" => Ok(Place::Answer(number)),
            "predicts" => Ok(Place::Predicts(number)),
            _ => Err(wrong()),
        }
    }
}

/// A condition on a node's position: comparisons joined by `and`, such as `> op and <=
/// predicts(n)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Where {
    text: String,
    all: Vec<(PlaceComparison, Place)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlaceComparison {
    Before,
    UpTo,
    At,
    From,
    After,
}

const COMPARISONS: [(&str, PlaceComparison); 5] = [
    ("<=", PlaceComparison::UpTo),
    (">=", PlaceComparison::From),
    ("==", PlaceComparison::At),
    ("<", PlaceComparison::Before),
    (">", PlaceComparison::After),
];

impl Where {
    /// Whether a position satisfies every comparison; one with a position the question does not
    /// have is never satisfied.
    pub fn holds(&self, position: usize, n: usize, shape: &Shape) -> bool {
        self.all.iter().all(|(comparison, place)| {
            let Some(place) = place.position(n, shape) else {
                return false;
            };
            match comparison {
                PlaceComparison::Before => position < place,
                PlaceComparison::UpTo => position <= place,
                PlaceComparison::At => position == place,
                PlaceComparison::From => position >= place,
                PlaceComparison::After => position > place,
            }
        })
    }
}

impl Where {
    /// Whether the condition depends on `n`.
    pub fn is_running(&self) -> bool {
        self.all.iter().any(|(_, place)| place.is_running())
    }
}

impl TryFrom<String> for Where {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let all = text
            .split(" and ")
            .map(|part| {
                let part = part.trim();
                let (sign, comparison) = COMPARISONS
                    .into_iter()
                    .find(|(sign, _)| part.starts_with(sign))
                    .ok_or_else(|| {
                        format!("{part:?} is not a comparison: expected <, <=, ==, >= or > and a position")
                    })?;
                Ok((comparison, Place::try_from(part[sign.len()..].trim().to_owned())?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Where { text, all })
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A variable whose digit may depend on `n`: `SA n`, `MT n-1`, `OPR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    task: Task,
    digit: Option<Number>,
}

impl Pattern {
    /// The variable for a given `n`; `None` if the model has no such digit.
    pub fn variable(&self, n: usize, shape: &Shape) -> Option<Variable> {
        let digit = match self.digit {
            Some(number) => Some(number.value(n, shape).filter(|&k| k <= shape.n_digits)?),
            None => None,
        };
        Some(Variable {
            task: self.task,
            digit,
        })
    }
}

impl Pattern {
    /// Whether the digit depends on `n`.
    pub fn is_running(&self) -> bool {
        self.digit.is_some_and(|number| number.is_running())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digit {
            Some(digit) => write!(f, "{} {digit}", self.task),
            None => self.task.fmt(f),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (task, digit) = match text.trim().split_once(' ') {
            Some((task, digit)) => (task, Some(Number::try_from(digit.to_owned())?)),
            None => (text.trim(), None),
        };
        let task: Task = task.parse().map_err(|error| format!("{error}"))?;
        match (task.takes_digit(), digit.is_some()) {
            (true, false) => Err(format!("task {task} needs a digit, such as {task} n")),
            (false, true) => Err(format!(
                "task {task} takes no digit, but {text:?} names one"
            )),
            _ => Ok(Pattern { task, digit }),
        }
    }
}

/// The target of an edge: another claim, `STC n`, or an answer token, `A(n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Fed {
    Claim(Pattern),
    Token(Number),
}

impl Fed {
    /// The answer token, if it is one and the model has it.
    pub fn token(&self, n: usize, shape: &Shape) -> Option<AnswerToken> {
        match self {
            Fed::Token(number) => number
                .value(n, shape)
                .map(AnswerToken)
                .filter(|&token| token <= shape.sign_token()),
            Fed::Claim(_) => None,
        }
    }
}

impl Fed {
    /// Whether the target depends on `n`.
    pub fn is_running(&self) -> bool {
        match self {
            Fed::Claim(pattern) => pattern.is_running(),
            Fed::Token(number) => number.is_running(),
        }
    }
}

impl TryFrom<String> for Fed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text
            .strip_prefix("A(")
            .and_then(|rest| rest.strip_suffix(')'))
        {
            Some(number) => Ok(Fed::Token(Number::try_from(number.to_owned())?)),
            None => Ok(Fed::Claim(Pattern::try_from(text)?)),
        }
    }
}

/// One side of an order: a claim or a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OrderSide {
    Claim(Pattern),
    Place(Place),
}

impl OrderSide {
    /// Whether the side depends on `n`.
    pub fn is_running(&self) -> bool {
        match self {
            OrderSide::Claim(pattern) => pattern.is_running(),
            OrderSide::Place(place) => place.is_running(),
        }
    }
}

impl TryFrom<String> for OrderSide {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Place::try_from(text.clone()) {
            Ok(place) => Ok(OrderSide::Place(place)),
            Err(no_place) => Pattern::try_from(text)
                .map(OrderSide::Claim)
                .map_err(|no_claim| format!("{no_claim}; {no_place}")),
        }
    }
}

/// A claim about a set of nodes: `A0.SA P17L0H1 P17L0H3`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SetClaim {
    pub variable: Variable,
    /// The nodes, not yet checked against a model.
    pub nodes: Vec<crate::domain::node::NodeName>,
}

impl TryFrom<String> for SetClaim {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let variable = words.next().unwrap_or_default();
        let nodes = words
            .map(|word| word.parse().map_err(|error| format!("{error}")))
            .collect::<Result<Vec<crate::domain::node::NodeName>, String>>()?;
        let Some(&first) = nodes.first() else {
            return Err(format!(
                "{text:?} has no node: expected a claim such as A0.SA P17L0H1 P17L0H3"
            ));
        };
        let claim = Claim::parse(first, variable);
        let variable = claim.variable.map_err(|error| format!("{error}"))?;
        Ok(SetClaim { variable, nodes })
    }
}

impl fmt::Display for SetClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.variable.fmt(f)?;
        self.nodes.iter().try_for_each(|node| write!(f, " {node}"))
    }
}
