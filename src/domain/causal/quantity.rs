//! Quantities a node may represent beyond the variables of tasks: the digits of a column, their sum
//! or difference, the resolved carry out of a column, and two such parts at once.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{affected_tokens, base_value, carry_out, classes, predict, tri_case};
use crate::domain::arithmetic::{
    Answer, AnswerToken, Class, Operation, Prompt, Question, TokenSet,
};
use crate::domain::task::{Task, Variable};

/// Something that has a value on each question of its classes, and that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// A task's variable.
    Task(Variable),
    /// A part of one column.
    Column(ColumnQuantity),
    /// Two column parts of one class, replaced together.
    Both(ColumnQuantity, ColumnQuantity),
}

/// A part of a column, on the questions of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnQuantity {
    pub part: ColumnPart,
    /// The column, units at 0.
    pub digit: usize,
    pub class: Class,
}

/// The part of a column that is replaced; everything that depends on it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnPart {
    /// The first operand's digit, Dn.
    First,
    /// The second operand's digit, D′n.
    Second,
    /// Dn + D′n, or Dn − D′n.
    Whole,
    /// The base value alone: the answer digit before a carry or borrow in.
    Base,
    /// The tri-case alone.
    Tri,
    /// The carry or borrow out of the column, including the effect of the columns below.
    Resolved,
}

impl From<Variable> for Quantity {
    fn from(variable: Variable) -> Self {
        Quantity::Task(variable)
    }
}

