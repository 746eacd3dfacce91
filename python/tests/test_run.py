"""Verification: the same evidence as the command, and what can be made of it."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import ADD, ROOT, SUB, command

import circuitcheck as cc


def test_the_evidence_is_that_of_the_command_byte_for_byte(run: cc.Run, tmp_path: Path) -> None:
    line = ["verify", ADD, "--node", "P17L0H1,P13L0H2", "--out", tmp_path / "theirs"]
    said = command(*line, cwd=ROOT)
    assert said.returncode == run.exit_code, said.stderr
    run.save(tmp_path / "ours")
    names = ["evidence.json", "attention.json", "report.json", "report.md", "report.html"]
    for name in names:
        theirs = (tmp_path / "theirs" / name).read_text()
        ours = (tmp_path / "ours" / name).read_text().replace(str(tmp_path / "ours"), str(tmp_path / "theirs"))
        assert ours == theirs, name
    assert run.evidence_json == (tmp_path / "theirs" / "evidence.json").read_bytes()


@pytest.mark.skipif("CIRCUITCHECK_SLOW" not in os.environ, reason="takes a minute: CIRCUITCHECK_SLOW=1")
def test_the_evidence_of_a_whole_model_is_the_committed_one() -> None:
    committed = ROOT / "reports" / SUB.name / "evidence.json"
    assert cc.load(SUB).verify().evidence_json == committed.read_bytes()


def test_claims_may_be_given_in_any_way(add: cc.Model) -> None:
    path = ADD / "features.json"
    by_path = add.verify(path, nodes="P17L0H1")
    assert add.verify(path.read_bytes(), nodes="P17L0H1").evidence_json == by_path.evidence_json
    parsed = add.verify(json.loads(path.read_text()), nodes="P17L0H1")
    # The same claims, and the digest of another file.
    assert parsed.evidence["claims"] == by_path.evidence["claims"]
    own = [{"position": 17, "layer": 0, "is_head": True, "num": 1, "tags": ["Algo:A0.SA"]}]
    assert add.verify(own)["P17L0H1 A0.SA"].verdict == "supported"


def test_rules_reach_the_verification(add: cc.Model) -> None:
    found = add.verify(nodes="P17L0H1", threshold=0.9, alpha=0.05, max_trials=1000, seed=3)
    protocol = found.evidence["protocol"]
    kept = {key: protocol[key] for key in ["threshold", "alpha", "max_trials", "seed", "filters"]}
    assert kept == {
        "threshold": 0.9, "alpha": 0.05, "max_trials": 1000, "seed": 3, "filters": ["node P17L0H1"],
    }  # fmt: skip
    for wrong in [{"alpha": 0.0}, {"threshold": 2.0}, {"max_trials": 0}]:
        with pytest.raises(cc.OptionError):
            add.verify(nodes="P17L0H1", **wrong)  # type: ignore[arg-type]
    with pytest.raises(cc.VerifyError, match="no claim matches"):
        add.verify(tasks="GT")
    with pytest.raises(cc.ClaimsError):
        add.verify(b"[{]")


def test_a_claim_has_its_verdict_and_counterexample(run: cc.Run) -> None:
    claim = run["P17L0H1 A0.SA"]
    assert (claim.verdict, claim.node, claim.nodes) == ("supported", "P17L0H1", ["P17L0H1"])
    assert claim.counterexample is None
    other = run["P13L0H2 A3.SC"]
    assert other.verdict == "partial" and other.counterexample is not None
    assert [found.name for found in run] == run.to_pandas()["claim"].tolist()
    assert "P17L0H1 A0.SA" in run and len(run) == 2
    assert run.verdicts == {"partial": 1, "supported": 1}
    with pytest.raises(KeyError, match="claims read like"):
        run["P1L0H0 A0.SA"]


def test_tables_are_the_same_through_every_door(run: cc.Run, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    for name in ["claims", "measures"]:
        lists = run.table(name).to_dict()  # type: ignore[arg-type]
        assert run.to_polars(name).to_dict(as_series=False) == lists  # type: ignore[arg-type]
        assert pyarrow.table(run.table(name)).to_pydict() == lists  # type: ignore[arg-type]
        ours = run.to_pandas(name)  # type: ignore[arg-type]
        assert isinstance(ours, pandas.DataFrame) and list(ours.columns) == list(lists)
        run.to_parquet(tmp_path / "table.parquet", name)  # type: ignore[arg-type]
        assert polars.read_parquet(tmp_path / "table.parquet").to_dict(as_series=False) == lists
    assert run.claims["verdict"].tolist() == ["partial", "supported"]
    documented = (ROOT / "docs" / "PARQUET.md").read_text()
    for column, says in run.table().descriptions():
        assert f"| {column} | " in documented and says in documented
    with pytest.raises(cc.OptionError, match="no table 'trials'"):
        run.table("trials")  # type: ignore[arg-type]


def test_tables_need_pandas_or_polars(run: cc.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run.to_pandas()["verdict"].tolist() == ["partial", "supported"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert run.claims["verdict"].to_list() == ["partial", "supported"]
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="neither pandas nor polars"):
        run.claims  # noqa: B018


def test_a_run_pickles_and_can_be_rerun(run: cc.Run) -> None:
    again = pickle.loads(pickle.dumps(run))
    assert again.evidence_json == run.evidence_json
    assert repr(again) == repr(run) and again._repr_html_() == run._repr_html_()
    assert again.rerun().evidence_json == run.evidence_json
    claim = pickle.loads(pickle.dumps(run["P17L0H1 A0.SA"]))
    assert claim.verdict == "supported"


def test_progress_is_told_in_order(add: cc.Model) -> None:
    told: list[tuple[str, int, int]] = []
    add.verify(nodes="P17L0H1", progress=lambda *step: told.append(step))
    phases = list(dict.fromkeys(what for what, _, _ in told))
    assert phases[0] == "baseline" and "trials" in phases
    assert all(0 <= done <= of for _, done, of in told)


def test_a_graph_is_that_of_the_command(run: cc.Run, add: cc.Model, tmp_path: Path) -> None:
    run.save(tmp_path, formats=[])
    evidence = tmp_path / "evidence.json"
    for measure in [False, True]:
        graph = run.graph(measure=measure, trials=64 if measure else None)
        options = ["--measure", "--trials", "64"] if measure else []
        said = command("graph", ADD, "--evidence", evidence, "--json", *options)
        assert graph.json.decode() == said.stdout
    assert pickle.loads(pickle.dumps(graph)).json == graph.json
    assert graph.dot.startswith("digraph") and "<svg" in graph.svg
    assert add.graph().evidence["vertices"][0]["verdict"] == "untested"


def test_what_a_node_represents_is_that_of_the_command(add: cc.Model) -> None:
    found = add.represents("P17L0H1")
    said = json.loads(command("represents", ADD, "--node", "P17L0H1", "--json").stdout)
    assert found.evidence["carriers"] == said["carriers"]
    assert "A0.SA" in found.markdown


def test_maps_are_refused_where_nothing_is_known(run: cc.Run) -> None:
    assert "P17L0H1" in run.map("fail").html
    with pytest.raises(cc.OptionError, match='there is no map "depth": the model has verdicts, tasks'):
        run.map("depth")


def test_two_verifications_may_run_at_once(add: cc.Model, run: cc.Run) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(add.verify, nodes=["P17L0H1", "P13L0H2"]) for _ in range(2)]
        assert {future.result().evidence_json for future in made} == {run.evidence_json}


def test_arrays_may_be_written_to(add: cc.Model) -> None:
    logits = add.ask("1+1").logits
    logits[:] = 0
    assert np.all(logits == 0) and add.ask("1+1").logits.any()
