//! Refuses experiments that say nothing, cannot fail, or ask for numbers beyond all sense.

use std::collections::BTreeSet;

use super::super::act::Place;
use super::run::AssayError;
use super::{Control, Experiment, Pairs, Reading, Rule, Step, Target};
use crate::domain::shape::Shape;
use crate::experiment::check_alpha;

/// Most pairs of an experiment. Each takes some ten kilobytes of logits while an interpolation is swept.
const MOST_PAIRS: usize = 20_000;

/// Most random sets of a control.
const MOST_SETS: usize = 1000;

/// How far an interpolation may go, in shares of the way; not to go at all is no act.
const SHARE: std::ops::RangeInclusive<f64> = f64::MIN_POSITIVE..=1.0;

/// Bounds of a logit difference: those of trained networks are within a hundred logits.
const LOGITS: std::ops::RangeInclusive<f64> = -1000.0..=1000.0;

/// How often a direction may be added.
const TIMES: std::ops::RangeInclusive<f64> = -100.0..=100.0;

pub(super) fn check(experiment: &Experiment) -> Result<(), AssayError> {
    let Experiment {
        says,
        pairs,
        act,
        read,
        control,
        rule,
        ..
    } = experiment;
    if says.trim().is_empty() {
        return refused("`says` is empty: it says what the experiment is to show");
    }
    check_pairs(pairs)?;
    act.iter().try_for_each(check_step)?;
    match (read, act.is_empty()) {
        (Reading::Attention { .. }, false) => {
            return refused("attention is read without any act, and `act` is given");
        }
        (Reading::Attention { on, .. }, true) => {
            if on.is_empty() {
                return refused("`on` names no position");
            }
        }
        (_, true) => return refused("nothing is done: `act` is missing"),
        (_, false) => {}
    }
    for control in control {
        check_control(control, read)?;
    }
    check_rule(rule, !control.is_empty())?;
    match read {
        Reading::LogitDifference { .. } => check_logits(rule),
        _ => check_shares(rule),
    }
}

fn check_pairs(pairs: &Pairs) -> Result<(), AssayError> {
    let count = match pairs {
        Pairs::Variable { count, .. } | Pairs::Class { count, .. } => *count,
        Pairs::Given { pairs } => {
            let different: BTreeSet<String> = (pairs.iter())
                .map(|(source, base)| format!("{source} {base}"))
                .collect();
            if different.len() < pairs.len() {
                return refused("a pair is given twice: repeating it would count it as evidence");
            }
            if let Some((source, _)) = pairs.iter().find(|(source, base)| source == base) {
                return refused(format!("{source} is its own source: nothing could change"));
            }
            pairs.len()
        }
    };
    match count {
        1..=MOST_PAIRS => Ok(()),
        _ => refused(format!("{count} pairs: expected 1 to {MOST_PAIRS}")),
    }
}

fn check_step(step: &Step) -> Result<(), AssayError> {
    if step.at().is_empty() {
        return refused("`at` names no place");
    }
    match step {
        Step::Interpolate {
            share: Some(share), ..
        } if !SHARE.contains(share) => refused(format!(
            "share {share:?}: expected more than 0, and 1 at most"
        )),
        Step::Add { times, .. } if !TIMES.contains(times) || *times == 0.0 => {
            refused(format!("times {times:?}: expected -100 to 100, and not 0"))
        }
        _ => Ok(()),
    }
}

fn check_control(control: &Control, read: &Reading) -> Result<(), AssayError> {
    let is_attention = matches!(read, Reading::Attention { .. });
    match control {
        Control::RandomSets { sets } if !(1..=MOST_SETS).contains(sets) => {
            refused(format!("{sets} random sets: expected 1 to {MOST_SETS}"))
        }
        Control::RandomSets { .. } if !read.counts() => {
            refused("random sets are compared by counting pairs")
        }
        Control::SameValue | Control::Elsewhere { .. } if is_attention => {
            refused("attention is read without any act, so this control could not fail")
        }
        _ => Ok(()),
    }
}

