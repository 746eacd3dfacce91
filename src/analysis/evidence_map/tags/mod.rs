//! The tags of 2026: what a node is said to read, deliver or combine, written into a model's files and
//! measured again, as published and so that it can fail.

mod combiners;
mod probes;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use super::MapError;
use super::lab::Lab;
use super::measure::Settled;
use crate::domain::arithmetic::{AnswerToken, Class};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::inputs::claims::Tag;

pub use combiners::{combined_by, combiners_published};
pub use probes::BEYOND_UNTRAINED;

/// How often an assay with random questions is repeated to measure a tag again.
pub const REPEATS: usize = 5;

/// The task that combines the carry or borrow into a digit, by class.
pub(super) const fn combines(class: Class) -> Task {
    match class {
        Class::Add => Task::Stc,
        Class::Sub => Task::Mtc,
        Class::Neg => Task::Ntc,
    }
}

/// What a tag of 2026 states of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapQuantity {
    /// `Probe:A3.LINXFER=98`: after layer 0, the digit of the second operand can be read at its own
    /// position, with this percentage right.
    OwnDigit { digit: usize },
    /// `Probe:A4.CARRYLAYER=1`: the lowest layer after which the carry into the digit can be read with one
    /// probe for carries of different depths, from some position on.
    CarryLayer { digit: usize },
    /// `Probe:A4.CARRYDEFER=2`: how many positions after the last digit of the question that is.
    CarryDefer { digit: usize },
    /// `Probe:DELIVERY.ADD=res`: how the carry reaches the last MLP.
    Delivery(Class),
    /// `Edge:A3.STC<-L0H1`: which head of its position tells an MLP the carry that it combines.
    Edge {
        variable: Variable,
        layer: usize,
        head: usize,
    },
}

/// What an assay gives of a quantity.
#[derive(Debug, Clone, PartialEq)]
pub enum MapReading {
    /// The minor part of the tag; empty where there would be none.
    Said(String),
    /// Intervals lie on both sides of a limit, or there was nothing to ask.
    Open,
    /// Percentages right of the trained and of the untrained network.
    Percents { trained: f64, untrained: f64 },
}

/// What was measured of a quantity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapReadings {
    /// By the assay as published; none where none was published.
    pub published: Vec<MapReading>,
    pub sound: Vec<MapReading>,
}

impl MapQuantity {
    /// What a tag states, if it is one of 2026 that this module measures.
    pub fn of(tag: &Tag) -> Option<Self> {
        match tag.major.as_str() {
            "Probe" => {
                let (what, _) = tag.minor.split_once('=')?;
                match what.split_once('.')? {
                    ("DELIVERY", class) => {
                        let mut all = Class::ALL.into_iter();
                        all.find(|known| known.to_string() == class)
                            .map(MapQuantity::Delivery)
                    }
                    (digit, what) => {
                        let digit = digit.strip_prefix('A')?.parse().ok()?;
                        match what {
                            "LINXFER" => Some(MapQuantity::OwnDigit { digit }),
                            "CARRYLAYER" => Some(MapQuantity::CarryLayer { digit }),
                            "CARRYDEFER" => Some(MapQuantity::CarryDefer { digit }),
                            _ => None,
                        }
                    }
                }
            }
            "Edge" => {
                let (variable, from) = tag.minor.split_once("<-")?;
                let variable: Variable = variable.parse().ok()?;
                let (layer, head) = from.strip_prefix('L')?.split_once('H')?;
                let quantity = MapQuantity::Edge {
                    variable,
                    layer: layer.parse().ok()?,
                    head: head.parse().ok()?,
                };
                routes::class_of(variable).is_some().then_some(quantity)
            }
            _ => None,
        }
    }

