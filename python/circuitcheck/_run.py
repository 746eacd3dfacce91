"""A verification: its evidence, its claims, and what is drawn of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import _frames, _native

if TYPE_CHECKING:
    import pandas
    import polars

    from ._arguments import Progress
    from ._model import Graph, Model

TableName = Literal["claims", "measures"]


class Run:
    """What a verification found. ``len(run)`` is the number of claims, ``run["P8L0H1 A3.ST"]`` is one.

    >>> import circuitcheck as cc
    >>> run = cc.load().verify(nodes=["P17L2H2"])
    >>> run
    <Run of w126_mix_d5_l3_h4_t40K_s372001: 2 claims: 1 unspecific, 1 correlational>

    A run can be pickled; :meth:`rerun` does it again.
    """

    def __init__(self, native: _native.Run, model: Model | ModelState, options: dict[str, Any]) -> None:
        self._native = native
        self._model = model
        self._options = options
        self._page: str | None = None

    @property
    def model(self) -> Model:
        """The model. A run that was pickled opens it when it is asked for."""
        from ._model import restored

        if isinstance(self._model, tuple):
            self._model = restored(*self._model)
        return self._model

    @property
    def evidence_json(self) -> bytes:
        """The evidence as ``circuitcheck verify`` writes it to evidence.json, byte for byte."""
        return self._native.to_json()

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """The evidence: schema, inputs, protocol, engine_parity, baseline, summary and claims."""
        return json.loads(self.evidence_json)

    @property
    def seconds(self) -> float:
        """How long it took, in seconds."""
        return self._native.seconds()

    @property
    def verdicts(self) -> dict[str, int]:
        """The number of claims with each verdict."""
        return self.evidence["summary"]

    @property
    def exit_code(self) -> int:
        """What the command would end with: 0 where nothing is refuted, 1 where something is, 3 where
        something is undecided, 5 where the model is inaccurate."""
        return self._native.exit_code()

    def table(self, name: TableName = "claims") -> _native.Table:
        """A table of the run: ``claims``, a row for each claim, or ``measures``, a row for each count."""
        made = {"claims": self._native.claims_table, "measures": self._native.measures_table}
        if name not in made:
            raise _native.OptionError(f"no table {name!r}: expected {' or '.join(made)}")
        return made[name]()

    @property
    def claims(self) -> Any:
        """The claims, a row each, as a DataFrame of pandas or, where that is not installed, of polars.
        The columns are those of claims.parquet (docs/PARQUET.md)."""
        return _frames.frame(self.table("claims"))

    @property
    def measures(self) -> Any:
        """Every count of every claim, as a DataFrame; the columns are those of measures.parquet."""
        return _frames.frame(self.table("measures"))

    def to_pandas(self, table: TableName = "claims") -> pandas.DataFrame:
        """A table as a DataFrame of pandas."""
        return _frames.to_pandas(self.table(table))

    def to_polars(self, table: TableName = "claims") -> polars.DataFrame:
        """A table as a DataFrame of polars."""
        return _frames.to_polars(self.table(table))

    def to_parquet(self, path: str | os.PathLike[str], table: TableName = "claims") -> None:
        """Writes a table as a Parquet file, with the meaning of each column in its metadata."""
        _frames.to_parquet(self.table(table), path)

    def __getitem__(self, claim: str) -> Claim:
        if claim not in self:
            known = self._native.claims()
            raise KeyError(f"no claim reads {claim!r}: claims read like {known[0]!r}")
        return Claim(claim, self)

    def __contains__(self, claim: object) -> bool:
        return claim in self._native.claims()

    def __len__(self) -> int:
        return len(self._native.claims())

    def __iter__(self) -> Iterator[Claim]:
        return (Claim(claim, self) for claim in self._native.claims())

    def map(self, name: str = "verdicts") -> Map:
        """A map of the model: token positions across, layers and heads down. ``verdicts`` and ``tasks`` are
        those of the claims; ``fail``, ``impact``, ``attention`` and ``complexity`` those of behaviors.json.
        """
        is_of_claims = name in ("verdicts", "tasks")
        model = None if is_of_claims else self.model._native
        return Map(name, self._native.map_cell(name, model))

    def graph(self, **options: Any) -> Graph:
        """The graph of these claims: :meth:`Model.graph` with this run."""
        return self.model.graph(self, **options)

    def save(
        self, out: str | os.PathLike[str], formats: Iterable[str] = ("html", "md", "json")
    ) -> Path:
        """Writes evidence.json and the report into a folder, as ``circuitcheck verify --out`` does, and
        returns the folder. The run's card then links to the page.

        The forms are ``html``, ``md``, ``json`` and ``junit``.
        """
        folder = Path(out)
        written = self._native.store(self.model._native, folder, list(formats))
        page = [file for file in written if file.suffix == ".html"]
        self._page = page[0].as_posix() if page else None
        return folder

    def rerun(self, progress: bool | Progress = False) -> Run:
        """Verifies the same claims by the same rules again. The evidence is the same, byte for byte."""
        features = self._native.features()
        return self.model._verify(features, self._options, progress)

    def _repr_html_(self) -> str:
        return self._native.cell(self._page)

    def __repr__(self) -> str:
        return f"<Run of {self.evidence['inputs']['model']}: {self._native.summary()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from ._model import state_of

        state = self._model if isinstance(self._model, tuple) else state_of(self._model)
        features, seconds = self._native.features(), self.seconds
        return _restored, (self.evidence_json, features, seconds, state, self._options, self._page)


def _restored(
    evidence: bytes,
    features: tuple[Path, bytes] | None,
    seconds: float,
    state: ModelState,
    options: dict[str, Any],
    page: str | None,
) -> Run:
    run = Run(_native.Run.from_json(evidence, features, seconds), state, options)
    run._page = page
    return run


ModelState = tuple[Any, ...]
"""What a pickled model is made of again."""


class Claim:
    """One claim of a run: what became of it, and what that rests on."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        """Node and tag, such as ``P8L0H1 A3.ST``."""
        self._run = run
        found, self.note = run._native.claim(name)
        self.evidence: dict[str, Any] = json.loads(found)
        """All that was found of it, as evidence.json holds it."""

    @property
    def node(self) -> str:
        """The node claimed."""
        return self.evidence["node"]

    @property
    def nodes(self) -> list[str]:
        """The nodes that the verdict is about."""
        return self.evidence["nodes"]

    @property
    def verdict(self) -> str:
        """The verdict; docs/METHOD.md says what each means."""
        return self.evidence["verdict"]

    @property
    def published(self) -> str:
        """What the published test of the claim gives."""
        return self.evidence["published"]

    @property
    def trials(self) -> dict[str, Any] | None:
        """Measures and controls; None where the claim cannot be tested."""
        return self.evidence.get("trials")

    @property
    def counterexample(self) -> dict[str, Any] | None:
        """A pair of questions on which it fails: source, base, nodes, predicted, got, wrong."""
        return self.evidence.get("because", {}).get("counterexample")

    def _repr_html_(self) -> str:
        return self._run._native.claim_cell(self.name)

    def __repr__(self) -> str:
        note = f": {self.note}" if self.note else ""
        return f"<Claim {self.name}: {self.verdict}{note}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Claim, (self.name, self._run)


@dataclass(frozen=True)
class Map:
    """A map of a model, as it stands in the report."""

    name: str
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Map of {self.name}>"
