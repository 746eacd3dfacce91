//! Claims of combiners as published: `Algo:A3.STC` and its kin on the last MLP where a digit is predicted.

use super::combines;
use crate::analysis::evidence_map::MapError;
use crate::domain::arithmetic::{AnswerToken, Class, Operation, Prompt, Question};
use crate::domain::causal::{Case, Stimulus, StimulusName};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::site::{Hook, Point, Site};
use crate::domain::task::Variable;
use crate::experiment::{Act, Asked, Change, Stage};
use crate::inputs::claims::Tag;
use crate::inputs::model::Operations;
use crate::network::engine::Engine;

/// What a node may combine, one variable for each class trained: none, unless it is the last MLP where a digit
/// is predicted.
pub fn combined_by(shape: &Shape, operations: Operations, node: Node) -> Vec<(Class, Variable)> {
    let is_last_mlp = node.head().is_none() && node.layer() + 1 == shape.n_layers;
    let predicts = |&digit: &usize| shape.predicting(AnswerToken(digit)) == node.position();
    let Some(digit) = (0..=shape.n_digits).find(predicts).filter(|_| is_last_mlp) else {
        return Vec::new();
    };
    let variable = |class: Class| Variable {
        task: combines(class),
        digit: Some(digit),
    };
    let classes = operations.classes().into_iter();
    classes.map(|class| (class, variable(class))).collect()
}

/// The combiner tags that the published technique gives a node: if an answer token of a fixed question
/// changes without it, or if the digit follows when all that its logits are computed from is exchanged. The
/// latter holds of any network whose two answers differ.
///
/// # Errors
/// [`MapError`] where an intervention was not applied.
pub fn combiners_published(
    engine: &Engine,
    operations: Operations,
    node: Node,
) -> Result<Vec<Tag>, MapError> {
    let mut tags = Vec::new();
    for (class, variable) in combined_by(&engine.shape(), operations, node) {
        let digit = variable.digit.unwrap_or_default();
        if is_needed(engine, class, digit, node)? || is_exchanged(engine, class, digit, node)? {
            tags.push(Tag {
                major: "Algo".into(),
                minor: variable.to_string(),
            });
        }
    }
    Ok(tags)
}

fn stage(engine: &Engine) -> Stage<'_> {
    Stage {
        engine,
        set: &[],
        seed: 0,
    }
}

/// The published question of a class about a digit.
fn question(class: Class, digit: usize, n_digits: usize) -> Question {
    let all = |digit: u128| (0..n_digits).fold(0, |number, _| number * 10 + digit);
    let step = 10u128.pow(digit.saturating_sub(1) as u32);
    let (first, operation, second) = match class {
        Class::Add => (all(2) + 7 * step, Operation::Add, all(2) + 7 * step),
        Class::Sub => (all(8) - 8 * step, Operation::Sub, all(3)),
        Class::Neg => (all(3), Operation::Sub, all(8) - 8 * step),
    };
    Question::new(first, operation, second, n_digits)
}

/// Whether an answer token of the published question changes when the MLP's hidden layer is zeroed.
fn is_needed(engine: &Engine, class: Class, digit: usize, node: Node) -> Result<bool, MapError> {
    let base = Prompt::truth(question(class, digit, engine.shape().n_digits));
    let asked = [Asked { source: base, base }];
    let zeroed = Change::new(Act::Zero, [Site::from(node)]);
    let acted = stage(engine).act(&asked, &[zeroed])?;
    Ok(acted.changed[0][0].answer() != acted.base[0].answer())
}

/// Whether the digit of the published cascade follows when the stream before the MLP is exchanged whole.
fn is_exchanged(engine: &Engine, class: Class, digit: usize, node: Node) -> Result<bool, MapError> {
    let n_digits = engine.shape().n_digits;
    if digit == 0 || digit + 2 > n_digits {
        return Ok(false);
    }
    let cascade = Stimulus::new(StimulusName::Cascade, class, digit - 1);
    let of = |carry: bool| {
        let case = match digit {
            1 => Case::Committed(carry),
            _ => Case::Undecided(carry),
        };
        let questions = cascade.set(case, n_digits)?.enumerate();
        questions.first().map(|&question| Prompt::truth(question))
    };
    let (Some(source), Some(base)) = (of(true), of(false)) else {
        return Ok(false);
    };
    let stream = Site::at(node.position(), Hook::of(Point::ResidMid, node.layer()));
    let acted = stage(engine).act(
        &[Asked { source, base }],
        &[Change::new(Act::Swap, [stream])],
    )?;
    let token = AnswerToken(digit);
    let patched = acted.changed[0][0].answer().get(token);
    let (clean, wanted) = (&acted.base[0].answer(), &acted.source[0].answer());
    Ok(clean.get(token) != wanted.get(token) && patched == wanted.get(token))
}
