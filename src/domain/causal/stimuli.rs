//! The stimuli of the 2026 claims: sets of questions in which one carry or borrow is decided in a
//! chosen column and passed on through a run of undecided ones, and pairs drawn from them.
//!
//! A column is *undecided* where it passes the carry in on: a sum of nine, or equal digits. All
//! sets are [`Space`]s, so every draw is uniform over the set.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt};
use serde::Serialize;
use thiserror::Error;

use super::pairs::{Kind, Pair};
use super::space::{Sampler, Space};
use super::{makes, tri_case};
use crate::domain::arithmetic::{AnswerToken, Class, Prompt, Question, power_of_ten};
use crate::domain::text::deserialize_from_text;

/// The published name of a set of questions, and one of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StimulusName {
    /// `RND`: uniform over the class; additions without a carry out of the top column by itself.
    Random,
    /// `BIN`: the column makes a carry or does not; no carry comes from below; zeros above.
    Binary,
    /// `UPAIR`: the column is undecided, the one below it decides; zeros above.
    UndecidedPair,
    /// `FOUR`: the column is committed or undecided, with either carry out of it.
    Four,
    /// `CHAIN`: a run of undecided columns above the one that decides; no other column is undecided
    /// or makes a carry; zeros above the column that receives the carry.
    Chain,
    /// `9FREE`: as `CHAIN`, without the digit 9.
    NineFree,
    /// `CASC`: one fixed question for each value of the carry, decided in the units; all columns
    /// above, up to the one that receives the carry, are undecided.
    Cascade,
    /// `STEP1`: one fixed question for each value of the carry, decided one column below the one
    /// that receives it, which is undecided. The filler is that of `CASC`, as none is published.
    StepOne,
    /// `ANY` (ours): a run of undecided columns above the one that decides, and any other digits.
    Any,
}

impl StimulusName {
    pub const ALL: [Self; 9] = [
        Self::Random,
        Self::Binary,
        Self::UndecidedPair,
        Self::Four,
        Self::Chain,
        Self::NineFree,
        Self::Cascade,
        Self::StepOne,
        Self::Any,
    ];

    /// The name in text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "RND",
            Self::Binary => "BIN",
            Self::UndecidedPair => "UPAIR",
            Self::Four => "FOUR",
            Self::Chain => "CHAIN",
            Self::NineFree => "9FREE",
            Self::Cascade => "CASC",
            Self::StepOne => "STEP1",
            Self::Any => "ANY",
        }
    }
}

impl fmt::Display for StimulusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Text that does not name a stimulus.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no stimulus; the stimuli are RND, BIN, UPAIR, FOUR, CHAIN, 9FREE, CASC, STEP1 and ANY"
)]
pub struct UnknownStimulus(String);

impl FromStr for StimulusName {
    type Err = UnknownStimulus;

    fn from_str(text: &str) -> Result<Self, UnknownStimulus> {
        Self::ALL
            .into_iter()
            .find(|name| name.name() == text)
            .ok_or_else(|| UnknownStimulus(text.into()))
    }
}

deserialize_from_text!(StimulusName);

impl Serialize for StimulusName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How the carry out of the top column of a stimulus comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Case {
    /// The top column decides it by itself.
    Committed(bool),
    /// The top column is undecided, and passes it on.
    Undecided(bool),
}

impl Case {
    /// The carry, or borrow, out of the top column.
    pub const fn carry(self) -> bool {
        match self {
            Case::Committed(carry) | Case::Undecided(carry) => carry,
        }
    }
}

/// How the source of a pair depends on its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coupling {
    /// They differ in the deciding column alone.
    Twin,
    /// They share the column whose answer digit receives the carry; all else is drawn afresh.
    Redrawn,
}

/// A set of questions about the carry or borrow out of column `digit`, which
/// [the answer digit above it](Stimulus::reads) receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Stimulus {
    pub name: StimulusName,
    pub class: Class,
    /// The column whose carry out is asked about.
    pub digit: usize,
    /// How many columns below it the deciding one is: 0 if it decides by itself. `UPAIR` has 1,
    /// `CASC` has `digit`, and `FOUR` any number.
    pub depth: usize,
}

/// The tri-case that makes no carry or borrow and passes none on.
fn stops(class: Class) -> Ordering {
    makes(class).reverse()
}

