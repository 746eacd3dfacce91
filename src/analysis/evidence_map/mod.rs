//! The claim–evidence map of 2026: published claims about linear codes, edges, residual sites and
//! groups of nodes, each measured as published and soundly. `hypotheses/published-2026/` has them.

mod attending;
mod contributions;
mod keeping;
mod lab;
mod measure;
mod patching;
mod reading;
mod shapes;
mod steps;
mod switches;
mod tags;
mod transport;

pub use lab::{Lab, MapOptions};
pub use measure::{Expect, In, Row, Settled};
pub use tags::{
    BEYOND_UNTRAINED, MapQuantity, MapReading, MapReadings, MapTagAssay, combined_by,
    combiners_published, find_tags, measure_tags,
};

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::analysis::hypothesis::Models;
use crate::domain::arithmetic::Class;
use crate::domain::edge::EdgeError;
use crate::domain::text::line;
use crate::experiment::codes::ProbeError;
use crate::experiment::{ActError, Baseline, RulesError, check_alpha};
use crate::inputs::model::{Identity, ModelFolder};
use crate::network::engine::{Engine, EngineError};
use crate::verify::Progress;
use measure::By;

macro_rules! bundled {
    ($name:literal) => {
        (
            concat!("hypotheses/published-2026/", $name, ".toml"),
            include_str!(concat!(
                "../../../hypotheses/published-2026/",
                $name,
                ".toml"
            )),
        )
    };
}

/// The bundled claims, in their order: each file with its text.
const BUNDLED: &[(&str, &str)] = &[
    bundled!("ce01"),
    bundled!("ce02"),
    bundled!("ce03"),
    bundled!("ce04"),
    bundled!("ce05"),
    bundled!("ce06"),
    bundled!("ce07"),
    bundled!("ce08"),
    bundled!("ce09"),
    bundled!("ce10"),
    bundled!("ce11"),
    bundled!("ce12"),
    bundled!("ce13"),
    bundled!("ce14"),
    bundled!("ce15"),
    bundled!("ce16"),
    bundled!("ce17"),
    bundled!("ce18"),
    bundled!("ce19"),
    bundled!("ce20"),
    bundled!("ce21"),
    bundled!("ce22"),
    bundled!("ce23"),
    bundled!("ce24"),
    bundled!("ce25"),
    bundled!("ce26"),
    bundled!("ce27"),
    bundled!("ce28"),
    bundled!("ce29"),
    bundled!("ce30"),
    bundled!("ce31"),
    bundled!("ce32"),
];

/// Why a claim cannot be measured.
#[derive(Debug, Error)]
pub enum MapError {
    /// A claim's file that does not follow the grammar.
    #[error("{file}: {source}")]
    Grammar {
        file: String,
        /// The error, with its place in the file.
        source: Box<toml::de::Error>,
    },
    /// A claim that is not among the bundled ones.
    #[error("there is no claim {0:?}; the claims are {1}")]
    Unknown(String, String),
    /// Something the model lacks.
    #[error("{0}")]
    NotApplicable(String),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Act(#[from] ActError),
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl MapError {
    /// An edge that the model does not have is a measurement that does not apply to it.
    fn edge(error: EdgeError) -> Self {
        MapError::NotApplicable(error.to_string())
    }
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The models, as published.
    pub models: String,
    #[serde(deserialize_with = "line")]
    pub found: String,
}

/// What a measurement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The published assay.
    Published,
    /// The claim, tested so that it can fail.
    Sound,
    /// What must not be so if the sound test is to mean anything.
    Control,
    /// A figure that decides nothing.
    Shown,
}

/// How something is measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapAssay {
    Interchange(patching::Interchange),
    Probe(reading::Probing),
    Centroids(shapes::Centroids),
    Dependence(shapes::Dependence),
    Digits(shapes::Digitwise),
    Mix(steps::Mixing),
    Keep(keeping::Keeping),
    Attend(attending::Attending),
    Transport(transport::Transport),
    Switch(switches::Switching),
    Contribute(contributions::Contributing),
}

impl MapAssay {
    fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        match self {
            MapAssay::Interchange(assay) => assay.measure(lab, name),
            MapAssay::Probe(assay) => assay.measure(lab, name),
            MapAssay::Centroids(assay) => assay.measure(lab, name),
            MapAssay::Dependence(assay) => assay.measure(lab, name),
            MapAssay::Digits(assay) => Ok(assay.measure(lab, name)),
            MapAssay::Mix(assay) => assay.measure(lab, name),
            MapAssay::Keep(assay) => assay.measure(lab),
            MapAssay::Attend(assay) => assay.measure(lab, name),
            MapAssay::Transport(assay) => assay.measure(lab, name),
            MapAssay::Switch(assay) => assay.measure(lab, name),
            MapAssay::Contribute(assay) => assay.measure(lab, name),
        }
    }
}

