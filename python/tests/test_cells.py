"""What notebooks show: complete in itself, well-formed, and without effect outside itself."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

import circuitcheck as cc

VOID = {"br", "hr", "img", "input", "meta", "link", "col"}


class Checked(HTMLParser):
    """Follows opening and closing tags, and keeps what styles and attributes say."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.styles = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles += data


@pytest.mark.parametrize("name", ["model", "run", "claim", "map", "graph", "attention", "experiment", "evidence"])
def test_a_cell_is_complete_in_itself(
    name: str, add: cc.Model, run: cc.Run, found: cc.ExperimentResult, ce3: cc.EvidenceMap
) -> None:
    shown: Any = {
        "model": add,
        "run": run,
        "claim": run["P13L0H2 A3.SC"],
        "map": run.map("verdicts"),
        "graph": run.graph(),
        "attention": add.attention("12345+67890"),
        "experiment": found,
        "evidence": ce3,
    }[name]
    html = shown._repr_html_()
    checked = Checked()
    checked.feed(html)
    assert not checked.open
    assert checked.found[0] == ("div", {"class": "circuitcheck"})
    tags = {tag for tag, _ in checked.found}
    assert not tags & {"script", "link", "iframe", "img"}
    for _, attributes in checked.found:
        for key in ("href", "src", "xlink:href"):
            assert key not in attributes, attributes
        assert "id" not in attributes, "identifiers would collide with those of other cells"
    assert "url(" not in checked.styles and "@import" not in checked.styles
    # Outside of at-rules, every selector is for such cells, or for the graph's own image.
    for selector in re.findall(r"^([^@{}\n][^{}]*)\{", checked.styles, re.MULTILINE):
        assert ".circuitcheck" in selector or ".circuit-graph" in selector, selector
    for dark in ["prefers-color-scheme: dark", "data-jp-theme-light=false", ".vscode-dark", "theme=dark"]:
        assert dark in checked.styles
    assert len(html) < 200_000


def test_the_card_of_a_saved_run_links_to_its_page(add: cc.Model, tmp_path: object) -> None:
    run = add.verify(nodes="P17L0H1")
    assert "the whole report" not in run._repr_html_()
    folder = run.save(f"{tmp_path}/report")
    assert f'href="{folder.as_posix()}/report.html"' in run._repr_html_()


def test_texts_say_what_cells_show(add: cc.Model, run: cc.Run) -> None:
    assert repr(run) == f"<Run of {add.name}: 2 claims: 1 supported, 1 partial>"
    assert repr(run["P17L0H1 A0.SA"]) == "<Claim P17L0H1 A0.SA: supported>"
    assert repr(run.map()) == "<Map of verdicts>"
    assert repr(add.ask("1+1")) == "<Answers: 00001+00001 = +000002>"
