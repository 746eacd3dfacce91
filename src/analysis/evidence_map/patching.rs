//! Interchanges at the place where a digit is predicted: what is exchanged, between which questions,
//! and what is read.

use rand::seq::SliceRandom;
use serde::Deserialize;

use super::MapError;
use super::lab::{Lab, Which};
use super::measure::Row;
use crate::analysis::hypothesis::Digits;
use crate::domain::arithmetic::{Answer, AnswerToken, Class, Prompt};
use crate::domain::causal::{Coupling, Kind, Pair, Stimulus, StimulusName, predict};
use crate::domain::edge::{Edge, Receiver, Sender};
use crate::domain::node::Node;
use crate::domain::site::{Hook, Point, Site};
use crate::domain::task::{Task, Variable};
use crate::experiment::stats::Count;
use crate::experiment::{Act, Asked, Change, Place, Stage};
use crate::network::ablation::Ablation;
use crate::network::engine::EngineError;
use crate::network::logits::AnswerLogits;

/// Pairs of one row.
const PAIRS: usize = 256;

/// Pairs on which a node is found. The rows are measured on others.
const SEARCH_PAIRS: usize = 48;

/// What is exchanged at the position that predicts the digit read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchanged {
    /// All heads of the last layer.
    Consumers,
    /// The head of the last layer that carries most.
    Consumer,
    /// The head of any layer that carries most, of those that attend to the column's digits.
    Reader,
    /// The MLP of any layer that carries most.
    Mlp,
    /// The MLP of the last layer.
    Combiner,
    /// What enters the last layer; its heads attend anew.
    Residual,
    /// What enters the last layer; its heads are held.
    ResidualAlone,
    /// All that the token's logits are computed from, so that the source's token always follows.
    Everything,
    /// What the heads of the last layer read at `=`, for its MLP alone.
    FromEquals,
    /// What they read at the digits of the column that decides, for the MLP alone.
    FromDeciding,
    /// What they read anywhere else, for the MLP alone.
    FromElsewhere,
    /// The head of any layer that carries most.
    Head,
    /// The attention patterns of all heads of the last layer.
    Patterns,
    /// The heads that the model's files claim the tri-case of the column that decides for, of those that
    /// can see it and are read where the digit is predicted.
    Writers,
    /// As many such heads that no file claims anything of, at random.
    OtherHeads,
}

/// What is read of the patched answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// The digit that receives the carry becomes the predicted one.
    Predicted,
    /// That digit changes.
    Changed,
    /// The digit of the column itself changes.
    ChangedBelow,
    /// The digit that receives the carry stays as it is.
    Kept,
}

/// An interchange or an ablation, with one row for each class, column and depth.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interchange {
    pub stimulus: StimulusName,
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    /// The columns whose carry out is exchanged.
    pub digits: Digits,
    /// How many columns below these it is decided; by default as the stimulus implies.
    pub depths: Option<Digits>,
    pub kind: Kind,
    #[serde(default)]
    pub redrawn: bool,
    pub exchange: Exchanged,
    /// What is put in instead of the source's values.
    pub ablate: Option<Ablation>,
    /// Whether only the last layer's MLP reads the change, with the scale of its layer norm frozen.
    #[serde(default)]
    pub edge: bool,
    #[serde(default = "predicted")]
    pub read: Read,
    #[serde(default)]
    pub which: Which,
    #[serde(default = "pairs")]
    pub pairs: usize,
}

pub(super) fn additions() -> Vec<Class> {
    vec![Class::Add]
}

const fn predicted() -> Read {
    Read::Predicted
}

const fn pairs() -> usize {
    PAIRS
}

/// The stimuli of a measurement: those of the classes that the model answers and can have.
pub(super) fn stimuli(
    lab: &Lab,
    name: StimulusName,
    classes: &[Class],
    digits: &Digits,
    depths: Option<&Digits>,
) -> Vec<Stimulus> {
    let shape = lab.shape();
    let mut all = Vec::new();
    for &class in classes.iter().filter(|&&class| lab.answers(class)) {
        for digit in digits.values(&shape) {
            let stimulus = Stimulus::new(name, class, digit);
            match depths {
                None => all.push(stimulus),
                Some(depths) => all.extend(
                    (depths.values(&shape))
                        .filter(|&depth| depth <= digit)
                        .map(|depth| stimulus.with_depth(depth)),
                ),
            }
        }
    }
    all
}

/// The name of a stimulus in rows: `ADD A3, depth 2`.
pub(super) fn label(stimulus: &Stimulus) -> String {
    let depth = match stimulus.name {
        StimulusName::Four | StimulusName::Random => String::new(),
        _ => format!(", depth {}", stimulus.depth),
    };
    format!("{} {}{depth}", stimulus.class, stimulus.reads())
}

