//! The causal model of the tasks: the value of each task's variable on a question, and the answer
//! that follows when that one variable is replaced. Integer arithmetic only; it never runs the
//! network.

mod alike;
mod canonical;
mod feeds;
mod implies;
mod pairs;
mod quantity;
mod space;
mod stimuli;

pub use alike::alike;
pub use canonical::{Canonical, Expectation, canonical_pairs, impact_text};
pub use feeds::{affected_tokens, feeds, responds};
pub use implies::implies;
pub use pairs::{Draws, Family, Kind, Pair, Stratum};
pub use quantity::{ColumnPart, ColumnQuantity, Quantity};
pub use space::{Sampler, Space};
pub use stimuli::{Case, Coupling, Stimulus, StimulusName, UnknownStimulus, case_of};

use std::cmp::Ordering;

use super::arithmetic::{
    Answer, AnswerToken, Class, Operation, Prompt, Question, Token, power_of_ten,
};
use super::task::{Task, Variable};

/// The value of a variable on one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A digit's base sum or difference, 0 to 9.
    Base(u8),
    /// A column's tri-case: its sum against 9, or its first digit against its second.
    Tri(Ordering),
    /// A carry, or a borrow.
    Carry(bool),
    Asked(Operation),
    /// Whether the answer's sign, as forced, is `-`.
    Negative(bool),
}

/// The classes of question a task is about.
pub fn classes(task: Task) -> &'static [Class] {
    match task {
        Task::Sa | Task::Sc | Task::Ss | Task::St | Task::Sv | Task::Stc => &[Class::Add],
        Task::Md | Task::Mb | Task::Mz | Task::Mtc => &[Class::Sub],
        Task::Nd | Task::Nb | Task::Ntc => &[Class::Neg],
        Task::Mt | Task::Gt | Task::Sgn => &[Class::Sub, Class::Neg],
        Task::Opr | Task::Slt => &[Class::Add, Class::Sub, Class::Neg],
    }
}

/// Whether a variable is defined for a model of `n_digits` that answers these classes: the model
/// needs its digit, and every class that it is about.
pub fn is_defined(variable: Variable, answered: &[Class], n_digits: usize) -> bool {
    let is_answered = |class| answered.contains(class);
    variable.fits(n_digits) && classes(variable.task).iter().all(is_answered)
}

/// The base value of a column: its answer digit before a carry or borrow in.
fn base_value((x, y): (u8, u8), class: Class) -> u8 {
    match class {
        Class::Add => (x + y) % 10,
        Class::Sub => (10 + x - y) % 10,
        Class::Neg => (10 + y - x) % 10,
    }
}

/// The tri-case of a column: its sum against 9, or its first digit against its second.
fn tri_case((x, y): (u8, u8), operation: Operation) -> Ordering {
    match operation {
        Operation::Add => (x + y).cmp(&9),
        Operation::Sub => x.cmp(&y),
    }
}

/// The tri-case that generates a carry (ADD) or a borrow (SUB, NEG) whatever the carry in.
fn makes(class: Class) -> Ordering {
    match class {
        Class::Add | Class::Neg => Ordering::Greater,
        Class::Sub => Ordering::Less,
    }
}

/// The carry out of a column with tri-case `tri`, given the carry in.
fn carry_out(tri: Ordering, carry: bool, class: Class) -> bool {
    match tri {
        Ordering::Equal => carry,
        _ => tri == makes(class),
    }
}

/// The carry (ADD) or borrow (SUB, NEG) into column `k`.
pub fn carry_into(question: &Question, k: usize) -> bool {
    let class = question.class();
    (0..k).fold(false, |carry, below| {
        let tri = tri_case(question.column(below), question.operation());
        carry_out(tri, carry, class)
    })
}

/// The answer digit for a base value and a carry in.
fn digit(base: u8, carry: bool, class: Class) -> Token {
    match class {
        Class::Add => (base + u8::from(carry)) % 10,
        Class::Sub | Class::Neg => (10 + base - u8::from(carry)) % 10,
    }
}

