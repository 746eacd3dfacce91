"""Decides whether claims about the inside of small arithmetic transformers are true.

A claim says that a node of the network (a head or an MLP at one token position) computes one variable of
the arithmetic. It is tested by patching the node over many random questions and comparing the answers with
what integer arithmetic predicts.

>>> import circuitcheck as cc
>>> model = cc.load()                       # the bundled model of addition and subtraction
>>> model.ask("12345+67890").answer
'+080235'
>>> run = model.verify(nodes=["P17L2H2"])
>>> run["P17L2H2 SGN"].verdict
'unspecific'

Everything that is computed here is computed by the same library as the command ``circuitcheck``, which this
package installs too; the evidence of a verification is the same, byte for byte.
"""

from ._answers import Activations, Answers, Attention
from ._experiment import EvidenceMap, ExperimentResult
from ._model import Graph, Model, Represents, load
from ._native import (
    CircuitcheckError,
    ClaimsError,
    EngineError,
    EvidenceError,
    ExperimentError,
    HubError,
    LoadError,
    NodeError,
    OptionError,
    OutputError,
    QuestionError,
    VerifyError,
    __version__,
)
from ._run import Claim, Map, Run

__all__ = [
    "Activations",
    "Answers",
    "Attention",
    "CircuitcheckError",
    "Claim",
    "ClaimsError",
    "EngineError",
    "EvidenceError",
    "EvidenceMap",
    "ExperimentError",
    "ExperimentResult",
    "Graph",
    "HubError",
    "LoadError",
    "Map",
    "Model",
    "NodeError",
    "OptionError",
    "OutputError",
    "QuestionError",
    "Represents",
    "Run",
    "VerifyError",
    "__version__",
    "load",
]
