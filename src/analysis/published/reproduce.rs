//! Whether published behaviours can be reproduced: remeasures every tag on fresh question sets,
//! with the published protocol and without its quirks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::analysis::evidence_map::{
    BEYOND_UNTRAINED, Lab, MapError, MapOptions, MapQuantity, MapReading, MapReadings, measure_tags,
};
use crate::domain::arithmetic::{Operation, Prompt};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::experiment::Baseline;
use crate::experiment::stats::{Count, Rate, rounded};
use crate::experiment::stream;
use crate::inputs::claims::Tag;
use crate::inputs::model::{ModelFolder, Operations};
use crate::network::engine::{Engine, EngineError};
use crate::verify::attention_row;

use super::clusters::{HeadOutput, TriCase};
use super::quirk::{Quirk, Quirks};
use super::survey::{Failures, Survey};
use super::{Enrichment, UsefulNode, cluster_drawn, cluster_tag, draw_set_with, tri_cases};

/// What to remeasure, and how often.
#[derive(Debug, Clone)]
pub struct Remeasuring<'a> {
    /// Measure on this set instead of fresh ones.
    pub questions: Option<&'a [Prompt]>,
    /// Fresh question sets, and fresh draws of clustering questions.
    pub sets: usize,
    /// Error of each prediction interval.
    pub alpha: f64,
    pub seed: u64,
}

/// Whether a tag was reproduced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Reproduction {
    /// Reproduced, also without quirks.
    Reproduced,
    /// Reproduced by the published protocol, but not without some of its quirks.
    OnlyWithQuirk {
        /// The quirks whose removal alone changes the result; empty if only several together do.
        quirks: Vec<Quirk>,
    },
    /// Not reproduced, even by the published protocol.
    NotReproduced,
    /// A tag of 2026: reproduced by the assay as published, but not by one that can fail.
    OnlyAsPublished,
    /// The sets vary so much that almost any percentage would count as reproduced.
    Undecided,
    /// A kind of tag that this protocol does not produce.
    NotMeasured,
}

impl Reproduction {
    pub fn name(&self) -> &'static str {
        match self {
            Reproduction::Reproduced => "reproduced",
            Reproduction::OnlyWithQuirk { .. } => "only with quirk",
            Reproduction::OnlyAsPublished => "only as published",
            Reproduction::NotReproduced => "not reproduced",
            Reproduction::Undecided => "undecided",
            Reproduction::NotMeasured => "not measured",
        }
    }
}

/// The readings of one tag on the fresh sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TagReading {
    Percent {
        /// Predictions for one more set, for each kind of set.
        predicted: Vec<Predicted>,
        /// For Fail%: failing questions among all questions of all sets.
        #[serde(skip_serializing_if = "Option::is_none")]
        pooled: Option<Rate>,
    },
    /// A text such as `A654`.
    Text {
        /// Sets that give the published text.
        same: Rate,
        /// Number of sets by the text they give; the empty text if the node fails no question of
        /// the kind.
        given: BTreeMap<String, usize>,
    },
    /// By how many percentage points more is read of the trained than of the untrained network.
    #[serde(rename = "beyond_untrained")]
    BeyondUntrained {
        /// The mean over the repetitions.
        #[serde(serialize_with = "rounded")]
        mean: f64,
        /// Lower end of the confidence interval of the mean.
        #[serde(serialize_with = "rounded")]
        lower: f64,
        #[serde(serialize_with = "rounded")]
        upper: f64,
    },
}

/// Prediction of a percentage in one more question set of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicted {
    /// How the sets were enriched; `any` if they are pooled.
    pub sets: &'static str,
    /// The mean over the sets.
    #[serde(serialize_with = "rounded")]
    pub mean: f64,
    /// Lower end of the prediction interval; with a single set, its value minus a rounding margin.
    #[serde(serialize_with = "rounded")]
    pub lower: f64,
    #[serde(serialize_with = "rounded")]
    pub upper: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagEvidence {
    pub node: Node,
    pub tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<TagReading>,
    /// The reading without quirks, if quirks affect this kind of tag; of a tag of 2026 by a sound assay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<TagReading>,
    /// Whether it was reproduced.
    #[serde(flatten)]
    pub reproduction: Reproduction,
}