impl fmt::Display for ColumnQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let k = self.digit;
        match (self.part, self.class) {
            (ColumnPart::First, _) => write!(f, "D{k}"),
            (ColumnPart::Second, _) => write!(f, "D'{k}"),
            (ColumnPart::Whole, Class::Add) => write!(f, "D{k}+D'{k}"),
            (ColumnPart::Whole, _) => write!(f, "D{k}-D'{k}"),
            (ColumnPart::Base, _) => write!(f, "base {k}"),
            (ColumnPart::Tri, _) => write!(f, "tri-case {k}"),
            (ColumnPart::Resolved, Class::Add) => write!(f, "carry out of {k}"),
            (ColumnPart::Resolved, _) => write!(f, "borrow out of {k}"),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Task(variable) => variable.fmt(f),
            Quantity::Column(part) => write!(f, "{part} ({})", part.class),
            Quantity::Both(first, second) => write!(f, "{first} and {second} ({})", first.class),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Quantity {
    /// The classes of question it is about.
    pub fn classes(&self) -> Vec<Class> {
        match self {
            Quantity::Task(variable) => classes(variable.task).to_vec(),
            Quantity::Column(part) | Quantity::Both(part, _) => vec![part.class],
        }
    }

    /// Whether only the direction of a change is predicted, not that it occurs.
    pub fn predicts_only_direction(&self) -> bool {
        match self {
            Quantity::Task(variable) => variable.task.predicts_only_direction(),
            _ => false,
        }
    }

    /// Whether it may change several tokens, so that the affected tokens must be measured.
    pub fn reaches_several(&self) -> bool {
        match self {
            Quantity::Task(variable) => matches!(
                variable.task,
                Task::St | Task::Mt | Task::Sv | Task::Gt | Task::Opr | Task::Sgn | Task::Slt
            ),
            _ => true,
        }
    }

    /// The answer predicted for `base` if this quantity has its value on `source`; `None` if it has
    /// none there, or if the order of a subtraction's operands would reverse.
    pub fn predict(&self, source: &Prompt, base: &Question) -> Option<Answer> {
        match self {
            Quantity::Task(variable) => predict(*variable, source, base),
            Quantity::Column(part) => replaced(&[*part], &source.question, base),
            Quantity::Both(first, second) => replaced(&[*first, *second], &source.question, base),
        }
    }

    /// The tokens that replacing it can change, in a model of `n_digits`.
    pub fn affected_tokens(&self, n_digits: usize) -> TokenSet {
        match self {
            Quantity::Task(variable) => affected_tokens(*variable, n_digits),
            Quantity::Column(part) => part.affected_tokens(n_digits),
            Quantity::Both(first, second) => first
                .affected_tokens(n_digits)
                .union(second.affected_tokens(n_digits)),
        }
    }
}

impl ColumnQuantity {
    pub(super) fn affected_tokens(&self, n_digits: usize) -> TokenSet {
        let k = self.digit;
        let highest = match self.class {
            Class::Add => n_digits,
            Class::Sub | Class::Neg => n_digits - 1,
        };
        let (lowest, highest) = match self.part {
            ColumnPart::First | ColumnPart::Second | ColumnPart::Whole => (k, highest),
            ColumnPart::Base => (k, k),
            ColumnPart::Tri | ColumnPart::Resolved => (k + 1, highest),
        };
        (lowest..=highest).map(AnswerToken).collect()
    }

    /// A key for the value of a column part; `None` for a part that depends on other columns.
    pub(super) fn key(&self, (x, y): (u8, u8)) -> Option<u8> {
        match self.part {
            ColumnPart::First => Some(x),
            ColumnPart::Second => Some(y),
            ColumnPart::Whole if self.class == Class::Add => Some(x + y),
            ColumnPart::Whole => Some(10 + x - y),
            ColumnPart::Base => Some(base_value((x, y), self.class)),
            ColumnPart::Tri => Some((tri_case((x, y), operation(self.class)) as i8 + 1) as u8),
            ColumnPart::Resolved => None,
        }
    }
}

fn operation(class: Class) -> Operation {
    match class {
        Class::Add => Operation::Add,
        Class::Sub | Class::Neg => Operation::Sub,
    }
}

/// The carry or borrow out of column `k`.
fn resolved(question: &Question, k: usize) -> bool {
    super::carry_into(question, k + 1)
}

/// The answer to `base` with these parts at their values on `source`.
fn replaced(parts: &[ColumnQuantity], source: &Question, base: &Question) -> Option<Answer> {
    let (class, n_digits) = (base.class(), base.n_digits());
    let fits = |part: &ColumnQuantity| part.class == class && part.digit < n_digits;
    if source.class() != class || !parts.iter().all(fits) {
        return None;
    }
    let mut columns: Vec<(u8, u8)> = (0..n_digits).map(|k| base.column(k)).collect();
    for part in parts {
        let k = part.digit;
        match part.part {
            ColumnPart::First => columns[k].0 = source.column(k).0,
            ColumnPart::Second => columns[k].1 = source.column(k).1,
            ColumnPart::Whole => columns[k] = source.column(k),
            ColumnPart::Base | ColumnPart::Tri | ColumnPart::Resolved => {}
        }
    }
    let operation = base.operation();
    let mut bases: Vec<u8> = columns.iter().map(|&c| base_value(c, class)).collect();
    let mut tris: Vec<Ordering> = columns.iter().map(|&c| tri_case(c, operation)).collect();
    let mut out: Vec<Option<bool>> = vec![None; n_digits];
    for part in parts {
        let k = part.digit;
        match part.part {
            ColumnPart::Base => bases[k] = base_value(source.column(k), class),
            ColumnPart::Tri => tris[k] = tri_case(source.column(k), operation),
            ColumnPart::Resolved => out[k] = Some(resolved(source, k)),
            ColumnPart::First | ColumnPart::Second | ColumnPart::Whole => {}
        }
    }
    if class != Class::Add {
        let highest = tris.iter().rev().find(|&&tri| tri != Ordering::Equal);
        if (highest == Some(&Ordering::Less)) != (class == Class::Neg) {
            return None;
        }
    }
    let mut answer = Answer::of(base);
    let mut carry = false;
    for k in 0..n_digits {
        answer.set(AnswerToken(k), super::digit(bases[k], carry, class));
        carry = out[k].unwrap_or_else(|| carry_out(tris[k], carry, class));
    }
    let top = super::digit(0, class == Class::Add && carry, class);
    answer.set(AnswerToken(n_digits), top);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::causal::{Family, Kind, Space};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const PARTS: [ColumnPart; 6] = [
        ColumnPart::First,
        ColumnPart::Second,
        ColumnPart::Whole,
        ColumnPart::Base,
        ColumnPart::Tri,
        ColumnPart::Resolved,
    ];

    fn part(part: ColumnPart, digit: usize, class: Class) -> ColumnQuantity {
        ColumnQuantity { part, digit, class }
    }

    fn predicted(part: ColumnQuantity, source: &str, base: &str) -> Option<String> {
        let question = |text| Question::parse(text, 5).unwrap();
        Quantity::Column(part)
            .predict(&Prompt::truth(question(source)), &question(base))
            .map(|answer| answer.to_string())
    }

    #[test]
    fn predictions_by_hand() {
        // D1 becomes 9: 12395+23456 = 35851.
        let first = part(ColumnPart::First, 1, Class::Add);
        assert_eq!(
            predicted(first, "00090+00000", "12345+23456").unwrap(),
            "+035851"
        );
        let whole = part(ColumnPart::Whole, 1, Class::Add);
        // 4+5 becomes 9+9, with a carry in: 18+1, so 9 and a carry.
        assert_eq!(
            predicted(whole, "00090+00090", "12345+23456").unwrap(),
            "+035891"
        );
        let base = part(ColumnPart::Base, 1, Class::Add);
        assert_eq!(
            predicted(base, "00090+00090", "12345+23456").unwrap(),
            "+035891"
        );
        // The carry out of 0 is lost.
        let out = part(ColumnPart::Resolved, 0, Class::Add);
        assert_eq!(
            predicted(out, "00000+00000", "12345+23456").unwrap(),
            "+035791"
        );
        let second = part(ColumnPart::Second, 0, Class::Neg);
        // 00002-10009 = -10007.
        assert_eq!(
            predicted(second, "00000-00009", "00002-10000").unwrap(),
            "-010007"
        );
        // The order would reverse.
        let top = part(ColumnPart::First, 4, Class::Sub);
        assert_eq!(predicted(top, "10000-00000", "50000-20000"), None);
        // Another class.
        assert_eq!(predicted(top, "10000+00000", "50000-20000"), None);
    }

    #[test]
    fn replacing_digits_is_asking_the_question_with_these_digits() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for class in Class::ALL {
            let sampler = Space::of_class(class, 4).sampler();
            for _ in 0..500 {
                let (source, base) = (sampler.draw(&mut rng), sampler.draw(&mut rng));
                for digit in 0..4 {
                    let power = crate::domain::arithmetic::power_of_ten(digit);
                    let (own, stored) = (base.column(digit).0, source.column(digit).0);
                    let first = base.first() - u128::from(own) * power + u128::from(stored) * power;
                    let asked = Question::new(first, base.operation(), base.second(), 4);
                    let quantity = Quantity::Column(part(ColumnPart::First, digit, class));
                    let expected = (asked.class() == class).then(|| Answer::of(&asked));
                    assert_eq!(quantity.predict(&Prompt::truth(source), &base), expected);
                }
            }
        }
    }

    #[test]
    fn parts_that_tasks_name_are_predicted_as_the_tasks_are() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for (task, named, class) in [
            (Task::Sa, ColumnPart::Base, Class::Add),
            (Task::Md, ColumnPart::Base, Class::Sub),
            (Task::Nd, ColumnPart::Base, Class::Neg),
            (Task::St, ColumnPart::Tri, Class::Add),
            (Task::Sv, ColumnPart::Resolved, Class::Add),
        ] {
            let sampler = Space::of_class(class, 4).sampler();
            for _ in 0..500 {
                let (source, base) = (sampler.draw(&mut rng), sampler.draw(&mut rng));
                let source = Prompt::truth(source);
                for digit in 0..4 {
                    let variable = Variable {
                        task,
                        digit: Some(digit),
                    };
                    assert_eq!(
                        Quantity::Column(part(named, digit, class)).predict(&source, &base),
                        predict(variable, &source, &base)
                    );
                }
            }
        }
    }

    #[test]
    fn counterfactual_pairs_predict_a_change_of_affected_tokens_and_control_pairs_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for class in Class::ALL {
            for digit in 0..3 {
                let singles = PARTS.map(|p| Quantity::Column(part(p, digit, class)));
                let other = part(ColumnPart::First, (digit + 1) % 3, class);
                let both = PARTS.map(|p| Quantity::Both(part(p, digit, class), other));
                for quantity in singles.into_iter().chain(both) {
                    for kind in [Kind::Counterfactual, Kind::Control] {
                        let family = Family::new(quantity, kind, 3);
                        let mut drawn = 0;
                        for (_, pair) in family.draws().take(60, &mut rng) {
                            let answer = quantity.predict(&pair.source, &pair.base).unwrap();
                            let changed = answer.changed_from(&Answer::of(&pair.base));
                            assert_eq!(changed.is_empty(), kind == Kind::Control, "{quantity}");
                            let beyond = changed.difference(quantity.affected_tokens(3));
                            assert!(beyond.is_empty(), "{quantity} {pair:?}");
                            drawn += 1;
                        }
                        // The top column has no borrow out.
                        let never = digit == 2 && class != Class::Add;
                        assert!(drawn == 60 || never, "{quantity} {kind:?}: {drawn}");
                    }
                }
            }
        }
    }
}
