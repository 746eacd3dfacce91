"""What the tests share: the repository's models, and the installed command."""

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import circuitcheck as cc

ROOT = Path(__file__).resolve().parents[2]
ADD = ROOT / "models" / "w126_add_d5_l2_h3_t15K_s372001"
SUB = ROOT / "models" / "w126_sub_d5_l2_h3_t30K_s372001"
MIX = ROOT / "models" / "w126_mix_d5_l3_h4_t40K_s372001"


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command that the wheel installed."""
    program = Path(sysconfig.get_path("scripts")) / "circuitcheck"
    words = [str(program), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def model() -> cc.Model:
    return cc.load()


@pytest.fixture(scope="session")
def add() -> cc.Model:
    return cc.load(ADD)


@pytest.fixture(scope="session")
def run(add: cc.Model) -> cc.Run:
    """Claims of two nodes: one is supported, one is not shown, with a counterexample."""
    return add.verify(nodes=["P17L0H1", "P13L0H2"])


CARRY = ROOT / "hypotheses" / "experiments" / "carry_head.toml"


@pytest.fixture(scope="session")
def found(add: cc.Model) -> cc.ExperimentResult:
    return add.experiment(CARRY)


@pytest.fixture(scope="session")
def ce3(add: cc.Model) -> cc.EvidenceMap:
    return add.evidence("CE3")
