//! Pairs of source and base questions for a variable: counterfactual pairs, where the prediction
//! differs from the base answer, and control pairs, where it does not.

use std::cmp::Ordering;
use std::collections::HashSet;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{ColumnPart, ColumnQuantity, Quantity};
use super::space::{Sampler, Space, weighted};
use super::{base_value, carry_out, classes, makes};
use crate::domain::arithmetic::{Answer, Class, Operation, Prompt, Question};
use crate::domain::task::{Task, Variable};

/// Whether the causal model predicts a change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The variable differs so that the predicted answer changes.
    Counterfactual,
    /// The variable is equal, or differs without a predicted change, so nothing may change.
    Control,
}

impl Kind {
    /// The part of a random stream's name for pairs of this kind. It determines the draws of stored
    /// evidence, so it must never change.
    pub const fn stream_name(self) -> &'static str {
        match self {
            Kind::Counterfactual => "telling",
            Kind::Control => "placebo",
        }
    }
}

/// The stratum of a pair. Strata are drawn equally often.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Stratum {
    /// The only stratum of a task without others.
    Whole,
    /// The highest token that changes is this many places above the variable's digit.
    Depth(usize),
    /// The digit decides the order of the operands, so only the sign changes.
    Order,
    /// The base question is of this class and the operation is replaced.
    Operation(Class),
    /// The base question is of this class and the sign is replaced.
    Sign(Class),
}

/// A source question and a base question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The question the patched activation comes from.
    pub source: Prompt,
    /// The question it is patched into.
    pub base: Question,
}

/// How the source question depends on the base question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coupling {
    /// Drawn independently, from its own set.
    Independent,
    /// The same operands under the other operation.
    OtherOperation,
    /// The same question with the other sign forced.
    OtherSign,
}

/// All combinations of a source question from one set and a base question from another.
#[derive(Debug, Clone)]
struct SpacePair {
    source: Space,
    base: Space,
}

#[derive(Debug, Clone)]
struct PairGroup {
    stratum: Stratum,
    coupling: Coupling,
    cells: Vec<SpacePair>,
}

impl PairGroup {
    fn weights(&self) -> Vec<f64> {
        self.cells
            .iter()
            .map(|cell| match self.coupling {
                Coupling::Independent => cell.source.len() * cell.base.len(),
                Coupling::OtherOperation | Coupling::OtherSign => cell.base.len(),
            })
            .collect()
    }
}

/// All counterfactual, or all control, pairs of a variable.
#[derive(Debug, Clone)]
pub struct Family {
    quantity: Quantity,
    kind: Kind,
    groups: Vec<PairGroup>,
}

/// A sum of nine, or a difference of zero.
fn even(tri: Ordering) -> bool {
    tri == Ordering::Equal
}

const TRI_CASES: [Ordering; 3] = [Ordering::Less, Ordering::Equal, Ordering::Greater];

impl Family {
    /// All pairs of one kind for a quantity of a model with `n_digits`.
    pub fn new(quantity: impl Into<Quantity>, kind: Kind, n_digits: usize) -> Self {
        let quantity = quantity.into();
        let mut groups = match quantity {
            Quantity::Task(variable) => task_pairs(variable, kind, n_digits),
            Quantity::Column(part) => column_pairs(part, kind, n_digits),
            Quantity::Both(first, _) => match first.part {
                ColumnPart::Resolved => whole_class(first.class, n_digits),
                _ => column_pairs(first, kind, n_digits),
            },
        };

        for group in &mut groups {
            let coupling = group.coupling;
            group.cells.retain(|cell| {
                cell.base.len() > 0.0
                    && (coupling != Coupling::Independent || cell.source.len() > 0.0)
            });
        }
        groups.retain(|group| !group.cells.is_empty());
        Family {
            quantity,
            kind,
            groups,
        }
    }

    /// The kind of pair in the family.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The strata that hold pairs, in drawing order.
    pub fn strata(&self) -> Vec<Stratum> {
        self.groups.iter().map(|group| group.stratum).collect()
    }

    /// Number of pairs; exact up to 2^53.
    pub fn len(&self) -> f64 {
        self.groups
            .iter()
            .map(|group| group.weights().iter().sum::<f64>())
            .sum()
    }

