//! Value trees: a case and the way to simpler ones, for proptest's runner and for batched
//! shrinking.

use std::sync::Arc;

use proptest::strategy::ValueTree;

use super::Property;
use super::case::Case;
use super::group::Group;

/// A case to be simplified while it fails.
///
/// Every simpler case it offers is in the domain of its clause, and strictly simpler than the last
/// one that failed, so a search terminates. It ends at a case from which no step leads to a failing
/// one.
#[derive(Debug, Clone)]
pub struct CaseTree {
    property: Arc<Property>,
    group: Group,
    failing: Case,
    candidate: Option<Case>,
    /// Index of the next move to try.
    cursor: usize,
    /// Moves tried since the last successful one.
    tried: usize,
}

impl CaseTree {
    /// A tree rooted at a case drawn from `group`.
    pub fn new(property: Arc<Property>, group: Group, case: Case) -> Self {
        CaseTree {
            property,
            group,
            failing: case,
            candidate: None,
            cursor: 0,
            tried: 0,
        }
    }

    /// The group the case was drawn from.
    pub fn group(&self) -> Group {
        self.group
    }

    pub fn case(&self) -> &Case {
        self.candidate.as_ref().unwrap_or(&self.failing)
    }

    fn advance(&mut self) -> bool {
        let clause = &self.property.clauses[self.failing.clause];
        let moves = clause.moves();
        while self.tried < moves.len() {
            let index = self.cursor;
            self.cursor = (self.cursor + 1) % moves.len();
            self.tried += 1;
            let next = moves.apply(index, &self.failing, clause.variables());
            if let Some(next) = next.filter(|next| clause.admits(next)) {
                self.candidate = Some(next);
                return true;
            }
        }
        false
    }
}

impl ValueTree for CaseTree {
    type Value = Case;

    fn current(&self) -> Case {
        self.case().clone()
    }

    /// The current case fails: offers a simpler one.
    fn simplify(&mut self) -> bool {
        if let Some(taken) = self.candidate.take() {
            let moves = self.property.clauses[self.failing.clause].moves();
            let last = (self.cursor + moves.len() - 1) % moves.len();
            if moves.repeats(last) {
                self.cursor = last;
            }
            self.failing = taken;
            self.tried = 0;
        }
        self.advance()
    }

    /// The current case holds: returns to the last that failed and offers another.
    fn complicate(&mut self) -> bool {
        self.candidate.take().is_some() && self.advance()
    }
}
