"""Proved faults of the frameworks, from the table ``known_upstream.toml``, which is part of gradagree.

A fault covers a record only if the verdict, the array and the error are as described, and the operand of the faulty
entry is in the input region. So another fault of the same function still fails a run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.graph_case import AnyCase, GraphCase, parse_case
from gradagree.cases.graph_reference import node_operands
from gradagree.checker.verdict import Record, plain, split_entry
from gradagree.errors import UsageError
from gradagree.reference import backpropagate
from gradagree.reference.graph import LOSS_NODE, TARGETS
from gradagree.runner.known_entry import DATES, Entry, read_tables

TABLE = Path(__file__).with_name("known_upstream.toml")
MARGIN = 64
"""The framework's operand may differ from the reference's by so many units of rounding."""
LARGEST = 1e300
MOST_CASES = 32
ANY_ERROR = (0.0, float("inf"))


class UpstreamFault(Entry, frozen=True, kw_only=True, dict=True, forbid_unknown_fields=True):
    """One proved fault of a framework. An empty tuple stands for all.

    Args:
        region: The input region, in words.
        coordinate: What is bounded in the region: a key of `COORDINATES`.
        bounds: The region: the coordinate is in one of these closed intervals.
        modes: Modes with the fault.
        dtypes: Dtypes with the fault.
        arrays: The arrays in which it shows, as in records: delta_p, c', E.
        observed: The kind of number observed: "zero", "finite", "nonfinite", "nan".
        surely: Intervals in which the fault always shows if the cotangent is not 0: a version without it is reported.
        error: The least and the largest abs(observed - expected) / abs(expected), for a finite number.
        shown: A command or program that shows the fault.
        proof: The exact value and the observed one, with the input.
    """

    region: str
    coordinate: str
    bounds: tuple[tuple[float, float], ...]
    arrays: tuple[str, ...]
    observed: str
    proof: str
    shown: str
    modes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    surely: tuple[tuple[float, float], ...] = ()
    error: tuple[float, float] = ANY_ERROR

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid range of versions, and for an unknown coordinate or kind of number."""
        super().__post_init__()
        if self.coordinate not in COORDINATES or self.observed not in KINDS:
            raise ValueError(f"no coordinate {self.coordinate!r} or kind {self.observed!r}")

    @property
    def upstream(self) -> bool:
        return True

    @property
    def label(self) -> str:
        """``torch >=2.13 backward, grad hardsigmoid float64 disagree: -3 < p < 3``."""
        parts = (
            self.framework, self.version, ", ".join(self.modes), self.function, ", ".join(self.dtypes), self.verdict,
        )  # fmt: skip
        return " ".join(part for part in parts if part) + f": {self.region}"

    def applies_to(self, framework: str, mode: str, dtype: str, version: str) -> bool:
        if (self.modes and mode not in self.modes) or (self.dtypes and dtype not in self.dtypes):
            return False
        return super().applies_to(framework, mode, dtype, version)

    def covers(self, record: Record, case: AnyCase | None = None) -> bool:
        if record.verdict is not self.verdict or record.function is None or not self.names(record.function):
            return False
        array, index = split_entry(record.entry)
        if array not in self.arrays or not self._describes(plain(record.expected), plain(record.observed)):
            return False
        operands = _operands(record.spec, case)
        found = None if operands is None or record.box is None else operands.get(record.box)
        return found is not None and self.names(found.function) and _at(self.inside(found), array, index)

    def _describes(self, expected: float, observed: float) -> bool:
        if not KINDS[self.observed](observed):
            return False
        if not np.isfinite(observed) or self.error == ANY_ERROR:
            return True
        least, most = self.error
        return bool(expected) and least <= abs(observed - expected) / abs(expected) <= most

    def inside(self, found: Operand) -> np.ndarray:
        """Which entries of an operand are in the region, up to the rounding of the framework's own operand."""
        with np.errstate(all="ignore"):
            x = self._coordinate(found)
            largest = np.minimum(np.maximum(np.abs(found.p), np.abs(x)), LARGEST)
            margin = MARGIN * found.unit * largest + found.smallest
            inside = [(x >= low - margin) & (x <= high + margin) for low, high in self.bounds]
        return np.asarray(np.any(inside, axis=0))

    def reaches(self, record: Record, case: AnyCase | None = None) -> bool:
        """Whether the fault would show: some entry has an operand there, and a cotangent that is not 0."""
        operands = (_operands(record.spec, case) or {}) if self.surely else {}
        for found in operands.values():
            if self.names(found.function):
                x = self._coordinate(found)
                inside = np.any([(x >= low) & (x <= high) for low, high in self.surely], axis=0)
                if (inside & (found.cotangent != 0)).any():
                    return True
        return False

    def _coordinate(self, found: Operand) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.broadcast_to(COORDINATES[self.coordinate](found.p, found.t), found.p.shape)


@dataclass(frozen=True)
class Operand:
    """The reference's input of one operation, its cotangent, and the targets if it is the loss."""

    function: str
    p: np.ndarray
    cotangent: np.ndarray
    t: Any
    unit: float
    smallest: float


