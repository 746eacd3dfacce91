"""What a model answers: logits, answers, attention, activations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Answers:
    """The answers to questions, with or without an intervention.

    Of one question that was given as a text, arrays have no axis for questions.
    """

    def __init__(self, native: _native.Answers, single: bool) -> None:
        self._native = native
        self._single = single

    def _array(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array[0] if self._single else array

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """The logits of the answer tokens, the sign first, ``[questions, n_answer, 15]``; of one question
        ``[n_answer, 15]``. The tokens are ``0`` to ``9``, then ``+ - = * \\``.

        >>> import circuitcheck as cc
        >>> cc.load().ask("12345+67890").logits.shape
        (7, 15)
        """
        return self._array(self._native.logits())

    @cached_property
    def clean_logits(self) -> NDArray[np.float32]:
        """The same without the intervention."""
        return self._array(self._native.clean_logits())

    @property
    def questions(self) -> list[str]:
        """The questions; one that was asked after another answer than the true one is followed by it."""
        return self._native.questions()

    @property
    def answers(self) -> list[str]:
        """What the model says to each question: its sign and its digits."""
        return self._native.answers()

    @property
    def answer(self) -> str:
        """What the model says to the only question."""
        (answer,) = self.answers
        return answer

    @property
    def clean_answers(self) -> list[str]:
        """What the model says without the intervention."""
        return self._native.clean_answers()

    @cached_property
    def details(self) -> list[dict[str, Any]]:
        """What is said of each answer: question, class, complexity, true_answer, answer, right, wrong (its
        wrong tokens), logit_margin and, with an intervention, clean_answer, clean_logit_margin and changed
        (the tokens that it changes).

        >>> import circuitcheck as cc
        >>> patched = cc.load().patch("22222+66966", "33333+55555", "P12L0H3")
        >>> patched.details[0]["clean_answer"]
        '+088888'
        """
        return json.loads(self._native.details())

    @cached_property
    def tally(self) -> dict[str, Any] | None:
        """What the intervention makes go wrong: asked, wrong_before, failed, fail_percent, impact (answer
        tokens) and complexities; None without an intervention. Questions that the model answers wrongly
        without it are not asked."""
        tally = self._native.tally()
        return None if tally is None else json.loads(tally)

    def __len__(self) -> int:
        return len(self.questions)

    def __reduce__(self) -> tuple[Any, ...]:
        native = self._native
        changed = native.logits() if native.is_changed() else None
        return _restored, (native.questions(), native.clean_logits(), changed, self._single)

    def __repr__(self) -> str:
        answers = self.answers
        shown = [f"{asked} = {said}" for asked, said in zip(self.questions[:3], answers[:3])]
        more = f", and {len(answers) - 3} more" if len(answers) > 3 else ""
        return f"<Answers: {', '.join(shown)}{more}>"


def _restored(
    questions: list[str],
    clean: NDArray[np.float32],
    changed: NDArray[np.float32] | None,
    single: bool,
) -> Answers:
    return Answers(_native.Answers.restored(questions, clean, changed), single)


@dataclass(frozen=True)
class Activations:
    """Activations at a hook, with the names of their dimensions. An array of numpy by itself, too."""

    values: NDArray[np.float32]
    """The activations."""
    dims: tuple[str, ...]
    """What each dimension is."""
    questions: list[str]
    """The questions of the first dimension, where it is one."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        import numpy as np

        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions."""
        return self.values.shape

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in zip(self.dims, self.values.shape))
        return f"<Activations {sizes}>"


@dataclass(frozen=True)
class Attention:
    """The attention of every head on one question."""

    weights: NDArray[np.float32]
    """``[layer, head, query, key]``: the share that a head gives at position *query* to position *key*."""
    question: str
    """The question."""
    html: str
    """The heads that were asked for, as a table."""

    @property
    def dims(self) -> tuple[str, ...]:
        """What each dimension of the weights is."""
        return ("layer", "head", "query", "key")

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        layers, heads = self.weights.shape[:2]
        return f"<Attention on {self.question}: {layers} layers, {heads} heads>"