/// The value of a variable on a prompt; `None` outside the variable's domain (another class, a
/// column for which it is undefined, a digit the question does not have).
pub fn value(variable: Variable, prompt: &Prompt) -> Option<Value> {
    let question = &prompt.question;
    let class = question.class();
    if !classes(variable.task).contains(&class) {
        return None;
    }
    let n_digits = question.n_digits();
    let tri = |k: usize| tri_case(question.column(k), question.operation());
    let column = variable.digit.filter(|&k| k < n_digits);
    match variable.task {
        Task::Sa | Task::Md | Task::Nd => {
            column.map(|k| Value::Base(base_value(question.column(k), class)))
        }
        Task::Sc | Task::Mb | Task::Nb => column
            .filter(|&k| tri(k) != Ordering::Equal)
            .map(|k| Value::Carry(tri(k) == makes(class))),
        Task::Ss | Task::Mz => column
            .filter(|&k| k > 0 && tri(k) == Ordering::Equal)
            .map(|k| Value::Carry(carry_into(question, k))),
        Task::St | Task::Mt => column.map(|k| Value::Tri(tri(k))),
        Task::Sv => column.map(|k| Value::Carry(carry_into(question, k + 1))),
        Task::Gt => column
            .filter(|&k| tri(k) != Ordering::Equal)
            .map(|k| Value::Tri(tri(k))),
        Task::Stc | Task::Mtc | Task::Ntc => variable
            .digit
            .filter(|&k| k <= n_digits)
            .map(|k| Value::Carry(carry_into(question, k))),
        Task::Opr => Some(Value::Asked(question.operation())),
        Task::Sgn => Some(Value::Negative(prompt.forced.is_negative())),
        // SLT depends on both; the pair determines which of the two was replaced.
        Task::Slt => Some(Value::Asked(question.operation())),
    }
}

/// Whether every column above `k` has equal digits, so that digit `k` can decide the order.
fn equal_above(question: &Question, k: usize) -> bool {
    (k + 1..question.n_digits()).all(|above| {
        let (x, y) = question.column(above);
        x == y
    })
}

/// The answer to `base` if the carry out of column `k` is `carry`, with columns above propagating
/// or stopping it.
fn with_carry_out(base: &Question, k: usize, carry: bool) -> Answer {
    let class = base.class();
    let mut answer = Answer::of(base);
    let mut carry = carry;
    for above in k + 1..=base.n_digits() {
        let column = base.column(above);
        answer.set(
            AnswerToken(above),
            digit(base_value(column, class), carry, class),
        );
        carry = carry_out(tri_case(column, base.operation()), carry, class);
    }
    answer
}

/// The ten's complement of a subtraction's digits, with the other sign. The top digit is kept,
/// since it is zero in every subtraction.
pub fn with_other_sign(base: &Question) -> Answer {
    let modulus = power_of_ten(base.n_digits());
    let magnitude = base.first().abs_diff(base.second());
    let complement = (modulus - magnitude) % modulus;
    Answer::from_integer(base.first() < base.second(), complement, base.n_digits())
}

/// The answer to `base` if `variable` has the value `value` and everything else is unchanged.
///
/// For OPR, SGN and SLT this is the answer *towards which* tokens may move: the answer for the
/// other operation, or with the other sign.
pub fn with_value(variable: Variable, value: Value, base: &Question) -> Answer {
    let class = base.class();
    let mut answer = Answer::of(base);
    let set = |answer: &mut Answer, place: usize, value: u8, carry: bool| {
        answer.set(AnswerToken(place), digit(value, carry, class));
    };
    match (variable.task, value) {
        (Task::Sa | Task::Md | Task::Nd, Value::Base(value)) => {
            let k = digit_of(variable);
            set(&mut answer, k, value, carry_into(base, k));
        }
        (Task::Sc | Task::Mb | Task::Nb | Task::Ss | Task::Mz, Value::Carry(carry)) => {
            let place = digit_of(variable) + 1;
            set(
                &mut answer,
                place,
                base_value(base.column(place), class),
                carry,
            );
        }
        (Task::St, Value::Tri(tri)) => {
            let k = digit_of(variable);
            let carry = carry_out(tri, carry_into(base, k), class);
            answer = with_carry_out(base, k, carry);
        }
        (Task::Mt, Value::Tri(tri)) => {
            let k = digit_of(variable);
            if equal_above(base, k) {
                answer = with_order(base, k, tri);
            } else {
                let carry = carry_out(tri, carry_into(base, k), class);
                answer = with_carry_out(base, k, carry);
            }
        }
        (Task::Gt, Value::Tri(tri)) => {
            let k = digit_of(variable);
            if equal_above(base, k) {
                answer = with_order(base, k, tri);
            }
        }
        (Task::Sv, Value::Carry(carry)) => {
            answer = with_carry_out(base, digit_of(variable), carry);
        }
        (Task::Stc | Task::Mtc | Task::Ntc, Value::Carry(carry)) => {
            let k = digit_of(variable);
            set(&mut answer, k, base_value(base.column(k), class), carry);
        }
        (Task::Opr | Task::Slt, Value::Asked(operation)) => {
            if operation != base.operation() {
                answer = Answer::of(&base.with_other_operation());
            }
        }
        (Task::Sgn | Task::Slt, Value::Negative(negative)) => {
            if class != Class::Add && negative != (class == Class::Neg) {
                answer = with_other_sign(base);
            }
        }
        (task, value) => unreachable!("{task} never has the value {value:?}"),
    }
    answer
}

