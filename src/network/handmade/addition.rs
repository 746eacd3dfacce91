//! A network that adds numbers of two to four digits.
//!
//! It has two layers of six heads and answers every question correctly. Let k be the column whose
//! answer digit is predicted at a position, and s the sum of that column's digits. All the work is
//! done at the positions that predict A0 to An:
//!
//! | node where Ak is predicted | represents | true claims |
//! |---|---|---|
//! | L0H0, 1 ≤ k < n | s | `Ak.SA` |
//! | L0H0 and L0H1, k = 0 | D0 and D'0, one each | `A0.SA`, for both together |
//! | L0H2, k ≥ 2 | sum of column k−1 | `A(k−1).SC`, `A(k−1).ST` |
//! | L0H2, L0H3, L0H4, k = 1 | sum of column 0, all three | `A0.SC`, redundantly: two outvote one |
//! | L0H5, k ≥ 2 | sums of all columns below k−1 | `A(k−1).SS`, `A(k−2).SV`, and `A0.ST` where k = 2 |
//! | L0M0, k ≥ 1 | votes on the carry into k | `A(k−1).SC`, `A(k−1).SS`, `A(k−1).SV`, `Ak.STC`, and `A0.ST` where k = 1 |
//! | L1M0, k ≥ 1 | that carry, and whether s with it is ten or more | `Ak.STC` |
//! | L1M0, k = n | that carry alone, as no digit is added there | also `A(n−1).SC`, `A(n−1).SS`, `A(n−1).SV` |
//!
//! Layer 0's MLP turns each sum that a carry head reads into a vote: 0 up to eight, a half at nine,
//! 1 from ten on. A carry from further below adds a half. Where one head votes alone, the position
//! adds a second vote, so that the threshold is 1¾ everywhere. Layer 1's MLP compares; the
//! unembedding takes x = s + carry − 10 · overflow and gives digit d the logit 1¼·(2dx − d²), minus
//! what all digits have in common: highest at d = x, and 1¼ higher there than next to it.
//!
//! A sum of nine gives half a vote because its mean over all questions is nine: two mean-ablated
//! carry heads together give one vote, and the third decides.
//!
//! All other nodes are idle: their value affects no answer. H5 of layer 1 copies a digit to an
//! entry that nothing reads, other heads write zeros, and heads before the operator, which have no
//! sums to read, write averages that nothing reads.
//!
//! Some claims are neither true nor false ([`Handmade::nearly_true`]): the named variable differs
//! from what the node represents on only a few questions, or the node represents it redundantly
//! only if the base question's sum is not nine.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::{self, Entry, Head, MlpStep, NO_DIGIT, Sheet, token};
use super::{Carries, Handmade, JointSet, MOST_DIGITS, Places, variable};
use crate::domain::node::NodeName;
use crate::domain::task::{Task, Variable};
use crate::inputs::model::Operations;

const LAYERS: usize = 2;

/// The lead of the right digit's logit, up to rounding.
const LEAD: f32 = 1.25;

/// Heads of layer 0, by function.
const OWN: usize = 0;
const OWN_SECOND: usize = 1;
const BELOW: [usize; 3] = [2, 3, 4];
const LOWER: usize = 5;
const HEADS: usize = 6;

/// A network that adds numbers of `n_digits` digits.
///
/// # Panics
/// Unless `n_digits` is 2 to [`MOST_DIGITS`].
pub fn addition(n_digits: usize) -> Handmade {
    assert!(
        (2..=MOST_DIGITS).contains(&n_digits),
        "{n_digits} digits, of 2 to {MOST_DIGITS}"
    );
    let places = Places(sheet::shape(n_digits, LAYERS, HEADS, 0));
    let mut sheet = adder(places, &heads(places), BELOW.len(), LEAD);
    // A single head that reads the column below needs a second vote.
    for k in 2..=n_digits {
        sheet.start_with(places.predicting(k), Entry::Votes, 1.0);
    }
    let own = [OWN, OWN_SECOND].map(|number| vec![places.head(0, number)]);
    Handmade {
        weights: sheet.finish(),
        operations: Operations::Add,
        true_claims: true_claims(places),
        nearly_true: nearly_true(places),
        sets: vec![JointSet {
            variable: variable(Task::Sa, 0),
            slots: own.to_vec(),
        }],
    }
}

/// A network that adds the sums that these heads read, `below` of which are for the column below.
/// `lead` is the lead of the right digit's logit over every other.
pub(super) fn adder(places: Places, heads: &[Head], below: usize, lead: f32) -> Sheet {
    let mut sheet = Sheet::new(places.0);
    for head in heads {
        sheet.head(head);
    }
    vote(&mut sheet, places.n_digits(), below);
    compare(&mut sheet);
    unembed(&mut sheet, places, lead);
    sheet
}

fn heads(places: Places) -> Vec<Head> {
    let n_digits = places.n_digits();
    let head = |layer, number, writes, reads: Vec<(usize, Vec<(usize, f32)>)>| {
        let reads = reads.into_iter();
        let reads = reads.map(|(k, read)| (places.predicting(k), read));
        places.summing(layer, number, writes, reads)
    };
    let own = (1..n_digits).map(|k| (k, places.column(k, 1.0)));
    let own = own.chain([(0, vec![(places.first(0), 1.0)])]);
    let own_second = vec![(0, vec![(places.second(0), 1.0)])];
    let lower = (2..=n_digits).map(|k| (k, places.columns_below(k - 1)));
    let noise = (0..=n_digits).map(|k| (k, vec![(places.first(0), 1.0)]));
    let mut heads = vec![
        head(0, OWN, Entry::Sum, own.collect()),
        head(0, OWN_SECOND, Entry::Sum, own_second),
        head(0, LOWER, Entry::Lower, lower.collect()),
        head(1, LOWER, Entry::Noise, noise.collect()),
    ];
    for (vote, number) in BELOW.into_iter().enumerate() {
        // All three for the lowest column, only the first for the others.
        let highest = if vote == 0 { n_digits } else { 1 };
        let below = (1..=highest).map(|k| (k, places.column(k - 1, 1.0)));
        heads.push(head(0, number, Entry::Below(vote), below.collect()));
    }
    heads
}

