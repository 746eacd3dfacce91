//! What a report is made of: stored evidence, what lies beside it, and the model it is about. Every
//! form of the report is made from this one type.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::attention::{Attention, AttentionError};
use super::claim_view::ClaimView;
use super::commands::usual_folder;
use super::parts::{self, FoundPart, PartContent, PartKind, StoredPart};
use crate::analysis::circuit::{CircuitError, CircuitEvidence};
use crate::analysis::graph::{Flows, Graph, GraphError, GraphEvidence, KnownClaims, VertexKind};
use crate::analysis::property::evidence::{PropertyEvidence, PropertyEvidenceError};
use crate::inputs::claims::{ClaimsError, TaggedNode, read_tagged_nodes};
use crate::inputs::model::{ModelFolder, sha256};
use crate::storage::read_result;
use crate::verify::evidence::{Evidence, EvidenceError};
use crate::verify::{EXIT_FIRST, VerdictKind};

/// The evidence of a verification.
pub const EVIDENCE_FILE: &str = "evidence.json";

/// What belongs to one run and not to its evidence.
pub const RUN_FILE: &str = "run.json";

/// The mean attention of claimed heads.
pub const ATTENTION_FILE: &str = "attention.json";

/// What single nodes do when they are ablated.
const BEHAVIORS_FILE: &str = "behaviors.json";

/// Where behaviours lie that were measured because the model has none of its own.
pub const DISCOVERED: &str = "discovered";

/// Everything a report is made of.
pub struct Report {
    pub evidence: Evidence,
    /// SHA-256 of the file it stands in.
    pub evidence_sha256: String,
    /// The model's arguments as a shell reads them, for commands that reproduce what is shown; empty
    /// for the bundled one.
    pub model: String,
    /// The file of claims as the command line names it, where it is not the model's own.
    pub features: Option<PathBuf>,
    /// The folder that the evidence lies in.
    pub stored: PathBuf,
    /// How today's model differs from the one the evidence is of. Empty where it does not.
    pub changes: Vec<Change>,
    /// The nodes of behaviors.json with their tags: the model's own or, where it has none, those that
    /// `discover` measured and stored beside the evidence; empty where there are neither.
    pub behaviors: Vec<TaggedNode>,
    /// Whether the model has a behaviors.json of its own.
    pub publishes_behaviors: bool,
    /// The loss of each training batch; empty where it is not published.
    pub losses: Vec<f32>,
    /// Mean attention of claimed heads, where it was measured.
    pub attention: Option<Attention>,
    /// Which claims feed which: as measured and stored or, where nothing is, what the arithmetic says
    /// and the network can do.
    pub graph: Graph,
    pub parts: Vec<StoredPart>,
}

/// A filter of the evidence, as a sentence without its full stop.
pub(super) fn restriction(filter: &str) -> String {
    match filter {
        EXIT_FIRST => "Testing ended at the first variable with a refuted claim".to_owned(),
        _ => format!("Only claims of {filter} were tested"),
    }
}

/// A difference between the model that evidence is of and the one it is reported for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The model is not at hand, so nothing could be compared.
    Absent,
    /// A file is not the one that was tested; digests are SHA-256, `None` for no file.
    File {
        what: &'static str,
        /// The digest in the evidence.
        tested: Option<String>,
        today: Option<String>,
    },
}

