"""Holds the Parquet tables of a sweep, as DuckDB reads them, against its summary."""

import json
import sys

import duckdb

[folder] = sys.argv[1:]
with open(f"{folder}/summary.json") as file:
    summary = json.load(file)


def rows(query):
    return duckdb.execute(query.format(folder=folder)).fetchall()


assert summary["models"]
for model in summary["models"]:
    name, accuracy = model["model"], model["accuracy"]
    [found] = rows(
        "select n_layers, questions, wrong, claims, hold from '{folder}/models.parquet'"
        f" where model = '{name}'"
    )
    claims = sum(model["verdicts"].values())
    hold = sum(len(task["hold"]) for task in model["tasks"].values())
    expected = (model["shape"]["n_layers"], accuracy["questions"], accuracy["wrong"], claims, hold)
    assert found == expected, (found, expected)
    verdicts = rows(
        "select verdict, count(*) from '{folder}/models.parquet' join '{folder}/claims.parquet'"
        f" using (model, weights_sha256) where model = '{name}' group by verdict"
    )
    assert dict(verdicts) == model["verdicts"], verdicts
    tested = rows(
        f"select hypothesis, holds, met, clauses from '{{folder}}/hypotheses.parquet' where model = '{name}'"
    )
    assert tested == [(h["name"], h["holds"], h["met"], h["of"]) for h in model["hypotheses"]], tested
    alone = rows(
        f"select circuit, nodes, class, ablation, stay_right, questions from '{{folder}}/sufficiency.parquet'"
        f" where model = '{name}'"
    )
    assert alone == [
        (s["circuit"], s["nodes"], s["class"], s["ablation"], s["right"], s["questions"])
        for s in model["sufficiency"]
    ], alone
    steps = rows(f"select step, state from '{{folder}}/steps.parquet' where model = '{name}'")
    assert steps == [(s["step"], s["state"]) for s in model["steps"]], steps
    assert tested and alone and steps
print(f"DuckDB reads the tables of {len(summary['models'])} swept models as their summary has it")