    /// Whether the variable has no pair of this kind.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Restricts the family to strata that satisfy `keep`.
    pub fn restricted_to(mut self, keep: impl Fn(Stratum) -> bool) -> Self {
        self.groups.retain(|group| keep(group.stratum));
        self
    }

    /// Every pair, in a fixed order. Only for families known to be small.
    pub fn enumerate(&self) -> Vec<(Stratum, Pair)> {
        let mut pairs = Vec::new();
        for group in &self.groups {
            for cell in &group.cells {
                let sources = match group.coupling {
                    Coupling::Independent => cell.source.enumerate(),
                    Coupling::OtherOperation | Coupling::OtherSign => Vec::new(),
                };
                for base in cell.base.enumerate() {
                    match group.coupling {
                        Coupling::Independent => pairs.extend(sources.iter().map(|&source| {
                            let source = Prompt::truth(source);
                            (group.stratum, Pair { source, base })
                        })),
                        coupling => pairs.push((group.stratum, coupled(coupling, base))),
                    }
                }
            }
        }
        pairs.retain(|(_, pair)| self.admits(pair));
        pairs
    }

    /// Cells contain only pairs of the family's kind, except for OPR and SLT with a second operand
    /// of zero, where both operations have the same answer, and for parts of columns.
    fn admits(&self, pair: &Pair) -> bool {
        let predicted = self.quantity.predict(&pair.source, &pair.base);
        let changes = predicted.map(|answer| answer != Answer::of(&pair.base));
        changes == Some(self.kind == Kind::Counterfactual)
    }

    /// A source of distinct pairs.
    pub fn draws(&self) -> Draws<'_> {
        let groups = self
            .groups
            .iter()
            .map(|group| {
                let weights = group.weights();
                let samplers = group
                    .cells
                    .iter()
                    .map(|cell| (cell.source.sampler(), cell.base.sampler()))
                    .collect();
                GroupDraws {
                    stratum: group.stratum,
                    coupling: group.coupling,
                    left: weights.iter().sum(),
                    weights,
                    samplers,
                }
            })
            .collect();
        Draws {
            family: self,
            groups,
            seen: HashSet::new(),
        }
    }
}

fn coupled(coupling: Coupling, base: Question) -> Pair {
    let source = match coupling {
        Coupling::OtherOperation => Prompt::truth(base.with_other_operation()),
        Coupling::OtherSign => Prompt {
            question: base,
            forced: Answer::of(&base).with_sign_flipped(),
        },
        Coupling::Independent => unreachable!("independent pairs are drawn from two sets"),
    };
    Pair { source, base }
}

struct GroupDraws {
    stratum: Stratum,
    coupling: Coupling,
    weights: Vec<f64>,
    samplers: Vec<(Sampler, Sampler)>,
    /// Distinct pairs not yet drawn.
    left: f64,
}

/// Draws distinct pairs of a family at random.
pub struct Draws<'a> {
    family: &'a Family,
    groups: Vec<GroupDraws>,
    seen: HashSet<Pair>,
}

/// Once this share of a stratum has been drawn, nothing more is drawn from it, since unseen pairs
/// become too rare to find by chance. Exhaustive runs cover small strata.
const MOST_OF_A_STRATUM: f64 = 0.75;

impl Draws<'_> {
    /// Draws up to `count` pairs not drawn before; fewer if the family runs out.
    pub fn take(&mut self, count: usize, rng: &mut impl Rng) -> Vec<(Stratum, Pair)> {
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let open: Vec<f64> = self
                .groups
                .iter()
                .map(|group| {
                    let all: f64 = group.weights.iter().sum();
                    f64::from(u8::from(group.left > all * (1.0 - MOST_OF_A_STRATUM)))
                })
                .collect();
            if open.iter().sum::<f64>() == 0.0 {
                break;
            }
            let group = &mut self.groups[weighted(rng, &open)];
            let (sources, bases) = &group.samplers[weighted(rng, &group.weights)];
            let base = bases.draw(rng);
            let pair = match group.coupling {
                Coupling::Independent => Pair {
                    source: Prompt::truth(sources.draw(rng)),
                    base,
                },
                coupling => coupled(coupling, base),
            };
            if self.seen.insert(pair) {
                group.left -= 1.0;
                if self.family.admits(&pair) {
                    pairs.push((group.stratum, pair));
                }
            }
        }
        pairs
    }
}

