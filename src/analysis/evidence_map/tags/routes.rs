//! Tags of routes: how the carry reaches the last MLP where a digit is predicted, and from which heads.

use super::combines;
use crate::analysis::evidence_map::MapError;
use crate::analysis::evidence_map::lab::{Lab, Which};
use crate::analysis::evidence_map::measure::{By, Expect, Settled};
use crate::analysis::evidence_map::patching::{Exchanged, Interchange, Read, mlp};
use crate::analysis::hypothesis::Digits;
use crate::domain::arithmetic::{AnswerToken, Class, Prompt};
use crate::domain::causal::{Family, Kind, StimulusName, predict};
use crate::domain::edge::{Edge, Receiver, Sender};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::site::Site;
use crate::domain::task::Variable;
use crate::experiment::stats::Count;
use crate::experiment::{Act, Asked, Change, Stage};

/// The column whose carry is exchanged: it is read at A2, as published.
const COLUMN: usize = 1;

/// Pairs asked for of the published stimulus, which has two questions of a class.
const PUBLISHED_PAIRS: usize = 20;

/// Random pairs of the sound assay, and of an edge.
const PAIRS: usize = 96;

/// Least share of flips by a route, and most by a route between questions with the same carry, as published.
const CARRIES: f64 = 0.6;
const NULL: f64 = 0.3;

/// The two routes: what enters the last layer, and what its heads tell its MLP.
#[derive(Debug, Clone, Copy)]
enum Route {
    Residual,
    Attention,
}

/// An exchange by a route, as published or with random digits.
fn exchange(class: Class, route: Route, kind: Kind, sound: bool) -> Interchange {
    let (exchange, edge) = match (route, sound) {
        // As published, the heads of the last layer attend anew.
        (Route::Residual, false) => (Exchanged::Residual, false),
        (Route::Residual, true) => (Exchanged::ResidualAlone, false),
        (Route::Attention, _) => (Exchanged::Consumers, true),
    };
    Interchange {
        stimulus: match sound {
            false => StimulusName::Cascade,
            true => StimulusName::Any,
        },
        classes: vec![class],
        digits: Digits::only(COLUMN),
        depths: sound.then_some(Digits::only(COLUMN)),
        kind,
        redrawn: sound,
        exchange,
        ablate: None,
        edge,
        read: match (kind, sound) {
            (Kind::Counterfactual, true) => Read::Predicted,
            _ => Read::Changed,
        },
        which: Which::Trained,
        pairs: match sound {
            false => PUBLISHED_PAIRS,
            true => PAIRS,
        },
    }
}

/// Whether the carry takes a route; `None` if no pair can be asked about.
fn is_taken(
    lab: &Lab,
    class: Class,
    route: Route,
    sound: bool,
    name: &str,
) -> Result<Option<Settled>, MapError> {
    let rows = |kind| exchange(class, route, kind, sound).measure(lab, &format!("{name}/{kind:?}"));
    let (flips, null) = (rows(Kind::Counterfactual)?, rows(Kind::Control)?);
    if flips.is_empty() {
        return Ok(None);
    }
    let by = match sound {
        true => By::Bounds,
        false => By::Values,
    };
    let carries = Expect {
        at_least: Some(CARRIES),
        ..Expect::default()
    };
    let silent = Expect {
        at_most: Some(NULL),
        ..Expect::default()
    };
    // The published stimulus has one question for each carry, so no two with the same.
    let silent = match sound || !null.is_empty() {
        true => silent.judge(&null, by),
        false => None,
    };
    Ok(Settled::of_all(
        [carries.judge(&flips, by), silent].into_iter().flatten(),
    ))
}

/// The route; `None` where one of the two is open.
fn route(lab: &Lab, class: Class, sound: bool, name: &str) -> Result<Option<String>, MapError> {
    let taken = |route: Route| is_taken(lab, class, route, sound, &format!("{name}/{route:?}"));
    let value = match (taken(Route::Residual)?, taken(Route::Attention)?) {
        (Some(Settled::Open), _) | (_, Some(Settled::Open)) => return Ok(None),
        (Some(Settled::Holds), Some(Settled::Holds)) => "resatt",
        (Some(Settled::Holds), _) => "res",
        (_, Some(Settled::Holds)) => "att",
        (None, None) => "na",
        _ => "none",
    };
    Ok(Some(value.to_owned()))
}

