//! Acts: what is done at sites and on edges in the runs of base questions, and the logits that follow.

use std::fmt;
use std::str::FromStr;

use linfa_linalg::eigh::{EigSort, EighInto};
use ndarray::{Array2, s};
use rand::RngExt;
use thiserror::Error;

use super::rng::stream;
use super::trial::default_block;
use crate::domain::arithmetic::Prompt;
use crate::domain::edge::{Edge, EdgeError, Sender};
use crate::domain::shape::Shape;
use crate::domain::site::{Site, SiteError};
use crate::domain::text::text_form;
use crate::network::ablation::Ablation;
use crate::network::engine::{
    Activations, Contributions, Decode, Engine, EngineError, Exchange, Intervention, Overwrite,
    Run, Scale, Source,
};
use crate::network::logits::AnswerLogits;

/// Where an experiment acts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Site(Site),
    /// What one site adds to what another reads.
    Edge(Edge),
}

impl Place {
    /// Checks that a network of this shape has it.
    ///
    /// # Errors
    /// [`SiteError::Outside`].
    pub fn check(&self, shape: &Shape) -> Result<(), SiteError> {
        match self {
            Place::Site(site) => site.check(shape),
            Place::Edge(edge) => edge.check(shape),
        }
    }

    /// Number of values that are replaced: of an edge, the width of the residual stream.
    pub fn width(&self, shape: &Shape) -> usize {
        match self {
            Place::Site(site) => site.width(shape),
            Place::Edge(_) => shape.d_model,
        }
    }
}

impl From<Site> for Place {
    fn from(site: Site) -> Self {
        Place::Site(site)
    }
}

impl From<Edge> for Place {
    fn from(edge: Edge) -> Self {
        Place::Edge(edge)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Site(site) => site.fmt(f),
            Place::Edge(edge) => edge.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        Ok(match text.contains("->") {
            true => Place::Edge(text.parse()?),
            false => Place::Site(text.trim().parse()?),
        })
    }
}

text_form!(Place);

/// An orthonormal basis of a subspace, `[rank][width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis(Vec<Vec<f32>>);

impl Basis {
    /// The subspace that these vectors span, by the Gram–Schmidt process; what depends on vectors before
    /// it is left out.
    pub fn spanning(vectors: impl IntoIterator<Item = Vec<f32>>) -> Self {
        /// A vector of which less than this share is left depends on those before it.
        const INDEPENDENT: f64 = 1e-6;
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for vector in vectors {
            let mut rest: Vec<f64> = vector.iter().map(|&v| f64::from(v)).collect();
            let whole = norm(&rest);
            for unit in &basis {
                let along: f64 = unit.iter().zip(&rest).map(|(u, r)| u * r).sum();
                rest.iter_mut().zip(unit).for_each(|(r, u)| *r -= along * u);
            }
            let left = norm(&rest);
            if left > INDEPENDENT * whole {
                rest.iter_mut().for_each(|r| *r /= left);
                basis.push(rest);
            }
        }
        let narrow = |row: Vec<f64>| row.into_iter().map(|v| v as f32).collect();
        Basis(basis.into_iter().map(narrow).collect())
    }