/// A measurement of a claim, as its file states it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapMeasurement {
    pub part: Part,
    /// What is measured, in words.
    #[serde(deserialize_with = "line")]
    pub says: String,
    pub assay: MapAssay,
    #[serde(default)]
    pub expect: Expect,
    /// Which of the claim's models it is about; by default all of them.
    #[serde(default)]
    pub model: Models,
}

/// What a published claim says, for readers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Its published number, `CE14`.
    pub id: String,
    #[serde(deserialize_with = "line")]
    pub says: String,
    /// The confidence stated by those who published it.
    pub confidence: String,
    #[serde(default)]
    pub published: Vec<Published>,
    /// How nodes that were published by position are found in another model.
    #[serde(default, deserialize_with = "line")]
    pub roles: String,
    /// Why the assay as published cannot fail, if it cannot.
    #[serde(default, deserialize_with = "line")]
    pub cannot_fail: String,
    /// How the sound test differs from the published one.
    #[serde(default, deserialize_with = "line")]
    pub sound: String,
}

/// A published claim.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapClaim {
    pub claim: Stated,
    #[serde(default)]
    pub model: Models,
    #[serde(rename = "measure")]
    pub measurements: Vec<MapMeasurement>,
}

impl MapClaim {
    /// Parses a claim's file; `file` names it in errors.
    ///
    /// # Errors
    /// [`MapError::Grammar`].
    pub fn read(file: &str, text: &str) -> Result<Self, MapError> {
        toml::from_str(text).map_err(|source| MapError::Grammar {
            file: file.into(),
            source: Box::new(source),
        })
    }

    /// The bundled claims.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn bundled() -> Vec<Self> {
        let read = |&(file, text): &(&str, &str)| Self::read(file, text);
        let claims: Result<_, _> = BUNDLED.iter().map(read).collect();
        claims.expect("a test reads all bundled claims")
    }

    /// The bundled claims of these numbers, in either case, or all of them if there is none.
    ///
    /// # Errors
    /// [`MapError::Unknown`].
    pub fn bundled_named(wanted: &[String]) -> Result<Vec<Self>, MapError> {
        let all = Self::bundled();
        let ids: Vec<&str> = all.iter().map(|claim| claim.claim.id.as_str()).collect();
        let is = |id: &str, wanted: &str| id.eq_ignore_ascii_case(wanted);
        if let Some(unknown) = wanted
            .iter()
            .find(|wanted| !ids.iter().any(|id| is(id, wanted)))
        {
            return Err(MapError::Unknown(unknown.clone(), ids.join(", ")));
        }
        let is_wanted = |claim: &MapClaim| {
            wanted.is_empty() || wanted.iter().any(|wanted| is(&claim.claim.id, wanted))
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }
}

/// What a measurement found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapMeasured {
    pub part: Part,
    pub says: String,
    pub expect: Expect,
    /// `None` where nothing is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    pub rows: Vec<Row>,
}

/// The verdict on a claim about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MapVerdict {
    Reproduced,
    /// The sound test holds, and so does what must not hold if it is to mean anything.
    ControlFails,
    NotReproduced,
    /// The published assay holds, as it does of any model, and the sound test or its control is open.
    CannotFail,
    /// The intervals leave it open.
    Open,
    NotApplicable,
}

impl MapVerdict {
    pub const ALL: [Self; 6] = [
        Self::Reproduced,
        Self::ControlFails,
        Self::NotReproduced,
        Self::CannotFail,
        Self::Open,
        Self::NotApplicable,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::ControlFails => "reproduced, but its control fails",
            Self::NotReproduced => "not reproduced",
            Self::CannotFail => "cannot fail as published",
            Self::Open => "open",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl Settled {
    pub const fn name(self) -> &'static str {
        match self {
            Settled::Fails => "fails",
            Settled::Open => "open",
            Settled::Holds => "holds",
        }
    }
}

impl fmt::Display for MapVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A claim measured on a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimResult {
    pub claim: Stated,
    pub verdict: MapVerdict,
    /// Why it is not applicable, or what of it could not be measured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub measured: Vec<MapMeasured>,
    /// Questions run for it.
    pub questions: u64,
    /// How long it took.
    #[serde(skip)]
    pub took: Duration,
}

impl Part {
    pub const fn name(self) -> &'static str {
        match self {
            Part::Published => "as published",
            Part::Sound => "sound",
            Part::Control => "control",
            Part::Shown => "shown",
        }
    }
}