/// The route as published: fixed questions, and the heads attend anew where the residual stream is exchanged.
pub(super) fn published(lab: &Lab, class: Class) -> Result<String, MapError> {
    let route = route(lab, class, false, &format!("tags/delivery/{class}"))?;
    Ok(route.expect("values are not open"))
}

/// The route by random pairs, the heads held where the residual stream is exchanged; `None` where it is open.
pub(super) fn sound(lab: &Lab, class: Class, repeat: usize) -> Result<Option<String>, MapError> {
    let name = format!("tags/delivery/{class}/{repeat}");
    route(lab, class, true, &name)
}

/// All heads of a position, by layer and number.
pub(super) fn heads(shape: &Shape) -> Vec<(usize, usize)> {
    (0..shape.n_layers)
        .flat_map(|layer| (0..shape.n_heads).map(move |head| (layer, head)))
        .collect()
}

/// For each head at the position that predicts a combiner's digit, whether what it tells the last MLP there
/// carries the variable: the predicted digit follows in pairs that differ in it, and none does in pairs
/// that do not.
pub(super) fn carrying(
    lab: &Lab,
    variable: Variable,
    heads: &[(usize, usize)],
    repeat: usize,
) -> Result<Vec<Settled>, MapError> {
    let alpha = lab.options.alpha / (2 * heads.len().max(1)) as f64;
    let share = |kind| counts(lab, variable, heads, kind, repeat);
    let (flips, null) = (share(Kind::Counterfactual)?, share(Kind::Control)?);
    let carries = |(flips, null): (&Count, &Count)| {
        let (flips, null) = (flips.bounds(alpha), null.bounds(alpha));
        if flips.lower >= CARRIES && null.upper <= NULL {
            Settled::Holds
        } else if flips.upper < CARRIES || null.lower > NULL {
            Settled::Fails
        } else {
            Settled::Open
        }
    };
    Ok(flips.iter().zip(&null).map(carries).collect())
}

/// Of counterfactual pairs those in which a head's edge gives the predicted digit, of control pairs those in
/// which it changes the digit, for each head.
fn counts(
    lab: &Lab,
    variable: Variable,
    heads: &[(usize, usize)],
    kind: Kind,
    repeat: usize,
) -> Result<Vec<Count>, MapError> {
    let shape = lab.shape();
    let token = AnswerToken(variable.digit.unwrap_or_default());
    let position = shape.predicting(token);
    let receiver =
        Receiver::new(mlp(lab, lab.last_layer(), position).into()).map_err(MapError::edge)?;
    let edge = |&(layer, head): &(usize, usize)| {
        let mut nodes = Node::all_at(&shape, position, layer).into_iter();
        let node = nodes.find(|node| node.head() == Some(head));
        let node = node.expect("a head of the network");
        Edge::new(Sender::new(Site::from(node))?, receiver)
    };
    let edges: Vec<Edge> = heads
        .iter()
        .map(edge)
        .collect::<Result<_, _>>()
        .map_err(MapError::edge)?;
    let mut rng = lab.stream(&format!("tags/edges/{variable}/{kind:?}/{repeat}"));
    let family = Family::new(variable, kind, shape.n_digits);
    let drawn = family.draws().take(PAIRS, &mut rng);
    let pairs = drawn.into_iter().map(|(_, pair)| pair).collect();
    let pairs = lab.answered(Which::Trained, token, pairs)?;
    let asked: Vec<Asked> = (pairs.iter())
        .map(|pair| Asked {
            source: pair.source,
            base: Prompt::truth(pair.base),
        })
        .collect();
    let changes: Vec<Change> = (edges.into_iter())
        .map(|edge| Change::new(Act::Swap, [edge]))
        .collect();
    let stage = Stage {
        engine: lab.engine,
        set: &[],
        seed: lab.options.seed,
    };
    let acted = stage.act(&asked, &changes)?;
    let mut counts = vec![Count::default(); heads.len()];
    for (count, changed) in counts.iter_mut().zip(&acted.changed) {
        for ((pair, patched), clean) in pairs.iter().zip(changed).zip(&acted.base) {
            let patched = patched.answer().get(token);
            let changes = patched != clean.answer().get(token);
            let predicted = predict(variable, &pair.source, &pair.base);
            let follows = predicted.is_some_and(|predicted| patched == predicted.get(token));
            count.add(changes && (kind == Kind::Control || follows));
        }
    }
    Ok(counts)
}

/// The class of a combiner's variable.
pub(super) fn class_of(variable: Variable) -> Option<Class> {
    let mut all = Class::ALL.into_iter();
    all.find(|&class| combines(class) == variable.task)
}
