//! The library's errors as Python exceptions, each with the same text.

use circuitcheck::analysis::evidence_map::MapError;
use circuitcheck::analysis::graph::{GraphError, OtherWeights};
use circuitcheck::analysis::opening::OpenError;
use circuitcheck::domain::node::NodeError as LibraryNodeError;
use circuitcheck::domain::site::SiteError;
use circuitcheck::experiment::assay::AssayError;
use circuitcheck::experiment::{ActError, RulesError};
use circuitcheck::inputs::claims::ClaimsError as LibraryClaimsError;
use circuitcheck::inputs::hub::{AddressError, HubError as LibraryHubError};
use circuitcheck::inputs::model::{
    AbsentSite, ArrayError, AskError, HookedError, LoadError as LibraryLoadError, OperationsError,
    WeightsError,
};
use circuitcheck::network::ablation::AblationError;
use circuitcheck::network::engine::EngineError as LibraryEngineError;
use circuitcheck::report::{CellError, ReportError as LibraryReportError, StoreError};
use circuitcheck::storage::OutputError as LibraryOutputError;
use circuitcheck::verify::VerifyError as LibraryVerifyError;
use circuitcheck::verify::evidence::EvidenceError as LibraryEvidenceError;
use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::PyException;

create_exception!(
    circuitcheck,
    CircuitcheckError,
    PyException,
    "Any error of circuitcheck."
);

/// Exceptions, each with what it means.
macro_rules! exceptions {
    ($($name:ident: $means:literal;)*) => {
        $(create_exception!(circuitcheck, $name, CircuitcheckError, $means);)*

        /// Every exception by its name.
        pub fn all(py: pyo3::Python<'_>) -> Vec<(&'static str, pyo3::Bound<'_, pyo3::types::PyType>)> {
            vec![
                ("CircuitcheckError", py.get_type::<CircuitcheckError>()),
                $((stringify!($name), py.get_type::<$name>()),)*
            ]
        }
    };
}

exceptions! {
    LoadError: "A model cannot be read: its files or tensors are missing, damaged or contradict each other.";
    HubError: "The hub does not give a model.";
    QuestionError: "A text is no question for the model.";
    NodeError: "A text names no node or other site of the model.";
    ClaimsError: "A file of claims or behaviours cannot be read.";
    VerifyError: "There is nothing to verify, or a verification went wrong.";
    EngineError: "A run of the network went wrong.";
    ExperimentError: "An experiment or a published claim cannot be measured on the model.";
    EvidenceError: "Stored evidence is of another form, or of another model.";
    OutputError: "A file cannot be written.";
    OptionError: "An option has a value that it cannot have.";
}

/// An error of the library as an exception.
pub trait IntoException {
    fn into_exception(self) -> PyErr;
}

macro_rules! raised_as {
    ($($error:ty => $exception:ident;)*) => {$(
        impl IntoException for $error {
            fn into_exception(self) -> PyErr {
                $exception::new_err(self.to_string())
            }
        }
    )*};
}

raised_as! {
    LibraryLoadError => LoadError;
    WeightsError => LoadError;
    HookedError => LoadError;
    ArrayError => LoadError;
    AddressError => HubError;
    LibraryHubError => HubError;
    AskError => QuestionError;
    LibraryNodeError => NodeError;
    SiteError => NodeError;
    AbsentSite => NodeError;
    LibraryClaimsError => ClaimsError;
    LibraryEvidenceError => EvidenceError;
    OtherWeights => EvidenceError;
    GraphError => EvidenceError;
    LibraryOutputError => OutputError;
    OperationsError => OptionError;
    CellError => OptionError;
    RulesError => OptionError;
    toml::de::Error => OptionError;
    serde_json::Error => OptionError;
}

impl IntoException for LibraryEngineError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Site(error) => error.into_exception(),
            error => EngineError::new_err(error.to_string()),
        }
    }
}

impl IntoException for OpenError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Load(error) => error.into_exception(),
            Self::Address(error) => error.into_exception(),
            Self::Hub(error) => error.into_exception(),
        }
    }
}

impl IntoException for LibraryVerifyError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Claims(error) => error.into_exception(),
            Self::Engine(error) => error.into_exception(),
            error => VerifyError::new_err(error.to_string()),
        }
    }
}

impl IntoException for AblationError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Engine(error) => error.into_exception(),
            error => OptionError::new_err(error.to_string()),
        }
    }
}

impl IntoException for ActError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Engine(error) => error.into_exception(),
            error => ExperimentError::new_err(error.to_string()),
        }
    }
}

impl IntoException for AssayError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Act(error) => error.into_exception(),
            Self::Node(error) => error.into_exception(),
            error => ExperimentError::new_err(error.to_string()),
        }
    }
}

impl IntoException for MapError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Unknown(..) => OptionError::new_err(self.to_string()),
            Self::Engine(error) => error.into_exception(),
            error => ExperimentError::new_err(error.to_string()),
        }
    }
}

impl IntoException for LibraryReportError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Behaviors(error) => error.into_exception(),
            error => EvidenceError::new_err(error.to_string()),
        }
    }
}

impl IntoException for StoreError {
    fn into_exception(self) -> PyErr {
        match self {
            Self::Output(error) => error.into_exception(),
            Self::Report(error) => error.into_exception(),
            Self::Engine(error) => error.into_exception(),
        }
    }
}

/// Raises errors of the library.
pub trait Raise<T> {
    fn raise(self) -> Result<T, PyErr>;
}

impl<T, E: IntoException> Raise<T> for Result<T, E> {
    fn raise(self) -> Result<T, PyErr> {
        self.map_err(IntoException::into_exception)
    }
}