    /// The tag with a value: a percentage, a number, a route; an edge has none.
    pub fn tag(self, value: &str) -> Tag {
        let (major, minor) = match self {
            MapQuantity::OwnDigit { digit } => ("Probe", format!("A{digit}.LINXFER={value}")),
            MapQuantity::CarryLayer { digit } => ("Probe", format!("A{digit}.CARRYLAYER={value}")),
            MapQuantity::CarryDefer { digit } => ("Probe", format!("A{digit}.CARRYDEFER={value}")),
            MapQuantity::Delivery(class) => ("Probe", format!("DELIVERY.{class}={value}")),
            MapQuantity::Edge {
                variable,
                layer,
                head,
            } => ("Edge", format!("{variable}<-L{layer}H{head}")),
        };
        Tag {
            major: major.into(),
            minor,
        }
    }

    /// Whether it can be stated of a node.
    pub fn fits(self, node: Node, shape: &Shape) -> bool {
        let predicts = |digit: usize| node.position() == shape.predicting(AnswerToken(digit));
        let is_last_mlp = node.head().is_none() && node.layer() + 1 == shape.n_layers;
        let n = shape.n_digits;
        match self {
            MapQuantity::OwnDigit { digit } => {
                let own = digit < n && node.position() == shape.second_operand(digit);
                own && node.layer() == 0 && node.head().is_some()
            }
            MapQuantity::CarryLayer { digit } | MapQuantity::CarryDefer { digit } => {
                is_last_mlp && digit.checked_add(1) == Some(n) && predicts(digit)
            }
            MapQuantity::Delivery(_) => is_last_mlp && (1..n).any(predicts),
            MapQuantity::Edge {
                variable,
                layer,
                head,
            } => {
                let digit = variable.digit.filter(|&digit| 0 < digit && digit <= n);
                let reads = layer < shape.n_layers && head < shape.n_heads;
                is_last_mlp && reads && digit.is_some_and(predicts)
            }
        }
    }

    /// All that the published techniques, and edges, may state of a model's nodes.
    fn all(lab: &Lab) -> Vec<Self> {
        let shape = lab.shape();
        let n = shape.n_digits;
        let mut all = Vec::new();
        // As published, of models that only add.
        if lab.answers(Class::Add) && !lab.folder.operations().trains_subtraction() {
            all.extend((1..n.saturating_sub(1)).map(|digit| MapQuantity::OwnDigit { digit }));
            if n >= probes::FEWEST_DIGITS {
                all.push(MapQuantity::CarryLayer { digit: n - 1 });
                all.push(MapQuantity::CarryDefer { digit: n - 1 });
            }
        }
        for class in Class::ALL.into_iter().filter(|&class| lab.answers(class)) {
            all.push(MapQuantity::Delivery(class));
            for digit in 1..=n {
                let variable = Variable {
                    task: combines(class),
                    digit: Some(digit),
                };
                let heads = routes::heads(&shape).into_iter();
                all.extend(heads.map(|(layer, head)| MapQuantity::Edge {
                    variable,
                    layer,
                    head,
                }));
            }
        }
        all
    }

    /// Whether the network can be asked about it at all.
    fn applies(self, lab: &Lab) -> bool {
        match self {
            MapQuantity::OwnDigit { digit } => {
                lab.answers(Class::Add) && digit < lab.shape().n_digits
            }
            MapQuantity::CarryLayer { digit } | MapQuantity::CarryDefer { digit } => {
                let n = lab.shape().n_digits;
                let is_highest = digit.checked_add(1) == Some(n);
                lab.answers(Class::Add) && n >= probes::FEWEST_DIGITS && is_highest
            }
            MapQuantity::Delivery(class) => lab.answers(class),
            MapQuantity::Edge {
                variable,
                layer,
                head,
            } => {
                let shape = lab.shape();
                let is_head = layer < shape.n_layers && head < shape.n_heads;
                let is_digit = variable.digit.is_some_and(|digit| digit <= shape.n_digits);
                let answers = routes::class_of(variable).is_some_and(|class| lab.answers(class));
                is_head && is_digit && answers
            }
        }
    }
}

/// By which assay tags are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapTagAssay {
    Published,
    Sound,
}