impl Stimulus {
    /// A stimulus with the depth that its name implies, or 0.
    pub fn new(name: StimulusName, class: Class, digit: usize) -> Self {
        let depth = match name {
            StimulusName::UndecidedPair => 1,
            StimulusName::Cascade => digit,
            _ => 0,
        };
        Stimulus {
            name,
            class,
            digit,
            depth,
        }
    }

    pub fn with_depth(self, depth: usize) -> Self {
        Stimulus { depth, ..self }
    }

    /// The answer digit that receives the carry.
    pub const fn reads(&self) -> AnswerToken {
        AnswerToken(self.digit + 1)
    }

    /// The column that decides the carry, where it is the same in every question.
    pub fn decides(&self) -> Option<usize> {
        match self.name {
            StimulusName::Random | StimulusName::Four => None,
            _ => self.digit.checked_sub(self.depth),
        }
    }

    /// The cases of the set.
    pub fn cases(&self) -> Vec<Case> {
        let both = |case: fn(bool) -> Case| vec![case(false), case(true)];
        match (self.name, self.depth) {
            (StimulusName::Random, _) => Vec::new(),
            (StimulusName::Four, _) => [both(Case::Committed), both(Case::Undecided)].concat(),
            (_, 0) => both(Case::Committed),
            _ => both(Case::Undecided),
        }
    }

    /// All questions of the set, whatever their case; `None` if a model of `n_digits` has none.
    pub fn all(&self, n_digits: usize) -> Option<Space> {
        let space = match self.name {
            StimulusName::Random => {
                let space = Space::of_class(self.class, n_digits);
                match self.class {
                    Class::Add => space.with_column(n_digits - 1, |(x, y)| x <= 4 && y <= 4),
                    Class::Sub | Class::Neg => space,
                }
            }
            _ => return None,
        };
        (space.len() > 0.0).then_some(space)
    }

    /// The questions of a case; `None` if a model of `n_digits` has none.
    pub fn set(&self, case: Case, n_digits: usize) -> Option<Space> {
        let top = self.digit;
        if top >= n_digits || !self.cases().contains(&case) {
            return None;
        }
        let class = self.class;
        let space = Space::of_class(class, n_digits);
        let space = match self.name {
            StimulusName::Random => unreachable!("it has no cases"),
            StimulusName::Four => {
                let carry = case.carry();
                let space = space.with_tri_case(top, |tri| match case {
                    Case::Committed(carry) => {
                        tri == if carry { makes(class) } else { stops(class) }
                    }
                    Case::Undecided(_) => tri == Ordering::Equal,
                });
                space.with_state(top + 1, |state| (state == makes(class)) == carry)
            }
            StimulusName::Cascade | StimulusName::StepOne => self.fixed(space, case)?,
            _ => self.run(space, case)?,
        };
        (space.len() > 0.0).then_some(space)
    }

    /// The sets in which one column decides for a run of undecided ones.
    fn run(&self, mut space: Space, case: Case) -> Option<Space> {
        let (class, top, decides) = (self.class, self.digit, self.decides()?);
        let n_digits = space.n_digits();
        for between in decides + 1..=top {
            space = space.with_tri_case(between, |tri| tri == Ordering::Equal);
        }
        let decided = if case.carry() {
            makes(class)
        } else {
            stops(class)
        };
        // A sum of at most nine stops a carry too, where none comes from below.
        let or_passes = self.name == StimulusName::UndecidedPair && !case.carry();
        space = space.with_tri_case(decides, |tri| {
            tri == decided || (or_passes && tri == Ordering::Equal)
        });
        if self.name == StimulusName::Any {
            return Some(space);
        }
        let chain = matches!(self.name, StimulusName::Chain | StimulusName::NineFree);
        for below in 0..decides {
            space = space.with_tri_case(below, |tri| match chain {
                true => tri == stops(class),
                false => tri != makes(class),
            });
        }
        // A borrow needs a column to take it from, or the answer changes its sign.
        let takes = chain || class != Class::Add;
        for above in top + 1..n_digits {
            space = match above == top + 1 && takes {
                true => space.with_tri_case(above, |tri| tri == stops(class)),
                false => space.with_column(above, |column| column == (0, 0)),
            };
        }
        if self.name == StimulusName::NineFree {
            for k in 0..n_digits {
                space = space.with_column(k, |(x, y)| x < 9 && y < 9);
            }
        }
        Some(space)
    }