/// Layer 0's MLP: turns sums into votes.
fn vote(sheet: &mut Sheet, n_digits: usize, below: usize) {
    let mut step = |entry, from, to| {
        sheet.step(
            0,
            &MlpStep {
                reads: &[(entry, 1.0)],
                from,
                to,
                writes: Entry::Votes,
                height: 0.5,
            },
        );
    };
    for head in 0..below {
        step(Entry::Below(head), 8.1, 8.2);
        step(Entry::Below(head), 9.8, 9.9);
    }
    // The largest sum of lower columns without a carry is this far below ten.
    let grain = 0.1f32.powi(n_digits as i32 - 2);
    step(Entry::Lower, 10.0 - 0.75 * grain, 10.0 - 0.25 * grain);
}

/// Layer 1's MLP: compares the votes with their threshold, and the column's sum, plus a carry if
/// the votes are above it, with ten.
fn compare(sheet: &mut Sheet) {
    const THRESHOLD: f32 = 1.75;
    /// Votes are at least a quarter away from the threshold.
    const CLEAR: f32 = 0.125;
    /// With this weight, a sum of eight or ten decides whatever the votes, which are within 1¾ of
    /// the threshold; at nine the votes decide.
    const SUM_WEIGHT: f32 = 2.0;
    sheet.step(
        1,
        &MlpStep {
            reads: &[(Entry::Votes, 1.0)],
            from: THRESHOLD - CLEAR,
            to: THRESHOLD + CLEAR,
            writes: Entry::Carry,
            height: 1.0,
        },
    );
    let threshold = THRESHOLD + 9.0 * SUM_WEIGHT;
    sheet.step(
        1,
        &MlpStep {
            reads: &[(Entry::Votes, 1.0), (Entry::Sum, SUM_WEIGHT)],
            from: threshold - CLEAR,
            to: threshold + CLEAR,
            writes: Entry::Overflow,
            height: 1.0,
        },
    );
}

fn unembed(sheet: &mut Sheet, places: Places, lead: f32) {
    let digit = [
        (Entry::Sum, 1.0),
        (Entry::Carry, 1.0),
        (Entry::Overflow, -10.0),
    ];
    sheet.digit_logits(lead, &digit);
    let at_equals = (Entry::At(places.equals()), -2.0 * NO_DIGIT);
    sheet.logit(token('+'), NO_DIGIT, &[at_equals]);
}

/// The table in the module's documentation.
fn true_claims(places: Places) -> BTreeMap<(NodeName, Variable), Carries> {
    let n_digits = places.n_digits();
    let mut claims = BTreeMap::new();
    let mut claim = |node, task, digit, carries| {
        claims.insert((node, variable(task, digit)), carries);
    };
    for number in [OWN, OWN_SECOND] {
        claim(places.head(0, number), Task::Sa, 0, Carries::Jointly);
    }
    for number in BELOW {
        claim(places.head(1, number), Task::Sc, 0, Carries::Redundantly);
    }
    for k in 1..n_digits {
        claim(places.head(k, OWN), Task::Sa, k, Carries::Alone);
    }
    for k in 1..=n_digits {
        let below = k - 1;
        let votes = places.mlp(k, 0);
        for task in [Task::Sc, Task::Sv] {
            claim(votes, task, below, Carries::Alone);
        }
        for layer in 0..LAYERS {
            claim(places.mlp(k, layer), Task::Stc, k, Carries::Alone);
        }
        if below == 0 {
            claim(votes, Task::St, below, Carries::Alone);
            continue;
        }
        claim(votes, Task::Ss, below, Carries::Alone);
        for task in [Task::Sc, Task::St] {
            claim(places.head(k, BELOW[0]), task, below, Carries::Alone);
        }
        let lower = places.head(k, LOWER);
        claim(lower, Task::Ss, below, Carries::Alone);
        claim(lower, Task::Sv, below - 1, Carries::Alone);
        if below == 1 {
            claim(lower, Task::St, 0, Carries::Alone);
        }
    }
    for task in [Task::Sc, Task::Ss, Task::Sv] {
        claim(places.mlp(n_digits, 1), task, n_digits - 1, Carries::Alone);
    }
    claims
}

fn nearly_true(places: Places) -> BTreeSet<(NodeName, Variable)> {
    let n_digits = places.n_digits();
    let mut claims = BTreeSet::new();
    for number in BELOW {
        // One vote against two decides if those two are halves.
        for (task, digit) in [(Task::St, 0), (Task::Sv, 0), (Task::Stc, 1)] {
            claims.insert((places.head(1, number), variable(task, digit)));
        }
    }
    for k in 2..=n_digits {
        let below = k - 1;
        // Right unless the column below sums to nine in the source and propagates another carry
        // there.
        let head = places.head(k, BELOW[0]);
        claims.insert((head, variable(Task::Sv, below)));
        claims.insert((head, variable(Task::Stc, k)));
        claims.insert((places.mlp(k, 0), variable(Task::St, below)));
        if below > 1 {
            let lower = places.head(k, LOWER);
            claims.insert((lower, variable(Task::St, below - 1)));
        }
    }
    claims.insert((places.mlp(n_digits, 1), variable(Task::St, n_digits - 1)));
    claims
}