    /// The `rank` directions in which differences, `[pairs, width]`, are largest by their squares; all of
    /// them where there are no more.
    ///
    /// # Errors
    /// [`ActError::Directions`] where a difference is no number.
    pub fn of_most_difference(differences: &Array2<f64>, rank: usize) -> Result<Self, ActError> {
        let products = differences.t().dot(differences);
        let (_, vectors) = (products.eigh_into())
            .map_err(|error| ActError::Directions(error.to_string()))?
            .sort_eig_desc();
        let vectors = vectors.slice(s![.., ..rank.min(vectors.ncols())]);
        let columns = vectors.columns().into_iter();
        Ok(Basis::spanning(columns.map(|column| {
            column.iter().map(|&value| value as f32).collect()
        })))
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The part of a vector that lies in the subspace.
    fn project(&self, vector: &[f32]) -> Vec<f32> {
        let mut part = vec![0f64; vector.len()];
        for unit in &self.0 {
            let along: f64 = (unit.iter().zip(vector))
                .map(|(u, v)| f64::from(*u) * f64::from(*v))
                .sum();
            part.iter_mut()
                .zip(unit)
                .for_each(|(p, u)| *p += along * f64::from(*u));
        }
        part.into_iter().map(|p| p as f32).collect()
    }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// What is put in place of an activation, or of what an edge carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The value in the source question's run.
    Swap,
    /// The mean over a set of questions.
    Mean,
    Zero,
    /// The value in another question of the set, the same question for all places.
    Resample,
    /// The base question's own value, moved this far towards the source's.
    Interpolate(f64),
    /// Its own value and this.
    Add(Vec<f32>),
    /// Its own value, with the source's within a subspace.
    SwapWithin(Basis),
}

impl Act {
    /// Whether it uses the set of questions.
    pub fn needs_set(&self) -> bool {
        matches!(self, Act::Mean | Act::Resample)
    }

    /// The new value of a place, given the values in the base and the source run and in the set.
    fn apply(&self, own: &[f32], source: &[f32], set: &[f32]) -> Vec<f32> {
        let sum = |other: &[f32]| own.iter().zip(other).map(|(a, b)| a + b).collect();
        let difference = || -> Vec<f32> { source.iter().zip(own).map(|(s, o)| s - o).collect() };
        match self {
            Act::Swap => source.to_vec(),
            Act::Mean | Act::Resample => set.to_vec(),
            Act::Zero => vec![0.0; own.len()],
            Act::Interpolate(share) => {
                let share = *share as f32;
                let steps: Vec<f32> = difference().iter().map(|d| share * d).collect();
                sum(&steps)
            }
            Act::Add(direction) => sum(direction),
            Act::SwapWithin(basis) => sum(&basis.project(&difference())),
        }
    }

    /// Whether [`Act::apply`] reads the base's own value.
    const fn reads_own(&self) -> bool {
        !matches!(self, Act::Swap | Act::Mean | Act::Resample)
    }

    /// Whether it reads the source's.
    const fn reads_source(&self) -> bool {
        matches!(self, Act::Swap | Act::Interpolate(_) | Act::SwapWithin(_))
    }

    const fn source(&self) -> Source {
        match self {
            Act::Mean => Source::Mean,
            Act::Zero => Source::Zero,
            _ => Source::Stored,
        }
    }

    /// The width that a place must have, if it must have one.
    fn width(&self) -> Option<usize> {
        match self {
            Act::Add(direction) => Some(direction.len()),
            Act::SwapWithin(basis) => basis.0.first().map(Vec::len),
            _ => None,
        }
    }
}

impl From<Ablation> for Act {
    fn from(ablation: Ablation) -> Self {
        match ablation {
            Ablation::Mean => Act::Mean,
            Ablation::Zero => Act::Zero,
            Ablation::Resample => Act::Resample,
        }
    }
}

/// Acts that are done together in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Each act with its places.
    pub steps: Vec<(Act, Vec<Place>)>,
    /// The scale of the layer norms behind the edges.
    pub scale: Scale,
}

impl Change {
    /// One act, with the scale of layer norms as in the base run.
    pub fn new(act: Act, places: impl IntoIterator<Item = impl Into<Place>>) -> Self {
        let places = places.into_iter().map(Into::into).collect();
        Change {
            steps: vec![(act, places)],
            scale: Scale::Frozen,
        }
    }

    /// The same and another act.
    pub fn and(mut self, act: Act, places: impl IntoIterator<Item = impl Into<Place>>) -> Self {
        let places = places.into_iter().map(Into::into).collect();
        self.steps.push((act, places));
        self
    }

    /// The same with another scale of layer norms.
    pub fn at_scale(self, scale: Scale) -> Self {
        Change { scale, ..self }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.steps.iter().flat_map(|(_, places)| places)
    }
}