impl ClaimResult {
    /// What the published assay comes to, in a word.
    pub fn as_published(&self) -> &'static str {
        match (
            self.of_part(Part::Published),
            self.claim.cannot_fail.is_empty(),
        ) {
            (None, _) => "–",
            (Some(Settled::Holds), true) => "holds",
            (Some(Settled::Holds), false) => "holds (cannot fail)",
            (Some(Settled::Fails), _) => "fails",
            // Values are not open: there are none.
            (Some(Settled::Open), _) => "not measured",
        }
    }

    /// The worst of all measurements of a part; `None` if none decides.
    pub fn of_part(&self, part: Part) -> Option<Settled> {
        settled(&self.measured, part)
    }
}

fn settled(measured: &[MapMeasured], part: Part) -> Option<Settled> {
    let of_part = measured.iter().filter(|measured| measured.part == part);
    Settled::of_all(of_part.filter_map(|measured| measured.settled))
}

/// The verdict that measurements come to. What asks and could not be measured is open, unless no sound
/// test could be measured at all.
fn verdict(measured: &[MapMeasured], cannot_fail: bool) -> MapVerdict {
    let mut sound = measured.iter().filter(|m| m.part == Part::Sound);
    if sound.all(|measured| measured.rows.is_empty()) {
        return MapVerdict::NotApplicable;
    }
    let holds_of_any = cannot_fail && settled(measured, Part::Published) == Some(Settled::Holds);
    let undecided = match holds_of_any {
        true => MapVerdict::CannotFail,
        false => MapVerdict::Open,
    };
    match (
        settled(measured, Part::Sound),
        settled(measured, Part::Control),
    ) {
        (Some(Settled::Fails), _) => MapVerdict::NotReproduced,
        (Some(Settled::Holds), Some(Settled::Fails)) => MapVerdict::ControlFails,
        (Some(Settled::Holds), Some(Settled::Holds) | None) => MapVerdict::Reproduced,
        (Some(Settled::Open) | None, _) | (Some(Settled::Holds), Some(Settled::Open)) => undecided,
    }
}

/// All that was measured on a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelMap {
    #[serde(flatten)]
    pub identity: Identity,
    pub options: MapOptions,
    /// Classes whose questions the model answers well enough to be asked about.
    pub classes: Vec<Class>,
    pub claims: Vec<ClaimResult>,
}

