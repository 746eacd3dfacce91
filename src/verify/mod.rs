//! Verification: test every claim about a model by intervening on its network.
//!
//! The phases follow docs/METHOD.md: baseline of the unpatched model; every claimed node alone;
//! sets and mean-ablated carriers for nodes that do not hold alone; controls and necessity for the
//! node set that decides each claim; verdicts.

mod affected_tokens;
mod attends;
mod conclusion;
mod controls;
mod cost;
mod decide;
mod effect;
mod escalation;
pub mod evidence;
mod free_order;
mod limits;
mod necessity;
mod options;
mod parity;
mod phases;
mod plan;
mod published_test;
mod replay;
mod search;
mod tried;
mod verdict;
mod weakness;

pub use affected_tokens::MOVE_FOR_OTHERS;
pub use conclusion::Conclusion;
pub use controls::{
    Controlled, Controls, DecoyResult, ElsewhereResult, SELECTIVITY_MARGIN, Selectivity, Setting,
};
pub use cost::PhaseCost;
pub use free_order::FreeOrder;
pub use limits::{ControlPlan, Limits};
pub use necessity::Necessity;
pub use options::{Decoding, EXIT_FIRST, Options};
pub use parity::EngineParity;
pub use published_test::{
    AttentionPercents, AttentionSources, ImpactReading, Published, PublishedResult, PublishedTests,
    PublishedTrial, TRIED_IN_PAIRS, WEAK_BY_IMPACT, attended_position, attention_percents,
    attention_row, attention_sources,
};
pub use replay::{ReplayError, Replayed, replay};
pub use search::SearchEffort;
pub use verdict::{
    JointSet, NamedSet, Refutation, UnknownVerdict, Untestable, Verdict, VerdictKind,
};
pub use weakness::{FailuresAt, Weakness};

use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::node::Node;
use crate::experiment::Baseline;
use crate::inputs::claims::{
    Claim, ClaimsError, claims_of, read_tagged_nodes, tags_instead_of_claims,
};
use crate::inputs::model::{ModelFolder, RawFile};
use crate::network::engine::{Engine, EngineError};
use cost::Meter;
use evidence::{Evidence, Inputs, Protocol, SCHEMA};
use phases::Verification;
use plan::Plan;
pub use plan::testable;

/// Why a verification could not be run.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The folder has no claims file.
    #[error(
        "{model}: no features.json, so there are no claims to verify; pass a file with --features"
    )]
    NoFeatures {
        /// The model.
        model: String,
    },
    /// The claims file claims nothing.
    #[error("{file}: none of the {nodes} nodes has a claim (a tag Algo:…): {tags}")]
    NoClaims {
        /// The file.
        file: String,
        /// How many nodes it lists.
        nodes: usize,
        /// Which tags they have instead.
        tags: String,
    },
    /// The filters select no claim.
    #[error("no claim matches {filters} (the file has {claims} claims)")]
    NothingSelected {
        /// The filters.
        filters: String,
        /// Claims in the file.
        claims: usize,
    },
    /// The claims or behaviors file cannot be read.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The engine and the plain forward pass disagree, so no result of the engine can be trusted.
    #[error(
        "the engine and the plain forward pass differ on {} of {} answers: this is a bug, please report it",
        .0.differing, .0.answers
    )]
    EngineDiffers(EngineParity),
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// One step of a verification, for progress reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: &'static str,
    /// Steps done in this phase.
    pub done: usize,
    pub of: usize,
}

/// The claims file of a verification and the claims it makes: `features`, or the folder's own file.
/// Nothing is run, so a caller can reject wrong input before it takes a lock.
///
/// # Errors
/// [`VerifyError`] where the file is missing, cannot be read or makes no claim that the filters select.
pub fn claims_to_verify<'a>(
    folder: &'a ModelFolder,
    features: Option<&'a RawFile>,
    options: &Options,
) -> Result<(&'a RawFile, Vec<Claim>), VerifyError> {
    let features =
        features
            .or(folder.features.as_ref())
            .ok_or_else(|| VerifyError::NoFeatures {
                model: folder.name.clone(),
            })?;
    let file = features.path.display().to_string();
    let tagged = read_tagged_nodes(&file, &features.bytes)?;
    let claims = claims_of(&tagged);
    if claims.is_empty() {
        return Err(VerifyError::NoClaims {
            file,
            nodes: tagged.len(),
            tags: tags_instead_of_claims(&tagged),
        });
    }
    if !claims.iter().any(|claim| options.selects(claim)) {
        return Err(VerifyError::NothingSelected {
            filters: options.filters().join(", "),
            claims: claims.len(),
        });
    }
    Ok((features, claims))
}

/// Verifies the claims of `features`, or of the folder's own file.
///
/// # Errors
/// [`VerifyError`] where there is nothing to verify or a file cannot be read.
pub fn verify(
    folder: &ModelFolder,
    features: Option<&RawFile>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Evidence, VerifyError> {
    let (features, all) = claims_to_verify(folder, features, options)?;
    let engine = Engine::new(&folder.weights);
    let mut meter = Meter::new(&engine);
    progress(Progress {
        phase: "baseline",
        done: 0,
        of: 1,
    });
    let baseline = Baseline::measure(
        &engine,
        folder.operations(),
        options.rules.alpha,
        options.rules.seed,
    )?;
    let plan = Plan::new(&all, &engine, &baseline, options);
    let behaviors = match &folder.behaviors {
        Some(file) => read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?,
        None => Vec::new(),
    };
    let nodes: Vec<Node> = plan.testable.iter().map(|claim| claim.node).collect();
    let engine_parity = parity::measure(&engine, &folder.weights, &baseline, &nodes)?;
    if engine_parity.differing > 0 {
        return Err(VerifyError::EngineDiffers(engine_parity));
    }
    let verification = Verification::new(folder, &engine, &baseline, &plan, options, &behaviors)?;
    meter.watch(verification.untrained());
    meter.charge("baseline");
    let claims = verification.run(&mut meter, progress)?;
    let cost = meter.into_costs();
    let mut filters = options.filters();
    if claims.len() < plan.selected.len() {
        filters.push(EXIT_FIRST.to_owned());
    }

    let mut summary = BTreeMap::new();
    for claim in &claims {
        *summary.entry(claim.verdict.kind()).or_default() += 1;
    }
    Ok(Evidence {
        schema: SCHEMA.into(),
        inputs: Inputs {
            model: folder.name.clone(),
            weights_sha256: folder.weights_sha256.clone(),
            features_sha256: features.sha256.clone(),
            behaviors_sha256: folder.behaviors.as_ref().map(|f| f.sha256.clone()),
            operations: folder.operations().to_string(),
            shape: engine.shape(),
        },
        protocol: Protocol {
            decode: options.decoding,
            threshold: options.rules.threshold,
            alpha: options.rules.alpha,
            testable_claims: plan.testable_in_file,
            max_trials: options.rules.max_trials,
            seed: options.rules.seed,
            limits: Limits::default(),
            controls: ControlPlan::default(),
            filters,
        },
        engine_parity,
        baseline,
        summary,
        claims,
        cost,
    })
}