/// A source question and the base question that is run under changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The question whose values are swapped in.
    pub source: Prompt,
    /// The question that is run.
    pub base: Prompt,
}

/// Logits of pairs of questions, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Acted {
    /// Of the base questions, unchanged.
    pub base: Vec<AnswerLogits>,
    /// Of the source questions.
    pub source: Vec<AnswerLogits>,
    /// Of the base questions under each change: `changed[change][pair]`.
    pub changed: Vec<Vec<AnswerLogits>>,
}

/// Errors of an act.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ActError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Directions that cannot be learned from activations.
    #[error("no directions can be learned: {0}")]
    Directions(String),
    /// A direction or a subspace of another width than the place it is for.
    #[error("the direction for {place} has {found} numbers, the place holds {expected}")]
    Width {
        place: String,
        found: usize,
        expected: usize,
    },
    /// Of one question, the mean and any resampled value are its own, and the outcome would read as "no
    /// effect".
    #[error(
        "means and resampled values are taken from 2 different questions or more, the set has {found}"
    )]
    SetTooSmall { found: usize },
}

impl From<SiteError> for ActError {
    fn from(error: SiteError) -> Self {
        ActError::Engine(error.into())
    }
}

/// The network and what its runs are changed with.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    pub engine: &'a Engine,
    /// The questions that means and resampled values are taken from.
    pub set: &'a [Prompt],
    /// Of the questions drawn for resampling.
    pub seed: u64,
}

/// Values at places, for some prompts.
struct Values {
    at_sites: Activations,
    on_edges: Contributions,
}

impl Values {
    fn read(engine: &Engine, prompts: &[Prompt], places: &[&Place]) -> Result<Self, EngineError> {
        Ok(Values {
            at_sites: engine.activations(prompts, sites(places))?,
            on_edges: engine.contributions(prompts, senders(places))?,
        })
    }

    /// As [`Values::read`], with the prompts' logits.
    fn read_with_logits(
        engine: &Engine,
        prompts: &[Prompt],
        places: &[&Place],
    ) -> Result<(Self, Vec<AnswerLogits>), EngineError> {
        let (logits, at_sites) = engine.logits_and_activations(prompts, sites(places))?;
        let on_edges = engine.contributions(prompts, senders(places))?;
        Ok((Values { at_sites, on_edges }, logits))
    }

    fn means(engine: &Engine, set: &[Prompt], places: &[&Place]) -> Result<Self, EngineError> {
        Ok(Values {
            at_sites: engine.mean_activations(set, sites(places))?,
            on_edges: engine.contributions(set, senders(places))?.mean(),
        })
    }

    fn get(&self, prompt: usize, place: &Place) -> &[f32] {
        match place {
            Place::Site(site) => self.at_sites.get(prompt, *site),
            Place::Edge(edge) => self.on_edges.get(prompt, edge.from()),
        }
    }
}

/// The places of changes at which an act is `wanted`.
fn places(changes: &[Change], wanted: impl Fn(&Act, &Place) -> bool) -> Vec<&Place> {
    let steps = changes.iter().flat_map(|change| &change.steps);
    let acts = steps.flat_map(|(act, places)| places.iter().map(move |place| (act, place)));
    acts.filter(|(act, place)| wanted(act, place))
        .map(|(_, place)| place)
        .collect()
}

/// Whether the base's own value is read: what an edge carries is replaced by adding the difference.
fn reads_own(act: &Act, place: &Place) -> bool {
    act.reads_own() || matches!(place, Place::Edge(_))
}

fn sites(places: &[&Place]) -> Vec<Site> {
    let site = |place: &&Place| match place {
        Place::Site(site) => Some(*site),
        Place::Edge(_) => None,
    };
    places.iter().filter_map(site).collect()
}

