//! The built-in properties, tested on every model.

use super::case::CaseVariable;
use super::clause::{Clause, ClauseSide, Relation};
use super::{Drawing, Property};
use crate::network::engine::Decode;

fn side(template: &str, decode: Option<Decode>) -> ClauseSide {
    ClauseSide {
        template: template
            .parse()
            .expect("built-in templates are well-formed"),
        decode,
    }
}

/// A clause over operands `a` and `b`, or `a` alone.
fn clause(n_digits: usize, names: &str, left: &str, relation: Relation, right: &str) -> Clause {
    let variables = names
        .chars()
        .map(|name| CaseVariable::of_width(name, n_digits))
        .collect();
    let right = (!right.is_empty()).then(|| side(right, None));
    Clause::new(n_digits, side(left, None), relation, right, variables)
}

/// Digits from `k` up are those of `h` and `i`; those below are `a` and `b`, or `c` and `d`.
fn split(n_digits: usize, operation: char, k: usize) -> Clause {
    let widths = [n_digits - k, n_digits - k, k, k, k, k];
    let variables = "hiabcd"
        .chars()
        .zip(widths)
        .map(|(name, width)| CaseVariable::of_width(name, width))
        .collect();
    Clause::new(
        n_digits,
        side(&format!("{{h}}{{a}}{operation}{{i}}{{b}}"), None),
        Relation::SameFrom(k),
        Some(side(&format!("{{h}}{{c}}{operation}{{i}}{{d}}"), None)),
        variables,
    )
}

/// All built-in properties for a model of `n_digits`; `margin` is the lead in logits that
/// `confident` requires.
pub fn builtin(n_digits: usize, margin: f32) -> Vec<Property> {
    let n = n_digits;
    let one_sided = |relation| {
        ["{a}+{b}", "{a}-{b}"]
            .map(|left| clause(n, "ab", left, relation, ""))
            .to_vec()
    };
    let both_ways = |left: &str| {
        let variables = "ab".chars().map(|name| CaseVariable::of_width(name, n));
        Clause::new(
            n,
            side(left, Some(Decode::Forced)),
            Relation::Equals,
            Some(side(left, Some(Decode::Free))),
            variables.collect(),
        )
    };
    let local = |operation| (1..=n).map(move |k| split(n, operation, k));
    let property = |name: &str, says: String, drawing, clauses| Property {
        name: name.to_owned(),
        says,
        drawing,
        clauses,
        file: None,
    };
    vec![
        property(
            "answers",
            "The answer is correct.".into(),
            Drawing::Operands,
            one_sided(Relation::Right),
        ),
        property(
            "commutes",
            "a+b and b+a have the same answer.".into(),
            Drawing::Operands,
            vec![clause(n, "ab", "{a}+{b}", Relation::Equals, "{b}+{a}")],
        ),
        property(
            "antisymmetric",
            "The answers to a-b and b-a differ only in sign.".into(),
            Drawing::Operands,
            vec![clause(n, "ab", "{a}-{b}", Relation::Negates, "{b}-{a}")],
        ),
        property(
            "zero",
            "a+0, 0+a and a-0 give a; a-a gives zero.".into(),
            Drawing::First,
            vec![
                clause(n, "a", "{a}+0", Relation::Equals, "{a}"),
                clause(n, "a", "0+{a}", Relation::Equals, "{a}"),
                clause(n, "a", "{a}-0", Relation::Equals, "{a}"),
                clause(n, "a", "{a}-{a}", Relation::Equals, "0"),
            ],
        ),
        property(
            "inverse",
            "(a+b)-b gives a, if a+b fits an operand; the model is given its own answer to a+b."
                .into(),
            Drawing::Operands,
            vec![clause(n, "ab", "({a}+{b})-{b}", Relation::Equals, "{a}")],
        ),
        property(
            "local",
            "Changing digits below k without changing the carry (borrow) into k does not change the answer from digit k up."
                .into(),
            Drawing::Split,
            local('+').chain(local('-')).collect(),
        ),
        property(
            "monotone",
            "The answer to a+b is at most that to a+(b+1).".into(),
            Drawing::Operands,
            vec![clause(n, "ab", "{a}+{b}", Relation::AtMost, "{a}+{b+1}")],
        ),
        property(
            "forced-equals-free",
            "The answer is the same teacher-forced and free-running."
                .into(),
            Drawing::Operands,
            vec![both_ways("{a}+{b}"), both_ways("{a}-{b}")],
        ),
        property(
            "confident",
            format!("The right token leads every other by at least {margin} logits, at each place."),
            Drawing::Operands,
            one_sided(Relation::Leads(margin)),
        ),
    ]
}
