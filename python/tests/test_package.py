"""The package as it is installed: import, types, command, version."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, command

import circuitcheck as cc


def test_the_package_under_test_is_the_installed_one() -> None:
    assert ROOT / "python" not in Path(cc.__file__).parents


def test_importing_brings_in_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import circuitcheck; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "polars", "pyarrow", "tqdm", "torch"} & set(said.stdout.split())


def test_the_command_comes_along() -> None:
    assert command("--version").stdout == f"circuitcheck {cc.__version__}\n"
    assert command("ask", "12345+67890").stdout.count("+080235") == 1
    assert command("no-such-command").returncode == 2
    wrong = command("show", "no/such/folder")
    assert wrong.returncode == 4 and wrong.stderr.startswith("error: no/such/folder: no such folder")
    module = [sys.executable, "-m", "circuitcheck", "--version"]
    said = subprocess.run(module, capture_output=True, text=True, check=True)
    assert said.stdout == command("--version").stdout


def test_the_version_is_that_of_the_workspace() -> None:
    assert f'\nversion = "{cc.__version__}"\n' in (ROOT / "Cargo.toml").read_text()


def test_every_exception_can_be_caught_as_one() -> None:
    exceptions = [name for name in cc.__all__ if name.endswith("Error")]
    assert len(exceptions) == 12
    for name in exceptions:
        exception = getattr(cc, name)
        assert issubclass(exception, cc.CircuitcheckError) and exception.__doc__
        assert exception.__module__ == "circuitcheck"


@pytest.fixture
def mypy() -> list[str]:
    pytest.importorskip("mypy")
    return [sys.executable, "-m"]


def test_the_package_and_its_users_are_well_typed(mypy: list[str], tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(
        "import circuitcheck as cc\n"
        "model = cc.load()\n"
        "reveal_type(model.verify(nodes=['P17L2H2'])['P17L2H2 SGN'].verdict)\n"
        "reveal_type(model.patch('1+1', '2+2', 'P15L0H2').logits)\n"
        "model.ask(5)\n"
        "model.ask('1+1', decode='backwards')\n"
    )
    said = subprocess.run([*mypy, "mypy", "--strict", user], capture_output=True, text=True, cwd=tmp_path)
    lines = [line.split("user.py:")[-1] for line in said.stdout.splitlines()]
    assert lines[0] == '3: note: Revealed type is "str"' or lines[0].endswith('"builtins.str"'), said.stdout
    assert "float32" in lines[1] or "_32Bit" in lines[1], said.stdout
    assert lines[2].startswith("5: error: ") and lines[3].startswith("6: error: "), said.stdout
    assert lines[4].startswith("Found 2 errors in 1 file"), said.stdout
    settings = str(ROOT / "python" / "pyproject.toml")
    strict = [*mypy, "mypy", "--config-file", settings, "--package", "circuitcheck"]
    said = subprocess.run(strict, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stdout


def test_the_stubs_are_those_of_the_extension(mypy: list[str], tmp_path: Path) -> None:
    stubtest = [*mypy, "mypy.stubtest", "circuitcheck._native", "--ignore-disjoint-bases"]
    said = subprocess.run(stubtest, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