/// The variable that the digit above a stimulus' column combines: the carry or borrow into it.
pub(super) fn carry_variable(stimulus: &Stimulus) -> Variable {
    let task = match stimulus.class {
        Class::Add => Task::Stc,
        Class::Sub => Task::Mtc,
        Class::Neg => Task::Ntc,
    };
    Variable {
        task,
        digit: Some(stimulus.reads().0),
    }
}

/// What is exchanged in a row, once nodes were found.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// The nodes, in words.
    of: String,
    places: Vec<Place>,
    /// Nodes that keep their own values.
    held: Vec<Node>,
}

impl Found {
    fn named(of: &str, places: impl IntoIterator<Item = Site>) -> Self {
        Found {
            of: of.into(),
            places: places.into_iter().map(Into::into).collect(),
            held: Vec::new(),
        }
    }
}

/// The names of nodes, with blanks between.
fn names(nodes: &[Node]) -> String {
    let names: Vec<String> = Node::names(nodes).iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// The heads of a layer at a position.
pub(super) fn heads(lab: &Lab, layer: usize, position: usize) -> Vec<Node> {
    let all = Node::all_at(&lab.shape(), position, layer).into_iter();
    all.filter(|node| node.head().is_some()).collect()
}

/// The MLP of a layer at a position.
pub(super) fn mlp(lab: &Lab, layer: usize, position: usize) -> Node {
    let mut all = Node::all_at(&lab.shape(), position, layer).into_iter();
    all.find(|node| node.head().is_none())
        .expect("every layer has an MLP")
}

impl Interchange {
    /// Measures every row; each bound is wrong with probability at most an even share of the error.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let mut counts = Vec::new();
        for stimulus in stimuli(
            lab,
            self.stimulus,
            &self.classes,
            &self.digits,
            self.depths.as_ref(),
        ) {
            let Some(found) = self.exchanged(lab, &stimulus)? else {
                continue;
            };
            let label = label(&stimulus);
            let mut rng = lab.stream(&format!("{name}/{label}"));
            let pairs = self.draw(lab, &stimulus, self.kind, self.pairs, &mut rng);
            let count = self.counts(lab, &stimulus, std::slice::from_ref(&found), &pairs)?[0];
            if count.trials == 0 {
                continue;
            }
            counts.push((format!("{label}: {}", found.of), count));
        }
        let alpha = lab.options.alpha / (2 * counts.len().max(1)) as f64;
        let row = |(of, count)| Row::count(of, count, alpha);
        Ok(counts.into_iter().map(row).collect())
    }

    fn draw(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        kind: Kind,
        count: usize,
        rng: &mut rand_chacha::ChaCha8Rng,
    ) -> Vec<Pair> {
        let coupling = match self.redrawn {
            true => Coupling::Redrawn,
            false => Coupling::Twin,
        };
        stimulus.pairs(kind, coupling, lab.shape().n_digits, count, rng)
    }

    /// What a row exchanges; `None` where the model has no such node.
    fn exchanged(&self, lab: &Lab, stimulus: &Stimulus) -> Result<Option<Found>, MapError> {
        let shape = lab.shape();
        let position = shape.predicting(stimulus.reads());
        let last = lab.last_layer();
        let consumers = heads(lab, last, position);
        let resid_pre = Site::at(position, Hook::of(Point::ResidPre, last));
        let equals = shape.first_answer_position();
        let deciding = stimulus.decides().map(|digit| {
            let digits = [shape.first_operand(digit), shape.second_operand(digit)];
            digits.to_vec()
        });
        Ok(match self.exchange {
            Exchanged::Consumers => Some(self.of_nodes(lab, &consumers)?),
            Exchanged::Combiner => Some(self.of_nodes(lab, &[mlp(lab, last, position)])?),
            Exchanged::Residual => Some(Found::named("residual", [resid_pre])),
            Exchanged::ResidualAlone => Some(Found {
                held: consumers,
                ..Found::named("residual, heads held", [resid_pre])
            }),
            Exchanged::Everything => {
                let all = Site::resid_post(position, last);
                Some(Found::named("everything", [all]))
            }
            Exchanged::FromEquals => Some(self.reading(lab, "=", &consumers, &[equals])?),
            Exchanged::FromDeciding => match deciding {
                Some(keys) => Some(self.reading(lab, "the deciding digits", &consumers, &keys)?),
                None => None,
            },
            Exchanged::FromElsewhere => {
                let aside = deciding.unwrap_or_default();
                let keys = (0..=position).filter(|key| *key != equals && !aside.contains(key));
                let keys: Vec<usize> = keys.collect();
                Some(self.reading(lab, "all else", &consumers, &keys)?)
            }
            Exchanged::Patterns => {
                let pattern = |node: &Node| {
                    let head = node.head().expect("a consumer is a head");
                    Site::of_head(position, Hook::of(Point::Pattern, last), head)
                };
                let patterns = consumers.iter().map(pattern);
                Some(Found::named("attention patterns", patterns))
            }
            Exchanged::Writers => {
                let writers = writers(lab, stimulus);
                match writers.is_empty() {
                    true => None,
                    false => Some(self.of_nodes(lab, &writers)?),
                }
            }
            Exchanged::OtherHeads => self.other_heads(lab, stimulus)?,
            Exchanged::Consumer => self.best(lab, stimulus, &consumers)?,
            Exchanged::Mlp => {
                let mlps: Vec<Node> = (0..=last).map(|layer| mlp(lab, layer, position)).collect();
                self.best(lab, stimulus, &mlps)?
            }
            Exchanged::Head => {
                let all = (0..=last).flat_map(|layer| heads(lab, layer, position));
                self.best(lab, stimulus, &all.collect::<Vec<Node>>())?
            }
            Exchanged::Reader => {
                let readers = self.readers(lab, stimulus, position)?;
                self.best(lab, stimulus, &readers)?
            }
        })
    }

    /// Nodes, or what the last layer's MLP at their position reads of them.
    fn of_nodes(&self, lab: &Lab, nodes: &[Node]) -> Result<Found, MapError> {
        let sites = nodes.iter().map(|&node| Site::from(node));
        if !self.edge {
            return Ok(Found::named(&names(nodes), sites));
        }
        let senders: Result<Vec<Sender>, _> = sites.map(Sender::new).collect();
        to_the_mlp(lab, names(nodes), senders.map_err(MapError::edge)?)
    }

    /// What heads read at some positions, for the MLP of their layer alone.
    fn reading(
        &self,
        lab: &Lab,
        at: &str,
        heads: &[Node],
        keys: &[usize],
    ) -> Result<Found, MapError> {
        let sender = |&node: &Node| Sender::new(node.into())?.reading_at(keys.iter().copied());
        let senders: Result<Vec<Sender>, _> = heads.iter().map(sender).collect();
        let of = format!("{} reading at {at}", names(heads));
        to_the_mlp(lab, of, senders.map_err(MapError::edge)?)
    }

    /// As many heads as the column's writers, of those that no file claims anything of.
    fn other_heads(&self, lab: &Lab, stimulus: &Stimulus) -> Result<Option<Found>, MapError> {
        let writers = writers(lab, stimulus).len();
        let claimed = lab.claimed_nodes(|_| true);
        let is_free = |node: &Node| may_write(lab, stimulus, node) && !claimed.contains(node);
        let mut free = Node::all(&lab.shape());
        free.retain(is_free);
        free.shuffle(&mut lab.stream(&format!("other heads/{}", label(stimulus))));
        if writers == 0 || free.len() < writers {
            return Ok(None);
        }
        free.truncate(writers);
        free.sort();
        Ok(Some(self.of_nodes(lab, &free)?))
    }

    /// The node that gives the predicted digit most often, on pairs of its own.
    fn best(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        candidates: &[Node],
    ) -> Result<Option<Found>, MapError> {
        if candidates.is_empty() {
            return Ok(None);
        }
        // The stream does not name the measurement, so that a control finds the same node.
        let mut rng = lab.stream(&format!("search/{:?}/{}", self.exchange, label(stimulus)));
        let pairs = self.draw(lab, stimulus, Kind::Counterfactual, SEARCH_PAIRS, &mut rng);
        let predicting = Interchange {
            read: Read::Predicted,
            ablate: None,
            ..self.clone()
        };
        let found: Result<Vec<Found>, MapError> = (candidates.iter())
            .map(|&node| self.of_nodes(lab, &[node]))
            .collect();
        let found = found?;
        let counts = predicting.counts(lab, stimulus, &found, &pairs)?;
        let mut best: Option<(u64, Found)> = None;
        for (found, count) in found.into_iter().zip(counts) {
            if best.as_ref().is_none_or(|(most, _)| count.hits > *most) {
                best = Some((count.hits, found));
            }
        }
        Ok(best.map(|(_, found)| found))
    }

    /// The heads at a position that attend to the digits of the stimulus' column.
    fn readers(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        position: usize,
    ) -> Result<Vec<Node>, EngineError> {
        let shape = lab.shape();
        let mut rng = lab.stream(&format!("attention/{}", label(stimulus)));
        let drawn = self.draw(lab, stimulus, Kind::Counterfactual, SEARCH_PAIRS, &mut rng);
        let prompts: Vec<Prompt> = drawn.iter().map(|pair| Prompt::truth(pair.base)).collect();
        lab.readers(
            self.which,
            &prompts,
            0..shape.n_layers,
            position,
            stimulus.digit,
        )
    }

    /// Counts, for each of what was found, the pairs of which the network answers both questions correctly.
    /// The untrained network, which answers none, is held against its own answer to the source, where that
    /// is another than to the base: what any network does shows in it too.
    fn counts(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        found: &[Found],
        pairs: &[Pair],
    ) -> Result<Vec<Count>, MapError> {
        let token = stimulus.reads();
        let act = self.ablate.map_or(Act::Swap, Act::from);
        let set = match act.needs_set() {
            true => lab.reference(stimulus.class),
            false => Vec::new(),
        };
        let stage = Stage {
            engine: lab.engine_of(self.which),
            set: &set,
            seed: lab.options.seed,
        };
        let change = |found: &Found| {
            Change::new(act.clone(), found.places.iter().cloned()).and(
                Act::Interpolate(0.0),
                found.held.iter().map(|&node| Site::from(node)),
            )
        };
        let changes: Vec<Change> = found.iter().map(change).collect();
        let asked: Vec<Asked> = (pairs.iter())
            .map(|pair| Asked {
                source: pair.source,
                base: Prompt::truth(pair.base),
            })
            .collect();
        let acted = stage.act(&asked, &changes)?;
        let answers = |logits: &AnswerLogits, prompt: &Prompt| {
            logits.answer().get(token) == prompt.forced.get(token)
        };
        let variable = carry_variable(stimulus);
        let mut counts = vec![Count::default(); found.len()];
        for (number, pair) in pairs.iter().enumerate() {
            let (clean, source) = (&acted.base[number], &acted.source[number]);
            let predicted = match self.which {
                Which::Trained => {
                    let both = answers(clean, &asked[number].base) && answers(source, &pair.source);
                    both.then(|| {
                        let predicted = predict(variable, &pair.source, &pair.base);
                        predicted.expect("source and base are of one class")
                    })
                }
                Which::Untrained => {
                    let own = source.answer();
                    let differs = own.get(token) != clean.answer().get(token);
                    (differs || self.read != Read::Predicted).then_some(own)
                }
            };
            if let Some(predicted) = predicted {
                for (count, changed) in counts.iter_mut().zip(&acted.changed) {
                    let patched = &changed[number];
                    count.add(self.read.hits(token, &predicted, clean, patched));
                }
            }
        }
        Ok(counts)
    }
}