fn task_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    match variable.task {
        Task::Sa | Task::Md | Task::Nd => base_pairs(variable, kind, n_digits),
        Task::Sc | Task::Mb | Task::Nb => carry_pairs(variable, kind, n_digits),
        Task::Ss | Task::Mz => through_pairs(variable, kind, n_digits),
        Task::St | Task::Mt => tri_case_pairs(variable, kind, n_digits),
        Task::Sv => column_of(variable, n_digits)
            .map_or_else(Vec::new, |k| resolved_pairs(k, Class::Add, kind, n_digits)),
        Task::Gt => order_pairs(variable, kind, n_digits),
        Task::Stc | Task::Mtc | Task::Ntc => combiner_pairs(variable, kind, n_digits),
        Task::Opr => operation_pairs(kind, n_digits),
        Task::Sgn => sign_pairs(kind, n_digits),
        Task::Slt => {
            let mut groups = operation_pairs(kind, n_digits);
            groups.extend(sign_pairs(kind, n_digits));
            groups
        }
    }
}

/// Any two questions of a class; each pair is then checked for its kind.
fn whole_class(class: Class, n_digits: usize) -> Vec<PairGroup> {
    let space = Space::of_class(class, n_digits);
    one_group(vec![SpacePair {
        source: space.clone(),
        base: space,
    }])
}

/// A part of a column: almost any two questions form a counterfactual pair, so the others are
/// rejected; control pairs have the same value in the column.
fn column_pairs(part: ColumnQuantity, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let (k, class) = (part.digit, part.class);
    // A part that changes no token has no counterfactual pair, so there is nothing to search for.
    if k >= n_digits || part.affected_tokens(n_digits).is_empty() {
        return Vec::new();
    }
    if part.part == ColumnPart::Resolved {
        return resolved_pairs(k, class, kind, n_digits);
    }
    if kind == Kind::Counterfactual {
        return whole_class(class, n_digits);
    }
    let cells = (0..=MOST_OF_A_KEY)
        .map(|key| {
            let space = Space::of_class(class, n_digits);
            let space = space.with_column(k, |column| part.key(column) == Some(key));
            SpacePair {
                source: space.clone(),
                base: space,
            }
        })
        .collect();
    one_group(cells)
}

/// The largest key for a value of a column part: a difference of nine, plus ten.
const MOST_OF_A_KEY: u8 = 19;

fn one_group(cells: Vec<SpacePair>) -> Vec<PairGroup> {
    vec![PairGroup {
        stratum: Stratum::Whole,
        coupling: Coupling::Independent,
        cells,
    }]
}

/// The variable's digit, if the question has a column for it.
fn column_of(variable: Variable, n_digits: usize) -> Option<usize> {
    variable.digit.filter(|&k| k < n_digits)
}

/// SA, MD, ND: the base values of the column differ, or are equal.
fn base_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let Some(k) = column_of(variable, n_digits) else {
        return Vec::new();
    };
    let class = classes(variable.task)[0];
    let of = |value: u8| {
        Space::of_class(class, n_digits).with_column(k, |c| base_value(c, class) == value)
    };
    let mut cells = Vec::new();
    for stored in 0..10 {
        for own in 0..10 {
            if (stored != own) == (kind == Kind::Counterfactual) {
                cells.push(SpacePair {
                    source: of(stored),
                    base: of(own),
                });
            }
        }
    }
    one_group(cells)
}

/// SC, MB, NB: the column generates a carry or stops one; it never propagates one.
fn carry_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let Some(k) = column_of(variable, n_digits) else {
        return Vec::new();
    };
    let class = classes(variable.task)[0];
    let of = |tri: Ordering| Space::of_class(class, n_digits).with_tri_case(k, |t| t == tri);
    let mut cells = Vec::new();
    for stored in [Ordering::Less, Ordering::Greater] {
        for own in [Ordering::Less, Ordering::Greater] {
            if (stored != own) == (kind == Kind::Counterfactual) {
                cells.push(SpacePair {
                    source: of(stored),
                    base: of(own),
                });
            }
        }
    }
    one_group(cells)
}

