"""Models: opened or made, and what they are asked."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from . import _native
from ._answers import Activations, Answers, Attention
from ._arguments import File, GivenFile, Progress, Texts, bar, file, settings, some, some_or_all, texts
from ._arguments import seed as checked_seed
from ._experiment import EvidenceMap, ExperimentResult
from ._run import ModelState, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Decode = Literal["forced", "free"]
"""Which answer tokens the model reads: those of the true answer, or those it predicts."""

_log = logging.getLogger("circuitcheck")


def load(
    source: Any = None,
    *,
    name: str | None = None,
    operations: str | None = None,
    features: File | None = None,
    behaviors: File | None = None,
    progress: bool | Progress = False,
) -> Model:
    """Opens a model.

    :param source: a model's folder, its file of weights (``.pth``, ``.pt``, ``.safetensors``), an address
        of the hub (``hf://owner/repository``), a state dict of tensors or arrays, or a ``HookedTransformer``
        or ``TransformerBridge`` of TransformerLens. Without it, the bundled model.
    :param name: what a model of tensors is called.
    :param operations: the operations it was trained for: ``"add"``, ``"sub"`` or ``"add,sub"``. Without
        them they are taken from its files, or found by asking it.
    :param features: the claims of a model of tensors: a path, bytes, or what features.json holds.
    :param behaviors: the same of behaviors.json.
    :param progress: whether a bar shows how a download comes on, or what is called instead.

    Raises :class:`LoadError` or :class:`HubError`.

    >>> import circuitcheck as cc
    >>> cc.load()
    <Model w126_mix_d5_l3_h4_t40K_s372001: 5 digits, 3 layers, 4 heads, mix>
    >>> try:
    ...     cc.load("no/such/folder")
    ... except cc.LoadError as error:
    ...     print(error)
    no/such/folder: no such folder or file
    """
    if source is None:
        return Model(_native.Model.bundled(), ("bundled",))
    if isinstance(source, (str, os.PathLike)):
        return _opened(os.fspath(source), operations, progress)
    if not isinstance(source, Mapping) and not hasattr(source, "state_dict"):
        kind = type(source).__name__
        raise TypeError(f"expected a place, a state dict or a network, got {kind}")
    config: Any = getattr(source, "cfg", {})
    tensors = source if isinstance(source, Mapping) else source.state_dict()
    name = name or getattr(config, "model_name", None) or "model"
    made = (
        name,
        {key: _array(tensor) for key, tensor in tensors.items()},
        settings(config),
        operations,
        file(features, "features.json"),
        file(behaviors, "behaviors.json"),
    )
    return _of_tensors(*made)


def _opened(place: str, operations: str | None, progress: bool | Progress = False) -> Model:
    with bar(progress) as shown:
        native, told = _native.Model.open(place, operations, shown)
    _tell(told)
    is_address = place.startswith("hf://")
    where = place if is_address else os.path.abspath(place)
    return Model(native, ("place", where, operations, native.weights_sha256()))


def _of_tensors(
    name: str,
    tensors: dict[str, NDArray[np.float32]],
    config: str,
    operations: str | None,
    features: GivenFile | None,
    behaviors: GivenFile | None,
) -> Model:
    native, told = _native.Model.of_tensors(name, tensors, config, operations, features, behaviors)
    _tell(told)
    return Model(native, None)


def _tell(told: list[tuple[str, str]]) -> None:
    for kind, text in told:
        if kind == "warning":
            warnings.warn(text, stacklevel=4)
        else:
            _log.info(text)


def _array(tensor: Any) -> NDArray[np.float32]:
    """A tensor of torch, or an array, as an array of float32."""
    import numpy as np

    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, dtype=np.float32)


def state_of(model: Model) -> ModelState:
    """What a model is made of again: where it is, with the digest of its weights, or its tensors."""
    if model._state is not None:
        return model._state
    native = model._native
    files = native.features(), native.behaviors()
    return ("tensors", native.name(), native.tensors(), native.operations(), *files)


def restored(kind: str, *state: Any) -> Model:
    """The model of such a state.

    Raises :class:`LoadError` where other weights lie in its place.
    """
    if kind == "bundled":
        return load()
    if kind == "place":
        place, operations, digest = state
        model = _opened(place, operations)
        if model.weights_sha256 != digest:
            raise _native.LoadError(f"{place}: the weights are other ones than when this was pickled")
        return model
    name, tensors, operations, features, behaviors = state
    return _of_tensors(name, tensors, "{}", operations, features, behaviors)


class Model:
    """A network, and what was published with it."""

    def __init__(self, native: _native.Model, state: ModelState | None) -> None:
        self._native = native
        self._state = state

    @property
    def name(self) -> str:
        """The model's name."""
        return self._native.name()

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of its file of weights or, of a model of tensors, of the tensors."""
        return self._native.weights_sha256()

    @property
    def operations(self) -> str:
        """The operations it was trained for: ``add``, ``sub``, or ``mix`` of both."""
        return self._native.operations()

    @cached_property
    def shape(self) -> dict[str, int]:
        """Its dimensions: n_digits, n_layers, n_heads, d_model, d_head, d_mlp, n_ctx (token positions) and
        n_answer (answer tokens)."""
        return self._native.shape()

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """Its tensors by the names that a ``HookedTransformer`` gives them."""
        return self._native.tensors()

    def ask(self, questions: Texts, *, decode: Decode = "forced") -> Answers:
        """Asks questions such as ``12345+67890``. Each token is predicted after the true answer's tokens
        before it, or after those of another answer that is given with the question, as in
        ``12345-67890=+055545``; with ``decode="free"``, after the model's own.

        Raises :class:`QuestionError`.

        >>> import circuitcheck as cc
        >>> cc.load().ask(["12345+67890", "5-90"]).answers
        ['+080235', '-000085']
        """
        asked = texts(questions, "questions")
        return Answers(self._native.ask(asked, decode), isinstance(questions, str))

    def patch(
        self, source: Texts, base: Texts, nodes: Texts, *, decode: Decode = "forced"
    ) -> Answers:
        """Runs base questions with the nodes' activations from source questions: the first base with the
        first source, and so on. One source serves every base.

        :param nodes: such as ``P15L0H2`` (head 2 of layer 0 at token position 15) or ``P15L0M0`` (its MLP),
            and other sites, such as ``P15L0.resid_mid`` or ``blocks.0.attn.hook_q[15][2]``.

        Raises :class:`QuestionError` or :class:`NodeError`.

        >>> import circuitcheck as cc
        >>> patched = cc.load().patch(source="22222+66966", base="33333+55555", nodes=["P15L0H2"])
        >>> patched.logits.shape
        (7, 15)
        """
        bases, sources = texts(base, "base"), texts(source, "source")
        if len(sources) == 1:
            sources = sources * len(bases)
        if len(sources) != len(bases):
            raise _native.OptionError(
                f"{len(sources)} sources and {len(bases)} bases: give one source, or one for each base"
            )
        patched = self._native.patch(sources, bases, some(nodes, "nodes"), decode)
        return Answers(patched, isinstance(base, str))

    def ablate(
        self,
        nodes: Texts,
        by: Literal["mean", "zero", "resample"] = "mean",
        questions: Texts | None = None,
        *,
        set: Texts | None = None,
        seed: int | None = None,
        decode: Decode = "forced",
    ) -> Answers:
        """Runs questions with nodes or other sites replaced: by their mean over a set of questions, by zeros, or by their
        value in another question of the set.

        :param questions: the questions asked; without them, those of the set.
        :param set: the set; without it, 512 questions drawn from the classes that the model was trained
            for.
        :param seed: of the draws.

        Raises :class:`QuestionError`, :class:`NodeError` or :class:`OptionError`.

        >>> import circuitcheck as cc
        >>> ablated = cc.load().ablate("P17L2H2", "mean")
        >>> len(ablated), ablated.logits.shape
        (512, (512, 7, 15))
        >>> ablated.tally["asked"] + ablated.tally["wrong_before"]
        512
        """
        asked = None if questions is None else texts(questions, "questions")
        given = None if set is None else texts(set, "set")
        ablated = self._native.ablate(
            some(nodes, "nodes"), by, asked, given, checked_seed(seed), decode
        )
        return Answers(ablated, isinstance(questions, str))

    def activations(self, place: str, questions: Texts) -> Activations:
        """Activations of unpatched questions, teacher-forced: at a hook point under TransformerLens' name,
        at every position, or at a site such as ``P15L0.resid_mid``, ``[question, value]``.

        ==================================================== ==========================================
        ``blocks.L.attn.hook_`` ``q``, ``k``, ``v``, ``z``   ``[question, position, head, d_head]``
        ``blocks.L.attn.hook_pattern``                       ``[question, head, query, key]``
        ``blocks.L.mlp.hook_`` ``pre``, ``post``             ``[question, position, d_mlp]``
        ``hook_embed``, ``blocks.L.hook_resid_post``, ...    ``[question, position, d_model]``
        ==================================================== ==========================================

        Raises :class:`QuestionError` or :class:`NodeError`.

        >>> import circuitcheck as cc
        >>> cc.load().activations("blocks.0.attn.hook_z", ["12345+67890", "5-90"])
        <Activations question: 2, position: 19, head: 4, d_head: 42>
        """
        asked = texts(questions, "questions")
        values, dims = self._native.activations(place, asked)
        return Activations(values, tuple(dims), asked)

    def attention(self, question: str, nodes: Texts | None = None) -> Attention:
        """The attention of every head on one question, teacher-forced. The table shows the heads of
        ``nodes`` or, without them, every head at the positions that predict the answer.

        >>> import circuitcheck as cc
        >>> cc.load().attention("12345+67890").weights.shape
        (3, 4, 19, 19)
        """
        shape = self.shape
        first = shape["n_ctx"] - 1 - shape["n_answer"]
        predicting = [
            f"P{position}L{layer}H{head}"
            for position in range(first, shape["n_ctx"] - 1)
            for layer in range(shape["n_layers"])
            for head in range(shape["n_heads"])
        ]
        shown = predicting if nodes is None else some(nodes, "nodes")
        weights, html = self._native.attention(question, shown)
        return Attention(weights, question, html)

    def verify(
        self,
        features: File | None = None,
        *,
        tasks: Texts | None = None,
        nodes: Texts | None = None,
        threshold: float | None = None,
        alpha: float | None = None,
        max_trials: int | None = None,
        seed: int | None = None,
        decode: Literal["forced", "free", "both"] = "forced",
        exit_first: bool = False,
        progress: bool | Progress = False,
    ) -> Run:
        """Checks claims by intervening on the network. The evidence is that of ``circuitcheck verify`` with
        the same options, byte for byte.

        :param features: the claims: a path, bytes, or what features.json holds; without them, the model's
            own.
        :param tasks: only claims of these tasks.
        :param nodes: only claims of these nodes.
        :param threshold: interchange accuracy that a claim must reach, at the lower bound (0.95).
        :param alpha: chance that any bound of the file's testable claims is wrong (0.01).
        :param max_trials: counterfactual trials after which a claim's sampling ends.
        :param seed: of all draws.
        :param exit_first: stop at the first claim that is refuted.
        :param progress: whether a bar of tqdm is shown, or what is called as ``progress(what, done, of)``.

        Raises :class:`VerifyError`, :class:`ClaimsError` or :class:`OptionError`. Ctrl-C stops it.
        """
        options = {
            "tasks": some_or_all(tasks, "tasks"),
            "nodes": some_or_all(nodes, "nodes"),
            "threshold": threshold,
            "alpha": alpha,
            "max_trials": max_trials,
            "seed": checked_seed(seed),
            "decode": decode,
            "exit_first": exit_first,
        }
        return self._verify(file(features, "features.json"), options, progress)

    def _verify(
        self, features: GivenFile | None, options: dict[str, Any], progress: bool | Progress
    ) -> Run:
        with bar(progress) as shown:
            native = self._native.verify(features, progress=shown, **options)
        return Run(native, self, options)

    def represents(
        self,
        nodes: Texts | None = None,
        *,
        threshold: float | None = None,
        alpha: float | None = None,
        max_trials: int | None = None,
        seed: int | None = None,
        progress: bool | Progress = False,
    ) -> Represents:
        """Searches which variables nodes represent: every variable of a catalogue is tried by interchange
        interventions. Several nodes are patched together; without nodes, every useful node and set is tried,
        which takes minutes.

        >>> import circuitcheck as cc
        >>> found = cc.load().represents("P17L2H2")
        >>> found.evidence["carriers"][0]["nodes"]
        ['P17L2H2']
        """
        with bar(progress) as shown:
            found, markdown = self._native.represents(
                some_or_all(nodes, "nodes"),
                threshold=threshold,
                alpha=alpha,
                max_trials=max_trials,
                seed=checked_seed(seed),
                progress=shown,
            )
        return Represents(json.loads(found), markdown)

    def experiment(
        self, experiment: str | os.PathLike[str] | Mapping[str, Any], *, seed: int | None = None
    ) -> ExperimentResult:
        """Runs an experiment: which pairs of questions are drawn, what is done where, what is read, which
        controls there are and which rule decides. docs/EXPERIMENTS.md has the grammar.

        :param experiment: a dict, the text of a TOML file (of several lines), or the path of one.

        Raises :class:`OptionError` where it does not follow the grammar, :class:`NodeError` or
        :class:`ExperimentError` where it does not fit the model.

        >>> import circuitcheck as cc
        >>> found = cc.load().experiment({
        ...     "says": "P17L2H2 decides the sign",
        ...     "pairs": {"from": "variable", "variable": "SGN", "count": 200},
        ...     "act": [{"do": "swap", "at": ["P17L2H2"]}],
        ...     "read": {"what": "predicted"},
        ...     "rule": {"at_least": 0.5},
        ... })
        >>> found.verdict
        'not_shown'
        """
        toml = json_text = None
        if isinstance(experiment, Mapping):
            json_text = json.dumps(experiment)
        elif isinstance(experiment, str) and "\n" in experiment:
            toml = experiment
        else:
            with open(experiment, encoding="utf-8-sig") as opened:
                toml = opened.read()
        found, html = _native.experiment(self._native, toml, json_text, checked_seed(seed))
        return ExperimentResult(json.loads(found), html)

    def evidence(
        self,
        claims: Texts | None = None,
        *,
        alpha: float | None = None,
        seed: int | None = None,
        progress: bool | Progress = False,
    ) -> EvidenceMap:
        """Measures published claims of 2026, each as published and by a test that can fail, as
        ``circuitcheck evidence`` does.

        :param claims: numbers such as ``CE3``; without them all, which takes minutes.
        :param alpha: chance that any interval of one measurement is wrong.

        Raises :class:`OptionError` for an unknown number.
        """
        with bar(progress) as shown:
            found, html = _native.evidence(
                self._native,
                some_or_all(claims, "claims"),
                alpha=alpha,
                seed=checked_seed(seed),
                progress=shown,
            )
        return EvidenceMap(json.loads(found), html)

    def graph(
        self,
        run: Run | None = None,
        *,
        measure: bool = False,
        trials: int | None = None,
        alpha: float | None = None,
        seed: int | None = None,
        direct_only: bool = False,
        unclaimed: bool = False,
        progress: bool | Progress = False,
    ) -> Graph:
        """Which claims feed which others, and which answer tokens.

        :param run: where verdicts and node sets are taken from; without it, the claims are the model's own,
            untested.
        :param measure: whether every edge is tested by path patching.
        :param trials: counterfactual trials for each edge, and as many control trials.
        :param direct_only: only what a node reads from another with none between.
        :param unclaimed: also flows that the arithmetic knows nothing of.
        """
        with bar(progress) as shown:
            native = _native.Graph.of(
                self._native,
                None if run is None else run._native,
                measure=measure,
                trials=trials,
                alpha=alpha,
                seed=checked_seed(seed),
                direct_only=direct_only,
                unclaimed=unclaimed,
                progress=shown,
            )
        return Graph(native)

    def _repr_html_(self) -> str:
        return self._native.cell()

    def __repr__(self) -> str:
        shape = self.shape
        dims = f"{shape['n_digits']} digits, {shape['n_layers']} layers, {shape['n_heads']} heads"
        return f"<Model {self.name}: {dims}, {self.operations}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return restored, state_of(self)


@dataclass(frozen=True)
class Represents:
    """What nodes represent."""

    evidence: dict[str, Any]
    """classes, catalogue, sets, options and carriers: for each node set nodes, carries, scores and
    screened_out, as ``circuitcheck represents --json`` prints them."""
    markdown: str
    """The same as a page."""

    def _repr_markdown_(self) -> str:
        return self.markdown


class Graph:
    """Claims and answer tokens, and what feeds what."""

    def __init__(self, native: _native.Graph) -> None:
        self._native = native

    @property
    def json(self) -> bytes:
        """The graph as ``circuitcheck graph --json`` prints it."""
        return self._native.to_json()

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """Its vertices, edges, and what follows from them."""
        return json.loads(self.json)

    @property
    def svg(self) -> str:
        """The graph as an image."""
        return self._native.svg()

    @property
    def dot(self) -> str:
        """The graph for Graphviz."""
        return self._native.dot()

    @property
    def mermaid(self) -> str:
        """The graph for Mermaid."""
        return self._native.mermaid()

    def _repr_html_(self) -> str:
        return self._native.cell()

    def __repr__(self) -> str:
        vertices, edges = self.evidence["vertices"], self.evidence["edges"]
        return f"<Graph of {self.evidence['model']}: {len(vertices)} vertices, {len(edges)} edges>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _graph, (self.json,)


def _graph(found: bytes) -> Graph:
    return Graph(_native.Graph.from_json(found))