fn check_rule(rule: &Rule, controlled: bool) -> Result<(), AssayError> {
    let Rule {
        at_least,
        at_most,
        control_at_most,
        alpha,
    } = *rule;
    let bounds = [at_least, at_most, control_at_most];
    if let Some(bound) = bounds
        .into_iter()
        .flatten()
        .find(|bound| !bound.is_finite())
    {
        return refused(format!("the rule's bound {bound:?} is no finite number"));
    }
    if at_least.is_none() && at_most.is_none() {
        return refused("the rule has neither `at_least` nor `at_most`: it could not fail");
    }
    if let (Some(least), Some(most)) = (at_least, at_most)
        && least > most
    {
        return refused(format!(
            "no value is at least {least:?} and at most {most:?}"
        ));
    }
    if controlled != control_at_most.is_some() {
        return refused("a rule has `control_at_most` if there are controls, and only then");
    }
    check_alpha(alpha).or_else(|error| refused(error.to_string()))
}

/// Refuses bounds that every share meets, and that none does.
fn check_shares(rule: &Rule) -> Result<(), AssayError> {
    let lower = rule
        .at_least
        .map(|least| ("at_least", least, 0.0 < least && least <= 1.0));
    let upper = [
        ("at_most", rule.at_most),
        ("control_at_most", rule.control_at_most),
    ];
    let upper = upper.map(|(name, most)| most.map(|most| (name, most, (0.0..1.0).contains(&most))));
    let wrong = lower.into_iter().chain(upper.into_iter().flatten());
    match wrong.into_iter().find(|(_, _, fits)| !fits) {
        None => Ok(()),
        Some((name, bound, _)) => refused(format!(
            "{name} = {bound:?}: a share is read, and no share or every share meets this"
        )),
    }
}

/// Refuses bounds that every logit difference meets, and that none does.
fn check_logits(rule: &Rule) -> Result<(), AssayError> {
    let bounds = [rule.at_least, rule.at_most, rule.control_at_most];
    match bounds
        .into_iter()
        .flatten()
        .find(|bound| !LOGITS.contains(bound))
    {
        None => Ok(()),
        Some(bound) => refused(format!(
            "{bound:?} logits: expected {} to {}",
            LOGITS.start(),
            LOGITS.end()
        )),
    }
}

/// Refuses what a model of this shape does not have. Places are resolved where they are used.
pub(super) fn check_fits(experiment: &Experiment, shape: &Shape) -> Result<(), AssayError> {
    let highest = shape.n_digits;
    if let Pairs::Variable { variable, .. } = &experiment.pairs
        && !variable.fits(highest)
    {
        return refused(format!(
            "{variable}: the model's answers have the digits A0 to A{highest}"
        ));
    }
    // What is kept need not reach anything.
    let acts = (experiment.act.iter()).filter(|step| !matches!(step, Step::KeepOnly { .. }));
    let idle = acts.flat_map(Step::at).find(|target| match target {
        Target::Place(Place::Site(site)) => {
            site.check(shape).is_ok() && !site.reaches_an_answer(shape)
        }
        _ => false,
    });
    if let Some(idle) = idle {
        return refused(format!(
            "{idle} reaches no answer token: nothing could change"
        ));
    }
    let token = match experiment.read {
        Reading::Predicted { token } | Reading::Changed { token } | Reading::Right { token } => {
            token
        }
        Reading::LogitDifference { token } | Reading::StepWidth { token } => Some(token),
        Reading::Attention { .. } => None,
    };
    match token {
        Some(token) if token > shape.sign_token() => refused(format!(
            "token {token}: the model's answers have A0 to A{highest} and the sign, {}",
            shape.sign_token()
        )),
        _ => Ok(()),
    }
}