/// Measures a model's baseline, and claims on it.
///
/// # Errors
/// As [`measure_claims`].
pub fn measure_model(
    folder: &ModelFolder,
    engine: &Engine,
    claims: &[MapClaim],
    options: MapOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelMap, MapError> {
    check_alpha(options.alpha)?;
    let operations = folder.operations();
    let baseline = Baseline::measure(engine, operations, options.alpha, options.seed)?;
    let lab = Lab::new(folder, engine, &baseline, options);
    measure_claims(&lab, claims, progress)
}

/// Measures claims on a model.
///
/// # Errors
/// [`MapError`] where a probe cannot be fitted or an intervention was not applied.
pub fn measure_claims(
    lab: &Lab,
    claims: &[MapClaim],
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelMap, MapError> {
    let mut results = Vec::with_capacity(claims.len());
    for (done, claim) in claims.iter().enumerate() {
        progress(Progress {
            phase: "claims",
            done,
            of: claims.len(),
        });
        let started = Instant::now();
        let result = measure_claim(lab, claim)?;
        results.push(ClaimResult {
            took: started.elapsed(),
            ..result
        });
    }
    Ok(ModelMap {
        identity: lab.folder.identity(),
        options: lab.options,
        classes: lab.baseline.passing().collect(),
        claims: results,
    })
}

fn measure_claim(lab: &Lab, claim: &MapClaim) -> Result<ClaimResult, MapError> {
    let before = questions(lab);
    let mut result = ClaimResult {
        claim: claim.claim.clone(),
        verdict: MapVerdict::NotApplicable,
        reason: String::new(),
        measured: Vec::new(),
        questions: 0,
        took: Duration::ZERO,
    };
    let (folder, shape) = (lab.folder, lab.shape());
    if let Some(unmet) = claim.model.unmet(&folder.name, folder.operations(), &shape) {
        result.reason = unmet.to_string();
        return Ok(result);
    }
    let fits = |measurement: &&MapMeasurement| {
        let unmet = measurement
            .model
            .unmet(&folder.name, folder.operations(), &shape);
        unmet.is_none()
    };
    for (number, measurement) in claim.measurements.iter().filter(fits).enumerate() {
        let name = format!("{}/{number}", claim.claim.id);
        let rows = match measurement.assay.measure(lab, &name) {
            Err(MapError::NotApplicable(reason)) => {
                result.reason = reason;
                result.measured.clear();
                return Ok(result);
            }
            Err(MapError::Probe(error)) => {
                result.reason = error.to_string();
                result.verdict = MapVerdict::Open;
                return Ok(result);
            }
            rows => rows?,
        };
        let by = match measurement.part {
            Part::Published => By::Values,
            _ => By::Bounds,
        };
        result.measured.push(MapMeasured {
            part: measurement.part,
            says: measurement.says.clone(),
            expect: measurement.expect,
            settled: measurement.expect.judge(&rows, by),
            rows,
        });
    }
    result.verdict = verdict(&result.measured, !claim.claim.cannot_fail.is_empty());
    result.reason = match result.verdict {
        MapVerdict::NotApplicable => {
            "the model answers no question of its classes well enough, or \
                                      has no such column or nodes"
                .into()
        }
        MapVerdict::Open | MapVerdict::CannotFail => missing(&result.measured),
        _ => String::new(),
    };
    result.questions = questions(lab) - before;
    Ok(result)
}

/// What asks for something and could not be measured, in words; empty if there is nothing.
fn missing(measured: &[MapMeasured]) -> String {
    let missing = (measured.iter()).filter(|measured| {
        let decides = matches!(measured.part, Part::Sound | Part::Control);
        decides && measured.settled.is_some() && measured.rows.is_empty()
    });
    let says: Vec<&str> = missing.map(|measured| measured.says.as_str()).collect();
    match says.is_empty() {
        true => String::new(),
        false => format!("could not be measured: {}", says.join("; ")),
    }
}

fn questions(lab: &Lab) -> u64 {
    lab.engine.patched_questions() + lab.engine.unpatched_questions()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(part: Part, settled: Settled) -> MapMeasured {
        MapMeasured {
            part,
            says: String::new(),
            expect: Expect::default(),
            settled: Some(settled),
            rows: vec![Row::exact("", 0.0)],
        }
    }

    #[test]
    fn the_sound_test_decides_and_its_control_may_take_it_back() {
        use MapVerdict as V;
        let sound = |s| measured(Part::Sound, s);
        let control = |s| measured(Part::Control, s);
        let of = |all: &[MapMeasured]| verdict(all, false);
        assert_eq!(of(&[sound(Settled::Holds)]), V::Reproduced);
        assert_eq!(
            of(&[sound(Settled::Fails), control(Settled::Holds)]),
            V::NotReproduced
        );
        assert_eq!(
            of(&[sound(Settled::Holds), control(Settled::Fails)]),
            V::ControlFails
        );
        assert_eq!(
            of(&[sound(Settled::Holds), control(Settled::Open)]),
            V::Open
        );
        assert_eq!(
            of(&[sound(Settled::Holds), sound(Settled::Fails)]),
            V::NotReproduced
        );
    }

    #[test]
    fn what_holds_of_any_model_reproduces_nothing() {
        let of = |published, cannot_fail| {
            let sound = measured(Part::Sound, Settled::Open);
            verdict(&[measured(Part::Published, published), sound], cannot_fail)
        };
        assert_eq!(of(Settled::Holds, true), MapVerdict::CannotFail);
        assert_eq!(of(Settled::Fails, true), MapVerdict::Open);
        assert_eq!(of(Settled::Holds, false), MapVerdict::Open);
    }

    #[test]
    fn what_could_not_be_measured_is_open() {
        let sound = measured(Part::Sound, Settled::Holds);
        let without_rows = |part| MapMeasured {
            rows: Vec::new(),
            ..measured(part, Settled::Open)
        };
        for part in [Part::Sound, Part::Control] {
            let all = [sound.clone(), without_rows(part)];
            assert_eq!(verdict(&all, false), MapVerdict::Open, "{part:?}");
            assert!(!missing(&all).is_empty());
        }
        let published = measured(Part::Published, Settled::Holds);
        let all = [published, without_rows(Part::Sound)];
        assert_eq!(verdict(&all, true), MapVerdict::NotApplicable);
        assert_eq!(missing(&[sound]), "");
    }

    #[test]
    fn every_bundled_claim_reads_and_has_a_sound_test() {
        let claims = MapClaim::bundled();
        for claim in &claims {
            let parts = claim
                .measurements
                .iter()
                .map(|measurement| measurement.part);
            assert!(
                parts.into_iter().any(|part| part == Part::Sound),
                "{}",
                claim.claim.id
            );
            for measurement in &claim.measurements {
                let asks = measurement.expect.asks();
                assert_eq!(
                    asks,
                    measurement.part != Part::Shown,
                    "{}",
                    measurement.says
                );
            }
        }
        let mut ids: Vec<&String> = claims.iter().map(|claim| &claim.claim.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), claims.len());
    }
}