/// Measures quantities, each several times where its assay draws questions at random. `progress` receives
/// the number of quantities measured and the total. What the network cannot be asked about is left out.
///
/// # Errors
/// [`MapError`] where a probe cannot be fitted or an intervention was not applied.
pub fn measure_tags(
    lab: &Lab,
    quantities: &BTreeSet<MapQuantity>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<MapQuantity, MapReadings>, MapError> {
    let mut carries: Option<Vec<probes::CarryOnsets>> = None;
    let mut all = BTreeMap::new();
    for (done, &quantity) in quantities.iter().enumerate() {
        progress(done, quantities.len());
        if !quantity.applies(lab) {
            continue;
        }
        let mut readings = MapReadings::default();
        // The first draw is that of the tags that were written.
        let repeats = 1..=REPEATS;
        match quantity {
            MapQuantity::OwnDigit { digit } => {
                for repeat in repeats {
                    let read = probes::own_digit(lab, digit, repeat)?;
                    readings.published.push(read.clone());
                    readings.sound.push(read);
                }
            }
            MapQuantity::CarryLayer { .. } | MapQuantity::CarryDefer { .. } => {
                let carries = match &mut carries {
                    Some(known) => known,
                    unknown => unknown.insert(
                        repeats
                            .map(|repeat| probes::carry_onsets(lab, repeat))
                            .collect::<Result<_, _>>()?,
                    ),
                };
                for onsets in carries.iter() {
                    let [published, sound] = onsets.values(lab, quantity);
                    readings.published.push(said(quantity, published));
                    readings.sound.push(said(quantity, sound));
                }
            }
            MapQuantity::Delivery(class) => {
                let route = routes::published(lab, class)?;
                readings.published.push(said(quantity, Some(route)));
                for repeat in repeats {
                    let route = routes::sound(lab, class, repeat)?;
                    let open = || MapReading::Open;
                    let reading = route.map(|route| said(quantity, Some(route)));
                    readings.sound.push(reading.unwrap_or_else(open));
                }
            }
            MapQuantity::Edge {
                variable,
                layer,
                head,
            } => {
                for repeat in repeats {
                    let carry = routes::carrying(lab, variable, &[(layer, head)], repeat)?[0];
                    readings.sound.push(match carry {
                        Settled::Holds => said(quantity, Some(String::new())),
                        Settled::Fails => said(quantity, None),
                        Settled::Open => MapReading::Open,
                    });
                }
            }
        }
        all.insert(quantity, readings);
    }
    progress(quantities.len(), quantities.len());
    Ok(all)
}

fn said(quantity: MapQuantity, value: Option<String>) -> MapReading {
    MapReading::Said(value.map_or(String::new(), |value| quantity.tag(&value).minor))
}

/// The tags of 2026 of some nodes, for a behaviours file: by the assays as published, or those that hold
/// soundly. The published technique for edges was only planned, so they are written soundly alone.
///
/// # Errors
/// As [`measure_tags`].
pub fn find_tags(
    lab: &Lab,
    nodes: &[Node],
    assay: MapTagAssay,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Node, Vec<Tag>>, MapError> {
    let shape = lab.shape();
    let is_listed = |quantity: &MapQuantity| nodes.iter().any(|&node| quantity.fits(node, &shape));
    let quantities: Vec<MapQuantity> = MapQuantity::all(lab)
        .into_iter()
        .filter(is_listed)
        .collect();
    let mut values: BTreeMap<MapQuantity, String> = BTreeMap::new();
    let mut carries: Option<probes::CarryOnsets> = None;
    for (done, &quantity) in quantities.iter().enumerate() {
        progress(done, quantities.len());
        let value = match (quantity, assay) {
            (MapQuantity::OwnDigit { digit }, MapTagAssay::Published) => {
                probes::own_digit_published(lab, digit)?
            }
            (MapQuantity::OwnDigit { digit }, MapTagAssay::Sound) => {
                probes::own_digit_sound(lab, digit)?
            }
            (MapQuantity::CarryLayer { .. } | MapQuantity::CarryDefer { .. }, _) => {
                let onsets = match &carries {
                    Some(known) => known,
                    None => &*carries.insert(probes::carry_onsets(lab, 0)?),
                };
                let [published, sound] = onsets.values(lab, quantity);
                match assay {
                    MapTagAssay::Published => published,
                    MapTagAssay::Sound => sound,
                }
            }
            (MapQuantity::Delivery(class), MapTagAssay::Published) => {
                Some(routes::published(lab, class)?)
            }
            (MapQuantity::Delivery(class), MapTagAssay::Sound) => routes::sound(lab, class, 0)?,
            (MapQuantity::Edge { .. }, MapTagAssay::Published) => None,
            (
                MapQuantity::Edge {
                    variable,
                    layer,
                    head,
                },
                MapTagAssay::Sound,
            ) => {
                // All heads of a combiner are tried in the same runs, when its first one comes.
                if (layer, head) == (0, 0) {
                    let heads = routes::heads(&shape);
                    let carry = routes::carrying(lab, variable, &heads, 0)?;
                    for ((layer, head), _) in heads
                        .into_iter()
                        .zip(carry)
                        .filter(|(_, carry)| *carry == Settled::Holds)
                    {
                        let edge = MapQuantity::Edge {
                            variable,
                            layer,
                            head,
                        };
                        values.insert(edge, String::new());
                    }
                }
                None
            }
        };
        if let Some(value) = value {
            values.insert(quantity, value);
        }
    }
    progress(quantities.len(), quantities.len());
    let of_node = |node: Node| -> Vec<Tag> {
        let own = values
            .iter()
            .filter(|(quantity, _)| quantity.fits(node, &shape));
        own.map(|(quantity, value)| quantity.tag(value)).collect()
    };
    Ok(nodes.iter().map(|&node| (node, of_node(node))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_read_back() {
        for text in [
            "Probe:A3.LINXFER=98",
            "Probe:A4.CARRYLAYER=1",
            "Probe:A4.CARRYDEFER=2",
            "Probe:DELIVERY.NEG=resatt",
            "Edge:A3.STC<-L0H1",
            "Edge:A10.NTC<-L2H3",
        ] {
            let (major, minor) = text.split_once(':').unwrap();
            let tag = Tag {
                major: major.into(),
                minor: minor.into(),
            };
            let quantity = MapQuantity::of(&tag).expect(text);
            let value = minor.split_once('=').map_or("", |(_, value)| value);
            assert_eq!(quantity.tag(value), tag);
        }
        for (major, minor) in [
            ("Probe", "A3.LINXFER"),
            ("Probe", "DELIVERY.MUL=res"),
            ("Edge", "A3.ST<-L0H1"),
            ("Edge", "A3.STC<-L0M0"),
            ("Algo", "A3.STC"),
        ] {
            let tag = Tag {
                major: major.into(),
                minor: minor.into(),
            };
            assert_eq!(MapQuantity::of(&tag), None, "{tag}");
        }
    }

    #[test]
    fn a_quantity_is_stated_of_the_nodes_it_is_about() {
        let shape = Shape::EXAMPLE;
        let node = |text: &str| {
            let name: crate::domain::node::NodeName = text.parse().unwrap();
            name.resolve(&shape).unwrap()
        };
        let own = MapQuantity::OwnDigit { digit: 3 };
        // Operands are at positions 0 to 4 and 6 to 10, the highest digit first.
        assert!(own.fits(node("P7L0H2"), &shape));
        assert!(!own.fits(node("P7L1H2"), &shape) && !own.fits(node("P7L0M0"), &shape));
        let carry = MapQuantity::CarryLayer { digit: 4 };
        let last = node("P13L1M0");
        assert_eq!(shape.predicting(AnswerToken(4)), 13);
        assert!(carry.fits(last, &shape));
        assert!(!MapQuantity::CarryLayer { digit: 3 }.fits(last, &shape));
        assert!(MapQuantity::Delivery(Class::Add).fits(last, &shape));
        let edge = |digit| MapQuantity::Edge {
            variable: Variable {
                task: Task::Stc,
                digit: Some(digit),
            },
            layer: 0,
            head: 2,
        };
        assert!(edge(4).fits(last, &shape) && !edge(3).fits(last, &shape));
        assert!(!edge(99).fits(last, &shape));
        let digit = usize::MAX;
        assert!(!MapQuantity::CarryDefer { digit }.fits(last, &shape));
    }
}