    /// The sets of one question.
    fn fixed(&self, mut space: Space, case: Case) -> Option<Space> {
        let (top, decides) = (self.digit, self.decides()?);
        let mirrored = |(x, y): (u8, u8)| match self.class {
            Class::Neg => (y, x),
            Class::Add | Class::Sub => (x, y),
        };
        let adds = self.class == Class::Add;
        for k in 0..space.n_digits() {
            let column = match (adds, k.cmp(&decides), k <= top + 1) {
                (true, Ordering::Less, _) => (0, 0),
                (true, Ordering::Equal, _) => {
                    if case.carry() {
                        (9, 9)
                    } else {
                        (0, 0)
                    }
                }
                (true, Ordering::Greater, true) => (4, 5),
                (true, Ordering::Greater, false) => (0, 0),
                (false, Ordering::Less, _) => (9, 0),
                (false, Ordering::Equal, _) => {
                    if case.carry() {
                        (0, 9)
                    } else {
                        (9, 0)
                    }
                }
                (false, Ordering::Greater, true) => (5, 5),
                (false, Ordering::Greater, false) if k + 1 == space.n_digits() => (9, 0),
                (false, Ordering::Greater, false) => (9, 1),
            };
            space = space.with_column(k, |own| own == mirrored(column));
        }
        Some(space)
    }

    /// Draws up to `count` different questions of a case; fewer if the set is smaller.
    pub fn draw(
        &self,
        case: Case,
        n_digits: usize,
        count: usize,
        rng: &mut impl Rng,
    ) -> Vec<Question> {
        match self.set(case, n_digits) {
            Some(space) => distinct(&space, count, rng),
            None => Vec::new(),
        }
    }

    /// Draws up to `count` different questions of the set, whatever their case.
    pub fn draw_any(&self, n_digits: usize, count: usize, rng: &mut impl Rng) -> Vec<Question> {
        match self.all(n_digits) {
            Some(space) => distinct(&space, count, rng),
            None => Vec::new(),
        }
    }