def _deviation(p: np.ndarray) -> np.ndarray:
    return p.std(axis=-1, keepdims=True)


def _spread(p: np.ndarray) -> np.ndarray:
    """The standard deviation of a row over its largest entry; 0 for a row of zeros."""
    return _deviation(p) / np.maximum(np.abs(p).max(axis=-1, keepdims=True), np.finfo(float).tiny)


def _norm(p: np.ndarray) -> np.ndarray:
    return np.sqrt((p * p).sum(axis=-1, keepdims=True))


def _halves(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = p.shape[-1] // 2
    return p[..., :half], p[..., half:]


def _second_half(p: np.ndarray) -> np.ndarray:
    """The second half of a row, its first half infinite."""
    return np.where(np.arange(p.shape[-1]) < p.shape[-1] // 2, np.inf, p)


def _sum_of_differences(p: np.ndarray) -> np.ndarray:
    """The sum of the differences of a row's entries from its largest one."""
    return (p.max(axis=-1, keepdims=True) - p).sum(axis=-1, keepdims=True)


COORDINATES: Mapping[str, Callable[[np.ndarray, Any], Any]] = {
    "p": lambda p, t: p,
    "abs(p)": lambda p, t: np.abs(p),
    "min(p, 1 - p)": lambda p, t: np.minimum(p, 1 - p),
    "abs(t)": lambda p, t: np.abs(t),
    "-p t": lambda p, t: -p * t,
    "row deviation": lambda p, t: _deviation(p),
    "row spread": lambda p, t: _spread(p),
    "least row deviation": lambda p, t: np.minimum(_deviation(p), _spread(p)),
    "row rms": lambda p, t: _norm(p) / np.sqrt(p.shape[-1]),
    "sum of differences": lambda p, t: _sum_of_differences(p),
    "second half": lambda p, t: _second_half(p),
    "least norm of halves": lambda p, t: np.minimum(*map(_norm, _halves(p))),
    "infinite where a class is not right": lambda p, t: np.where((t < 0.5).any(axis=-1, keepdims=True), np.inf, 0.0),
}
KINDS: Mapping[str, Callable[[float], bool]] = {
    "zero": lambda x: x == 0, "finite": np.isfinite, "nonfinite": lambda x: not np.isfinite(x), "nan": np.isnan,
}  # fmt: skip


def _at(inside: np.ndarray, array: str, index: tuple[int, ...]) -> bool:
    """Whether the operand of an entry is in the region; some operand, where the entry is a sum over several."""
    if array == "delta_p" and len(index) == inside.ndim:
        return all(k < n for k, n in zip(index, inside.shape, strict=True)) and bool(inside[index])
    return bool(inside.any())


_FOUND: dict[str, Mapping[int | str, Operand] | None] = {}
"""The operands of the latest cases, by their texts."""


def _operands(spec: str, case: AnyCase | None) -> Mapping[int | str, Operand] | None:
    """The operands of a case by operation; None for a case whose arrays are not at hand."""
    if spec not in _FOUND:
        operands = _compute_operands(spec, case)
        if operands is None:
            return None
        while len(_FOUND) >= MOST_CASES:
            del _FOUND[next(iter(_FOUND))]
        _FOUND[spec] = operands
    return _FOUND[spec]


def _compute_operands(spec: str, case: AnyCase | None) -> Mapping[int | str, Operand] | None:
    try:
        case = case or parse_case(spec)
        if isinstance(case, GraphCase):
            return _graph_operands(case)
        arrays, form = case.arrays(), FORMATS[case.dtype]
        with np.errstate(all="ignore"):
            found, p = backpropagate(case.network(arrays), arrays.inputs), arrays.inputs
            operands: dict[int | str, Operand] = {}
            for node, cotangent in zip(case.nodes(arrays), found.sensitivities, strict=True):
                function, t = str(case.function(node.name)), arrays.targets if node.is_loss else None
                operands[node.name] = Operand(function, p, cotangent, t, 2.0**-form.precision, form.smallest)
                p = p if node.is_loss else node.forward(p)
    except (UsageError, ValueError, ArithmeticError):
        return None
    return operands


def _graph_operands(case: GraphCase) -> Mapping[int | str, Operand]:
    """The operands of a graph; those of a layer are its first input with its cotangent."""
    arrays, form = case.arrays(), FORMATS[case.dtype]
    targets = arrays.by_name[TARGETS]
    return {
        one.name: Operand(
            str(case.function(one.name)), one.p, one.cotangent, targets if one.name == LOSS_NODE else None,
            2.0**-form.precision, form.smallest,
        )
        for one in node_operands(case, arrays)
    }  # fmt: skip


@functools.cache
def _table() -> tuple[UpstreamFault, ...]:
    return tuple(msgspec.convert(table, UpstreamFault, builtin_types=DATES) for table in read_tables(TABLE))


def upstream_faults() -> list[Entry]:
    """The known faults of the frameworks."""
    return list(_table())
