"""Holds the Parquet tables of a report, as DuckDB reads them, against the evidence they are made of."""

import json
import sys

import duckdb

folder, evidence = sys.argv[1:]
with open(evidence) as file:
    evidence = json.load(file)


def rows(query, *parameters):
    return duckdb.execute(query.format(folder=folder), parameters).fetchall()


verdicts = dict(rows("select verdict, count(*) from '{folder}/claims.parquet' group by verdict"))
assert verdicts == evidence["summary"], verdicts

compared = 0
for claim in evidence["claims"]:
    if "trials" not in claim:
        continue
    accuracy = claim["trials"]["alone"]["interchange_accuracy"]
    counted = rows(
        "select part, hits, trials, lower from '{folder}/measures.parquet'"
        " where claim = ? and node_set = 'alone' and measure = 'interchange_accuracy'",
        claim["claim"],
    )
    expected = {(part, r["hits"], r["trials"], r["lower"]) for part, r in accuracy.items()}
    found = {(part, int(hits), int(trials), lower) for part, hits, trials, lower in counted}
    assert found == expected, (claim["claim"], found, expected)
    [(counterfactual, agreeing)] = rows(
        "select count(*), count(*) filter (agrees) from '{folder}/trials.parquet'"
        " where claim = ? and kind = 'counterfactual'",
        claim["claim"],
    )
    # Of claims with very many trials the first are kept.
    if counterfactual == sum(rate["trials"] for rate in accuracy.values()):
        assert agreeing == sum(rate["hits"] for rate in accuracy.values()), claim["claim"]
        compared += 1
assert compared > 0
columns = rows("select key, value from parquet_kv_metadata('{folder}/trials.parquet')")
assert (b"column.source", b"Where the activation comes from.") in columns, columns
print(f"DuckDB reads {len(evidence['claims'])} claims and the trials of {compared} as the evidence has them")