/// The digit of a variable whose task takes one.
fn digit_of(variable: Variable) -> usize {
    variable
        .digit
        .expect("a variable of a task with digits has one")
}

/// The answer to `base` with only the sign changed to what the order of the operands would be if
/// column `k` had tri-case `tri` and all columns above it were equal.
fn with_order(base: &Question, k: usize, tri: Ordering) -> Answer {
    let below = power_of_ten(k);
    let order = tri.then((base.first() % below).cmp(&(base.second() % below)));
    let answer = Answer::of(base);
    if (order == Ordering::Less) == answer.is_negative() {
        answer
    } else {
        answer.with_sign_flipped()
    }
}

/// The answer predicted for `base` when `variable` takes its value on `source`. `None` if the
/// source is outside the variable's domain, or if the sign of equal operands would have to flip:
/// zero has no other sign.
pub fn predict(variable: Variable, source: &Prompt, base: &Question) -> Option<Answer> {
    let value = match variable.task {
        // The pair determines which half of SLT it replaces: the sign, otherwise the operation.
        Task::Slt if source.question == *base => Value::Negative(source.forced.is_negative()),
        _ => value(variable, source)?,
    };
    let answer = with_value(variable, value, base);
    let zero = (0..=base.n_digits()).all(|k| answer.get(AnswerToken(k)) == 0);
    (!(zero && answer.is_negative())).then_some(answer)
}

/// Every value a task's variable can have.
fn possible_values(task: Task) -> Vec<Value> {
    match task {
        Task::Sa | Task::Md | Task::Nd => (0..10).map(Value::Base).collect(),
        Task::St | Task::Mt => [Ordering::Less, Ordering::Equal, Ordering::Greater]
            .map(Value::Tri)
            .to_vec(),
        Task::Gt => [Ordering::Less, Ordering::Greater].map(Value::Tri).to_vec(),
        Task::Opr | Task::Slt => [Operation::Add, Operation::Sub].map(Value::Asked).to_vec(),
        Task::Sgn => [false, true].map(Value::Negative).to_vec(),
        _ => [false, true].map(Value::Carry).to_vec(),
    }
}