    /// Draws up to `count` different pairs, both values of the carry equally often. In
    /// counterfactual pairs source and base differ in the carry that [`Stimulus::reads`] receives,
    /// in control pairs they do not.
    pub fn pairs(
        &self,
        kind: Kind,
        coupling: Coupling,
        n_digits: usize,
        count: usize,
        rng: &mut impl Rng,
    ) -> Vec<Pair> {
        let samplers: Vec<(Case, Sampler)> = (self.cases().into_iter())
            .filter_map(|case| Some((case, self.set(case, n_digits)?.sampler())))
            .collect();
        let carries: HashSet<bool> = samplers.iter().map(|(case, _)| case.carry()).collect();
        if samplers.is_empty() || (kind == Kind::Counterfactual && carries.len() < 2) {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count * DRAWS_PER_PAIR {
            if pairs.len() == count {
                break;
            }
            let (own, bases) = &samplers[rng.random_range(0..samplers.len())];
            let base = bases.draw(rng);
            let wanted = own.carry() == (kind == Kind::Control);
            let source = match coupling {
                Coupling::Twin => self.twin(&base, wanted, rng),
                Coupling::Redrawn => self.redrawn(&base, wanted, &samplers, rng),
            };
            let Some(source) = source.filter(|source| *source != base) else {
                continue;
            };
            let pair = Pair {
                source: Prompt::truth(source),
                base,
            };
            if seen.insert(pair) {
                pairs.push(pair);
            }
        }
        pairs
    }

    /// A question that differs from `base` in the deciding column alone, and carries as `wanted`.
    fn twin(&self, base: &Question, wanted: bool, rng: &mut impl Rng) -> Option<Question> {
        let decides = self.decides()?;
        let sets: Vec<Space> = (self.cases().into_iter())
            .filter(|case| case.carry() == wanted)
            .filter_map(|case| self.set(case, base.n_digits()))
            .map(|space| {
                (0..base.n_digits())
                    .filter(|&k| k != decides)
                    .fold(space, |space, k| {
                        space.with_column(k, |column| column == base.column(k))
                    })
            })
            .filter(|space| space.len() > 0.0)
            .collect();
        let space = sets.get(rng.random_range(0..sets.len().max(1)))?;
        Some(space.sampler().draw(rng))
    }

    /// A question of the set that carries as `wanted` and shares the column that receives the carry.
    fn redrawn(
        &self,
        base: &Question,
        wanted: bool,
        samplers: &[(Case, Sampler)],
        rng: &mut impl Rng,
    ) -> Option<Question> {
        let fitting: Vec<&Sampler> = (samplers.iter())
            .filter(|(case, _)| case.carry() == wanted)
            .map(|(_, sampler)| sampler)
            .collect();
        let sampler = fitting.get(rng.random_range(0..fitting.len().max(1)))?;
        let reads = self.digit + 1;
        let source = sampler.draw(rng);
        if reads >= base.n_digits() {
            return Some(source);
        }
        let shared = with_column(&source, reads, base.column(reads));
        // Another column there may turn the order of a subtraction's operands.
        (shared.class() == self.class).then_some(shared)
    }
}

/// Draws for each pair wanted, after which the set counts as exhausted.
const DRAWS_PER_PAIR: usize = 20;

fn with_column(question: &Question, k: usize, (x, y): (u8, u8)) -> Question {
    let power = power_of_ten(k);
    let (own_x, own_y) = question.column(k);
    let moved = |operand: u128, from: u8, to: u8| {
        operand - u128::from(from) * power + u128::from(to) * power
    };
    Question::new(
        moved(question.first(), own_x, x),
        question.operation(),
        moved(question.second(), own_y, y),
        question.n_digits(),
    )
}

/// Up to `count` different questions of a set, all of them if it holds no more.
fn distinct(space: &Space, count: usize, rng: &mut impl Rng) -> Vec<Question> {
    if space.len() <= count as f64 {
        return space.enumerate();
    }
    let sampler = space.sampler();
    let mut seen = HashSet::new();
    std::iter::repeat_with(|| sampler.draw(rng))
        .take(count * DRAWS_PER_PAIR)
        .filter(|question| seen.insert(*question))
        .take(count)
        .collect()
}

/// The case of a column in a question: how the carry or borrow out of it comes about.
pub fn case_of(question: &Question, k: usize) -> Case {
    let class = question.class();
    match tri_case(question.column(k), question.operation()) {
        Ordering::Equal => Case::Undecided(super::carry_into(question, k)),
        tri => Case::Committed(tri == makes(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arithmetic::{Answer, Operation};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// The sizes of published models, and smaller ones.
    const SIZES: [usize; 6] = [2, 3, 5, 6, 13, 20];

    const PAIRS: usize = 24;

    /// Every stimulus that a model of this size can have.
    fn stimuli(n_digits: usize) -> Vec<Stimulus> {
        let mut all = Vec::new();
        for name in StimulusName::ALL {
            for class in Class::ALL {
                for digit in 0..n_digits {
                    let stimulus = Stimulus::new(name, class, digit);
                    match name {
                        StimulusName::Chain | StimulusName::NineFree | StimulusName::Any => {
                            all.extend((0..=digit).map(|depth| stimulus.with_depth(depth)));
                        }
                        _ => all.push(stimulus),
                    }
                }
            }
        }
        all
    }

    /// The carry or borrow out of column `k`, from the operands' remainders.
    fn carries(question: &Question, k: usize) -> bool {
        let modulus = power_of_ten(k + 1);
        let (x, y) = (question.first() % modulus, question.second() % modulus);
        match question.class() {
            Class::Add => x + y >= modulus,
            Class::Sub => x < y,
            Class::Neg => y < x,
        }
    }

    fn undecided(question: &Question, k: usize) -> bool {
        let (x, y) = question.column(k);
        match question.operation() {
            Operation::Add => x + y == 9,
            Operation::Sub => x == y,
        }
    }

    #[test]
    fn every_question_has_the_carry_of_its_case() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut seen = HashSet::new();
        for n_digits in SIZES {
            for stimulus in stimuli(n_digits) {
                for case in stimulus.cases() {
                    for question in stimulus.draw(case, n_digits, PAIRS, &mut rng) {
                        seen.insert((stimulus.name, stimulus.class));
                        assert_eq!(question.class(), stimulus.class, "{stimulus:?} {question}");
                        assert_eq!(
                            carries(&question, stimulus.digit),
                            case.carry(),
                            "{stimulus:?} {question}"
                        );
                        assert_eq!(case_of(&question, stimulus.digit), case, "{question}");
                        let Some(decides) = stimulus.decides() else {
                            continue;
                        };
                        for k in decides + 1..=stimulus.digit {
                            assert!(undecided(&question, k), "{stimulus:?} {question}");
                        }
                        let upair = stimulus.name == StimulusName::UndecidedPair;
                        assert!(!undecided(&question, decides) || (upair && !case.carry()));
                    }
                }
            }
        }
        // Every stimulus but RND, which has no cases, exists for every class.
        assert_eq!(seen.len(), (StimulusName::ALL.len() - 1) * Class::ALL.len());
    }

    #[test]
    fn fillers_are_as_published() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for n_digits in SIZES {
            for stimulus in stimuli(n_digits) {
                let (Some(decides), Class::Add) = (stimulus.decides(), stimulus.class) else {
                    continue;
                };
                for case in stimulus.cases() {
                    for question in stimulus.draw(case, n_digits, PAIRS, &mut rng) {
                        let sum = |k: usize| {
                            let (x, y) = question.column(k);
                            x + y
                        };
                        let reads = stimulus.digit + 1;
                        match stimulus.name {
                            StimulusName::Chain | StimulusName::NineFree => {
                                assert!((0..decides).chain([reads]).all(|k| sum(k) <= 8));
                                assert!((reads + 1..n_digits).all(|k| sum(k) == 0));
                            }
                            StimulusName::Binary | StimulusName::UndecidedPair => {
                                assert!((0..decides).all(|k| sum(k) <= 9));
                                assert!((reads..n_digits).all(|k| sum(k) == 0));
                            }
                            _ => {}
                        }
                        if stimulus.name == StimulusName::NineFree {
                            let digits = (0..n_digits).map(|k| question.column(k));
                            assert!(digits.into_iter().all(|(x, y)| x < 9 && y < 9));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn pairs_differ_in_the_carry_read_or_do_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for n_digits in SIZES {
            for stimulus in stimuli(n_digits) {
                for kind in [Kind::Counterfactual, Kind::Control] {
                    for coupling in [Coupling::Twin, Coupling::Redrawn] {
                        let pairs = stimulus.pairs(kind, coupling, n_digits, PAIRS / 4, &mut rng);
                        let distinct: HashSet<Pair> = pairs.iter().copied().collect();
                        assert_eq!(distinct.len(), pairs.len());
                        for Pair { source, base } in pairs {
                            let source = source.question;
                            let differs =
                                carries(&source, stimulus.digit) != carries(&base, stimulus.digit);
                            assert_eq!(
                                differs,
                                kind == Kind::Counterfactual,
                                "{stimulus:?} {source} {base}"
                            );
                            assert_eq!(source.class(), base.class());
                            let same = |k: usize| source.column(k) == base.column(k);
                            let shared: Vec<usize> = match coupling {
                                Coupling::Redrawn => vec![stimulus.digit + 1],
                                Coupling::Twin => {
                                    let decides = stimulus.decides().unwrap();
                                    (0..n_digits).filter(|&k| k != decides).collect()
                                }
                            };
                            assert!(shared.into_iter().all(same), "{stimulus:?} {source} {base}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn fixed_questions_make_one_pair_for_each_direction() {
        let mut rng = ChaCha8Rng::seed_from_u64(10);
        let cascade = Stimulus::new(StimulusName::Cascade, Class::Sub, 1);
        let pairs = cascade.pairs(Kind::Counterfactual, Coupling::Twin, 5, 40, &mut rng);
        assert_eq!(pairs.len(), 2);
        let carrying = cascade.draw(Case::Undecided(true), 5, 40, &mut rng);
        assert_eq!(carrying, [Question::parse("99550-01559", 5).unwrap()]);
        let negative = Stimulus::new(StimulusName::Cascade, Class::Neg, 1);
        let carrying = negative.draw(Case::Undecided(true), 5, 40, &mut rng);
        assert_eq!(carrying, [Question::parse("01559-99550", 5).unwrap()]);
        let none = cascade.pairs(Kind::Control, Coupling::Redrawn, 5, 40, &mut rng);
        assert!(
            none.is_empty(),
            "a control pair of one question with itself"
        );
    }

    #[test]
    fn random_additions_leave_the_highest_answer_digit_zero() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for n_digits in SIZES {
            let random = Stimulus::new(StimulusName::Random, Class::Add, 0);
            for question in random.draw_any(n_digits, 200, &mut rng) {
                assert_eq!(Answer::of(&question).get(AnswerToken(n_digits)), 0);
                assert!(question.first() < power_of_ten(n_digits) / 2);
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for name in StimulusName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let error = "CHAINS".parse::<StimulusName>().unwrap_err();
        assert!(error.to_string().starts_with("\"CHAINS\" is no stimulus"));
    }
}
