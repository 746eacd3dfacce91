"""What callers may give: one or several texts, files or their content, progress or none."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

from ._native import OptionError

Progress = Callable[[str, int, int], Any]
"""Called as ``progress(what, done, of)``."""

Texts = Union[str, Iterable[str]]
"""One text or several."""

File = Union[str, "os.PathLike[str]", bytes, list[Any]]
"""A JSON file: where it is, its content, or what it holds."""

GivenFile = tuple[Path, Union[bytes, None]]


def texts(given: Texts, what: str) -> list[str]:
    """A list of texts, of one or several: questions, nodes, or what else they are.

    Raises :class:`TypeError` for what is no text.
    """
    if not isinstance(given, (str, Iterable)):
        raise TypeError(f"{what}: expected a text or several, got {type(given).__name__}")
    found = [given] if isinstance(given, str) else list(given)
    for text in found:
        if not isinstance(text, str):
            raise TypeError(f"{what}: expected texts, got {type(text).__name__} among them")
    return found


def some(given: Texts, what: str) -> list[str]:
    """A list of texts that must not be empty.

    Raises :class:`OptionError` where it is, and :class:`TypeError` for what is no text.
    """
    found = texts(given, what)
    if not found:
        raise OptionError(f"{what}: the list is empty")
    return found


def some_or_all(given: Texts | None, what: str) -> list[str]:
    """A list of texts that must not be empty; without one, the empty list, which stands for all there are."""
    return [] if given is None else some(given, what)


def seed(given: int | None) -> int | None:
    """The seed, checked to be one that fits 64 bits.

    Raises :class:`OptionError`.
    """
    if given is not None and not 0 <= operator.index(given) < 1 << 64:
        raise OptionError(f"seed {given}: expected a whole number from 0 to {(1 << 64) - 1}")
    return given


def file(given: File | None, name: str) -> GivenFile | None:
    """Where a file is, and its content where that is at hand."""
    if given is None:
        return None
    if isinstance(given, bytes):
        return Path(name), given
    if isinstance(given, (str, os.PathLike)):
        return Path(given), None
    return Path(name), json.dumps(given).encode()


@contextmanager
def bar(progress: bool | Progress) -> Iterator[Progress | None]:
    """What is called after each step: a bar of tqdm, where that is installed, or what the caller gave."""
    if not progress:
        yield None
        return
    if callable(progress):
        yield progress
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    with tqdm(leave=False) as shown:

        def show(what: str, done: int, of: int) -> None:
            if shown.desc != f"{what}: ":
                shown.reset(total=of)
                shown.set_description(what, refresh=False)
            shown.total = of
            shown.update(done - shown.n)

        yield show


def settings(config: Any) -> str:
    """A configuration of TransformerLens as JSON: those of its settings that JSON can hold."""
    found = config if isinstance(config, Mapping) else vars(config)
    kept = {}
    for name, value in found.items():
        if hasattr(value, "item") and not getattr(value, "shape", None):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            kept[name] = value
    return json.dumps(kept)