/// Whether the answer depends on the variable: some other value would change it.
pub fn needs(variable: Variable, question: &Question) -> bool {
    let truth = Answer::of(question);
    if value(variable, &Prompt::truth(*question)).is_none() {
        return false;
    }
    possible_values(variable.task)
        .into_iter()
        .any(|value| with_value(variable, value, question) != truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn variables(n_digits: usize) -> Vec<Variable> {
        Task::all()
            .flat_map(|task| {
                let digits = match task.takes_digit() {
                    true => (0..=n_digits).map(Some).collect(),
                    false => vec![None],
                };
                digits
                    .into_iter()
                    .map(move |digit| Variable { task, digit })
            })
            .collect()
    }

    fn question(text: &str, n_digits: usize) -> Question {
        Question::parse(text, n_digits).unwrap()
    }

    fn predicted(variable: &str, source: &str, base: &str) -> String {
        let claim = crate::inputs::claims::Claim::parse("P0L0H0".parse().unwrap(), variable);
        let source = Prompt::truth(question(source, 5));
        predict(claim.variable.unwrap(), &source, &question(base, 5))
            .unwrap()
            .to_string()
    }

    #[test]
    fn replacing_a_variable_by_its_own_value_changes_nothing() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for variable in variables(4) {
            for class in classes(variable.task) {
                let space = Space::of_class(*class, 4);
                let sampler = space.sampler();
                for _ in 0..200 {
                    let base = sampler.draw(&mut rng);
                    let own = predict(variable, &Prompt::truth(base), &base);
                    assert!(
                        own.is_none_or(|a| a == Answer::of(&base)),
                        "{variable} {base}"
                    );
                }
            }
        }
    }

    #[test]
    fn counterfactual_pairs_predict_a_change_and_control_pairs_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for n_digits in [1, 2, 5, 20] {
            for variable in variables(n_digits) {
                for kind in [Kind::Counterfactual, Kind::Control] {
                    let family = Family::new(variable, kind, n_digits);
                    for group in family.strata() {
                        let only = family.clone().restricted_to(|s| s == group);
                        for (_, pair) in only.draws().take(40, &mut rng) {
                            let answer = predict(variable, &pair.source, &pair.base)
                                .expect("pairs lie in the domain");
                            let truth = Answer::of(&pair.base);
                            assert_eq!(
                                answer != truth,
                                kind == Kind::Counterfactual,
                                "{variable} {pair:?}"
                            );
                            if let (Stratum::Depth(depth), Kind::Counterfactual) = (group, kind) {
                                let highest = answer.changed_from(&truth).iter().next().unwrap();
                                assert_eq!(highest.0, variable.digit.unwrap() + depth);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Every pair of two-digit questions, classified as counterfactual or control by the prediction
    /// alone, must be among those the families enumerate.
    #[test]
    fn families_miss_no_pair_and_hold_none_twice() {
        let questions: Vec<Question> = [Operation::Add, Operation::Sub]
            .into_iter()
            .flat_map(|operation| Space::of_operation(operation, 1).enumerate())
            .collect();
        for task in [
            Task::Sa,
            Task::Sc,
            Task::Md,
            Task::Mb,
            Task::Nd,
            Task::Nb,
            Task::Gt,
            Task::St,
        ] {
            let variable = Variable {
                task,
                digit: Some(0),
            };
            for kind in [Kind::Counterfactual, Kind::Control] {
                let mut expected = Vec::new();
                for source in &questions {
                    for base in &questions {
                        let (stored, own) = (
                            value(variable, &Prompt::truth(*source)),
                            value(variable, &Prompt::truth(*base)),
                        );
                        if let (Some(stored), Some(_)) = (stored, own) {
                            let changes = with_value(variable, stored, base) != Answer::of(base);
                            if changes == (kind == Kind::Counterfactual) {
                                expected.push((*source, *base));
                            }
                        }
                    }
                }
                let family = Family::new(variable, kind, 1);
                let mut found: Vec<_> = family
                    .enumerate()
                    .into_iter()
                    .map(|(_, pair)| (pair.source.question, pair.base))
                    .collect();
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{variable} {kind:?}");
                assert_eq!(family.len(), expected.len() as f64);
            }
        }
    }

    #[test]
    fn draws_never_repeat_a_pair() {
        let variable = Variable {
            task: Task::Mt,
            digit: Some(4),
        };
        let family = Family::new(variable, Kind::Counterfactual, 5);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut draws = family.draws();
        let pairs: Vec<_> = (0..20)
            .flat_map(|_| draws.take(100, &mut rng))
            .map(|(_, pair)| pair)
            .collect();
        let distinct: std::collections::BTreeSet<_> = pairs.iter().collect();
        assert_eq!(distinct.len(), pairs.len());
        assert_eq!(pairs.len(), 2000);
    }

    #[test]
    fn predictions_by_hand() {
        // 12345+23456 = 35801; digit 2: 3+4 = 7, carry in 1.
        assert_eq!(predicted("A2.SA", "00100+00100", "12345+23456"), "+035301");
        assert_eq!(predicted("A1.SC", "00000+00000", "12345+23456"), "+035701");
        // 00099+00000: the nine at 0, given a carry, propagates through the nine at 1 into A2.
        assert_eq!(predicted("A0.ST", "00005+00005", "00099+00000"), "+000109");
        // 50000-20000: digit 3 borrows from digit 4.
        assert_eq!(predicted("A3.MT", "00000-01000", "50000-20000"), "+020000");
        assert_eq!(predicted("A4.MT", "10000-20000", "50000-20000"), "-030000");
        assert_eq!(predicted("A2.ND", "00000-00100", "00200-10500"), "-010100");
        assert_eq!(predicted("OPR", "50000+20000", "50000-20000"), "+070000");
    }

    #[test]
    fn no_pair_predicts_a_negative_zero() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let base = question("00000-00000", 5);
        let source = Prompt::truth(question("00000-00001", 5));
        for digit in 0..3 {
            let variable = Variable {
                task: Task::Mt,
                digit: Some(digit),
            };
            if digit == 0 {
                assert_eq!(predict(variable, &source, &base), None);
            }
            let family = Family::new(variable, Kind::Counterfactual, 5);
            let order = family.restricted_to(|stratum| stratum == Stratum::Order);
            for (_, pair) in order.draws().take(500, &mut rng) {
                assert_ne!(pair.base.first(), pair.base.second(), "{pair:?}");
            }
        }
    }

    #[test]
    fn needs_is_true_where_the_cascade_hangs_on_the_digit() {
        let st = Variable {
            task: Task::St,
            digit: Some(1),
        };
        assert!(needs(st, &question("00000+00000", 5)));
        assert!(!needs(st, &question("00005-00003", 5)));
        let ss = Variable {
            task: Task::Ss,
            digit: Some(1),
        };
        assert!(needs(ss, &question("00090+00000", 5)));
        assert!(!needs(ss, &question("00080+00000", 5)));
    }
}