/// The quirks that affect how behaviours are measured, rather than the search for claims.
const DECIDING: [Quirk; 5] = [
    Quirk::FirstLayerMeans,
    Quirk::UnnumberedSign,
    Quirk::SeparateScores,
    Quirk::RoundedShare,
    Quirk::BlurredCases,
];

/// Results of a set or draw, by node and the part of a tag that names the quantity.
type ByTag<T> = BTreeMap<(Node, String), Vec<T>>;

/// All measurements with one choice of quirks.
#[derive(Default)]
struct MeasuredTags {
    percents: ByTag<f64>,
    failures: BTreeMap<Node, Count>,
    texts: ByTag<String>,
    clusters: ByTag<bool>,
}

/// Remeasures the tags of these nodes. `progress` receives the number of steps done and the total.
///
/// # Errors
/// [`MapError`] where a question does not fit the model, an ablation was not applied, or a probe cannot be
/// fitted.
pub fn remeasure(
    folder: &ModelFolder,
    engine: &Engine,
    behaviors: &[(Node, Vec<Tag>)],
    options: &Remeasuring,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<TagEvidence>, MapError> {
    let mut kinds = Enrichment::all(folder.operations());
    let sets: Vec<Vec<Prompt>> = match options.questions {
        Some(set) => vec![set.to_vec()],
        None => (0..options.sets)
            .map(|set| {
                let mut rng = stream(options.seed, &format!("behaviours/set/{set}"));
                draw_set_with(folder, kinds[set % kinds.len()], &mut rng)
            })
            .collect(),
    };
    if sets.len() < 2 * kinds.len() {
        // Too few sets to estimate the spread within a kind.
        kinds.clear();
    }
    let nodes: Vec<Node> = behaviors.iter().map(|&(node, _)| node).collect();
    let shape = engine.shape();
    let stated = behaviors.iter().flat_map(|(node, tags)| {
        let quantities = tags.iter().filter_map(MapQuantity::of);
        quantities.filter(|quantity| quantity.fits(*node, &shape))
    });
    let quantities: BTreeSet<MapQuantity> = stated.collect();
    let steps = sets.len() + options.sets + quantities.len();
    let mut measured = MeasuredByQuirks {
        quirky: MeasuredTags::default(),
        plain: MeasuredTags::default(),
        single: DECIDING
            .map(|quirk| (quirk, MeasuredTags::default()))
            .into(),
    };
    for (done, set) in sets.iter().enumerate() {
        progress(done, steps);
        measured.ask(folder, engine, &nodes, set)?;
    }
    let heads: Vec<Node> = (nodes.iter().copied())
        .filter(|node| node.head().is_some())
        .collect();
    let outputs = HeadOutput::all(&folder.weights, &heads);
    for draw in 0..options.sets {
        progress(sets.len() + draw, steps);
        let seed = stream_seed(options.seed, draw);
        measured.cluster(engine, folder.operations(), (&heads, &outputs), seed)?;
    }
    let clustered = sets.len() + options.sets;
    let of_2026 = match quantities.is_empty() {
        true => BTreeMap::new(),
        false => {
            let baseline =
                Baseline::measure(engine, folder.operations(), options.alpha, options.seed)?;
            let map = MapOptions {
                alpha: options.alpha,
                seed: options.seed,
            };
            let lab = Lab::new(folder, engine, &baseline, map);
            measure_tags(&lab, &quantities, &mut |done, _| {
                progress(clustered + done, steps);
            })?
        }
    };
    progress(steps, steps);
    let judge = Judge {
        shape,
        of_2026,
        measured,
        draws: options.sets,
        alpha: options.alpha,
        kinds: kinds.iter().map(|kind| kind.name()).collect(),
    };
    Ok(behaviors
        .iter()
        .flat_map(|(node, tags)| tags.iter().map(|tag| judge.tag(*node, tag)))
        .collect())
}

/// All measurements, by choice of quirks.
struct MeasuredByQuirks {
    /// With all published quirks.
    quirky: MeasuredTags,
    /// Without any.
    plain: MeasuredTags,
    /// With all but one of the deciding quirks.
    single: BTreeMap<Quirk, MeasuredTags>,
}

impl MeasuredByQuirks {
    /// Adds the results of one question set: failures and attention.
    fn ask(
        &mut self,
        folder: &ModelFolder,
        engine: &Engine,
        nodes: &[Node],
        set: &[Prompt],
    ) -> Result<(), EngineError> {
        let (published, strict) = (Quirks::published(), Quirks::none());
        let attention = engine.mean_attention(set)?;
        let seen = |quirks| Survey::new(engine, set, quirks)?.nodes(nodes);
        let (first_layer, own_layer) = (seen(&published)?, seen(&strict)?);
        let add = |measured: &mut MeasuredTags, failures: &[Failures], quirks: &Quirks| {
            measured.failures(folder, nodes, failures, quirks);
        };
        add(&mut self.quirky, &first_layer, &published);
        add(&mut self.plain, &own_layer, &strict);
        for (&quirk, single) in &mut self.single {
            let failures = match quirk {
                Quirk::FirstLayerMeans => &own_layer,
                _ => &first_layer,
            };
            add(single, failures, &published.clone().without(quirk));
        }
        self.quirky.attention(engine, nodes, &attention);
        Ok(())
    }

    /// Adds the results of one draw of clustering questions.
    fn cluster(
        &mut self,
        engine: &Engine,
        operations: Operations,
        (heads, outputs): (&[Node], &[HeadOutput]),
        seed: u64,
    ) -> Result<(), EngineError> {
        let (published, strict) = (Quirks::published(), Quirks::none());
        let draws = |quirks: &Quirks| tri_cases(engine, operations, quirks, seed);
        let blurred = draws(&published);
        let sharp = draws(&strict);
        for drawn in &sharp {
            let found = cluster_drawn(engine, outputs, drawn)?;
            self.plain.clusters(heads, drawn, &found, &strict);
            let single = self.single.entry(Quirk::BlurredCases).or_default();
            let unblurred = published.clone().without(Quirk::BlurredCases);
            single.clusters(heads, drawn, &found, &unblurred);
        }
        for drawn in &blurred {
            let found = cluster_drawn(engine, outputs, drawn)?;
            self.quirky.clusters(heads, drawn, &found, &published);
            for (&quirk, single) in &mut self.single {
                if quirk != Quirk::BlurredCases {
                    let quirks = published.clone().without(quirk);
                    single.clusters(heads, drawn, &found, &quirks);
                }
            }
        }
        Ok(())
    }
}

/// The seed of one draw of clustering questions.
fn stream_seed(seed: u64, draw: usize) -> u64 {
    use rand::RngExt;
    stream(seed, &format!("behaviours/clusters/{draw}")).random()
}

impl MeasuredTags {
    fn failures(
        &mut self,
        folder: &ModelFolder,
        nodes: &[Node],
        failures: &[Failures],
        quirks: &Quirks,
    ) {
        let n_digits = folder.weights.shape().n_digits;
        for (&node, failures) in nodes.iter().zip(failures) {
            let count = failures.count;
            let percents = self.percents.entry((node, "Fail%".into()));
            percents.or_default().push(100.0 * count.share());
            let pooled = self.failures.entry(node).or_default();
            pooled.hits += count.hits;
            pooled.trials += count.trials;
            let useful = UsefulNode {
                node,
                failures: failures.clone(),
                attention: Vec::new(),
                clusters: Vec::new(),
            };
            let tags = useful.tags(n_digits, folder.operations(), quirks);
            for major in ["Impact", "Math.Add", "Math.Sub", "Math.Neg"] {
                let found = tags.iter().find(|tag| tag.major == major);
                let text = found
                    .filter(|_| count.hits > 0)
                    .map_or(String::new(), |tag| tag.minor.clone());
                let texts = self.texts.entry((node, major.into()));
                texts.or_default().push(text);
            }
        }
    }

    fn attention(&mut self, engine: &Engine, nodes: &[Node], attention: &[f32]) {
        for &node in nodes {
            let Some(row) = attention_row(engine, attention, node) else {
                continue;
            };
            for (source, &weight) in row.iter().enumerate() {
                let percents = self.percents.entry((node, format!("P{source}")));
                percents.or_default().push(100.0 * f64::from(weight));
            }
        }
    }

    fn clusters(
        &mut self,
        heads: &[Node],
        drawn: &TriCase,
        found: &[crate::analysis::published::Clustering],
        quirks: &Quirks,
    ) {
        let tag = cluster_tag(drawn.operation, drawn.digit).to_string();
        for (&node, clustering) in heads.iter().zip(found) {
            let passes = self.clusters.entry((node, tag.clone())).or_default();
            passes.push(clustering.passes(quirks));
        }
    }
}

/// The content of a tag.
enum Said {
    /// `Fail%:21`: the truncated percentage, and the key under which percentages are stored.
    Failing(u32),
    /// `Attn:P8=50`, rounded.
    Attending(String, u32),
    /// `Math.Add:A2.SP`, perhaps with `.Weak`.
    Clustering(String),
    /// `Impact:A65`, `Math.Sub:M012`.
    Text,
    /// Anything else.
    Other,
}

fn read(tag: &Tag) -> Said {
    match tag.major.as_str() {
        "Fail%" => tag.minor.parse().map_or(Said::Other, Said::Failing),
        "Attn" => match tag.minor.split_once('=') {
            Some((source, percent)) => percent.parse().map_or(Said::Other, |percent| {
                Said::Attending(source.to_owned(), percent)
            }),
            None => Said::Other,
        },
        "Impact" => Said::Text,
        "Math.Add" | "Math.Sub" | "Math.Neg" => match tag.minor.split_once('.') {
            None => Said::Text,
            Some((digit, _)) => {
                let operation = if tag.major == "Math.Add" {
                    Operation::Add
                } else {
                    Operation::Sub
                };
                let digit = digit.strip_prefix('A').and_then(|d| d.parse().ok());
                digit.map_or(Said::Other, |digit| {
                    Said::Clustering(cluster_tag(operation, digit).to_string())
                })
            }
        },
        _ => Said::Other,
    }
}

/// All measurements, for comparison with the published tags.
struct Judge {
    shape: Shape,
    /// Of the tags of 2026, what was measured; without those that the model cannot be asked about.
    of_2026: BTreeMap<MapQuantity, MapReadings>,
    measured: MeasuredByQuirks,
    draws: usize,
    alpha: f64,
    /// The kinds of set, in rotation; empty if all are pooled.
    kinds: Vec<&'static str>,
}

impl Judge {
    fn tag(&self, node: Node, tag: &Tag) -> TagEvidence {
        if let Some(quantity) = MapQuantity::of(tag) {
            return self.tag_of_2026(node, tag, quantity);
        }
        let (published, strict, reproduction) = match read(tag) {
            Said::Failing(percent) => {
                // Truncated, so that anything up to the next percent matches.
                let said = (f64::from(percent), f64::from(percent + 1));
                let key = (node, "Fail%".to_owned());
                self.percent(&key, said, true)
            }
            Said::Attending(source, percent) => {
                let said = (f64::from(percent) - 0.5, f64::from(percent) + 0.5);
                self.percent(&(node, source), said, false)
            }
            Said::Text => {
                let key = (node, tag.major.clone());
                let of = |measured: &MeasuredTags| {
                    self.text(
                        measured.texts.get(&key).map_or(&[][..], Vec::as_slice),
                        &tag.minor,
                    )
                };
                let (published, strict) = (of(&self.measured.quirky), of(&self.measured.plain));
                let verdict = verdict(passes(&published), passes(&strict), self.deciding(of));
                (Some(published), Some(strict), verdict)
            }
            Said::Clustering(text) => {
                let key = (node, text.clone());
                let of = |measured: &MeasuredTags| {
                    let passes = measured.clusters.get(&key).map_or(&[][..], Vec::as_slice);
                    let mut texts: Vec<String> = passes
                        .iter()
                        .map(|&passes| if passes { text.clone() } else { String::new() })
                        .collect();
                    // A digit without questions to draw has no tag.
                    texts.resize(self.draws, String::new());
                    self.text(&texts, &text)
                };
                let (published, strict) = (of(&self.measured.quirky), of(&self.measured.plain));
                let verdict = verdict(passes(&published), passes(&strict), self.deciding(of));
                (Some(published), Some(strict), verdict)
            }
            Said::Other => (None, None, Reproduction::NotMeasured),
        };
        TagEvidence {
            node,
            tag: tag.to_string(),
            published,
            strict,
            reproduction,
        }
    }

    fn tag_of_2026(&self, node: Node, tag: &Tag, quantity: MapQuantity) -> TagEvidence {
        let evidence = |published, strict, reproduction| TagEvidence {
            node,
            tag: tag.to_string(),
            published,
            strict,
            reproduction,
        };
        if !quantity.fits(node, &self.shape) {
            return evidence(None, None, Reproduction::NotReproduced);
        }
        let Some(readings) = self.of_2026.get(&quantity) else {
            return evidence(None, None, Reproduction::NotMeasured);
        };
        if let MapQuantity::OwnDigit { .. } = quantity {
            let (published, strict, verdict) = self.own_digit(tag, &readings.published);
            return evidence(Some(published), Some(strict), verdict);
        }
        let texts = |readings: &[MapReading]| {
            let texts: Vec<String> = (readings.iter())
                .filter_map(|reading| match reading {
                    MapReading::Said(text) => Some(text.clone()),
                    MapReading::Open => Some(OPEN.to_owned()),
                    MapReading::Percents { .. } => None,
                })
                .collect();
            (!texts.is_empty()).then(|| self.text(&texts, &tag.minor))
        };
        let (published, sound) = (texts(&readings.published), texts(&readings.sound));
        let holds = |reading: &Option<TagReading>| reading.as_ref().is_some_and(passes);
        let open = readings.sound.iter().filter(|&r| *r == MapReading::Open);
        let verdict = match holds(&sound) {
            false if 2 * open.count() > readings.sound.len() => Reproduction::Undecided,
            sound => verdict_of_2026(holds(&published), sound),
        };
        evidence(published, sound, verdict)
    }

    /// The percentage of a probe that reads a digit at its own position, which is read of an untrained
    /// network too.
    fn own_digit(
        &self,
        tag: &Tag,
        readings: &[MapReading],
    ) -> (TagReading, TagReading, Reproduction) {
        let percents = readings.iter().filter_map(|reading| match reading {
            MapReading::Percents { trained, untrained } => Some((*trained, trained - untrained)),
            MapReading::Said(_) | MapReading::Open => None,
        });
        let (trained, beyond): (Vec<f64>, Vec<f64>) = percents.unzip();
        let predicted = predict(&trained, &[], self.alpha);
        let said = tag
            .minor
            .split_once('=')
            .and_then(|(_, said)| said.parse().ok());
        let holds = said.is_some_and(|said: f64| {
            let in_it = |p: &Predicted| p.lower <= said + 0.5 && p.upper >= said - 0.5;
            predicted.iter().any(in_it)
        });
        let strict = beyond_untrained(&beyond, self.alpha);
        let is_beyond = matches!(strict, TagReading::BeyondUntrained { lower, .. } if lower >= BEYOND_UNTRAINED);
        let tells = predicted.iter().any(|p| p.upper - p.lower <= WIDEST);
        let verdict = match holds && !tells {
            true => Reproduction::Undecided,
            false => verdict_of_2026(holds, holds && is_beyond),
        };
        let published = TagReading::Percent {
            predicted,
            pooled: None,
        };
        (published, strict, verdict)
    }

    /// The quirks whose removal alone changes whether a text is reproduced.
    fn deciding(&self, of: impl Fn(&MeasuredTags) -> TagReading) -> Vec<Quirk> {
        (self.measured.single.iter())
            .filter(|(_, measured)| !passes(&of(measured)))
            .map(|(&quirk, _)| quirk)
            .collect()
    }

    fn percent(
        &self,
        key: &(Node, String),
        said: (f64, f64),
        quirky: bool,
    ) -> (Option<TagReading>, Option<TagReading>, Reproduction) {
        let of = |measured: &MeasuredTags| {
            let values = measured.percents.get(key)?;
            let predicted = predict(values, &self.kinds, self.alpha);
            let in_it = |p: &&Predicted| p.lower <= said.1 && p.upper >= said.0;
            let holds = predicted.iter().any(|p| in_it(&p));
            let tells = (predicted.iter().filter(in_it)).any(|p| p.upper - p.lower <= WIDEST);
            let pooled = quirky.then(|| Rate::sampled(measured.failures[&key.0], self.alpha));
            let reading = TagReading::Percent { predicted, pooled };
            Some((reading, holds, tells))
        };
        let Some((published, holds, tells)) = of(&self.measured.quirky) else {
            // There is no such source, or the node is an MLP, which attends to nothing.
            return (None, None, Reproduction::NotReproduced);
        };
        if !quirky {
            let verdict = if holds && !tells {
                Reproduction::Undecided
            } else {
                verdict(holds, holds, Vec::new())
            };
            return (Some(published), None, verdict);
        }
        let (strict, holds_strictly, tells_strictly) =
            of(&self.measured.plain).expect("both choices of quirks were measured");
        let verdict = if (holds && !tells) || (holds_strictly && !tells_strictly) {
            Reproduction::Undecided
        } else {
            verdict(holds, holds_strictly, vec![Quirk::FirstLayerMeans])
        };
        (Some(published), Some(strict), verdict)
    }

    fn text(&self, values: &[String], said: &str) -> TagReading {
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        for value in values {
            *given.entry(value.clone()).or_default() += 1;
        }
        let count = Count {
            hits: given.get(said).copied().unwrap_or(0) as u64,
            trials: values.len() as u64,
        };
        TagReading::Text {
            same: Rate::sampled(count, self.alpha),
            given,
        }
    }
}

/// Whether a text was reproduced in at least half of the sets.
fn passes(reading: &TagReading) -> bool {
    match reading {
        TagReading::Text { same, .. } => same.trials > 0 && 2 * same.hits >= same.trials,
        TagReading::Percent { .. } | TagReading::BeyondUntrained { .. } => false,
    }
}

/// The verdict on a tag of 2026, by the assay as published and by the sound one.
fn verdict_of_2026(published: bool, sound: bool) -> Reproduction {
    match (published, sound) {
        (_, true) => Reproduction::Reproduced,
        (true, false) => Reproduction::OnlyAsPublished,
        (false, false) => Reproduction::NotReproduced,
    }
}

/// The mean of differences with its interval, as of independent normal values.
fn beyond_untrained(differences: &[f64], alpha: f64) -> TagReading {
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let reach = t_quantile(alpha, count - 1.0) * (squares / (count - 1.0) / count).sqrt();
    TagReading::BeyondUntrained {
        mean,
        lower: mean - reach,
        upper: mean + reach,
    }
}

/// The quantile of Student's t that an error of `alpha` on both sides together leaves.
fn t_quantile(alpha: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .expect("there are degrees of freedom")
        .inverse_cdf(1.0 - alpha / 2.0)
}

fn verdict(published: bool, strict: bool, quirks: Vec<Quirk>) -> Reproduction {
    match (published, strict) {
        (_, true) => Reproduction::Reproduced,
        (true, false) => Reproduction::OnlyWithQuirk { quirks },
        (false, false) => Reproduction::NotReproduced,
    }
}

/// What stands in place of a text where a sound assay is open.
const OPEN: &str = "open";

/// Widest prediction interval, in percentage points, in which a percentage is meaningful.
const WIDEST: f64 = 20.0;

/// Rounding margin: percentage points by which two measurements on the same set may differ.
const ROUNDING_EDGE: f64 = 1.0;

/// For each kind of set, the mean and an interval that contains the value of one more such set,
/// with error `alpha`. Set `i` is of kind `i` modulo their number. Values are taken as normally
/// distributed within a kind, with the same variance for all kinds. With one set: its value, with a
/// rounding margin.
fn predict(values: &[f64], kinds: &[&'static str], alpha: f64) -> Vec<Predicted> {
    let kinds = if kinds.is_empty() { &["any"] } else { kinds };
    let of_kind = |kind: usize| values.iter().skip(kind).step_by(kinds.len());
    let means: Vec<(f64, f64)> = (0..kinds.len())
        .map(|kind| {
            let count = of_kind(kind).count() as f64;
            (of_kind(kind).sum::<f64>() / count, count)
        })
        .collect();
    let squares: f64 = (values.iter().enumerate())
        .map(|(i, value)| (value - means[i % kinds.len()].0).powi(2))
        .sum();
    let freedom = (values.len() - kinds.len()) as f64;
    let spread = (freedom > 0.0).then(|| t_quantile(alpha, freedom) * (squares / freedom).sqrt());
    let predicted = kinds.iter().zip(means);
    predicted
        .map(|(&sets, (mean, count))| {
            let affected_tokens = spread.map_or(ROUNDING_EDGE, |s| s * (1.0 + 1.0 / count).sqrt());
            Predicted {
                sets,
                mean,
                lower: (mean - affected_tokens).max(0.0),
                upper: (mean + affected_tokens).min(100.0),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prediction_interval_is_that_of_the_textbook() {
        // Mean 5, deviation √2.5, t(0.975, 4) = 2.776: 5 ± 2.776 · √(2.5 · 6/5).
        let found = predict(&[3.0, 4.0, 5.0, 6.0, 7.0], &[], 0.05);
        let [found] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(found.mean, 5.0);
        assert!((found.upper - 9.8087).abs() < 1e-3, "{found:?}");
        assert!((found.lower - 0.1913).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn kinds_of_sets_have_their_own_means_and_one_spread() {
        // Means 10 and 80, squares 2 + 2 over two degrees: t(0.975, 2) = 4.303, √(2 · 3/2).
        let found = predict(&[9.0, 79.0, 11.0, 81.0], &["plain", "enriched"], 0.05);
        let means: Vec<f64> = found.iter().map(|found| found.mean).collect();
        assert_eq!(means, [10.0, 80.0]);
        let affected_tokens = 4.3027 * 3f64.sqrt();
        assert!(
            (found[0].upper - (10.0 + affected_tokens)).abs() < 1e-3,
            "{found:?}"
        );
        assert!(
            (found[1].lower - (80.0 - affected_tokens)).abs() < 1e-3,
            "{found:?}"
        );
    }

    #[test]
    fn verdicts_name_the_quirk_only_where_it_decides() {
        let quirks = vec![Quirk::FirstLayerMeans];
        let of = |published, strict| verdict(published, strict, quirks.clone()).name();
        assert_eq!(of(true, true), "reproduced");
        assert_eq!(of(false, true), "reproduced");
        assert_eq!(of(true, false), "only with quirk");
        assert_eq!(of(false, false), "not reproduced");
    }
}