fn senders(places: &[&Place]) -> Vec<Sender> {
    let sender = |place: &&Place| match place {
        Place::Site(_) => None,
        Place::Edge(edge) => Some(edge.from().clone()),
    };
    places.iter().filter_map(sender).collect()
}

/// Source minus base at a site, `[pairs, width]`.
///
/// # Errors
/// As [`Engine::activations`].
pub fn differences(
    engine: &Engine,
    pairs: &[Asked],
    site: Site,
) -> Result<Array2<f64>, EngineError> {
    let sources: Vec<Prompt> = pairs.iter().map(|pair| pair.source).collect();
    let bases: Vec<Prompt> = pairs.iter().map(|pair| pair.base).collect();
    let sources = engine.activations(&sources, [site])?;
    let bases = engine.activations(&bases, [site])?;
    let shape = (pairs.len(), site.width(&engine.shape()));
    Ok(Array2::from_shape_fn(shape, |(pair, i)| {
        f64::from(sources.get(pair, site)[i]) - f64::from(bases.get(pair, site)[i])
    }))
}

impl Stage<'_> {
    /// Runs every pair's base question as it is and under each change, teacher-forced.
    ///
    /// # Errors
    /// See [`ActError`].
    pub fn act(&self, pairs: &[Asked], changes: &[Change]) -> Result<Acted, ActError> {
        self.check(changes)?;
        let of_mean = places(changes, |act, _| *act == Act::Mean);
        let means = Values::means(self.engine, self.set, &of_mean)?;
        let mut acted = Acted {
            base: Vec::new(),
            source: Vec::new(),
            changed: vec![Vec::new(); changes.len()],
        };
        for block in pairs.chunks(default_block(self.engine)) {
            self.act_block(block, changes, &means, &mut acted)?;
        }
        Ok(acted)
    }

    fn check(&self, changes: &[Change]) -> Result<(), ActError> {
        let shape = self.engine.shape();
        let steps = changes.iter().flat_map(|change| &change.steps);
        for (act, place) in steps.flat_map(|(act, places)| places.iter().map(move |p| (act, p))) {
            place.check(&shape)?;
            let expected = place.width(&shape);
            match act.width() {
                Some(found) if found != expected => {
                    return Err(ActError::Width {
                        place: place.to_string(),
                        found,
                        expected,
                    });
                }
                _ => {}
            }
            if act.needs_set() && !self.set.iter().any(|prompt| prompt != &self.set[0]) {
                let found = self.set.len().min(1);
                return Err(ActError::SetTooSmall { found });
            }
        }
        Ok(())
    }

    fn act_block(
        &self,
        pairs: &[Asked],
        changes: &[Change],
        means: &Values,
        acted: &mut Acted,
    ) -> Result<(), ActError> {
        let bases: Vec<Prompt> = pairs.iter().map(|pair| pair.base).collect();
        let sources: Vec<Prompt> = pairs.iter().map(|pair| pair.source).collect();
        let run = self.engine.run(&bases)?;
        let own = Values::read(self.engine, &bases, &places(changes, reads_own))?;
        let of_source = places(changes, |act, _| act.reads_source());
        let (source, logits) = Values::read_with_logits(self.engine, &sources, &of_source)?;
        acted.source.extend(logits);
        let of_others = places(changes, |act, _| *act == Act::Resample);
        let others: Vec<Prompt> = match of_others.is_empty() {
            // There may be no set to draw from.
            true => Vec::new(),
            false => bases.iter().map(|base| self.other(base)).collect(),
        };
        let others = Values::read(self.engine, &others, &of_others)?;
        for (change, logits) in changes.iter().zip(&mut acted.changed) {
            let value = |pair: usize, act: &Act, place: &Place| {
                let set = match act {
                    Act::Mean => means.get(0, place),
                    Act::Resample => others.get(pair, place),
                    _ => &[],
                };
                let own = match reads_own(act, place) {
                    true => own.get(pair, place),
                    false => &[],
                };
                let source = match act.reads_source() {
                    true => source.get(pair, place),
                    false => &[],
                };
                let new = act.apply(own, source, set);
                match place {
                    Place::Site(_) => new,
                    Place::Edge(_) => new.iter().zip(own).map(|(new, own)| new - own).collect(),
                }
            };
            logits.extend(self.changed(&run, change, &value)?);
        }
        acted.base.extend_from_slice(run.logits());
        Ok(())
    }

    /// The logits of a run under a change, given each place's new value: of an edge, the difference.
    fn changed(
        &self,
        run: &Run,
        change: &Change,
        value: &dyn Fn(usize, &Act, &Place) -> Vec<f32>,
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        let pairs = 0..run.prompts().len();
        let mut exchanges = Vec::new();
        let mut written: Vec<Vec<(Site, Source, Vec<f32>)>> = Vec::new();
        for pair in pairs {
            let (mut at_sites, mut on_edges) = (Vec::new(), Vec::new());
            for (act, places) in &change.steps {
                for place in places {
                    let value = value(pair, act, place);
                    match place {
                        Place::Site(site) => at_sites.push((*site, act.source(), value)),
                        Place::Edge(edge) => on_edges.push((edge, value)),
                    }
                }
            }
            written.push(at_sites);
            exchanges.push(Exchange {
                question: pair,
                changes: on_edges,
            });
        }
        if change.places().any(|place| matches!(place, Place::Edge(_))) {
            let received = self.engine.received(run, &exchanges, change.scale)?;
            for (written, received) in written.iter_mut().zip(received) {
                let received = received.into_iter();
                written.extend(received.map(|(site, value)| (site, Source::Stored, value)));
            }
        }
        let jobs: Vec<(usize, Intervention)> = (written.iter().enumerate())
            .map(|(pair, written)| {
                let overwrites = written.iter().map(|(site, source, value)| Overwrite {
                    site: *site,
                    source: *source,
                    value,
                });
                (pair, Intervention::new(overwrites))
            })
            .collect();
        self.engine.intervene(run, &jobs, Decode::Forced)
    }

    /// Another question of the set, which depends on the question and the seed alone.
    fn other(&self, prompt: &Prompt) -> Prompt {
        let mut rng = stream(self.seed, &format!("resample/{prompt}"));
        // Terminates, because the set has two different questions.
        loop {
            let drawn = self.set[rng.random_range(0..self.set.len())];
            if drawn != *prompt {
                break drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::inputs::model::ModelFolder;

    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(&ModelFolder::bundled().weights));

    fn prompt(text: &str) -> Prompt {
        Prompt::parse(text, 5).unwrap()
    }

    fn pairs() -> Vec<Asked> {
        [
            ("22222+66966", "33333+55555"),
            ("90210-11111", "20000-30303"),
        ]
        .map(|(source, base)| Asked {
            source: prompt(source),
            base: prompt(base),
        })
        .to_vec()
    }

    fn place(text: &str) -> Place {
        text.parse().unwrap()
    }

    fn act(changes: &[Change]) -> Result<Acted, ActError> {
        let set: Vec<Prompt> = ["11111+22222", "98765-43210", "5-90"].map(prompt).to_vec();
        let stage = Stage {
            engine: &ENGINE,
            set: &set,
            seed: 7,
        };
        stage.act(&pairs(), changes)
    }

    fn largest_difference(left: &[AnswerLogits], right: &[AnswerLogits]) -> f32 {
        (left.iter().zip(right))
            .flat_map(|(l, r)| l.rows().as_flattened().iter().zip(r.rows().as_flattened()))
            .map(|(l, r)| (l - r).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn places_round_trip() {
        for text in ["P15L0H2", "P3L0.resid_mid", "P15L1H2<P11 -> P15L1M0"] {
            assert_eq!(place(text).to_string(), text);
        }
    }

    #[test]
    fn interpolating_runs_from_the_base_to_the_swap() {
        for text in ["P11L0", "P14L2H1 -> P14L2M0", "P14L2H1<P11 -> P14.ln_final"] {
            let by = |act| Change::new(act, [place(text)]);
            let acted = act(&[
                by(Act::Interpolate(0.0)),
                by(Act::Interpolate(1.0)),
                by(Act::Swap),
                by(Act::Interpolate(0.5)),
            ]);
            let acted = acted.unwrap();
            let [none, all, swap, half] = &acted.changed[..] else {
                panic!()
            };
            assert!(largest_difference(none, &acted.base) < 1e-4, "{text}");
            assert!(largest_difference(all, swap) < 1e-4, "{text}");
            assert!(largest_difference(half, swap) > 1e-3, "{text}");
            assert!(largest_difference(half, &acted.base) > 1e-3, "{text}");
        }
    }

    #[test]
    fn swapping_the_last_stream_gives_the_source_s_logits_there() {
        let acted = act(&[Change::new(Act::Swap, [place("P14L2.resid_mid")])]).unwrap();
        for (changed, source) in acted.changed[0].iter().zip(&acted.source) {
            for (a, b) in changed.rows()[3].iter().zip(source.rows()[3]) {
                assert!((a - b).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_swap_within_the_whole_space_is_a_swap_and_within_none_of_it_nothing() {
        let width = place("P14L2H1").width(&ENGINE.shape());
        let unit = |i: usize| (0..width).map(|j| f32::from(i == j)).collect();
        let whole = Basis::spanning((0..width).map(unit));
        assert_eq!(whole.rank(), width);
        let by = |act| Change::new(act, [place("P14L2H1")]);
        let none = Basis::spanning([]);
        let acted = act(&[
            by(Act::SwapWithin(whole)),
            by(Act::Swap),
            by(Act::SwapWithin(none)),
        ])
        .unwrap();
        assert!(largest_difference(&acted.changed[0], &acted.changed[1]) < 1e-4);
        assert!(largest_difference(&acted.changed[2], &acted.base) < 1e-4);
        assert!(largest_difference(&acted.changed[1], &acted.base) > 1e-3);
    }

    #[test]
    fn a_basis_leaves_out_what_depends_on_what_is_before() {
        let basis = Basis::spanning([vec![1.0, 1.0], vec![2.0, 2.0], vec![1.0, 0.0]]);
        assert_eq!(basis.rank(), 2);
        let projected = basis.project(&[3.0, -4.0]);
        assert!((projected[0] - 3.0).abs() < 1e-6 && (projected[1] + 4.0).abs() < 1e-6);
    }

    #[test]
    fn means_and_resampled_values_come_from_the_set() {
        let node = [place("P14L2H1")];
        let by = |act| Change::new(act, node.clone());
        let acted = act(&[by(Act::Mean), by(Act::Resample), by(Act::Zero)]).unwrap();
        for pair in 0..2 {
            let logits = acted.changed.iter().map(|logits| &logits[pair]);
            let mut distinct: Vec<&AnswerLogits> = logits.collect();
            distinct.push(&acted.base[pair]);
            for (i, one) in distinct.iter().enumerate() {
                assert!(distinct[..i].iter().all(|other| other != one), "{pair}");
            }
        }
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        let refused = |act: Act, text: &str| {
            let changes = [Change::new(act, [place(text)])];
            self::act(&changes).unwrap_err().to_string()
        };
        assert_eq!(
            refused(Act::Add(vec![0.0; 3]), "P3L0"),
            "the direction for P3L0 has 3 numbers, the place holds 126"
        );
        assert_eq!(
            refused(Act::Swap, "P30L0"),
            "site P30L0 is position 30, the model has positions 0 to 18"
        );
        let stage = Stage {
            engine: &ENGINE,
            set: &[prompt("1+2")],
            seed: 0,
        };
        let changes = [Change::new(Act::Mean, [place("P14L2H1")])];
        assert_eq!(
            stage.act(&pairs(), &changes).unwrap_err(),
            ActError::SetTooSmall { found: 1 }
        );
    }
}
