"""Failures as text: each cause once, the worst first, with the input at fault and a way to see it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from gradagree.cases.case import Case
from gradagree.cases.graph_case import AnyCase, GraphCase
from gradagree.checker.verdict import ORDER, Record, describe_operation, plain, split_entry

MOST_ENTRIES = 8
"""Entries of a row of inputs that are shown."""


def format_failures(
    records: Iterable[Record],
    cases: Mapping[str, AnyCase] = {},
    command: Callable[[Record], str] | None = None,
) -> str:
    """The failing records, one paragraph for each framework and function at fault.

    `cases` by their texts show the input at fault; `command` shows a failure again.
    """
    causes: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.verdict.fails and not record.known:
            causes.setdefault((record.framework, record.function or _without_digits(record.reason)), []).append(record)
    worst_first = sorted((sorted(found, key=_place) for found in causes.values()), key=lambda found: _place(found[0]))
    return "\n".join(_paragraph(found, cases, command or replay_command) for found in worst_first)


def replay_command(record: Record, *options: str) -> str:
    """The command line that replays a record."""
    words = ["gradagree", "replay", record.spec, *options, "--modes", f"{record.framework}:{record.mode}"]
    return shlex.join(words)


def _place(record: Record) -> tuple[int, float]:
    """The worst verdict first, then the largest ratio that is a number."""
    ratio = plain(record.ratio)
    return ORDER[record.verdict], -ratio if math.isfinite(ratio) else 0.0


def _without_digits(reason: str) -> str:
    return "".join("#" if c.isdigit() else c for c in reason)


def _paragraph(found: list[Record], cases: Mapping[str, AnyCase], command: Callable[[Record], str]) -> str:
    record = found[0]
    where = "" if record.box is None else f" in {describe_operation(record.box, record.function)}, {record.entry}"
    reason = f": {record.reason}" if record.reason else ""
    lines = [f"{record.framework} {record.version} {record.mode}: {record.verdict}{where}{reason}"]
    if record.expected is not None:
        numbers = f"expected {plain(record.expected)!r}, observed {plain(record.observed)!r}"
        lines.append(f"{numbers}, tolerance {plain(record.tolerance):.3g}")
    if record.spec in cases and (given := describe_input(cases[record.spec], record)):
        lines.append(f"at {given}")
    if len(found) > 1:
        modes, dtypes = (
            ", ".join(dict.fromkeys(names)) for names in zip(*((r.mode, r.dtype) for r in found), strict=True)
        )
        lines.append(f"{len(found)} failures have this cause, in {modes} and {dtypes}")
    return "\n  ".join([*lines, command(record)])


def describe_input(case: AnyCase, record: Record) -> str:
    """The input of the operation at a record's entry, as the reference computes it; empty for a sum over examples.

    For a loss that overflows, the output that contributes most.
    """
    if isinstance(case, GraphCase):
        return ""
    name, index = split_entry(record.entry)
    arrays = case.arrays()
    x: Any = arrays.inputs
    with np.errstate(all="ignore"):
        for node, activation in zip(case.nodes(arrays), case.activations, strict=False):
            if node.name == record.box:
                alone = not activation.along_last_axis and (name == "delta_p" or not node.parameters)
                if name == "c'" and len(index) == x.ndim + 1:  # the first index is the direction
                    return _entries("p", x, index[1:], alone)
                return _entries("p", x, index, alone, name == "delta_p") if name in ("delta_p", "c") else ""
            x = node.forward(x)
    if record.box == "error" and name in ("E", "E'") and not math.isfinite(plain(record.observed)):
        return _largest(case, x, arrays.targets)
    if record.box != "error" or not index or name == "E'":
        return ""
    given = [_entries("o", x, index, False, True), _entries("t", np.asarray(arrays.targets), index, False, True)]
    return ", ".join(filter(None, given))


def _largest(case: Case, outputs: np.ndarray, targets: np.ndarray) -> str:
    """``o[2,0] = 4096.0, t[2,0] = 1.0``: the output with the largest product o dE/do, and its target."""
    with np.errstate(all="ignore"):
        sizes = np.abs(outputs * case.error.sensitivity(outputs, targets))
    index = tuple(map(int, np.unravel_index(np.argmax(sizes), outputs.shape)))
    place = index[: targets.ndim]
    return f"{_entries('o', outputs, index, True)}, {_entries('t', targets, place, True)}"


def _entries(name: str, array: np.ndarray, index: tuple[int, ...], alone: bool, wide: bool = False) -> str:
    """``p[1,0] = 0.5``, or ``p[1] = [0.5, 2]`` for a row of few numbers; `wide`: the entry of a longer row."""
    place = index if alone else index[:1]
    try:
        values = np.asarray(array[place])
    except IndexError:
        return ""
    if values.size > MOST_ENTRIES:
        return _entries(name, array, index, True) if wide else ""
    shown = ", ".join(repr(x.item()) for x in values.ravel())
    return f"{name}[{','.join(map(str, place))}] = {f'[{shown}]' if values.ndim else shown}"