/// Restricts the lower columns to states with, or without, a carry in.
fn with_carry_in(space: Space, k: usize, class: Class, carry: bool) -> Space {
    space.with_state(k, |state| (state == makes(class)) == carry)
}

/// Pairs with different carries (borrows) in source and base or, for control pairs, the same.
fn carry_cells(kind: Kind, of: impl Fn(bool) -> Space) -> [SpacePair; 2] {
    [false, true].map(|stored| SpacePair {
        source: of(stored),
        base: of(stored != (kind == Kind::Counterfactual)),
    })
}

/// SS, MZ: the column propagates the carry in.
fn through_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let Some(k) = column_of(variable, n_digits).filter(|&k| k > 0) else {
        return Vec::new();
    };
    let class = classes(variable.task)[0];
    let of = |carry: bool| {
        let space = Space::of_class(class, n_digits).with_tri_case(k, even);
        with_carry_in(space, k, class, carry)
    };
    one_group(carry_cells(kind, of).into())
}

/// `base` restricted to a cascade of exactly `depth` places above digit `k`: the columns between
/// propagate a carry, the last does not (or is the place above all columns).
fn with_cascade(mut base: Space, k: usize, depth: usize) -> Space {
    for between in k + 1..k + depth {
        base = base.with_tri_case(between, even);
    }
    if k + depth < base.n_digits() {
        base = base.with_tri_case(k + depth, |tri| !even(tri));
    }
    base
}

/// ST, MT: the tri-case of the column, by the depth of the cascade; for MT also where the column
/// decides the order of the operands.
fn tri_case_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let Some(k) = column_of(variable, n_digits) else {
        return Vec::new();
    };
    let operation = match variable.task {
        Task::St => Operation::Add,
        _ => Operation::Sub,
    };
    let source =
        |tri: Ordering| Space::of_operation(operation, n_digits).with_tri_case(k, |t| t == tri);
    // All ways in which the source's tri-case changes, or does not change, the carry out of the
    // column.
    let cells = |class: Class, base: &dyn Fn() -> Space| {
        let mut cells = Vec::new();
        for stored in TRI_CASES {
            for own in TRI_CASES {
                for carry in [false, true] {
                    let changes = carry_out(stored, carry, class) != carry_out(own, carry, class);
                    if changes == (kind == Kind::Counterfactual) {
                        let base = base().with_tri_case(k, |t| t == own);
                        cells.push(SpacePair {
                            source: source(stored),
                            base: with_carry_in(base, k, class, carry),
                        });
                    }
                }
            }
        }
        cells
    };
    let mut groups = Vec::new();
    // The place above the top column can receive a carry, but never a borrow.
    let deepest = match operation {
        Operation::Add => n_digits - k,
        Operation::Sub => n_digits - 1 - k,
    };
    for depth in 1..=deepest {
        let mut all = Vec::new();
        for &class in classes(variable.task) {
            all.extend(cells(class, &|| {
                with_cascade(Space::of_class(class, n_digits), k, depth)
            }));
        }
        groups.push(PairGroup {
            stratum: Stratum::Depth(depth),
            coupling: Coupling::Independent,
            cells: all,
        });
    }
    if variable.task == Task::Mt {
        groups.push(order_group(k, kind, n_digits, &TRI_CASES));
    }
    groups
}