fn refused(reason: impl Into<String>) -> Result<(), AssayError> {
    Err(AssayError::Unfit(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "
says = \"x\"
[pairs]
from = \"variable\"
variable = \"A2.SC\"
[[act]]
do = \"interpolate\"
at = [\"P14L0H2\"]
share = 1.0
[read]
what = \"predicted\"
[[control]]
by = \"random_sets\"
sets = 2
[rule]
at_least = 0.9
control_at_most = 0.1
alpha = 0.01
";

    #[test]
    fn what_the_model_does_not_have_is_refused() {
        let shape = Shape::EXAMPLE;
        let checked = |text: &str| check_fits(&Experiment::parse(text).unwrap(), &shape);
        checked(SOUND).unwrap();
        for (from, to, reason) in [
            (
                "A2.SC",
                "A9.SC",
                "A9.SC: the model's answers have the digits A0 to A5",
            ),
            (
                "what = \"predicted\"",
                "what = \"predicted\"\ntoken = \"A9\"",
                "token A9",
            ),
            ("P14L0H2", "P1L1H2", "P1L1H2 reaches no answer token"),
        ] {
            let error = checked(&SOUND.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn what_says_nothing_or_cannot_fail_is_refused() {
        let checked = |text: &str| check(&Experiment::parse(text).unwrap());
        checked(SOUND).unwrap();
        let pair = "[\"1+1\", \"2+2\"]";
        let given = format!("from = \"given\"\npairs = [{pair}, {pair}]");
        let attention = "what = \"attention\"\nhead = \"P14L0H2\"\non = [1]";
        for (from, to, reason) in [
            ("says = \"x\"", "says = \" \"", "`says` is empty"),
            (
                "variable = \"A2.SC\"",
                "variable = \"A2.SC\"\ncount = 0",
                "0 pairs",
            ),
            (
                "variable = \"A2.SC\"",
                "variable = \"A2.SC\"\ncount = 20001",
                "20001 pairs",
            ),
            (
                "from = \"variable\"\nvariable = \"A2.SC\"",
                &given,
                "a pair is given twice",
            ),
            ("share = 1.0", "share = nan", "share NaN"),
            ("share = 1.0", "share = 1.1", "share 1.1"),
            (
                "do = \"interpolate\"\nat = [\"P14L0H2\"]\nshare = 1.0",
                "do = \"add\"\nat = [\"P14L0H2\"]\ntimes = inf",
                "times inf",
            ),
            (
                "what = \"predicted\"",
                attention,
                "attention is read without any act",
            ),
            ("sets = 2", "sets = 0", "0 random sets"),
            ("sets = 2", "sets = 1001", "1001 random sets"),
            (
                "what = \"predicted\"",
                "what = \"logit_difference\"\ntoken = \"A3\"",
                "by counting pairs",
            ),
            ("at_least = 0.9", "", "neither `at_least` nor `at_most`"),
            ("at_least = 0.9", "at_least = nan", "bound NaN"),
            (
                "at_least = 0.9",
                "at_least = 0.9\nat_most = 0.1",
                "at least 0.9 and at most 0.1",
            ),
            (
                "control_at_most = 0.1",
                "",
                "`control_at_most` if there are controls",
            ),
            ("alpha = 0.01", "alpha = nan", "alpha is NaN"),
            ("alpha = 0.01", "alpha = 0.0", "alpha is 0"),
            (
                "alpha = 0.01",
                "alpha = 1e-300",
                "alpha is 1e-300, expected 1e-9",
            ),
            ("alpha = 0.01", "alpha = 2.0", "alpha is 2"),
            ("[\"P14L0H2\"]", "[]", "`at` names no place"),
            ("share = 1.0", "share = 0.0", "share 0.0"),
            (
                "do = \"interpolate\"\nat = [\"P14L0H2\"]\nshare = 1.0",
                "do = \"add\"\nat = [\"P14L0H2\"]\ntimes = 0.0",
                "times 0.0",
            ),
            (
                "from = \"variable\"\nvariable = \"A2.SC\"",
                "from = \"given\"\npairs = [[\"1+1\", \"1+1\"]]",
                "is its own source",
            ),
            (
                "what = \"predicted\"\n[[control]]\nby = \"random_sets\"\nsets = 2\n[rule]\nat_least = 0.9\ncontrol_at_most = 0.1",
                "what = \"logit_difference\"\ntoken = \"A3\"\n[rule]\nat_least = -1e300",
                "-1e300 logits",
            ),
            ("share = 1.0", "share = 1e300", "share 1e300"),
            ("at_least = 0.9", "at_least = 0.0", "at_least = 0.0"),
            ("at_least = 0.9", "at_least = 1.5", "at_least = 1.5"),
            ("at_least = 0.9", "at_most = 1.0", "at_most = 1.0"),
            (
                "control_at_most = 0.1",
                "control_at_most = 1.0",
                "control_at_most = 1.0",
            ),
        ] {
            assert!(SOUND.contains(from), "{from}");
            let error = checked(&SOUND.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{to}: {error}");
        }
        let (before, after) = SOUND.split_once("[[act]]").unwrap();
        let (_, after) = after.split_once("[read]").unwrap();
        let idle = format!("{before}[read]{after}");
        let error = checked(&idle).unwrap_err().to_string();
        assert!(error.contains("nothing is done"), "{error}");
        let watched = idle.replace("what = \"predicted\"", attention);
        for (control, sound) in [("same_value", false), ("untrained", true)] {
            let control = format!("by = \"{control}\"");
            let text = watched.replace("by = \"random_sets\"\nsets = 2", &control);
            assert_eq!(checked(&text).is_ok(), sound, "{control}");
        }
    }
}
