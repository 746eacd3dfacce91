//! What each phase of a verification costs.

use std::time::Instant;

use serde::Serialize;

use crate::network::engine::Engine;

/// The cost of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PhaseCost {
    pub phase: &'static str,
    /// Questions run with an intervention.
    pub patched_questions: u64,
    /// Questions run unpatched, as base or as source.
    pub unpatched_questions: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Attributes what the engines run, and the time it takes, to phases.
pub struct Meter<'e> {
    engines: Vec<&'e Engine>,
    /// Questions patched and unpatched before the current phase.
    charged: (u64, u64),
    since: Instant,
    costs: Vec<PhaseCost>,
}

impl<'e> Meter<'e> {
    /// Starts the clock.
    pub fn new(engine: &'e Engine) -> Self {
        Meter {
            charged: questions(engine),
            engines: vec![engine],
            since: Instant::now(),
            costs: Vec::new(),
        }
    }

    /// Counts another engine's questions too.
    pub fn watch(&mut self, engine: &'e Engine) {
        self.charged = sum(self.charged, questions(engine));
        self.engines.push(engine);
    }

    /// Attributes everything since the previous call to `phase`.
    pub fn charge(&mut self, phase: &'static str) {
        let total = (self.engines.iter()).fold((0, 0), |total, e| sum(total, questions(e)));
        let now = Instant::now();
        let patched_questions = total.0 - self.charged.0;
        let unpatched_questions = total.1 - self.charged.1;
        let seconds = (now - self.since).as_secs_f64();
        (self.charged, self.since) = (total, now);
        match self.costs.iter_mut().find(|cost| cost.phase == phase) {
            Some(cost) => {
                cost.patched_questions += patched_questions;
                cost.unpatched_questions += unpatched_questions;
                cost.seconds += seconds;
            }
            None => self.costs.push(PhaseCost {
                phase,
                patched_questions,
                unpatched_questions,
                seconds,
            }),
        }
    }

    /// The phases in the order they first ran.
    pub fn into_costs(self) -> Vec<PhaseCost> {
        self.costs
    }
}

/// Questions that an engine has run patched and unpatched.
fn questions(engine: &Engine) -> (u64, u64) {
    (engine.patched_questions(), engine.unpatched_questions())
}

fn sum(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}
