"""Experiments and published claims: what was found, as a dict and as a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment gave."""

    evidence: dict[str, Any]
    """experiment, sentence, seed, measured, controls and verdict, as ``circuitcheck test --json`` prints
    them. ``evidence["experiment"]`` can be run again."""
    html: str
    """The same as a card."""

    @property
    def verdict(self) -> str:
        """``shown``, ``not_shown``, ``control_fails`` or ``open``."""
        return self.evidence["verdict"]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<ExperimentResult {self.verdict}: {self.evidence['sentence']}>"


@dataclass(frozen=True)
class EvidenceMap:
    """Published claims, measured on a model. ``found["CE3"]`` is one of them."""

    evidence: dict[str, Any]
    """model, weights_sha256, options, classes and claims, as ``circuitcheck evidence --json`` prints them."""
    html: str
    """The same as a card."""

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each claim, by its number."""
        return {found["claim"]["id"]: found["verdict"] for found in self.evidence["claims"]}

    def __getitem__(self, claim: str) -> dict[str, Any]:
        for found in self.evidence["claims"]:
            if found["claim"]["id"] == claim:
                return found
        raise KeyError(f"no claim {claim!r} was measured: there are {', '.join(self.verdicts)}")

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{claim} {verdict}" for claim, verdict in self.verdicts.items())
        return f"<EvidenceMap of {self.evidence['model']}: {verdicts}>"
