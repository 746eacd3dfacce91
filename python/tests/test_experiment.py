"""Experiments and published claims: what the command finds, as dicts."""

import json
import pickle
from pathlib import Path

import pytest
from conftest import ADD, CARRY, command

import circuitcheck as cc


def test_an_experiment_gives_what_the_command_does(add: cc.Model, found: cc.ExperimentResult) -> None:
    said = json.loads(command("test", ADD, CARRY, "--json").stdout)
    assert {key: said[key] for key in found.evidence} == found.evidence
    assert found.verdict == said["verdict"]
    assert found.evidence["measured"]["figure"]["rate"]
    # As text, and as the dict that came back.
    assert add.experiment(CARRY.read_text()).evidence == found.evidence
    assert add.experiment(str(CARRY)).evidence == found.evidence
    assert add.experiment(found.evidence["experiment"]).evidence == found.evidence
    assert add.experiment(CARRY, seed=8).evidence != found.evidence
    assert pickle.loads(pickle.dumps(found)) == found


def test_an_experiment_that_does_not_fit_is_refused(add: cc.Model, found: cc.ExperimentResult) -> None:
    given = found.evidence["experiment"]
    with pytest.raises(cc.OptionError, match="missing field `says`"):
        add.experiment({"pairs": given["pairs"]})
    with pytest.raises(cc.OptionError, match="unknown field `rulee`"):
        add.experiment(CARRY.read_text().replace("[rule]", "[rulee]"))
    with pytest.raises(cc.NodeError, match="is head 7, the model has heads 0 to 2"):
        add.experiment({**given, "act": [{"do": "swap", "at": ["P14L0H7"]}]})
    with pytest.raises(cc.ExperimentError):
        add.experiment({**given, "read": {"what": "step_width", "token": "A3"}})


def test_a_published_claim_gives_what_the_command_does(
    add: cc.Model, ce3: cc.EvidenceMap, tmp_path: Path
) -> None:
    said = command("evidence", ADD, "--claim", "CE3", "--out", tmp_path, "--json")
    assert json.loads(said.stdout) == {"models": [ce3.evidence]}
    assert ce3.verdicts == {"CE3": ce3["CE3"]["verdict"]}
    assert pickle.loads(pickle.dumps(ce3)) == ce3
    with pytest.raises(KeyError, match="no claim 'CE4' was measured: there are CE3"):
        ce3["CE4"]
    with pytest.raises(cc.OptionError, match='there is no claim "CE999"'):
        add.evidence("CE999")
    with pytest.raises(cc.OptionError, match="claims: the list is empty"):
        add.evidence([])