impl Change {
    /// Whether it is known that the model changed.
    pub const fn is_known(&self) -> bool {
        matches!(self, Change::File { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |digest: &Option<String>| match digest {
            Some(digest) => format!("{digest:.12}"),
            None => "none".into(),
        };
        match self {
            Change::Absent => write!(f, "the model is not here, so nothing was compared"),
            Change::File {
                what,
                tested,
                today,
            } => write!(
                f,
                "the {what} changed: SHA-256 {} was tested, it is now {}",
                short(tested),
                short(today)
            ),
        }
    }
}

/// Why a report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// There is no evidence to report.
    #[error("{}: no such file; circuitcheck verify writes it", .path.display())]
    NoEvidence {
        /// Where it would be.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        path: PathBuf,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The evidence is of another form.
    #[error("{}: {reason}", .path.display())]
    Evidence {
        path: PathBuf,
        /// What is wrong with it.
        reason: EvidenceError,
    },
    /// The attention beside the evidence is of another form.
    #[error("{}: {reason}", .path.display())]
    Attention {
        path: PathBuf,
        /// What is wrong with it.
        reason: AttentionError,
    },
    /// The stored properties are of another form.
    #[error("{}: {reason}", .path.display())]
    Property {
        path: PathBuf,
        /// What is wrong with it.
        reason: PropertyEvidenceError,
    },
    /// The stored graph is of another form.
    #[error("{}: {reason}", .path.display())]
    Graph {
        path: PathBuf,
        /// What is wrong with it.
        reason: GraphError,
    },
    /// The stored circuits are of another form.
    #[error("{}: {reason}", .path.display())]
    Circuit {
        path: PathBuf,
        /// What is wrong with it.
        reason: CircuitError,
    },
    /// The behaviours file cannot be read.
    #[error(transparent)]
    Behaviors(#[from] ClaimsError),
}

/// The content of a file, or `None` where there is none.
fn content(path: PathBuf) -> Result<Option<(PathBuf, Vec<u8>)>, ReportError> {
    match read_result(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(ReportError::Unreadable { path, reason }),
    }
}

impl Report {
    /// Reads what lies in `stored`, or gives `None` where there is no evidence. `folder` is the model,
    /// where it is at hand, and `model` how the command line names it.
    ///
    /// # Errors
    /// [`ReportError`] where a file cannot be read.
    pub fn read(
        stored: &Path,
        folder: Option<&ModelFolder>,
        model: &str,
    ) -> Result<Option<Self>, ReportError> {
        let Some((path, bytes)) = content(stored.join(EVIDENCE_FILE))? else {
            return Ok(None);
        };
        let evidence =
            Evidence::from_json(&bytes).map_err(|reason| ReportError::Evidence { path, reason })?;
        let mut report = Self::new(evidence, sha256(&bytes), folder, model)?;
        let weights = &report.evidence.inputs.weights_sha256;
        if let Some((path, bytes)) = content(stored.join(ATTENTION_FILE))? {
            let read = Attention::from_json(&bytes);
            let attention = read.map_err(|reason| ReportError::Attention { path, reason })?;
            report.attention = Some(attention).filter(|read| read.weights_sha256 == *weights);
        }
        report.parts = (PartKind::ALL.into_iter())
            .map(|kind| part(kind, stored, weights, &mut report.graph))
            .collect::<Result<_, _>>()?;
        if !report.publishes_behaviors
            && let Some((path, bytes)) = content(stored.join(DISCOVERED).join(BEHAVIORS_FILE))?
        {
            report.behaviors = read_tagged_nodes(&path.display().to_string(), &bytes)?;
        }
        report.stored = stored.to_owned();
        Ok(Some(report))
    }

    /// The report of evidence that is stored nowhere yet.
    ///
    /// # Errors
    /// [`ReportError`] where the model's own behaviours cannot be read.
    pub fn of(
        evidence: Evidence,
        folder: Option<&ModelFolder>,
        model: &str,
    ) -> Result<Self, ReportError> {
        let digest = sha256(evidence.to_json().as_bytes());
        Self::new(evidence, digest, folder, model)
    }

    fn new(
        evidence: Evidence,
        evidence_sha256: String,
        folder: Option<&ModelFolder>,
        model: &str,
    ) -> Result<Self, ReportError> {
        let shape = evidence.inputs.shape;
        let flows = Flows {
            relayed: true,
            ..Flows::default()
        };
        let own = folder.and_then(|folder| folder.behaviors.as_ref());
        let behaviors = match own {
            Some(file) => read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?,
            None => Vec::new(),
        };
        let training = folder.and_then(|folder| folder.training.as_ref());
        Ok(Report {
            evidence_sha256,
            model: model.to_owned(),
            features: None,
            stored: usual_folder(&evidence),
            changes: changes(&evidence, folder),
            behaviors,
            publishes_behaviors: own.is_some(),
            losses: training.map_or_else(Vec::new, |training| training.training_loss.clone()),
            attention: None,
            graph: Graph::new(KnownClaims::of(&evidence, &shape), shape, flows),
            parts: PartKind::ALL.map(StoredPart::absent).into(),
            evidence,
        })
    }

    /// The claims as readers see them.
    pub fn claims(&self) -> Vec<ClaimView<'_>> {
        ClaimView::all(&self.evidence, &self.model)
    }

    /// Whether the model is known to have changed since.
    pub fn is_stale(&self) -> bool {
        self.changes.iter().any(Change::is_known)
    }
}

/// A part as it is stored. A graph that is of these weights and verdicts takes the place of `graph`.
fn part(
    kind: PartKind,
    stored: &Path,
    weights: &str,
    graph: &mut Graph,
) -> Result<StoredPart, ReportError> {
    let Some((path, bytes)) = content(stored.join(kind.file()))? else {
        return Ok(StoredPart::absent(kind));
    };
    let (content, arguments, of_other_evidence) = match kind {
        PartKind::Property => {
            let made = PropertyEvidence::from_json(&bytes)
                .map_err(|reason| ReportError::Property { path, reason })?;
            let arguments = parts::property_arguments(&made);
            let is_other = made.weights_sha256 != weights;
            (PartContent::Property(made), arguments, is_other)
        }
        PartKind::Graph => {
            let made = GraphEvidence::from_json(&bytes)
                .map_err(|reason| ReportError::Graph { path, reason })?;
            let arguments = parts::graph_arguments(&made);
            let is_other =
                made.weights_sha256 != weights || verdicts(&made.graph) != verdicts(graph);
            if !is_other {
                *graph = made.graph;
            }
            (PartContent::Graph, arguments, is_other)
        }
        PartKind::Circuit => {
            let made = CircuitEvidence::from_json(&bytes)
                .map_err(|reason| ReportError::Circuit { path, reason })?;
            let arguments = parts::circuit_arguments(&made);
            let is_other = made.weights_sha256 != weights;
            (PartContent::Circuit(made), arguments, is_other)
        }
    };
    Ok(StoredPart {
        kind,
        arguments,
        found: Some(FoundPart {
            content,
            sha256: sha256(&bytes),
        }),
        of_other_evidence,
    })
}

/// The verdicts on the claims of a graph.
fn verdicts(graph: &Graph) -> BTreeMap<&VertexKind, Option<VerdictKind>> {
    let vertices = graph.edges.node_weights();
    vertices.map(|v| (&v.kind, v.verdict)).collect()
}

/// How the model in `folder` differs from the one the evidence is of.
fn changes(evidence: &Evidence, folder: Option<&ModelFolder>) -> Vec<Change> {
    let Some(folder) = folder else {
        return vec![Change::Absent];
    };
    let inputs = &evidence.inputs;
    let digest =
        |file: Option<&crate::inputs::model::RawFile>| file.map(|file| file.sha256.clone());
    [
        (
            "weights",
            Some(inputs.weights_sha256.clone()),
            Some(folder.weights_sha256.clone()),
        ),
        (
            "claims",
            Some(inputs.features_sha256.clone()),
            digest(folder.features.as_ref()),
        ),
        (
            "behaviours",
            inputs.behaviors_sha256.clone(),
            digest(folder.behaviors.as_ref()),
        ),
    ]
    .into_iter()
    .filter(|(_, tested, today)| tested != today)
    .map(|(what, tested, today)| Change::File {
        what,
        tested,
        today,
    })
    .collect()
}
