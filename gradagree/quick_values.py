"""A(p), and what it hands outwards, with radii for the quick tests: never more than those that the box check allows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.quick_box import Given
from gradagree.radii import cells, radii
from gradagree.ragged import joined
from gradagree.reference import Activation
from gradagree.reference.samples import allowed_width, inside

__all__ = ["Entries", "along_rows", "pulled", "rounds", "unheld"]


class Entries(NamedTuple):
    """A(p) and A'(p) of all entries of some boxes, with their radii."""

    a: np.ndarray
    value_radius: np.ndarray
    slope: np.ndarray
    slope_radius: np.ndarray

    @classmethod
    def of(cls, group: Sequence[Given]) -> Entries:
        """Of boxes that have one activation and one model."""
        activation = group[0].activation
        p = joined([one.p.ravel() for one in group])[None]
        place, tables = cells(p), radii(activation, group[0].model)
        a, slope = (np.broadcast_to(x, p.shape) for x in (activation.value(p), activation.derivative(p)))
        return cls(a[0], tables[0][place[0]], slope[0], tables[1][place[0]])


def along_rows(one: Given) -> tuple[np.ndarray, np.ndarray]:
    """A(p) of whole rows, within 8 u |A| where it is rounded."""
    return within(one, "value", np.asarray(one.activation.value(one.p)))


def pulled(one: Given, delta_a: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """delta_p of whole rows, within 8 u |delta_p| where it is rounded, and what becomes of delta_a within inner.

    delta_p is linear in delta_a, so that any error within inner, such as one of alternating signs, is pulled as it is.
    """
    pull = one.activation.pull
    found, radius = within(one, "pull", np.asarray(pull(one.p, delta_a)))
    if not inner.any():
        return found, radius
    place = np.arange(delta_a.shape[-1])
    signs = (np.where(side, 1.0, -1.0) for side in (place % 2, place < place.size // 2))
    one_way, other = (np.abs(pull(one.p, sign * inner)) for sign in signs)
    return found, radius + np.maximum(one_way, other)


def within(one: Given, part: str, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, and 8 u of each where it must have been rounded.

    It must where it is no number of the dtype; and where nothing is ever exact, but for rows of equal numbers.
    """
    equal = one.p.shape[-1] < 2 or (one.p == one.p[..., :1]).all(axis=-1).any()
    surely = not equal and always_rounds(one.activation, one.model)[part]
    return found, one.model.formula * one.model.u * np.abs(found) * (surely or unheld(found, one.model))


def unheld(x: np.ndarray, model: Model) -> np.ndarray:
    """Where x is no number of the dtype, so that whoever stores it rounds."""
    scaled = np.ldexp(np.frexp(x)[0], model.format.precision)
    return np.asarray(scaled != np.rint(scaled))


@functools.lru_cache(maxsize=256)
def always_rounds(activation: Activation, model: Model) -> dict[str, bool]:
    """Whether no entry of A(p) and of delta_p is ever exact but 0, not even where p is as round as can be."""
    found = {"value": True, "pull": True}
    try:
        for p in round_rows(activation):
            stored: Any = Rounded.stored(p, model)
            with np.errstate(all="ignore"):
                a = activation.value(stored)
                delta_a = Rounded.stored(1.0 + np.arange(a.shape[-1]) * np.ones(a.shape), model)
                answers = {"value": a, "pull": activation.pull(stored, delta_a)}
            found = {part: found[part] and rounds(x) for part, x in answers.items()}
    except ValueError:
        return {"value": False, "pull": False}
    return found


def rounds(x: Any) -> bool:
    """Whether all entries but zeros have a radius."""
    return bool(np.all((getattr(x, "radius", 0.0) != 0) | (getattr(x, "value", x) == 0)))


def round_rows(activation: Activation) -> list[np.ndarray]:
    """Rows of few and round numbers, not all equal: those of one 1, of two, of signs, and of quarters."""
    found = []
    for least in (2, 3, 4, 5):
        n = allowed_width(activation, least)
        if n > 1:
            signs = np.where(np.arange(n) % 2, 1.0, -1.0)
            quarters = np.arange(3 * n).reshape(3, n) / 4 - n / 2
            found.append(inside(activation.domain, np.vstack([np.eye(n), -np.eye(n), signs, 2 * signs, quarters])))
    return found