/// Pairs whose base question has equal digits above column `k`, so that the source's tri-case
/// reverses, or does not reverse, the order of the operands. Equal operands are excluded, since
/// `-0` is not an answer.
fn order_group(k: usize, kind: Kind, n_digits: usize, tri_cases: &[Ordering]) -> PairGroup {
    let mut cells = Vec::new();
    for &stored in tri_cases {
        for &own in tri_cases {
            for below in TRI_CASES {
                let negative = |tri: Ordering| tri.then(below) == Ordering::Less;
                let turns = negative(stored) != negative(own);
                let is_zero = even(own) && even(below);
                if turns != (kind == Kind::Counterfactual) || (turns && is_zero) {
                    continue;
                }
                let mut base = Space::of_operation(Operation::Sub, n_digits)
                    .with_tri_case(k, |t| t == own)
                    .with_state(k, |state| state == below);
                for above in k + 1..n_digits {
                    base = base.with_tri_case(above, even);
                }
                cells.push(SpacePair {
                    source: Space::of_operation(Operation::Sub, n_digits)
                        .with_tri_case(k, |t| t == stored),
                    base,
                });
            }
        }
    }
    PairGroup {
        stratum: Stratum::Order,
        coupling: Coupling::Independent,
        cells,
    }
}

/// GT: which digit of the column is greater, where it decides the order.
fn order_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    match column_of(variable, n_digits) {
        Some(k) => vec![order_group(
            k,
            kind,
            n_digits,
            &[Ordering::Less, Ordering::Greater],
        )],
        None => Vec::new(),
    }
}

/// The resolved carry or borrow out of the column (SV for additions), by the depth of the cascade.
fn resolved_pairs(k: usize, class: Class, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let of = |carry: bool| with_carry_in(Space::of_class(class, n_digits), k + 1, class, carry);
    let mut groups = Vec::new();
    for depth in 1..=n_digits - k {
        let mut cells = Vec::new();
        for stored in [false, true] {
            for own in [false, true] {
                if (stored != own) == (kind == Kind::Counterfactual) {
                    cells.push(SpacePair {
                        source: of(stored),
                        base: with_cascade(of(own), k, depth),
                    });
                }
            }
        }
        groups.push(PairGroup {
            stratum: Stratum::Depth(depth),
            coupling: Coupling::Independent,
            cells,
        });
    }
    groups
}

/// STC, MTC, NTC: source and base share the column and differ in the carry into it.
fn combiner_pairs(variable: Variable, kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    let Some(k) = variable.digit.filter(|&k| k <= n_digits) else {
        return Vec::new();
    };
    let class = classes(variable.task)[0];
    let columns: Vec<Option<(u8, u8)>> = if k == n_digits {
        vec![None]
    } else {
        (0..100).map(|pair| Some((pair / 10, pair % 10))).collect()
    };
    let mut cells = Vec::new();
    for column in columns {
        let of = |carry: bool| {
            let space = Space::of_class(class, n_digits);
            let space = match column {
                Some(column) => space.with_column(k, |c| c == column),
                None => space,
            };
            with_carry_in(space, k, class, carry)
        };
        cells.extend(carry_cells(kind, of));
    }
    one_group(cells)
}

/// OPR: the same operands under the other operation; for control pairs, other operands under the
/// same operation.
fn operation_pairs(kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    Class::ALL
        .into_iter()
        .map(|class| {
            let base = Space::of_class(class, n_digits);
            let operation = match class {
                Class::Add => Operation::Add,
                Class::Sub | Class::Neg => Operation::Sub,
            };
            PairGroup {
                stratum: Stratum::Operation(class),
                coupling: match kind {
                    Kind::Counterfactual => Coupling::OtherOperation,
                    Kind::Control => Coupling::Independent,
                },
                cells: vec![SpacePair {
                    source: Space::of_operation(operation, n_digits),
                    base,
                }],
            }
        })
        .collect()
}

/// SGN: the same question with the other sign forced; for control pairs, another question with the
/// same sign. Equal operands are excluded, since zero has no other sign.
fn sign_pairs(kind: Kind, n_digits: usize) -> Vec<PairGroup> {
    [Class::Sub, Class::Neg]
        .into_iter()
        .map(|class| {
            let space = Space::of_class(class, n_digits).with_state(n_digits, |state| !even(state));
            PairGroup {
                stratum: Stratum::Sign(class),
                coupling: match kind {
                    Kind::Counterfactual => Coupling::OtherSign,
                    Kind::Control => Coupling::Independent,
                },
                cells: vec![SpacePair {
                    source: space.clone(),
                    base: space,
                }],
            }
        })
        .collect()
}