/// The column that decides a stimulus' carry.
fn deciding(stimulus: &Stimulus) -> usize {
    stimulus.decides().unwrap_or(stimulus.digit)
}

/// Whether a node is a head that can see the digits of the column that decides, and can be read where the
/// carry is.
fn may_write(lab: &Lab, stimulus: &Stimulus, node: &Node) -> bool {
    let shape = lab.shape();
    let predicting = shape.predicting(stimulus.reads());
    let sees = node.position() >= shape.second_operand(deciding(stimulus));
    let is_read = match node.layer() == lab.last_layer() {
        true => node.position() == predicting,
        false => node.position() <= predicting,
    };
    node.head().is_some() && sees && is_read
}

/// The heads claimed for the tri-case of the column that decides a stimulus' carry.
fn writers(lab: &Lab, stimulus: &Stimulus) -> Vec<Node> {
    let digit = Some(deciding(stimulus));
    let tri_case = [Task::St, Task::Mt, Task::Gt];
    let is_written =
        |variable: &Variable| variable.digit == digit && tri_case.contains(&variable.task);
    let mut claimed = lab.claimed_nodes(|claim| claim.variable.as_ref().is_ok_and(is_written));
    claimed.retain(|node| may_write(lab, stimulus, node));
    claimed
}

/// Edges from heads at one position to the MLP of the last layer there.
fn to_the_mlp(lab: &Lab, of: String, senders: Vec<Sender>) -> Result<Found, MapError> {
    let edge = |sender: Sender| {
        let mlp = mlp(lab, lab.last_layer(), sender.site().position());
        Edge::new(sender, Receiver::new(mlp.into())?)
    };
    let edges: Result<Vec<Edge>, _> = senders.into_iter().map(edge).collect();
    let edges = edges.map_err(MapError::edge)?;
    Ok(Found {
        of: format!("{of} to the MLP"),
        places: edges.into_iter().map(Into::into).collect(),
        held: Vec::new(),
    })
}

impl Read {
    fn hits(
        self,
        token: AnswerToken,
        predicted: &Answer,
        clean: &AnswerLogits,
        patched: &AnswerLogits,
    ) -> bool {
        let (clean, patched) = (clean.answer(), patched.answer());
        let changed = |token: AnswerToken| clean.get(token) != patched.get(token);
        match self {
            Read::Predicted => changed(token) && patched.get(token) == predicted.get(token),
            Read::Changed => changed(token),
            Read::ChangedBelow => token.0 > 0 && changed(AnswerToken(token.0 - 1)),
            Read::Kept => !changed(token),
        }
    }
}
